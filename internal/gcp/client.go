// Package gcp is the way to Google's APIs: credentials as Google's own tools find them (Application Default Credentials), and an
// HTTP client that repeats what may be repeated.
//
// The order of its layers matters. Outermost is go-retryablehttp with a policy of ours, because its own would send a POST again
// that may have been carried out, waits as long as a server says, and drops the last answer. Within it is the token, so that each
// try has one that is still good. No timeout covers all tries of a request: that is what contexts are for.
package gcp

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Scope is what everything of ours asks for; what an account may really do is decided by its roles.
const Scope = "https://www.googleapis.com/auth/cloud-platform"

// Options of a Client. The zero value is the usual one.
type Options struct {
	// Env looks a variable up; nil: os.LookupEnv. GCE_METADATA_HOST alone is read by Google's own library, from the process's
	// environment.
	Env func(string) (string, bool)
	// Anonymous requests carry no credentials: for emulators.
	Anonymous bool
	// RetryMax is how often a request is repeated; 0: 5 times, below 0: never.
	RetryMax         int
	WaitMin, WaitMax time.Duration // before the first repetition, and at most before a later one; 0: 250 ms, 20 s
	// Base carries the requests; nil: Transport().
	Base http.RoundTripper
	// OnRetry is told, in words without secrets, why a request is repeated and after what time.
	OnRetry func(string)
}

// RetryAfterMax is the longest pause that a server may ask for. One that wants longer is refused: its answer goes to the caller.
const RetryAfterMax = time.Minute

// Client is authorised for the scopes (none: Scope) and repeats requests by this policy:
//
//   - GET, HEAD and DELETE, and a POST with a requestId in its query, are repeated after transport errors, 408 and 5xx. That id makes
//     a POST idempotent; the caller has written it down before the first try.
//   - A 429 is repeated only where Retry-After says when, and soon: without it, it is a quota and no matter of seconds.
//   - A 401 is repeated once, with a fresh token, whatever the method: nothing was carried out.
//   - Anything else, and the last answer when the tries are used up, goes to the caller as it came.
//
// Without credentials the error has a hint for the person who reads it. Redirects are not followed: a token must not go where a
// server points.
func Client(ctx context.Context, o Options, scopes ...string) (*http.Client, error) {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Base == nil {
		o.Base = Transport()
	}
	o.Base = patient{o.Base, silence}
	tries := o.Base
	if !o.Anonymous {
		if len(scopes) == 0 {
			scopes = []string{Scope}
		}
		// Tokens are renewed long after this call.
		a, err := newAuthorised(context.WithoutCancel(ctx), o, scopes)
		if err != nil {
			return nil, err
		}
		tries = a
	}
	return &http.Client{Transport: newRepeating(o, tries), CheckRedirect: noRedirect}, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Transport is one HTTP transport as Client has it: bounds on each step to an answer's headers, none on its body, which may be
// large. A peer that vanishes is noticed by pings.
func Transport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: time.Minute},
	}
}

// repeating sends what may be repeated through go-retryablehttp, and the rest past it: that would read any body into memory first.
type repeating struct {
	once     http.RoundTripper
	retrying *retryablehttp.RoundTripper
}

func newRepeating(o Options, once http.RoundTripper) *repeating {
	switch {
	case o.RetryMax == 0:
		o.RetryMax = 5
	case o.RetryMax < 0:
		o.RetryMax = 0
	}
	if o.WaitMin == 0 {
		o.WaitMin = 250 * time.Millisecond
	}
	if o.WaitMax == 0 {
		o.WaitMax = 20 * time.Second
	}
	c := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: once, CheckRedirect: noRedirect},
		Logger:       nil, // it writes to stderr otherwise
		RetryWaitMin: o.WaitMin, RetryWaitMax: o.WaitMax, RetryMax: o.RetryMax,
		CheckRetry: check, Backoff: backoff, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	if o.OnRetry != nil {
		c.RequestLogHook = func(_ retryablehttp.Logger, req *http.Request, try int) {
			if try > 0 {
				o.OnRetry(again(req, try, o.RetryMax))
			}
		}
	}
	return &repeating{once, &retryablehttp.RoundTripper{Client: c}}
}

func (r *repeating) RoundTrip(req *http.Request) (*http.Response, error) {
	if !repeatable(req) {
		return r.once.RoundTrip(req)
	}
	return r.retrying.RoundTrip(req.WithContext(context.WithValue(req.Context(), causeKey{}, &cause{})))
}

func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return true
	case http.MethodPost:
		return req.URL.Query().Get("requestId") != ""
	}
	return false
}
