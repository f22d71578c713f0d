package record

import "time"

// Notify is who wants to be told of a run's end. It is its owner's alone: who knows a webhook's URL may write to it.
type Notify struct {
	Schema  int       `json:"schema"`
	Command string    `json:"command,omitempty"` // for sh -c
	Webhook string    `json:"webhook,omitempty"` // URL
	At      time.Time `json:"at"`
}

// Notified is how that went. It is made before anything is sent: a command is run at most once, whatever happens to who runs it.
type Notified struct {
	Schema  int       `json:"schema"`
	Phase   Phase     `json:"phase"`
	Begun   time.Time `json:"begun"`
	Command *Told     `json:"command,omitempty"` // nil: not asked for, or not known how it ended
	Webhook *Told     `json:"webhook,omitempty"`
}

// Told is one notification's end.
type Told struct {
	At     time.Time `json:"at"`
	OK     bool      `json:"ok"`
	Final  bool      `json:"final"` // another try would end the same
	Detail string    `json:"detail,omitempty"`
}

func (d Dir) Notify() string   { return d.path("notify.json") } // 0600
func (d Dir) Notified() string { return d.path("notified.json") }
