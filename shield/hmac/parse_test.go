package hmac

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
)

func TestContentDigestIsReadStrictly(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	good := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	long, err := digestField("sha-512", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	const md5 = "md5=:nUnZyiZYHFjR1ZdFtDB8sw==:"
	tests := []struct {
		name, field string
		good        bool
	}{
		{"sha-256", good, true},
		{"sha-512", long, true},
		{"both", good + ", " + long, true},
		{"both without a blank", good + "," + long, true},
		{"beside one that is passed over", md5 + ", " + good, true},
		{"empty", "", false},
		{"only md5", md5, false},
		{"twice the same", good + ", " + good, false},
		{"parameters", good + ";a=1", false},
		{"upper-case key", strings.Replace(good, "sha", "SHA", 1), false},
		{"without colons", strings.ReplaceAll(good, ":", ""), false},
		{"no padding", strings.Replace(good, "=:", ":", 2), false},
		{"base64url", "sha-256=:" + strings.NewReplacer("+", "-", "/", "_").Replace(good[9:]), !strings.ContainsAny(good[9:], "+/")},
		{"a blank inside", good[:20] + " " + good[20:], false},
		{"other unused bits", "sha-256=:" + otherLastBits(sum[:]) + ":", false},
		{"a line end inside", good[:20] + "\n" + good[20:], false},
		{"a comma at the end", good + ",", false},
		{"a comma at the start", "," + good, false},
		{"half of it", "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:16]) + ":", false},
		{"sha-512 of 32 bytes", strings.Replace(good, "256", "512", 1), false},
		{"five members", strings.Repeat("a=:AA==:,", 1) + "b=:AA==:,c=:AA==:,d=:AA==:," + good, false},
		{"very long", good + ", a=:" + strings.Repeat("AAAA", 200) + ":", false},
		{"a string", `sha-256="x"`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := parseDigest(test.field)
			if (err == nil) != test.good {
				t.Fatalf("%q: %v", test.field, err)
			}
			if err == nil && (!d.matches([]byte("x")) || d.matches([]byte("y"))) {
				t.Errorf("%q does not match its content alone", test.field)
			}
		})
	}
	if _, err := digestOf(http.Header{"Content-Digest": {good, good}}); err == nil {
		t.Error("two headers Content-Digest were read")
	}
}

func TestTwoDigestsMustBothHold(t *testing.T) {
	right, _ := digestField("sha-256", []byte("x"))
	wrong, _ := digestField("sha-512", []byte("y"))
	d, err := parseDigest(right + ", " + wrong)
	if err != nil {
		t.Fatal(err)
	}
	if d.matches([]byte("x")) || d.matches([]byte("y")) {
		t.Error("one of two digests sufficed")
	}
}

func TestListOfHeadersIsReadStrictly(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a;", 17), ";")
	for _, list := range []string{";", "a;", ";a", "a;;b", "a;a", "A", "a b", "a,b", "a_b", "host", "te", "authorization", "content-digest", many, strings.Repeat("a", 65)} {
		if names, err := parseList(list); err == nil {
			t.Errorf("%q was read as %q", list, names)
		}
	}
	for _, list := range []string{"", "a", "a;b", "content-type;x-1"} {
		if names, err := parseList(list); err != nil || strings.Join(names, ";") != list {
			t.Errorf("%q was read as %q, %v", list, names, err)
		}
	}
}

// TestLineEndsAreNoBase64: Go's decoder passes over them.
func TestLineEndsAreNoBase64(t *testing.T) {
	b := newBench(t, nil)
	for _, end := range []string{"\n", "\r\n"} {
		r := b.request("GET", "/", "")
		if err := changeSignature(func(s []byte) string { return encode(s)[:20] + end + encode(s)[20:] })(r); err != nil {
			t.Fatal(err)
		}
		b.wants(r, shield.InvalidCredential)
	}
}

// FuzzAuthorization: what is read has one form, the one that is written.
func FuzzAuthorization(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Authorization)
		f.Add(strings.Replace(v.Authorization, ", ", ",", 1))
	}
	f.Add(`HMAC id="", alg="", ts="", nonce="", headers="", signature=""`)
	f.Fuzz(func(t *testing.T, value string) {
		if !isOurs(value) {
			return
		}
		c, err := parse(value)
		if err != nil {
			return
		}
		if again := c.authorization(); again[len(scheme):] != value[len(scheme):] {
			t.Errorf("read %q, wrote %q", value, again)
		}
		if len(value) > maxHeader || len(c.headers) > maxCovered || len(c.signature) != c.algorithm.size {
			t.Errorf("out of bounds: %q", value)
		}
	})
}

// FuzzContentDigest: one reading, or none.
func FuzzContentDigest(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.ContentDigest)
		f.Add("md5=:AA==:, " + v.ContentDigest)
	}
	f.Fuzz(func(t *testing.T, field string) {
		d, err := parseDigest(field)
		if err != nil {
			return
		}
		if d.sha256 == nil && d.sha512 == nil || len(field) > maxDigestField {
			t.Errorf("accepted %q", field)
		}
		for key, sum := range map[string][]byte{"sha-256": d.sha256, "sha-512": d.sha512} {
			if sum != nil && strings.Count(field, key+"=:"+base64.StdEncoding.EncodeToString(sum)+":") != 1 {
				t.Errorf("%q holds no single %s", field, key)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, settings := range []struct{ name, digest, algorithm string }{
		{"sha256", "sha-256", sha256Name}, {"sha512", "sha-512", sha512Name},
	} {
		b.Run(settings.name, func(b *testing.B) {
			bench := newBench(b, nil)
			record := *bench.record
			record.Settings = map[string]string{"algorithm": settings.algorithm}
			bench.world.Add(record.Keep(nil, []byte(bench.credential.Secret), nil))
			body := strings.Repeat("x", 256)
			r := bench.signedWith(map[string]string{"algorithm": settings.algorithm, "digest": settings.digest},
				"POST", "/v1/orders?dry=1", body, "Content-Type", "application/json")
			source := strings.NewReader(body)
			content := nopCloser{source}
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(body)
				r.Body = shield.NewBody(content, 1<<20)
				if _, err := bench.shield.Verify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	bench := newBench(b, nil)
	r := bench.request("POST", "/v1/orders", "x")
	if err := changeSignature(flipped)(r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.shield.Verify(r); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkExamine is the worst that a wrong signature can cost, a few times a
// second.
func BenchmarkExamine(b *testing.B) {
	for name, path := range map[string]string{"usual": "/v1/orders", "longest": "/" + strings.Repeat("x", maxExamined-300)} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, nil)
			r := bench.request("POST", path, "x")
			if err := changeSignature(flipped)(r); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				bench.shield.(*signed).examined.used = 0
				if _, err := bench.shield.Verify(r); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	bench := newBench(b, nil)
	signer := bench.signer(nil)
	r := bench.request("POST", "/v1/orders", strings.Repeat("x", 256))
	b.ReportAllocs()
	for b.Loop() {
		if err := signer.Sign(r); err != nil {
			b.Fatal(err)
		}
	}
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }
