// Package revocation finds out whether certificates of authorities elsewhere are revoked.
//
// A [Checker] has two sources, which it is told to ask in an order: the revocation lists at
// the distribution points that certificates name (RFC 5280 §4.2.1.13), and OCSP (RFC 6960),
// by the answer that the caller's TLS stack stapled to the certificate or by asking the
// responder. The first source that can say something decides.
//
//	list.go, serials.go, scope.go   a list: read strictly, searched quickly
//	lists.go                        lists that are fetched, and kept while they are good
//	ocsp.go, asking.go              answers about one certificate
//
// What was said is good for as long as its signer says. It is asked again sooner
// ([Settings.Refresh]), and what was said before serves meanwhile, also if nobody answers.
// What was revoked stays revoked until there is a newer word that says otherwise. If no
// source says anything that is good now, [Checker.RevokedAt] returns an error: the caller
// decides what that means, and must not take it for "not revoked" in silence.
//
// Addresses come from certificates: only those of chains that were verified may be handed
// in, and the Fetcher must not be one that reaches whatever it is told to.
package revocation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The sources.
const (
	OCSP = "ocsp"
	CRL  = "crl"
)

// Fetcher gets documents; a shield.Fetcher is one.
type Fetcher interface {
	Get(ctx context.Context, url string, limit int64) (body []byte, header http.Header, err error)
}

// Settings of a [Checker]. Fetch and Now are required.
type Settings struct {
	Ask       []string      // sources in the order in which they are asked; empty: OCSP, CRL
	Refresh   time.Duration // what was said longer ago is asked again; 0: an hour
	Responder string        // asked instead of those that certificates name; empty: none
	Fetch     Fetcher
	Now       func() time.Time
	// Go runs questions beside the requests that ask them, until its context ends: a list that
	// takes longer than a request waits is there for the next one. Nil: within the request.
	Go func(func(context.Context))
}

// Bounds and times.
const (
	DefaultRefresh = time.Hour
	coolDown       = 10 * time.Second // a source that failed is left alone
	waitFor        = 3 * time.Second  // that a request waits for one source: one that hangs leaves time for the next
	askFor         = 30 * time.Second // for an answer that nobody waits for any more: a list may be long
	skew           = 5 * time.Minute  // clocks that differ
)

// Checker finds out whether certificates are revoked. It is safe for concurrent use.
type Checker struct {
	settings Settings
	answers  answers
	lists    lists

	mu    sync.Mutex
	asked map[string]*question // under way, by what is asked
	tried map[string]try       // by what is asked; bounded by maxTried
}

// question is one that is under way, for all who ask it at the same time.
type question struct {
	done chan struct{} // closed when there is an answer
	word *word
	err  error
}

// try is the last time that something was asked and failed.
type try struct {
	at  time.Time
	why error
}

const maxTried = 10_000

// New returns a checker.
func New(s Settings) (*Checker, error) {
	if s.Fetch == nil || s.Now == nil {
		return nil, errors.New("revocation needs a way out and a clock")
	}
	if len(s.Ask) == 0 {
		s.Ask = []string{OCSP, CRL}
	}
	for _, source := range s.Ask {
		if source != OCSP && source != CRL {
			return nil, fmt.Errorf("there is no source %q: write ocsp or crl", source)
		}
	}
	if s.Refresh == 0 {
		s.Refresh = DefaultRefresh
	}
	return &Checker{settings: s, asked: map[string]*question{}, tried: map[string]try{}}, nil
}

// Link is a certificate with the authority that signed it, prepared for many questions.
type Link struct {
	cert, issuer *x509.Certificate
	signer       [sha256.Size]byte // of the issuer's name and key
	id           [sha256.Size]byte // of signer and serial number
	serial       Serial
}

// NewLink returns the link of a certificate whose signature was verified.
func NewLink(cert, issuer *x509.Certificate) *Link {
	l := &Link{cert: cert, issuer: issuer, serial: SerialOf(cert)}
	l.signer = SignerOf(issuer)
	h := sha256.New()
	h.Write(l.signer[:])
	h.Write(cert.SerialNumber.Bytes())
	h.Sum(l.id[:0])
	return l
}

