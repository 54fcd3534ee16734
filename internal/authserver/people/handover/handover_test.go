package handover

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/internal/strictjson"
)

func options(t testing.TB) Options {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Issuer: "https://login.example.com", Return: "https://login.example.com/sign-in/return", Now: time.Now,
		Key: func() (string, string, crypto.Signer) { return "k1", "ES256", key },
	}
}

func public(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestKeysAndAddresses(t *testing.T) {
	ed, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024) // to be refused
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	good := public(t, ed)
	for name, s := range map[string]Settings{
		"PEM":         {URL: "https://a.example/sign-in", Keys: good},
		"two keys":    {URL: "https://a.example/sign-in?x=1", Keys: append(good, good...)},
		"a JWK set":   {URL: "https://a.example/", Keys: issuertest.New(t, "").JWKS()},
		"with a port": {URL: "https://a.example:8443/", Keys: good},
	} {
		if _, err := New(s, options(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]Settings{
		"http":              {URL: "http://a.example/", Keys: good},
		"no address":        {Keys: good},
		"a user":            {URL: "https://u@a.example/", Keys: good},
		"a fragment":        {URL: "https://a.example/#x", Keys: good},
		"a request already": {URL: "https://a.example/?request=x", Keys: good},
		"no keys":           {URL: "https://a.example/"},
		"a private key":     {URL: "https://a.example/", Keys: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		"a short key":       {URL: "https://a.example/", Keys: public(t, &short.PublicKey)},
		"another curve":     {URL: "https://a.example/", Keys: public(t, &p521.PublicKey)},
		"symmetric":         {URL: "https://a.example/", Keys: []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}`)},
		"many":              {URL: "https://a.example/", Keys: []byte(strings.Repeat(string(good), 17))},
	} {
		if _, err := New(s, options(t)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	keys := issuertest.New(f, "https://a.example/")
	p, err := New(Settings{URL: "https://a.example/", Keys: keys.JWKS()}, options(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"iss":"https://a.example/","aud":"https://login.example.com","jti":"a","request":"r","iat":1,"exp":2,"sub":"x"}`), "")
	f.Add([]byte(`{"error":"access_denied"}`), "answer=x")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		if a, err := p.Read(query); err == nil {
			t.Fatalf("nobody signed %q, which became %+v", query, a)
		}
		claims, err := strictjson.Object(body)
		if err != nil {
			return
		}
		a, err := p.read(claims)
		if err == nil && (a.ID == "" || a.Request == "" || (a.Subject == "") == (a.Error == "") || len(a.AMR) > maxAMR) {
			t.Fatalf("%q became %+v", body, a)
		}
	})
}

// The specification names every claim that is sent and read, both types, and the bounds.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	claims := []string{RequestType, AnswerType, "answer", "request", "sub", "name", "email", "email_verified", "auth_time", "acr", "amr", "error", "exp"}
	body := reflect.TypeFor[request]()
	for i := range body.NumField() {
		name, _, _ := strings.Cut(body.Field(i).Tag.Get("json"), ",")
		claims = append(claims, name)
	}
	for _, claim := range claims {
		if !strings.Contains(string(text), claim) {
			t.Errorf("README.md does not say what %s is", claim)
		}
	}
	for _, algorithm := range algorithms() {
		if !strings.Contains(string(text), "`"+algorithm+"`") {
			t.Errorf("README.md does not name %s", algorithm)
		}
	}
}
