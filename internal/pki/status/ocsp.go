package status

import (
	"crypto"
	_ "crypto/sha1" // OCSP names authorities by it (RFC 5019 §2.1.1): a name, no proof
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/revocation"
	"pavise.dev/pavise/shield"
)

// Bounds and lives of OCSP.
const (
	maxQuestion = 512 // bytes of DER; one certificate needs about 100
	maxAnswers  = 50_000
	answerLife  = 4 * time.Hour
	unasked     = 24 * time.Hour // an answer that nobody asks for is forgotten
)

// question is about one certificate of an authority.
type question struct {
	authority, serial string
	hash              crypto.Hash
}

// signed is an answer with what it says.
type signed struct {
	der      []byte
	revoked  time.Time // zero: good
	hold     bool
	from, to time.Time
	asked    time.Time // the last time; guarded by answers.mu
}

// answers are what was signed, by question.
type answers struct {
	mu   sync.Mutex
	kept map[question]*signed
}

func (a *answers) find(q question, now time.Time) *signed {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.kept[q]
	if found != nil {
		found.asked = now
	}
	return found
}

func (a *answers) keep(q question, one *signed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= maxAnswers {
		for old := range a.kept { // any: what is forgotten is signed again
			delete(a.kept, old)
			break
		}
	}
	a.kept[q] = one
}

// state is what is known of a certificate now.
type state struct {
	revoked time.Time
	hold    bool
}

// says reports whether an answer is still true, and good for a while.
func (one *signed) says(now state, at time.Time) bool {
	return one.revoked.Equal(now.revoked) && one.hold == now.hold && at.Before(one.to) && !at.Before(one.from)
}

func (s *Server) serveOCSP(w http.ResponseWriter, r *http.Request) {
	der, status := readQuestion(r)
	if status != http.StatusOK {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, POST")
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	one, refusal := s.answer(der)
	w.Header().Set("Content-Type", "application/ocsp-response")
	if refusal != nil {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(refusal) // the caller may be gone
		return
	}
	s.cacheable(w, one.der, one.from, one.to)
	_, _ = w.Write(one.der)
}

// readQuestion takes the question out of a request (RFC 6960 appendix A.1).
func readQuestion(r *http.Request) (der []byte, status int) {
	switch r.Method {
	case http.MethodPost:
		if r.Header.Get("Content-Type") != "application/ocsp-request" || r.URL.EscapedPath() != pki.PathOCSP && r.URL.EscapedPath() != pki.PathOCSP+"/" {
			return nil, http.StatusUnsupportedMediaType
		}
		der, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion+1))
		if err != nil || len(der) > maxQuestion {
			return nil, http.StatusRequestEntityTooLarge
		}
		return der, http.StatusOK
	case http.MethodGet, http.MethodHead:
		text := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), pki.PathOCSP), "/")
		plain, err := url.PathUnescape(text)
		if err != nil || len(plain) > 2*maxQuestion {
			return nil, http.StatusBadRequest
		}
		if der, err = base64.StdEncoding.DecodeString(plain); err != nil || len(der) == 0 || len(der) > maxQuestion {
			return nil, http.StatusBadRequest
		}
		return der, http.StatusOK
	}
	return nil, http.StatusMethodNotAllowed
}

// answer returns a signed answer, or one of OCSP's refusals, which are not signed.
func (s *Server) answer(der []byte) (one *signed, refusal []byte) {
	asked, err := ocsp.ParseRequest(der)
	if err != nil || !asked.HashAlgorithm.Available() || asked.SerialNumber.Sign() <= 0 {
		return nil, ocsp.MalformedRequestErrorResponse
	}
	signers, err := s.options.Authority.Signers()
	if err != nil {
		return nil, ocsp.TryLaterErrorResponse
	}
	signer := about(signers, asked)
	if signer == nil {
		return nil, ocsp.UnauthorizedErrorResponse // RFC 5019 §2.2.3: not ours to say
	}
	q := question{signer.ID, string(asked.SerialNumber.Bytes()), asked.HashAlgorithm}
	now, err := s.stateOf(signer, q.serial)
	if errors.Is(err, shield.ErrUnknown) {
		return nil, ocsp.UnauthorizedErrorResponse
	}
	if err != nil {
		return nil, ocsp.TryLaterErrorResponse
	}
	at := s.options.Now()
	if one = s.answers.find(q, at); one != nil && one.says(now, at) {
		return one, nil
	}
	if one, err = s.signAnswer(signer, q, now, at); err != nil {
		return nil, ocsp.InternalErrorErrorResponse
	}
	one.asked = at
	s.answers.keep(q, one)
	return one, nil
}

