package pki_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/secret"
)

// rotate returns the newest root.
func (w *world) rotate(n pki.Rotation) *x509.Certificate {
	w.Helper()
	_, err := w.pki.Rotate(w.Context(), n)
	must(w.T, err)
	roots, err := w.pki.Roots()
	must(w.T, err)
	return roots[0]
}

func TestOldCertificatesStayGoodWhenTheIssuerRotates(t *testing.T) {
	w := newWorld(t)
	root := w.init(pki.Init{})
	old := w.issue(pki.Request{Client: "web"})
	w.forward(time.Hour)
	w.rotate(pki.Rotation{})
	next := w.issue(pki.Request{Client: "web"})
	if same(old.Chain[1], next.Chain[1]) {
		t.Error("the same issuing authority signs")
	}
	for _, issued := range []*pki.Issued{old, next} {
		if err := w.verify(issued.Chain, x509.ExtKeyUsageClientAuth, root); err != nil {
			t.Error(err)
		}
	}
	issuers, err := w.pki.Issuers()
	must(t, err)
	if got := strings.Count(string(issuers), "BEGIN"); got != 2 {
		t.Errorf("%d issuing authorities are trusted", got)
	}
	w.start()
	if after := w.issue(pki.Request{Client: "web"}); !same(after.Chain[1], next.Chain[1]) {
		t.Error("after a restart another issuing authority signs")
	}
}

// Whoever trusts only the old root, and whoever trusts only the new one, goes on.
func TestNobodyNeedsToLearnOfANewRootAtOnce(t *testing.T) {
	for name, keys := range map[string][2]secret.Value{"here": {}, "elsewhere": {rootKey(t), rootKey(t)}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.init(pki.Init{RootKey: keys[0]})
			before := w.issue(pki.Request{Client: "web"})
			w.forward(time.Hour)
			second := w.rotate(pki.Rotation{Root: true, RootKey: keys[0], NextKey: keys[1]})
			if same(first, second) {
				t.Fatal("there is no new root")
			}
			after := w.issue(pki.Request{Client: "web"})
			for what, err := range map[string]error{
				"old certificate, old root": w.verify(before.Chain, x509.ExtKeyUsageClientAuth, first),
				"new certificate, old root": w.verify(after.Chain, x509.ExtKeyUsageClientAuth, first),
				"new certificate, new root": w.verify(after.Chain, x509.ExtKeyUsageClientAuth, second),
				"old certificate, both":     w.verify(before.Chain, x509.ExtKeyUsageClientAuth, first, second),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := w.verify(before.Chain, x509.ExtKeyUsageClientAuth, second); err == nil {
				t.Error("the new root vouches for what it never signed")
			}
			roots, err := w.pki.Roots()
			if err != nil || len(roots) != 2 || !same(roots[0], second) {
				t.Errorf("%d roots, %v", len(roots), err)
			}
		})
	}
}

