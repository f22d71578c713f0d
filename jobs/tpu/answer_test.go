package tpu

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"vtune/jobs"
)

func TestEachAnswerToARequestIsOfItsKind(t *testing.T) {
	status := func(code int, status, message, details string) (int, string) {
		return code, fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":%q,"details":[%s]}}`, code, status, message, details)
	}
	type answer = func() (int, string)
	for what, c := range map[string]struct {
		answer answer
		kind   error
		says   string
	}{
		"quota": {func() (int, string) {
			return status(429, "RESOURCE_EXHAUSTED", "Quota limit 'TPUV6EPreemptiblePerProjectPerRegionForTPUAPI' has been exceeded. Limit: 64 in region us-east5.", "")
		}, jobs.ErrBackpressure, "quota TPUV6EPreemptiblePerProjectPerRegionForTPUAPI is used up"},
		"quota in the details": {func() (int, string) {
			return status(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","metadata":{"quota_limit":"CreatesPerMinute"}}`)
		}, jobs.ErrBackpressure, "quota CreatesPerMinute is used up"},
		"capacity": {func() (int, string) {
			return status(429, "RESOURCE_EXHAUSTED", "There is no more capacity in the zone.", "")
		}, jobs.ErrBackpressure, "there is room again when"},
		"a bare 429": {func() (int, string) { return 429, "slow down" }, jobs.ErrBackpressure, "RESOURCE_EXHAUSTED"},
		"quota by the older form": {func() (int, string) {
			return 403, `{"error":{"code":403,"message":"Too much.","errors":[{"reason":"quotaExceeded","message":"Too much."}]}}`
		}, jobs.ErrBackpressure, "Too much."},
		"bad type": {func() (int, string) {
			return status(400, "INVALID_ARGUMENT", "Invalid request.", `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"queued_resource.tpu.node_spec[0].node.accelerator_type","description":"there is no v9"}]}`)
		}, jobs.ErrRefused, "there is no v9) (see site.accelerator_type)"},
		"bad runtime": {func() (int, string) { return status(400, "INVALID_ARGUMENT", "Unknown runtime version x", "") }, jobs.ErrRefused, "see site.runtime_version"},
		"bad reservation": {func() (int, string) {
			return status(400, "INVALID_ARGUMENT", "Reservation projects/p/locations/z/reservations/r not found", "")
		}, jobs.ErrRefused, "see site.reservation"},
		"no zone": {func() (int, string) { return status(404, "NOT_FOUND", "Location us-nowhere1-a is not found.", "") }, jobs.ErrRefused, "see site.zone"},
		"no project": {func() (int, string) {
			return status(403, "PERMISSION_DENIED", "Permission denied on resource project x.", "")
		}, jobs.ErrRefused, "see site.project"},
		"no account": {func() (int, string) {
			return status(403, "PERMISSION_DENIED", "The caller may not act as service account a@b.", "")
		}, jobs.ErrRefused, "see site.service_account"},
		"not enabled": {func() (int, string) {
			return status(403, "PERMISSION_DENIED", "Cloud TPU API has not been used in project 1 before.", `{"reason":"SERVICE_DISABLED"}`)
		}, jobs.ErrRefused, "gcloud services enable"},
		"precondition": {func() (int, string) { return status(400, "FAILED_PRECONDITION", "not now", "") }, jobs.ErrRefused, "FAILED_PRECONDITION: not now"},
		"no login":     {func() (int, string) { return 401, "" }, jobs.ErrUnavailable, "application-default login"},
		"500":          {func() (int, string) { return status(500, "INTERNAL", "oops", "") }, jobs.ErrAmbiguous, "INTERNAL: oops"},
		"a proxy's":    {func() (int, string) { return 502, "<html>" }, jobs.ErrAmbiguous, "HTTP 502 Bad Gateway"},
		"503":          {func() (int, string) { return 503, "" }, jobs.ErrAmbiguous, "503"},
		"408":          {func() (int, string) { return 408, "" }, jobs.ErrAmbiguous, "408"},
		"aborted":      {func() (int, string) { return status(409, "ABORTED", "try again", "") }, jobs.ErrAmbiguous, "ABORTED"},
		"code 8 in the operation": {func() (int, string) {
			return 200, `{"name":"o","done":true,"error":{"code":8,"message":"Insufficient reserved capacity"}}`
		}, jobs.ErrBackpressure, "Insufficient reserved capacity"},
		"code 3 in the operation": {func() (int, string) {
			return 200, `{"name":"o","done":true,"error":{"code":3,"message":"bad reservation for request queue"}}`
		}, jobs.ErrRefused, "see site.reservation"},
		"code 14 in the operation": {func() (int, string) {
			return 200, `{"name":"o","done":true,"error":{"code":14,"message":"away"}}`
		}, jobs.ErrAmbiguous, "UNAVAILABLE"},
		"half an answer":      {func() (int, string) { return 200, `{"name":"o` }, jobs.ErrAmbiguous, ""},
		"409 of what is gone": {func() (int, string) { return status(409, "ALREADY_EXISTS", "exists", "") }, jobs.ErrAmbiguous, "a look at it failed"},
	} {
		for _, version := range []string{"v2", "v2alpha1"} {
			site := v6e()
			site.API = version
			z := &zone{refuse: func(method string) (int, string) {
				if method != "POST" {
					return 0, ""
				}
				return c.answer()
			}}
			s := scheduler(t, site, z.ServeHTTP)
			_, err := s.Submit(t.Context(), unit(t, s, "machine-1"))
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, %s: %v; want %v with %q", what, version, err, c.kind, c.says)
			}
			for _, other := range []error{jobs.ErrRefused, jobs.ErrBackpressure, jobs.ErrUnavailable, jobs.ErrAmbiguous} {
				if other != c.kind && errors.Is(err, other) {
					t.Errorf("%s, %s: %v is %v too", what, version, err, other)
				}
			}
		}
	}
}
