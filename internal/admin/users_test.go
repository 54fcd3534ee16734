package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
)

// fakeUsers knows ann, and notes what is done to her.
type fakeUsers struct {
	admin.Users
	done []string
	down error // of the store
}

func (f *fakeUsers) fault() error {
	if f.down != nil {
		return f.down
	}
	return account.ErrUnknown
}

func (f *fakeUsers) ListUsers(context.Context) ([]account.User, error) {
	return []account.User{{Login: "ann", Subject: "u-1"}}, nil
}

func (f *fakeUsers) SessionsOf(_ context.Context, subject string) ([]sessions.Session, error) {
	return []sessions.Session{{ID: "s-1", Subject: subject, Remote: "192.0.2.1"}}, nil
}

func (f *fakeUsers) CreateUser(_ context.Context, n account.NewUser) (account.User, client.Change, error) {
	if n.Login == "ann" {
		return account.User{}, client.Change{}, account.ErrTaken
	}
	return account.User{Login: n.Login, Subject: "u-2"}, client.Change{Action: "user.create", Target: "user " + n.Login}, nil
}

func (f *fakeUsers) User(_ context.Context, name string) (account.User, error) {
	if name != "ann" {
		return account.User{}, f.fault()
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

func TestAccountsAreAskedForByName(t *testing.T) {
	w, users := newWorld(t), &fakeUsers{}
	w.service.Users = func(context.Context) (admin.Users, error) { return users, nil }
	c := w.client()
	if u, err := c.User(t.Context(), "ann"); err != nil || u.Subject != "u-1" {
		t.Errorf("%+v, %v", u, err)
	}
	if list, err := c.Sessions(t.Context(), "ann"); err != nil || len(list) != 1 || list[0].Remote != "192.0.2.1" {
		t.Errorf("%+v, %v", list, err)
	}
	_, err := c.User(t.Context(), "anm")
	if p, ok := errors.AsType[*admin.Problem](err); !ok || p.Code != "unknown_user" || !strings.Contains(p.Detail, "ann") || p.Hint == "" {
		t.Errorf("a name misspelled: %v", err)
	}
	users.down = client.ErrUnavailable
	_, err = c.Sessions(t.Context(), "bob")
	if p, ok := errors.AsType[*admin.Problem](err); !ok || p.Code != "store_unavailable" {
		t.Errorf("a store that is down passes for an unknown name: %v", err)
	}
}

func TestActsOnAccountsLeaveEventsWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	w.service.Users = func(context.Context) (admin.Users, error) { return &fakeUsers{}, nil }
	c := w.client()
	if made, err := c.CreateUser(t.Context(), admin.NewUser{Name: "bob"}); err != nil || made.Password != "planted-temporary" {
		t.Errorf("%+v, %v", made, err)
	}
	if made, err := c.CreateUser(t.Context(), admin.NewUser{Name: "eve", Password: "planted-own"}); err != nil || made.Password != "" {
		t.Errorf("a password that was given is shown: %+v, %v", made, err)
	}
	_, err := c.CreateUser(t.Context(), admin.NewUser{Name: "ann", Password: "planted-own"})
	if p, ok := errors.AsType[*admin.Problem](err); !ok || p.Code != "exists" {
		t.Errorf("a name that is taken: %v", err)
	}
	events := w.events(t)
	if len(events) != 3 || events[0].Decision != audit.Accepted || events[2].Decision != audit.Refused {
		t.Fatalf("%+v", events)
	}
	for _, e := range events {
		text, err := json.Marshal(e)
		must(t, err)
		if e.Actor != admin.CurrentUser().Name || e.Action != "user.create" || strings.Contains(string(text), "planted") {
			t.Errorf("%s", text)
		}
	}
}
