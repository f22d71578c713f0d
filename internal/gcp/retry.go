package gcp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// cause is why a request is about to be repeated; go-retryablehttp decides in one function and tells in another.
type cause struct{ why string }

type causeKey struct{}

func check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	again, why := judge(resp, err)
	// A context that is over is the caller's own end; the error that came of it says as much.
	if !again || ctx.Err() != nil {
		return false, nil
	}
	if c, ok := ctx.Value(causeKey{}).(*cause); ok {
		c.why = why
	}
	return true, nil
}

// judge says whether an answer, or its absence, is worth another try.
func judge(resp *http.Response, err error) (again bool, why string) {
	if err != nil {
		var refused *CredentialsError
		if errors.As(err, &refused) {
			return false, ""
		}
		return true, bare(err).Error()
	}
	switch {
	case resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
		return true, resp.Status
	case resp.StatusCode == http.StatusTooManyRequests:
		wait, said := retryAfter(resp)
		return said && wait <= RetryAfterMax, resp.Status
	}
	return false, ""
}

// bare is err without the URL that net/http puts before it: the session of an upload is a secret, and stands in its URL.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func again(req *http.Request, try, most int) string {
	why := "no answer"
	if c, ok := req.Context().Value(causeKey{}).(*cause); ok && c.why != "" {
		why = c.why
	}
	return fmt.Sprintf("%s %s%s: %s; asked again (%d of %d)", req.Method, req.URL.Host, req.URL.Path, why, try, most)
}

// backoff doubles from least to most, less up to a half by chance: machines that failed together shall not come back together. What
// a server asks for is honoured up to RetryAfterMax, and not shortened.
func backoff(least, most time.Duration, try int, resp *http.Response) time.Duration {
	wait := most
	if try < 30 && least<<try > 0 {
		wait = min(most, least<<try)
	}
	wait -= time.Duration(rand.Int64N(int64(wait)/2 + 1))
	if resp != nil {
		if asked, said := retryAfter(resp); said {
			wait = max(wait, min(asked, RetryAfterMax))
		}
	}
	return wait
}

// retryAfter is the pause that an answer asks for, in s or until a moment; that moment is taken by the server's own clock.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	said := resp.Header.Get("Retry-After")
	if s, err := strconv.ParseUint(said, 10, 31); err == nil {
		return time.Duration(s) * time.Second, true
	}
	until, err := http.ParseTime(said)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return max(0, until.Sub(now)), true
}
