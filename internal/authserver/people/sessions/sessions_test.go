package sessions_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func store(t *testing.T) (*sessions.Store, *clock, client.Store) {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	under := memory.New()
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: under, Master: master, Now: c.Now})
	must(t, err)
	s, err := sessions.New(sessions.Options{Records: registry.Records(), Now: c.Now, Rand: rand.Reader, Idle: time.Hour, Longest: 3 * time.Hour})
	must(t, err)
	return s, c, under
}

func TestOnlyTheSecretOpensASession(t *testing.T) {
	s, _, under := store(t)
	secret, begun, err := s.Begin(t.Context(), sessions.Session{Subject: "u-1"})
	must(t, err)
	other, _, err := s.Begin(t.Context(), sessions.Session{Subject: "u-1"})
	must(t, err)
	if secret == other || len(secret) != 43 {
		t.Error("a secret can be guessed")
	}
	if found, err := s.Find(t.Context(), secret); err != nil || found.ID != begun.ID {
		t.Errorf("%+v, %v", found, err)
	}
	rows, _, err := under.Since(t.Context(), 0)
	must(t, err)
	for _, row := range rows {
		if strings.Contains(row.ID+string(row.Body), secret) {
			t.Error("the secret is in the store")
		}
		if _, err := s.Find(t.Context(), row.ID); !errors.Is(err, sessions.ErrNone) {
			t.Errorf("what stands in the store opens a session: %v", err)
		}
	}
	for _, wrong := range []string{"", "x", begun.ID, secret[:42], secret + "A", strings.ToUpper(secret), strings.Repeat("A", 43)} {
		if _, err := s.Find(t.Context(), wrong); !errors.Is(err, sessions.ErrNone) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	must(t, s.End(t.Context(), secret))
	must(t, s.End(t.Context(), secret))
	if _, err := s.Find(t.Context(), secret); !errors.Is(err, sessions.ErrNone) {
		t.Errorf("an ended session: %v", err)
	}
}

func TestSessionsHaveTwoEnds(t *testing.T) {
	s, c, _ := store(t)
	secret, _, err := s.Begin(t.Context(), sessions.Session{Subject: "u-1"})
	must(t, err)
	for range 5 { // seen often enough, but not for ever
		c.forward(30 * time.Minute)
		_, err := s.Find(t.Context(), secret)
		must(t, err)
	}
	c.forward(30 * time.Minute)
	if _, err := s.Find(t.Context(), secret); !errors.Is(err, sessions.ErrNone) {
		t.Errorf("after its longest life: %v", err)
	}
	secret, _, err = s.Begin(t.Context(), sessions.Session{Subject: "u-1"})
	must(t, err)
	c.forward(time.Hour)
	if _, err := s.Find(t.Context(), secret); !errors.Is(err, sessions.ErrNone) {
		t.Errorf("idle for an hour: %v", err)
	}
	if n, err := s.Collect(t.Context()); err != nil || n != 2 {
		t.Errorf("collected %d, %v", n, err)
	}
}

func TestOnlyOnesOwnSessionsCanBeEnded(t *testing.T) {
	s, _, _ := store(t)
	_, ada, err := s.Begin(t.Context(), sessions.Session{Subject: "u-ada", Epoch: 1})
	must(t, err)
	_, _, err = s.Begin(t.Context(), sessions.Session{Subject: "u-ada", Epoch: 1, Via: "corp"})
	must(t, err)
	_, half, err := s.Begin(t.Context(), sessions.Session{Subject: "u-ada", Epoch: 1, Half: true})
	must(t, err)
	if err := s.EndOne(t.Context(), "u-eva", ada.ID); !errors.Is(err, sessions.ErrNone) {
		t.Errorf("another person's: %v", err)
	}
	all, err := s.Of(t.Context(), "u-ada", 1)
	if err != nil || len(all) != 2 || slices.ContainsFunc(all, func(x sessions.Session) bool { return x.ID == half.ID }) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := s.Of(t.Context(), "u-ada", 2); err != nil || len(all) != 0 {
		t.Errorf("of an epoch that is over: %+v, %v", all, err)
	}
	if n, err := s.EndVia(t.Context(), "u-ada", "corp", ""); err != nil || n != 1 {
		t.Errorf("ended %d, %v", n, err)
	}
	must(t, s.EndOne(t.Context(), "u-ada", ada.ID))
	if n, err := s.EndAll(t.Context(), "u-ada"); err != nil || n != 1 {
		t.Errorf("ended %d, %v", n, err)
	}
}
