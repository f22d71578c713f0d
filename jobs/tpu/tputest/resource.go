package tputest

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"vtune/jobs/tpu/tputest/machine"
	"vtune/jobs/tpu/tputest/token"
)

// State of a queued resource, as the API names it.
type State string

const (
	Creating     State = "CREATING"
	Accepted     State = "ACCEPTED"
	Waiting      State = "WAITING_FOR_RESOURCES"
	Provisioning State = "PROVISIONING"
	Active       State = "ACTIVE"
	Suspending   State = "SUSPENDING"
	Suspended    State = "SUSPENDED"
	Failed       State = "FAILED"
	Deleting     State = "DELETING"
)

// data is the field beside the state that says more of it.
var data = map[State]string{
	Creating: "creatingData", Accepted: "acceptedData", Provisioning: "provisioningData", Active: "activeData",
	Suspending: "suspendingData", Suspended: "suspendedData", Failed: "failedData", Deleting: "deletingData",
}

// resource is a queued resource. All but its hands is guarded by the server.
type resource struct {
	id, name string
	number   int // in the order of creation
	body     map[string]any
	created  time.Time
	state    State
	by       string // stateInitiator
	cause    *status
	epoch    int // a timer that was set in an earlier one acts no more
	deletion *operation

	hands sync.Mutex // held while machines are made and unmade
	gone  bool       // its machines shall not be made any more
	hosts []*machine.Machine
}

// machines of the resource, by node and worker.
func (r *resource) machines() []*machine.Machine {
	r.hands.Lock()
	defer r.hands.Unlock()
	return append([]*machine.Machine(nil), r.hosts...)
}

// enter puts a resource into a state. The server is locked.
func (s *Server) enter(r *resource, to State) {
	r.state, r.by = to, "SERVICE"
	r.epoch++
}

// after does something with the resource later, unless its state was changed meanwhile.
func (s *Server) after(r *resource, d time.Duration, do func()) {
	epoch := r.epoch
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.epoch == epoch && !s.closed {
			do()
		}
	})
}

// begin is the way of a new resource into the queue.
func (s *Server) begin(r *resource, created *operation) {
	s.enter(r, Creating)
	s.after(r, s.o.Pace.Creating, func() {
		s.enter(r, Accepted)
		created.finish(s.render(r), nil)
		s.limit(r)
		s.after(r, s.o.Pace.Accepted, func() {
			s.enter(r, Waiting)
			s.after(r, s.o.Pace.Waiting, func() { s.tryProvision(r) })
		})
	})
}

// limit fails the resource if it still waits when its time is over.
func (s *Server) limit(r *resource) {
	policy, _ := r.body["queueingPolicy"].(map[string]any)
	until, limited := time.Duration(0), false
	interval, _ := policy["validInterval"].(map[string]any)
	for _, at := range []any{policy["validUntilTime"], interval["endTime"]} {
		if end, err := time.Parse(time.RFC3339Nano, str(at)); err == nil {
			until, limited = time.Until(end), true
		}
	}
	if d, err := time.ParseDuration(str(policy["validUntilDuration"])); err == nil {
		until, limited = s.scaled(d), true
	}
	if !limited {
		return
	}
	time.AfterFunc(until, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.expire(r)
	})
}

func (s *Server) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(s.o.Second) / float64(time.Second))
}

func (s *Server) expire(r *resource) {
	if s.resources[r.name] != r || s.closed || r.state != Accepted && r.state != Waiting {
		return
	}
	s.fail(r, &status{Code: 4, Message: fmt.Sprintf("Queued resource %s could not be provisioned before its valid-until time.", r.id)})
}

func (s *Server) fail(r *resource, cause *status) {
	s.enter(r, Failed)
	r.cause = cause
	s.dismantleLater(r, func() {})
	s.kick()
}

// holds says whether a resource has machines, or will have them soon.
func (r *resource) holds() bool {
	return r.state == Provisioning || r.state == Active || r.state == Suspending
}

// kick lets go on what waits for capacity, the oldest first.
func (s *Server) kick() {
	for _, r := range s.ordered() {
		if r.state == Waiting {
			s.after(r, 0, func() { s.tryProvision(r) })
		}
	}
}

// tryProvision gives a resource its place if there is one, and none older still wants it.
func (s *Server) tryProvision(r *resource) {
	held := 0
	for _, other := range s.resources {
		pending := other.state == Creating || other.state == Accepted || other.state == Waiting
		if other.holds() || pending && other.number < r.number {
			held++
		}
	}
	if s.capacity >= 0 && held >= s.capacity {
		return // until kick
	}
	s.enter(r, Provisioning)
	if why, refused := s.refused(r.id); refused {
		s.after(r, s.o.Pace.Provisioning, func() { s.fail(r, &status{Code: 8, Message: why}) })
		return
	}
	s.after(r, s.o.Pace.Provisioning, func() { s.boot(r) })
}

// boot makes the machines and starts them, while the server goes on.
func (s *Server) boot(r *resource) {
	epoch := r.epoch
	s.hands.Go(func() {
		err := s.build(r)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.epoch != epoch || s.closed:
		case err != nil:
			s.fail(r, &status{Code: 13, Message: err.Error()})
		default:
			s.after(r, s.o.Pace.Boot, func() { s.activate(r) })
		}
	})
}

