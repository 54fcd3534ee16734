// Package account keeps the people who can sign in: names, passwords, authenticator apps
// and recovery codes, and who they are elsewhere.
//
// A [Store] verifies and administers. Whether a name is unknown, has no password or has
// another one is the same to whoever asks, in words and in work: a hash is computed each
// time. Hashing is bounded, so that a flood of tries takes neither the memory nor all of
// the processor. A code of an authenticator is used up by comparing versions, so that it
// is good once, also for fifty who send it at the same time.
//
// The package knows nothing of HTTP, and does not count wrong tries: its caller knows
// where they come from.
package account

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
)

// Options are what a [Store] needs; all but Rules are required.
type Options struct {
	Records rows.Records
	Now     func() time.Time
	Rand    io.Reader
	Rules   Rules // zero: [DefaultMinimum]
	Issuer  string
}

// Store keeps accounts. It is safe for concurrent use.
type Store struct {
	records   rows.Records
	users     rows.Table[kept]
	logins    rows.Table[login]
	federated rows.Table[login]
	now       func() time.Time
	random    io.Reader
	rules     Rules
	issuer    string
	hasher    *hasher
}

// login leads from a name, or from an identity elsewhere, to an account.
type login struct {
	Subject string `json:"subject"`
}

// New returns a store that works.
func New(o Options) (*Store, error) {
	if o.Records == nil || o.Now == nil || o.Rand == nil || o.Issuer == "" {
		return nil, errors.New("accounts need records, a clock, randomness and the issuer's name")
	}
	if o.Rules.Minimum == 0 {
		o.Rules.Minimum = DefaultMinimum
	}
	if o.Rules.Minimum < LeastMinimum || o.Rules.Minimum > 64 {
		return nil, fmt.Errorf("passwords of at least %d characters: want %d to 64", o.Rules.Minimum, LeastMinimum)
	}
	h, err := newHasher(o.Rand)
	if err != nil {
		return nil, err
	}
	return &Store{
		records: o.Records, now: o.Now, random: o.Rand, rules: o.Rules, issuer: o.Issuer, hasher: h,
		users:     rows.NewTable[kept](o.Records, "user"),
		logins:    rows.NewTable[login](o.Records, "login"),
		federated: rows.NewTable[login](o.Records, "federated"),
	}, nil
}

// Rules returns what passwords must be like.
func (s *Store) Rules() Rules { return s.rules }

// Proof says how far somebody has come who signs in.
type Proof struct {
	User  User
	Stamp int64 // of what was proved: it changes with the password and the second factor
}

// Password checks a name and a password. [ErrWrong] says nothing about which of them is
// wrong; [ErrDisabled] and a [Proof] that needs more are only told to who knows both.
func (s *Store) Password(ctx context.Context, name, password string) (Proof, error) {
	account, err := s.byName(ctx, name)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return Proof{}, err
	}
	var known *hash
	if err == nil {
		known = account.Password
	} else if _, err := s.get(ctx, nobody); err != nil && !errors.Is(err, ErrUnknown) { // as many reads as for a known one
		return Proof{}, err
	}
	right, err := s.hasher.matches(ctx, known, password)
	switch {
	case err != nil:
		return Proof{}, err
	case !right:
		return Proof{}, ErrWrong
	case account.Disabled != "":
		return Proof{User: account.user()}, ErrDisabled
	case !account.Temporary.IsZero() && !s.now().Before(account.Temporary):
		return Proof{}, ErrWrong
	}
	if known.isOld() {
		s.renew(ctx, account.Subject, known, password)
	}
	return Proof{account.user(), account.Stamp}, nil
}

// nobody is the subject of no account.
const nobody = "u-"

// renew hashes a password again with today's cost. If that cannot be done now, the next
// sign-in tries again.
func (s *Store) renew(ctx context.Context, subject string, old *hash, password string) {
	fresh, err := s.hasher.make(ctx, password)
	if err != nil {
		return
	}
	_, _ = s.users.Change(ctx, subject, func(k *kept) error { // as above
		if k.Password == nil || string(k.Password.Sum) != string(old.Sum) {
			return ErrWrong
		}
		k.Password = fresh
		return nil
	})
}

