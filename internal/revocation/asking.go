package revocation

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// maxAnswer is the longest OCSP answer that is read, in bytes.
const maxAnswer = 32 << 10

// askResponder asks one responder about a certificate (RFC 6960 appendix A.1, GET: the
// question is always the same, so that caches on the way serve; RFC 5019 §5).
func (c *Checker) askResponder(ctx context.Context, l *Link, address string, now time.Time) (*word, error) {
	return c.once(ctx, "ocsp "+address+" "+string(l.id[:]), now, func(ctx context.Context) (*word, error) {
		if known := c.answers.find(&l.id); c.isFresh(known, now) {
			return known, nil
		}
		question, err := ocsp.CreateRequest(l.cert, l.issuer, nil)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", address, err)
		}
		text := url.PathEscape(base64.StdEncoding.EncodeToString(question))
		der, _, err := c.settings.Fetch.Get(ctx, strings.TrimSuffix(address, "/")+"/"+strings.ReplaceAll(text, "+", "%2B"), maxAnswer)
		if err != nil {
			return nil, err
		}
		w, err := readAnswer(der, l, now)
		if err != nil {
			return nil, fmt.Errorf("the answer of %s: %w", address, err)
		}
		w.had = &had{at: now}
		if w.until.IsZero() {
			w.until = now.Add(untilAsked)
		}
		return c.answers.keep(l, w), nil
	})
}

// maxAnswers is how many answers are remembered.
const maxAnswers = 1 << 16

// answers are the newest words of responders.
type answers struct {
	kept sync.Map // id of a link → *word

	mu   sync.Mutex // of what follows
	many int
}

func (a *answers) find(id *[32]byte) *word {
	found, ok := a.kept.Load(*id)
	if !ok {
		return nil
	}
	w, _ := found.(*word) // nothing else is kept
	return w
}

// keep remembers a word unless a newer one is known, and returns the one that counts.
func (a *answers) keep(l *Link, w *word) *word {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.find(&l.id)
	if known != nil && known.from.After(w.from) {
		return known
	}
	if known == nil {
		if a.many >= maxAnswers {
			a.makeRoom()
		}
		a.many++
	}
	a.kept.Store(l.id, w)
	return w
}

// makeRoom forgets an eighth of those that are not revoked: they are asked about again.
// Those that are revoked go only if there is nothing else.
func (a *answers) makeRoom() {
	for _, revokedToo := range []bool{false, true} {
		a.kept.Range(func(id, found any) bool {
			if w, ok := found.(*word); ok && (revokedToo || w.revoked.IsZero()) {
				a.kept.Delete(id)
				a.many--
			}
			return a.many > maxAnswers*7/8
		})
		if a.many < maxAnswers {
			return
		}
	}
}