// SignerOf names an authority by its name and key, whatever its certificate is.
func SignerOf(ca *x509.Certificate) (digest [sha256.Size]byte) {
	h := sha256.New()
	h.Write(ca.RawSubject) // DER: it says its own length
	h.Write(ca.RawSubjectPublicKeyInfo)
	h.Sum(digest[:0])
	return digest
}

// word is what a source says of a certificate.
type word struct {
	revoked     time.Time // zero: it is good
	from, until time.Time
	*had
}

// had is when something was had, and when it may be asked for again.
type had struct {
	at    time.Time
	again atomic.Int64 // Unix nanoseconds
}

// isGood reports whether a word says something now. That a certificate was revoked is good
// until there is a newer word.
func (w *word) isGood(now time.Time) bool {
	return !w.revoked.IsZero() || !now.Add(skew).Before(w.from) && now.Before(w.until)
}

// isDue reports whether something was had so long ago that it is to be asked for again, to
// one of those who want to know at the same time, and once in a while.
func (h *had) isDue(now time.Time, refresh time.Duration) bool {
	if now.Sub(h.at) <= refresh {
		return false
	}
	again := h.again.Load()
	return now.UnixNano() >= again && h.again.CompareAndSwap(again, now.Add(coolDown).UnixNano())
}

// RevokedAt returns when a certificate was revoked, zero if it was not; or an error, if no
// source can say. The staple is the OCSP answer that came with the certificate, if any.
//
// It waits for a source only if there is no word that is good now, and then for a few
// seconds.
func (c *Checker) RevokedAt(ctx context.Context, l *Link, staple []byte) (time.Time, error) {
	now := c.settings.Now()
	if w := c.known(ctx, l, staple, now); w != nil {
		return w.revoked, nil
	}
	return c.wait(ctx, l, now)
}

// ErrUnknown says that there is no word that is good now.
var ErrUnknown = errors.New("nobody has said anything that is good now")

// Known is RevokedAt for those who must not wait: if there is no word that is good now it
// returns [ErrUnknown], and asks beside, so that there may be one later.
func (c *Checker) Known(l *Link) (time.Time, error) {
	now := c.settings.Now()
	if w := c.known(context.Background(), l, nil, now); w != nil {
		return w.revoked, nil
	}
	c.beside(context.Background(), func(ctx context.Context) { _, _ = c.wait(ctx, l, now) }) // whoever asks next finds what came of it
	if w := c.known(context.Background(), l, nil, now); w != nil {
		return w.revoked, nil
	}
	return time.Time{}, ErrUnknown
}

// known is the word of the first source that has said something good, nil if none has.
func (c *Checker) known(ctx context.Context, l *Link, staple []byte, now time.Time) *word {
	for _, source := range c.settings.Ask {
		w := c.remembered(source, l)
		isGood := w != nil && w.isGood(now)
		due := isGood && w.isDue(now, c.settings.Refresh)
		if source == OCSP && len(staple) > 0 && (!isGood || due) {
			if stapled := c.stapled(staple, l, now); stapled != nil {
				w, isGood, due = stapled, true, stapled.isDue(now, c.settings.Refresh)
			}
		}
		if due {
			c.beside(ctx, func(ctx context.Context) { _, _ = c.ask(ctx, source, l, now) }) // what is known stays; a failure is told when it matters
			w = cmp.Or(c.remembered(source, l), w)
		}
		if isGood {
			return w
		}
	}
	return nil
}

