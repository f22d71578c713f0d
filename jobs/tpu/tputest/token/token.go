// Package token issues bearer tokens for tests and knows them again: as the token endpoint of a service account, whose signed
// assertions it verifies, and as whoever stands behind a metadata server.
package token

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Scopes that a caller may have.
const (
	ScopeCloud   = "https://www.googleapis.com/auth/cloud-platform"
	ScopeStorage = "https://www.googleapis.com/auth/devstorage.read_write"
)

// Account is the only service account there is.
const Account = "vtune@vtune-test.iam.gserviceaccount.com"

// Issuer has all tokens of a test.
type Issuer struct {
	url string // of its endpoint

	mu     sync.Mutex
	life   time.Duration
	issued map[string]grant
	key    *rsa.PrivateKey // of the service account; made when asked for
}

// New is an issuer whose endpoint will be at url.
func New(url string) *Issuer { return &Issuer{url: url, life: time.Hour, issued: map[string]grant{}} }

type grant struct {
	until  time.Time
	scopes []string
}

// Live sets how long tokens live that are issued from now on.
func (k *Issuer) Live(life time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.life = life
}

// Expire ends all tokens issued so far, whatever their holders believe.
func (k *Issuer) Expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.issued)
}

// Issue makes one for these scopes; for none, it is good for everything.
func (k *Issuer) Issue(scopes []string) (string, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	value := "ya29.fake-" + rand.Text()
	if len(scopes) == 0 {
		scopes = []string{ScopeCloud, ScopeStorage}
	}
	k.issued[value] = grant{until: time.Now().Add(k.life), scopes: scopes}
	return value, k.life
}

// New is Issue for who does not ask how long it lives.
func (k *Issuer) New(scopes ...string) string {
	value, _ := k.Issue(scopes)
	return value
}

// Check says whether a token is known and not expired, and whether it is good for one of these scopes.
func (k *Issuer) Check(token string, scopes ...string) (known, allowed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, known := k.issued[token]
	if !known || !time.Now().Before(g.until) {
		return false, false
	}
	return true, slices.ContainsFunc(g.scopes, func(scope string) bool { return slices.Contains(scopes, scope) })
}

// Credentials writes the key file of a service account whose tokens this server issues: what
// GOOGLE_APPLICATION_CREDENTIALS names.
func (k *Issuer) Credentials(t testing.TB, project string) string {
	t.Helper()
	key, err := k.privateKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": keyID(key), "client_email": Account, "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   k.url, "universe_domain": "googleapis.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyID(key *rsa.PrivateKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return hex.EncodeToString(sum[:20])
}

func (k *Issuer) privateKey() (*rsa.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil {
		var err error
		if k.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
	}
	return k.key, nil
}

// ServeHTTP is the endpoint: it changes a signed assertion into a token.
func (k *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(why string) {
		write(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": why})
	}
	if err := r.ParseForm(); err != nil {
		refuse(err.Error())
		return
	}
	if r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		refuse("unknown grant_type")
		return
	}
	scopes, err := k.assertion(r.PostForm.Get("assertion"))
	if err != nil {
		refuse(err.Error())
		return
	}
	value, life := k.Issue(scopes)
	write(w, http.StatusOK, map[string]any{"access_token": value, "expires_in": int(life.Seconds()), "token_type": "Bearer"})
}

// assertion verifies a JWT of the service account and says which scopes it asks for.
func (k *Issuer) assertion(jwt string) ([]string, error) {
	key, err := k.privateKey()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, errors.New("the assertion is no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	now := time.Now().Unix()
	switch {
	case claims.Iss != Account:
		return nil, fmt.Errorf("there is no account %q", claims.Iss)
	case claims.Aud != k.url:
		return nil, fmt.Errorf("the audience is %q", claims.Aud)
	case claims.Exp < now || claims.Exp > claims.Iat+3600 || claims.Iat > now+300:
		return nil, errors.New("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe")
	case claims.Scope == "":
		return nil, errors.New("no scope")
	}
	return strings.Fields(claims.Scope), nil
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no error here
}
