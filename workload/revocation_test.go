package workload_test

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

// Who was revoked gets no new connection, at either end.
func TestRevokedPeersAreRefused(t *testing.T) {
	attacktest.Rows(t, 77)
	w := pkitest.Start(t)
	w.Status()
	_, err := w.Authority.Rotate(t.Context(), pki.Rotation{}) // the next issuing authority says where its own revocation is told
	check(t, err)
	w.Clock.Add(time.Second)
	o, warned := options(w, est.Token{Client: "pay"})
	o.Revocation = &workload.Revocation{Allow: []string{"127.0.0.1"}, Refresh: time.Minute}
	one := open(w, o, warned)
	lost, other := w.Issue(pki.Request{Client: "web", Names: pki.Names{webID, "dns:web.internal"}}), w.Issue(pki.Request{Client: "web", Names: pki.Names{webID, "dns:web.internal"}})
	accepted(t, to(one.ClientConfig(), "web.internal"), with(lost))
	accepted(t, with(lost), one.ServerConfig())
	w.Revoke(lost)
	w.Clock.Add(2 * time.Minute)
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) { // it is asked beside the handshake
		if _, err, _ := handshake(t, to(one.ClientConfig(), "web.internal"), with(lost)); err != nil {
			break
		}
	}
	refused(t, to(one.ClientConfig(), "web.internal"), with(lost), "was revoked")
	refused(t, with(lost), one.ServerConfig(), "was revoked")
	accepted(t, to(one.ClientConfig(), "web.internal"), with(other))
	accepted(t, with(other), one.ServerConfig())
}

func TestPeersOfWhomNobodyKnows(t *testing.T) {
	w := pkitest.Start(t) // its certificates name nobody who could be asked
	peer := w.Issue(pki.Request{Client: "web", Names: pki.Names{"dns:web.internal"}})
	for reason, want := range map[string]string{"": "nobody says", "the authority publishes no lists": ""} {
		o, warned := options(w, est.Token{Client: "pay"})
		o.Revocation = &workload.Revocation{InsecureSoftFail: reason}
		one := open(w, o, warned)
		if want != "" {
			refused(t, to(one.ClientConfig(), "web.internal"), with(peer), want)
			continue
		}
		accepted(t, to(one.ClientConfig(), "web.internal"), with(peer))
		if len(warned.take()) == 0 {
			t.Error("it was accepted in silence")
		}
	}
	for _, r := range []workload.Revocation{{InsecureSoftFail: "x"}, {Ask: []string{"dns"}}, {Allow: []string{"no host!"}}} {
		o, _ := options(w, est.Token{Client: "pay"})
		o.Revocation = &r
		if _, err := workload.Open(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "workload: Revocation") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
