package app

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// takes is a shield that takes the tokens of an issuer.
type takes struct {
	shield.Shield
	tokens *shield.Tokens
}

func (t takes) Needs() shield.Needs { return shield.Needs{Tokens: t.tokens} }

func taking(issuer string, bound bool) takes {
	return takes{tokens: &shield.Tokens{Issuers: []string{issuer}, KeyBound: bound, ProofAlgorithms: []string{"ES256"}}}
}

func apiOf(name string, hosts []string, scope string, s shield.Shield) pavise.API {
	return pavise.API{Name: name, Hosts: hosts, Endpoints: []pavise.Endpoint{{Pattern: "GET /v1/" + name, Shield: s, Scopes: shield.Scopes{scope}}}}
}

// documents are what addMetadata publishes, by host and path.
func documents(t *testing.T, p *pavise.Policy) map[string]metadata {
	t.Helper()
	all := map[string]metadata{}
	for _, api := range p.APIs {
		if api.Name != config.MetadataAPI {
			continue
		}
		for _, e := range api.Endpoints {
			w := httptest.NewRecorder()
			e.Handler.ServeHTTP(w, httptest.NewRequest("GET", "https://"+api.Hosts[0]+":8443/", nil))
			var m metadata
			if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v, %s", e.Pattern, err, w.Body)
			}
			all[api.Hosts[0]+" "+e.Pattern] = m
		}
	}
	return all
}

func TestMetadataOfProtectedResources(t *testing.T) {
	f := &config.File{APIs: map[string]config.API{"files": {Resource: "https://a.example/files"}}}
	p := &pavise.Policy{APIs: []pavise.API{
		apiOf("orders", []string{"a.example", "b.example"}, "orders:read", taking("https://corp.example", true)),
		apiOf("payments", []string{"a.example"}, "pay", taking("https://partner.example", false)),
		apiOf("files", []string{"a.example"}, "files", taking("https://corp.example", true)),
		apiOf("keys", []string{"c.example"}, "keys", takes{}),
	}}
	if err := addMetadata(f, p); err != nil {
		t.Fatal(err)
	}
	got := documents(t, p)
	const at = " GET /.well-known/oauth-protected-resource"
	for place, want := range map[string]metadata{
		"a.example" + at:            {Resource: "https://a.example:8443", Issuers: []string{"https://corp.example", "https://partner.example"}, Scopes: []string{"orders:read", "pay"}},
		"b.example" + at:            {Resource: "https://b.example:8443", Issuers: []string{"https://corp.example"}, Scopes: []string{"orders:read"}, KeyBound: true},
		"a.example" + at + "/files": {Resource: "https://a.example/files", Issuers: []string{"https://corp.example"}, Scopes: []string{"files"}, KeyBound: true},
	} {
		want.Methods, want.Algorithms = []string{"header"}, []string{"ES256"}
		if fmt.Sprint(got[place]) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, want %+v", place, got[place], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d documents: %v", len(got), got)
	}
	for i, want := range []string{metadataPath, metadataPath, "https://a.example" + metadataPath + "/files", ""} {
		if p.APIs[i].Metadata != want {
			t.Errorf("challenges of %s name %q, want %q", p.APIs[i].Name, p.APIs[i].Metadata, want)
		}
	}
}

func TestMetadataThatAnAPIServesItselfStaysItsOwn(t *testing.T) {
	for _, pattern := range []string{"GET " + metadataPath, metadataPath} {
		api := apiOf("orders", []string{"a.example"}, "orders:read", taking("https://corp.example", false))
		api.Endpoints = append(api.Endpoints, pavise.Endpoint{Pattern: pattern, Shield: takes{}})
		p := &pavise.Policy{APIs: []pavise.API{api}}
		if err := addMetadata(&config.File{}, p); err != nil {
			t.Fatal(err)
		}
		if got := documents(t, p); len(got) != 0 {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}
