// Package once uses up what may be used once: nonces of signed requests, proofs
// of possession, identifiers of assertions.
//
// A [shield.Once] is consumed before its request goes on. From then on it is used,
// also after kill -9, until its own time is over and the shield would refuse it
// anyway; never earlier, whatever the load. A store that has no room refuses; a
// store that cannot know what was used refuses everything that was made before it
// began to know. Those are the two ways in which other replay caches fail open.
//
// [Open] keeps the claims of one node in a mapped file. [NewMemory] keeps them in
// memory, for tests and for programs that can bear a cold start with each
// restart. Both keep the promises of [pavise.dev/pavise/internal/once/oncetest].
// Several nodes need a store that they share; this package has none.
package once

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/shield"
)

// Store uses up claims. It is safe for concurrent use.
type Store interface {
	// Consume uses up all claims or none, in one step: of any number of callers
	// with the same claim, one gets nil. Errors are [ErrUsed], [ErrCold] and
	// [ErrShare], which also are a *shield.Refusal, or [ErrFull], [ErrTooFar], [ErrClosed]
	// and faults of the store, after which nobody knows and the caller refuses.
	Consume(ctx context.Context, claims []shield.Once) error
}

// What [Store.Consume] answers instead of nil.
var (
	// ErrUsed: a claim was used before. Its refusal is ReplayedRequest.
	ErrUsed = errors.New("used before")

	// ErrCold: the claim is from a time of which the store knows nothing (it
	// began later, or the clock was set back; see times.go). Its refusal is StaleRequest: the
	// honest caller signs anew and passes.
	ErrCold = errors.New("from before the store's memory")

	// ErrFull: there is no room for a claim that must not be forgotten.
	ErrFull = errors.New("the store of used claims is full")

	// ErrShare: there is little room left, and what there is belongs to others: this
	// space has more than its share. Its refusal is RateLimited. It is an ErrFull.
	ErrShare = fmt.Errorf("%w for this space: it has more than its share", ErrFull)

	// ErrTooFar: the claim would have to be kept for longer than the bound.
	ErrTooFar = errors.New("the claim would have to be kept for too long")

	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store of used claims is closed")
)

// Defaults of [Options].
const (
	DefaultCapacity = 1 << 20
	DefaultMaxAhead = 24 * time.Hour
	DefaultSkew     = shield.MaxSkew
)

// maxClaims is how many claims one request may make: every proof of an all has
// one or two.
const maxClaims = 16

// Options are the settings of a store.
type Options struct {
	// Path is the file, for [Open]. Beside it are made: Path.lock, and
	// Path.damaged if what was there could not be read. It must not be part of a
	// backup that is ever restored; a copied file is taken for a cold start.
	Path string

	// Capacity is how many claims can be kept at once; 0 means [DefaultCapacity].
	// A file needs 64 bytes for each. As a rule: requests per second ×
	// seconds that a signed request stays acceptable.
	Capacity int

	// Now is the clock by which claims end; nil means time.Now.
	Now func() time.Time

	// MaxAhead bounds how far away a claim's end may be; 0 means
	// [DefaultMaxAhead].
	MaxAhead time.Duration

	// Skew is how far in the future the shields accept a signer's timestamp. A
	// cold start refuses so much more, because such a claim may have been used
	// before it. 0 means [DefaultSkew].
	Skew time.Duration

	// First says that no claim can ever have been accepted before, because the
	// installation is being made now: its first start is not a cold one.
	First bool

	// Warn is told why a start is cold, or a file was set aside; nil: nobody.
	Warn func(error)
}

// complete returns the options with their defaults.
func (o Options) complete() (Options, error) {
	if o.Capacity < 0 || o.Capacity > 1<<30 {
		return o, fmt.Errorf("a capacity of %d claims: want 1 to %d", o.Capacity, 1<<30)
	}
	if o.MaxAhead < 0 || o.Skew < 0 {
		return o, fmt.Errorf("negative times: max ahead %s, skew %s", o.MaxAhead, o.Skew)
	}
	if o.Capacity == 0 {
		o.Capacity = DefaultCapacity
	}
	if o.MaxAhead == 0 {
		o.MaxAhead = DefaultMaxAhead
	}
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	return o, nil
}

// terms are what a claim has to fulfil before it is looked up.
type terms struct {
	cold  time.Time
	now   time.Time
	far   time.Duration
	times *times
}

func (t terms) check(c *shield.Once) error {
	switch {
	case c.Made.Before(t.cold):
		return refuse(ErrCold, shield.StaleRequest, "made at %s, but what was used before %s is not known: sign it anew",
			c.Made.UTC().Format(time.RFC3339), t.cold.UTC().Format(time.RFC3339))
	case t.times.mayBeLost(c):
		return forgotten(c)
	case !c.Until.After(t.now):
		return refuse(ErrCold, shield.StaleRequest, "its time ended at %s", c.Until.UTC().Format(time.RFC3339))
	case c.Until.Sub(t.now) > t.far:
		return fmt.Errorf("%w: until %s, more than %s away; shorten the life of what %q accepts", ErrTooFar,
			c.Until.UTC().Format(time.RFC3339), t.far, c.Space)
	}
	return nil
}

var errSetBack = errors.New("the clock was set back; requests signed before now are refused as stale")

// nanoseconds is the word of a moment; 0 for the zero time.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func used(c *shield.Once) error {
	return refuse(ErrUsed, shield.ReplayedRequest, "a claim of %q was used before", c.Space)
}

func overShare(c *shield.Once) error {
	return refuse(ErrShare, shield.RateLimited, "%q makes so many claims that others would find no room; it waits until some are over", c.Space)
}

func forgotten(c *shield.Once) error {
	return refuse(ErrCold, shield.StaleRequest, "its time, until %s, has passed once already: the clock was set back", c.Until.UTC().Format(time.RFC3339))
}

func refuse(kind error, code shield.Code, format string, args ...any) error {
	return fmt.Errorf("%w: %w", kind, shield.Refuse(code, format, args...))
}

// admissible is the part of Consume that looks at no store.
func admissible(ctx context.Context, claims []shield.Once) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(claims) > maxClaims {
		return fmt.Errorf("%d claims of one request: want at most %d", len(claims), maxClaims)
	}
	return nil
}
