package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attacktest"
)

const registerYAML = `
listen: {https: %[1]s}
limits: {wrong_tries: 100000, address: 100000/minute}
hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://%[1]s", registration: true}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See your orders, orders:write: Place orders}
`

func startRegistering(t *testing.T) (*oauthServer, *admin.Client) {
	t.Helper()
	address := harness.Free(t)
	s := startOAuthAt(t, address, fmt.Sprintf(registerYAML, address), nil)
	file, err := app.Load(filepath.Join(s.Dir, "pavise.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return s, admin.Connect(admin.InProcess(app.Administration(file, s.App.State, s.Clock.Now)))
}

// register sends a registration, and returns what was answered.
func (s *oauthServer) registering(token string, body any) (map[string]any, *http.Response) {
	s.T.Helper()
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.T.Fatal(err)
		}
		text = string(encoded)
	}
	return s.ask(http.MethodPost, s.URL+"/register", token, text)
}

func (s *oauthServer) ask(method, address, token, body string) (map[string]any, *http.Response) {
	s.T.Helper()
	r, err := http.NewRequest(method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		s.T.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	all := map[string]any{}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &all); err != nil {
			s.T.Fatalf("%d: %s", answer.StatusCode, text)
		}
	}
	return all, answer
}

func shopMetadata(changes map[string]any) map[string]any {
	all := map[string]any{"client_name": "A Shop", "redirect_uris": []string{"https://web.example/cb"}, "grant_types": []string{"authorization_code", "refresh_token"}}
	maps.Copy(all, changes)
	return all
}

