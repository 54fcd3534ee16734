package renewed_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki/renewed"
)

// source makes certificates that live for a day.
type source struct {
	now     time.Time
	err     error
	asked   int
	current *tls.Certificate
	other   bool // for another key
	life    time.Duration
}

func (s *source) Now() time.Time { return s.now }

func (s *source) Obtain(_ context.Context, key crypto.Signer, current *tls.Certificate) ([]*x509.Certificate, error) {
	s.asked++
	s.current = current
	if s.err != nil {
		return nil, s.err
	}
	if s.other {
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(int64(s.asked)), NotBefore: s.now, NotAfter: s.now.Add(s.life)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	return []*x509.Certificate{c}, err
}

func newSource() *source {
	return &source{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), life: 24 * time.Hour}
}

func keep(t *testing.T, c *renewed.Certificate, want bool) {
	t.Helper()
	if changed, err := c.Keep(t.Context()); err != nil || changed != want {
		t.Errorf("changed %v, %v; want %v", changed, err, want)
	}
}

func TestCertificateRenewsItselfAtTwoThirdsOfItsLife(t *testing.T) {
	s := newSource()
	c := renewed.New(renewed.Options{Source: s, Now: s.Now, Jitter: 0.5})
	if _, err := c.Get(); !errors.Is(err, renewed.ErrNone) {
		t.Errorf("before the first: %v", err)
	}
	keep(t, c, true)
	first, err := c.Get()
	if err != nil || s.current != nil {
		t.Fatalf("%v, renewed from %v", err, s.current)
	}
	s.now = s.now.Add(16 * time.Hour)
	keep(t, c, false) // two thirds, but its turn is up to a tenth later
	s.now = s.now.Add(72 * time.Minute)
	keep(t, c, true)
	second, err := c.Get()
	if err != nil || s.current != first || second == first || second.PrivateKey == first.PrivateKey {
		t.Errorf("%v; it is renewed from the first: %v; for another key: %v", err, s.current == first, second.PrivateKey != first.PrivateKey)
	}
	keep(t, c, false)
}

func TestFailureLeavesTheCertificateInForce(t *testing.T) {
	s := newSource()
	c := renewed.New(renewed.Options{Source: s, Now: s.Now})
	keep(t, c, true)
	first, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	s.err, s.now = errors.New("away"), s.now.Add(17*time.Hour)
	tries := s.asked
	for range 7 * 3600 { // seconds
		if _, err := c.Keep(t.Context()); err != nil && !errors.Is(err, s.err) {
			t.Fatal(err)
		}
		if got, err := c.Get(); s.now.Before(first.Leaf.NotAfter) && (err != nil || got != first) {
			t.Fatalf("at %s: %v", s.now, err)
		}
		s.now = s.now.Add(time.Second)
	}
	if n := s.asked - tries; n < 20 || n > 60 {
		t.Errorf("it was tried %d times in seven hours", n)
	}
	if _, err := c.Get(); !errors.Is(err, renewed.ErrNone) {
		t.Errorf("after its end: %v", err)
	}
	s.err, s.now = nil, s.now.Add(time.Hour)
	keep(t, c, true)
}

func TestWhatDoesNotFitIsNotUsed(t *testing.T) {
	for name, change := range map[string]func(*source){
		"for another key": func(s *source) { s.other = true },
		"ended already":   func(s *source) { s.life = -time.Hour },
	} {
		s := newSource()
		c := renewed.New(renewed.Options{Source: s, Now: s.Now})
		keep(t, c, true)
		first, _ := c.Get()
		change(s)
		if err := c.Renew(t.Context()); err == nil {
			t.Errorf("%s: taken", name)
		}
		if now, err := c.Get(); err != nil || now != first {
			t.Errorf("%s: the one before is gone: %v", name, err)
		}
	}
}

// What was got by a clock that was ahead is not shown until its time has come; and a clock
// that stays behind the authority's does not make it ask all the time.
func TestCertificateOfTheFutureIsReplaced(t *testing.T) {
	s := newSource()
	clock := s.now
	c := renewed.New(renewed.Options{Source: s, Now: func() time.Time { return clock }})
	clock, s.now = clock.Add(10*24*time.Hour), clock.Add(10*24*time.Hour)
	keep(t, c, true)
	clock, s.now = clock.Add(-10*24*time.Hour), s.now.Add(-10*24*time.Hour)
	keep(t, c, true)
	keep(t, c, false)
	clock = clock.Add(-time.Hour) // the authority's is an hour ahead
	for range 3600 {
		clock, s.now = clock.Add(time.Second), s.now.Add(time.Second)
		if _, err := c.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked > 20 {
		t.Errorf("asked %d times in an hour", s.asked)
	}
}
