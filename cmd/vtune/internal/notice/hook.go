package notice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// hook is how a webhook is told: at most Most times again, after pauses that double from Pause to Longest.
type hook struct {
	Pause, Longest time.Duration
	Most           int
	Say            io.Writer
}

// patience with one try.
const patience = 15 * time.Second

// refusedError is an answer that another try would get again.
type refusedError struct{ status string }

func (e *refusedError) Error() string { return "it answered " + e.status }

// post sends the news. Answers of 5xx, 408 and 429, and none at all, are worth another try; any other but 2xx is final. All tries bear the
// run's id as their key, so that who receives two knows them for one.
func (h hook) post(ctx context.Context, to string, n News) error {
	data, err := body(n)
	if err != nil {
		return err
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, to, data)
	if err != nil {
		return errors.New("it is no URL") // the error would repeat it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", n.Run)
	req.Header.Set("User-Agent", "vtune")
	c := retryablehttp.NewClient()
	c.Logger, c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = nil, h.Most, h.Pause, h.Longest
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.HTTPClient = &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		return ctx.Err() == nil && passing(resp, err), nil
	}
	c.Backoff = backoff
	c.RequestLogHook = func(_ retryablehttp.Logger, _ *http.Request, try int) {
		if try > 0 {
			fmt.Fprintf(h.Say, "the webhook at %s is told again (%d of %d)\n", redacted(to), try, h.Most)
		}
	}
	resp, err := c.Do(req)
	if err != nil {
		return bare(err)
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case passing(resp, nil):
		return fmt.Errorf("it answered %s, %d times", resp.Status, h.Most+1)
	}
	return &refusedError{resp.Status}
}

// passing reports whether time may mend it.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		return true
	}
	return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
}

// longestAsked is how long a server may have itself waited for.
const longestAsked = time.Minute

// backoff doubles the pause, and waits as long as a server asks for, within reason.
func backoff(least, most time.Duration, try int, resp *http.Response) time.Duration {
	wait := most
	if try < 30 {
		wait = min(most, least<<try)
	}
	if resp == nil {
		return wait
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		wait = max(wait, min(time.Duration(s)*time.Second, longestAsked))
	}
	return wait
}

// bare is err without the URL that net/http puts before it.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// redacted is as much of a webhook's URL as may be shown; empty for what is none.
func redacted(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
