package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// ca is an installation with an authority, whose upkeep the test does by hand, and a clock.
type ca struct {
	*testing.T
	a   *App
	dir string

	mu  sync.Mutex
	now time.Time
}

func (c *ca) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ca) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const ownHosts = `
hosts:
  a.example.com: {certificate: own, client_certificates: ask}
  b.example.com: {certificate: own}
apis:
  orders:
    host: a.example.com
    upstream: http://127.0.0.1:9
    shield: mtls
    endpoints: {GET /v1/orders: {scopes: [orders:read]}}
scopes: {orders:read: See orders}
`

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{T: t, dir: t.TempDir(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	c.write(ownHosts)
	f, err := Load(filepath.Join(c.dir, "pavise.yaml"))
	c.must(err)
	s, err := OpenState(t.Context(), f, StateOptions{Now: c.Now})
	c.must(err)
	_, err = s.Authority.Init(t.Context(), pki.Init{})
	c.must(err)
	_, err = s.Registry.CreateClient(t.Context(), client.Client{ID: "web", Scopes: []string{"orders:read"}})
	c.must(err)
	c.must(s.Close())
	c.a, err = Open(t.Context(), f, Options{Now: c.Now, Warn: func(error) {}})
	c.must(err)
	t.Cleanup(func() { c.must(c.a.Close()) })
	return c
}

func (c *ca) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *ca) write(text string) {
	c.Helper()
	c.must(os.WriteFile(filepath.Join(c.dir, "pavise.yaml"), []byte(text), 0o600))
}

func (c *ca) issue(n pki.Request) *pki.Issued {
	c.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	issued, _, err := c.a.State.Authority.Issue(c.Context(), n, &pki.SigningRequest{Key: key.Public()})
	c.must(err)
	c.must(c.a.State.View.Refresh(c.Context()))
	return issued
}

func (c *ca) shown(host string) *x509.Certificate {
	c.Helper()
	shown, err := c.a.ownServer(host)
	c.must(err)
	return shown.Leaf
}

// events are those with a code.
func (c *ca) events(code string) []audit.Found {
	c.Helper()
	c.must(c.a.State.Log.Flush())
	found, err := audit.Search(c.Context(), c.a.current().file.Log.Folder, audit.Query{Code: code, Limit: 1000})
	c.must(err)
	return found
}

// A host does not go on showing what whoever asks would refuse.
func TestGatewayReplacesItsOwnCertificateWhenItIsRevoked(t *testing.T) {
	c := newCA(t)
	first := c.shown("a.example.com")
	c.must(c.a.owned.keep(t.Context()))
	if !c.shown("a.example.com").Equal(first) {
		t.Error("a good one was replaced")
	}
	c.forward(20 * time.Hour)
	c.must(c.a.owned.keep(t.Context()))
	c.forward(-20 * time.Hour)
	c.must(c.a.State.View.Refresh(t.Context()))
	c.must(c.a.owned.keep(t.Context()))
	if now := c.shown("a.example.com"); now.NotBefore.After(c.Now()) {
		t.Errorf("one from %s is shown at %s", now.NotBefore, c.Now())
	}
	first = c.shown("a.example.com")
	_, err := c.a.State.Registry.Revoke(t.Context(), pki.CredentialID(first), "test")
	c.must(err)
	c.must(c.a.State.View.Refresh(t.Context()))
	c.must(c.a.owned.keep(t.Context()))
	second := c.shown("a.example.com")
	if second.Equal(first) {
		t.Error("a revoked one is shown")
	}
	_, err = c.a.State.Authority.Rotate(t.Context(), pki.Rotation{Compromised: true})
	c.must(err)
	c.must(c.a.owned.keep(t.Context()))
	third := c.shown("a.example.com")
	if string(third.AuthorityKeyId) == string(second.AuthorityKeyId) {
		t.Error("the host shows what a stolen authority has signed")
	}
}

func TestHostsThatAreNoLongerConfiguredAreForgotten(t *testing.T) {
	c := newCA(t)
	c.shown("a.example.com")
	c.shown("b.example.com")
	c.write(strings.Replace(ownHosts, "b.example.com: {certificate: own}", "c.example.com: {certificate: own}", 1))
	f, err := Load(filepath.Join(c.dir, "pavise.yaml"))
	c.must(err)
	c.must(c.a.Reload(f))
	c.a.owned.wanted()
	c.a.owned.mu.Lock()
	defer c.a.owned.mu.Unlock()
	if c.a.owned.all["a.example.com"] == nil || c.a.owned.all["b.example.com"] != nil {
		t.Errorf("kept are %v", c.a.owned.all)
	}
}

