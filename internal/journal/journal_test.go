package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/journal"
)

// open returns a log with the entries that it held.
func open(t testing.TB, o journal.Options) (*journal.Log, []string) {
	t.Helper()
	var held []string
	l, err := journal.Open(o, func(_ journal.At, entry []byte) error { held = append(held, string(entry)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, held
}

func add(t testing.TB, l *journal.Log, entry string) journal.At {
	t.Helper()
	at, err := l.Append([]byte(entry))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestEntriesAreThereAfterAnUncleanEnd(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, journal.Options{Dir: dir, Size: 64})
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("entry %d", i))
		add(t, l, want[i])
	}
	if l.Files() < 3 {
		t.Fatalf("%d files, so that no turn is tested", l.Files())
	}
	other := t.TempDir() // as the folder is when the process dies: nothing was closed
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, held := open(t, journal.Options{Dir: other, Size: 64}); !slices.Equal(held, want) {
		t.Errorf("held %q, want %q", held, want)
	}
}

func TestALogIsOneProcesss(t *testing.T) {
	dir := t.TempDir()
	open(t, journal.Options{Dir: dir})
	if _, err := journal.Open(journal.Options{Dir: dir}, nil); err == nil {
		t.Error("a folder in use was opened again")
	}
}

func TestReadsWhatWasAppended(t *testing.T) {
	l, _ := open(t, journal.Options{Dir: t.TempDir(), Size: 100})
	var at []journal.At
	for i := range 9 {
		at = append(at, add(t, l, strings.Repeat("x", i+1)))
	}
	for i, one := range at {
		if entry, err := l.Read(one); err != nil || len(entry) != i+1 {
			t.Errorf("entry %d: %q, %v", i, entry, err)
		}
	}
	if number, ok := l.Oldest(); !ok || l.Drop() != nil {
		t.Errorf("oldest %d, %t", number, ok)
	}
	if _, err := l.Read(at[0]); err == nil {
		t.Error("an entry of a file that is gone was read")
	}
	if entry, err := l.Read(at[8]); err != nil || len(entry) != 9 {
		t.Errorf("the last entry: %q, %v", entry, err)
	}
	if _, err := l.Append(nil); err == nil {
		t.Error("an entry of nothing was taken")
	}
	if _, err := l.Append(make([]byte, journal.MaxEntry+1)); err == nil {
		t.Error("an entry over the bound was taken")
	}
}

// TestATornEndIsCutOff cuts the file at every byte: whole entries stay, what is appended
// then follows them, and the operator is told.
func TestATornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, journal.Options{Dir: dir})
	add(t, l, "first")
	add(t, l, "second")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "00000001.journal"))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		dir, warned := t.TempDir(), 0
		if err := os.WriteFile(filepath.Join(dir, "00000001.journal"), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		o := journal.Options{Dir: dir, Warn: func(error) { warned++ }}
		l, held := open(t, o)
		want := []string{"first", "second"}[:min(max(cut-8, 0)/13, 1)]
		if cut == len(whole) {
			want = []string{"first", "second"}
		}
		if !slices.Equal(held, want) {
			t.Fatalf("cut at %d: held %q", cut, held)
		}
		if clean := cut == 8 || cut == 21 || cut == len(whole) || cut == 0; clean != (warned == 0) {
			t.Errorf("cut at %d: %d warnings", cut, warned)
		}
		add(t, l, "third")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, held := open(t, o); !slices.Equal(held, append(want, "third")) {
			t.Fatalf("cut at %d, then held %q", cut, held)
		}
	}
}

func TestManyWaitForOneSync(t *testing.T) {
	l, _ := open(t, journal.Options{Dir: t.TempDir(), Size: 4096})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for j := range 10 {
				at, err := l.Append(fmt.Appendf(nil, "entry %d of %d", j, i))
				if err == nil {
					err = l.Sync(at)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append([]byte("x")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}

// FuzzOpen holds that nothing in a file ends the start, and that what is read back is what a
// second start reads.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("pvsjrnl1"))
	f.Add([]byte("pvsjrnl1\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte("something else"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000007.journal"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, held := open(t, journal.Options{Dir: dir})
		add(t, l, "more")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, again := open(t, journal.Options{Dir: dir}); !slices.Equal(again, append(held, "more")) {
			t.Errorf("held %q, then %q", held, again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l, _ := open(b, journal.Options{Dir: b.TempDir()})
	entry := bytes.Repeat([]byte("x"), 80)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(entry); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendAndSync is what a claim costs that outlives the machine; many share a write.
func BenchmarkAppendAndSync(b *testing.B) {
	l, _ := open(b, journal.Options{Dir: b.TempDir()})
	entry := bytes.Repeat([]byte("x"), 80)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			at, err := l.Append(entry)
			if err == nil {
				err = l.Sync(at)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
