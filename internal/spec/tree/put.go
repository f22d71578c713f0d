package tree

import (
	"bytes"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
)

// Put is a value for a key, as YAML, or "" to take the key out. Path has dots (site.partition).
type Put struct{ Path, Value string }

// Edit is the mapping in data with values put into it; comments stay. An alias on the way is written out first, so that nothing else
// changes which is of the same anchor.
func Edit(file string, data []byte, puts []Put) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(bytes.TrimSpace(data)) > 0 {
		var problem *diag.Problem
		if root, problem = Read(file, data, ""); problem != nil {
			return nil, diag.Problems{*problem}
		}
	}
	for _, p := range puts {
		put(root, strings.Split(p.Path, "."), p.Value)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func put(n *yaml.Node, path []string, value string) {
	at := -1
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[0] {
			at = i
		}
	}
	switch {
	case at < 0 && value == "":
		return
	case at < 0:
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[0]}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
		at = len(n.Content) - 2
	case value == "" && len(path) == 1:
		n.Content = append(n.Content[:at:at], n.Content[at+2:]...)
		return
	}
	v := n.Content[at+1]
	if len(path) == 1 {
		next := Literal(value)
		next.LineComment = v.LineComment
		n.Content[at+1] = next
		return
	}
	switch own := Resolve(v); {
	case own.Kind == yaml.MappingNode:
		v = writtenOut(own, v != own)
	case IsNull(own):
		v = &yaml.Node{Kind: yaml.MappingNode}
	default:
		return // what cannot have keys is told when it is read
	}
	n.Content[at+1] = v
	put(v, path[1:], value)
}

// writtenOut is n, or a copy of it that no anchor leads to.
func writtenOut(n *yaml.Node, aliased bool) *yaml.Node {
	if !aliased {
		return n
	}
	c := *n
	c.Anchor, c.Content = "", append([]*yaml.Node(nil), n.Content...)
	return &c
}
