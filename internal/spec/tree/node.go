// Package tree reads a YAML file into its tree of nodes, and says of each node what it is. It knows no keys; positions and strictness
// are what a spec needs of it.
package tree

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// Resolve follows an alias to its anchor. An alias to an alias does not exist in YAML.
func Resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// IsNull reports whether n is left out, empty or null.
func IsNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// Describe says what is written at n.
func Describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	case "!!str", "!!timestamp":
		return fmt.Sprintf("the text %q", Shorten(n.Value))
	}
	return "a value of type " + n.Tag
}

// Shorten cuts what is too long to be repeated in a message.
func Shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// Literal is the node of a default in the table, which is written as the user would write it.
func Literal(text string) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return doc.Content[0]
}

// IsText reports whether n is a scalar whose characters can be taken for text.
func IsText(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!timestamp":
		return true
	}
	return false
}
