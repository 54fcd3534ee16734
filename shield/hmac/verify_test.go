package hmac

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

// bench is a shield in a world that knows one key.
type bench struct {
	testing.TB
	world      *shieldtest.World
	shield     shield.Shield
	record     *shield.Record
	credential shield.Credential
}

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := &bench{TB: t, world: shieldtest.NewWorld()}
	b.record, b.credential = b.world.Issue(t, Kind(), "shop")
	b.credential.Now, b.credential.Rand = b.world.Now, b.world.Rand()
	config := Kind().Config().(*Config)
	if change != nil {
		change(config)
	}
	opened, err := config.Open(b.world.Env())
	if err != nil {
		t.Fatal(err)
	}
	b.shield = opened
	return b
}

func (b *bench) signer(settings map[string]string) shield.Signer {
	b.Helper()
	c := b.credential
	c.Settings = settings
	s, err := client(c)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// request returns a signed request.
func (b *bench) request(method, target, body string, header ...string) *http.Request {
	b.Helper()
	return b.signedWith(nil, method, target, body, header...)
}

func (b *bench) signedWith(settings map[string]string, method, target, body string, header ...string) *http.Request {
	b.Helper()
	r, err := http.NewRequest(method, "https://api.example.com"+target, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if err := b.signer(settings).Sign(r); err != nil {
		b.Fatal(err)
	}
	return r
}

// verify asks the shield as the guard would.
func (b *bench) verify(r *http.Request) (*shield.Identity, error) {
	if r.Body == nil {
		r.Body = http.NoBody // as a server gives it
	}
	r.Body = shield.NewBody(r.Body, shield.NeedsOf(b.shield).Body)
	r.RemoteAddr = "192.0.2.7:40000"
	return b.shield.Verify(r)
}

func (b *bench) wants(r *http.Request, code shield.Code) string {
	b.Helper()
	_, err := b.verify(r)
	refusal, _ := errors.AsType[*shield.Refusal](err)
	if code == "" && err != nil {
		b.Errorf("refused: %v", err)
	}
	if code != "" && (refusal == nil || refusal.Code != code) {
		b.Errorf("%v, want %s", err, code)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Detail
}

func TestWindowIsExactToTheSecond(t *testing.T) {
	tests := []struct {
		name    string
		advance time.Duration
		code    shield.Code
	}{
		{"now", 0, ""},
		{"60 s old", 60 * time.Second, ""},
		{"60.9 s old", 60*time.Second + 900*time.Millisecond, ""},
		{"61 s old", 61 * time.Second, shield.StaleRequest},
		{"5 s ahead", -5 * time.Second, ""},
		{"6 s ahead", -6 * time.Second, shield.StaleRequest},
		{"of the year before", 365 * 24 * time.Hour, shield.StaleRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			r := b.request("GET", "/v1/orders", "")
			b.world.Advance(test.advance)
			b.wants(r, test.code)
		})
	}
}

func TestStaleSaysWhatMayBeWrongWithTheClock(t *testing.T) {
	for off, want := range map[time.Duration]string{
		90 * time.Second:              "clock is off",
		time.Hour:                     "local time",
		-5*time.Hour - 30*time.Minute: "local time",
		50 * 24 * time.Hour:           "a date",
	} {
		b := newBench(t, nil)
		r := b.request("GET", "/", "")
		b.world.Advance(off)
		if detail := b.wants(r, shield.StaleRequest); !strings.Contains(detail, want) {
			t.Errorf("%s off: %q does not mention %q", off, detail, want)
		}
	}
}

func TestOnceClaimOutlivesTheWindow(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("POST", "/v1/orders", "x")
	id, err := b.verify(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(id.Once) != 1 {
		t.Fatalf("%d once-claims", len(id.Once))
	}
	once := id.Once[0]
	if !once.Made.Equal(b.world.Now()) || !strings.Contains(once.Space, b.record.ID) {
		t.Errorf("claim %+v", once)
	}
	b.world.Set(once.Until)
	b.wants(b.again(r), shield.StaleRequest)
}

// A request that was used under a narrow window must not pass under the wide one
// of a later configuration, which may come by a reload or a restart.
func TestAWiderWindowBringsNothingBack(t *testing.T) {
	for _, narrow := range []time.Duration{time.Second, time.Minute} {
		b := newBench(t, func(c *Config) { c.Window = narrow })
		used := b.request("POST", "/v1/orders", "x")
		id, err := b.verify(used)
		if err != nil {
			t.Fatal(err)
		}
		claim := id.Once[0]
		wide := &Config{Window: 15 * time.Minute, Future: maxFuture, MaxBody: 1 << 20}
		if b.shield, err = wide.Open(b.world.Env()); err != nil {
			t.Fatal(err)
		}
		for _, age := range []time.Duration{0, narrow, time.Minute, time.Minute + time.Second, 2 * time.Minute, 14 * time.Minute} {
			b.world.Set(claim.Made.Add(age))
			_, err := b.verify(b.again(used))
			if err == nil && !b.world.Now().Before(claim.Until) {
				t.Errorf("window %s: %s old it passes, and its nonce is forgotten", narrow, age)
			}
			if err != nil && age <= time.Minute {
				t.Errorf("window %s: %s old it is refused: %v", narrow, age, err)
			}
		}
	}
}

// After a minute the wide window works as it is written.
func TestAWideWindowTakesEffect(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Window = 15 * time.Minute })
	early := b.request("POST", "/v1/orders", "x")
	made := b.world.Now()
	b.world.Set(made.Add(maxFuture + time.Second))
	late := b.request("POST", "/v1/orders", "x")
	b.wants(b.again(early), shield.StaleRequest)
	b.world.Set(b.world.Now().Add(15 * time.Minute))
	if _, err := b.verify(b.again(late)); err != nil {
		t.Errorf("15 minutes old: %v", err)
	}
	b.world.Set(b.world.Now().Add(time.Second))
	b.wants(b.again(late), shield.StaleRequest)
}

func (b *bench) again(r *http.Request) *http.Request {
	again := r.Clone(context.Background())
	again.Body, _ = r.GetBody()
	return again
}

func TestNonceIsOncePerKeyWhateverIsSigned(t *testing.T) {
	b := newBench(t, nil)
	same := bytes.Repeat([]byte{7}, 16)
	var digests [][32]byte
	for _, path := range []string{"/a", "/b"} {
		c := b.credential
		c.Rand = bytes.NewReader(same)
		s, err := client(c)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("GET", "https://api.example.com"+path, nil)
		if err := s.Sign(r); err != nil {
			t.Fatal(err)
		}
		id, err := b.verify(r)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, id.Once[0].Digest)
	}
	if digests[0] != digests[1] {
		t.Error("one nonce made two claims")
	}
}

