package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/internal/secret"
)

// New accounts and their keys.
const (
	subjectBytes    = 20 // 160 bits: nobody else ever gets it
	temporaryBytes  = 15 // 120 bits, 24 letters
	recoveryBytes   = 10 // 80 bits, 16 letters
	recoveryLetters = 16
	recoveryCodes   = 10

	// TemporaryLife is how long a temporary password is good.
	TemporaryLife = 24 * time.Hour
)

// NewUser is what an administrator says of a new account.
type NewUser struct {
	Login         string
	Name          string
	Email         string
	EmailVerified bool
	Password      secret.Value // empty: the account has none
	MustChange    bool         // the password, at the first sign-in
}

// Create adds an account. [ErrTaken], [ErrName] and the errors of [Rules.Check] say why
// not.
func (s *Store) Create(ctx context.Context, n NewUser) (User, client.Change, error) {
	login, err := NormaliseName(n.Login)
	if err != nil {
		return User{}, client.Change{}, err
	}
	k, err := s.fresh(login, n.Name, n.Email, n.EmailVerified)
	if err != nil {
		return User{}, client.Change{}, err
	}
	if !n.Password.Empty() {
		password := string(n.Password.Reveal())
		if err := s.check(password, login, n.Name, n.Email); err != nil {
			return User{}, client.Change{}, err
		}
		if k.Password, err = s.hasher.make(ctx, password); err != nil {
			return User{}, client.Change{}, err
		}
		k.MustChange = n.MustChange
	}
	if err := s.add(ctx, k); err != nil {
		return User{}, client.Change{}, err
	}
	return k.user(), change("user.create", login, "created"), nil
}

func (s *Store) fresh(login, name, email string, verified bool) (kept, error) {
	if err := checkTexts(name, email); err != nil {
		return kept{}, err
	}
	subject, err := s.token(subjectBytes)
	if err != nil {
		return kept{}, err
	}
	return kept{
		Subject: "u-" + subject, Login: login, Name: name, Email: email, EmailVerified: verified && email != "",
		Created: s.now().UTC(),
	}, nil
}

// add keeps a new account, its name and its identities elsewhere, all or none.
func (s *Store) add(ctx context.Context, k kept) error {
	user, err := s.users.Record(rows.Row[kept]{ID: k.Subject, Value: k})
	if err != nil {
		return err
	}
	name, err := s.logins.Record(rows.Row[login]{ID: rows.Digest(k.Login), Value: login{k.Subject}})
	if err != nil {
		return err
	}
	all := []client.Record{user, name}
	for _, id := range k.Federated {
		row, _, err := s.owner(ctx, id.Issuer, id.Subject)
		if err == nil {
			return ErrTaken
		}
		if !errors.Is(err, ErrUnknown) {
			return err
		}
		row.Value = login{k.Subject}
		record, err := s.federated.Record(row)
		if err != nil {
			return err
		}
		all = append(all, record)
	}
	switch err := s.records.Write(ctx, all...); {
	case errors.Is(err, client.ErrConflict):
		return ErrTaken
	case err != nil:
		return fmt.Errorf("keep the account: %w", err)
	}
	return nil
}

// List returns every account, by name.
func (s *Store) List(ctx context.Context) ([]User, error) {
	all, err := s.users.All(ctx)
	if err != nil {
		return nil, err
	}
	users := make([]User, 0, len(all))
	for _, row := range all {
		users = append(users, row.Value.user())
	}
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Login, b.Login) })
	return users, nil
}

// Update replaces how a person is called and where they get mail.
func (s *Store) Update(ctx context.Context, subject, name, email string, verified bool) (client.Change, error) {
	if err := checkTexts(name, email); err != nil {
		return client.Change{}, err
	}
	k, err := s.change(ctx, subject, func(k *kept) error {
		k.Name, k.Email, k.EmailVerified = name, email, verified && email != ""
		return nil
	})
	return change("user.update", k.Login, "name or e-mail address changed"), err
}

