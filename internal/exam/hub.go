package exam

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// hubPatience bounds the question to the hub: a node without a way out may swallow it.
const hubPatience = 15 * time.Second

// usualHub is where a server asks if nothing else is said.
const usualHub = "https://huggingface.co"

// ask is the hub's status for a model's config.json. Redirects are an answer and are not followed: the token is for the hub alone.
func ask(ctx context.Context, hub, model, token string, env []string) (status int, err error) {
	if hub == "" {
		hub = usualHub
	}
	ctx, cancel := context.WithTimeout(ctx, hubPatience)
	defer cancel()
	at, err := url.JoinPath(hub, model, "resolve", "main", "config.json")
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, at, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: proxy(env)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // without the address, which says nothing that the model's name does not
			err = ue.Err
		}
		return 0, err
	}
	answer.Body.Close()
	return answer.StatusCode, nil
}

// proxy is the way out that the server's environment names, which may not be this process's own.
func proxy(env []string) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		for exempt := range strings.SplitSeq(lookup(env, "NO_PROXY", "no_proxy"), ",") {
			exempt = strings.TrimPrefix(strings.TrimSpace(exempt), ".")
			if host := r.URL.Hostname(); exempt == "*" || exempt != "" && (host == exempt || strings.HasSuffix(host, "."+exempt)) {
				return nil, nil
			}
		}
		names := []string{"HTTPS_PROXY", "https_proxy"}
		if r.URL.Scheme == "http" {
			names = []string{"HTTP_PROXY", "http_proxy"}
		}
		at := lookup(env, append(names, "ALL_PROXY", "all_proxy")...)
		if at == "" {
			return nil, nil
		}
		if !strings.Contains(at, "://") {
			at = "http://" + at
		}
		return url.Parse(at)
	}
}
