// Package schema judges requests to the Cloud TPU API by the API's own discovery document, and by what its documentation says
// beyond it. It is for tests, and stricter than Google's servers, which take snake_case names, numbers as enum values and fields
// that are theirs to set: a client has no reason for any of them, so here they are mistakes.
package schema

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// API is one version of the API.
type API struct {
	Version string // v2, v2alpha1
	schemas map[string]*node
	methods []Method
	common  map[string]param // parameters that every method has
}

// node is a schema as discovery documents write it.
type node struct {
	Ref         string           `json:"$ref"`
	Type        string           `json:"type"`
	Format      string           `json:"format"`
	Description string           `json:"description"`
	Enum        []string         `json:"enum"`
	ReadOnly    bool             `json:"readOnly"`
	Properties  map[string]*node `json:"properties"`
	Items       *node            `json:"items"`
	Additional  *node            `json:"additionalProperties"`
}

// Output fields say so in words where the flag is missing; required ones have no flag at all.
func (n *node) output() bool {
	return n.ReadOnly || strings.HasPrefix(n.Description, "Output only.")
}
func (n *node) required() bool { return strings.HasPrefix(n.Description, "Required.") }

type param struct {
	Type     string   `json:"type"`
	Format   string   `json:"format"`
	Location string   `json:"location"`
	Pattern  string   `json:"pattern"`
	Repeated bool     `json:"repeated"`
	Required bool     `json:"required"`
	Enum     []string `json:"enum"`
}

// Method is one that the document describes.
type Method struct {
	ID      string // tpu.projects.locations.queuedResources.create
	Verb    string
	Request string // the schema of its body; "": none
	params  map[string]param
	pattern *regexp.Regexp
}

// Problem is what is wrong with a request, and where: a field's path (tpu.node_spec[0].node.labels), a query parameter, "" for
// the whole.
type Problem struct{ Field, Description string }

func (p Problem) String() string {
	if p.Field == "" {
		return p.Description
	}
	return p.Field + ": " + p.Description
}

type resource struct {
	Methods map[string]struct {
		ID         string           `json:"id"`
		Verb       string           `json:"httpMethod"`
		Flat       string           `json:"flatPath"`
		Parameters map[string]param `json:"parameters"`
		Request    struct {
			Ref string `json:"$ref"`
		} `json:"request"`
	} `json:"methods"`
	Resources map[string]resource `json:"resources"`
}

// Parse reads a discovery document.
func Parse(document []byte) (*API, error) {
	var d struct {
		Version    string           `json:"version"`
		Schemas    map[string]*node `json:"schemas"`
		Parameters map[string]param `json:"parameters"`
		resource
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	a := &API{Version: d.Version, schemas: d.Schemas, common: d.Parameters}
	var walk func(resource)
	walk = func(r resource) {
		for _, m := range r.Methods {
			a.methods = append(a.methods, Method{ID: m.ID, Verb: m.Verb, Request: m.Request.Ref, params: m.Parameters, pattern: pathPattern(m.Flat)})
		}
		for _, sub := range r.Resources {
			walk(sub)
		}
	}
	walk(d.resource)
	if len(a.methods) == 0 || a.schemas["QueuedResource"] == nil {
		return nil, fmt.Errorf("discovery document of %q: no queued resources in it", d.Version)
	}
	return a, nil
}

func pathPattern(flat string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^/")
	for i, part := range regexp.MustCompile(`\{[^}]*\}`).Split(flat, -1) {
		if i > 0 {
			b.WriteString(`[^/:]+`)
		}
		b.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(b.String() + "$")
}

// Method finds the one for a verb and a path; known says whether the path has any method.
func (a *API) Method(verb, path string) (m Method, found, known bool) {
	for _, m := range a.methods {
		if m.pattern.MatchString(path) {
			known = true
			if m.Verb == verb {
				return m, true, true
			}
		}
	}
	return Method{}, false, known
}

// secrets in an address end up in logs.
var secrets = []string{"access_token", "oauth_token", "key"}

// Query judges the parameters of a call. What a method does not have is refused: filter, for one, which no list of queued
// resources has and which would be ignored in silence.
func (a *API) Query(m Method, q url.Values) []Problem {
	var found []Problem
	for _, name := range sorted(q) {
		p, own := m.params[name]
		if own && p.Location != "query" {
			own = false
		}
		if !own {
			var common bool
			if p, common = a.common[name]; !common {
				found = append(found, Problem{name, fmt.Sprintf("Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", name, name)})
				continue
			}
		}
		switch values := q[name]; {
		case slices.Contains(secrets, name):
			found = append(found, Problem{name, "a credential has no place in an address"})
		case len(values) > 1 && !p.Repeated:
			found = append(found, Problem{name, fmt.Sprintf("given %d times", len(values))})
		default:
			for _, v := range values {
				if why := p.judge(v); why != "" {
					found = append(found, Problem{name, why})
				}
			}
		}
	}
	return found
}

func (p param) judge(v string) string {
	switch {
	case p.Type == "boolean" && v != "true" && v != "false":
		return fmt.Sprintf("Invalid value (TYPE_BOOL), %q", v)
	case p.Type == "integer" && !whole(v, 32):
		return fmt.Sprintf("Invalid value (TYPE_INT32), %q", v)
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, v):
		return fmt.Sprintf("Invalid value %q", v)
	}
	return ""
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
