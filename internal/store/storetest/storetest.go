// Package storetest holds the promises of every client.Store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/internal/client"
)

// Run holds the store that open returns to its promises. Each call of open gives
// an empty store.
func Run(t *testing.T, open func(*testing.T) client.Store) {
	tests := map[string]func(*testing.T, client.Store){
		"is empty at first":                          empty,
		"gives back what was written":                writes,
		"raises the revision with every commit":      revisions,
		"refuses another version":                    conflicts,
		"writes all rows or none":                    allOrNothing,
		"tells changes in order, the latest of each": changes,
		"keeps tombstones":                           tombstones,
		"lets one of fifty win":                      oneWins,
		"refuses rows that are too big":              bounds,
		"heeds a cancelled context":                  cancelled,
		"is not changed through its rows":            copies,
		"loses no change to whoever follows":         follows,
		"takes a body of 64 KiB":                     biggest,
		"refuses rows without a place":               places,
		"keeps names apart":                          names,
		"lists a table":                              table,
		"removes rows for good":                      removes,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

func row(id string, version int64, body string) client.Row {
	return client.Row{Table: "t", ID: id, Version: version, Body: []byte(body)}
}

func commit(t *testing.T, s client.Store, rows ...client.Row) int64 {
	t.Helper()
	revision, err := s.Commit(t.Context(), rows...)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return revision
}

func empty(t *testing.T, s client.Store) {
	revision, err := s.Revision(t.Context())
	if revision != 0 || err != nil {
		t.Errorf("revision %d, %v", revision, err)
	}
	rows, latest, err := s.Since(t.Context(), 0)
	if len(rows) != 0 || latest != 0 || err != nil {
		t.Errorf("rows %v until %d, %v", rows, latest, err)
	}
	if _, ok, err := s.Get(t.Context(), "t", "a"); ok || err != nil {
		t.Errorf("found %t, %v", ok, err)
	}
}

func writes(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "one"))
	got, ok, err := s.Get(t.Context(), "t", "a")
	if !ok || err != nil || string(got.Body) != "one" || got.Version != 1 || got.Revision != 1 {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
	commit(t, s, row("a", 2, "two"))
	if got, _, _ = s.Get(t.Context(), "t", "a"); string(got.Body) != "two" || got.Version != 2 || got.Revision != 2 {
		t.Errorf("%+v after the second commit", got)
	}
}

func revisions(t *testing.T, s client.Store) {
	for want := int64(1); want <= 5; want++ {
		if got := commit(t, s, row(fmt.Sprint(want), 1, "x")); got != want {
			t.Errorf("revision %d, want %d", got, want)
		}
	}
	if got, err := s.Revision(t.Context()); got != 5 || err != nil {
		t.Errorf("revision %d, %v", got, err)
	}
}

func conflicts(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "one"))
	for _, version := range []int64{1, 3} {
		if _, err := s.Commit(t.Context(), row("a", version, "x")); !errors.Is(err, client.ErrConflict) {
			t.Errorf("version %d over version 1: %v", version, err)
		}
	}
	if _, err := s.Commit(t.Context(), row("b", 2, "x")); !errors.Is(err, client.ErrConflict) {
		t.Errorf("version 2 of a new row: %v", err)
	}
}

func allOrNothing(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "one"))
	if _, err := s.Commit(t.Context(), row("b", 1, "x"), row("a", 1, "x")); !errors.Is(err, client.ErrConflict) {
		t.Fatalf("conflict in the second row: %v", err)
	}
	if _, ok, _ := s.Get(t.Context(), "t", "b"); ok {
		t.Error("the first row of a refused commit was written")
	}
	if revision, _ := s.Revision(t.Context()); revision != 1 {
		t.Errorf("revision %d after a refused commit", revision)
	}
}

func changes(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "1"), row("b", 1, "1"))
	middle := commit(t, s, row("c", 1, "1"))
	commit(t, s, row("a", 2, "2"))
	rows, latest, err := s.Since(t.Context(), 0)
	if err != nil || latest != 3 || ids(rows) != "b1 c1 a2 " {
		t.Errorf("since 0: %s until %d, %v", ids(rows), latest, err)
	}
	if rows, _, _ = s.Since(t.Context(), middle); ids(rows) != "a2 " {
		t.Errorf("since %d: %s", middle, ids(rows))
	}
	if rows, _, _ = s.Since(t.Context(), 3); len(rows) != 0 {
		t.Errorf("since the latest: %s", ids(rows))
	}
}

