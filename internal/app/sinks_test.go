package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink"
)

// slowly is a destination that takes events, but not yet.
type slowly struct{}

func (slowly) Send(context.Context, []audit.Found) error { return errors.New("it is not asked") }
func (slowly) Close() error                              { return nil }

// TestASinkThatIsTooSlowIsFullWhenTheLogTakesItsEvents: it does not fail, and loses events all the
// same, which an API with audit: required must not add to.
func TestASinkThatIsTooSlowIsFullWhenTheLogTakesItsEvents(t *testing.T) {
	attacktest.Rows(t, 146)
	dir := filepath.Join(t.TempDir(), "log")
	log, err := audit.Open(audit.Options{
		Dir: dir, Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now, Slots: 64, SegmentSize: 4000,
	})
	if err != nil {
		t.Fatal(err)
	}
	feed, err := sink.New(sink.Settings{Name: "siem", Log: dir, Cursor: filepath.Join(t.TempDir(), "siem.json"), Destination: slowly{}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := errors.Join(audit.Record(log, audittest.Event(fmt.Sprint("e", i))), log.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Checkpoint(); err != nil { // a segment ends when no checkpoint is under way
		t.Fatal(err)
	}
	if err := errors.Join(audit.Record(log, audittest.Event("last")), log.Close()); err != nil {
		t.Fatal(err)
	}
	s := &sinks{feeds: []*sink.Feed{feed}, spools: []uint64{10}}
	if all, err := s.status(); err != nil || all[0].Full {
		t.Errorf("one that is behind and works: %+v, %v", all, err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	if all, err := s.status(); err != nil || !all[0].Full {
		t.Errorf("one whose events are removed: %+v, %v", all, err)
	}
}