func TestTwoKeysOverlapWhileOneIsRotated(t *testing.T) {
	b := newBench(t, nil)
	old := b.credential
	_, b.credential = b.world.Issue(t, Kind(), "shop")
	b.credential.Now, b.credential.Rand = old.Now, old.Rand
	b.wants(b.request("GET", "/", ""), "")
	fresh := b.credential
	b.credential = old
	b.wants(b.request("GET", "/", ""), "")
	revoked := shield.Record{Kind: kind, ID: old.ID, Client: b.world.Client("shop"), Revoked: b.world.Now()}.Keep(nil, []byte(old.Secret), nil)
	b.world.Add(revoked)
	b.wants(b.request("GET", "/", ""), shield.RevokedCredential)
	b.credential = fresh
	b.wants(b.request("GET", "/", ""), "")
}

func TestAlgorithmBelongsToTheKey(t *testing.T) {
	for _, pin := range []string{"", sha256Name, sha512Name, "hmac-md5"} {
		for _, used := range []string{sha256Name, sha512Name} {
			b := newBench(t, nil)
			record := *b.record
			record.Settings = map[string]string{"algorithm": pin}
			b.world.Add(record.Keep(nil, []byte(b.credential.Secret), nil))
			want := shield.Code("")
			if used != pin && (pin != "" || used != sha256Name) {
				want = shield.BadSignature
			}
			b.wants(b.signedWith(map[string]string{"algorithm": used}, "GET", "/", ""), want)
		}
	}
}