// wait asks the sources in turn until one can say.
func (c *Checker) wait(ctx context.Context, l *Link, now time.Time) (time.Time, error) {
	var faults []error
	for _, source := range c.settings.Ask {
		w, err := c.askInTime(ctx, source, l, now)
		if err == nil {
			return w.revoked, nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", source, err))
	}
	return time.Time{}, errors.Join(faults...)
}

func (c *Checker) askInTime(ctx context.Context, source string, l *Link, now time.Time) (*word, error) {
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	return c.ask(ctx, source, l, now)
}

// remembered is what a source has said, nil if it has said nothing.
func (c *Checker) remembered(source string, l *Link) *word {
	if source == CRL {
		return c.lists.about(l)
	}
	return c.answers.find(&l.id)
}

// stapled takes in the answer that came with a certificate, nil if it says nothing. A caller
// may choose among the answers that are still good, so that it counts as had when it was
// made, and is asked about when that was long ago.
func (c *Checker) stapled(staple []byte, l *Link, now time.Time) *word {
	w, err := readAnswer(staple, l, now)
	if err != nil || w.until.IsZero() {
		return nil
	}
	w.had = &had{at: w.from}
	return c.answers.keep(l, w)
}

// beside runs f beside the request, if that is possible.
func (c *Checker) beside(ctx context.Context, f func(context.Context)) {
	if c.settings.Go != nil {
		c.settings.Go(f)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	f(ctx)
}

// ask asks one source about a certificate, at each of the addresses where it may be had.
func (c *Checker) ask(ctx context.Context, source string, l *Link, now time.Time) (*word, error) {
	addresses, one := l.cert.CRLDistributionPoints, c.fetchList
	if source == OCSP {
		addresses, one = l.cert.OCSPServer, c.askResponder
		if c.settings.Responder != "" {
			addresses = []string{c.settings.Responder}
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("the certificate does not say where")
	}
	var faults []error
	for _, address := range addresses[:min(len(addresses), maxAddresses)] {
		w, err := one(ctx, l, address, now)
		if err == nil {
			return w, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// isFresh reports whether nobody needs to ask: somebody has done so since it was found out
// that it is due.
func (c *Checker) isFresh(w *word, now time.Time) bool {
	return w != nil && w.isGood(now) && now.Sub(w.at) <= c.settings.Refresh
}

// maxAddresses is how many addresses of one certificate are tried.
const maxAddresses = 4

// once asks for all who ask for the same at the same time, and leaves alone for a while what
// has failed. Whoever asks waits for as long as ctx allows; the question goes on without.
func (c *Checker) once(ctx context.Context, key string, now time.Time, ask func(context.Context) (*word, error)) (*word, error) {
	for {
		q, isNew, err := c.join(key, now)
		if err != nil {
			return nil, err
		}
		if isNew {
			c.run(ctx, func(ctx context.Context) {
				q.word, q.err = safely(ctx, ask)
				c.settle(key, now, q.err)
				close(q.done)
			})
		}
		select {
		case <-q.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer yet: %w", ctx.Err())
		}
		if !isNew && errors.Is(q.err, context.Canceled) && ctx.Err() == nil {
			continue // who asked for all of us has left
		}
		return q.word, q.err
	}
}

// safely asks. What a stranger has sent must not end the program, even if it makes a reader
// panic: nobody else would catch that beside a request.
func safely(ctx context.Context, ask func(context.Context) (*word, error)) (w *word, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the answer could not be read: %v", p)
		}
	}()
	return ask(ctx)
}

// join returns the question that is under way, or a new one; an error if it was tried a
// moment ago.
func (c *Checker) join(key string, now time.Time) (q *question, isNew bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.asked[key]; q != nil {
		return q, false, nil
	}
	last, known := c.tried[key]
	if ago := now.Sub(last.at); known && ago >= 0 && ago < coolDown {
		return nil, false, fmt.Errorf("%w (%s ago)", last.why, ago.Round(time.Second))
	}
	q = &question{done: make(chan struct{})}
	c.asked[key] = q
	return q, true, nil
}

// run runs a question: beside the request, with time of its own, if that is possible.
func (c *Checker) run(ctx context.Context, ask func(context.Context)) {
	if c.settings.Go == nil {
		ask(ctx)
		return
	}
	c.settings.Go(func(life context.Context) {
		ctx, cancel := context.WithTimeout(life, askFor)
		defer cancel()
		ask(ctx)
	})
}

// settle ends a question, and remembers a failure. That whoever asked has left says nothing
// about the source.
func (c *Checker) settle(key string, now time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, key)
	switch {
	case err == nil:
		delete(c.tried, key)
	case errors.Is(err, context.Canceled):
	default:
		if len(c.tried) >= maxTried {
			clear(c.tried)
		}
		c.tried[key] = try{now, err}
	}
}

// Sources are the names of the sources.
func Sources() []string { return slices.Clone([]string{OCSP, CRL}) }
