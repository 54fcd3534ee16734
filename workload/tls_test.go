package workload_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

func TestServersAreVerified(t *testing.T) {
	w, elsewhere := pkitest.Start(t), pkitest.Start(t)
	one := join(w, est.Token{Client: "pay"})
	serverWith := func(profile string, names ...string) *tls.Config {
		return with(w.Issue(pki.Request{Client: "web", Profile: profile, Names: names}))
	}
	good := serverWith("server", "dns:web.internal", "ip:127.0.0.1")
	service := serverWith("service", webID)

	accepted(t, to(one.ClientConfig(), "web.internal"), good)
	accepted(t, one.ClientConfig("ip:127.0.0.1"), good)
	accepted(t, to(one.ClientConfig("dns:WEB.internal."), "any"), good)
	accepted(t, to(one.ClientConfig(webID), "10.0.0.7"), service)
	accepted(t, to(one.ClientConfig(payID, webID), "any"), service)

	refused(t, to(one.ClientConfig(), "pay.internal"), good, "not pay.internal")
	refused(t, to(one.ClientConfig(), "127.0.0.1"), good, `ClientConfig("ip:10.0.0.7")`)
	refused(t, one.ClientConfig(), good, "it is not known for which host")
	refused(t, one.ClientConfig("ip:127.0.0.2"), good, "ip:127.0.0.2 is wanted")
	refused(t, to(one.ClientConfig(), "web.internal"), service, "not valid for any names")
	refused(t, to(one.ClientConfig(payID), "web.internal"), good, payID+" is wanted")
	refused(t, to(one.ClientConfig("spiffe://pavise.internal/web"), "any"), service, "names are written with their type")
	refused(t, to(one.ClientConfig(""), "any"), service, "is wanted")
	refused(t, to(one.ClientConfig(), "web.internal"), serverWith("device", "dns:web.internal"), "not meant for this use")
	refused(t, to(one.ClientConfig(), "web.internal"), with(stranger(t, w.Clock.Now())), "not meant for this use")
	refused(t, to(one.ClientConfig(), "web.internal"), with(stranger(t, w.Clock.Now(), x509.ExtKeyUsageServerAuth)), "unknown authority")
	refused(t, to(one.ClientConfig(), "web.internal"), with(elsewhere.Issue(pki.Request{Client: "web", Profile: "server", Names: pki.Names{"dns:web.internal"}})), "unknown authority")
	old := good.Clone()
	old.MaxVersion, old.MinVersion = tls.VersionTLS11, tls.VersionTLS10
	refused(t, to(one.ClientConfig(), "web.internal"), old, "protocol version")

	w.Clock.Add(-time.Hour)
	refused(t, to(one.ClientConfig(), "web.internal"), good, "not yet valid")
	w.Clock.Add(24 * time.Hour)
	one.Look(t.Context())
	w.Clock.Add(2 * time.Hour)
	refused(t, to(one.ClientConfig(), "web.internal"), good, "expired")
}

func TestClientsAreVerified(t *testing.T) {
	w, elsewhere := pkitest.Start(t), pkitest.Start(t)
	one := join(w, web())
	clientWith := func(profile string, names ...string) *tls.Config {
		return with(w.Issue(pki.Request{Client: "pay", Profile: profile, Names: names}))
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		any := one.ServerConfig()
		any.MaxVersion = version
		named := one.ServerConfig(payID)
		named.MaxVersion = version
		good := clientWith("service")
		accepted(t, good, any)
		accepted(t, good, named)
		accepted(t, clientWith("device"), any)

		refused(t, with(nil), any, "client didn't provide a certificate")
		refused(t, clientWith("service", "uri:spiffe://pavise.internal/pay2"), named, payID+" is wanted")
		refused(t, clientWith("server", "dns:pay.internal"), any, "not meant for this use")
		refused(t, with(stranger(t, w.Clock.Now())), any, "not meant for this use")
		refused(t, with(stranger(t, w.Clock.Now(), x509.ExtKeyUsageClientAuth)), any, "unknown authority")
		refused(t, with(elsewhere.Issue(pki.Request{Client: "pay"})), any, "unknown authority")
	}
	short := with(w.Issue(pki.Request{Client: "pay", Life: time.Hour}))
	accepted(t, short, one.ServerConfig())
	w.Clock.Add(2 * time.Hour)
	refused(t, short, one.ServerConfig(), "expired")
}

// A resumed session shows no certificate again: the one of its beginning has to be good
// still.
func TestResumedSessionsAreVerified(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := pkitest.Start(t)
		revoked := false
		o, warned := options(w, web())
		o.Check = func(s tls.ConnectionState) error {
			if len(s.VerifiedChains) == 0 {
				return errors.New("there is no chain")
			}
			if revoked {
				return errors.New("it was revoked")
			}
			return nil
		}
		server := open(t, o, warned).ServerConfig()
		server.MaxVersion = version
		client := with(w.Issue(pki.Request{Client: "pay", Life: time.Hour}))
		client.ServerName, client.ClientSessionCache, client.Time = "web.internal", tls.NewLRUClientSessionCache(4), w.Clock.Now
		accepted(t, client, server)
		if !accepted(t, client, server).DidResume {
			t.Error("the session is not resumed")
		}
		revoked = true
		refused(t, client, server, "it was revoked")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		revoked = false
		accepted(t, client, server)
		w.Clock.Add(2 * time.Hour)
		refused(t, client, server, "expired")
	}
}

