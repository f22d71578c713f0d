package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"vtune/internal/diag"
)

const (
	keyVariable = "GOOGLE_APPLICATION_CREDENTIALS"
	login       = "gcloud auth application-default login"
)

// CredentialsError says that there are no credentials, or none that Google accepts. It never holds any of them.
type CredentialsError struct{ Reason string }

func (e *CredentialsError) Error() string { return "Google credentials: " + e.Reason }

func refused(format string, args ...any) error {
	return diag.Wrap(&CredentialsError{fmt.Sprintf(format, args...)}, diag.Scheduler, login,
		"or set "+keyVariable+" to the file of a service account's key")
}

// authorised adds a token to each request. x/oauth2's transport keeps a token until its expiry even where the server has already
// refused it (a clock that is wrong, a key that was renewed); this one asks once more, with credentials found anew.
type authorised struct {
	base http.RoundTripper
	find func() (credentials, error)

	mu   sync.Mutex
	have credentials
}

type credentials struct {
	tokens oauth2.TokenSource
	quota  string // the project that requests of a person's account count for
}

func newAuthorised(ctx context.Context, o Options, scopes []string) (*authorised, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: Transport(), Timeout: time.Minute, CheckRedirect: noRedirect})
	a := &authorised{base: o.Base, find: func() (credentials, error) { return find(ctx, o.Env, scopes) }}
	var err error
	a.have, err = a.find()
	return a, err
}

func (a *authorised) RoundTrip(req *http.Request) (*http.Response, error) {
	// It is the transport's duty to close the body, also where nothing is sent.
	sent := false
	defer func() {
		if !sent && req.Body != nil {
			req.Body.Close()
		}
	}()
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) {
		return nil, &CredentialsError{"a token is not sent to " + req.URL.Host + " without encryption"}
	}
	token, quota, err := a.token()
	if err != nil {
		return nil, err
	}
	sent = true
	resp, err := a.base.RoundTrip(with(req, req.Body, token, quota))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	body, rewound := rewind(req)
	if !rewound {
		return resp, nil
	}
	newer, quota, err := a.renewed(token)
	if err != nil {
		if body != nil {
			body.Close()
		}
		return resp, nil // the server's own words say more
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection can be used again
	resp.Body.Close()
	return a.base.RoundTrip(with(req, body, newer, quota))
}

// with is a copy of req: a transport must not change the one it was given, and whoever logs that finds no token in it.
func with(req *http.Request, body io.ReadCloser, token *oauth2.Token, quota string) *http.Request {
	c := req.Clone(req.Context())
	c.Body = body
	token.SetAuthHeader(c)
	if quota != "" && c.Header.Get("X-Goog-User-Project") == "" {
		c.Header.Set("X-Goog-User-Project", quota)
	}
	return c
}

func rewind(req *http.Request) (io.ReadCloser, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (a *authorised) token() (*oauth2.Token, string, error) {
	a.mu.Lock()
	have := a.have
	a.mu.Unlock()
	t, err := have.tokens.Token()
	return t, have.quota, tokenError(err)
}

// renewed is a token that is not old. Of many requests that were refused together, one renews.
func (a *authorised) renewed(old *oauth2.Token) (*oauth2.Token, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, err := a.have.tokens.Token(); err == nil && t.AccessToken != old.AccessToken {
		return t, a.have.quota, nil
	}
	fresh, err := a.find()
	if err != nil {
		return nil, "", err
	}
	a.have = fresh
	t, err := fresh.tokens.Token()
	return t, fresh.quota, tokenError(err)
}

// tokenError keeps a token server's code and words, never its whole answer, which x/oauth2 would quote. What is of the network, and
// may pass, is told from what is refused for good.
func tokenError(err error) error {
	var (
		answer  *oauth2.RetrieveError
		machine *metadata.Error
		network net.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer) && answer.Response != nil:
		what := answer.Response.Status
		if answer.ErrorCode != "" {
			what = strings.TrimSuffix(answer.ErrorCode+": "+answer.ErrorDescription, ": ")
		}
		if code := answer.Response.StatusCode; code >= 500 || code == http.StatusTooManyRequests {
			return fmt.Errorf("no token: %s", what)
		}
		return refused("no token: %s", what)
	case errors.As(err, &machine) && machine.Code >= 500, errors.As(err, &network):
		return fmt.Errorf("no token: %w", bare(err))
	}
	return refused("no token: %v", bare(err))
}

