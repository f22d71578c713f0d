package tpu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"

	"google.golang.org/api/googleapi"
	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/jobs"
)

// answer is what the API said no with, a google.rpc.Status.
type answer struct {
	http    int
	status  string // google.rpc.Code by name
	message string
	details []detail
}

// detail is the part of google.rpc's error details that is read here.
type detail struct {
	Reason     string            `json:"reason"`   // ErrorInfo
	Metadata   map[string]string `json:"metadata"` // ErrorInfo
	Violations []struct {
		Subject string `json:"subject"`
	} `json:"violations"` // QuotaFailure
	FieldViolations []struct {
		Field       string `json:"field"`
		Description string `json:"description"`
	} `json:"fieldViolations"` // BadRequest
}

// The codes of google.rpc that are told apart here.
const (
	exhausted    = "RESOURCE_EXHAUSTED"
	exists       = "ALREADY_EXISTS"
	notFound     = "NOT_FOUND"
	precondition = "FAILED_PRECONDITION"
	noLogin      = "UNAUTHENTICATED"
	disabled     = "SERVICE_DISABLED" // a reason, not a code
)

func codes() []string {
	return []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", notFound, exists, "PERMISSION_DENIED", exhausted,
		precondition, "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", noLogin,
	}
}

// read is the API's answer in err; ok is false where there was none.
func read(err error) (a answer, ok bool) {
	var e *googleapi.Error
	if !errors.As(err, &e) {
		return answer{}, false
	}
	var body struct {
		Error struct {
			Status  string
			Message string
			Details []detail
		}
	}
	a = answer{http: e.Code, message: e.Message}
	if json.Unmarshal([]byte(e.Body), &body) == nil {
		a.status, a.details = body.Error.Status, body.Error.Details
		if body.Error.Message != "" {
			a.message = body.Error.Message
		}
	}
	for _, item := range e.Errors { // the older form, which names no code
		a.details = append(a.details, detail{Reason: item.Reason})
	}
	if a.status == "" {
		a.status = map[int]string{
			http.StatusTooManyRequests: exhausted, http.StatusConflict: exists, http.StatusNotFound: notFound, http.StatusUnauthorized: noLogin,
		}[e.Code]
	}
	return a, true
}

// ofStatus is the answer in an operation that has ended already, or in a resource that failed. It comes with no HTTP status.
func ofStatus(s *alpha.Status) answer {
	a := answer{message: s.Message}
	if names := codes(); s.Code >= 0 && int(s.Code) < len(names) {
		a.status = names[s.Code]
	}
	for _, raw := range s.Details {
		var d detail
		if json.Unmarshal(raw, &d) == nil {
			a.details = append(a.details, d)
		}
	}
	return a
}

// words are the API's, with its code.
func (a answer) words() string {
	name := a.status
	if name == "" {
		name = fmt.Sprintf("HTTP %d %s", a.http, http.StatusText(a.http))
	}
	message := strings.Join(strings.Fields(a.message), " ")
	for _, d := range a.details {
		for _, v := range d.FieldViolations {
			if !strings.Contains(message, v.Field) {
				message += fmt.Sprintf(" (%s: %s)", v.Field, v.Description)
			}
		}
	}
	if message == "" {
		return name
	}
	return name + ": " + message
}

func (a answer) reason(names ...string) bool {
	for _, d := range a.details {
		for _, name := range names {
			if d.Reason == name {
				return true
			}
		}
	}
	return false
}

// quota reports whether there is no room: in the project's quota, in a reservation, or for so many requests.
func (a answer) quota() bool {
	return a.status == exhausted || a.http == http.StatusTooManyRequests || a.reason("quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded")
}

// passing reports whether the API was at fault, so that it says nothing about the request.
func (a answer) passing() bool {
	switch a.status {
	case "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS":
		return true
	}
	return a.http >= 500 || a.http == http.StatusRequestTimeout
}

var quotaName = regexp.MustCompile(`(?i)quota (?:limit|metric) '?"?([A-Za-z0-9_./-]+[A-Za-z0-9_])`)

// remedy is what may be done about a lack of room, with the quota's name where the API gives it.
func (a answer) remedy() string {
	name := ""
	if m := quotaName.FindStringSubmatch(a.message); m != nil {
		name = m[1]
	}
	for _, d := range a.details {
		for _, key := range []string{"quota_limit", "quota_metric"} {
			if name == "" {
				name = d.Metadata[key]
			}
		}
		for _, v := range d.Violations {
			if name == "" {
				name = v.Subject
			}
		}
	}
	if name == "" {
		return "there is room again when capacity or quota is free; queued resources that FAILED or are SUSPENDED count until they are deleted"
	}
	return "quota " + name + " is used up; queued resources that FAILED or are SUSPENDED count until they are deleted, and more is asked for on the console's page of quotas"
}

// key is the part of a site that the API's words are about, as far as they tell. The order matters: what is more special comes first.
func (a answer) key() string {
	if a.reason(disabled) {
		return "the TPU API is not enabled in site.project: gcloud services enable tpu.googleapis.com"
	}
	words := strings.ToLower(strings.NewReplacer("_", "", " ", "").Replace(a.words()))
	for _, k := range []struct{ word, key string }{
		{"serviceaccount", "service_account"}, {"reservation", "reservation"}, {"runtimeversion", "runtime_version"}, {"softwareversion", "runtime_version"},
		{"topology", "topology"}, {"acceleratorconfig", "accelerator"}, {"acceleratortype", "accelerator_type"}, {"subnet", "subnetwork"},
		{"network", "network"}, {"externalip", "external_ips"}, {"maxrunduration", "max_run_duration"}, {"runduration", "max_run_duration"},
		{"validuntil", "valid_until"}, {"label", "labels"}, {"flexstart", "flex_start"}, {"provisioningmodel", "flex_start"},
		{"guaranteed", "guaranteed"}, {"location", "zone"}, {"zone", "zone"}, {"project", "project"},
	} {
		if strings.Contains(words, k.word) {
			return "see site." + k.key
		}
	}
	return ""
}

// watch is a context whose requests note when one of them has a connection. Without one nothing was sent, whatever the error: no
// address, no answer to the dial, no token. A client that tries several times needs no more: it notes any of them.
func watch(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}), sent
}

// unreached is what an error means for a request that can be repeated at will: a look, or a deletion.
func unreached(err error) error {
	a, answered := read(err)
	switch {
	case !answered:
		return fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	case a.quota(), a.passing(), a.status == noLogin:
		return a.as(jobs.ErrUnavailable)
	}
	return a.as(jobs.ErrRefused)
}

// as is the answer as an error of a kind.
func (a answer) as(kind error) error {
	hint := ""
	switch {
	case a.quota():
		hint = a.remedy()
	case a.status == noLogin:
		hint = "log in with gcloud auth application-default login"
	case errors.Is(kind, jobs.ErrRefused):
		hint = a.key()
	}
	if hint != "" {
		hint = " (" + hint + ")"
	}
	return fmt.Errorf("%w: %s%s", kind, a.words(), hint)
}
