package account

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password in characters, after normalisation.
const (
	LeastMinimum   = 8 // NIST SP 800-63B-4 §3.1.1.2, beside a second factor
	DefaultMinimum = 12
	MaxPassword    = 256
)

// Errors of passwords, in words for the person who chooses one.
var (
	ErrShort  = errors.New("the password is too short")
	ErrLong   = errors.New("the password is too long: at most 256 characters")
	ErrCommon = errors.New("the password is on lists of common ones, or built like them; whoever guesses tries it first")
	ErrOwn    = errors.New("the password holds the account's own name")
	ErrText   = errors.New("the password cannot be read")

	// ErrBusy says that too many passwords are being checked at this moment.
	ErrBusy = errors.New("too many passwords are being checked; try again in some seconds")
)

// cost are argon2id's parameters.
type cost struct {
	KiB     uint32 `json:"m"`
	Passes  uint32 `json:"t"`
	Threads uint8  `json:"p"`
}

// present is what new passwords are hashed with: beyond OWASP's minimum (19 MiB, two
// passes). What was hashed with less is hashed again at the next sign-in.
func present() cost { return cost{KiB: 32 << 10, Passes: 2, Threads: 1} }

// maxCost bounds what a stored hash may ask for.
func (c cost) isSane() bool {
	return c.KiB >= 8 && c.KiB <= 1<<20 && c.Passes >= 1 && c.Passes <= 64 && c.Threads >= 1 && c.Threads <= 16
}

const (
	saltBytes = 16
	sumBytes  = 32
)

// hash is a password as it is kept.
type hash struct {
	cost
	Salt []byte `json:"salt"`
	Sum  []byte `json:"sum"`
}

// hasher hashes passwords, a few at a time: each takes [cost.KiB] of memory.
type hasher struct {
	turns   chan struct{}
	waiting atomic.Int64
	random  io.Reader
	dummy   hash
}

// Bounds of what hashing takes: 4 × 32 MiB, and how many requests wait for it.
const (
	maxTurns   = 4
	maxWaiting = 64
	maxWait    = 5 * time.Second
)

func newHasher(random io.Reader) (*hasher, error) {
	h := &hasher{turns: make(chan struct{}, min(maxTurns, max(1, runtime.GOMAXPROCS(0)))), random: random}
	noise := make([]byte, saltBytes+sumBytes)
	if _, err := io.ReadFull(random, noise); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	// Nothing hashes to it but by chance, and checking it costs what any check costs.
	h.dummy = hash{present(), noise[:saltBytes], noise[saltBytes:]}
	return h, nil
}

// turn waits until a password may be hashed, or says [ErrBusy].
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

// make hashes a password that was found acceptable.
func (h *hasher) make(ctx context.Context, password string) (*hash, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(h.random, salt); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	made := &hash{cost: present(), Salt: salt}
	done, err := h.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	made.Sum = made.of(prepared(password))
	return made, nil
}

// matches reports whether a typed password is the kept one; nil: nobody's. Both cost the
// same.
func (h *hasher) matches(ctx context.Context, kept *hash, typed string) (bool, error) {
	against := kept
	if kept == nil || !kept.isSane() || len(kept.Sum) != sumBytes {
		against = &h.dummy
	}
	readable := len(typed) <= maxTyped && utf8.ValidString(typed)
	if !readable {
		typed = ""
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	same := subtle.ConstantTimeCompare(against.of(prepared(typed)), against.Sum) == 1
	return same && readable && against == kept, nil
}

func (k *hash) of(password string) []byte {
	return argon2.IDKey([]byte(password), k.Salt, k.Passes, k.KiB, k.Threads, sumBytes)
}

func (k *hash) isOld() bool { return k.cost != present() }

// maxTyped bounds what is normalised, in bytes.
const maxTyped = 4 * MaxPassword * 3

// prepared is the text that is hashed: the same however the keyboard composed it.
func prepared(password string) string { return norm.NFKC.String(password) }

// Rules are what a password must be like. There are none about kinds of characters: they
// make passwords worse (NIST SP 800-63B-4 §3.1.1.2).
type Rules struct {
	Minimum int // characters
}

// Check says what is wrong with a password that somebody chooses; own are the texts that
// it must not hold, such as the account's name.
func (r Rules) Check(password string, own ...string) error {
	if len(password) > maxTyped {
		return ErrLong
	}
	if !utf8.ValidString(password) || strings.ContainsRune(password, 0) {
		return ErrText
	}
	password = prepared(password)
	switch n := utf8.RuneCountInString(password); {
	case n < r.Minimum:
		return fmt.Errorf("%w: at least %d characters", ErrShort, r.Minimum)
	case n > MaxPassword:
		return ErrLong
	}
	low := strings.ToLower(password)
	for _, text := range own {
		if text = strings.ToLower(prepared(text)); len(text) >= 4 && strings.Contains(low, text) && 2*len(text) >= len(low) {
			return ErrOwn
		}
	}
	if isCommon(low) {
		return ErrCommon
	}
	return nil
}
