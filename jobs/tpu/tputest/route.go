package tputest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"vtune/jobs/tpu/tputest/schema"
	"vtune/jobs/tpu/tputest/token"
)

// failure is an error answer in the form of google.rpc.
type failure struct {
	code    int // HTTP
	status  string
	message string
	details []any
}

func (f *failure) write(w http.ResponseWriter) {
	inner := map[string]any{"code": f.code, "message": f.message, "status": f.status}
	if len(f.details) > 0 {
		inner["details"] = f.details
	}
	writeJSON(w, f.code, map[string]any{"error": inner})
}

func invalid(problems []schema.Problem) *failure {
	var lines []string
	var fields []any
	for _, p := range problems {
		lines = append(lines, p.String())
		fields = append(fields, map[string]string{"field": p.Field, "description": p.Description})
	}
	return &failure{http.StatusBadRequest, "INVALID_ARGUMENT", strings.Join(lines, "\n"), []any{map[string]any{
		"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields,
	}}}
}

func precondition(format string, args ...any) *failure {
	return &failure{http.StatusBadRequest, "FAILED_PRECONDITION", fmt.Sprintf(format, args...), nil}
}

func notFound(name string) *failure {
	return &failure{http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("Resource '%s' was not found", name), nil}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no error here
}

// call is a request that is known to be one of the API's.
type call struct {
	api    *schema.API
	method schema.Method
	name   string // the path behind the version
	query  url.Values
	body   []byte
}

// route answers a request to the API.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	answer, failed := s.answer(r)
	if failed != nil {
		if failed.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
		}
		failed.write(w)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Server) answer(r *http.Request) (any, *failure) {
	version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	api := s.apis[version]
	if api == nil {
		return nil, &failure{http.StatusNotFound, "NOT_FOUND", "there is no version " + version, nil}
	}
	m, found, known := api.Method(r.Method, r.URL.Path)
	switch {
	case !known:
		return nil, &failure{http.StatusNotFound, "NOT_FOUND", "no method has the path " + r.URL.Path, nil}
	case !found:
		return nil, &failure{http.StatusMethodNotAllowed, "UNIMPLEMENTED", "no method has the path " + r.URL.Path + " for " + r.Method, nil}
	}
	if f := s.authorize(r); f != nil {
		return nil, f
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid([]schema.Problem{{Description: err.Error()}})
	}
	if problems := api.Query(m, query); len(problems) > 0 {
		return nil, invalid(problems)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, invalid([]schema.Problem{{Description: err.Error()}})
	}
	if m.Request == "" && body.Len() > 0 {
		return nil, invalid([]schema.Problem{{Description: "Request must not have a body"}})
	}
	if m.Request != "" && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return nil, invalid([]schema.Problem{{Description: fmt.Sprintf("Content-Type %q is not application/json", r.Header.Get("Content-Type"))}})
	}
	return s.dispatch(call{api, m, name, query, body.Bytes()})
}

// authorize wants a token of this server's, in the header and with the scope that the API asks for.
func (s *Server) authorize(r *http.Request) *failure {
	bearer, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	known, allowed := s.tokens.Check(bearer, token.ScopeCloud)
	switch {
	case !is || !known:
		return &failure{http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token.", nil}
	case !allowed:
		return &failure{http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.", []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com",
		}}}
	}
	return nil
}

func (s *Server) dispatch(c call) (any, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(c.name, "/")
	if parts[1] != s.o.Project {
		return nil, &failure{http.StatusForbidden, "PERMISSION_DENIED", fmt.Sprintf("Permission denied on resource project %s.", parts[1]), nil}
	}
	if len(parts) > 3 && parts[3] != s.o.Zone {
		return nil, notFound(strings.Join(parts[:4], "/"))
	}
	switch _, method, _ := strings.Cut(c.method.ID, "locations."); method {
	case "queuedResources.create":
		return s.create(c)
	case "queuedResources.get":
		if r := s.resources[c.name]; r != nil {
			return c.api.Known("QueuedResource", s.render(r)), nil
		}
		return nil, notFound(c.name)
	case "queuedResources.list":
		var all []any
		for _, r := range s.ordered() {
			all = append(all, c.api.Known("QueuedResource", s.render(r)))
		}
		return page(c, "queuedResources", all)
	case "queuedResources.delete":
		return s.delete(c)
	case "operations.get":
		if op := s.ops[c.name]; op != nil {
			return op.render(), nil
		}
		return nil, notFound(c.name)
	case "get":
		return s.location(), nil
	case "list":
		return page(c, "locations", []any{s.location()})
	case "acceleratorTypes.list", "runtimeVersions.list":
		kind := parts[4]
		return page(c, kind, s.things(kind))
	case "acceleratorTypes.get", "runtimeVersions.get":
		for _, thing := range s.things(parts[4]) {
			if thing.(map[string]any)["name"] == c.name {
				return thing, nil
			}
		}
		return nil, notFound(c.name)
	}
	return nil, &failure{http.StatusNotImplemented, "UNIMPLEMENTED", "this fake does not know " + c.method.ID, nil}
}

