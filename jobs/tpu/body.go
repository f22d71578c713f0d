package tpu

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// Labels of every node, and metadata beside its script. Labels are what a person sees in the console; their values are bent to the
// rules of labels, so the job's name is in the metadata too, as it is.
const (
	labelRun     = "vtune-run"
	labelUnit    = "vtune-unit"
	labelAttempt = "vtune-attempt"
	labelSpec    = "vtune-spec"
	metaName     = "vtune-name"
	metaScript   = "startup-script"
)

// cloudPlatform is the scope with which the machine's service account may do what its roles allow; Google advises against others.
const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// externalIPs is sent even where it is false: what a request does not say about networks, a person would have to look up.
const externalIPs = "EnableExternalIps"

// greatestScript is what one entry of an instance's metadata may hold.
const greatestScript = 256 << 10

var (
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	numberAtEnd  = regexp.MustCompile(`-([0-9]+)$`)
	reservations = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/reservations/[^/]+$`)
)

// order is one unit on its way to the API.
type order struct {
	name, unit, id string
	body           *alpha.QueuedResource
}

// order is what is asked for with r. Nodes to exclude need no mention: each machine is a new one with a name of its own.
func (s *Scheduler) order(r jobs.Request) (order, error) {
	unit, ofRun := strings.CutPrefix(r.Name, record.NamePrefix(r.Run))
	switch {
	case !ofRun || unit == "" || !nameForm.MatchString(r.Name) || !filepath.IsLocal(unit):
		return order{}, fmt.Errorf("%q is no name of a job of run %s", r.Name, r.Run)
	case r.Tasks > 0:
		return order{}, errors.New("queued resources have no arrays")
	case len(r.After) > 0:
		return order{}, errors.New("queued resources do not wait for one another; the job goes out when what it needs is over")
	case r.Begin != 0:
		return order{}, errors.New("a queued resource begins as soon as there is room for it")
	}
	script, err := os.ReadFile(r.Script)
	if err != nil {
		return order{}, err
	}
	if !utf8.Valid(script) {
		return order{}, fmt.Errorf("%s is not UTF-8, and travels as JSON", r.Script)
	}
	if len(script) > greatestScript {
		return order{}, fmt.Errorf("%s has %d bytes; a machine's metadata holds %d", r.Script, len(script), greatestScript)
	}
	o := order{name: r.Name, unit: unit, id: resourceID(r.Name)}
	o.body = s.body(o, string(script), r.Resources)
	if err := s.label(o, r.Run); err != nil {
		return order{}, err
	}
	return o, nil
}

// body without labels. schedulingConfig is left out on purpose: the tier of a queued resource is the request's, and one at the node
// makes the API refuse it.
func (s *Scheduler) body(o order, script string, res record.Resources) *alpha.QueuedResource {
	node := &alpha.Node{
		AcceleratorType: s.Site.AcceleratorType, RuntimeVersion: s.Site.RuntimeVersion,
		NetworkConfig: &alpha.NetworkConfig{
			Network: s.Site.Network, Subnetwork: s.Site.Subnetwork, EnableExternalIps: s.Site.ExternalIPs,
			ForceSendFields: []string{externalIPs},
		},
		ServiceAccount: &alpha.ServiceAccount{Email: s.Site.ServiceAccount, Scope: []string{cloudPlatform}},
		Metadata:       map[string]string{metaName: o.name, metaScript: script},
	}
	if s.Site.AcceleratorType == "" {
		node.AcceleratorConfig = &alpha.AcceleratorConfig{Type: s.Site.Accelerator, Topology: s.Site.Topology}
	}
	q := &alpha.QueuedResource{Tpu: &alpha.Tpu{NodeSpec: []*alpha.NodeSpec{{Parent: s.parent(), NodeId: o.id, Node: node}}}}
	if s.validUntil > 0 {
		q.QueueingPolicy = &alpha.QueueingPolicy{ValidUntilDuration: seconds(s.validUntil)}
	}
	switch {
	case s.Site.Spot:
		q.Spot = &alpha.Spot{}
	case s.Site.Guaranteed:
		q.Guaranteed = &alpha.Guaranteed{}
	case s.Site.Reserved:
		q.ReservationName = s.reservation()
	}
	if !s.alpha() {
		return q
	}
	maxRun := s.maxRun
	if res.Seconds > 0 {
		maxRun = time.Duration(res.Seconds) * time.Second
	}
	if maxRun > 0 {
		q.RunDuration = &alpha.RunDuration{MaxRunDuration: seconds(maxRun)}
	}
	switch {
	case s.Site.FlexStart:
		q.ProvisioningModel = "FLEX_START"
	case s.Site.Spot:
		q.ProvisioningModel = "SPOT"
	default:
		q.ProvisioningModel = "STANDARD" // gcloud always says it
	}
	return q
}

// reservation in the API's form. Without a name it is any of the project's, which gcloud writes as a dash.
func (s *Scheduler) reservation() string {
	switch {
	case s.Reservation == "":
		return s.parent() + "/reservations/-"
	case reservations.MatchString(s.Reservation):
		return s.Reservation
	}
	return s.parent() + "/reservations/" + s.Reservation
}

// label puts the labels on, last of all a hash of everything else. By that a resource is known for the same request later on.
func (s *Scheduler) label(o order, run string) error {
	data, err := json.Marshal(o.body)
	if err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	sum := sha256.Sum256(data)
	labels := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(s.Site.Labels)) {
		k, v := asLabel(key, s.Site.Labels[key])
		labels[k] = v
	}
	attempt := "1"
	if m := numberAtEnd.FindStringSubmatch(o.unit); m != nil {
		attempt = m[1]
	}
	labels[labelRun], labels[labelUnit], labels[labelAttempt] = labelValue(run), labelValue(o.unit), labelValue(attempt)
	labels[labelSpec] = hex.EncodeToString(sum[:20])
	o.body.Tpu.NodeSpec[0].Node.Labels = labels
	return nil
}

// seconds is a duration as the API writes it.
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// Request is the body of the request that Submit sends for r, as JSON for people to read.
func (s *Scheduler) Request(r jobs.Request) ([]byte, error) {
	o, err := s.order(r)
	if err != nil {
		return nil, fmt.Errorf("the request for %s: %w", r.Name, err)
	}
	return o.written()
}

func (o order) written() ([]byte, error) {
	data, err := fsx.JSON(o.body)
	if err != nil {
		return nil, fmt.Errorf("the request for %s: %w", o.name, err)
	}
	return data, nil
}

// persist writes down what is about to be asked for, and under which id. If that was done before, what is on disk is asked for again:
// an earlier try may have been taken, and under one id there can be only one request.
func (s *Scheduler) persist(o order) (requestID string, sent order, err error) {
	if err := os.MkdirAll(s.Dir.Job(o.unit), 0o755); err != nil {
		return "", o, err
	}
	id, err := os.ReadFile(s.Dir.RequestID(o.unit))
	if err == nil {
		body := new(alpha.QueuedResource)
		if err := fsx.ReadJSON(s.Dir.Request(o.unit), body); err != nil {
			return "", o, err
		}
		if specHash(body) == "" || body.Tpu.NodeSpec[0].NodeId != o.id || body.Tpu.NodeSpec[0].Node.NetworkConfig == nil {
			return "", o, fmt.Errorf("%s is no request for %s", s.Dir.Request(o.unit), o.id)
		}
		body.Tpu.NodeSpec[0].Node.NetworkConfig.ForceSendFields = []string{externalIPs}
		o.body = body
		return strings.TrimSpace(string(id)), o, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", o, err
	}
	written, err := o.written()
	if err != nil {
		return "", o, err
	}
	if err := fsx.Publish(s.Dir.Request(o.unit), written, 0o644); err != nil {
		return "", o, err
	}
	requestID = uuid.NewString()
	return requestID, o, fsx.PublishNew(s.Dir.RequestID(o.unit), []byte(requestID+"\n"), 0o644)
}

// node is the one that a resource of ours has; nil where it is nothing of the kind.
func node(q *alpha.QueuedResource) *alpha.Node {
	if q.Tpu == nil || len(q.Tpu.NodeSpec) == 0 || q.Tpu.NodeSpec[0] == nil {
		return nil
	}
	return q.Tpu.NodeSpec[0].Node
}

func specHash(q *alpha.QueuedResource) string {
	if n := node(q); n != nil {
		return n.Labels[labelSpec]
	}
	return ""
}
