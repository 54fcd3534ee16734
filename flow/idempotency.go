package flow

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/journal"
	"pavise.dev/pavise/shield"
)

// claimed is a key that a request has for itself, or the answer that it had before. A nil
// claimed is no key.
type claimed struct {
	store   *Store
	id      name
	made    journal.At
	most    int64 // of an answer that is kept
	earlier *pavise.Answer
}

// beginKey claims the key of a request; nil if it has none and needs none.
func (e *Endpoint) beginKey(r *http.Request, id *shield.Identity) (*claimed, error) {
	if e.Idempotency == nil {
		return nil, nil
	}
	key, err := keyOf(r.Header)
	if err != nil {
		return nil, err
	}
	if key == "" {
		if e.Idempotency.Required {
			return nil, shield.Refuse(shield.KeyRequired, "the endpoint wants an %s", KeyHeader)
		}
		return nil, nil
	}
	who := identityOf(id)
	if who == nil {
		return nil, errors.New("nobody is proved, so that a key could be anybody's")
	}
	print, err := e.fingerprint(r)
	if err != nil {
		return nil, err
	}
	c := &claimed{store: e.store, id: e.store.name(append([]string{"key", e.API, e.Pattern, key}, who...)...), most: e.Idempotency.MaxAnswer}
	owner := e.store.name(append([]string{"owner"}, who...)...)
	held, err := e.store.claim(c.id, print, owner, e.Idempotency.Keep)
	if err != nil {
		return nil, err
	}
	c.made = held.made
	if held.status != 0 {
		c.earlier, err = e.store.answer(c.id, held)
	}
	return c, err
}

// fingerprint tells a retry from another request with the same key: method, path, query and
// payload, as they would be sent to the service.
func (e *Endpoint) fingerprint(r *http.Request) (name, error) {
	body, err := shield.BodyOf(r)
	if err != nil {
		return name{}, err
	}
	text, err := body.Bytes()
	if err != nil {
		return name{}, err
	}
	sum := sha256.Sum256(text)
	body.Rewind()
	return e.store.name("request", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(sum[:])), nil
}

// identityOf returns the words that name everybody who proved himself for a request; nil:
// nobody did. Whoever stands behind the same client as another user is another identity.
func identityOf(id *shield.Identity) (who []string) {
	proved := false
	id.All(func(one *shield.Identity) {
		subject := ""
		if one.Client == "" && one.User == "" {
			subject = one.Subject
		}
		proved = proved || one.Client != "" || one.User != "" || subject != ""
		who = append(who, one.Issuer, one.Client, one.User, subject)
	})
	if !proved {
		return nil
	}
	return who
}

func (c *claimed) mark() journal.At {
	if c == nil {
		return journal.At{}
	}
	return c.made
}

func (c *claimed) keep() int64 {
	if c == nil {
		return 0
	}
	return c.most
}

// release gives the key back: nothing has happened.
func (c *claimed) release() error {
	if c == nil || c.earlier != nil {
		return nil
	}
	return c.store.release(c.id)
}

// end keeps what came of the request. A service that says it did nothing (408, 425, 429), and
// one that got nothing, may be asked again with the same key.
func (c *claimed) end(ended pavise.Ended) error {
	switch {
	case c == nil:
		return nil
	case ended.Unsent, ended.Whole && saysNothingDone(ended.Status):
		return c.store.release(c.id)
	case !ended.Whole:
		return c.store.lose(c.id)
	}
	answer := ended.Answer
	if answer != nil && int64(len(answer.Body)) > c.most {
		answer = nil // it was wanted for the sequence
	}
	if err := c.store.finish(c.id, ended.Status, answer); err != nil {
		return errors.Join(fmt.Errorf("keep the answer: %w", err), c.store.lose(c.id))
	}
	return nil
}

func saysNothingDone(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

// soon is after what time a caller may ask again for what is under way.
const soon = time.Second
