package table

import (
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Object is a JSON object.
type Object = map[string]any

// Schema is the JSON Schema of a mapping with these keys.
func Schema[S any](fs []Field[S]) Object {
	properties, required := Object{}, []string{}
	for _, f := range fs {
		properties[f.Key] = f.schema()
		if f.Mandatory() {
			required = append(required, f.Key)
		}
	}
	out := Object{"type": []string{"object"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	} else {
		out["type"] = []string{"object", "null"}
	}
	return out
}

func (f Field[S]) schema() Object {
	if f.Group != nil {
		out := Schema(f.Group)
		out["description"] = f.Doc
		return out
	}
	out := f.valueSchema()
	out["description"] = f.Doc
	if !f.Required {
		out["type"] = append(out["type"].([]string), "null")
		if f.OneOf != nil {
			out["enum"] = append(out["enum"].([]any), nil)
		}
	}
	if f.Default != "" {
		var value any
		if tree.Literal(f.Default).Decode(&value) == nil {
			out["default"] = value
		}
	}
	return out
}

func (f Field[S]) valueSchema() Object {
	if f.Items != nil {
		return Object{"type": []string{"array"}, "items": Schema(f.Items)}
	}
	switch f.At(new(S)).(type) {
	case *bool:
		return Object{"type": []string{"boolean"}}
	case *int, *int64:
		return Object{"type": []string{"integer"}, "minimum": f.Min, "maximum": f.Whole().Greatest()}
	case *float64:
		out := Object{"type": []string{"number"}}
		for bound, v := range f.Span.Schema() {
			out[bound] = v
		}
		return out
	case *[]int:
		item := Object{"type": []string{"integer"}, "minimum": f.Min, "maximum": f.Whole().Greatest()}
		return Object{"type": []string{"array"}, "items": item, "minItems": 1, "uniqueItems": true}
	case *[]string:
		out := Object{"type": []string{"array"}, "items": textSchema(f.Value)}
		if f.OrWord {
			out["type"] = []string{"array", "string"}
			out["minItems"] = 1
		}
		return out
	case *map[string]string:
		value := textSchema(f.Value)
		value["type"] = append(value["type"].([]string), "null")
		return Object{"type": []string{"object"}, "propertyNames": Object{"pattern": f.Name.Pattern}, "additionalProperties": value}
	}
	if f.OneOf != nil {
		words := []any{}
		for _, w := range f.OneOf {
			words = append(words, w)
		}
		return Object{"type": []string{"string"}, "enum": words}
	}
	return textSchema(f.Value)
}

// textSchema takes numbers as well: the characters that are written are read.
func textSchema(r word.Rule) Object {
	return Object{"type": []string{"string", "number"}, "pattern": r.Pattern}
}
