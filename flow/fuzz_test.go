package flow_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/journal"
)

// FuzzLoad holds that no entry of a journal, whoever wrote it, ends a start otherwise than with
// an error, and that what was started works.
func FuzzLoad(f *testing.F) {
	name := bytes.Repeat([]byte{1}, 16)
	late := []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	claim := bytes.Join([][]byte{{'c'}, name, name, name, late}, nil)
	run := bytes.Join([][]byte{{'s'}, name, name, {2, 0}, make([]byte, 8), late}, nil)
	f.Add(claim, bytes.Join([][]byte{{'d'}, name, {0, 200}}, nil))
	f.Add(claim, bytes.Join([][]byte{{'a'}, name, make([]byte, 40)}, nil))
	f.Add(claim, append([]byte{'r'}, name...))
	f.Add(claim, claim)
	f.Add(run, append([]byte{'x'}, name...))
	f.Add(run, run)
	f.Add(run, bytes.Join([][]byte{{'s'}, late, late, name, {2, 0}, make([]byte, 8), late}, nil)) // of another owner
	f.Add([]byte("?"), []byte{'c'})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		w := newWorld(t)
		log, err := journal.Open(journal.Options{Dir: w.dir}, func(journal.At, []byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range [][]byte{one, two} {
			if len(entry) > 0 && len(entry) < 1000 {
				if _, err := log.Append(entry); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		store, err := flow.Open(flow.Options{Dir: filepath.Clean(w.dir), Key: make([]byte, 32), Now: w.now})
		if err != nil {
			return
		}
		w.store = store
		defer func() { _ = store.Close() }()
		w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: time.Minute}}).carryOut("a", "k", nil)
		w.wait(time.Hour)
		if store.Keys() > 2 || store.Runs() > 2 { // one of each entry: what was asked here is forgotten
			t.Errorf("%d keys, %d runs", store.Keys(), store.Runs())
		}
	})
}
