package people

import (
	"context"
	"fmt"
	"strconv"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
)

// CreateUser adds an account.
func (s *Service) CreateUser(ctx context.Context, n account.NewUser) (account.User, client.Change, error) {
	return s.accounts.Create(ctx, n)
}

// ListUsers returns every account, by name.
func (s *Service) ListUsers(ctx context.Context) ([]account.User, error) {
	return s.accounts.List(ctx)
}

// User returns the account of a name, however it is spelled, or of a subject.
func (s *Service) User(ctx context.Context, nameOrSubject string) (account.User, error) {
	u, err := s.accounts.Get(ctx, nameOrSubject)
	if err != nil {
		return s.accounts.ByName(ctx, nameOrSubject)
	}
	return u, nil
}

// UpdateUser replaces how a person is called and where they get mail.
func (s *Service) UpdateUser(ctx context.Context, subject, name, email string, verified bool) (client.Change, error) {
	return s.accounts.Update(ctx, subject, name, email, verified)
}

// JoinIdentity lets who somebody is elsewhere sign in to an account: a subject of a
// provider's issuer, or of the operator's own page, whose issuer is its address.
func (s *Service) JoinIdentity(ctx context.Context, subject, issuer, theirs string) (client.Change, error) {
	via := "page"
	for _, p := range s.providers {
		if p.Issuer == issuer {
			via = p.Name
		}
	}
	if via == "page" && (s.page == nil || s.page.URL != issuer) {
		return client.Change{}, fmt.Errorf("%q is the issuer of no provider in the configuration", issuer)
	}
	u, err := s.accounts.Join(ctx, subject, account.Identity{Issuer: issuer, Subject: theirs, Via: via, Since: s.now().UTC()})
	return client.Change{Action: "user.join", Target: "user " + u.Login, Text: "signs in as " + strconv.Quote(theirs) + " of " + strconv.Quote(issuer)}, err
}

// PartIdentity takes that away, and ends the sessions that began with it.
func (s *Service) PartIdentity(ctx context.Context, subject, issuer string) (client.Change, error) {
	before, err := s.accounts.Get(ctx, subject)
	if err != nil {
		return client.Change{}, err
	}
	u, err := s.accounts.Part(ctx, subject, issuer)
	if err != nil {
		return client.Change{}, err
	}
	for _, id := range before.Federated {
		if id.Issuer == issuer {
			via := id.Via
			if via == "page" {
				via = methodPage
			}
			_, err = s.sessions.EndVia(ctx, subject, via, "")
		}
	}
	return client.Change{Action: "user.part", Target: "user " + u.Login, Text: "signs in through " + strconv.Quote(issuer) + " no more"}, err
}

// DisableUser ends everything that an account is signed in to and all that it granted,
// and keeps it from signing in until EnableUser.
func (s *Service) DisableUser(ctx context.Context, subject, reason string) (client.Change, error) {
	change, err := s.accounts.Disable(ctx, subject, reason)
	if err != nil {
		return client.Change{}, err
	}
	return change, s.endAll(ctx, subject)
}

// EnableUser lets a disabled account sign in again.
func (s *Service) EnableUser(ctx context.Context, subject string) (client.Change, error) {
	return s.accounts.Enable(ctx, subject)
}

// ResetPassword gives an account a temporary password that is shown once, and signs it out
// everywhere. What it granted to applications stays.
func (s *Service) ResetPassword(ctx context.Context, subject string) (secret.Value, client.Change, error) {
	password, change, err := s.accounts.ResetPassword(ctx, subject)
	if err != nil {
		return secret.Value{}, client.Change{}, err
	}
	_, err = s.sessions.EndAll(ctx, subject)
	return password, change, err
}

// ResetTOTP takes away an account's authenticator app and recovery codes.
func (s *Service) ResetTOTP(ctx context.Context, subject string) (client.Change, error) {
	return s.accounts.ResetTOTP(ctx, subject)
}

// DeleteUser removes an account, its sessions, its consents, and all that it granted.
func (s *Service) DeleteUser(ctx context.Context, subject string) (client.Change, error) {
	if _, err := s.accounts.Get(ctx, subject); err != nil {
		return client.Change{}, err
	}
	if err := s.endAll(ctx, subject); err != nil {
		return client.Change{}, err
	}
	change, err := s.accounts.Delete(ctx, subject)
	if err != nil {
		return client.Change{}, err
	}
	if _, err := s.consents.RemoveIf(ctx, func(c consent) bool { return c.Subject == subject }); err != nil {
		return change, fmt.Errorf("forget what was allowed: %w", err)
	}
	_, err = s.sessions.EndAll(ctx, subject) // of who signed in meanwhile
	return change, err
}

// SessionsOf returns where an account is signed in, newest first.
func (s *Service) SessionsOf(ctx context.Context, subject string) ([]sessions.Session, error) {
	u, err := s.accounts.Get(ctx, subject)
	if err != nil {
		return nil, err
	}
	return s.sessions.Of(ctx, subject, u.Epoch)
}

// EndSessions signs an account out everywhere. What it granted to applications stays.
func (s *Service) EndSessions(ctx context.Context, subject string) (client.Change, error) {
	u, err := s.accounts.EndEverything(ctx, subject)
	if err != nil {
		return client.Change{}, err
	}
	_, err = s.sessions.EndAll(ctx, subject)
	return client.Change{Action: "user.end_sessions", Target: "user " + u.Login, Text: "signed out everywhere"}, err
}

// SignOutUser signs an account out everywhere, and revokes all that it granted.
func (s *Service) SignOutUser(ctx context.Context, subject string) (client.Change, error) {
	change, err := s.EndSessions(ctx, subject)
	if err != nil {
		return client.Change{}, err
	}
	change.Action, change.Text = "user.sign_out", "signed out everywhere, and what it granted is revoked"
	return change, s.endAll(ctx, subject)
}

func (s *Service) endAll(ctx context.Context, subject string) error {
	if err := s.grants.RevokeAll(ctx, subject); err != nil {
		return fmt.Errorf("revoke what was granted: %w", err)
	}
	_, err := s.sessions.EndAll(ctx, subject)
	return err
}
