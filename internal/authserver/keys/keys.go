// Package keys makes, keeps and rotates the keys with which the authorization server
// signs.
//
// There are up to three kinds at a time: the next key, which is published but signs
// nothing yet; the current one, which signs; and previous ones, which sign no more but
// still verify what they signed. A key is published for a whole Publish before it signs,
// so that whoever caches the key set knows it in time, and for a whole Retain after it
// stopped, so that nothing that it signed becomes unverifiable before its end.
//
//	ring, err := keys.Open(ctx, keys.Options{Records: records, Algorithm: "ES256", ...})
//	kid, alg, key := ring.Current()
//	err = ring.Keep(ctx) // now and then: rotates what is due
//
// Private keys are sealed records of the store.
package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/internal/client"
)

// Algorithms are what the server may sign with (RFC 7518 §3.1, RFC 8037).
func Algorithms() []string { return []string{"ES256", "EdDSA", "PS256", "RS256"} }

// Records are where keys are kept; a [client.Records] is one.
type Records interface {
	Table(ctx context.Context, table string) ([]client.Record, error)
	Write(ctx context.Context, records ...client.Record) error
	Remove(ctx context.Context, records ...client.Record) error
}

// Options are what a [Ring] needs. All of them are required.
type Options struct {
	Records   Records
	Algorithm string // of new keys
	Now       func() time.Time

	Rotate  time.Duration // how long a key signs
	Publish time.Duration // how long a key is published before it signs; shorter than Rotate
	Retain  time.Duration // how long a key verifies after it signed for the last time

	// Changed is told what a rotation did, for the event log. It may be nil.
	Changed func(action, kid, text string)
}

const table = "signing_key"

// Key is one key of the ring.
type Key struct {
	ID        string
	Algorithm string
	Public    crypto.PublicKey
	State     State
	Created   time.Time
	Since     time.Time // it signs, or signed, from here …
	Until     time.Time // … to here; zero: no end yet
}

// State says what a key is for.
type State string

// The states of a key, in their order.
const (
	Next     State = "next"     // published, signs nothing yet
	Current  State = "current"  // signs
	Previous State = "previous" // verifies what it signed
)

