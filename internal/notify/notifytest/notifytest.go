// Package notifytest holds what every notify.Notifier promises, as a test suite. A kind of
// notifier calls [Run] from a test of its own, with a receiver that can misbehave.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/sinktest"
)

// Place is a notifier with its receiver.
type Place struct {
	Notifier notify.Notifier
	Got      func() []string     // messages as they arrived
	Become   func(sinktest.Mode) // how the receiver behaves from now on
	Modes    []sinktest.Mode     // those that it can show, beside Well
	Secrets  []string            // that no error may show
	Harmful  []string            // what no message may hold, when an attacker has written [Hostile]
	Most     int                 // messages that a storm may be
}

// Hostile is what an attacker would write to be told of.
const Hostile = "<!channel> <https://evil.example|Sign in> @everyone `x` *bold* https://evil.example/login\r\nBcc: victim@example.com\r\n\r\n.\r\n\x1b[2J\u202e\x00"

// longest is that of a message, in bytes.
const longest = 512 << 10

// Incidents makes incidents that began.
func Incidents(n int, what string) (all []notify.Item) {
	for i := range n {
		began := time.Date(2026, 11, 30, 12, 0, i%60, 0, time.UTC)
		all = append(all, notify.Item{
			Incident: alert.Incident{
				Detection: "guessing", Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: fmt.Sprintf("192.0.%d.%d", i/250, i%250)},
				Began: began, Last: began, Count: 1, What: what, Event: fmt.Sprint("r", i),
			},
			ID: fmt.Sprint("a", i), Means: "somebody guesses keys", Do: "pavise block NETWORK",
		})
	}
	return all
}

// Notice makes one.
func Notice(began, ended []notify.Item) *notify.Notice {
	return &notify.Notice{Node: "gw1", Time: time.Date(2026, 11, 30, 12, 1, 0, 0, time.UTC), Began: began, Ended: ended, Open: len(began)}
}

// Run tests the promises. Open returns a new place each time; it is closed by the suite.
func Run(t *testing.T, open func(t *testing.T) Place) {
	t.Run("tells what began and what ended", func(t *testing.T) { tells(t, open(t)) })
	t.Run("tells that it is a test", func(t *testing.T) { tests(t, open(t)) })
	t.Run("hands on nothing that acts", func(t *testing.T) { harmless(t, open(t)) })
	t.Run("makes few messages of a storm", func(t *testing.T) { storm(t, open(t)) })
	modes := open(t)
	closed(t, modes)
	for _, mode := range modes.Modes {
		t.Run("a receiver that is "+string(mode), func(t *testing.T) { recovers(t, open(t), mode) })
		t.Run("ends with its context: "+string(mode), func(t *testing.T) { ends(t, open(t), mode) })
	}
}

func closed(t *testing.T, p Place) {
	t.Helper()
	if err := p.Notifier.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func tell(t *testing.T, p Place, n *notify.Notice) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Notifier.Tell(ctx, n); err != nil {
		noSecret(t, p, err)
		t.Fatal(err)
	}
}

func noSecret(t *testing.T, p Place, err error) {
	t.Helper()
	for _, secret := range p.Secrets {
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func holds(t *testing.T, p Place, words ...string) {
	t.Helper()
	all := strings.Join(p.Got(), "\n")
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("there is no %q in %s", word, all)
		}
	}
}

func tells(t *testing.T, p Place) {
	defer closed(t, p)
	items := Incidents(3, "31 wrong credentials")
	tell(t, p, Notice(items, nil))
	holds(t, p, "guessing", "192.0.0.0", "192.0.0.2", "31 wrong credentials", "high", "somebody guesses keys")
	for i := range items {
		items[i].Ended, items[i].Last = true, items[i].Last.Add(time.Minute)
	}
	before := len(p.Got())
	tell(t, p, Notice(nil, items[:1]))
	if got := p.Got()[before:]; len(got) != 1 || !strings.Contains(got[0], "192.0.0.0") {
		t.Errorf("%q", got)
	}
}

func tests(t *testing.T, p Place) {
	defer closed(t, p)
	n := Notice(nil, nil)
	n.Test = "This is a test, which ann asked for."
	tell(t, p, n)
	holds(t, p, "which ann asked for")
}

func harmless(t *testing.T, p Place) {
	defer closed(t, p)
	items := Incidents(1, Hostile)
	items[0].Subject = alert.Subject{Kind: "user", Name: Hostile}
	n := Notice(items, nil)
	tell(t, p, n)
	all := strings.Join(p.Got(), "\n")
	for _, word := range p.Harmful {
		if strings.Contains(all, word) {
			t.Errorf("%q went through: %s", word, all)
		}
	}
}

func storm(t *testing.T, p Place) {
	defer closed(t, p)
	n := Notice(Incidents(10_000, strings.Repeat("x", 5000)), nil)
	tell(t, p, n)
	got := p.Got()
	if len(got) == 0 || len(got) > p.Most {
		t.Errorf("%d messages", len(got))
	}
	for _, message := range got {
		if len(message) > longest {
			t.Errorf("a message of %d bytes", len(message))
		}
	}
}

func recovers(t *testing.T, p Place, mode sinktest.Mode) {
	defer closed(t, p)
	tell(t, p, Notice(Incidents(1, "one"), nil))
	p.Become(mode)
	var err error
	for range 3 { // the connection that was there may be gone
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err = p.Notifier.Tell(ctx, Notice(Incidents(1, "two"), nil))
		cancel()
		noSecret(t, p, err)
	}
	_, final := errors.AsType[*sink.Rejection](err)
	if err == nil || final != (mode == sinktest.Rejects) {
		t.Errorf("it says %v (final: %v)", err, final)
	}
	p.Become(sinktest.Well)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = p.Notifier.Tell(ctx, Notice(Incidents(1, "three"), nil))
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("well again, but %v", err)
	}
	holds(t, p, "three")
}

func ends(t *testing.T, p Place, mode sinktest.Mode) {
	defer closed(t, p)
	p.Become(mode)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Notifier.Tell(ctx, Notice(Incidents(1, "one"), nil)) }()
	cancel()
	select {
	case err := <-done:
		noSecret(t, p, err)
		if err == nil {
			t.Error("it says that it was told")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on after its context has ended")
	}
}