// kinds are the files that are taken: they say themselves which they are. Other kinds would be read by a library that acts on
// whatever a file tells it to.
var kinds = map[google.CredentialsType]bool{
	google.ServiceAccount: true, google.AuthorizedUser: true, google.ImpersonatedServiceAccount: true,
	google.ExternalAccount: true, google.ExternalAccountAuthorizedUser: true,
}

// find looks where Google's own tools look: a file that a variable names, the one that gcloud has left, the machine's own account.
// x/oauth2 has a function for that, which would look at the process's environment only, and remembers for ever whether there
// was a metadata server.
func find(ctx context.Context, env func(string) (string, bool), scopes []string) (credentials, error) {
	path, data, err := stored(env)
	if err != nil {
		return credentials{}, err
	}
	if data != nil {
		return parse(ctx, env, path, data, scopes)
	}
	// Only this client does not remember what it found.
	m := metadata.NewClient(nil)
	if !m.OnGCEWithContext(ctx) {
		return credentials{}, refused("none found")
	}
	return credentials{tokens: oauth2.ReuseTokenSource(nil, machine{ctx, m, scopes})}, nil
}

// stored is the file of credentials with its content; nil: there is none.
func stored(env func(string) (string, bool)) (path string, data []byte, err error) {
	path, named := env(keyVariable)
	named = named && path != ""
	if !named {
		path = wellKnown(env)
	}
	data, err = os.ReadFile(path)
	switch {
	case err == nil:
		return path, data, nil
	case named:
		return "", nil, refused("%s: %v", keyVariable, err)
	case path != "" && !errors.Is(err, fs.ErrNotExist):
		return "", nil, refused("%v", err)
	}
	return "", nil, nil
}

// wellKnown is where gcloud puts the credentials of its user; "" without a home.
func wellKnown(env func(string) (string, bool)) string {
	const name = "application_default_credentials.json"
	if dir, ok := env("CLOUDSDK_CONFIG"); ok && dir != "" {
		return filepath.Join(dir, name)
	}
	if home, ok := env("HOME"); ok && home != "" {
		return filepath.Join(home, ".config", "gcloud", name)
	}
	return ""
}

func parse(ctx context.Context, env func(string) (string, bool), path string, data []byte, scopes []string) (credentials, error) {
	var file struct {
		Type  google.CredentialsType `json:"type"`
		Quota string                 `json:"quota_project_id"`
	}
	// The parser's own words would quote from the file.
	if json.Unmarshal(data, &file) != nil || !kinds[file.Type] {
		return credentials{}, refused("%s holds no credentials that are known here", path)
	}
	c, err := google.CredentialsFromJSONWithTypeAndParams(ctx, data, file.Type, google.CredentialsParams{Scopes: scopes})
	if err != nil {
		return credentials{}, refused("%s cannot be used as %s", path, file.Type)
	}
	if quota, ok := env("GOOGLE_CLOUD_QUOTA_PROJECT"); ok && quota != "" {
		file.Quota = quota
	}
	return credentials{c.TokenSource, file.Quota}, nil
}

// machine is the account of the machine that this runs on.
type machine struct {
	ctx    context.Context
	server *metadata.Client
	scopes []string
}

func (m machine) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(m.ctx, 30*time.Second)
	defer cancel()
	asked := time.Now()
	answer, err := m.server.GetWithContext(ctx, "instance/service-accounts/default/token?"+url.Values{"scopes": {strings.Join(m.scopes, ",")}}.Encode())
	if err != nil {
		var undefined metadata.NotDefinedError
		if errors.As(err, &undefined) {
			return nil, errors.New("this machine has no service account")
		}
		return nil, err
	}
	var t oauth2.Token
	if json.Unmarshal([]byte(answer), &t) != nil || t.AccessToken == "" || t.ExpiresIn <= 0 {
		return nil, errors.New("the metadata server's answer is no token")
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: asked.Add(time.Duration(t.ExpiresIn) * time.Second)}, nil
}