func ids(rows []client.Row) string {
	var b bytes.Buffer
	for _, r := range rows {
		fmt.Fprintf(&b, "%s%d ", r.ID, r.Version)
	}
	return b.String()
}

func tombstones(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "x"))
	commit(t, s, client.Row{Table: "t", ID: "a", Version: 2})
	got, ok, err := s.Get(t.Context(), "t", "a")
	if !ok || err != nil || len(got.Body) != 0 || got.Version != 2 {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
	if rows, _, _ := s.Since(t.Context(), 1); ids(rows) != "a2 " {
		t.Errorf("since 1: %s", ids(rows))
	}
}

func table(t *testing.T, s client.Store) {
	commit(t, s, row("b", 1, "x"), row("a", 1, "y"), client.Row{Table: "other", ID: "c", Version: 1, Body: []byte("z")})
	commit(t, s, row("b", 2, "xx"))
	rows, err := s.Table(t.Context(), "t")
	if err != nil || ids(rows) != "a1 b2 " || string(rows[1].Body) != "xx" {
		t.Errorf("%s, %v", ids(rows), err)
	}
	if rows, err := s.Table(t.Context(), "none"); err != nil || len(rows) != 0 {
		t.Errorf("a table that nobody made: %v, %v", rows, err)
	}
}

func removes(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "x"), row("b", 1, "y"), row("c", 1, "z"))
	if _, err := s.Remove(t.Context(), row("a", 1, ""), row("b", 2, "")); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a version that is not stored: %v", err)
	}
	if _, err := s.Remove(t.Context(), row("none", 1, "")); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a row that is not there: %v", err)
	}
	if rows, _ := s.Table(t.Context(), "t"); ids(rows) != "a1 b1 c1 " {
		t.Fatalf("a removal that failed left %s", ids(rows))
	}
	revision, err := s.Remove(t.Context(), row("a", 1, ""), row("b", 1, ""))
	if err != nil || revision != 2 {
		t.Errorf("revision %d, %v", revision, err)
	}
	if _, ok, err := s.Get(t.Context(), "t", "a"); ok || err != nil {
		t.Errorf("after its removal: %t, %v", ok, err)
	}
	if rows, latest, err := s.Since(t.Context(), 0); ids(rows) != "c1 " || latest != 2 || err != nil {
		t.Errorf("changes: %s until %d, %v", ids(rows), latest, err)
	}
	if revision := commit(t, s, row("a", 1, "again")); revision != 3 {
		t.Errorf("revision %d", revision)
	}
}

func oneWins(t *testing.T, s client.Store) {
	commit(t, s, row("a", 1, "x"))
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch _, err := s.Commit(context.Background(), row("a", 2, "y")); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, client.ErrConflict):
				t.Errorf("commit: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty changes of one version won", won.Load())
	}
}

func bounds(t *testing.T, s client.Store) {
	big := client.Row{Table: "t", ID: "a", Version: 1, Body: make([]byte, 64<<10+1)}
	if _, err := s.Commit(t.Context(), row("b", 1, "x"), big); err == nil || !strings.Contains(err.Error(), "65536") {
		t.Errorf("a body of more than 64 KiB: %v, want the bound", err)
	}
	if _, err := s.Commit(t.Context(), row("a", 1, "x"), row("a", 2, "y")); err == nil {
		t.Error("one row twice in a commit was taken")
	}
	if revision, err := s.Revision(t.Context()); revision != 0 || err != nil {
		t.Errorf("revision %d, %v after refused commits", revision, err)
	}
}

func biggest(t *testing.T, s client.Store) {
	body := bytes.Repeat([]byte{0, 0xff, '\''}, 64<<10/3)
	commit(t, s, client.Row{Table: "t", ID: strings.Repeat("i", 512), Version: 1, Body: body})
	got, ok, err := s.Get(t.Context(), "t", strings.Repeat("i", 512))
	if !ok || err != nil || !bytes.Equal(got.Body, body) {
		t.Errorf("%d bytes, %t, %v", len(got.Body), ok, err)
	}
}