func TestProgramsRegisterThemselves(t *testing.T) {
	attacktest.Rows(t, 67)
	s, a := startRegistering(t)
	invited, err := a.Invite(t.Context(), admin.NewInvitation{Scopes: []string{"orders:read"}, Uses: 2, Life: time.Hour, Contact: "partners@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s.Plant(invited.Token)
	metadata, _ := s.ask(http.MethodGet, s.URL+"/.well-known/oauth-authorization-server", "", "")
	if metadata["registration_endpoint"] != s.URL+"/register" || invited.At != s.URL+"/register" {
		t.Errorf("metadata names %v, the invitation %s", metadata["registration_endpoint"], invited.At)
	}
	made, answer := s.registering(invited.Token, shopMetadata(map[string]any{"client_id": "web", "scope": "openid orders:read orders:write", "logo_uri": "https://169.254.169.254/"}))
	id, _ := made["client_id"].(string)
	secret, _ := made["client_secret"].(string)
	manager, _ := made["registration_access_token"].(string)
	s.Plant(secret)
	s.Plant(manager)
	if answer.StatusCode != http.StatusCreated || answer.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(id, "app-") || secret == "" ||
		made["scope"] != "orders:read" || made["client_secret_expires_at"] != 0.0 || made["logo_uri"] != nil {
		t.Fatalf("%d %v", answer.StatusCode, made)
	}
	s.Secrets[id] = secret

	// It works as any client does; people are asked each time, and told that nobody reviewed it.
	for range 2 {
		w := newWalker(t, s.Client())
		w.did(w.Open(s.URL + "/authorize?" + person.Asking(id, "openid profile orders:read").Encode()))
		if strings.Contains(w.Page, `name="password"`) {
			w.signIn()
		}
		if !strings.Contains(w.Page, "A Shop") || !strings.Contains(w.Page, "reviewed") {
			t.Fatalf("the page says %s", w.Page)
		}
		w.allow()
		redeem := person.Redeeming(w.Sent.Get("code"))
		tokens, status := s.Post("/token", id, redeem)
		if status != http.StatusOK || s.call(tokens["access_token"]) != http.StatusOK {
			t.Fatalf("%d %v", status, tokens)
		}
	}

	// It reads and ends its registration; nobody else does.
	at, _ := made["registration_client_uri"].(string)
	if known, answer := s.ask(http.MethodGet, at, manager, ""); answer.StatusCode != http.StatusOK || known["client_id"] != id || known["client_secret"] != nil {
		t.Errorf("read: %d %v", answer.StatusCode, known)
	}
	for _, token := range []string{"", invited.Token, secret, manager + "x"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if _, answer := s.ask(method, at, token, ""); answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %.6q: %d", method, token, answer.StatusCode)
			}
		}
	}
	if _, answer := s.ask(http.MethodDelete, s.URL+"/register/web", manager, ""); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("another's registration: %d", answer.StatusCode)
	}
	if _, answer := s.ask(http.MethodDelete, at, manager, ""); answer.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %d", answer.StatusCode)
	}
	if answer, status := s.Post("/token", id, url.Values{"grant_type": {"client_credentials"}}); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
		t.Errorf("a client that left: %d %v", status, answer)
	}
	if _, answer := s.ask(http.MethodGet, at, manager, ""); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after its end: %d", answer.StatusCode)
	}
	for _, action := range []string{"client.self_register", "client.self_delete"} {
		found := s.Events(audit.Query{Class: audit.Grant, Client: id})
		if !slices.ContainsFunc(found, func(e audit.Event) bool { return e.Action == action }) {
			t.Errorf("no event %s among %d", action, len(found))
		}
	}
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	attacktest.Rows(t, 61, 67)
	s, a := startRegistering(t)
	invited, err := a.Invite(t.Context(), admin.NewInvitation{Scopes: []string{"orders:read"}, Uses: 1, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	redirects := func(all ...string) map[string]any { return map[string]any{"redirect_uris": all} }
	const badRedirect, badMetadata = "invalid_redirect_uri", "invalid_client_metadata"
	for name, tc := range map[string]struct {
		body any
		code string
	}{
		"a script":              {shopMetadata(redirects("javascript:alert(1)")), badRedirect},
		"plain HTTP":            {shopMetadata(redirects("http://web.example/cb")), badRedirect},
		"loopback of a website": {shopMetadata(redirects("http://127.0.0.1/cb")), badRedirect},
		"a fragment":            {shopMetadata(redirects("https://web.example/cb#x")), badRedirect},
		"a wildcard":            {shopMetadata(redirects("https://*.example/cb")), badRedirect},
		"a user":                {shopMetadata(redirects("https://ann@web.example/cb")), badRedirect},
		"two dots":              {shopMetadata(redirects("https://web.example/a/../cb")), badRedirect},
		"two in one":            {shopMetadata(redirects("https://web.example/cb https://evil.example/")), badRedirect},
		"data":                  {shopMetadata(redirects("data:text/html,x")), badRedirect},
		"no redirect":           {shopMetadata(redirects()), badRedirect},
		"seventeen":             {shopMetadata(redirects(strings.Split(strings.Repeat("https://web.example/cb ", 17), " ")[:17]...)), badMetadata},
		"keys at 127.0.0.1":     {shopMetadata(map[string]any{"jwks_uri": "https://127.0.0.1/keys"}), badMetadata},
		"keys of the cloud":     {shopMetadata(map[string]any{"jwks_uri": "http://169.254.169.254/keys"}), badMetadata},
		"keys at [::1]":         {shopMetadata(map[string]any{"jwks_uri": "https://[::1]/keys"}), badMetadata},
		"keys at a name":        {shopMetadata(map[string]any{"jwks_uri": "https://rebind.example/keys"}), badMetadata},
		"requests elsewhere":    {shopMetadata(map[string]any{"request_uris": []string{"https://10.0.0.1/r"}}), badMetadata},
		"a statement":           {shopMetadata(map[string]any{"software_statement": "a.b.c"}), "unapproved_software_statement"},
		"implicit":              {shopMetadata(map[string]any{"response_types": []string{"token"}}), badMetadata},
		"a password grant":      {shopMetadata(map[string]any{"grant_types": []string{"password"}}), badMetadata},
		"more than invited":     {shopMetadata(map[string]any{"grant_types": []string{"client_credentials"}}), badMetadata},
		"an unknown way":        {shopMetadata(map[string]any{"token_endpoint_auth_method": "client_secret_jwt"}), badMetadata},
		"a key of its own":      {shopMetadata(map[string]any{"token_endpoint_auth_method": "private_key_jwt"}), badMetadata},
		"a private key": {shopMetadata(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{
			map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"},
		}}}), badMetadata},
		"a policy of no page":   {shopMetadata(map[string]any{"policy_uri": "javascript:alert(1)"}), badMetadata},
		"a name in controls":    {shopMetadata(map[string]any{"client_name": "A\u202eShop"}), badMetadata},
		"a long name":           {shopMetadata(map[string]any{"client_name": strings.Repeat("x", 101)}), badMetadata},
		"a list for a name":     {shopMetadata(map[string]any{"client_name": []string{"x"}}), badMetadata},
		"a text for redirects":  {shopMetadata(map[string]any{"redirect_uris": "https://web.example/cb"}), badMetadata},
		"a member twice":        {`{"redirect_uris":["https://web.example/cb"],"redirect_uris":["https://evil.example/"]}`, badMetadata},
		"a member in capitals":  {`{"Redirect_URIs":["https://web.example/cb"]}`, badRedirect},
		"no JSON":               {`redirect_uris=x`, badMetadata},
		"a list":                {`[]`, badMetadata},
		"nothing":               {``, badMetadata},
		"deep":                  {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), badMetadata},
		"sixty-five kibibytes+": {`{"client_name":"` + strings.Repeat("x", 65<<10) + `"}`, ""},
	} {
		made, answer := s.registering(invited.Token, tc.body)
		if tc.code == "" { // the guard's own bound
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %d %v", name, answer.StatusCode, made)
			}
			continue
		}
		if answer.StatusCode != http.StatusBadRequest || made["error"] != tc.code {
			t.Errorf("%s: %d %v, want %s", name, answer.StatusCode, made, tc.code)
		}
	}
	for name, token := range map[string]string{"no token": "", "another": "pvsit_" + strings.Repeat("A", 43), "a long one": strings.Repeat("A", 1<<10)} {
		made, answer := s.registering(token, shopMetadata(nil))
		if answer.StatusCode != http.StatusUnauthorized || made["error"] != "invalid_token" || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: %d %v", name, answer.StatusCode, made)
		}
	}
	// None of these used up the invitation.
	if made, answer := s.registering(invited.Token, shopMetadata(nil)); answer.StatusCode != http.StatusCreated {
		t.Errorf("a good one: %d %v", answer.StatusCode, made)
	}
	if _, answer := s.registering(invited.Token, shopMetadata(nil)); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("one more than invited: %d", answer.StatusCode)
	}
}