// The same the other way round: a server whose certificate was good when the session began.
func TestResumedSessionsOfClientsAreVerified(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := pkitest.Start(t)
		revoked := false
		o, warned := options(w, est.Token{Client: "pay"})
		o.Check = func(tls.ConnectionState) error {
			if revoked {
				return errors.New("it was revoked")
			}
			return nil
		}
		client := to(open(t, o, warned).ClientConfig(), "web.internal")
		client.ClientSessionCache, client.MaxVersion = tls.NewLRUClientSessionCache(4), version
		server := with(w.Issue(pki.Request{Client: "web", Profile: "server", Names: pki.Names{"dns:web.internal"}, Life: time.Hour}))
		accepted(t, client, server)
		if !accepted(t, client, server).DidResume {
			t.Error("the session is not resumed")
		}
		revoked = true
		refused(t, client, server, "it was revoked")
		revoked = false
		w.Clock.Add(2 * time.Hour)
		refused(t, client, server, "expired")
	}
}

// Root and issuing authority are replaced while two programs talk.
func TestRotationWhileConnectionsGoOn(t *testing.T) {
	w := pkitest.Start(t)
	one, other := join(w, web()), join(w, est.Token{Client: "pay"})
	server := serve(t, one.ServerConfig())
	kept := &http.Client{Transport: &http.Transport{TLSClientConfig: other.ClientConfig("ip:127.0.0.1")}}
	calls := func(when string) {
		t.Helper()
		fresh := &http.Client{Transport: &http.Transport{TLSClientConfig: other.ClientConfig(webID), DisableKeepAlives: true}}
		for name, client := range map[string]*http.Client{"a new connection": fresh, "the kept one": kept} {
			reused := false
			trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
			r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, server.URL, nil)
			check(t, err)
			answer, err := client.Do(r)
			if err != nil {
				t.Errorf("%s, %s: %v", when, name, err)
				continue
			}
			_, err = io.Copy(io.Discard, answer.Body) // read whole, so that the connection is kept
			check(t, err)
			check(t, answer.Body.Close())
			if client == kept && !reused && when != "before" {
				t.Errorf("%s: the connection was not kept", when)
			}
		}
	}
	calls("before")
	for _, n := range []pki.Rotation{{}, {Root: true}, {Root: true}} {
		w.Rotate(n)
		calls("after a rotation")
		w.Clock.Add(18*time.Hour + 30*time.Minute)
		one.Look(t.Context())
		calls("after the server's renewal")
		other.Look(t.Context())
		calls("after both renewals")
	}
	if n := len(parse(t, current(t, one))); n < 3 {
		t.Errorf("a chain of %d certificates: this test rotates nothing", n)
	}
	if told := append(one.warned.take(), other.warned.take()...); told != nil {
		t.Errorf("warned %q", told)
	}
}

func current(t testing.TB, m *member) *tls.Certificate {
	t.Helper()
	c, err := m.Current()
	check(t, err)
	return c
}

// A program learns of a new root without a new certificate, and forgets one that the
// authority no longer names.
func TestRootsAreThoseOfToday(t *testing.T) {
	w := pkitest.Start(t)
	one := join(w, est.Token{Client: "pay"})
	client := to(one.ClientConfig(), "web.internal")
	w.Rotate(pki.Rotation{Root: true})
	issued := w.Issue(pki.Request{Client: "web", Profile: "server", Names: pki.Names{"dns:web.internal"}})
	issued.Certificate = issued.Certificate[:2] // without the way to the root before
	refused(t, client, with(issued), "unknown authority")
	before := serial(t, one.Certificate)
	w.Clock.Add(90 * time.Minute)
	one.Look(t.Context())
	if serial(t, one.Certificate) != before {
		t.Error("the certificate was renewed, which this test is not about")
	}
	accepted(t, client, with(issued))
	if text := certfile.EncodeChain(w.Roots()); string(text) != read(t, strings.TrimSuffix(one.options.Chain, ".pem")+"-roots.pem") {
		t.Error("the roots were not kept")
	}
}

func TestNamesAreWrittenWithTheirType(t *testing.T) {
	w := pkitest.Start(t)
	c := w.Issue(pki.Request{Client: "web", Names: pki.Names{"dns:web.internal", "ip:::1", webID, "email:web@example.org"}})
	if got, want := strings.Join(workload.Names(c.Leaf), " "), webID+" dns:web.internal ip:::1 email:web@example.org"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