func (s *Server) location() map[string]any {
	return map[string]any{"name": s.Parent(), "locationId": s.o.Zone}
}

func (s *Server) things(kind string) []any {
	var all []any
	if kind == "runtimeVersions" {
		for _, v := range runtimes {
			all = append(all, map[string]any{"name": s.Parent() + "/runtimeVersions/" + v, "version": v})
		}
		return all
	}
	for _, a := range catalog {
		all = append(all, map[string]any{"name": s.Parent() + "/acceleratorTypes/" + a.name, "type": a.name, "acceleratorConfigs": []any{map[string]any{"type": a.kind, "topology": a.topology}}})
	}
	return all
}

// ordered are the resources, the oldest first.
func (s *Server) ordered() []*resource {
	var all []*resource
	for _, r := range s.resources {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *resource) int { return a.number - b.number })
	return all
}

// pageMost is a page's size where none is asked for, and the largest there is.
const pageMost = 100

// page cuts what the request asks for out of a list. A token is good for the list that it came from.
func page(c call, field string, all []any) (any, *failure) {
	size, from := pageMost, 0
	if v := c.query.Get("pageSize"); v != "" {
		n, _ := strconv.Atoi(v) // the schema has passed it
		if n < 0 {
			return nil, invalid([]schema.Problem{{Field: "pageSize", Description: "must not be negative"}})
		}
		if n > 0 {
			size = min(n, pageMost)
		}
	}
	const mark = "fake-page-"
	if v := c.query.Get("pageToken"); v != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(v, mark+field+"-"))
		if err != nil || n < 0 {
			return nil, invalid([]schema.Problem{{Field: "pageToken", Description: fmt.Sprintf("%q is none of this list", v)}})
		}
		from = min(n, len(all))
	}
	out := map[string]any{}
	end := min(from+size, len(all))
	if end > from {
		out[field] = all[from:end]
	}
	if end < len(all) {
		out["nextPageToken"] = fmt.Sprintf("%s%s-%d", mark, field, end)
	}
	return out, nil
}

