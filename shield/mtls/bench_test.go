package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

// lookup answers from a map that never changes, as a snapshot does.
type lookup map[string]*shield.Record

func (l lookup) Credential(_, id string) (*shield.Record, error) {
	if record := l[id]; record != nil {
		return record, nil
	}
	return nil, shield.ErrUnknown
}

func (lookup) Holder(string, []byte) (*shield.Record, error) { return nil, shield.ErrUnknown }

func benchmarkScene(b *testing.B) (*scene, shield.Shield) {
	b.Helper()
	s := newScene(b, func(s *scene) {
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour)))
		s.config.CRL = []string{"ca.crl"}
		s.config.Allow = []Rule{{DNS: "pay.internal"}}
	})
	record := shield.Record{Kind: kind, ID: "dns:pay.internal", Client: s.world.Client("shop"), Scopes: shield.Scopes{"orders:read"}}
	env, now := s.world.Env(), s.world.Now()
	env.Now = func() time.Time { return now }
	env.Credentials = lookup{"dns:pay.internal": record.Keep(nil, nil, nil)}
	opened, err := s.config.Open(env)
	if err != nil {
		b.Fatal(err)
	}
	return s, opened
}

// BenchmarkKeptConnection is a request on a connection that made one before.
func BenchmarkKeptConnection(b *testing.B) {
	s, opened := benchmarkScene(b)
	r := requestOf(s.ca.leaf())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opened.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKnownChain is the first request of a connection whose certificate came
// before; also what each request costs behind a terminator.
func BenchmarkKnownChain(b *testing.B) {
	s, opened := benchmarkScene(b)
	leaf := *s.ca.leaf()
	b.ReportAllocs()
	for b.Loop() {
		again := leaf
		if _, err := opened.Verify(bare(&again)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewChain is the first request with a certificate.
func BenchmarkNewChain(b *testing.B) {
	s, opened := benchmarkScene(b)
	leaf := s.ca.leaf()
	trust, allow := opened.(*certificates).state.Load().trust, opened.(*certificates).allow
	digest := digestOf([]*x509.Certificate{leaf})
	b.ReportAllocs()
	for b.Loop() {
		if v := trust.judge([]*x509.Certificate{leaf}, digest, allow, s.world.Now()); v.refusal != nil {
			b.Fatal(v.refusal)
		}
	}
}

// BenchmarkStranger is a request with a certificate of nobody that we know.
func BenchmarkStranger(b *testing.B) {
	s, opened := benchmarkScene(b)
	r := requestOf(newAuthority(b, s.world.Now(), "Clients").leaf())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opened.Verify(r); err == nil {
			b.Fatal("accepted")
		}
	}
}

func bare(leaf *x509.Certificate) *http.Request {
	return &http.Request{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}
}