// about finds the authority that a question names.
func about(signers []pki.Signer, asked *ocsp.Request) *pki.Signer {
	for i := range signers {
		if signers[i].Key == nil {
			continue // it cannot say anything
		}
		c := signers[i].Certificate
		if revocation.IsNamed(c, asked.HashAlgorithm, asked.IssuerNameHash, asked.IssuerKeyHash) {
			return &signers[i]
		}
	}
	return nil
}

// stateOf is what is known of a certificate; shield.ErrUnknown if nothing is.
func (s *Server) stateOf(signer *pki.Signer, serial string) (state, error) {
	for _, one := range signer.Revoked {
		if string(one.Certificate.SerialNumber.Bytes()) == serial {
			return state{revoked: one.At}, nil
		}
	}
	r, err := s.options.Records.Credential(client.CertificateKind, client.CertificatePrefix+hex.EncodeToString([]byte(serial)))
	if err != nil {
		return state{}, err
	}
	if !isOf(signer, r) {
		return state{}, shield.ErrUnknown
	}
	at := revokedAt(signer, r)
	if at.IsZero() && (r.Client == nil || r.Client.Disabled) {
		return state{hold: true}, nil
	}
	return state{revoked: at}, nil
}

func (s *Server) signAnswer(signer *pki.Signer, q question, now state, at time.Time) (*signed, error) {
	from := at.UTC().Truncate(time.Second)
	to := earliest(from.Add(answerLife), signer.Certificate)
	t := ocsp.Response{Status: ocsp.Good, ThisUpdate: from.Add(-skew), NextUpdate: to, IssuerHash: q.hash}
	t.SerialNumber = new(big.Int).SetBytes([]byte(q.serial))
	switch {
	case now.hold:
		t.Status, t.RevokedAt, t.RevocationReason = ocsp.Revoked, from, ocsp.CertificateHold
	case !now.revoked.IsZero():
		t.Status, t.RevokedAt, t.RevocationReason = ocsp.Revoked, now.revoked.UTC(), ocsp.Unspecified
	}
	by, err := s.responders.of(signer, at, s.options.Rand)
	if err != nil {
		return nil, err
	}
	if by.cert != signer.Certificate {
		t.Certificate = by.cert
	}
	der, err := ocsp.CreateResponse(signer.Certificate, by.cert, t, by.key)
	if err != nil {
		return nil, fmt.Errorf("sign an OCSP answer: %w", err)
	}
	return &signed{der: der, revoked: now.revoked, hold: now.hold, from: from, to: to}, nil
}

// lookEvery is how often answers are gone through although nothing was revoked.
const lookEvery = time.Minute

// keepAnswers signs answers again that are half over, or no longer true, while somebody
// asks for them, and forgets the others. It goes through them when something was revoked,
// and once a minute.
func (s *Server) keepAnswers(signers []pki.Signer, state [2]uint64) error {
	at := s.options.Now()
	if since := at.Sub(s.looked); state == s.told && since >= 0 && since < lookEvery {
		return nil
	}
	var faults []error
	for q, one := range s.answers.due(at) {
		i := indexOf(signers, q.authority)
		if i < 0 {
			s.answers.forget(q)
			continue
		}
		now, err := s.stateOf(&signers[i], q.serial)
		if errors.Is(err, shield.ErrUnknown) {
			s.answers.forget(q)
			continue
		}
		if err != nil {
			return err
		}
		if one.says(now, at) && at.Sub(one.from) < answerLife/2 {
			continue
		}
		next, err := s.signAnswer(&signers[i], q, now, at)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		next.asked = one.asked
		s.answers.keep(q, next)
	}
	if len(faults) == 0 {
		s.told, s.looked = state, at
	}
	return errors.Join(faults...)
}

// due returns the answers that somebody asks for, and forgets the others.
func (a *answers) due(now time.Time) map[question]signed {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[question]signed, len(a.kept))
	for q, one := range a.kept {
		if now.Sub(one.asked) > unasked {
			delete(a.kept, q)
			continue
		}
		all[q] = *one
	}
	return all
}

func (a *answers) forget(q question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.kept, q)
}

func indexOf(signers []pki.Signer, id string) int {
	for i := range signers {
		if signers[i].ID == id {
			return i
		}
	}
	return -1
}
