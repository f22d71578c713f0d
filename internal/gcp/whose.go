package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"
)

// Account is whose credentials a Client has, as far as those tell without being used. Nothing in it is secret.
type Account struct {
	Kind  string // as a file of credentials names its type; empty: the account of the machine that this runs on
	Email string // of a service account; empty: it is not told
	From  string // the file; empty: the metadata server
}

// Whose finds out whose credentials Client would use. It asks nobody for a token.
func Whose(ctx context.Context, env func(string) (string, bool)) (Account, error) {
	path, data, err := stored(env)
	if err != nil {
		return Account{}, err
	}
	if data != nil {
		return accountOf(path, data)
	}
	m := metadata.NewClient(nil)
	if !m.OnGCEWithContext(ctx) {
		return Account{}, refused("none found")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	email, err := m.EmailWithContext(ctx, "")
	if err != nil {
		email = "" // its token may be had all the same
	}
	return Account{Email: email}, nil
}

var impersonated = regexp.MustCompile(`/serviceAccounts/([^/:]+):`)

func accountOf(path string, data []byte) (Account, error) {
	var file struct {
		Type    google.CredentialsType `json:"type"`
		Email   string                 `json:"client_email"`
		Account string                 `json:"account"`
		ActAs   string                 `json:"service_account_impersonation_url"`
	}
	if json.Unmarshal(data, &file) != nil || !kinds[file.Type] {
		return Account{}, refused("%s holds no credentials that are known here", path)
	}
	a := Account{Kind: string(file.Type), Email: file.Email, From: path}
	if a.Email == "" {
		a.Email = file.Account
	}
	if m := impersonated.FindStringSubmatch(file.ActAs); m != nil {
		a.Email = m[1]
	}
	return a, nil
}

// String is the account as a person reads of it.
func (a Account) String() string {
	kind := strings.ReplaceAll(a.Kind, "_", " ")
	switch a.Kind {
	case "":
		kind = "this machine's service account"
	case string(google.AuthorizedUser):
		kind = "a person's account"
	case string(google.ImpersonatedServiceAccount):
		kind = "a service account acted as"
	}
	if a.Email != "" {
		kind += " " + a.Email
	}
	if a.From == "" {
		return kind
	}
	return fmt.Sprintf("%s, by %s", kind, a.From)
}
