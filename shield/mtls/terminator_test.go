package mtls

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

type terminatorScene struct {
	*scene
	proxies   *authority
	now       time.Time
	presented func(*http.Request) ([]*x509.Certificate, bool, error)
}

func newTerminatorScene(t testing.TB) *terminatorScene {
	s := &terminatorScene{scene: newScene(t)}
	s.now = s.world.Now()
	s.proxies = newAuthority(t, s.now, "Terminators")
	pool := x509.NewCertPool()
	pool.AddCert(s.proxies.cert)
	s.presented = Terminators(pool, func() time.Time { return s.now })
	return s
}

func withHeaders(r *http.Request, leaf string, chain ...string) *http.Request {
	if leaf != "" {
		r.Header[certHeader] = []string{leaf}
	}
	if len(chain) > 0 {
		r.Header[chainHeader] = chain
	}
	return r
}

func TestOnlyATerminatorNamesTheCaller(t *testing.T) {
	attacktest.Rows(t, 79)
	s := newTerminatorScene(t)
	leaf, proxy := s.ca.leaf(), s.proxies.leaf()
	header := ClientCertHeader(leaf)
	chain, ok, err := s.presented(withHeaders(requestOf(proxy), header))
	if err != nil || !ok || len(chain) != 1 || !chain[0].Equal(leaf) {
		t.Fatalf("a terminator: %v, %v, %v", chain, ok, err)
	}
	s.accepted("who the terminator names", chain...)
	chain, ok, err = s.presented(requestOf(proxy))
	if err != nil || !ok || len(chain) != 0 {
		t.Errorf("a terminator whose caller has no certificate: %v, %v, %v; want none, and not the proxy's own", chain, ok, err)
	}
	plain := requestOf()
	plain.TLS = nil
	for name, r := range map[string]*http.Request{
		"without TLS":               plain,
		"without a certificate":     requestOf(),
		"a client":                  requestOf(leaf),
		"another CA of that name":   requestOf(newAuthority(t, s.now, "Terminators").leaf()),
		"a terminator's server one": requestOf(s.proxies.leaf(forServers)),
		"an expired terminator":     requestOf(s.proxies.leaf(lasting(s.now.Add(-2*time.Hour), s.now.Add(-time.Hour)))),
		"the CA itself":             requestOf(s.proxies.cert),
		"a client, the proxy after": requestOf(leaf, proxy),
	} {
		if chain, ok, err := s.presented(withHeaders(r, header)); ok || err != nil || chain != nil {
			t.Errorf("%s: %v, %v, %v; its headers are worth nothing", name, chain, ok, err)
		}
	}
	s.now = s.now.Add(24 * time.Hour)
	if _, ok, _ := s.presented(withHeaders(requestOf(proxy), header)); ok {
		t.Error("a terminator that expired on a kept connection is believed")
	}
}

