package spec

import (
	"encoding/json"

	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Schema is a JSON Schema (draft 2020-12) of the spec for editors. It says what can be said of one key at a time: what rests on
// several keys, and what a pattern cannot hold, only Parse tells.
func Schema() []byte {
	root := groupSchema(fields())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "vtune spec"
	root["patternProperties"] = object{"^x-": true}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil { // maps of words and numbers: there is nothing that could fail
		return nil
	}
	return append(out, '\n')
}

type object = map[string]any

func groupSchema(fs []field) object {
	properties, required := object{}, []string{}
	for _, f := range fs {
		properties[f.key] = f.schema()
		if f.mandatory() {
			required = append(required, f.key)
		}
	}
	out := object{"type": []string{"object"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	} else {
		out["type"] = []string{"object", "null"}
	}
	return out
}

// mandatory reports whether a spec without this key is refused, which for a group is so when one of its keys is required.
func (f field) mandatory() bool {
	for _, g := range f.group {
		if g.mandatory() {
			return true
		}
	}
	return f.required
}

func (f field) schema() object {
	if f.group != nil {
		out := groupSchema(f.group)
		out["description"] = f.doc
		return out
	}
	out := f.valueSchema()
	out["description"] = f.doc
	if !f.required {
		out["type"] = append(out["type"].([]string), "null")
		if f.oneOf != nil {
			out["enum"] = append(out["enum"].([]any), nil)
		}
	}
	if f.def != "" {
		var value any
		if tree.Literal(f.def).Decode(&value) == nil {
			out["default"] = value
		}
	}
	return out
}

func (f field) valueSchema() object {
	switch f.at(&Spec{}).(type) {
	case *int, *int64:
		return object{"type": []string{"integer"}, "minimum": f.min, "maximum": f.whole().Greatest()}
	case *float64:
		out := object{"type": []string{"number"}}
		for bound, v := range f.span.Schema() {
			out[bound] = v
		}
		return out
	case *[]Limit:
		return object{"type": []string{"array"}, "items": groupSchema(f.items)}
	case *[]int:
		item := object{"type": []string{"integer"}, "minimum": f.min, "maximum": f.whole().Greatest()}
		return object{"type": []string{"array"}, "items": item, "minItems": 1, "uniqueItems": true}
	case *[]string:
		out := object{"type": []string{"array"}, "items": textSchema(f.value)}
		if f.orWord {
			out["type"] = []string{"array", "string"}
			out["minItems"] = 1
		}
		return out
	case *map[string]string:
		value := textSchema(f.value)
		value["type"] = append(value["type"].([]string), "null")
		return object{"type": []string{"object"}, "propertyNames": object{"pattern": f.name.Pattern}, "additionalProperties": value}
	}
	if f.oneOf != nil {
		words := []any{}
		for _, w := range f.oneOf {
			words = append(words, w)
		}
		return object{"type": []string{"string"}, "enum": words}
	}
	return textSchema(f.value)
}

// textSchema takes numbers as well: Parse reads them as the characters that are written.
func textSchema(r word.Rule) object {
	return object{"type": []string{"string", "number"}, "pattern": r.Pattern}
}
