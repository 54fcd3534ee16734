package upstream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/people/upstream"
)

func options() upstream.Options {
	return upstream.Options{Fetch: func() *http.Client { return &http.Client{} }, Now: time.Now, Rand: strings.NewReader(strings.Repeat("x", 4096))}
}

func plainSettings() upstream.Settings {
	return upstream.Settings{
		Name: "hub", Kind: upstream.OAuth2, Issuer: "https://hub.example", ClientID: "x", AuthorizeURL: "https://hub.example/a",
		TokenURL: "https://hub.example/t", UserinfoURL: "https://hub.example/u", SubjectField: "data.id",
	}
}

func TestRefusesSettingsThatCannotWork(t *testing.T) {
	if _, err := upstream.New(plainSettings(), options()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*upstream.Settings){
		"no name":            func(s *upstream.Settings) { s.Name = "" },
		"a name with a path": func(s *upstream.Settings) { s.Name = "a/b" },
		"two hyphens":        func(s *upstream.Settings) { s.Name = "a--b" },
		"no client":          func(s *upstream.Settings) { s.ClientID = "" },
		"no issuer":          func(s *upstream.Settings) { s.Issuer = "" },
		"unknown kind":       func(s *upstream.Settings) { s.Kind = "saml" },
		"unknown policy":     func(s *upstream.Settings) { s.Accounts = "all" },
		"no userinfo":        func(s *upstream.Settings) { s.UserinfoURL = "" },
		"a file":             func(s *upstream.Settings) { s.TokenURL = "file:///etc/passwd" },
		"no openid": func(s *upstream.Settings) {
			s.Kind, s.Scopes = upstream.OpenIDConnect, []string{"profile"}
		},
	} {
		s := plainSettings()
		change(&s)
		if _, err := upstream.New(s, options()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSubjectsHaveOneSpelling(t *testing.T) {
	p, err := upstream.New(plainSettings(), options())
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]string{
		`{"data": {"id": 7}}`: "7", `{"data": {"id": "7"}}`: "7", `{"data": {"id": 12345678901234567890}}`: "12345678901234567890",
		`{"data": {"id": 7.0}}`: "", `{"data": {"id": 7e1}}`: "", `{"data": {"id": -7}}`: "", `{"data": {"id": true}}`: "", `{"data": {"id": null}}`: "",
		`{"data": [7]}`: "", `{"id": 7}`: "", `{"data": {"id": 7}} x`: "", `[]`: "", `{"data": {"id": "a\u0000"}}`: "", `{"data": {"id": ""}}`: "",
	} {
		id, err := p.ParseUserinfo([]byte(document))
		if id.Subject != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", document, id.Subject, err, want)
		}
	}
}

func FuzzParseUserinfo(f *testing.F) {
	p, err := upstream.New(plainSettings(), options())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"data": {"id": 7}, "name": "Ada", "email": "a@example.com"}`))
	f.Add([]byte(`{"data": {"id": "x", "id": "y"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := p.ParseUserinfo(body)
		if err == nil && (id.Subject == "" || len(id.Subject) > 255 || id.Issuer != "https://hub.example" || id.EmailVerified) {
			t.Fatalf("%q became %+v", body, id)
		}
	})
}

func FuzzParseCallback(f *testing.F) {
	state := strings.Repeat("s", 43)
	for _, seed := range []string{"code=a&state=" + state, "error=x&state=" + state + "&iss=https%3A%2F%2Fa", "code=a&code=b&state=" + state, "%zz", ";"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		back, err := upstream.ParseCallback(query)
		if err == nil && (len(back.State) != 43 || (back.Code == "") == (back.Error == "") || len(back.Code) > 4096) {
			t.Fatalf("%q became %+v", query, back)
		}
	})
}
