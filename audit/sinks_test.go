package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
)

func TestLogIsASink(t *testing.T) {
	audittest.Run(t, func(t *testing.T) (audit.Sink, func() []audit.Event) {
		dir := t.TempDir()
		l := open(t, dir, nil)
		return l, func() []audit.Event {
			if err := l.Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			var events []audit.Event
			for _, found := range search(t, dir, audit.Query{}) {
				events = append(events, found.Event)
			}
			return events
		}
	})
}

func TestMemoryIsASink(t *testing.T) {
	audittest.Run(t, func(*testing.T) (audit.Sink, func() []audit.Event) {
		var m audit.Memory
		return &m, m.Events
	})
}

func TestTeeIsASinkForEach(t *testing.T) {
	for i := range 2 {
		audittest.Run(t, func(t *testing.T) (audit.Sink, func() []audit.Event) {
			both := [2]audit.Memory{}
			tee := &audit.Tee{First: &both[0], Then: []audit.Sink{&both[1]}, Warn: func(err error) { t.Error(err) }}
			return tee, both[i].Events
		})
	}
}

// broken is a sink that takes nothing.
type broken struct{}

func (broken) Begin(*audit.Event) error { return errors.New("broken") }
func (broken) Complete(*audit.Event)    {}

func TestTeeSaysWhatAFurtherSinkCouldNotTake(t *testing.T) {
	var m audit.Memory
	var warned error
	tee := &audit.Tee{First: &m, Then: []audit.Sink{broken{}}, Warn: func(err error) { warned = err }}
	if err := audit.Record(tee, event("r1")); err != nil || warned == nil || len(m.Events()) != 1 {
		t.Errorf("error %v, warning %v, %d events", err, warned, len(m.Events()))
	}
	tee.First = broken{}
	if err := audit.Record(tee, event("r2")); err == nil {
		t.Error("an event was taken that the first sink refused")
	}
}

func TestMemoryKeepsTheLast(t *testing.T) {
	m := audit.Memory{Keep: 3}
	for i := range 10 {
		if err := audit.Record(&m, event(fmt.Sprint("r", i))); err != nil {
			t.Fatal(err)
		}
	}
	events := m.Events()
	if len(events) != 3 || events[0].ID != "r7" || events[2].ID != "r9" {
		t.Errorf("events %v", events)
	}
}

func TestMemoryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audit.Memory
		got := make(chan audit.Event)
		go func() {
			e, _ := m.Wait(t.Context(), func(e audit.Event) bool { return e.ID == "second" })
			got <- e
		}()
		synctest.Wait()
		for _, id := range []string{"first", "second"} {
			if err := audit.Record(&m, event(id)); err != nil {
				t.Fatal(err)
			}
		}
		if e := <-got; e.ID != "second" {
			t.Errorf("got %q", e.ID)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Wait(ctx, func(audit.Event) bool { return false }); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}
