package tpu

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/jobs"
)

// ByHand is the gcloud command that asks for the same as Submit does, for people who submit by hand; script is the file that it reads
// the job's script from. Where gcloud's own command lacks something it is the alpha one, which speaks the API's v2alpha1 and so asks
// for provisioningModel STANDARD besides.
func (s *Scheduler) ByHand(r jobs.Request, script string) ([]string, error) {
	o, err := s.order(r)
	if err != nil {
		return nil, fmt.Errorf("the command for %s: %w", r.Name, err)
	}
	spec := o.body.Tpu.NodeSpec[0]
	n := spec.Node
	argv := []string{"gcloud"}
	alphaOnly := s.alphaByHand(o.body)
	if alphaOnly {
		argv = append(argv, "alpha")
	}
	argv = append(argv, "compute", "tpus", "queued-resources", "create", o.id, "--async", "--project="+s.Site.Project, "--zone="+s.Site.Zone, "--node-id="+spec.NodeId)
	flag := func(name, value string) {
		if value != "" {
			argv = append(argv, "--"+name+"="+value)
		}
	}
	on := func(name string, given bool) {
		if given {
			argv = append(argv, "--"+name)
		}
	}
	flag("accelerator-type", n.AcceleratorType)
	if c := n.AcceleratorConfig; c != nil {
		flag("type", strings.ReplaceAll(strings.ToLower(c.Type), "_", "")) // gcloud has v5litepod for V5LITE_POD
		flag("topology", c.Topology)
	}
	flag("runtime-version", n.RuntimeVersion)
	flag("network", n.NetworkConfig.Network)
	flag("subnetwork", n.NetworkConfig.Subnetwork)
	on("internal-ips", !n.NetworkConfig.EnableExternalIps)
	flag("service-account", n.ServiceAccount.Email)
	flag("scopes", list(n.ServiceAccount.Scope))
	flag("labels", dict(n.Labels))
	flag("metadata", dict(map[string]string{metaName: n.Metadata[metaName]}))
	flag("metadata-from-file", dict(map[string]string{metaScript: script}))
	switch model := o.body.ProvisioningModel; model {
	case "", "STANDARD":
		on("spot", o.body.Spot != nil)
	default: // with SPOT gcloud asks for the tier too
		flag("provisioning-model", strings.ReplaceAll(strings.ToLower(model), "_", "-"))
	}
	on("guaranteed", o.body.Guaranteed != nil)
	if name := o.body.ReservationName; strings.HasSuffix(name, "/-") && !alphaOnly {
		on("reserved", true) // which the alpha command writes in another way
	} else {
		flag("reservation", name)
	}
	if p := o.body.QueueingPolicy; p != nil {
		flag("valid-until-duration", p.ValidUntilDuration)
	}
	if d := o.body.RunDuration; d != nil {
		flag("max-run-duration", d.MaxRunDuration)
	}
	return argv, nil
}

// alphaByHand reports whether gcloud's own command cannot say it: it knows no reservation by name, and topologies only of the older
// versions.
func (s *Scheduler) alphaByHand(q *alpha.QueuedResource) bool {
	named := q.ReservationName != "" && !strings.HasSuffix(q.ReservationName, "/-")
	newer := false
	if c := q.Tpu.NodeSpec[0].Node.AcceleratorConfig; c != nil {
		newer = !slices.Contains([]string{"V2", "V3", "V4"}, c.Type)
	}
	return s.alpha() || named || newer
}

// dict is keys and values as gcloud reads them in one argument.
func dict(values map[string]string) string {
	var items []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		items = append(items, k+"="+values[k])
	}
	return list(items)
}

// list joins items by commas, or, where one of them has a comma itself, by another character that gcloud is told of at the beginning.
func list(items []string) string {
	all := strings.Join(items, "")
	if !strings.Contains(all, ",") && !strings.HasPrefix(all, "^") {
		return strings.Join(items, ",")
	}
	for _, by := range []string{";", ":", "|", "#", "@", "~", "\x1f"} {
		if !strings.Contains(all, by) {
			return "^" + by + "^" + strings.Join(items, by)
		}
	}
	return strings.Join(items, ",")
}