// kept is a key as its record holds it.
type kept struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"alg"`
	Private   []byte    `json:"private"` // PKCS #8
	Created   time.Time `json:"created"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`

	version int64
	private crypto.Signer
}

func (k *kept) state() State {
	switch {
	case k.Since.IsZero():
		return Next
	case k.Until.IsZero():
		return Current
	}
	return Previous
}

// Ring is the server's keys. It is safe for concurrent use.
type Ring struct {
	options Options

	changing sync.Mutex // one change at a time
	mu       sync.RWMutex
	keys     []*kept // next, current, previous ones; oldest last. Never changed, only replaced
}

// Open reads the keys, and makes them at the first start.
func Open(ctx context.Context, o Options) (*Ring, error) {
	switch {
	case o.Records == nil || o.Now == nil:
		return nil, errors.New("signing keys need records and a clock")
	case !slices.Contains(Algorithms(), o.Algorithm):
		return nil, fmt.Errorf("signing algorithm %q: want one of %v", o.Algorithm, Algorithms())
	case o.Publish <= 0 || o.Rotate <= o.Publish || o.Retain <= 0:
		return nil, fmt.Errorf("a key signs for %s after it was published for %s, and verifies for %s more: want 0 < published < signs, and more than 0", o.Rotate, o.Publish, o.Retain)
	}
	if o.Changed == nil {
		o.Changed = func(string, string, string) {}
	}
	r := &Ring{options: o}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	return r, r.Keep(ctx)
}

// read takes in what is kept.
func (r *Ring) read(ctx context.Context) error {
	records, err := r.options.Records.Table(ctx, table)
	if err != nil {
		return fmt.Errorf("read the signing keys: %w", err)
	}
	var all []*kept
	for _, record := range records {
		k := &kept{version: record.Version}
		if err := json.Unmarshal(record.Body, k); err != nil {
			return fmt.Errorf("decode signing key %s: %w", record.ID, err)
		}
		if k.private, err = parse(k.Private); err != nil {
			return fmt.Errorf("signing key %s: %w", record.ID, err)
		}
		all = append(all, k)
	}
	order := map[State]int{Next: 0, Current: 1, Previous: 2}
	slices.SortFunc(all, func(a, b *kept) int {
		if a.state() != b.state() {
			return order[a.state()] - order[b.state()]
		}
		return b.Created.Compare(a.Created)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = all
	return nil
}

func parse(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse it: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// Current returns the key that signs.
func (r *Ring) Current() (id, algorithm string, key crypto.Signer) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k := first(r.keys, Current) // there is one since Open
	return k.ID, k.Algorithm, k.private
}

// All returns every key that is published: next, current, previous.
func (r *Ring) All() []Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Key, 0, len(r.keys))
	for _, k := range r.keys {
		all = append(all, Key{k.ID, k.Algorithm, k.private.Public(), k.state(), k.Created, k.Since, k.Until})
	}
	return all
}

// Keep does what is due: makes a next key, lets it sign when the current one has signed
// for long enough, and removes keys whose signatures have all ended. When the configured
// algorithm has changed, the next key has it already, and signs as soon as it was
// published for long enough.
func (r *Ring) Keep(ctx context.Context) error {
	return r.change(ctx, func(now time.Time) error {
		current := first(r.keys, Current)
		next := first(r.keys, Next)
		if current == nil { // the first start: nobody has cached anything yet
			return r.begin(ctx, now)
		}
		if next != nil && next.Algorithm != r.options.Algorithm {
			if err := r.remove(ctx, next, "has another algorithm than is configured now"); err != nil {
				return err
			}
			next = nil
		}
		if next == nil {
			return r.add(ctx, now)
		}
		due := now.Sub(current.Since) >= r.options.Rotate || current.Algorithm != r.options.Algorithm
		if due && now.Sub(next.Created) >= r.options.Publish {
			return r.promote(ctx, now, current, next)
		}
		return r.forget(ctx, now)
	})
}

// Rotate lets the next key sign at once, whatever is due. With compromised, the current
// and the previous keys verify nothing from now on either: every token that they signed
// is refused.
func (r *Ring) Rotate(ctx context.Context, compromised bool) error {
	return r.change(ctx, func(now time.Time) error {
		if err := r.promote(ctx, now, first(r.keys, Current), first(r.keys, Next)); err != nil || !compromised {
			return err
		}
		for _, k := range r.keys {
			if k.state() == Previous {
				if err := r.remove(ctx, k, "is taken for compromised"); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (r *Ring) change(ctx context.Context, do func(now time.Time) error) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := do(r.options.Now().UTC()); err != nil {
		return errors.Join(err, r.read(ctx))
	}
	return r.read(ctx)
}

func first(keys []*kept, state State) *kept {
	for _, k := range keys {
		if k.state() == state {
			return k
		}
	}
	return nil
}

// begin makes the first two keys.
func (r *Ring) begin(ctx context.Context, now time.Time) error {
	current, err := generate(r.options.Algorithm, now)
	if err != nil {
		return err
	}
	current.Since = now
	next, err := generate(r.options.Algorithm, now)
	if err != nil {
		return err
	}
	if err := r.write(ctx, current, next); err != nil {
		return err
	}
	r.options.Changed("signing_key.create", current.ID, "signs with "+current.Algorithm+" from now on; next is "+next.ID)
	return nil
}

// add makes a next key.
func (r *Ring) add(ctx context.Context, now time.Time) error {
	next, err := generate(r.options.Algorithm, now)
	if err != nil {
		return err
	}
	if err := r.write(ctx, next); err != nil {
		return err
	}
	r.options.Changed("signing_key.create", next.ID, "is next, with "+next.Algorithm)
	return nil
}

// promote lets the next key sign and makes one after it.
func (r *Ring) promote(ctx context.Context, now time.Time, current, next *kept) error {
	after, err := generate(r.options.Algorithm, now)
	if err != nil {
		return err
	}
	was, is := *current, *next
	was.Until, is.Since = now, now
	if err := r.write(ctx, &was, &is, after); err != nil {
		return err
	}
	r.options.Changed("signing_key.rotate", is.ID, "signs from now on instead of "+was.ID+"; next is "+after.ID)
	return r.read(ctx)
}

// forget removes keys whose signatures have all ended.
func (r *Ring) forget(ctx context.Context, now time.Time) error {
	for _, k := range r.keys {
		if k.state() == Previous && now.Sub(k.Until) >= r.options.Retain {
			if err := r.remove(ctx, k, "everything that it signed has ended"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Ring) remove(ctx context.Context, k *kept, why string) error {
	record, err := k.record()
	if err != nil {
		return err
	}
	if err := r.options.Records.Remove(ctx, record); err != nil {
		return fmt.Errorf("remove signing key %s: %w", k.ID, err)
	}
	r.options.Changed("signing_key.remove", k.ID, why)
	return nil
}

func (r *Ring) write(ctx context.Context, all ...*kept) error {
	records := make([]client.Record, 0, len(all))
	for _, k := range all {
		record, err := k.record()
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if err := r.options.Records.Write(ctx, records...); err != nil {
		return fmt.Errorf("keep signing keys: %w", err)
	}
	return nil
}

func (k *kept) record() (client.Record, error) {
	body, err := json.Marshal(k)
	if err != nil {
		return client.Record{}, fmt.Errorf("encode signing key %s: %w", k.ID, err)
	}
	return client.Record{Table: table, ID: k.ID, Version: k.version, Body: body}, nil
}

const rsaBits = 3072 // NIST SP 800-57: 128 bits of strength

func generate(algorithm string, now time.Time) (*kept, error) {
	private, err := newPrivate(algorithm)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode a signing key: %w", err)
	}
	id := make([]byte, 12)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	return &kept{ID: base64.RawURLEncoding.EncodeToString(id), Algorithm: algorithm, Private: der, Created: now, private: private}, nil
}

func newPrivate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, rsaBits)
}
