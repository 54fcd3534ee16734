package registration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/shield"
)

func issue(settings map[string]string) (shield.Issued, error) {
	return registration.Kind().Issue(shield.Env{}, shield.IssueRequest{Client: "shop", Settings: settings})
}

func jwks(t *testing.T, private bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	one := jose.JSONWebKey{Key: key.Public(), KeyID: "k1", Algorithm: "ES256"}
	if private {
		one.Key = key
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{one}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRegistrationRefusesShortRSAKeys(t *testing.T) {
	for bits, good := range map[int]bool{1024: false, 2047: false, 2048: true} {
		modulus := new(big.Int).SetBit(big.NewInt(1), bits-1, 1) // nobody signs with it
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsa.PublicKey{N: modulus, E: 65537}, KeyID: "k1", Algorithm: "RS256"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := issue(map[string]string{"auth": "private_key_jwt", "jwks": string(set), "grants": "client_credentials"}); (err == nil) != good {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

func TestRegistrationHasASecretOnlyIfItProvesItselfByOne(t *testing.T) {
	for _, test := range []struct {
		settings map[string]string
		secret   bool
	}{
		{map[string]string{}, true},
		{map[string]string{"auth": "client_secret_post"}, true},
		{map[string]string{"auth": "none", "grants": "device_code"}, false},
		{map[string]string{"auth": "private_key_jwt", "jwks": jwks(t, false)}, false},
		{map[string]string{"auth": "tls_client_auth", "subject_dns": "bank.example"}, false},
		{map[string]string{"redirects": "https://shop.example/cb https://shop.example/other"}, true},
		{map[string]string{"auth": "none", "native": "true", "redirects": "http://127.0.0.1/cb com.example.shop:/cb"}, false},
	} {
		issued, err := issue(test.settings)
		if err != nil || issued.ID != "shop" || (issued.Secret != "") != test.secret || (issued.Keep == shield.KeepHash) != test.secret {
			t.Errorf("%v: %+v, %v", test.settings, issued, err)
		}
	}
}

func TestRegistrationsThatCannotWorkAreRefused(t *testing.T) {
	for what, settings := range map[string]map[string]string{
		"an unknown setting":         {"redirect": "https://shop.example/cb"},
		"an unknown grant":           {"grants": "password"},
		"implicit":                   {"grants": "implicit"},
		"an unknown way":             {"auth": "client_secret_jwt"},
		"no redirect":                {"grants": "authorization_code"},
		"a redirect without a grant": {"grants": "client_credentials", "redirects": "https://shop.example/cb"},
		"nothing to prove":           {"auth": "none"},
		"an exchange with nothing":   {"auth": "none", "grants": "token_exchange"},
		"plain HTTP":                 {"redirects": "http://shop.example/cb"},
		"plain HTTP, native":         {"redirects": "http://shop.example/cb", "native": "true"},
		"loopback, not native":       {"redirects": "http://127.0.0.1/cb"},
		"localhost":                  {"redirects": "http://localhost/cb", "native": "true"},
		"javascript":                 {"redirects": "javascript:alert(1)"},
		"javascript, native":         {"redirects": "javascript:alert(1)", "native": "true"},
		"a wildcard":                 {"redirects": "https://*.shop.example/cb"},
		"a fragment":                 {"redirects": "https://shop.example/cb#x"},
		"an empty fragment":          {"redirects": "https://shop.example/cb#"},
		"a user":                     {"redirects": "https://ann@shop.example/cb"},
		"dots":                       {"redirects": "https://shop.example/a/../cb"},
		"relative":                   {"redirects": "/cb"},
		"no keys":                    {"auth": "private_key_jwt"},
		"broken keys":                {"auth": "private_key_jwt", "jwks": "{"},
		"no key":                     {"auth": "private_key_jwt", "jwks": `{"keys":[]}`},
		"a private key":              {"auth": "private_key_jwt", "jwks": jwks(t, true)},
		"no name":                    {"auth": "tls_client_auth"},
		"two names":                  {"auth": "tls_client_auth", "subject_dns": "a", "subject_dn": "CN=a"},
		"an address":                 {"auth": "tls_client_auth", "subject_ip": "192.0.2.7"},
		"neither true nor false":     {"pushed": "yes"},
		"another kind of token":      {"tokens": "paseto"},
	} {
		if _, err := issue(settings); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if _, err := registration.Kind().Issue(shield.Env{}, shield.IssueRequest{Client: "shop", Import: "a-secret"}); err == nil {
		t.Error("a secret was imported")
	}
}

// known is a lookup with one registration.
type known struct {
	record *shield.Record
	err    error
}

func (k known) Credential(kind, id string) (*shield.Record, error) {
	if k.err != nil {
		return nil, k.err
	}
	if kind != registration.KindName || id != "shop" {
		return nil, shield.ErrUnknown
	}
	return k.record, nil
}

func (k known) Holder(string, []byte) (*shield.Record, error) { return nil, shield.ErrUnknown }

func TestClientIsFoundWhileItsRegistrationIsInForce(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	here := netip.MustParseAddr("192.0.2.1")
	good := shield.Record{
		Kind: registration.KindName, ID: "shop", Client: &shield.Client{ID: "shop", Contact: "ops@example.com"}, Scopes: shield.Scopes{"orders:read"},
		Settings: map[string]string{"redirects": "https://shop.example/cb", "serves": "orders", "tokens": "opaque", "name": "Shop"},
	}
	find := func(change func(*shield.Record)) (*protocol.Client, error) {
		record := good
		owner := *good.Client
		record.Client = &owner
		change(&record)
		kept := record.Keep(func(secret []byte) bool { return string(secret) == "right" }, nil, nil)
		return registration.Clients{Lookup: known{record: kept}, Now: func() time.Time { return now }}.Client(t.Context(), "shop", here)
	}
	c, err := find(func(*shield.Record) {})
	if err != nil || c.Name != "Shop" || c.Contact != "ops@example.com" || !c.Opaque || !slices.Equal(c.APIs, []string{"orders"}) ||
		!slices.Equal(c.Grants, []string{"authorization_code", "refresh_token"}) || !c.Verify("right") || c.Verify("wrong") {
		t.Errorf("%+v, %v", c, err)
	}
	for what, change := range map[string]func(*shield.Record){
		"revoked":          func(r *shield.Record) { r.Revoked = now },
		"expired":          func(r *shield.Record) { r.Expires = now },
		"not yet valid":    func(r *shield.Record) { r.NotBefore = now.Add(time.Second) },
		"disabled":         func(r *shield.Record) { r.Client.Disabled = true },
		"without an owner": func(r *shield.Record) { r.Client = nil },
		"elsewhere":        func(r *shield.Record) { r.Networks = shield.Networks{netip.MustParsePrefix("198.51.100.0/24")} },
	} {
		if _, err := find(change); !errors.Is(err, protocol.ErrNoClient) {
			t.Errorf("%s: %v", what, err)
		}
	}
	stale := registration.Clients{Lookup: known{err: shield.ErrStale}, Now: func() time.Time { return now }}
	if _, err := stale.Client(t.Context(), "shop", here); !errors.Is(err, shield.ErrStale) {
		t.Errorf("a stale snapshot: %v", err)
	}
	if _, err := (registration.Clients{Lookup: known{record: &good}, Now: time.Now}).Client(t.Context(), "other", here); !errors.Is(err, protocol.ErrNoClient) {
		t.Errorf("an unknown client: %v", err)
	}
}

func TestSecretsAreLongAndKnowable(t *testing.T) {
	first, err := issue(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := issue(map[string]string{})
	if err != nil || first.Secret == second.Secret || !strings.HasPrefix(first.Secret, "pvscs_") || len(first.Secret) != 49 {
		t.Errorf("%d bytes, %v", len(first.Secret), err)
	}
}
