package app

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// TestCheckpointsAreKeptAfterTheClockWasPutBack: else none would be until it is that late again.
func TestCheckpointsAreKeptAfterTheClockWasPutBack(t *testing.T) {
	now := time.Date(2031, 11, 30, 9, 0, 0, 0, time.UTC)
	log, err := audit.Open(audit.Options{
		Dir: t.TempDir(), Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: func() time.Time { return now }, Slots: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	folder := t.TempDir()
	w, err := openWitness(folder, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range []time.Time{now, now.AddDate(-5, 0, 0)} {
		if err := audit.Record(log, &audit.Event{ID: fmt.Sprint("e", i), Time: at}); err != nil {
			t.Fatal(err)
		}
		point, err := log.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		point.Time = at
		w.keep(point)
		for deadline := time.Now().Add(10 * time.Second); len(pointsIn(t, folder)) != i+1; {
			if time.Now().After(deadline) {
				t.Fatalf("checkpoint %d is not kept", i)
			}
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
}

func pointsIn(t *testing.T, folder string) []audit.Checkpoint {
	t.Helper()
	points, err := audit.Checkpoints(folder)
	if err != nil {
		t.Fatal(err)
	}
	return points
}
