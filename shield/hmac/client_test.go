package hmac

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

func TestIssueMakesKeysThatCannotBeGuessed(t *testing.T) {
	w := shieldtest.NewWorld()
	seen := map[string]bool{}
	for range 100 {
		issued, err := issue(w.Env(), shield.IssueRequest{Client: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := idIn(issued.Secret); err != nil || id != issued.ID || len(issued.Secret) != 64 { // a block of SHA-256
			t.Errorf("a secret of %d characters of key %q: %v", len(issued.Secret), id, err)
		}
		if string(issued.Material) != issued.Secret || issued.Keep != shield.KeepSealed {
			t.Errorf("the key is not the secret as it is shown, or kept %v", issued.Keep)
		}
		if !strings.HasPrefix(issued.ID, "hk_") || !isWord(issued.ID, 15, 15) || seen[issued.ID] || seen[issued.Secret] {
			t.Errorf("id %q", issued.ID)
		}
		seen[issued.ID], seen[issued.Secret] = true, true
	}
	if _, err := issue(shield.Env{Rand: strings.NewReader("short")}, shield.IssueRequest{}); err == nil {
		t.Error("a key was made without enough randomness")
	}
	if _, err := issue(w.Env(), shield.IssueRequest{Settings: map[string]string{"algorithm": "hmac-md5"}}); err == nil {
		t.Error("a key was made for hmac-md5")
	}
}

func TestImportTakesOnlySecretsThatMayHold128Bits(t *testing.T) {
	tests := []struct {
		name, secret string
		good         bool
	}{
		{"32 hexadecimal digits", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", true},
		{"22 characters of base64url", "kJ3-9fLq0Zx_7VbN2mWc1A", true},
		{"64 hexadecimal digits", strings.Repeat("0f1e2d3c4b5a6978", 4), true},
		{"31 hexadecimal digits", "0f1e2d3c4b5a69788796a5b4c3d2e1f", false},
		{"a password", "correct horse", false},
		{"21 characters", "kJ3-9fLq0Zx_7VbN2mWc1", false},
		{"one character, often", strings.Repeat("a", 64), false},
		{"a word, often", strings.Repeat("secret", 12), false},
		{"a line feed", "kJ3-9fLq0Zx_7VbN2mWc1A\n", false},
		{"not ASCII", "kJ3-9fLq0Zx_7VbN2mWc1Aé", false},
		{"very long", strings.Repeat("kJ3-9fLq0Zx_7VbN2mWc1A", 20), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			issued, err := issue(shieldtest.NewWorld().Env(), shield.IssueRequest{Import: test.secret})
			if (err == nil) != test.good {
				t.Fatalf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), test.secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
			if err == nil && (string(issued.Material) != test.secret || !strings.HasPrefix(issued.ID, idPrefix)) {
				t.Errorf("issued %+v", issued)
			}
		})
	}
}

// Whoever moves to another Pavise takes keys along as they are: callers have nothing to change.
func TestAnImportedSecretOfPaviseKeepsItsID(t *testing.T) {
	w := shieldtest.NewWorld()
	made, err := issue(w.Env(), shield.IssueRequest{Client: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := issue(shieldtest.NewWorld().Env(), shield.IssueRequest{Client: "shop", Import: made.Secret})
	if err != nil || taken.ID != made.ID || !bytes.Equal(taken.Material, made.Material) {
		t.Errorf("key %q, want %q: %v", taken.ID, made.ID, err)
	}
	for name, secret := range wrongSecrets(made.Secret) {
		if _, err := issue(w.Env(), shield.IssueRequest{Client: "shop", Import: secret}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wrongSecrets are what becomes of a secret that somebody copied wrongly.
func wrongSecrets(secret string) map[string]string {
	other := byte('a')
	if secret[30] == other {
		other = 'b'
	}
	return map[string]string{
		"another character":  secret[:30] + string(other) + secret[31:],
		"its end missing":    secret[:len(secret)-1],
		"something behind":   secret + "a",
		"a sign within":      secret[:30] + "-" + secret[31:],
		"its middle missing": secret[:20] + secret[40:],
	}
}

// What fails for a typing error fails before it is sent.
func TestClientFindsSecretsThatWereCopiedWrongly(t *testing.T) {
	made, err := issue(shieldtest.NewWorld().Env(), shield.IssueRequest{Client: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client(shield.Credential{ID: made.ID, Secret: made.Secret}); err != nil {
		t.Error(err)
	}
	for name, secret := range wrongSecrets(made.Secret) {
		if _, err := client(shield.Credential{ID: made.ID, Secret: secret}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Secrets that were made before they had a form, and those of other systems, are keys as they are.
func TestOldSecretsSignAndVerify(t *testing.T) {
	for _, secret := range []string{"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kJ3-9fLq0Zx_7VbN2mWc1A"} {
		w := shieldtest.NewWorld()
		issued, err := issue(w.Env(), shield.IssueRequest{Client: "shop", Import: secret})
		if err != nil || string(issued.Material) != secret {
			t.Fatalf("%q: %v", secret, err)
		}
		if _, err := client(shield.Credential{ID: "hk_9sVbT2kQ0wXyZa41", Secret: secret}); err != nil {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

func FuzzIDIn(f *testing.F) {
	f.Add("pvshs_9sVbT2kQ0wXy7hRtNcV3xLp8sQfGjKw5eHuM0aBDzq4Wn6JmEiU21Ro7k")
	f.Add("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Fuzz(func(t *testing.T, secret string) {
		id, err := idIn(secret)
		if (err == nil) != (id != "") || err == nil && (len(secret) != 64 || !strings.HasPrefix(secret[6:], id[3:])) {
			t.Errorf("%q: %q, %v", secret, id, err)
		}
	})
}

func TestClientRefusesWhatCannotBeSigned(t *testing.T) {
	good := shield.Credential{ID: "hk_1", Secret: strings.Repeat("s3cret", 6)}
	for name, change := range map[string]func(*shield.Credential){
		"no id":             func(c *shield.Credential) { c.ID = "" },
		"a quote in the id": func(c *shield.Credential) { c.ID = `a"b` },
		"no secret":         func(c *shield.Credential) { c.Secret = "" },
		"unknown algorithm": func(c *shield.Credential) { c.Settings = map[string]string{"algorithm": "none"} },
		"unknown digest":    func(c *shield.Credential) { c.Settings = map[string]string{"digest": "md5"} },
		"host as a header":  func(c *shield.Credential) { c.Settings = map[string]string{"headers": "host"} },
	} {
		c := good
		change(&c)
		if _, err := client(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s, err := client(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*http.Request){
		"another credential":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") },
		"a covered header twice":     func(r *http.Request) { r.Header["Content-Type"] = []string{"a", "b"} },
		"a line feed in a header":    func(r *http.Request) { r.Header.Set("Content-Type", "a\nb") },
		"a host that is not ASCII":   func(r *http.Request) { r.Host = "bücher.example" },
		"trailers":                   func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"a body that cannot be read": func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(failing{})) },
	} {
		r, _ := http.NewRequest("POST", "https://api.example.com/", strings.NewReader("x"))
		change(r)
		if err := s.Sign(r); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSignerPrintsNoSecret(t *testing.T) {
	const secret = "planted-secret-planted-secret"
	s, err := client(shield.Credential{ID: "hk_1", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if printed := fmt.Sprintf(verb, s); strings.Contains(printed, "planted") {
			t.Errorf("%s prints %s", verb, printed)
		}
	}
}

func TestSignedAgainTheRequestHasAFreshNonce(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("POST", "/", "x")
	first := r.Header.Get("Authorization")
	if err := b.signer(nil).Sign(r); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("Authorization") == first {
		t.Error("the same signature twice")
	}
	b.wants(r, "")
}

func TestTransportSignsAndLeavesTheRequest(t *testing.T) {
	b := newBench(t, nil)
	var sent *http.Request
	transport := &shield.Transport{Signers: []shield.Signer{b.signer(nil)}, Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}
	r, _ := http.NewRequestWithContext(context.Background(), "POST", "https://api.example.com/v1/orders", bytes.NewReader([]byte("x")))
	if _, err := transport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	if len(r.Header) != 0 {
		t.Errorf("the caller's request got headers %v", r.Header)
	}
	b.wants(sent, "")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