func TestRequiredHeadersAreTheVerifiers(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Headers = []string{"Idempotency-Key"} })
	cover := map[string]string{"headers": "idempotency-key"}
	b.wants(b.signedWith(cover, "POST", "/", "x", "Idempotency-Key", "k1"), "")
	b.wants(b.request("POST", "/", "x", "Idempotency-Key", "k1"), shield.InvalidCredential)
	r := b.signedWith(cover, "POST", "/", "x", "Idempotency-Key", "k1")
	r.Header.Set("Idempotency-Key", "k2")
	b.wants(r, shield.BadSignature)
	r = b.signedWith(cover, "POST", "/", "x", "Idempotency-Key", "k1")
	r.Header.Add("Idempotency-Key", "k1")
	b.wants(r, shield.BadHeader)
	r = b.signedWith(cover, "POST", "/", "x", "Idempotency-Key", "k1")
	r.Header.Del("Idempotency-Key")
	b.wants(r, shield.BadSignature)
	_, err := b.verify(b.request("GET", "/", ""))
	if refusal, _ := errors.AsType[*shield.Refusal](err); refusal == nil || !strings.Contains(refusal.Challenge[0], `headers="idempotency-key"`) {
		t.Errorf("the challenge does not name what must be covered: %v", refusal)
	}
}

func TestHeaderAddedOnTheWayIsRefusedIfItChangesTheBodysMeaning(t *testing.T) {
	b := newBench(t, nil)
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		r := b.request("POST", "/", "x")
		r.Header.Set(name, "application/json")
		b.wants(r, shield.InvalidCredential)
	}
}

// TestBodyAsItTravels is row 97 over a real socket: chunks and compression are
// signed as received, trailers are refused.
func TestBodyAsItTravels(t *testing.T) {
	b := newBench(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = shield.NewBody(r.Body, shield.NeedsOf(b.shield).Body)
		if _, err := b.shield.Verify(r); err != nil {
			refusal, _ := errors.AsType[*shield.Refusal](err)
			w.Header().Set("Code", string(refusal.Code))
			w.WriteHeader(refusal.HTTPStatus())
		}
	}))
	defer server.Close()
	tests := []struct {
		name string
		send func(*http.Request)
		code shield.Code
	}{
		{"with a length", func(*http.Request) {}, ""},
		{"in chunks", func(r *http.Request) { r.ContentLength = -1 }, ""},
		{"in chunks with an announced trailer", func(r *http.Request) { r.ContentLength, r.Trailer = -1, http.Header{"X-Late": {"1"}} }, shield.BadSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequest("POST", server.URL+"/v1/orders?", strings.NewReader("\x1f\x8b not unpacked"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Encoding", "gzip")
			if err := b.signer(nil).Sign(r); err != nil {
				t.Fatal(err)
			}
			test.send(r)
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if got := answer.Header.Get("Code"); got != string(test.code) {
				t.Errorf("got %d %s, want %s", answer.StatusCode, got, test.code)
			}
		})
	}
}

func TestTrailersThatWereNotAnnouncedAreRefused(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("POST", "/", "x")
	content := r.Body
	r.Body = &lateTrailer{ReadCloser: content, request: r}
	b.wants(r, shield.BadDigest)
}

// lateTrailer sets a trailer at the end of the body, as net/http does.
type lateTrailer struct {
	io.ReadCloser
	request *http.Request
}

func (l *lateTrailer) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err == io.EOF {
		l.request.Trailer = http.Header{"X-Late": {"1"}}
	}
	return n, err
}

func TestBodyIsReadOnlyUnderAGoodSignature(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request) error{
		"wrong signature":    changeSignature(flipped),
		"unknown key":        edit(` id="[^"]*"`, ` id="hk_unknown"`),
		"malformed":          edit(`$`, "x"),
		"stale":              shiftTimestamp(-100),
		"signed by an older": shiftTimestamp(-1),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			r := b.request("POST", "/", "x")
			if err := spoil(r); err != nil {
				t.Fatal(err)
			}
			r.Body, r.ContentLength = untouchable{t}, 8<<30
			if _, err := b.verify(r); err == nil {
				t.Error("accepted")
			}
		})
	}
}

