package rows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

type thing struct{ N int }

func table(t *testing.T) (rows.Table[thing], rows.Records) {
	t.Helper()
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: time.Now})
	must(t, err)
	return rows.NewTable[thing](registry.Records(), "thing"), registry.Records()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachOfFiftyChangesCounts(t *testing.T) {
	things, _ := table(t)
	must(t, things.Add(t.Context(), "a", thing{}))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := things.Change(t.Context(), "a", func(v *thing) error { v.N++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	row, err := things.Get(t.Context(), "a")
	must(t, err)
	if row.Value.N != 50 {
		t.Errorf("%d changes were kept", row.Value.N)
	}
}

func TestWhatIsThereAndWhatIsNot(t *testing.T) {
	things, _ := table(t)
	stop := errors.New("stop")
	if _, err := things.Get(t.Context(), "a"); !errors.Is(err, rows.ErrMissing) {
		t.Error(err)
	}
	if _, err := things.Change(t.Context(), "a", func(*thing) error { return nil }); !errors.Is(err, rows.ErrMissing) {
		t.Error(err)
	}
	must(t, things.Add(t.Context(), things.Name("secret"), thing{1}))
	if err := things.Add(t.Context(), things.Name("secret"), thing{2}); !errors.Is(err, rows.ErrTaken) {
		t.Error(err)
	}
	row, err := things.Find(t.Context(), "secret")
	if err != nil || row.Value.N != 1 {
		t.Errorf("%+v, %v", row, err)
	}
	if _, err := things.Find(t.Context(), "Secret"); !errors.Is(err, rows.ErrMissing) {
		t.Error(err)
	}
	if _, err := things.Change(t.Context(), row.ID, func(v *thing) error { v.N = 9; return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if again, _ := things.Get(t.Context(), row.ID); again.Value.N != 1 {
		t.Error("a change that was given up was kept")
	}
	must(t, things.Take(t.Context(), row))
	if err := things.Take(t.Context(), row); !errors.Is(err, rows.ErrMissing) {
		t.Errorf("taken twice: %v", err)
	}
}

// stale makes the first removal of several fail, as if one of them had changed.
type stale struct {
	rows.Records
	failed bool
}

func (s *stale) Remove(ctx context.Context, records ...client.Record) error {
	if len(records) > 1 && !s.failed {
		s.failed = true
		return client.ErrConflict
	}
	return s.Records.Remove(ctx, records...)
}

func TestRemoveIfRemovesWhatItMay(t *testing.T) {
	_, records := table(t)
	s := &stale{Records: records}
	things := rows.NewTable[thing](s, "thing")
	for n := range 250 {
		must(t, things.Add(t.Context(), rows.Digest(string(rune(n))), thing{n}))
	}
	removed, err := things.RemoveIf(t.Context(), func(v thing) bool { return v.N%5 != 0 })
	if err != nil || removed != 200 || !s.failed {
		t.Errorf("removed %d, %v", removed, err)
	}
	all, err := things.All(t.Context())
	if err != nil || len(all) != 50 {
		t.Errorf("%d are left, %v", len(all), err)
	}
}

func TestDigestsTellPartsApart(t *testing.T) {
	if rows.Digest("ab", "c") == rows.Digest("a", "bc") || rows.Digest("a") == rows.Digest("a", "") {
		t.Error("different parts have one digest")
	}
}
