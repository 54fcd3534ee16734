package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
)

// Users are the accounts of people; a people.Service is one.
type Users interface {
	CreateUser(ctx context.Context, n account.NewUser) (account.User, client.Change, error)
	ListUsers(ctx context.Context) ([]account.User, error)
	User(ctx context.Context, nameOrSubject string) (account.User, error)
	DisableUser(ctx context.Context, subject, reason string) (client.Change, error)
	EnableUser(ctx context.Context, subject string) (client.Change, error)
	ResetPassword(ctx context.Context, subject string) (secret.Value, client.Change, error)
	ResetTOTP(ctx context.Context, subject string) (client.Change, error)
	SignOutUser(ctx context.Context, subject string) (client.Change, error)
	SessionsOf(ctx context.Context, subject string) ([]sessions.Session, error)
	DeleteUser(ctx context.Context, subject string) (client.Change, error)
}

// NewUser asks for an account. Without a password it gets a temporary one, which is shown
// once and has to be changed at the first sign-in.
type NewUser struct {
	Name     string `json:"name"` // with which the person signs in
	FullName string `json:"full_name,omitempty"`
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
}

// User is an account.
type User struct {
	Name     string    `json:"name"`
	Subject  string    `json:"subject"` // as in tokens
	FullName string    `json:"full_name,omitempty"`
	Email    string    `json:"email,omitempty"`
	Disabled string    `json:"disabled,omitempty"` // why
	TOTP     bool      `json:"totp"`
	Created  time.Time `json:"created"`
}

// MadeUser is an account with the temporary password that it was given, if any.
type MadeUser struct {
	User     User   `json:"user"`
	Password string `json:"password,omitempty"`
}

func shown(u account.User) User {
	return User{u.Login, u.Subject, u.Name, u.Email, u.Disabled, u.HasTOTP, u.Created}
}

// accounts are the people of the authorization server, or the problem that there is none.
func (s *Service) accounts(ctx context.Context) (Users, error) {
	if s.Users == nil {
		return nil, errNoUsers()
	}
	users, err := s.Users(ctx)
	if err == nil && users == nil {
		err = errNoUsers()
	}
	return users, err
}

func errNoUsers() error {
	return problem(http.StatusConflict, "no_authorization_server", "there are no accounts without an authorization server")
}

func (s *Service) users(r *http.Request) (any, error) {
	users, err := s.accounts(r.Context())
	if err != nil {
		return nil, err
	}
	list, err := users.ListUsers(r.Context())
	all := make([]User, 0, len(list))
	for _, u := range list {
		all = append(all, shown(u))
	}
	return all, err
}

// Session is where an account is signed in. Its id is no credential.
type Session struct {
	ID     string    `json:"id"`
	Since  time.Time `json:"since"`
	Seen   time.Time `json:"seen"`
	Ends   time.Time `json:"ends"`
	Via    string    `json:"via,omitempty"`
	Agent  string    `json:"agent,omitempty"`
	Remote string    `json:"remote,omitempty"`
}

func (s *Service) user(r *http.Request) (any, error) {
	_, u, err := s.account(r)
	return shown(u), err
}

func (s *Service) userSessions(r *http.Request) (any, error) {
	users, u, err := s.account(r)
	if err != nil {
		return nil, err
	}
	list, err := users.SessionsOf(r.Context(), u.Subject)
	all := make([]Session, 0, len(list))
	for _, v := range list {
		all = append(all, Session{v.ID, v.AuthTime, v.Seen, v.Ends, v.Via, v.Agent, v.Remote})
	}
	return all, err
}

// account is the one that a question names.
func (s *Service) account(r *http.Request) (Users, account.User, error) {
	users, err := s.accounts(r.Context())
	if err != nil {
		return nil, account.User{}, err
	}
	u, err := find(r.Context(), users, r.PathValue("id"))
	return users, u, err
}

// find returns the account of a name, or says which name may have been meant. What the
// store could not answer is no unknown name.
func find(ctx context.Context, users Users, name string) (account.User, error) {
	u, err := users.User(ctx, name)
	if !errors.Is(err, account.ErrUnknown) {
		return u, err
	}
	list, err := users.ListUsers(ctx)
	if err != nil {
		return u, err
	}
	names := make([]string, 0, len(list))
	for _, other := range list {
		names = append(names, other.Login)
	}
	return u, problem(http.StatusNotFound, "unknown_user", "there is no account %.80q%s", name, client.Nearest(name, names))
}

func (s *Service) createUser(r *http.Request) (any, client.Change, error) {
	var n NewUser
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	refused := client.Change{Action: "user.create", Target: "user " + n.Name}
	users, err := s.accounts(r.Context())
	if err != nil {
		return nil, refused, err
	}
	wanted := account.NewUser{Login: n.Name, Name: n.FullName, Email: n.Email}
	if n.Password != "" {
		wanted.Password = secret.New([]byte(n.Password))
	}
	u, change, err := users.CreateUser(r.Context(), wanted)
	if errors.Is(err, account.ErrTaken) {
		err = problem(http.StatusConflict, "exists", "there is an account %.80q already", n.Name)
	}
	if err != nil {
		return nil, refused, err
	}
	made := MadeUser{User: shown(u)}
	if n.Password == "" {
		password, _, err := users.ResetPassword(r.Context(), u.Subject)
		if err != nil {
			return nil, change, wrapped("no_password", err, "the account is there, but without a password")
		}
		made.Password = string(password.Reveal())
	}
	return made, change, nil
}

// userAct changes an account in one of the ways that there are.
type userAct func(ctx context.Context, users Users, u account.User) (MadeUser, client.Change, error)

func userActs() map[string]userAct {
	plain := func(do func(Users, context.Context, string) (client.Change, error)) userAct {
		return func(ctx context.Context, users Users, u account.User) (MadeUser, client.Change, error) {
			change, err := do(users, ctx, u.Subject)
			return MadeUser{User: shown(u)}, change, err
		}
	}
	return map[string]userAct{
		"disable": func(ctx context.Context, users Users, u account.User) (MadeUser, client.Change, error) {
			change, err := users.DisableUser(ctx, u.Subject, "by an administrator")
			return MadeUser{User: shown(u)}, change, err
		},
		"enable":     plain(Users.EnableUser),
		"reset-totp": plain(Users.ResetTOTP),
		"sign-out":   plain(Users.SignOutUser),
		"delete":     plain(Users.DeleteUser),
		"reset-password": func(ctx context.Context, users Users, u account.User) (MadeUser, client.Change, error) {
			password, change, err := users.ResetPassword(ctx, u.Subject)
			if err != nil {
				return MadeUser{}, change, err
			}
			return MadeUser{shown(u), string(password.Reveal())}, change, nil
		},
	}
}

func (s *Service) changeUser(r *http.Request) (any, client.Change, error) {
	name, act := r.PathValue("id"), r.PathValue("act")
	refused := client.Change{Action: "user." + act, Target: "user " + name}
	do := userActs()[act]
	if do == nil {
		return nil, client.Change{Action: "user.change", Target: "user " + name}, problem(http.StatusNotFound, "unknown_call", "nothing of that name can be done to an account")
	}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, refused, err
	}
	users, err := s.accounts(r.Context())
	if err != nil {
		return nil, refused, err
	}
	u, err := find(r.Context(), users, name)
	if err != nil {
		return nil, refused, err
	}
	made, change, err := do(r.Context(), users, u)
	if err != nil {
		return nil, refused, err
	}
	return made, change, nil
}
