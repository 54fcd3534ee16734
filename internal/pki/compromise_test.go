package pki_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/shield"
)

func TestStolenIssuerTakesItsCertificatesWithIt(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	old := w.issue(pki.Request{Client: "web"})
	second := w.issue(pki.Request{Client: "pay"})
	w.forward(time.Hour)
	w.rotate(pki.Rotation{Compromised: true, Reason: "stolen"})
	for _, issued := range []*pki.Issued{old, second} {
		kept, err := w.registry.Credential(t.Context(), "mtls", issued.Credential.ID)
		if err != nil || kept.Revoked.IsZero() || kept.Reason != "stolen" {
			t.Errorf("%+v, %v", kept, err)
		}
	}
	issuers, err := w.pki.Issuers()
	if err != nil || strings.Contains(string(issuers), string(pki.EncodePEM(old.Chain[1]))) {
		t.Errorf("the stolen authority is trusted: %v", err)
	}
	next := w.issue(pki.Request{Client: "web"})
	kept, err := w.registry.Credential(t.Context(), "mtls", next.Credential.ID)
	if err != nil || !kept.Revoked.IsZero() {
		t.Errorf("what the next one signs: %+v, %v", kept, err)
	}
	if _, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr()); err == nil {
		t.Error("a revoked certificate was renewed")
	}
}

func (w *world) isRevoked(c *pki.Issued) bool {
	w.Helper()
	kept, err := w.registry.Credential(w.Context(), "mtls", c.Credential.ID)
	must(w.T, err)
	return !kept.Revoked.IsZero()
}

// A stolen backup holds the keys of issuing authorities that sign no more, too.
func TestStolenBackupTakesRetiredIssuersWithIt(t *testing.T) {
	w := newWorld(t)
	root := w.init(pki.Init{})
	first := w.issue(pki.Request{Client: "web"})
	w.forward(time.Hour)
	w.rotate(pki.Rotation{})
	second := w.issue(pki.Request{Client: "web"})
	w.forward(time.Hour)
	if got := w.rotate(pki.Rotation{Compromised: true, Reason: "backup was stolen"}); !same(got, root) {
		t.Error("the root was replaced")
	}
	for name, c := range map[string]*pki.Issued{"retired": first, "active": second} {
		if !w.isRevoked(c) || w.pki.Trusts(pki.Pin(c.Chain[1])) {
			t.Errorf("the %s authority: certificate revoked %v, trusted %v", name, w.isRevoked(c), w.pki.Trusts(pki.Pin(c.Chain[1])))
		}
	}
	members, err := w.pki.Members()
	must(t, err)
	var states []string
	for _, m := range members {
		states = append(states, string(m.Role)+" "+m.State)
	}
	if got := strings.Join(states, ", "); got != "root active, issuing active, issuing revoked, issuing revoked" {
		t.Error(got)
	}
	if w.isRevoked(w.issue(pki.Request{Client: "web"})) {
		t.Error("what the next one signs is revoked")
	}
}

// If the root's key was stolen, no path leads from the new root to the old one, nor back.
func TestStolenRootIsTrustedNoMore(t *testing.T) {
	key := rootKey(t)
	for name, n := range map[string]pki.Init{"here": {}, "elsewhere, and not at hand": {RootKey: key}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stolen := w.init(n)
			old := w.issue(pki.Request{Client: "web"})
			w.forward(time.Hour)
			next := w.rotate(pki.Rotation{Root: true, Compromised: true, Reason: "stolen"})
			roots, err := w.pki.Roots()
			if err != nil || len(roots) != 1 || same(next, stolen) {
				t.Errorf("%d roots are exported, %v", len(roots), err)
			}
			fresh := w.issue(pki.Request{Client: "web"})
			if len(fresh.Chain) != 2 || w.verify(fresh.Chain, x509.ExtKeyUsageClientAuth, stolen) == nil {
				t.Errorf("a chain of %d leads to the stolen root", len(fresh.Chain))
			}
			if err := w.verify(fresh.Chain, x509.ExtKeyUsageClientAuth, next); err != nil {
				t.Error(err)
			}
			if !w.isRevoked(old) {
				t.Error("what was below the stolen root is in force")
			}
			members, err := w.pki.Members()
			if err != nil || members[1].State != "revoked" || members[1].Role != pki.Root {
				t.Errorf("%+v, %v", members[1], err)
			}
		})
	}
}

