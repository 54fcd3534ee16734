package hmac

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

const page = "../../docs/guide/hmac-specification.md"

// vector is one request of the page, with what must come out.
type vector struct {
	Name, Secret, ID, Algorithm, Nonce, Method, URL string
	Timestamp                                       int64
	Headers                                         [][2]string
	Body                                            string
	BodyBase64                                      string `json:"body_base64"`
	Digests                                         []string
	Canonical, Signature, Authorization             string
	ContentDigest                                   string `json:"content_digest"`
}

func readPage(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func vectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllStringSubmatch(readPage(t), -1) {
		decoder := json.NewDecoder(strings.NewReader(block[1]))
		decoder.DisallowUnknownFields()
		var v vector
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("vector %d: %v", len(all)+1, err)
		}
		all = append(all, v)
	}
	if len(all) < 7 {
		t.Fatalf("the page has %d vectors", len(all))
	}
	return all
}

func (v vector) body(t testing.TB) []byte {
	t.Helper()
	if v.BodyBase64 == "" {
		return []byte(v.Body)
	}
	body, err := base64.StdEncoding.DecodeString(v.BodyBase64)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// sent is the request as net/http's server reads it.
func (v vector) sent(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(v.Method, v.URL, bytes.NewReader(v.body(t)))
	for _, h := range v.Headers {
		r.Header.Add(h[0], strings.Trim(h[1], " \t"))
	}
	r.Header.Set("Content-Digest", v.ContentDigest)
	r.Header.Set("Authorization", v.Authorization)
	r.Body = shield.NewBody(r.Body, defaultMaxBody)
	return r
}

// knowing returns the shield with default settings in a world at the vector's
// time that knows its key.
func (v vector) knowing(t testing.TB) (*shieldtest.World, shield.Shield) {
	t.Helper()
	w := shieldtest.NewWorld()
	w.Set(time.Unix(v.Timestamp, 0))
	w.Add(shield.Record{Kind: kind, ID: v.ID, Client: w.Client("shop"), Settings: map[string]string{"algorithm": v.Algorithm}}.
		Keep(nil, []byte(v.Secret), nil))
	s, err := Kind().Config().Open(w.Env())
	if err != nil {
		t.Fatal(err)
	}
	return w, s
}

func TestVectorsOfTheSpecificationAreAccepted(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			_, s := v.knowing(t)
			id, err := s.Verify(v.sent(t))
			if err != nil || id.CredentialID != v.ID {
				t.Fatalf("%+v, %v", id, err)
			}
			r := v.sent(t)
			r.Header.Set("Authorization", strings.Replace(v.Authorization, v.Signature, "A"+v.Signature[1:], 1))
			if _, err := s.Verify(r); !refusedAs(err, shield.BadSignature) {
				t.Errorf("with another first character: %v", err)
			}
		})
	}
}

func TestVectorsOfTheSpecificationAreWhatTheClientMakes(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if len(v.Digests) > 1 {
				t.Skip("the client makes one digest")
			}
			settings := map[string]string{"algorithm": v.Algorithm, "digest": strings.Join(v.Digests, "")}
			nonce, err := base64.RawURLEncoding.DecodeString(v.Nonce)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, h := range v.Headers {
				names = append(names, h[0])
			}
			settings["headers"] = strings.Join(names, ", ")
			signer, err := client(shield.Credential{
				ID: v.ID, Secret: v.Secret, Settings: settings,
				Now: func() time.Time { return time.Unix(v.Timestamp, 0) }, Rand: bytes.NewReader(nonce),
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequest(v.Method, v.URL, bytes.NewReader(v.body(t)))
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range v.Headers {
				r.Header.Add(h[0], h[1])
			}
			if err := signer.Sign(r); err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Content-Digest"); got != v.ContentDigest {
				t.Errorf("digest %s, want %s", got, v.ContentDigest)
			}
			canonical, err := signer.(shield.Explainer).Canonical(r)
			if err != nil {
				t.Fatal(err)
			}
			if !sameButOrder(canonical, v.Canonical) {
				t.Errorf("signed bytes\n%q, want\n%q", canonical, v.Canonical)
			}
			if got := r.Header.Get("Authorization"); canonical == v.Canonical && got != v.Authorization {
				t.Errorf("authorization\n%s, want\n%s", got, v.Authorization)
			}
		})
	}
}

// sameButOrder compares signed bytes; our client puts content-type first, which
// the scheme leaves to the client.
func sameButOrder(a, b string) bool {
	sorted := func(s string) string {
		lines := strings.Split(s, "\n")
		names := strings.Split(lines[9], ";")
		lines[9] = strings.Join(sortedCopy(names), ";")
		return strings.Join(append(append(lines[:10:10], sortedCopy(lines[10:10+len(names)])...), lines[10+len(names):]...), "\n")
	}
	return a == b || sorted(a) == sorted(b)
}