func TestAnInvitationIsUsedUpOnceForEach(t *testing.T) {
	s, a := startRegistering(t)
	invited, err := a.Invite(t.Context(), admin.NewInvitation{Scopes: []string{"orders:read"}, Uses: 3, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, answer := s.registering(invited.Token, shopMetadata(nil)); answer.StatusCode == http.StatusCreated {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 3 {
		t.Errorf("%d registered with an invitation for 3", made.Load())
	}
	again, err := a.Invite(t.Context(), admin.NewInvitation{Scopes: []string{"orders:read"}, Uses: 3, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.WithdrawInvitation(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}
	if _, answer := s.registering(again.Token, shopMetadata(nil)); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a withdrawn one: %d", answer.StatusCode)
	}
	for _, bad := range []admin.NewInvitation{
		{Uses: 1, Life: time.Hour},
		{Scopes: []string{"admin"}, Uses: 1, Life: time.Hour},
		{Scopes: []string{"orders:read"}, Life: time.Hour},
		{Scopes: []string{"orders:read"}, Uses: 1001, Life: time.Hour},
		{Scopes: []string{"orders:read"}, Uses: 1, Life: 91 * 24 * time.Hour},
		{Scopes: []string{"orders:read"}, Uses: 1, Life: time.Hour, Grants: []string{"token_exchange"}},
	} {
		if _, err := a.Invite(t.Context(), bad); err == nil {
			t.Errorf("%+v was made", bad)
		}
	}
}