// meanwhile is a registry in which something happens before a credential is kept.
type meanwhile struct {
	pki.Registry
	happens func()
}

func (m *meanwhile) AddCredential(ctx context.Context, c client.Credential, issued shield.Issued) (client.Credential, client.Change, error) {
	if happens := m.happens; happens != nil {
		m.happens = nil
		happens()
	}
	return m.Registry.AddCredential(ctx, c, issued)
}

// A certificate that was being signed when its authority, or the certificate before it, was
// revoked is not handed out, and its record is revoked.
func TestCertificateIsNotIssuedPastARevocation(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	old := w.issue(pki.Request{Client: "web"})
	registry := &meanwhile{Registry: w.registry}
	o := w.options()
	o.Registry = registry
	a, err := pki.Open(t.Context(), o)
	must(t, err)
	inForce := func() (n int) {
		all, err := w.registry.Credentials(t.Context(), "", "mtls")
		must(t, err)
		for _, c := range all {
			if c.Revoked.IsZero() {
				n++
			}
		}
		return n
	}
	registry.happens = func() {
		_, err := w.registry.Revoke(t.Context(), old.Credential.ID, "lost")
		must(t, err)
	}
	if issued, _, err := a.Renew(t.Context(), old.Credential.ID, w.csr()); err == nil || issued != nil || inForce() != 0 {
		t.Errorf("the one before was revoked meanwhile: %v, %v, %d in force", issued != nil, err, inForce())
	}
	registry.happens = func() { w.rotate(pki.Rotation{Compromised: true}) }
	if issued, _, err := a.Issue(t.Context(), pki.Request{Client: "web"}, w.csr()); !errors.Is(err, client.ErrConflict) || issued != nil || inForce() != 0 {
		t.Errorf("the authority was revoked meanwhile: %v, %v, %d in force", issued != nil, err, inForce())
	}
}

// broken is a registry whose disk is full when certificates are to be revoked.
type broken struct {
	pki.Registry
	isFull bool
}

func (b *broken) RevokeIssuedBy(ctx context.Context, ca, reason string) (client.Change, error) {
	if b.isFull {
		return client.Change{}, errFull
	}
	return b.Registry.RevokeIssuedBy(ctx, ca, reason)
}

// What broke off in the middle is trusted no more at once, and revoked as soon as it can be.
func TestInterruptedRevocationIsFinished(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	old := w.issue(pki.Request{Client: "web"})
	registry := &broken{Registry: w.registry, isFull: true}
	o := w.options()
	o.Registry = registry
	var told []string
	o.Changed = func(action, _, text string) { told = append(told, action+" "+text) }
	a, err := pki.Open(t.Context(), o)
	must(t, err)
	if _, err := a.Rotate(t.Context(), pki.Rotation{Compromised: true, Reason: "stolen"}); !errors.Is(err, errFull) {
		t.Errorf("rotated: %v", err)
	}
	if w.isRevoked(old) {
		t.Fatal("the test shows nothing")
	}
	if _, _, err := a.Renew(t.Context(), old.Credential.ID, w.csr()); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("renewed: %v", err)
	}
	if err := a.Keep(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("while it is full: %v", err)
	}
	registry.isFull = false
	w.start() // nor does a restart forget it
	o.Registry = w.registry
	o.Records = w.registry.AuthorityRecords()
	a, err = pki.Open(t.Context(), o)
	must(t, err)
	must(t, a.Keep(t.Context()))
	kept, err := w.registry.Credential(t.Context(), "mtls", old.Credential.ID)
	if err != nil || kept.Reason != "stolen" || len(told) != 1 {
		t.Errorf("%+v, %v, told %v", kept, err, told)
	}
	must(t, a.Keep(t.Context()))
	if len(told) != 1 {
		t.Errorf("done again: %v", told)
	}
}