type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (untouchable) Close() error { return nil }

func TestBodyOverItsLimitIsTooLarge(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxBody = 10 })
	b.wants(b.request("POST", "/", strings.Repeat("x", 10)), "")
	b.wants(b.request("POST", "/", strings.Repeat("x", 11)), shield.TooLarge)
	r := b.request("POST", "/", strings.Repeat("x", 11))
	r.ContentLength = -1
	b.wants(r, shield.TooLarge)
	r = b.request("POST", "/", strings.Repeat("x", 11))
	r.ContentLength = -1
	r.Body = shield.NewBody(r.Body, 1<<20) // the endpoint lets others read more
	_, err := b.shield.Verify(r)
	if !refusedAs(err, shield.TooLarge) {
		t.Errorf("where others may read more: %v", err)
	}
	b = newBench(t, func(c *Config) { c.MaxBody = 0 })
	b.wants(b.request("GET", "/", ""), "")
	b.wants(b.request("POST", "/", "x"), shield.TooLarge)
}

func TestBodyThatSaysItIsTooLongIsNotRead(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("POST", "/", "x")
	r.Body, r.ContentLength = untouchable{t}, defaultMaxBody+1
	b.wants(r, shield.TooLarge)
}

// TestDecoyOpensNothing: the secret that stands in for unknown keys, and for
// those that cannot verify, signs nothing even for who would know it.
func TestDecoyOpensNothing(t *testing.T) {
	b := newBench(t, nil)
	decoy := string(b.shield.(*signed).decoy)
	unknown := b.request("GET", "/", "")
	if err := edit(` id="[^"]*"`, ` id="hk_unknown"`)(unknown); err != nil {
		t.Fatal(err)
	}
	b.resign(unknown, decoy, func(*parts) {})
	b.wants(unknown, shield.BadSignature)
	b.world.Add(b.record.Keep(nil, nil, nil))
	known := b.request("GET", "/", "")
	b.resign(known, decoy, func(*parts) {})
	b.wants(known, shield.BadSignature)
}

func TestBodyThatNobodyMadeReadableIsUndecided(t *testing.T) {
	b := newBench(t, nil)
	_, err := b.shield.Verify(b.request("POST", "/", "x"))
	if _, isRefusal := errors.AsType[*shield.Refusal](err); err == nil || isRefusal {
		t.Errorf("%v, want an error that is no refusal", err)
	}
	r := b.request("GET", "/", "")
	r.Body = http.NoBody
	if _, err := b.shield.Verify(r); err != nil {
		t.Errorf("without a body: %v", err)
	}
}

// TestRecordWithoutASecretVerifiesNothing: HMAC takes an empty key, so a store
// that lost the secret would let everybody in.
func TestRecordWithoutASecretVerifiesNothing(t *testing.T) {
	for _, secret := range []string{"", "short", "fifteen-bytes-x"} {
		b := newBench(t, nil)
		b.world.Add(b.record.Keep(nil, []byte(secret), nil))
		c := b.request("GET", "/", "")
		claim, err := parse(c.Header.Get("Authorization"))
		if err != nil {
			t.Fatal(err)
		}
		d, _ := digestOf(c.Header)
		p, err := partsOf(c, claim, d)
		if err != nil {
			t.Fatal(err)
		}
		p.signature = p.sum([]byte(secret))
		c.Header.Set("Authorization", p.authorization())
		b.wants(c, shield.BadSignature)
	}
}

func TestQueryAbsentAndEmptyAreTwoRequests(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("GET", "/v1", "")
	r.URL.ForceQuery = true
	b.wants(r, shield.BadSignature)
	r = b.request("GET", "/v1?", "")
	b.wants(b.again(r), "")
	r.URL.ForceQuery = false
	b.wants(r, shield.BadSignature)
}

