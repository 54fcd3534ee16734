package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// scanned are the ids of all records that a scan finds, in order of their numbers.
func scanned(t *testing.T, dir string, since, until time.Time, workers int) (ids []string, err error) {
	t.Helper()
	found := map[uint64]string{}
	var mu sync.Mutex
	err = audit.Scan(t.Context(), dir, since, until, workers, func(_ int, r audit.Raw) error {
		e, err := audit.ParseJSON(r.Event)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if found[r.Seq] != "" {
			t.Errorf("record %d is found twice", r.Seq)
		}
		found[r.Seq] = e.ID
		return nil
	})
	for seq := range uint64(200) {
		if id := found[seq]; id != "" {
			ids = append(ids, id)
		}
	}
	return ids, err
}

func TestAScanFindsEachRecordOnce(t *testing.T) {
	dir := varied(t)
	var all []string
	for i := range 60 {
		all = append(all, fmt.Sprint("r", i))
	}
	for _, workers := range []int{1, 2, 7} {
		if ids, err := scanned(t, dir, time.Time{}, time.Time{}, workers); err != nil || !slices.Equal(ids, all) {
			t.Errorf("%d goroutines: %v, %v", workers, ids, err)
		}
	}
	since, until := startTime.Add(20*time.Minute), startTime.Add(30*time.Minute)
	ids, err := scanned(t, dir, since, until, 2)
	if err != nil || len(ids) == 60 {
		t.Errorf("of ten minutes: %d records, %v", len(ids), err)
	}
	for i := 20; i < 30; i++ {
		if !slices.Contains(ids, fmt.Sprint("r", i)) {
			t.Errorf("r%d is not found", i)
		}
	}
	if ids, err := scanned(t, t.TempDir(), time.Time{}, time.Time{}, 2); err != nil || len(ids) > 0 {
		t.Errorf("of an empty folder: %v, %v", ids, err)
	}
}

func TestAScanPassesOverDamageAndSaysSo(t *testing.T) {
	dir := varied(t)
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	text, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	text[0] = 'X'
	if err := os.WriteFile(names[1], text, 0o600); err != nil {
		t.Fatal(err)
	}
	ids, err := scanned(t, dir, time.Time{}, time.Time{}, 2)
	if _, damaged := errors.AsType[*audit.Fault](err); !damaged || len(ids) != 59 {
		t.Errorf("%d records, %v", len(ids), err)
	}
}

func TestAScanEndsWithTheFirstErrorAndWithItsContext(t *testing.T) {
	dir := varied(t)
	wrong := errors.New("wrong")
	if err := audit.Scan(t.Context(), dir, time.Time{}, time.Time{}, 2, func(int, audit.Raw) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := audit.Scan(ctx, dir, time.Time{}, time.Time{}, 2, func(int, audit.Raw) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestALogBeginsWithItsOldestEvent(t *testing.T) {
	if at, err := audit.Begins(varied(t)); err != nil || !at.Equal(startTime) {
		t.Errorf("%s, %v, want %s", at, err, startTime)
	}
	if at, err := audit.Begins(t.TempDir()); err != nil || !at.IsZero() {
		t.Errorf("of an empty folder: %s, %v", at, err)
	}
}

func TestASearchFindsWhatAnEventIsAbout(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	for i, change := range []func(*audit.Event){
		func(e *audit.Event) { e.CredentialID = "K1" },
		func(e *audit.Event) { e.With = "api_key:K1 mtls:serial:1f" },
		func(e *audit.Event) { e.Class, e.Target = audit.Admin, "K1" },
		func(e *audit.Event) { e.Path = "/v1/K1" },
		func(e *audit.Event) { e.CredentialID = "K10" },
		func(e *audit.Event) { e.With = "api_key:K10" },
		func(e *audit.Event) { e.Client = "K2" },
	} {
		e := event(fmt.Sprint("r", i))
		change(e)
		record(t, l, e)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ about, want []string }{
		{[]string{"K1"}, []string{"r0", "r1", "r2"}},
		{[]string{"serial:1f"}, []string{"r1"}},
		{[]string{"K1", "K2"}, []string{"r0", "r1", "r2", "r6"}},
		{[]string{"K3"}, nil},
	} {
		found, err := audit.Search(t.Context(), dir, audit.Query{About: c.about})
		var ids []string
		for _, f := range found {
			ids = append(ids, f.Event.ID)
		}
		if err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("%v: %v, %v, want %v", c.about, ids, err, c.want)
		}
	}
}

// Whoever runs a scan within something that must go on, such as a gateway, can recover.
func TestAPanicOfAScanIsItsCallers(t *testing.T) {
	dir := varied(t)
	defer func() {
		if fault := recover(); fault != "on purpose" {
			t.Errorf("recovered %v", fault)
		}
	}()
	_ = audit.Scan(t.Context(), dir, time.Time{}, time.Time{}, 2, func(int, audit.Raw) error { panic("on purpose") })
	t.Error("it returned")
}
