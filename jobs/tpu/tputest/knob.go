package tputest

import (
	"fmt"
	"syscall"
	"time"

	"vtune/jobs/tpu/tputest/machine"
)

// refusal is a resource that shall not be provisioned.
type refusal struct{ id, message string }

// Give adds to the environment of the machines that are made from now on: a gate's address, for one, which needs the tokens of a
// server that is there already.
func (s *Server) Give(env ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Env = append(s.o.Env, env...)
}

// Quota is how many resources may exist, in whatever state; -1: any number.
func (s *Server) Quota(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota = n
}

// Capacity is how many resources may have machines; what is more waits. -1: any number.
func (s *Server) Capacity(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity = n
	s.kick()
}

// FailProvisioning lets a resource fail when its machines are to be made ("": the next one), with this message.
func (s *Server) FailProvisioning(id, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, refusal{id, message})
}

func (s *Server) refused(id string) (string, bool) {
	for i, f := range s.refusals {
		if f.id == "" || f.id == id {
			s.refusals = append(s.refusals[:i:i], s.refusals[i+1:]...)
			return f.message, true
		}
	}
	return "", false
}

// FailDeletions lets the next n deletions of failed and suspended resources come to nothing: their operations end in an error,
// and the resource is what it was.
func (s *Server) FailDeletions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stubborn = n
}

// find returns a resource that exists, by its id.
func (s *Server) find(id string) (*resource, error) {
	r := s.resources[s.Parent()+"/queuedResources/"+id]
	if r == nil {
		return nil, fmt.Errorf("there is no queued resource %s", id)
	}
	return r, nil
}

// State of a resource; "" when it does not exist.
func (s *Server) State(id string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(id)
	if err != nil {
		return ""
	}
	return r.state
}

// Left are the ids of the resources that exist, in whatever state, the oldest first.
func (s *Server) Left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, r := range s.ordered() {
		ids = append(ids, r.id)
	}
	return ids
}

// Machines of a resource that exists, by slice and worker; none before it is provisioned.
func (s *Server) Machines(id string) []*machine.Machine {
	s.mu.Lock()
	r, err := s.find(id)
	s.mu.Unlock()
	if err != nil {
		return nil
	}
	return r.machines()
}

// Expire lets the time be over within which a resource was to be provisioned, if it still waits.
func (s *Server) Expire(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(id)
	if err == nil {
		s.expire(r)
	}
	return err
}

// Preemption says how a resource is taken away.
type Preemption struct {
	// Silent: nobody is told beforehand.
	Silent bool
	// Term: the machine's system shuts down within the notice, as one does that stops all services: all get SIGTERM at once.
	Term bool
}

// Preempt takes an active resource away: its machines are told, and have the notice of the pace; then they are gone, and the
// resource is suspended.
func (s *Server) Preempt(id string, p Preemption) error {
	s.mu.Lock()
	r, err := s.find(id)
	if err == nil && r.state != Active {
		err = fmt.Errorf("queued resource %s is %s, not ACTIVE", id, r.state)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	notice := s.o.Pace.Notice
	if p.Silent {
		notice = 0
	}
	s.suspend(r, notice)
	s.mu.Unlock()
	if p.Silent {
		return nil
	}
	for _, m := range r.machines() {
		m.Notice()
		if p.Term {
			if err := m.Signal(syscall.SIGTERM); err != nil {
				return err
			}
		}
	}
	return nil
}

// Suspend takes a resource away that the user, or Google, has no use for any more, without a notice.
func (s *Server) Suspend(id string) error { return s.Preempt(id, Preemption{Silent: true}) }

// LoseMachine ends one machine of a resource without a word: its processes are dead and its metadata server does not answer when
// it returns. The resource stays ACTIVE; after suspendAfter it is suspended, 0: it never is.
func (s *Server) LoseMachine(id string, host int, suspendAfter time.Duration) error {
	m, err := s.host(id, host)
	if err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	if suspendAfter == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(id)
	if err == nil {
		s.after(r, suspendAfter, func() { s.suspend(r, 0) })
	}
	return err
}

// Reboot kills everything on one machine of a resource and starts its startup script again; its disk stays.
func (s *Server) Reboot(id string, host int) error {
	m, err := s.host(id, host)
	if err != nil {
		return err
	}
	return m.Reboot()
}

func (s *Server) host(id string, host int) (*machine.Machine, error) {
	all := s.Machines(id)
	if host < 0 || host >= len(all) {
		return nil, fmt.Errorf("queued resource %s has %d machines, no number %d", id, len(all), host)
	}
	return all[host], nil
}
