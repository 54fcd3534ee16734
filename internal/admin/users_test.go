package admin_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
)

// fakeUsers knows ann, and notes what is done to her.
type fakeUsers struct {
	admin.Users
	done []string
}

func (f *fakeUsers) User(_ context.Context, name string) (account.User, error) {
	if name != "ann" {
		return account.User{}, errors.New("no such account")
	}
	return account.User{Login: "ann", Subject: "u-1"}, nil
}

func (f *fakeUsers) DisableUser(_ context.Context, subject, _ string) (client.Change, error) {
	f.done = append(f.done, "disable "+subject)
	return client.Change{Action: "user.disable", Target: "user ann"}, nil
}

func (f *fakeUsers) ResetPassword(_ context.Context, subject string) (secret.Value, client.Change, error) {
	f.done = append(f.done, "reset "+subject)
	return secret.New([]byte("planted-temporary")), client.Change{Action: "user.reset_password", Target: "user ann"}, nil
}

func TestAccountsAreAdministeredWhereThereIsAServer(t *testing.T) {
	w := newWorld(t)
	c := admin.Connect(admin.InProcess(w.service))
	problemOf := func(err error) admin.Problem {
		p, ok := errors.AsType[*admin.Problem](err)
		if !ok {
			t.Fatalf("no problem: %v", err)
		}
		return *p
	}
	if _, err := c.Users(t.Context()); problemOf(err).Status != http.StatusConflict {
		t.Errorf("without a server: %v", err)
	}
	users := &fakeUsers{}
	w.service.Users = func(context.Context) (admin.Users, error) { return users, nil }
	if _, err := c.ChangeUser(t.Context(), "ann", "disable"); err != nil || len(users.done) != 1 || users.done[0] != "disable u-1" {
		t.Errorf("%v, %v", users.done, err)
	}
	if made, err := c.ChangeUser(t.Context(), "ann", "reset-password"); err != nil || made.Password != "planted-temporary" {
		t.Errorf("%+v, %v", made, err)
	}
	if _, err := c.ChangeUser(t.Context(), "nobody", "disable"); problemOf(err).Code != "unknown_user" {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := c.ChangeUser(t.Context(), "ann", "promote"); problemOf(err).Code != "unknown_call" {
		t.Errorf("an unknown act: %v", err)
	}
}