func TestRootThatIsKeptElsewhere(t *testing.T) {
	w := newWorld(t)
	key := rootKey(t)
	root := w.init(pki.Init{RootKey: key})
	w.issue(pki.Request{Client: "web"}) // the issuing authority is here
	members, err := w.pki.Members()
	if err != nil || !members[0].Offline || members[1].Offline || members[0].Role != pki.Root {
		t.Errorf("%+v, %v", members, err)
	}
	if _, err := w.pki.Rotate(t.Context(), pki.Rotation{}); !errors.Is(err, pki.ErrOffline) {
		t.Errorf("without the key: %v", err)
	}
	for name, key := range map[string]secret.Value{"another root's": rootKey(t), "rubbish": secret.New([]byte("key")), "a certificate": secret.New(pki.EncodePEM(root))} {
		_, err := w.pki.Rotate(t.Context(), pki.Rotation{RootKey: key})
		if _, ok := errors.AsType[*pki.Fault](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.rotate(pki.Rotation{RootKey: key})
	block, _ := pem.Decode(key.Reveal())
	private := base64.StdEncoding.EncodeToString(block.Bytes)
	for _, record := range stored(t, w) {
		if strings.Contains(record, private) {
			t.Error("the root's key is in the store")
		}
	}
	strange, err := pki.NewKey("EdDSA", rand.Reader)
	must(t, err)
	if _, err := w.pki.Rotate(t.Context(), pki.Rotation{Root: true, RootKey: key, NextKey: strange}); err == nil {
		t.Error("a key of another algorithm was taken")
	}
}

func stored(t *testing.T, w *world) (all []string) {
	t.Helper()
	records, err := w.registry.AuthorityRecords().Table(t.Context(), "authority")
	must(t, err)
	for _, r := range records {
		all = append(all, string(r.Body))
	}
	return all
}

func TestIssuerRotatesBeforeCertificatesAreCutShort(t *testing.T) {
	w := newWorld(t)
	root := w.init(pki.Init{})
	var told []string
	o := w.options()
	o.Changed = func(action, _, _ string) { told = append(told, action) }
	a, err := pki.Open(t.Context(), o)
	must(t, err)
	for range 15 * 12 { // fifteen years, a month at a time
		for range 30 { // the clock is looked at for more than a day
			w.forward(time.Hour)
			if err := a.Keep(t.Context()); err != nil && !isJump(err) {
				t.Fatal(err)
			}
		}
		issued, _, err := a.Issue(t.Context(), pki.Request{Client: "web", Profile: "device"}, w.csr())
		if err != nil {
			t.Fatalf("at %s: %v", w.Now(), err)
		}
		if left := root.NotAfter.Sub(w.Now()); left > 366*24*time.Hour && issued.Leaf().NotAfter.Sub(w.Now()) < 364*24*time.Hour {
			t.Fatalf("at %s a certificate of a year ends at %s", w.Now(), issued.Leaf().NotAfter)
		}
		w.forward(29 * 24 * time.Hour)
	}
	if len(told) < 10 || slices.ContainsFunc(told, func(a string) bool { return a != "authority.rotate" }) {
		t.Errorf("told %v", told)
	}
	members, err := a.Members()
	if err != nil || len(members) != 2+len(told) {
		t.Errorf("%d members are kept after %d rotations, %v", len(members), len(told), err)
	}
}

func TestRenewalKeepsWhatTheCertificateWas(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	old := w.issue(pki.Request{Client: "web", Names: pki.Names{"dns:web.internal"}, Life: 2 * time.Hour, Scopes: []string{"orders:read"}})
	w.forward(80 * time.Minute)
	next, change, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr())
	must(t, err)
	if c := next.Credential; c.Client != "web" || c.Replaces != old.Credential.ID || !slices.Equal(c.Scopes, []string{"orders:read"}) || !slices.Equal(next.Leaf().DNSNames, []string{"web.internal"}) ||
		next.Leaf().NotAfter.Sub(w.Now()).Round(time.Second) != 2*time.Hour || change.Target != c.ID {
		t.Errorf("%+v, %+v", c, change)
	}
	again, _, err := w.pki.Renew(t.Context(), next.Credential.ID, w.csr())
	must(t, err)
	if first, line := old.Credential.Settings[client.SettingLine], again.Credential.Settings[client.SettingLine]; first != "" || line != old.Credential.ID {
		t.Errorf("the first is of line %q, the third of %q, want %q", first, line, old.Credential.ID)
	}
	w.forward(time.Hour)
	if _, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr()); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("after its end: %v", err)
	}
	_, err = w.registry.Revoke(t.Context(), next.Credential.ID, "lost")
	must(t, err)
	if _, _, err := w.pki.Renew(t.Context(), next.Credential.ID, w.csr()); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("after it was revoked: %v", err)
	}
	if _, _, err := w.pki.Renew(t.Context(), "serial:00", w.csr()); !errors.Is(err, client.ErrMissing) {
		t.Errorf("one that is none: %v", err)
	}
	asking, err := pki.ParseSigningRequest(request(t, newKey(t), &x509.CertificateRequest{DNSNames: []string{"pay.internal"}}))
	must(t, err)
	fresh := w.issue(pki.Request{Client: "web"})
	if _, _, err := w.pki.Renew(t.Context(), fresh.Credential.ID, asking); err == nil {
		t.Error("a renewal brought another name")
	}
	attacktest.Rows(t, 85)
}

// A certificate that was cut short by its authority's end is renewed for as long as was
// asked for.
func TestLivesAreNotShortForEver(t *testing.T) {
	key := rootKey(t)
	w := newWorld(t)
	w.init(pki.Init{RootKey: key})
	w.forward(3*year - 100*24*time.Hour)
	short := w.issue(pki.Request{Client: "web", Profile: "device"})
	if left := short.Leaf().NotAfter.Sub(w.Now()); left > 101*24*time.Hour {
		t.Fatalf("a life of %s shows nothing", left)
	}
	w.rotate(pki.Rotation{RootKey: key})
	next, _, err := w.pki.Renew(t.Context(), short.Credential.ID, w.csr())
	must(t, err)
	if left := next.Leaf().NotAfter.Sub(w.Now()); left < 364*24*time.Hour {
		t.Errorf("renewed for %s", left)
	}
}
