package harness

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/shield"
)

// Issuer is a gateway that is an authorization server.
type Issuer struct {
	*Gateway
	URL     string
	Secrets map[string]string // of its clients
}

// Free returns an address at which nobody listens. An issuer's name holds its port.
func Free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// StartIssuer runs a gateway whose configuration has an issuer at the address, and its
// listener there.
func StartIssuer(t testing.TB, address string, c Config) *Issuer {
	t.Helper()
	return &Issuer{Gateway: Start(t, c), URL: "https://" + address, Secrets: map[string]string{}}
}

// Register makes a client a client of the authorization server.
func (s *Issuer) Register(id string, settings map[string]string) {
	s.T.Helper()
	issued, err := registration.Kind().Issue(shield.Env{}, shield.IssueRequest{Client: id, Settings: settings})
	if err != nil {
		s.T.Fatal(err)
	}
	c := client.Credential{Kind: registration.KindName, Client: id, Settings: settings}
	if _, _, err := s.App.State.Registry.AddCredential(s.T.Context(), c, issued); err != nil {
		s.T.Fatal(err)
	}
	s.Secrets[id] = issued.Secret
	s.Plant(issued.Secret)
	s.refresh()
}

// AddPerson makes an account.
func (s *Issuer) AddPerson(login, name, password string) {
	s.T.Helper()
	user := account.NewUser{Login: login, Name: name, Password: secret.New([]byte(password))}
	if _, _, err := s.App.People().CreateUser(s.T.Context(), user); err != nil {
		s.T.Fatal(err)
	}
	s.Plant(password)
}

// Form makes a request that sends a form as a client; with no client it does not
// authenticate. It may be called from any goroutine.
func (s *Issuer) Form(path, as string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if as != "" {
		r.SetBasicAuth(as, s.Secrets[as])
	}
	return r, nil
}

// Post sends a form as a client, and returns the JSON that was answered.
func (s *Issuer) Post(path, as string, form url.Values) (map[string]any, int) {
	s.T.Helper()
	r, err := s.Form(path, as, form)
	if err != nil {
		s.T.Fatal(err)
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	return Decoded(s.T, answer), answer.StatusCode
}

// Decoded reads a JSON answer; empty, if it is.
func Decoded(t testing.TB, answer *http.Response) map[string]any {
	t.Helper()
	defer func() { _ = answer.Body.Close() }()
	all := map[string]any{}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

// Call calls a path with a bearer token.
func (s *Issuer) Call(path string, token any) int {
	s.T.Helper()
	r, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	text, _ := token.(string)
	r.Header.Set("Authorization", "Bearer "+text)
	answer, err := s.Client().Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