// TestNoTwoRequestsHaveTheSameBytes moves text between neighbouring lines.
func TestNoTwoRequestsHaveTheSameBytes(t *testing.T) {
	b := newBench(t, nil)
	settings := map[string]string{"headers": "x-a"}
	r := b.signedWith(settings, "GET", "/v1", "", "X-A", "1")
	r.Header.Set("X-A", "1\nx-b:2")
	b.wants(r, shield.BadSignature)
	r = b.signedWith(settings, "GET", "/v1", "", "X-A", "1")
	r.Host = "api.example.com\n/v1"
	b.wants(r, shield.BadSignature)
	r = b.signedWith(settings, "GET", "/v1?a", "", "X-A", "1")
	r.URL.Path, r.URL.RawQuery = "/v1?a", ""
	b.wants(r, shield.BadSignature)
}

func TestUsualMistakesAreNamedForTheOperatorOnly(t *testing.T) {
	tests := []struct {
		name, target string
		header       []string
		change       func(*parts)
		want         string
	}{
		{"slash", "/v1/orders", nil, func(p *parts) { p.path += "/" }, "a slash at the end of the path"},
		{"no slash", "/v1/orders/", nil, func(p *parts) { p.path = "/v1/orders" }, "no slash at the end"},
		{"decoded path", "/v1/a%20b", nil, func(p *parts) { p.path = "/v1/a b" }, "escapes decoded"},
		{"port", "/", nil, func(p *parts) { p.authority += ":443" }, "port 443"},
		{"sorted query", "/?b=2&a=1", nil, func(p *parts) { p.query = "?a=1&b=2" }, "sorted"},
		{"plus", "/?a=b%20c", nil, func(p *parts) { p.query = "?a=b+c" }, "+ instead of %20"},
		{"blank", "/?a=b+c", nil, func(p *parts) { p.query = "?a=b%20c" }, "%20 instead of +"},
		{"question mark", "/?a=1", nil, func(p *parts) { p.query = "a=1" }, "no question mark"},
		{"charset", "/", []string{"Content-Type", "text/plain; charset=utf-8"}, func(p *parts) { p.values = []string{"text/plain"} }, "without its parameters"},
		{"blank after colon", "/", []string{"Content-Type", "text/plain"}, func(p *parts) { p.values = []string{" text/plain"} }, "blank after the colon"},
		{"milliseconds", "/", nil, func(p *parts) { p.timestamp += "000" }, "milliseconds"},
		{"bare digest", "/", nil, func(p *parts) { p.digest = p.digest[9 : len(p.digest)-1] }, "bare digest"},
		{"method", "/", nil, func(p *parts) { p.method = "get" }, "method in lower case"},
		{"forwarded", "/", []string{"X-Forwarded-Host", "public.example.com"}, func(p *parts) { p.authority = "public.example.com" }, "X-Forwarded-Host"},
		{"something else", "/", nil, func(p *parts) { p.path = "/else" }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			r := b.request("GET", test.target, "", test.header...)
			b.resign(r, b.credential.Secret, test.change)
			detail := b.wants(r, shield.BadSignature)
			if !strings.Contains(detail, test.want) || test.want == "" && strings.Contains(detail, "would match") {
				t.Errorf("detail %q, want %q in it", detail, test.want)
			}
		})
	}
}

// resign signs what change makes of the request, and leaves the request.
func (b *bench) resign(r *http.Request, secret string, change func(*parts)) {
	b.Helper()
	c, err := parse(r.Header.Get("Authorization"))
	if err != nil {
		b.Fatal(err)
	}
	d, _ := digestOf(r.Header)
	p, err := partsOf(r, c, d)
	if err != nil {
		b.Fatal(err)
	}
	sent := p
	change(&p)
	sent.signature = p.sum([]byte(secret))
	r.Header.Set("Authorization", sent.authorization())
}

