package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
)

// ErrLast says that an identity is the only way in that an account has.
var ErrLast = errors.New("nothing would be left to sign in with")

// nameBytes of randomness make the name of an account that nobody named.
const nameBytes = 5

// CreateFederated adds an account for who somebody is elsewhere. Its name is made up:
// names that a provider says could be somebody else's here. [ErrTaken] if the identity has
// an account.
func (s *Store) CreateFederated(ctx context.Context, id Identity, name, email string, verified bool) (User, error) {
	random, err := s.token(nameBytes)
	if err != nil {
		return User{}, err
	}
	login, err := NormaliseName(id.Via + "-" + random)
	if err != nil {
		return User{}, fmt.Errorf("name an account of %s: %w", id.Via, err)
	}
	k, err := s.fresh(login, name, email, verified)
	if err != nil {
		return User{}, err
	}
	k.Federated = []Identity{id}
	if err := s.add(ctx, k); err != nil {
		return User{}, err
	}
	return k.user(), nil
}

// Federated returns the account of who somebody is elsewhere, or [ErrUnknown]. Issuer and
// subject alone decide: an e-mail address is never compared.
func (s *Store) Federated(ctx context.Context, issuer, subject string) (User, error) {
	_, u, err := s.owner(ctx, issuer, subject)
	return u, err
}

// owner returns the row of an identity and the account that it leads to, if the account
// says so too; otherwise [ErrUnknown], and what a change that was cut short left behind.
func (s *Store) owner(ctx context.Context, issuer, subject string) (rows.Row[login], User, error) {
	row, err := s.federated.Get(ctx, rows.Digest(issuer, subject))
	if errors.Is(err, rows.ErrMissing) {
		return rows.Row[login]{ID: rows.Digest(issuer, subject)}, User{}, ErrUnknown
	}
	if err != nil {
		return row, User{}, err
	}
	u, err := s.Get(ctx, row.Value.Subject)
	if err != nil {
		return row, User{}, err
	}
	if !slices.ContainsFunc(u.Federated, func(one Identity) bool { return one.Issuer == issuer && one.Subject == subject }) {
		return row, User{}, ErrUnknown
	}
	return row, u, nil
}

// Join lets who somebody is elsewhere sign in to an account. [ErrTaken] if that identity
// has one already, or the account another identity of the same issuer.
func (s *Store) Join(ctx context.Context, subject string, id Identity) (User, error) {
	return s.rewrite(ctx, subject, func(k *kept) ([]client.Record, error) {
		row, _, err := s.owner(ctx, id.Issuer, id.Subject)
		switch {
		case err == nil:
			return nil, ErrTaken
		case !errors.Is(err, ErrUnknown):
			return nil, err
		case len(k.Federated) >= maxFederated, slices.ContainsFunc(k.Federated, func(one Identity) bool { return one.Issuer == id.Issuer }):
			return nil, ErrTaken
		}
		k.Federated = append(k.Federated, id)
		row.Value = login{subject}
		record, err := s.federated.Record(row)
		return []client.Record{record}, err
	})
}

// Part takes the identity of an issuer away from an account. [ErrUnknown] if it has none,
// [ErrLast] if it has nothing else.
func (s *Store) Part(ctx context.Context, subject, issuer string) (User, error) {
	var gone string
	u, err := s.rewrite(ctx, subject, func(k *kept) ([]client.Record, error) {
		i := slices.IndexFunc(k.Federated, func(one Identity) bool { return one.Issuer == issuer })
		switch {
		case i < 0:
			return nil, ErrUnknown
		case k.Password == nil && len(k.Federated) == 1:
			return nil, ErrLast
		}
		gone = rows.Digest(issuer, k.Federated[i].Subject)
		k.Federated = slices.Delete(k.Federated, i, i+1)
		return nil, nil
	})
	if err != nil {
		return u, err
	}
	// From here on the identity leads nowhere: its row is only tidied up.
	row, err := s.federated.Get(ctx, gone)
	if err == nil && row.Value.Subject == subject {
		err = s.federated.Take(ctx, row)
	}
	if errors.Is(err, rows.ErrMissing) {
		err = nil
	}
	return u, err
}

// rewrite changes an account together with other rows, all or none.
func (s *Store) rewrite(ctx context.Context, subject string, alter func(*kept) ([]client.Record, error)) (User, error) {
	for range maxTries {
		row, err := s.users.Get(ctx, subject)
		if errors.Is(err, rows.ErrMissing) {
			return User{}, ErrUnknown
		}
		if err != nil {
			return User{}, err
		}
		others, err := alter(&row.Value)
		if err != nil {
			return User{}, err
		}
		record, err := s.users.Record(row)
		if err != nil {
			return User{}, err
		}
		err = s.records.Write(ctx, append(others, record)...)
		if err == nil {
			return row.Value.user(), nil
		}
		if !errors.Is(err, client.ErrConflict) {
			return User{}, fmt.Errorf("change the account: %w", err)
		}
	}
	return User{}, fmt.Errorf("change the account: %w", client.ErrConflict)
}
