package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Body judges a request's body by a schema and returns it as a JSON object.
func (a *API) Body(schema string, body []byte) (map[string]any, []Problem) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	value, err := decode(d, "")
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	if err != nil {
		return nil, []Problem{{"", "Invalid JSON payload received. " + err.Error()}}
	}
	object, is := value.(map[string]any)
	if !is {
		return nil, []Problem{{"", "Invalid JSON payload received. Root element must be a message."}}
	}
	return object, a.check(&node{Ref: schema}, object, "")
}

// decode reads a value; encoding/json would let the last of two equal names win.
func decode(d *json.Decoder, path string) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("%s: named twice", join(path, name))
			}
			if object[name], err = decode(d, join(path, name)); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decode(d, fmt.Sprintf("%s[%d]", path, len(list)))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (a *API) check(n *node, v any, path string) []Problem {
	if n.Ref != "" {
		ref := a.schemas[n.Ref]
		if ref == nil {
			return []Problem{{path, "the discovery document has no schema " + n.Ref}}
		}
		n = ref
	}
	switch n.Type {
	case "object":
		return a.object(n, v, path)
	case "array":
		list, is := v.([]any)
		if !is {
			return wrong(path, "a list", v)
		}
		var found []Problem
		for i, e := range list {
			found = append(found, a.check(n.Items, e, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return found
	case "any":
		return nil
	}
	return scalar(n, v, path)
}

func (a *API) object(n *node, v any, path string) []Problem {
	object, is := v.(map[string]any)
	if !is {
		return wrong(path, "an object", v)
	}
	var found []Problem
	for _, name := range sorted(object) {
		at := join(path, name)
		p := n.Properties[name]
		switch {
		case p == nil && n.Additional != nil:
			found = append(found, a.check(n.Additional, object[name], at)...)
		case p == nil:
			found = append(found, Problem{at, fmt.Sprintf("Invalid JSON payload received. Unknown name %q at '%s': Cannot find field.", name, path)})
		case p.output():
			found = append(found, Problem{at, "output only: a request must not set it"})
		default:
			found = append(found, a.check(p, object[name], at)...)
		}
	}
	for _, name := range sorted(n.Properties) {
		if p := n.Properties[name]; p.required() && !p.output() && empty(object[name]) {
			found = append(found, Problem{join(path, name), "required"})
		}
	}
	return found
}

// empty is what a message looks like in which nobody has set a field: protocol buffers do not tell "" from nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case json.Number:
		return v == "0"
	}
	return false
}

var duration = regexp.MustCompile(`^-?\d{1,12}(\.\d{1,9})?s$`)

func scalar(n *node, v any, path string) []Problem {
	switch n.Type {
	case "boolean":
		if _, is := v.(bool); !is {
			return wrong(path, "true or false", v)
		}
	case "integer":
		if number, is := v.(json.Number); !is || !whole(number.String(), 32) {
			return wrong(path, "a whole number of 32 bits", v)
		}
	case "number":
		if _, is := v.(json.Number); !is {
			return wrong(path, "a number", v)
		}
	case "string":
		s, is := v.(string)
		switch {
		case !is:
			return wrong(path, "a string", v)
		case len(n.Enum) > 0 && !slices.Contains(n.Enum, s):
			return []Problem{{path, fmt.Sprintf("Invalid value at '%s', %q: not one of %q", path, s, n.Enum)}}
		case n.Format == "int64" && !whole(s, 64):
			return wrong(path, "a whole number of 64 bits, in quotes", v)
		case n.Format == "google-duration" && !duration.MatchString(s):
			return wrong(path, "a duration in seconds, as 3600s", v)
		case n.Format == "google-datetime":
			if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
				return wrong(path, "a time as RFC 3339 writes it", v)
			}
		}
	default:
		return []Problem{{path, fmt.Sprintf("the discovery document has the unknown type %q", n.Type)}}
	}
	return nil
}

func whole(s string, bits int) bool {
	_, err := strconv.ParseInt(s, 10, bits)
	return err == nil
}

func wrong(path, want string, got any) []Problem {
	data, err := json.Marshal(got)
	if err != nil || len(data) > 60 {
		data = []byte("something else")
	}
	return []Problem{{path, fmt.Sprintf("Invalid value at '%s': want %s, not %s", path, want, data)}}
}

// Known is v without the fields that this version of the API does not have: what another version was asked for.
func (a *API) Known(schema string, v any) any { return a.known(&node{Ref: schema}, v) }

func (a *API) known(n *node, v any) any {
	if n.Ref != "" {
		n = a.schemas[n.Ref]
	}
	switch v := v.(type) {
	case map[string]any:
		if n.Additional != nil {
			return v
		}
		out := map[string]any{}
		for name, value := range v {
			if p := n.Properties[name]; p != nil {
				out[name] = a.known(p, value)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, a.known(n.Items, e))
		}
		return out
	}
	return v
}