// Renewal is for whoever holds a certificate in force, this very one, from where it may be
// used.
func TestOnlyACertificateInForceRenews(t *testing.T) {
	c := newCA(t)
	s := inForce{c.a.lookup, c.a.State.Authority.Trusts, c.Now}
	verify := func(cert *x509.Certificate, from string) error {
		r := httptest.NewRequest(http.MethodPost, "https://a.example.com/", nil)
		r.RemoteAddr = from
		r.TLS = &tls.ConnectionState{}
		if cert != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{cert}
		}
		_, err := s.Verify(r)
		return err
	}
	refused := func(what string, err error, want shield.Code) {
		t.Helper()
		if refusal, ok := errors.AsType[*shield.Refusal](err); !ok || refusal.Code != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	const here = "192.0.2.1:4711"
	good := c.issue(pki.Request{Client: "web"})
	c.must(verify(good.Leaf(), here))
	refused("none", verify(nil, here), shield.Absent)
	refused("another authority's", verify(newCA(t).issue(pki.Request{Client: "web"}).Leaf(), here), shield.Foreign)
	forged := *good.Leaf()
	forged.Raw = append([]byte{}, forged.Raw...)
	forged.Raw[len(forged.Raw)-1] ^= 1
	refused("another of that number", verify(&forged, here), shield.Foreign)
	bound := c.issue(pki.Request{Client: "web", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	c.must(verify(bound.Leaf(), here))
	refused("from elsewhere", verify(bound.Leaf(), "198.51.100.1:4711"), shield.ForbiddenNetwork)
	lost := c.issue(pki.Request{Client: "web"})
	_, err := c.a.State.Registry.Revoke(t.Context(), lost.Credential.ID, "lost")
	c.must(err)
	c.must(c.a.State.View.Refresh(t.Context()))
	refused("revoked", verify(lost.Leaf(), here), shield.RevokedCredential)
	distrusting := inForce{c.a.lookup, func(string) bool { return false }, c.Now}
	s, trusting := distrusting, s
	refused("of an authority that is trusted no more", verify(good.Leaf(), here), shield.RevokedCredential)
	s = trusting
	c.forward(25 * time.Hour)
	c.must(c.a.State.View.Refresh(t.Context()))
	refused("ended", verify(good.Leaf(), here), shield.ExpiredCredential)
}

// One client that renews is bounded wherever it asks from, beside each address.
func TestRenewalsAreLimitedPerClient(t *testing.T) {
	c := newCA(t)
	f := *c.a.current().file
	f.PKI.Host = "a.example.com"
	var p pavise.Policy
	c.must(c.a.addEnrolment(&f, &p))
	perClient := 0
	for _, e := range p.APIs[0].Endpoints {
		subjects := map[limit.Subject]bool{}
		for _, l := range e.Limits {
			subjects[l.Per] = true
		}
		_, renews := e.Shield.(inForce)
		if !subjects[limit.PerAddress] || subjects[limit.PerClient] != renews {
			t.Errorf("%s counts for %v", e.Pattern, subjects)
		}
		if renews {
			perClient++
		}
	}
	if perClient == 0 {
		t.Error("nothing renews")
	}
}

// A certificate of a year is told 30 days, 7 days and a day before its end, once each; one
// of a day never.
func TestEndsAreToldAhead(t *testing.T) {
	if testing.Short() {
		t.Skip("a year of days, one after another")
	}
	c := newCA(t)
	device := c.issue(pki.Request{Client: "web", Profile: "device"})
	c.issue(pki.Request{Client: "web"})
	name := "client web " + device.Credential.Settings[pki.SettingNames]
	x := &expiry{}
	var days []int
	for day := range 366 {
		c.forward(24 * time.Hour)
		c.must(c.a.State.View.Refresh(context.Background()))
		before, told := len(days), x.told
		c.a.warnOfEnds(x)
		for key, warning := range x.told {
			if strings.HasPrefix(key, name+" ") && told[key] != warning {
				days = append(days, 365-day-1)
			}
		}
		c.a.warnOfEnds(x) // again within the hour
		if len(days) > before+1 {
			t.Fatalf("told twice on day %d", day)
		}
	}
	if len(days) != 3 || days[0] != 30 || days[1] != 7 || days[2] != 1 {
		t.Errorf("told %v days before the end", days)
	}
	mine := 0
	for _, e := range c.events("certificate_expiring") {
		if e.Event.Target == name {
			mine++
		}
	}
	if mine < 3 {
		t.Errorf("%d events", mine)
	}
}

// A clock that jumps is an event, and nothing that is in force is forgotten.
func TestJumpOfTheClockIsAnEventAndForgetsNothing(t *testing.T) {
	c := newCA(t)
	x := &tending{}
	for range 60 {
		c.forward(30 * time.Minute)
		c.a.tend(x)
	}
	kept := c.issue(pki.Request{Client: "web"})
	c.forward(10 * 24 * time.Hour)
	c.a.tend(x)
	c.forward(-10 * 24 * time.Hour)
	c.must(c.a.State.View.Refresh(t.Context()))
	c.a.tend(x)
	if record, err := c.a.State.View.Credential(client.CertificateKind, kept.Credential.ID); err != nil || !record.Revoked.IsZero() {
		t.Errorf("a certificate in force is gone: %v", err)
	}
	ahead, back := false, false
	for _, e := range c.events("certificate_warning") {
		ahead = ahead || strings.Contains(e.Event.Detail, "it has jumped")
		back = back || strings.Contains(e.Event.Detail, "it was set back")
	}
	if !ahead || !back {
		t.Errorf("told of the way ahead: %v, back: %v", ahead, back)
	}
	for range 24 * 5 {
		c.forward(2 * time.Hour)
		c.a.tend(x)
	}
	c.must(c.a.State.View.Refresh(t.Context()))
	if _, err := c.a.State.View.Credential(client.CertificateKind, kept.Credential.ID); !errors.Is(err, shield.ErrUnknown) {
		t.Errorf("ten days later it is still remembered: %v", err)
	}
}