// Disable keeps somebody from signing in, and ends what they signed in to, until Enable.
func (s *Store) Disable(ctx context.Context, subject, reason string) (client.Change, error) {
	if reason == "" {
		reason = "no reason given"
	}
	if err := checkTexts(reason); err != nil {
		return client.Change{}, err
	}
	k, err := s.change(ctx, subject, func(k *kept) error {
		k.Disabled = reason
		k.Epoch++
		k.Stamp++
		return nil
	})
	return change("user.disable", k.Login, "disabled: "+reason), err
}

// Enable lets a disabled account sign in again.
func (s *Store) Enable(ctx context.Context, subject string) (client.Change, error) {
	k, err := s.change(ctx, subject, func(k *kept) error { k.Disabled = ""; return nil })
	return change("user.enable", k.Login, "enabled"), err
}

// ResetPassword gives an account a temporary password, which is shown once, is good for
// [TemporaryLife] and must be changed at the next sign-in. All earlier sign-ins are over.
func (s *Store) ResetPassword(ctx context.Context, subject string) (secret.Value, client.Change, error) {
	password, err := s.token(temporaryBytes)
	if err != nil {
		return secret.Value{}, client.Change{}, err
	}
	fresh, err := s.hasher.make(ctx, password)
	if err != nil {
		return secret.Value{}, client.Change{}, err
	}
	k, err := s.change(ctx, subject, func(k *kept) error {
		k.Password, k.MustChange, k.Temporary = fresh, true, s.now().Add(TemporaryLife).UTC()
		k.Epoch++
		k.Stamp++
		return nil
	})
	if err != nil {
		return secret.Value{}, client.Change{}, err
	}
	text := "temporary password until " + k.Temporary.Format(time.RFC3339)
	return secret.New([]byte(password)), change("user.reset_password", k.Login, text), nil
}

// ResetTOTP takes away the authenticator app and the recovery codes of an account.
func (s *Store) ResetTOTP(ctx context.Context, subject string) (client.Change, error) {
	k, err := s.change(ctx, subject, func(k *kept) error {
		k.TOTP, k.Recovery = nil, nil
		k.Stamp++
		return nil
	})
	return change("user.reset_totp", k.Login, "authenticator app and recovery codes removed"), err
}

// Delete removes an account for good. Its name can be taken again; its subject cannot.
func (s *Store) Delete(ctx context.Context, subject string) (client.Change, error) {
	for range maxTries {
		row, err := s.users.Get(ctx, subject)
		if errors.Is(err, rows.ErrMissing) {
			return client.Change{}, ErrUnknown
		}
		if err != nil {
			return client.Change{}, err
		}
		gone, err := s.everythingOf(ctx, row)
		if err != nil {
			return client.Change{}, err
		}
		err = s.records.Remove(ctx, gone...)
		if err == nil {
			return change("user.delete", row.Value.Login, "deleted"), nil
		}
		if !errors.Is(err, client.ErrConflict) {
			return client.Change{}, fmt.Errorf("remove the account: %w", err)
		}
	}
	return client.Change{}, fmt.Errorf("remove the account: %w", client.ErrConflict)
}

// maxTries is how often a removal is tried again after somebody else was quicker.
const maxTries = 64

func (s *Store) everythingOf(ctx context.Context, row rows.Row[kept]) ([]client.Record, error) {
	gone := []client.Record{{Table: "user", ID: row.ID, Version: row.Version}}
	name, err := s.logins.Get(ctx, rows.Digest(row.Value.Login))
	if err != nil {
		return nil, err
	}
	gone = append(gone, client.Record{Table: "login", ID: name.ID, Version: name.Version})
	for _, id := range row.Value.Federated {
		joined, err := s.federated.Get(ctx, rows.Digest(id.Issuer, id.Subject))
		if errors.Is(err, rows.ErrMissing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		gone = append(gone, client.Record{Table: "federated", ID: joined.ID, Version: joined.Version})
	}
	return gone, nil
}

// EndEverything makes all earlier sign-ins of an account void.
func (s *Store) EndEverything(ctx context.Context, subject string) (User, error) {
	k, err := s.change(ctx, subject, func(k *kept) error { k.Epoch++; return nil })
	return k.user(), err
}

func (s *Store) change(ctx context.Context, subject string, alter func(*kept) error) (kept, error) {
	k, err := s.users.Change(ctx, subject, alter)
	if errors.Is(err, rows.ErrMissing) {
		err = ErrUnknown
	}
	return k, err
}
