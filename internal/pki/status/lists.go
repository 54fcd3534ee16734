package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/shield"
)

// Lives of revocation lists.
const (
	listLife  = 24 * time.Hour
	listEvery = 6 * time.Hour
	// skew is how far lists and answers begin in the past, for clocks that differ.
	skew = 5 * time.Minute
)

// certificateHold says that a certificate is not good for now (RFC 5280 §5.3.1): its client
// is disabled.
const certificateHold = 6

// list is a signed revocation list.
type list struct {
	der      []byte
	revoked  map[string]entry // what it says, by serial number
	from, to time.Time
}

type entry struct {
	at   time.Time // zero: on hold
	hold bool
}

// number is the number of an authority's last list: each is greater than the one before,
// also after a restart.
type number struct {
	Last int64 `json:"last"`
}

func (s *Server) list(id string) (*list, bool) {
	found, ok := s.lists.Load(id)
	if !ok {
		return nil, false
	}
	l, ok := found.(*list)
	return l, ok
}

// keepLists signs the lists of authorities of which something was revoked since the last
// round, and those that grow old.
func (s *Server) keepLists(ctx context.Context, signers []pki.Signer, state [2]uint64) error {
	now := s.options.Now()
	changed := state != s.seen
	var faults []error
	for i := range signers {
		signer := &signers[i]
		if signer.Key == nil {
			faults = append(faults, s.take(signer))
			continue
		}
		before, there := s.list(signer.ID)
		fresh := there && !now.Before(before.from) && now.Sub(before.from) < listEvery
		if fresh && !changed {
			continue
		}
		revoked := s.revokedBy(signer)
		if fresh && maps.Equal(revoked, before.revoked) {
			continue
		}
		next, err := s.sign(ctx, signer, revoked, now)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s.lists.Store(signer.ID, next)
	}
	s.forget(signers)
	fault := errors.Join(faults...)
	if fault == nil {
		s.seen = state
	}
	return fault
}

// take takes over the list of an authority whose key is kept elsewhere, as it was signed
// when the key was last here.
func (s *Server) take(signer *pki.Signer) error {
	if before, there := s.list(signer.ID); there && bytes.Equal(before.der, signer.List) {
		return nil
	}
	l, err := x509.ParseRevocationList(signer.List)
	if err != nil {
		return fmt.Errorf("read the revocation list of %s: %w", signer.Certificate.Subject.CommonName, err)
	}
	s.lists.Store(signer.ID, &list{der: signer.List, from: l.ThisUpdate, to: l.NextUpdate})
	return nil
}

// forget removes the lists of authorities that are gone.
func (s *Server) forget(signers []pki.Signer) {
	s.lists.Range(func(id, _ any) bool {
		if !slices.ContainsFunc(signers, func(one pki.Signer) bool { return one.ID == id }) {
			s.lists.Delete(id)
		}
		return true
	})
}

// revokedBy returns what an authority has revoked, for as long as it is remembered: a week
// beyond the certificate's end, so that each stands on a list after that (RFC 5280 §3.3).
func (s *Server) revokedBy(signer *pki.Signer) map[string]entry {
	all := map[string]entry{}
	for _, one := range signer.Revoked {
		all[string(one.Certificate.SerialNumber.Bytes())] = entry{at: one.At.UTC().Truncate(time.Second)}
	}
	if signer.Role != pki.Issuing {
		return all
	}
	for r := range s.options.Records.Each(client.CertificateKind) {
		if !isOf(signer, r) {
			continue
		}
		serial, err := hex.DecodeString(strings.TrimPrefix(r.ID, client.CertificatePrefix))
		switch {
		case err != nil:
		case !revokedAt(signer, r).IsZero():
			all[string(serial)] = entry{at: revokedAt(signer, r).UTC().Truncate(time.Second)}
		case r.Client == nil || r.Client.Disabled:
			all[string(serial)] = entry{hold: true}
		}
	}
	return all
}

// revokedAt is when a certificate was revoked: by itself, or with who has signed it.
func revokedAt(signer *pki.Signer, r *shield.Record) time.Time {
	if r.Revoked.IsZero() {
		return signer.Distrusted
	}
	return r.Revoked
}

// sign makes the next list of an authority. Its number is kept before anybody sees it.
func (s *Server) sign(ctx context.Context, signer *pki.Signer, revoked map[string]entry, now time.Time) (*list, error) {
	n, err := s.next(ctx, signer.ID)
	if err != nil {
		return nil, err
	}
	from := now.UTC().Truncate(time.Second)
	to := signer.Certificate.NotAfter // of one that is trusted no more: whoever has this list needs no other
	if signer.Distrusted.IsZero() {
		to = earliest(from.Add(listLife), signer.Certificate)
	}
	t := &x509.RevocationList{Number: big.NewInt(n), ThisUpdate: from.Add(-skew), NextUpdate: to}
	for _, serial := range slices.Sorted(maps.Keys(revoked)) {
		e := revoked[serial]
		one := x509.RevocationListEntry{SerialNumber: new(big.Int).SetBytes([]byte(serial)), RevocationTime: e.at}
		if e.hold {
			one.RevocationTime, one.ReasonCode = from, certificateHold
		}
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, one)
	}
	der, err := x509.CreateRevocationList(s.options.Rand, t, signer.Certificate, signer.Key)
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list of %s: %w", signer.Certificate.Subject.CommonName, err)
	}
	return &list{der, revoked, from, t.NextUpdate}, nil
}

// next returns the number of an authority's next list.
func (s *Server) next(ctx context.Context, id string) (int64, error) {
	for {
		kept, err := s.numbers.Change(ctx, id, func(n *number) error { n.Last++; return nil })
		if err == nil {
			return kept.Last, nil
		}
		if !errors.Is(err, rows.ErrMissing) {
			return 0, fmt.Errorf("number the revocation list: %w", err)
		}
		if err := s.numbers.Add(ctx, id, number{}); err != nil && !errors.Is(err, rows.ErrTaken) {
			return 0, fmt.Errorf("number the revocation list: %w", err)
		}
	}
}

func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	id, isDER := strings.CutSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/crl/"), ".crl")
	l, ok := s.list(id)
	if !isDER || !ok {
		http.Error(w, "there is no such list", http.StatusNotFound)
		return
	}
	s.cacheable(w, l.der, l.from, l.to)
	w.Header().Set("Content-Type", "application/pkix-crl") // RFC 5280 §4.2.1.13, RFC 2585 §4.2
	if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(l.der) // the caller may be gone
	}
}

// freshFor is how long an answer may be kept by others: a revocation should be felt, and
// what was revoked a moment ago stands in the next one.
const freshFor = 10 * time.Minute

// cacheable says for how long an answer may be kept (RFC 5019 §6.2).
func (s *Server) cacheable(w http.ResponseWriter, der []byte, from, to time.Time) {
	left := min(to.Sub(s.options.Now()), freshFor)
	digest := sha256.Sum256(der)
	h := w.Header()
	h.Set("Last-Modified", from.UTC().Format(http.TimeFormat))
	h.Set("ETag", `"`+hex.EncodeToString(digest[:16])+`"`)
	h.Set("Expires", s.options.Now().Add(left).UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d, public, no-transform, must-revalidate", max(0, int(left/time.Second))))
}