func sortedCopy(s []string) []string {
	out := append([]string(nil), s...)
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

func TestRefusalsOfTheSpecification(t *testing.T) {
	v := vectors(t)[0]
	rows := regexp.MustCompile("(?m)^\\| ([^|]*) \\| `((?i:hmac) [^`]*)` \\| `([a-z_]*)` \\|$").FindAllStringSubmatch(readPage(t), -1)
	if len(rows) < 17 {
		t.Fatalf("the page has %d refused signatures", len(rows))
	}
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			_, s := v.knowing(t)
			r := v.sent(t)
			r.Header.Set("Authorization", row[2])
			_, err := s.Verify(r)
			if row[3] == "accepted" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			} else if !refusedAs(err, shield.Code(row[3])) {
				t.Errorf("%v, want %s", err, row[3])
			}
		})
	}
}

// TestExamplesOfThePages sends the examples of the specification and of the
// README as they stand there, through net/http's own parser.
func TestExamplesOfThePages(t *testing.T) {
	v := vectors(t)[0]
	readmeWorld, _ := v.knowing(t)
	withHeader := Kind().Config().(*Config)
	withHeader.Headers = []string{"Idempotency-Key"}
	strict, err := withHeader.Open(readmeWorld.Env())
	if err != nil {
		t.Fatal(err)
	}
	_, plain := v.knowing(t)
	for name, example := range map[string]struct {
		text string
		s    shield.Shield
	}{"specification": {readPage(t), plain}, "README": {readme, strict}} {
		block := regexp.MustCompile("(?s)```http\n(.*?)\n```").FindStringSubmatch(example.text)
		if block == nil {
			t.Fatalf("%s: no example", name)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(block[1], "\n", "\r\n"))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r.Body = shield.NewBody(r.Body, defaultMaxBody)
		if _, err := example.s.Verify(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := regexp.MustCompile("(?s)```text\n(pavise-hmac-v1\n.*?\n)```").FindStringSubmatch(readPage(t)); text == nil || text[1] != v.Canonical {
		t.Errorf("the bytes at the top of the page are not those of the first vector")
	}
}

func TestShellExampleOfTheSpecification(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	script := regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindStringSubmatch(readPage(t))
	if script == nil {
		t.Fatal("the page has no shell example")
	}
	out, err := exec.Command("sh", "-c", script[1]).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), vectors(t)[0].Signature; got != want {
		t.Errorf("the shell prints %s, want %s", got, want)
	}
}

// TestSecondImplementation lets a client in Python, which shares no line with
// ours, sign the vectors and requests of many shapes.
func TestSecondImplementation(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	requests := vectors(t)
	base := requests[0]
	for _, path := range []string{"/", "/a", "/a/", "/a%20b/%C3%A9", "/~x/!$&'()*+,=:@", "/A%2Fb", "/?", "/a?x", "/a?x=1&y=%20&z=+", "/a??", "/a?%C3%A9=[]"} {
		for _, method := range []string{"GET", "POST", "DELETE", "PROPFIND"} {
			v := base
			v.Name, v.Method, v.URL = method+" "+path, method, "https://api.example.com:8443"+path
			v.Body = strings.Repeat("body ", len(requests))
			requests = append(requests, v)
		}
	}
	var in bytes.Buffer
	for _, v := range requests {
		request := map[string]any{
			"id": v.ID, "secret": v.Secret, "algorithm": v.Algorithm, "timestamp": v.Timestamp, "nonce": v.Nonce,
			"method": v.Method, "url": v.URL, "headers": v.Headers, "body_base64": base64.StdEncoding.EncodeToString(v.body(t)),
		}
		if v.Digests != nil {
			request["digests"] = v.Digests
		}
		if err := json.NewEncoder(&in).Encode(request); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(python, "-I", "testdata/client.py")
	command.Stdin = &in
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for i, v := range requests {
		var signed vector
		if err := answers.Decode(&signed); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if i < len(vectors(t)) && (signed.Canonical != v.Canonical || signed.Authorization != v.Authorization) {
			t.Errorf("%s: the second implementation makes another signature than the page", v.Name)
		}
		v.ContentDigest, v.Authorization = signed.ContentDigest, signed.Authorization
		_, s := v.knowing(t)
		if _, err := s.Verify(v.sent(t)); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

func refusedAs(err error, code shield.Code) bool {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	return ok && refusal.Code == code
}