// again finds the operation of an earlier request with the same requestId; a different request under the same id is an error.
func (s *Server) again(c call, what string) (*operation, *failure) {
	id := c.query.Get("requestId")
	if id == "" {
		return nil, nil
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed == uuid.Nil || parsed.String() != id {
		return nil, invalid([]schema.Problem{{Field: "requestId", Description: fmt.Sprintf("%q is no UUID", id)}})
	}
	before, is := s.requests[id]
	if is && before.what != what {
		return nil, invalid([]schema.Problem{{Field: "requestId", Description: id + " was used for a different request"}})
	}
	return before.op, nil
}

func (s *Server) remember(c call, what string, op *operation) {
	if id := c.query.Get("requestId"); id != "" {
		s.requests[id] = recorded{what, op}
	}
}

func (s *Server) create(c call) (any, *failure) {
	id := c.query.Get("queuedResourceId")
	body, problems := c.api.Body(c.method.Request, c.body)
	if len(problems) == 0 {
		problems = c.api.Create(s.Parent(), id, body, zone(), time.Now())
	}
	if len(problems) > 0 {
		return nil, invalid(problems)
	}
	policy, _ := body["queueingPolicy"].(map[string]any)
	interval, _ := policy["validInterval"].(map[string]any)
	if policy["validAfterTime"] != nil || policy["validAfterDuration"] != nil || interval["startTime"] != nil {
		return nil, &failure{http.StatusNotImplemented, "UNIMPLEMENTED", "this fake does not put off what is to begin later", nil}
	}
	canonical, err := json.Marshal(body)
	if err != nil {
		return nil, invalid([]schema.Problem{{Description: err.Error()}})
	}
	what := "create " + c.api.Version + " " + id + " " + string(canonical)
	if op, failed := s.again(c, what); failed != nil {
		return nil, failed
	} else if op != nil {
		return op.render(), nil
	}
	name := s.Parent() + "/queuedResources/" + id
	if s.resources[name] != nil {
		return nil, &failure{http.StatusConflict, "ALREADY_EXISTS", fmt.Sprintf("Resource '%s' already exists", name), nil}
	}
	if f := s.taken(body, id); f != nil {
		return nil, f
	}
	if f := s.overQuota(body); f != nil {
		return nil, f
	}
	s.made++
	r := &resource{id: id, name: name, number: s.made, body: body, created: time.Now()}
	s.resources[name] = r
	op := s.operate(c.api.Version, "create", name)
	s.remember(c, what, op)
	s.begin(r, op)
	return op.render(), nil
}

// taken refuses a node whose name another one has.
func (s *Server) taken(body map[string]any, id string) *failure {
	wanted := nodeIDs(id, (&resource{body: body}).spec())
	for _, r := range s.ordered() {
		for _, node := range nodeIDs(r.id, r.spec()) {
			if slices.Contains(wanted, node) && r.state != Failed && r.state != Suspended {
				return &failure{http.StatusConflict, "ALREADY_EXISTS", fmt.Sprintf("Resource '%s/nodes/%s' already exists", s.Parent(), node), nil}
			}
		}
	}
	return nil
}

// overQuota counts every resource that exists: the inactive ones eat quota too, until somebody deletes them.
func (s *Server) overQuota(body map[string]any) *failure {
	if s.quota < 0 || len(s.resources) < s.quota {
		return nil
	}
	kind, _, _ := strings.Cut(shape((&resource{body: body}).spec()["node"].(map[string]any)).kind, "_")
	limit := "TPU" + kind
	if body["spot"] != nil {
		limit += "Preemptible"
	}
	limit += "PerProjectPerZoneForTPUAPI"
	return &failure{http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", fmt.Sprintf("Quota limit '%s' has been exceeded. Limit: %d in zone %s.", limit, s.quota, s.o.Zone), []any{map[string]any{
		"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []any{map[string]any{"subject": "projects/" + s.o.Project, "description": "Quota limit '" + limit + "' has been exceeded."}},
	}}}
}

// delete goes by the documentation: without force, only what has no nodes and is not about to have them. That a resource which
// is being suspended cannot be deleted is what users report.
func (s *Server) delete(c call) (any, *failure) {
	force := c.query.Get("force") == "true"
	what := fmt.Sprintf("delete %s %v", c.name, force)
	if op, failed := s.again(c, what); failed != nil {
		return nil, failed
	} else if op != nil {
		return op.render(), nil
	}
	r := s.resources[c.name]
	if r == nil {
		return nil, notFound(c.name)
	}
	switch {
	case r.state == Deleting:
		return r.deletion.render(), nil
	case r.state == Suspending:
		return nil, precondition("Queued resource %s is in state SUSPENDING and cannot be deleted now", r.id)
	case !force && r.state != Accepted && r.state != Failed && r.state != Suspended:
		return nil, precondition("Queued resource %s is in state %s: only ACCEPTED, FAILED and SUSPENDED ones can be deleted without force", r.id, r.state)
	}
	op := s.operate(c.api.Version, "delete", c.name)
	s.remember(c, what, op)
	before, cause := r.state, r.cause
	r.deletion = op
	s.enter(r, Deleting)
	r.by = "USER"
	if s.stubborn > 0 && (before == Failed || before == Suspended) {
		s.stubborn--
		s.after(r, s.o.Pace.Deleting, func() {
			s.enter(r, before)
			r.cause = cause
			op.finish(nil, &status{Code: 13, Message: "an internal error has occurred"})
		})
		return op.render(), nil
	}
	s.dismantleLater(r, func() {
		s.after(r, s.o.Pace.Deleting, func() {
			r.epoch++
			delete(s.resources, r.name)
			op.finish(nil, nil)
			s.kick()
		})
	})
	return op.render(), nil
}
