package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pavise.dev/pavise/audit"
)

// rest reads to the end of the log in pieces.
func rest(t *testing.T, r *audit.Reader, most int) (ids []string, last, lost uint64) {
	t.Helper()
	for {
		p, err := r.Read(t.Context(), most)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Events) > most {
			t.Fatalf("%d events at once, asked for %d", len(p.Events), most)
		}
		lost += p.Lost
		if p.Last == last && len(p.Events) == 0 {
			return ids, last, lost
		}
		last = p.Last
		for _, f := range p.Events {
			ids = append(ids, f.Event.ID)
		}
	}
}

func TestAReaderGetsEachEventOnceInOrder(t *testing.T) {
	dir := varied(t)
	var all []string
	for i := range 60 {
		all = append(all, fmt.Sprint("r", i))
	}
	for _, most := range []int{1, 7, 1000} {
		for _, after := range []uint64{0, 1, 31, 59, 60} {
			ids, last, lost := rest(t, audit.NewReader(dir, after, audit.Query{}), most)
			if !slices.Equal(ids, all[after:]) || last != 60 || lost != 0 {
				t.Errorf("after %d, %d at once: %v, last %d, lost %d", after, most, ids, last, lost)
			}
		}
	}
	ids, last, _ := rest(t, audit.NewReader(dir, 0, audit.Query{Code: "insufficient_scope"}), 3)
	if len(ids) != 10 || last != 60 {
		t.Errorf("of a query: %v, last %d", ids, last)
	}
	if newest, err := audit.Newest(dir); err != nil || newest != 60 {
		t.Errorf("newest %d, %v", newest, err)
	}
	if newest, err := audit.Newest(t.TempDir()); err != nil || newest != 0 {
		t.Errorf("of an empty folder: %d, %v", newest, err)
	}
}

func TestAReaderGoesOnWhileTheLogIsWritten(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.SegmentSize = 2000 })
	r := audit.NewReader(dir, 0, audit.Query{})
	for i := range 40 {
		record(t, l, event(fmt.Sprint("r", i)))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if ids, last, lost := rest(t, r, 5); !slices.Equal(ids, []string{fmt.Sprint("r", i)}) || last != uint64(i+1) || lost != 0 {
			t.Fatalf("event %d: %v, last %d, lost %d", i, ids, last, lost)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderCountsWhatRetentionTook(t *testing.T) {
	dir := varied(t)
	r := audit.NewReader(dir, 5, audit.Query{})
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, name := range names[:3] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	ids, last, lost := rest(t, r, 10)
	if lost == 0 || int(lost)+len(ids) != 55 || last != 60 {
		t.Errorf("%d read, %d lost, last %d", len(ids), lost, last)
	}
}

func TestAReaderTellsOfABadLineAndGoesOn(t *testing.T) {
	dir := varied(t)
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	text[2] = 'X'
	if err := os.WriteFile(names[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := audit.NewReader(dir, 0, audit.Query{})
	_, err = r.Read(t.Context(), 10)
	if _, ok := errors.AsType[*audit.Fault](err); !ok {
		t.Fatalf("%v, want a fault", err)
	}
	if ids, _, lost := rest(t, r, 10); len(ids) != 59 || lost != 1 {
		t.Errorf("%d read afterwards, %d lost", len(ids), lost)
	}
}

func TestWhoHasReadALogGoesOnOnlyWhereItIsStillThatLog(t *testing.T) {
	dir := varied(t)
	r := audit.NewReader(dir, 0, audit.Query{})
	piece, err := r.Read(t.Context(), 40)
	if err != nil || piece.Last != 40 || piece.Mark == "" {
		t.Fatalf("%+v, %v", piece, err)
	}
	other := t.TempDir()
	l := open(t, other, nil)
	for i := range 50 {
		record(t, l, event(fmt.Sprint("x", i)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lost := t.TempDir()
	l = open(t, lost, nil)
	for i := range 50 {
		e := event(fmt.Sprint("x", i))
		if i == 30 {
			e = &audit.Event{ID: "lost", Time: startTime, Class: audit.System, Decision: audit.Noted, Code: "log_tail_lost", Change: "records 31 to 45"}
		}
		record(t, l, e)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dir   string
		after uint64
		mark  string
		want  uint64
	}{
		"the same":                     {dir, 40, piece.Mark, 40},
		"without a mark":               {dir, 40, "", 40},
		"at its beginning":             {dir, 0, "", 0},
		"another log":                  {other, 40, piece.Mark, 0},
		"another, shorter one":         {other, 70, "", 0},
		"its end was lost":             {lost, 40, piece.Mark, 30},
		"its end was lost long before": {lost, 48, piece.Mark, 0},
		"no log at all":                {t.TempDir(), 40, piece.Mark, 0},
	} {
		if got, err := audit.Resume(test.dir, test.after, test.mark); err != nil || got != test.want {
			t.Errorf("%s: behind %d, want %d, %v", name, got, test.want, err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, name := range names[:len(names)-1] { // retention
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := audit.Resume(dir, 40, piece.Mark); err != nil || got != 40 {
		t.Errorf("what retention took: behind %d, %v", got, err)
	}
}
