package mtls

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// certificates is the opened shield.
type certificates struct {
	now         func() time.Time
	credentials shield.Lookup
	files       shield.Files
	authority   shield.Authority
	trust, crl  []string
	allow       rules
	online      *online // nil: nobody is asked
	accepts     []string

	reloading sync.Mutex
	state     atomic.Pointer[state]
}

// state is what the files say. Immutable.
type state struct {
	trust       *trust
	outdated    bool // the bundle's files changed and cannot be used: trust is the one before
	revocations revocations
	unknown     error // why the revocation lists cannot be used; nil: they can
}

// open watches the files before it reads them, so that no change is missed; a
// reload waits until the first reading is done.
func (s *certificates) open() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.watch()
	t, err := s.loadTrust()
	if err != nil {
		return err
	}
	lists, err := loadRevocations(s.files, s.crl, t)
	if err != nil {
		return err
	}
	s.accepts = t.accepts()
	s.state.Store(&state{trust: t, revocations: lists})
	return nil
}

// reload reads all files again. A bundle that cannot be used leaves the one
// before in force, and marks whatever it lets pass; a revocation list that cannot
// be used lets nothing pass, because nobody knows what it would have revoked.
func (s *certificates) reload() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.state.Load()
	if old == nil {
		return // it could not be opened
	}
	next := &state{trust: old.trust}
	switch t, err := s.loadTrust(); {
	case err != nil:
		next.outdated = true
	case !t.same(old.trust):
		next.trust = t
	}
	next.revocations, next.unknown = loadRevocations(s.files, s.crl, next.trust)
	s.state.Store(next)
}

// Needs wants a certificate of the connection. Two shields that trust the same
// authority cannot tell their callers apart.
func (s *certificates) Needs() shield.Needs {
	return shield.Needs{ClientCert: true, Accepts: slices.Clone(s.accepts)}
}

// Verify says who holds the certificate that the peer presented.
func (s *certificates) Verify(r *http.Request) (*shield.Identity, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, shield.Refuse(shield.Absent, "the connection has no client certificate")
	}
	now, state := s.now(), s.state.Load()
	v := state.trust.verdictOn(r.TLS.PeerCertificates, s.allow, now)
	if v.refusal != nil {
		refusal := *v.refusal
		return nil, &refusal
	}
	if err := v.inForce(now); err != nil {
		return nil, err
	}
	warning, err := s.notRevoked(s.online.waiting(r.Context()), state, v, r.TLS.OCSPResponse, now)
	if err != nil {
		return nil, err
	}
	id, err := s.identify(r, state, v, now)
	if id != nil && warning != "" {
		id.Warnings = append(id.Warnings, warning)
	}
	return id, err
}

// verdictOn returns the verdict about a chain, from memory where it can.
func (t *trust) verdictOn(presented []*x509.Certificate, allow rules, now time.Time) *verdict {
	v := t.recent.find(presented)
	if v != nil && !v.mayChange(now) {
		return v
	}
	if refusal := checkBounds(presented); refusal != nil {
		return &verdict{refusal: refusal}
	}
	digest := digestOf(presented)
	if v == nil {
		v = t.accepted.find(&digest)
	}
	if v == nil {
		v = t.refused.find(&digest)
	}
	if v == nil || v.mayChange(now) {
		v = t.judge(presented, digest, allow, now)
	}
	if v.refusal != nil {
		t.refused.put(v)
		return v
	}
	t.accepted.put(v)
	t.recent.put(presented, v)
	return v
}

// mayChange reports whether another chain might serve now: the leaf is in force,
// an authority above it is not.
func (v *verdict) mayChange(now time.Time) bool {
	return v.refusal == nil && v.inForce(now) != nil && !now.Before(v.leafFrom) && now.Before(v.leafUntil)
}

// checkBounds looks at size only, before anything is computed.
func checkBounds(presented []*x509.Certificate) *shield.Refusal {
	if len(presented) > maxChain {
		return shield.Refuse(shield.InvalidCredential, "%d certificates were presented, at most %d are read", len(presented), maxChain)
	}
	total := 0
	for _, cert := range presented {
		total += len(cert.Raw)
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return shield.Refuse(shield.InvalidCredential, "an RSA key of %d bits was presented, at most %d are used", key.N.BitLen(), maxRSA)
		}
	}
	if total > maxChainBytes {
		return shield.Refuse(shield.InvalidCredential, "%d bytes of certificates were presented, at most %d are read", total, maxChainBytes)
	}
	return nil
}

// inForce refuses a chain outside its time. Its last second is taken for over.
func (v *verdict) inForce(now time.Time) error {
	switch {
	case now.Before(v.from):
		return shield.Refuse(shield.ExpiredCredential, "the chain is not valid before %s", v.from.UTC().Format(time.RFC3339)).Of(v.ids[0], "", true)
	case !now.Before(v.until):
		return shield.Refuse(shield.ExpiredCredential, "the chain ended at %s", v.until.UTC().Format(time.RFC3339)).Of(v.ids[0], "", true)
	}
	return nil
}

// identify finds the client that goes by one of the certificate's names.
func (s *certificates) identify(r *http.Request, state *state, v *verdict, now time.Time) (*shield.Identity, error) {
	record, err := s.client(v)
	if err != nil {
		return nil, fmt.Errorf("find the client of certificate %s: %w", v.ids[0], err)
	}
	id := &shield.Identity{
		Shield: kind, CredentialID: v.ids[0], Issuer: v.issuer, Subject: v.subject, Attributes: v.attributes,
	}
	var withdrawn func() bool
	if refusal := s.unrecorded(v, record); refusal != nil {
		return nil, refusal
	}
	if record != nil {
		if err := record.Usable(now, r); err != nil {
			return nil, err
		}
	}
	if !s.allow.allowRecord(v, record) {
		return nil, shield.Refuse(shield.InvalidCredential, "no rule of allow is met by %s", v.subject).Of(v.ids[0], "", true)
	}
	if record != nil {
		id = record.Identity(now)
		id.Attributes, withdrawn = v.kept.of(record, v.attributes), id.Revocation
	}
	if id.Expires.IsZero() || v.until.Before(id.Expires) {
		id.Expires = v.until
	}
	if state.outdated {
		id.Warnings = append(id.Warnings, "trust_outdated")
	}
	unknown := new(atomic.Int64)
	id.Revocation = func() bool { return s.withdrawn(v, record, withdrawn, unknown) }
	return id, nil
}

// client returns the record of the certificate, nil if it has none. A record with
// the setting "ca" is for certificates of that authority only.
func (s *certificates) client(v *verdict) (*shield.Record, error) {
	for _, id := range v.ids {
		record, err := s.credentials.Credential(kind, id)
		switch {
		case errors.Is(err, shield.ErrUnknown):
			continue
		case err != nil:
			return nil, err
		}
		if ca := record.Settings["ca"]; ca == "" || slices.Contains(v.authorities, ca) {
			return record, nil
		}
	}
	return nil, nil
}

// withdrawn reports whether an accepted certificate is no longer good, for
// streams that outlast the request. What the revocation lists cannot decide counts
// as withdrawn.
func (s *certificates) withdrawn(v *verdict, record *shield.Record, ofRecord func() bool, unknown *atomic.Int64) bool {
	state := s.state.Load()
	if !state.trust.anchors[v.anchor] || s.over(v, state, unknown) {
		return true
	}
	if record != nil {
		return ofRecord != nil && ofRecord()
	}
	found, err := s.client(v)
	return err == nil && found != nil && !found.Revoked.IsZero()
}
