package spec

import (
	"slices"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/table"
	"vtune/internal/spec/tree"
)

// siteFileFields are the keys of a site file: those of the spec's site, and what else a cluster has its own way of.
func siteFileFields() []field {
	var site, rest []field
	for _, f := range fields() {
		ofSite := func(g field) bool { return g.OfSite }
		switch {
		case f.Key == "site":
			site = slices.DeleteFunc(f.Group, func(g field) bool { return g.Key == "use" })
		case f.OfSite:
			rest = append(rest, f)
		case slices.ContainsFunc(f.Group, ofSite):
			f.Group = slices.DeleteFunc(f.Group, func(g field) bool { return !g.OfSite })
			rest = append(rest, f)
		}
	}
	return append(site, rest...)
}

// readSite lays a site file below the spec.
func (d *decoder) readSite(file string, data []byte) {
	root, problem := tree.Read(file, data, "write a site file to start from with the site init command")
	if problem != nil {
		d.Problems = append(d.Problems, *problem)
		return
	}
	d.Adopt(root, file, "site.")
	d.lay(root, "", siteFileFields(), func(key string) string {
		if slices.ContainsFunc(fields(), func(f field) bool { return f.Key == key }) {
			return key
		}
		return "site." + key
	})
}

// lay notes the values of mapping n, whose paths in its own file begin with prefix; home is the path of a key in the spec.
func (d *decoder) lay(n *yaml.Node, prefix string, fs []field, home func(key string) string) {
	given, _ := table.Keys(d.Reader, n, prefix, fs)
	for _, f := range fs {
		v, path := given[f.Key], home(f.Key)
		switch {
		case tree.IsNull(v):
		case f.Group == nil:
			d.under[path] = v
		case v.Kind != yaml.MappingNode:
			d.Problem(v, path, "wants keys and values, got "+tree.Describe(v), "")
		default:
			d.lay(v, tree.Join(prefix, f.Key), f.Group, func(key string) string { return tree.Join(path, key) })
		}
	}
}

// CheckSite tells what is wrong with a site file by itself; what it says that does not fit a spec only ParseWith tells.
func CheckSite(file string, data []byte) error {
	d := newDecoder(file)
	d.readSite(file, data)
	table.Walk(fields(), "", func(f field, path string) {
		if n := d.under[path]; n != nil {
			d.value(f, n, path)
		}
	})
	d.Problems.Sort()
	return d.Problems.Err()
}
