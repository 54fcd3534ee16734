package dpop_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

// example is the proof of RFC 9449 §4.1 (figure 1), made at 1562262616.
const example = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19." +
	"eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ." +
	"2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"

func at(seconds int64) func() time.Time { return func() time.Time { return time.Unix(seconds, 0) } }

func request(proof string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://server.example.com/token", nil)
	r.Header["Dpop"] = []string{proof}
	return r
}

func TestExampleOfTheStandard(t *testing.T) {
	v := &dpop.Verifier{Now: at(1562262616 + 5)}
	proof, err := v.Verify(request(example), "")
	if err != nil || proof.Key != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" { // RFC 9449 §6.1
		t.Fatalf("%+v, %v", proof, err)
	}
	if proof.Once.Until.Unix() != 1562262616+70 || proof.Once.Space != "dpop/"+proof.Key {
		t.Errorf("%+v", proof.Once)
	}
	for name, when := range map[string]int64{"too late": 61, "too early": -11} {
		v := &dpop.Verifier{Now: at(1562262616 + when)}
		if refusal, ok := errors.AsType[*shield.Refusal](second(v.Verify(request(example), ""))); !ok || refusal.Code != shield.StaleRequest {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

// RFC 9864 §2.2: Ed25519 is the name of EdDSA with that curve alone.
func TestProofByTheNameEd25519(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	prove := func(jwk string, sign func([]byte) []byte) string {
		text := part([]byte(`{"typ":"dpop+jwt","alg":"Ed25519","jwk":`+jwk+`}`)) + "." +
			part([]byte(`{"jti":"one","htm":"POST","htu":"https://server.example.com/token","iat":1562262616}`))
		return text + "." + part(sign([]byte(text)))
	}
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + part(public) + `"}`
	good := func(text []byte) []byte { return ed25519.Sign(private, text) }
	v := &dpop.Verifier{Now: at(1562262616)}
	if proof, err := v.Verify(request(prove(jwk, good)), ""); err != nil || proof.Key == "" {
		t.Errorf("a good one: %v", err)
	}
	const other = `{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}`
	for name, bad := range map[string]string{
		"of something else": prove(jwk, func(text []byte) []byte { return good(text[1:]) }),
		"empty":             prove(jwk, func([]byte) []byte { return nil }),
		"by a key of ECDSA": prove(other, good),
	} {
		if _, err := v.Verify(request(bad), ""); err == nil {
			t.Errorf("a signature %s was taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNonceIsGoodForItsSlotAndTheNext(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	start := int64(90 * 1_000_000)
	nonces := dpop.NewNonces([]byte("key"), "resource")
	if nonces.At(time.Unix(start, 0)) == dpop.NewNonces([]byte("key"), "server").At(time.Unix(start, 0)) {
		t.Error("nonces of two purposes are equal")
	}
	for after, good := range map[int64]bool{0: true, 89: true, 179: true, 180: false, -1: true, -91: false} {
		p, err := dpop.NewProver(key, "ES256", at(start+after))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "https://server.example.com/token", nil)
		p.Learn(r.URL, http.Header{"Dpop-Nonce": {nonces.At(time.Unix(start, 0))}})
		if err := p.Sign(r, ""); err != nil {
			t.Fatal(err)
		}
		v := &dpop.Verifier{Now: at(start + after), Nonces: nonces}
		if err := second(v.Verify(r, "")); (err == nil) != good {
			t.Errorf("after %d s: %v", after, err)
		}
	}
}

func FuzzProof(f *testing.F) {
	f.Add(example)
	f.Add("a.b.c")
	f.Add("")
	v := &dpop.Verifier{Now: at(1562262616)}
	f.Fuzz(func(t *testing.T, proof string) {
		found, err := v.Verify(request(proof), "")
		if err == nil {
			if found.Key == "" {
				t.Error("a proof without a key was taken")
			}
			return
		}
		if _, ok := errors.AsType[*shield.Refusal](err); !ok {
			t.Errorf("no refusal: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := &dpop.Verifier{Now: at(1562262616)}
	r := request(example)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, ""); err != nil {
			b.Fatal(err)
		}
	}
}
