// Package sinktest holds what every sink.Destination promises, as a test suite. A kind of
// destination calls [Run] from a test of its own, with a receiver that can misbehave.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/sink"
)

// Mode is how a receiver behaves.
type Mode string

// The modes.
const (
	Well    Mode = "well"
	Away    Mode = "away"    // nobody answers
	Silent  Mode = "silent"  // takes what it is sent and never answers
	Closes  Mode = "closes"  // closes each connection at once
	Garbage Mode = "garbage" // answers what is no answer
	Broken  Mode = "broken"  // says that it cannot do it at present
	Rejects Mode = "rejects" // says that it will never take it
)

// Place is a destination with its receiver.
type Place struct {
	Destination sink.Destination
	Got         func() []string // ids of events in order of arrival
	Become      func(Mode)      // how the receiver behaves from now on
	Modes       []Mode          // those that it can show, beside Well
	Unheard     []Mode          // of these, those in which the protocol does not tell that nothing arrives
	Secrets     []string        // that no error may show
}

// Run tests the promises. Open returns a new place each time; it is closed by the suite.
func Run(t *testing.T, open func(t *testing.T) Place) {
	t.Run("delivers in order", func(t *testing.T) { inOrder(t, open(t)) })
	t.Run("leaves the events as they were", func(t *testing.T) { untouched(t, open(t)) })
	modes := open(t)
	closed(t, modes)
	for _, mode := range modes.Modes {
		t.Run("a receiver that is "+string(mode), func(t *testing.T) { recovers(t, open(t), mode) })
		t.Run("ends with its context: "+string(mode), func(t *testing.T) { ends(t, open(t), mode) })
	}
	t.Run("sends nothing under a context that has ended", func(t *testing.T) { over(t, open(t)) })
}

// deadline ends what a destination should have ended by itself.
const deadline = 20 * time.Second

// Events makes events with ids and hostile texts.
func Events(from, to int) (all []audit.Found) {
	for i := from; i < to; i++ {
		e := *audittest.Event(fmt.Sprint("e", i))
		e.Path, e.Detail = "/v1/\r\n<14>1 - - - - - [x y=\"z\"]", "a|b=c\\d\" ] \u202e"
		all = append(all, audit.Found{Seq: uint64(i + 1), Event: e, JSON: audit.AppendJSON(nil, &e)})
	}
	return all
}

func ids(events []audit.Found) (all []string) {
	for _, e := range events {
		all = append(all, e.Event.ID)
	}
	return all
}

func closed(t *testing.T, p Place) {
	t.Helper()
	if err := p.Destination.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func send(t *testing.T, p Place, events []audit.Found) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	err := p.Destination.Send(ctx, events)
	noSecret(t, p, err)
	if ctx.Err() != nil {
		t.Fatalf("it ended only with its context: %v", err)
	}
	return err
}

func noSecret(t *testing.T, p Place, err error) {
	t.Helper()
	for _, secret := range p.Secrets {
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func inOrder(t *testing.T, p Place) {
	defer closed(t, p)
	want := ids(Events(0, 60))
	for from := 0; from < 60; from += 20 {
		if err := send(t, p, Events(from, from+20)); err != nil {
			t.Fatal(err)
		}
	}
	arrive(t, p, want)
}

func untouched(t *testing.T, p Place) {
	defer closed(t, p)
	events, same := Events(0, 3), Events(0, 3)
	if err := send(t, p, events); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if string(events[i].JSON) != string(same[i].JSON) || events[i].Event != same[i].Event {
			t.Errorf("event %d was changed", i)
		}
	}
}

// recovers promises that an error means that the events are not all there, and that they are
// when the receiver is well again and they are sent again.
func recovers(t *testing.T, p Place, mode Mode) {
	defer closed(t, p)
	if err := send(t, p, Events(0, 3)); err != nil {
		t.Fatal(err)
	}
	p.Become(mode)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	err := p.Destination.Send(ctx, Events(3, 6))
	cancel()
	noSecret(t, p, err)
	_, final := errors.AsType[*sink.Rejection](err)
	for range 3 { // the connection that was there may be gone
		if mode == Rejects && !final {
			err = send(t, p, Events(3, 6))
			_, final = errors.AsType[*sink.Rejection](err)
		}
	}
	switch {
	case mode == Rejects && !final:
		t.Errorf("a final word is told as %v", err)
	case mode != Rejects && final:
		t.Errorf("what may pass is told as a final word: %v", err)
	case err == nil && !slices.Contains(p.Unheard, mode):
		t.Error("it says that the events arrived")
	}
	p.Become(Well)
	for range 3 { // a protocol without answers may need a second try to see that the connection is gone
		if err = send(t, p, Events(3, 9)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("well again, but %v", err)
	}
	arrive(t, p, ids(Events(0, 9)))
}

// arrive waits until the events are there: each at least once, the first times in order.
func arrive(t *testing.T, p Place, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got := firsts(p.Got())
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("there arrived %v\nwant %v", got, want)
		case <-tick.C:
		}
	}
}

func firsts(all []string) (once []string) {
	for _, id := range all {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}

func ends(t *testing.T, p Place, mode Mode) {
	defer closed(t, p)
	p.Become(mode)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil { // of what is never read, a buffer takes the beginning
			err = p.Destination.Send(ctx, Events(0, 500))
		}
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		noSecret(t, p, err)
	case <-time.After(deadline):
		t.Fatal("it goes on after its context has ended")
	}
}

func over(t *testing.T, p Place) {
	defer closed(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Destination.Send(ctx, Events(0, 1)); err == nil {
		t.Error("it says that the events arrived")
	}
}