func places(t *testing.T, s client.Store) {
	for name, r := range map[string]client.Row{
		"no table":  {ID: "a", Version: 1},
		"no id":     {Table: "t", Version: 1},
		"long id":   {Table: "t", ID: strings.Repeat("i", 513), Version: 1},
		"version 0": {Table: "t", ID: "a"},
	} {
		if _, err := s.Commit(t.Context(), r); err == nil || errors.Is(err, client.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func names(t *testing.T, s client.Store) {
	for _, place := range [][2]string{{"a", "b/c"}, {"a/b", "c"}, {"A", "b/c"}, {"a", "B/c"}, {"a", "b/c "}, {"a", "b%"}, {"a", "é"}, {"a", "e\u0301"}} {
		body := []byte(place[0] + "|" + place[1])
		commit(t, s, client.Row{Table: place[0], ID: place[1], Version: 1, Body: body})
	}
	rows, _, err := s.Since(t.Context(), 0)
	if err != nil || len(rows) != 8 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		got, _, err := s.Get(t.Context(), r.Table, r.ID)
		if want := r.Table + "|" + r.ID; err != nil || string(got.Body) != want || string(r.Body) != want {
			t.Errorf("%s: %q, %v", want, got.Body, err)
		}
	}
}

// follows reads changes while several write, as a snapshot does.
func follows(t *testing.T, s client.Store) {
	const writers, each = 4, 25
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for version := range int64(each) {
				if _, err := s.Commit(context.Background(), row(fmt.Sprint(w), version+1, "x"), row(fmt.Sprintf("%d-%d", w, version), 1, "y")); err != nil {
					t.Errorf("commit: %v", err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { all.Wait(); close(written) }()
	seen := map[string]int64{}
	var at int64
	for last := false; !last; {
		select {
		case <-written:
			last = true
		default:
		}
		rows, until, err := s.Since(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		before := at
		for _, r := range rows {
			if r.Revision < before || r.Revision > until || r.Revision <= at {
				t.Fatalf("row %s of revision %d after %d, between %d and %d", r.ID, r.Revision, before, at, until)
			}
			before = r.Revision
			seen[r.ID] = r.Version
		}
		at = until
	}
	if len(seen) != writers+writers*each || at != writers*each {
		t.Errorf("saw %d rows until revision %d", len(seen), at)
	}
	for w := range writers {
		if seen[fmt.Sprint(w)] != each {
			t.Errorf("row %d ended at version %d", w, seen[fmt.Sprint(w)])
		}
	}
}

func cancelled(t *testing.T, s client.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, commitErr := s.Commit(ctx, row("a", 1, "x"))
	_, revisionErr := s.Revision(ctx)
	_, _, sinceErr := s.Since(ctx, 0)
	_, _, getErr := s.Get(ctx, "t", "a")
	for name, err := range map[string]error{"commit": commitErr, "revision": revisionErr, "since": sinceErr, "get": getErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	}
	if revision, err := s.Revision(t.Context()); revision != 0 || err != nil {
		t.Errorf("revision %d, %v", revision, err)
	}
	commit(t, s, row("a", 1, "x"))
}

// Durable holds a store that outlives its process to that. open gives the store
// that is kept under a name, and makes it when it is opened first.
func Durable(t *testing.T, open func(*testing.T) client.Store) {
	first := open(t)
	commit(t, first, row("a", 1, "one"), row("b", 1, "one"))
	commit(t, first, row("a", 2, "two"), client.Row{Table: "t", ID: "b", Version: 2})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Commit(t.Context(), row("c", 1, "x")); err == nil {
		t.Error("a closed store took a commit")
	}
	again := open(t)
	defer func() { _ = again.Close() }()
	rows, latest, err := again.Since(t.Context(), 0)
	if err != nil || latest != 2 || ids(rows) != "a2 b2 " || string(rows[0].Body) != "two" || len(rows[1].Body) != 0 {
		t.Errorf("after it was opened again: %s until %d, %v", ids(rows), latest, err)
	}
	if _, err := again.Commit(t.Context(), row("a", 2, "x")); !errors.Is(err, client.ErrConflict) {
		t.Errorf("version 2 over version 2: %v", err)
	}
	if revision := commit(t, again, row("a", 3, "three")); revision != 3 {
		t.Errorf("revision %d after it was opened again", revision)
	}
}

func copies(t *testing.T, s client.Store) {
	body := []byte("one")
	commit(t, s, client.Row{Table: "t", ID: "a", Version: 1, Body: body})
	body[0] = 'X'
	got, _, _ := s.Get(t.Context(), "t", "a")
	got.Body[0] = 'Y'
	rows, _, _ := s.Since(t.Context(), 0)
	rows[0].Body[0] = 'Z'
	if got, _, _ := s.Get(t.Context(), "t", "a"); string(got.Body) != "one" {
		t.Errorf("the stored body became %q", got.Body)
	}
}