func TestMistakesWithTheSecretAndTheLinesAreNamed(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("GET", "/", "")
	b.resign(r, b.credential.Secret+"\n", func(*parts) {})
	if detail := b.wants(r, shield.BadSignature); !strings.Contains(detail, "line feed after the secret") {
		t.Error(detail)
	}
	b.resign(r, strings.TrimPrefix(b.credential.Secret, secretPrefix), func(*parts) {})
	if detail := b.wants(r, shield.BadSignature); !strings.Contains(detail, "the secret without its prefix") {
		t.Error(detail)
	}
	c, _ := parse(r.Header.Get("Authorization"))
	d, _ := digestOf(r.Header)
	p, err := partsOf(r, c, d)
	if err != nil {
		t.Fatal(err)
	}
	message := p.append(nil)
	p.signature = p.algorithm.sum([]byte(b.credential.Secret), message[:len(message)-1])
	r.Header.Set("Authorization", p.authorization())
	if detail := b.wants(r, shield.BadSignature); !strings.Contains(detail, "no line feed after the last line") {
		t.Error(detail)
	}
}

func TestMistakesOfTheEncodingAreNamed(t *testing.T) {
	for _, a := range attacks() {
		want := map[string]string{
			"the signature in hexadecimal":     "hexadecimal",
			"the signature without padding":    "padding",
			"half a signature":                 "cut off",
			"the signature with a blank":       "blanks",
			"a timestamp that is no number":    "ts is not seconds",
			"an empty list of headers":         "Content-Type",
			"a header of 8 kB":                 "at most 4096",
			"a parameter twice":                "nonce",
			"an unknown parameter":             "follows the signature",
			"a covered header twice":           "2 times",
			"only an MD5 digest":               "neither sha-256 nor sha-512",
			"another algorithm than the key's": "the key is for",
		}[a.Name]
		if want == "" {
			continue
		}
		b := newBench(t, nil)
		r := b.request("POST", "/", "x", "Content-Type", "text/plain")
		if err := a.Change(r); err != nil {
			t.Fatal(err)
		}
		if detail := b.wants(r, a.Code); !strings.Contains(detail, want) {
			t.Errorf("%s: detail %q, want %q in it", a.Name, detail, want)
		}
	}
}

func TestMistakesWithTheBodyAreNamed(t *testing.T) {
	for body, want := range map[string]string{
		"x":     "no line feed at its end", // signed without, sent with
		"x\n\n": "a line feed at its end",
		"":      "nothing in it",
	} {
		b := newBench(t, nil)
		r := b.request("POST", "/", body)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x\n")), 2
		if detail := b.wants(r, shield.BadDigest); !strings.Contains(detail, want) {
			t.Errorf("signed %q: detail %q, want %q in it", body, detail, want)
		}
	}
}

func TestMistakesAreExaminedAFewTimesASecond(t *testing.T) {
	b := newBench(t, nil)
	examined := func() (n int) {
		for range 50 {
			r := b.request("GET", "/v1/orders", "")
			b.resign(r, b.credential.Secret, func(p *parts) { p.path += "/" })
			if strings.Contains(b.wants(r, shield.BadSignature), "slash") {
				n++
			}
		}
		return n
	}
	if n := examined(); n != examinations {
		t.Errorf("%d examined in one second, want %d", n, examinations)
	}
	b.world.Advance(time.Second)
	if n := examined(); n != examinations {
		t.Errorf("%d examined in the next second, want %d", n, examinations)
	}
}

func TestLongMessagesAreNotExamined(t *testing.T) {
	b := newBench(t, nil)
	r := b.request("GET", "/"+strings.Repeat("x", maxExamined), "")
	b.resign(r, b.credential.Secret, func(p *parts) { p.path += "/" })
	if detail := b.wants(r, shield.BadSignature); !strings.Contains(detail, "not examined") {
		t.Error(detail)
	}
}

