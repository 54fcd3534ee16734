// Package flow guards requests that belong together: the retries of one request, and the
// steps of a sensitive sequence such as a purchase.
//
// *Idempotency keys* (draft-ietf-httpapi-idempotency-key-header-07). A caller gives a request
// a key of his own; the first request with it is carried out, and every retry gets the same
// answer again. A retry while the first is under way is 409, one with another payload 422,
// and one whose first try has an unknown outcome 409, until the key is forgotten: what may
// have been paid is not paid again. A key belongs to one identity and one endpoint.
//
// *Sequences* (OWASP API6:2023). An endpoint that is a step is refused unless the same
// identity has completed the step before, within a time, and not faster than a pace. A
// sequence that was completed is used up. How many may be begun, and be open, is bounded.
//
// Both live in a [Store], a journal of one node that outlives kill -9 and, for whatever was
// let pass, the machine: the claim is on the disk before the service is asked. Answers are
// sealed there, and names of callers and keys are keyed hashes.
//
// An [Endpoint] implements pavise.Flow. What it does not do: several nodes do not know of
// each other's keys and sequences.
package flow

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Settings are what an [Endpoint] is made of.
type Settings struct {
	API, Pattern string // names within which keys and sequences are apart
	MaxBody      int64  // longest body of the endpoint, in bytes

	Idempotency *Idempotency  // nil: keys mean nothing here
	Step        *Step         // nil: the endpoint belongs to no sequence
	Limiter     limit.Limiter // counts how often sequences are begun; required if one has limits
}

// Idempotency says how an endpoint takes Idempotency-Key.
type Idempotency struct {
	Required  bool          // requests without a key are refused
	Keep      time.Duration // how long a key is known
	MaxAnswer int64         // longest body of an answer that is kept, in bytes
}

// Endpoint is what one endpoint demands. It is safe for concurrent use.
type Endpoint struct {
	Settings
	store *Store
}

// New makes an endpoint over a store that outlives it.
func New(store *Store, s Settings) (*Endpoint, error) {
	if s.Idempotency != nil {
		if k := s.Idempotency; k.Keep <= 0 || k.MaxAnswer < 0 || k.MaxAnswer > MaxAnswer {
			return nil, fmt.Errorf("answers of %d bytes kept for %s: want at most %d bytes, and a time", k.MaxAnswer, k.Keep, MaxAnswer)
		}
	}
	if s.Step != nil {
		if err := s.Step.check(s.Limiter); err != nil {
			return nil, err
		}
	}
	return &Endpoint{Settings: s, store: store}, nil
}

// Body implements pavise.BodyReader: the payload tells a retry from another request, and may
// hold the key of a sequence.
func (e *Endpoint) Body() int64 {
	if e.Idempotency != nil || e.Step != nil && e.Step.Key.In == InBody {
		return e.MaxBody
	}
	return 0
}

// Begin implements pavise.Flow. A retry gets its answer without moving the sequence; a key
// whose step is refused is free again.
func (e *Endpoint) Begin(r *http.Request, id *shield.Identity) (pavise.Turn, error) {
	var turn pavise.Turn
	key, err := e.beginKey(r, id)
	if err != nil {
		return turn, err
	}
	if key != nil && key.earlier != nil {
		turn.Earlier = key.earlier
		return turn, nil
	}
	step, err := e.beginStep(r, id)
	if err != nil {
		return turn, errors.Join(err, key.release())
	}
	if err := e.store.sync(key.mark(), step.mark()); err != nil {
		return turn, errors.Join(fmt.Errorf("keep the claim: %w", err), key.release(), step.end(pavise.Ended{Unsent: true}))
	}
	if key != nil || step != nil {
		turn.Keep = max(key.keep(), step.keep())
		turn.Finish = key != nil || e.Step.Index > 0 // a first step claims nothing, so that it may be left
		turn.End = func(ended pavise.Ended) error { return errors.Join(step.end(ended), key.end(ended)) }
	}
	return turn, nil
}
