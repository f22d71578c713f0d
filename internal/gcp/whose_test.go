package gcp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// Whose credentials there are is known without using them, and no secret is told.
func TestCredentialsTellWhoseTheyAre(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/email" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Write([]byte("m@p.iam\n"))
	}))
	defer server.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	const acts = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/s@p.iam:generateAccessToken"
	for want, content := range map[string]map[string]string{
		"service account a@b":                    {"type": "service_account", "client_email": "a@b", "private_key": "hush"},
		"a person's account":                     {"type": "authorized_user", "client_secret": "hush", "refresh_token": "hush", "account": ""},
		"a person's account me@x":                {"type": "authorized_user", "refresh_token": "hush", "account": "me@x"},
		"a service account acted as s@p.iam":     {"type": "impersonated_service_account", "service_account_impersonation_url": acts},
		"external account s@p.iam":               {"type": "external_account", "service_account_impersonation_url": acts},
		"this machine's service account m@p.iam": nil,
	} {
		vars := map[string]string{"HOME": t.TempDir()}
		if content != nil {
			vars["GOOGLE_APPLICATION_CREDENTIALS"] = file(t, filepath.Join(t.TempDir(), "key.json"), content)
			want += ", by " + vars["GOOGLE_APPLICATION_CREDENTIALS"]
		}
		a, err := Whose(t.Context(), env(vars))
		if err != nil || a.String() != want {
			t.Errorf("%q, %v; want %q", a, err, want)
		}
	}
}

func TestWhatHoldsNoCredentialsTellsNobodys(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "no"), file(t, filepath.Join(t.TempDir(), "kind"), map[string]string{"type": "gdch", "client_email": "a@b"})} {
		a, err := Whose(t.Context(), env(map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": path}))
		var refused *CredentialsError
		if !errors.As(err, &refused) || a != (Account{}) {
			t.Errorf("%q, %v", a, err)
		}
	}
}