// TestUnknownKeyTakesTheSameWork is row 100 by construction: the same number of
// allocations for an unknown id and a wrong signature, examined or not.
func TestUnknownKeyTakesTheSameWork(t *testing.T) {
	b := newBench(t, nil)
	wrong := b.request("GET", "/", "")
	if err := changeSignature(flipped)(wrong); err != nil {
		t.Fatal(err)
	}
	unknown := b.request("GET", "/", "")
	if err := edit(` id="[^"]*"`, ` id="hk_`+strings.Repeat("x", idLength)+`"`)(unknown); err != nil {
		t.Fatal(err)
	}
	examined := &b.shield.(*signed).examined
	work := func(r *http.Request, used int) float64 {
		return testing.AllocsPerRun(100, func() {
			examined.used = used
			if _, err := b.shield.Verify(r); !refusedAs(err, shield.BadSignature) {
				t.Fatal(err)
			}
		})
	}
	for name, used := range map[string]int{"examined": 0, "not examined": examinations} {
		a, c := work(wrong, used), work(unknown, used)
		if a-c > 2 || c-a > 2 {
			t.Errorf("%s: a wrong signature allocates %v times, an unknown key %v times", name, a, c)
		}
		t.Logf("%s: %v and %v allocations", name, a, c)
	}
}

func TestProbesDoNotTellWhichKeysExist(t *testing.T) {
	b := newBench(t, nil)
	seen := map[string]bool{}
	for _, spoil := range []func(*http.Request) error{
		changeSignature(flipped), edit(` id="[^"]*"`, ` id="hk_unknown"`), otherAlgorithm,
	} {
		r := b.request("GET", "/", "")
		if err := spoil(r); err != nil {
			t.Fatal(err)
		}
		_, err := b.verify(r)
		refusal, _ := errors.AsType[*shield.Refusal](err)
		if refusal == nil || refusal.Proved || refusal.Client != "" || refusal.CredentialID == "" {
			t.Fatalf("%+v", err)
		}
		seen[string(refusal.Code)+strconv.Itoa(refusal.HTTPStatus())+strings.Join(refusal.Challenge, "")] = true
	}
	if len(seen) != 1 {
		t.Errorf("callers see differences: %v", seen)
	}
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		path   string
	}{
		{"no window", func(c *Config) { c.Window = 0 }, "window"},
		{"an hour", func(c *Config) { c.Window = time.Hour }, "window"},
		{"parts of seconds", func(c *Config) { c.Window = 1500 * time.Millisecond }, "window"},
		{"negative future", func(c *Config) { c.Future = -time.Second }, "future"},
		{"far future", func(c *Config) { c.Future = time.Hour }, "future"},
		{"negative body", func(c *Config) { c.MaxBody = -1 }, "max_body"},
		{"a gigabyte", func(c *Config) { c.MaxBody = 1 << 30 }, "max_body"},
		{"no header name", func(c *Config) { c.Headers = []string{"X-A", "x y"} }, "headers.1"},
		{"twice", func(c *Config) { c.Headers = []string{"X-A", "x-a"} }, "headers.1"},
		{"host", func(c *Config) { c.Headers = []string{"Host"} }, "headers.0"},
		{"of the connection", func(c *Config) { c.Headers = []string{"Transfer-Encoding"} }, "headers.0"},
		{"too many", func(c *Config) { c.Headers = make([]string, 17) }, "headers"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Kind().Config().(*Config)
			test.change(c)
			problems := c.Validate()
			if len(problems) == 0 || problems[0].Path != test.path {
				t.Errorf("problems %+v, want one at %s", problems, test.path)
			}
			if _, err := c.Open(shieldtest.NewWorld().Env()); err == nil {
				t.Error("opened")
			}
		})
	}
	if problems := Kind().Config().Validate(); len(problems) > 0 {
		t.Errorf("the defaults: %+v", problems)
	}
}

// Attacks on what a request does not have leave it as it was; they do not make one that cannot be sent.
func TestAttacksOnARequestWithoutABodyCanBeSent(t *testing.T) {
	for path, want := range map[string]string{"/": "/%2F", "/me": "/%2Fme", "/v1/orders": "/v1%2Forders"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if err := escapedSlash(r); err != nil || r.URL.RequestURI() != want {
			t.Errorf("%s becomes %s, want %s; %v", path, r.URL.RequestURI(), want, err)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", nil)
	r.Body = nil
	if err := trailers(r); err != nil || r.Trailer != nil || r.ContentLength != 0 {
		t.Errorf("trailers %v, length %d; %v", r.Trailer, r.ContentLength, err)
	}
}
