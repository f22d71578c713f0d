package schema

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// What the documentation asks for beyond the schema. The length of ids is in no document: 63 is what a host name may have, and
// what other resources of Google's clouds have.
var (
	resourceID  = regexp.MustCompile(`^[A-Za-z0-9_.~+%-]{1,63}$`)
	nodeID      = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	labelKey    = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue  = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
	metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,127}$`)
	email       = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	reservation = regexp.MustCompile(`^(projects|folders|organizations)/[^/]+/locations/([^/]+)/reservations/([a-z]([-a-z0-9]{0,61}[a-z0-9])?|-)$`)
)

const (
	maxLabels   = 64
	maxValue    = 256 << 10 // of one metadata entry
	maxMetadata = 512 << 10 // of all
	longestFlex = 7 * 24 * time.Hour
)

// Zone is what may be asked for at a place.
type Zone struct {
	Accelerators map[string]bool // v6e-8
	Topologies   map[string]bool // V6E 2x4
	Runtimes     map[string]bool
}

// judge collects problems.
type judge struct{ found []Problem }

func (j *judge) add(field, format string, args ...any) {
	j.found = append(j.found, Problem{field, fmt.Sprintf(format, args...)})
}

func (j *judge) must(ok bool, field, format string, args ...any) {
	if !ok {
		j.add(field, format, args...)
	}
}

// Create judges a request for a queued resource whose body the schema has passed.
func (a *API) Create(parent, id string, body map[string]any, z Zone, now time.Time) []Problem {
	j := &judge{}
	j.must(resourceID.MatchString(id), "queuedResourceId", "%q does not match %s", id, resourceID)
	specs := list(object(body, "tpu"), "nodeSpec")
	j.must(len(specs) == 1, "tpu.nodeSpec", "there must be one, there are %d", len(specs))
	for i, s := range specs {
		spec, _ := s.(map[string]any)
		j.spec(fmt.Sprintf("tpu.nodeSpec[%d]", i), parent, spec, z)
	}
	j.tier(parent, body)
	j.timing(object(body, "queueingPolicy"), now)
	return j.found
}

func (j *judge) spec(at, parent string, spec map[string]any, z Zone) {
	j.must(text(spec, "parent") == parent, at+".parent", "%q is not the parent of the request, %q", text(spec, "parent"), parent)
	many := "multisliceParams"
	if has(spec, "multiNodeParams") {
		many = "multiNodeParams"
	}
	switch {
	case has(spec, many) == has(spec, "nodeId"):
		j.add(at, "exactly one of nodeId and %s must be there", many)
	case has(spec, many):
		count := integer(object(spec, many), "nodeCount")
		j.must(count > 1, at+"."+many+".nodeCount", "must be above 1, is %d", count)
		prefix := text(object(spec, many), "nodeIdPrefix")
		j.must(prefix == "" || nodeID.MatchString(prefix), at+"."+many+".nodeIdPrefix", "%q does not match %s", prefix, nodeID)
	default:
		j.must(nodeID.MatchString(text(spec, "nodeId")), at+".nodeId", "%q does not match %s", text(spec, "nodeId"), nodeID)
	}
	j.node(at+".node", object(spec, "node"), z)
}

func (j *judge) node(at string, n map[string]any, z Zone) {
	version := text(n, "runtimeVersion")
	j.must(version == "" || z.Runtimes[version], at+".runtimeVersion", "there is no %q here", version)
	accelerator, config := text(n, "acceleratorType"), object(n, "acceleratorConfig")
	switch {
	case (accelerator != "") == has(n, "acceleratorConfig"):
		j.add(at, "exactly one of acceleratorType and acceleratorConfig must be there")
	case accelerator != "":
		j.must(z.Accelerators[accelerator], at+".acceleratorType", "there is no %q here", accelerator)
	default:
		shape := text(config, "type") + " " + text(config, "topology")
		j.must(z.Topologies[shape], at+".acceleratorConfig", "there is no %s here", shape)
	}
	j.must(!has(n, "schedulingConfig"), at+".schedulingConfig", "a queued resource says this with its tier: spot, guaranteed or a reservation")
	j.must(!has(n, "networkConfig") || !has(n, "networkConfigs"), at+".networkConfig", "at most one of networkConfig and networkConfigs may be there")
	j.must(utf8.RuneCountInString(text(n, "description")) <= 512, at+".description", "longer than 512 characters")
	if has(n, "serviceAccount") {
		address := text(object(n, "serviceAccount"), "email")
		j.must(address == "" || email.MatchString(address), at+".serviceAccount.email", "%q is no address", address)
	}
	for i, tag := range list(n, "tags") {
		s, _ := tag.(string)
		j.must(nodeID.MatchString(s), fmt.Sprintf("%s.tags[%d]", at, i), "%q does not match %s", s, nodeID)
	}
	j.labels(at+".labels", object(n, "labels"))
	j.metadata(at+".metadata", object(n, "metadata"))
}

func (j *judge) labels(at string, labels map[string]any) {
	j.must(len(labels) <= maxLabels, at, "%d labels; %d are the most", len(labels), maxLabels)
	for _, key := range sorted(labels) {
		j.must(labelKey.MatchString(key), at, "the key %q does not match %s", key, labelKey)
		j.must(labelValue.MatchString(text(labels, key)), at+"."+key, "%q does not match %s", text(labels, key), labelValue)
	}
}

func (j *judge) metadata(at string, metadata map[string]any) {
	all := 0
	for _, key := range sorted(metadata) {
		size := len(text(metadata, key))
		all += len(key) + size
		j.must(metadataKey.MatchString(key), at, "the key %q does not match %s", key, metadataKey)
		j.must(size <= maxValue, at+"."+key, "%d bytes; %d are the most for one value", size, maxValue)
	}
	j.must(all <= maxMetadata, at, "%d bytes; %d are the most together", all, maxMetadata)
}

// tier: how the capacity is paid for, and what does not go together.
func (j *judge) tier(parent string, body map[string]any) {
	var tiers []string
	for _, t := range []string{"spot", "guaranteed", "bestEffort"} {
		if has(body, t) {
			tiers = append(tiers, t)
		}
	}
	j.must(len(tiers) <= 1, "", "at most one tier may be there, not %s", strings.Join(tiers, " and "))
	name, model := text(body, "reservationName"), text(body, "provisioningModel")
	run := object(body, "runDuration")
	if name != "" {
		m := reservation.FindStringSubmatch(name)
		j.must(m != nil && strings.HasSuffix(parent, "/"+m[2]), "reservationName", "%q is not projects/PROJECT/locations/ZONE/reservations/NAME in the zone of the request", name)
		j.must(!has(body, "spot") && !has(body, "bestEffort"), "reservationName", "spot and best-effort capacity comes from no reservation")
	}
	if _, can := object(body, "guaranteed")["reserved"]; can {
		j.must(name != "", "guaranteed.reserved", "which reservation? reservationName is empty")
	}
	length, timed := seconds(run, "maxRunDuration")
	j.must(!timed || length > 0, "runDuration.maxRunDuration", "must be above 0s")
	j.must(!has(run, "maxRunDuration") || !has(run, "terminationTime"), "runDuration", "at most one of maxRunDuration and terminationTime may be there")
	switch model {
	case "SPOT":
		j.must(has(body, "spot"), "provisioningModel", "SPOT is for the spot tier")
	case "RESERVATION_BOUND":
		j.must(name != "", "provisioningModel", "RESERVATION_BOUND needs a reservationName")
	case "FLEX_START":
		j.must(len(tiers) == 0 && name == "", "provisioningModel", "FLEX_START goes with no tier and no reservation")
		j.must(has(run, "maxRunDuration"), "runDuration.maxRunDuration", "FLEX_START needs it")
		j.must(length <= longestFlex, "runDuration.maxRunDuration", "%s; FLEX_START gives %s at most", length, longestFlex)
	case "STANDARD":
		j.must(!has(body, "spot"), "provisioningModel", "STANDARD is not for the spot tier")
	}
}

func (j *judge) timing(policy map[string]any, now time.Time) {
	j.must(len(policy) <= 1, "queueingPolicy", "at most one constraint may be there, not %s", strings.Join(sorted(policy), " and "))
	for _, name := range []string{"validUntilDuration", "validAfterDuration"} {
		if d, is := seconds(policy, name); is {
			j.must(d > 0, "queueingPolicy."+name, "must be above 0s")
		}
	}
	interval := object(policy, "validInterval")
	start, end := moment(interval, "startTime"), moment(interval, "endTime")
	j.must(end.IsZero() || !end.Before(start), "queueingPolicy.validInterval", "it ends before it starts")
	for name, until := range map[string]time.Time{"validUntilTime": moment(policy, "validUntilTime"), "validInterval": end} {
		j.must(until.IsZero() || until.After(now), "queueingPolicy."+name, "it is over already")
	}
}