func (s *Server) activate(r *resource) {
	s.enter(r, Active)
	run, _ := r.body["runDuration"].(map[string]any)
	life, err := time.ParseDuration(str(run["maxRunDuration"]))
	if end, timed := time.Parse(time.RFC3339Nano, str(run["terminationTime"])); timed == nil {
		life, err = time.Until(end), nil
	} else {
		life = s.scaled(life)
	}
	if err == nil {
		s.after(r, life, func() { s.suspend(r, 0) })
	}
}

// suspend takes the machines away: after a notice, if there is one.
func (s *Server) suspend(r *resource, notice time.Duration) {
	s.enter(r, Suspending)
	s.after(r, notice, func() {
		s.dismantleLater(r, func() {
			s.after(r, s.o.Pace.Suspending, func() {
				s.enter(r, Suspended)
				s.kick()
			})
		})
	})
}

// dismantleLater ends the machines in the background, and then does something, unless the state has changed.
func (s *Server) dismantleLater(r *resource, then func()) {
	epoch := r.epoch
	s.hands.Go(func() {
		err := r.dismantle()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.failures = append(s.failures, err)
		}
		if r.epoch == epoch && !s.closed {
			then()
		}
	})
}

func (r *resource) dismantle() error {
	r.hands.Lock()
	defer r.hands.Unlock()
	r.gone = true
	var err error
	for _, m := range r.hosts {
		err = errors.Join(err, m.Close())
	}
	return err
}

// build makes the machines of all nodes and boots them.
func (s *Server) build(r *resource) error {
	r.hands.Lock()
	defer r.hands.Unlock()
	if r.gone {
		return errors.New("the resource is being deleted")
	}
	s.mu.Lock()
	env := slices.Clone(s.o.Env)
	s.mu.Unlock()
	spec := r.spec()
	node, _ := spec["node"].(map[string]any)
	shape := shape(node)
	ids := nodeIDs(r.id, spec)
	for i, id := range ids {
		var endpoints []string
		for w := range shape.hosts {
			endpoints = append(endpoints, fmt.Sprintf("127.0.%d.%d", i, w+1))
		}
		for w := range shape.hosts {
			c := machine.Config{
				Dir: filepath.Join(s.o.Dir, fmt.Sprintf("%s-%d-%s-w-%d", r.id, r.number, id, w)), Mark: fmt.Sprintf("%s-%d-%s-%d", s.mark, r.number, id, w),
				Project: s.o.Project, Zone: s.o.Zone, Node: id, Worker: w, Endpoints: endpoints, Type: shape.name, Preemptible: r.body["spot"] != nil,
				Metadata: map[string]string{}, ServiceAccount: token.Account, Scopes: []string{token.ScopeCloud, token.ScopeStorage}, Token: s.tokens.Issue,
				Env: env, Path: s.o.Path, Minute: 60 * s.o.Second,
			}
			if len(ids) > 1 {
				c.Slice = strconv.Itoa(i)
			}
			metadata, _ := node["metadata"].(map[string]any)
			for key, value := range metadata {
				c.Metadata[key] = str(value)
			}
			identity, _ := node["serviceAccount"].(map[string]any)
			if email := str(identity["email"]); email != "" {
				c.ServiceAccount = email
			}
			if scopes, _ := identity["scope"].([]any); len(scopes) > 0 {
				c.Scopes = nil
				for _, scope := range scopes {
					c.Scopes = append(c.Scopes, str(scope))
				}
			}
			m, err := machine.New(c)
			if err != nil {
				return err
			}
			r.hosts = append(r.hosts, m)
		}
	}
	for _, m := range r.hosts {
		if err := m.Boot(); err != nil {
			return err
		}
	}
	return nil
}

func (r *resource) spec() map[string]any {
	tpu, _ := r.body["tpu"].(map[string]any)
	specs, _ := tpu["nodeSpec"].([]any)
	spec, _ := specs[0].(map[string]any) // the rules want exactly one
	return spec
}

// nodeIDs are the names of the nodes that a spec asks for.
func nodeIDs(id string, spec map[string]any) []string {
	if one := str(spec["nodeId"]); one != "" {
		return []string{one}
	}
	many, _ := spec["multisliceParams"].(map[string]any)
	if many == nil {
		many, _ = spec["multiNodeParams"].(map[string]any)
	}
	prefix := str(many["nodeIdPrefix"])
	if prefix == "" {
		prefix = id
	}
	count, _ := strconv.Atoi(fmt.Sprint(many["nodeCount"])) // the schema has passed it
	var ids []string
	for i := range count {
		ids = append(ids, fmt.Sprintf("%s-%d", prefix, i))
	}
	return ids
}

// render is the resource as the API shows it, in all versions' fields.
func (s *Server) render(r *resource) map[string]any {
	out := maps.Clone(r.body)
	out["name"], out["createTime"] = r.name, stamp(r.created)
	state := map[string]any{"state": string(r.state), "stateInitiator": r.by}
	if name := data[r.state]; name != "" {
		detail := map[string]any{}
		if r.state == Failed {
			detail["error"] = r.cause
		}
		state[name] = detail
	}
	out["state"] = state
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func str(v any) string {
	s, _ := v.(string)
	return s
}
