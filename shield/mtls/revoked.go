package mtls

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/revocation"
	"pavise.dev/pavise/shield"
)

// Revocation says how others are asked whether a certificate is revoked. Written as one
// word, `revocation: ocsp`, it is the source.
type Revocation struct {
	Ask       []string      `yaml:"ask" doc:"Whom, in this order: ocsp, the answer that came with the certificate or the responder that it names (RFC 6960); crl, the lists at the distribution points that it names (RFC 5280). The first that can say decides. Default: [ocsp, crl]." enum:"ocsp,crl"`
	Refresh   time.Duration `yaml:"refresh" doc:"What was said longer ago is asked again, while it serves until its own end. 1m to 24h. Default 1h."`
	Responder string        `yaml:"responder" doc:"Address of an OCSP responder that is asked instead of those that certificates name."`
	LeafOnly  string        `yaml:"insecure_leaf_only" doc:"Ask about the caller's own certificate only, and not about authorities between, with the reason."`
	SoftFail  string        `yaml:"insecure_soft_fail" doc:"Accept a certificate about which nobody could say anything, with the reason. Its events have the warning revocation_unknown. Default: such a request is refused with 503."`
}

// SetScalar takes the short form.
func (r *Revocation) SetScalar(value string) error {
	if value != revocation.OCSP && value != revocation.CRL {
		return errors.New("write ocsp, crl, or settings: revocation: {ask: [ocsp, crl]}")
	}
	r.Ask = []string{value}
	return nil
}

// Bounds of Refresh.
const (
	minRefresh = time.Minute
	maxRefresh = 24 * time.Hour
	minReason  = 8 // bytes
)

func (r *Revocation) problems() (found []shield.Problem) {
	if r == nil {
		return nil
	}
	if r.Refresh != 0 && (r.Refresh < minRefresh || r.Refresh > maxRefresh) {
		found = append(found, shield.Problem{Path: "revocation.refresh", Message: fmt.Sprintf("%s is not between %s and %s", r.Refresh, minRefresh, maxRefresh)})
	}
	if u, err := url.Parse(r.Responder); r.Responder != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		found = append(found, shield.Problem{Path: "revocation.responder", Message: "it is no address of a responder", Hint: "write http://ocsp.example.com"})
	}
	for path, reason := range map[string]string{"insecure_leaf_only": r.LeafOnly, "insecure_soft_fail": r.SoftFail} {
		if reason != "" && len(reason) < minReason {
			found = append(found, shield.Problem{Path: "revocation." + path, Message: "the reason is too short", Hint: "say in a sentence why it may be"})
		}
	}
	return found
}

// online asks others.
type online struct {
	*revocation.Checker
	leafOnly, softFail bool
}

func (r *Revocation) open(env shield.Env) (*online, error) {
	if r == nil {
		return nil, nil
	}
	if env.Fetch == nil {
		return nil, errors.New("revocation wants to ask others, and there is no way out here")
	}
	c, err := revocation.New(revocation.Settings{Ask: r.Ask, Refresh: r.Refresh, Responder: r.Responder, Fetch: env.Fetch, Now: env.Now, Go: env.Go})
	if err != nil {
		return nil, err
	}
	return &online{c, r.LeafOnly != "", r.SoftFail != ""}, nil
}

// revocationUnknown is the warning of what was accepted although nobody could say whether it
// was revoked.
const revocationUnknown = "revocation_unknown"

// asking is how a certificate is asked about.
type asking func(l *revocation.Link, staple []byte) (time.Time, error)

// waiting asks for a request, which waits for an answer if there is none yet.
func (o *online) waiting(ctx context.Context) asking {
	if o == nil {
		return nil
	}
	return func(l *revocation.Link, staple []byte) (time.Time, error) { return o.RevokedAt(ctx, l, staple) }
}

// knowing asks for a stream that goes on: whoever watches over all of them must not wait.
func (o *online) knowing() asking {
	if o == nil {
		return nil
	}
	return func(l *revocation.Link, _ []byte) (time.Time, error) { return o.Known(l) }
}

// notRevoked refuses a chain of which something was revoked by its authority, or about which
// nobody can say; a warning, if that is accepted. Certificates of the own authority are
// looked up in the registry instead.
func (s *certificates) notRevoked(ask asking, state *state, v *verdict, staple []byte, now time.Time) (warning string, err error) {
	if v.own || len(s.crl) == 0 && s.online == nil {
		return "", nil
	}
	if state.unknown != nil {
		return "", fmt.Errorf("decide whether certificate %s is revoked: %w", v.ids[0], state.unknown)
	}
	for i := range v.links {
		if i > 0 {
			staple = nil // it is the leaf's
		}
		at, err := s.revokedAt(ask, state, v, i, staple, now)
		if !at.IsZero() {
			return "", shield.Refuse(shield.RevokedCredential, "revoked by its authority at %s", at.UTC().Format(time.RFC3339)).Of(v.ids[0], "", true)
		}
		if err != nil && s.online != nil && s.online.softFail {
			warning, err = revocationUnknown, nil
		}
		if err != nil {
			return "", fmt.Errorf("decide whether certificate %s is revoked: %w", v.ids[0], err)
		}
	}
	return warning, nil
}

// revokedAt asks about one certificate of a chain: the lists from files first, if any is of
// its authority.
func (s *certificates) revokedAt(ask asking, state *state, v *verdict, i int, staple []byte, now time.Time) (time.Time, error) {
	l := &v.links[i]
	var ofFiles error
	if len(s.crl) > 0 {
		at, err := state.revocations.revokedAt(l, now)
		if err == nil {
			return at, nil
		}
		ofFiles = err
	}
	if ask == nil {
		return time.Time{}, ofFiles
	}
	if i > 0 && s.online.leafOnly {
		return time.Time{}, nil
	}
	at, err := ask(l.asked, staple)
	if err != nil {
		return at, errors.Join(ofFiles, fmt.Errorf("nobody says anything about the certificate that %s signed: %w", l.name, err))
	}
	return at, nil
}

// streamGrace is how long a stream goes on about whose certificate nobody says anything any
// more: long enough for an answer, which is asked for beside.
const streamGrace = 30 * time.Second

// over reports whether a certificate is no longer good for a stream that was opened with it.
// Since remembers from when on nobody could say, in Unix nanoseconds.
func (s *certificates) over(v *verdict, state *state, since *atomic.Int64) bool {
	now := s.now()
	_, err := s.notRevoked(s.online.knowing(), state, v, nil, now)
	if !errors.Is(err, revocation.ErrUnknown) {
		since.Store(0)
		return err != nil
	}
	since.CompareAndSwap(0, now.UnixNano())
	return now.UnixNano()-since.Load() > int64(streamGrace)
}