func TestHeadersAreReadStrictly(t *testing.T) {
	attacktest.Rows(t, 79)
	s := newTerminatorScene(t)
	between := s.ca.below("Between")
	leaf, proxy := ClientCertHeader(between.leaf()), s.proxies.leaf()
	above := ClientCertHeader(between.cert)
	unpadded := strings.TrimRight(strings.TrimSuffix(leaf, ":"), "=") + ":"
	tests := []struct {
		name  string
		leaf  []string
		chain []string
		good  int // certificates; 0: refused
	}{
		{"leaf", []string{leaf}, nil, 1},
		{"leaf and chain", []string{leaf}, []string{above}, 2},
		{"a chain of two", []string{leaf}, []string{above + ", " + above}, 3},
		{"a chain in two lines", []string{leaf}, []string{above, above}, 3},
		{"two leaves", []string{leaf, leaf}, nil, 0},
		{"two leaves in one", []string{leaf + ", " + leaf}, nil, 0},
		{"a chain without a leaf", nil, []string{above}, 0},
		{"an empty leaf", []string{""}, nil, 0},
		{"nothing between colons", []string{"::"}, nil, 0},
		{"without colons", []string{strings.Trim(leaf, ":")}, nil, 0},
		{"PEM in a header", []string{"-----BEGIN CERTIFICATE-----"}, nil, 0},
		{"parameters", []string{leaf + ";a=1"}, nil, 0},
		{"a blank before", []string{" " + leaf}, nil, 0},
		{"a line break inside", []string{leaf[:9] + "\n" + leaf[9:]}, nil, 0},
		{"URL-safe", []string{strings.NewReplacer("+", "-", "/", "_").Replace(":+/+/" + leaf[1:])}, nil, 0},
		{"bytes after the certificate", []string{":" + strings.Trim(ClientCertHeader(&x509.Certificate{Raw: append(between.leaf().Raw, 0)}), ":") + ":"}, nil, 0},
		{"an empty chain", []string{leaf}, []string{""}, 0},
		{"a comma too many", []string{leaf}, []string{above + ","}, 0},
		{"a token in the chain", []string{leaf}, []string{above + ", x"}, 0},
		{"ten above", []string{leaf}, []string{strings.Repeat(above+",", 9) + above}, 0},
		{"too long", []string{":" + strings.Repeat("A", maxEncoded) + ":"}, nil, 0},
		{"a chain too long", []string{leaf}, []string{":" + strings.Repeat("A", maxEncoded) + ":"}, 0},
	}
	if unpadded != leaf {
		tests = append(tests, struct {
			name  string
			leaf  []string
			chain []string
			good  int
		}{"without padding", []string{unpadded}, nil, 0})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := requestOf(proxy)
			if test.leaf != nil {
				r.Header[certHeader] = test.leaf
			}
			if test.chain != nil {
				r.Header[chainHeader] = test.chain
			}
			chain, ok, err := s.presented(r)
			refusal, refused := err.(*shield.Refusal)
			switch {
			case test.good > 0 && (err != nil || !ok || len(chain) != test.good):
				t.Errorf("%d certificates, %v, %v; want %d", len(chain), ok, err, test.good)
			case test.good == 0 && (!refused || refusal.Code != shield.MalformedCredential || ok || chain != nil):
				t.Errorf("%d certificates, %v, %v; want %s", len(chain), ok, err, shield.MalformedCredential)
			}
		})
	}
}

func FuzzHeaders(f *testing.F) {
	s := newTerminatorScene(f)
	leaf := ClientCertHeader(s.ca.leaf())
	f.Add(leaf, "")
	f.Add(leaf, leaf+", "+leaf)
	f.Add("::", ",")
	f.Add(leaf+";a", leaf+"\n")
	f.Fuzz(func(t *testing.T, leaf, chain string) {
		h := http.Header{certHeader: {leaf}}
		if chain != "" {
			h[chainHeader] = []string{chain}
		}
		found, err := readHeaders(h)
		if err != nil {
			return
		}
		if len(found) > maxChain || ClientCertHeader(found[0]) != leaf {
			t.Errorf("%d certificates from %q, the first not as it was sent", len(found), leaf)
		}
	})
}

func BenchmarkTerminator(b *testing.B) {
	s := newTerminatorScene(b)
	r := withHeaders(requestOf(s.proxies.leaf()), ClientCertHeader(s.ca.leaf()))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := s.presented(r); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func TestBase64IsCanonical(t *testing.T) {
	attacktest.Rows(t, 79)
	s := newTerminatorScene(t)
	header := ""
	for name := "a"; !strings.Contains(header, "="); name += "a" {
		header = ClientCertHeader(s.ca.leaf(func(c *x509.Certificate) { c.Subject.CommonName = name }))
	}
	if _, err := parseItem(header); err != nil {
		t.Fatalf("as it was sent: %v", err)
	}
	last := strings.IndexByte(header, '=') - 1
	spare := header[:last] + string(header[last]+1) + header[last+1:] // a bit that base64 does not need
	if _, err := parseItem(spare); err == nil {
		t.Error("the same certificate was read from other characters")
	}
}