func (s *Store) byName(ctx context.Context, typed string) (kept, error) {
	name, err := NormaliseName(typed)
	if err != nil {
		return kept{}, ErrUnknown
	}
	row, err := s.logins.Get(ctx, rows.Digest(name))
	if errors.Is(err, rows.ErrMissing) {
		return kept{}, ErrUnknown
	}
	if err != nil {
		return kept{}, err
	}
	return s.get(ctx, row.Value.Subject)
}

func (s *Store) get(ctx context.Context, subject string) (kept, error) {
	row, err := s.users.Get(ctx, subject)
	if errors.Is(err, rows.ErrMissing) {
		return kept{}, ErrUnknown
	}
	return row.Value, err
}

// Get returns an account by its subject, or [ErrUnknown].
func (s *Store) Get(ctx context.Context, subject string) (User, error) {
	k, err := s.get(ctx, subject)
	return k.user(), err
}

// ByName returns an account by its name, however it is spelled, or [ErrUnknown].
func (s *Store) ByName(ctx context.Context, name string) (User, error) {
	k, err := s.byName(ctx, name)
	return k.user(), err
}

// Proven returns the account of somebody who proved something before; [ErrWrong] if what
// was proved is of no value any more.
func (s *Store) Proven(ctx context.Context, subject string, stamp int64) (Proof, error) {
	k, err := s.get(ctx, subject)
	switch {
	case errors.Is(err, ErrUnknown):
		return Proof{}, ErrWrong
	case err != nil:
		return Proof{}, err
	case k.Stamp != stamp:
		return Proof{}, ErrWrong
	case k.Disabled != "":
		return Proof{}, ErrDisabled
	}
	return Proof{k.user(), k.Stamp}, nil
}

// Second checks a code of the authenticator app, or uses up a recovery code; which of
// them it was is told. [ErrWrong] also if the code was used before.
func (s *Store) Second(ctx context.Context, subject, typed string) (recovery bool, err error) {
	code := typedCode(typed)
	var names []string
	if len(code) == recoveryLetters {
		names = s.records.Names([]byte("recovery " + subject + " " + code))
	}
	_, err = s.users.Change(ctx, subject, func(k *kept) error {
		recovery = false
		if k.TOTP == nil {
			return ErrWrong
		}
		if step, ok := k.TOTP.match(code, s.now()); ok {
			k.TOTP.Last = step
			return nil
		}
		for _, name := range names {
			if i := slices.Index(k.Recovery, name); i >= 0 {
				k.Recovery = slices.Delete(k.Recovery, i, i+1)
				recovery = true
				return nil
			}
		}
		return ErrWrong
	})
	if errors.Is(err, rows.ErrMissing) {
		err = ErrWrong
	}
	return recovery, err
}

// SetPassword replaces a password that its owner chose. What is wrong with it is one of
// the errors of [Rules.Check]. All earlier sign-ins are over afterwards.
func (s *Store) SetPassword(ctx context.Context, subject, password string) (Proof, error) {
	k, err := s.get(ctx, subject)
	if err != nil {
		return Proof{}, err
	}
	if err := s.check(password, k.Login, k.Name, k.Email); err != nil {
		return Proof{}, err
	}
	fresh, err := s.hasher.make(ctx, password)
	if err != nil {
		return Proof{}, err
	}
	k, err = s.users.Change(ctx, subject, func(k *kept) error {
		k.Password, k.MustChange, k.Temporary = fresh, false, time.Time{}
		k.Epoch++
		k.Stamp++
		return nil
	})
	return Proof{k.user(), k.Stamp}, err
}

// SamePassword reports whether a password is the account's present one.
func (s *Store) SamePassword(ctx context.Context, subject, password string) (bool, error) {
	k, err := s.get(ctx, subject)
	if err != nil {
		return false, err
	}
	return s.hasher.matches(ctx, k.Password, password)
}

func (s *Store) check(password string, own ...string) error {
	for _, text := range own {
		if local, _, ok := strings.Cut(text, "@"); ok {
			own = append(own, local)
		}
	}
	return s.rules.Check(password, own...)
}

// token returns n random bytes as letters and digits that people can read out.
func (s *Store) token(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), nil
}

func change(action, login, text string) client.Change {
	return client.Change{Action: action, Target: "user " + login, Text: text}
}

// Stamp returns what a [Proof] of an account holds now.
func (s *Store) Stamp(ctx context.Context, subject string) (int64, error) {
	k, err := s.get(ctx, subject)
	return k.Stamp, err
}
