package quota_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/quota"
	"pavise.dev/pavise/limit"
)

// hand is a clock that tests move.
type hand struct{ at atomic.Int64 }

func at(t time.Time) *hand {
	h := &hand{}
	h.at.Store(t.UnixNano())
	return h
}

func (h *hand) now() time.Time       { return time.Unix(0, h.at.Load()) }
func (h *hand) move(d time.Duration) { h.at.Add(int64(d)) }

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, o quota.Options) *quota.File {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "quotas")
	}
	if o.Warn == nil {
		o.Warn = func(err error) { t.Errorf("warned: %v", err) }
	}
	f, err := quota.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // the test may have closed it
	return f
}

func take(t testing.TB, f limit.Quotas, key string, q limit.Quota) limit.State {
	t.Helper()
	s, err := f.Take(key, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func perDay(n int) limit.Quota {
	return limit.Quota{Name: "q", Count: n, Period: limit.Day, Per: limit.PerClient}
}

func TestWhatIsUsedStaysSoAfterARestart(t *testing.T) {
	h := at(noon)
	o := quota.Options{Path: filepath.Join(t.TempDir(), "quotas"), Now: h.now}
	f := open(t, o)
	for range 3 {
		take(t, f, "a", perDay(5))
	}
	month := limit.Quota{Name: "m", Count: 10, Period: limit.Month, Per: limit.PerClient}
	take(t, f, "m", month)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Take("a", perDay(5), 1); !errors.Is(err, quota.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	f = open(t, o)
	if s := take(t, f, "a", perDay(5)); !s.Allowed || s.Remaining != 1 || s.Reset != 12*time.Hour {
		t.Errorf("after the restart: %+v", s)
	}
	take(t, f, "a", perDay(5))
	if s := take(t, f, "a", perDay(5)); s.Allowed || s.Retry != 12*time.Hour {
		t.Errorf("the sixth: %+v", s)
	}
	uses, err := f.List()
	if err != nil || len(uses) != 2 {
		t.Fatalf("%v, %v", uses, err)
	}
	h.move(12 * time.Hour) // the first of December: day and month are new
	if s := take(t, f, "a", perDay(5)); s.Remaining != 4 {
		t.Errorf("on the next day: %+v", s)
	}
	if s := take(t, f, "m", month); s.Remaining != 9 || s.Reset != 31*24*time.Hour {
		t.Errorf("in the next month: %+v", s)
	}
}

func TestFiftyAtTheLastUse(t *testing.T) {
	attacktest.Rows(t, 127)
	f := open(t, quota.Options{Now: at(noon).now})
	for range 9 {
		take(t, f, "shop", perDay(10))
	}
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if s, err := f.Take("shop", perDay(10), 1); err == nil && s.Allowed {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d passed at the last use, want 1", passed.Load())
	}
}

func TestManyKeysGrowTheFileAndNoFurther(t *testing.T) {
	h := at(noon)
	o := quota.Options{Path: filepath.Join(t.TempDir(), "quotas"), Now: h.now, MaxKeys: 8192}
	f := open(t, o)
	for i := range 8192 {
		take(t, f, fmt.Sprint("client ", i), perDay(5))
	}
	if _, err := f.Take("one more", perDay(5), 1); !errors.Is(err, limit.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if s := take(t, f, "client 7", perDay(5)); s.Remaining != 3 {
		t.Errorf("who is counted already: %+v", s)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.Path); err != nil || info.Size() != 64<<10+2<<20 {
		t.Errorf("the file: %v, %v", info.Size(), err)
	}
	f = open(t, o)
	h.move(48 * time.Hour)
	for i := range 8192 { // those of two days ago give their places back
		take(t, f, fmt.Sprint("other ", i), perDay(5))
	}
	if uses, err := f.List(); err != nil || len(uses) != 8192 {
		t.Errorf("%d uses, %v", len(uses), err)
	}
}

func TestLongKeysStayApart(t *testing.T) {
	o := quota.Options{Path: filepath.Join(t.TempDir(), "quotas"), Now: at(noon).now}
	f := open(t, o)
	long := strings.Repeat("x", 500)
	take(t, f, long+"a", perDay(2))
	take(t, f, long+"a", perDay(2))
	if s := take(t, f, long+"b", perDay(2)); !s.Allowed {
		t.Error("another long key has its quota used up")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if s := take(t, open(t, o), long+"a", perDay(2)); s.Allowed {
		t.Error("a long key begins anew after a restart")
	}
}

func TestResetAndReturn(t *testing.T) {
	f := open(t, quota.Options{Now: at(noon).now})
	take(t, f, "a", perDay(1))
	f.Return("a", perDay(1), 1)
	if s := take(t, f, "a", perDay(1)); !s.Allowed {
		t.Error("what was given back is not there")
	}
	if n, err := f.Reset(func(key string) bool { return key == "b" }); n != 0 || err != nil {
		t.Errorf("reset of nobody: %d, %v", n, err)
	}
	if n, err := f.Reset(func(key string) bool { return key == "a" }); n != 1 || err != nil {
		t.Errorf("reset: %d, %v", n, err)
	}
	if s := take(t, f, "a", perDay(1)); !s.Allowed {
		t.Error("after the reset nothing is left")
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quotas")
	o := quota.Options{Path: path, Now: at(noon).now}
	f := open(t, o)
	take(t, f, "a", perDay(5))
	take(t, f, "b", perDay(5))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"one key":           func(b []byte) []byte { b[64<<10+24] ^= 1; return b },
		"a broken growth":   func(b []byte) []byte { return append(b, make([]byte, 5000)...) },
		"another beginning": func(b []byte) []byte { b[3] ^= 1; return b },
		"nothing":           func([]byte) []byte { return nil },
	} {
		if err := os.WriteFile(path, damage(append([]byte(nil), text...)), 0o600); err != nil {
			t.Fatal(err)
		}
		var told []error
		o.Warn = func(err error) { told = append(told, err) }
		f := open(t, o)
		uses, err := f.List()
		want := map[string]int{"one key": 1, "a broken growth": 2}[name]
		if err != nil || len(uses) != want {
			t.Errorf("%s: %v, %v; want %d keys", name, uses, err, want)
		}
		if (len(told) > 0) != (name != "a broken growth") {
			t.Errorf("%s: told %v", name, told)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

// A process that is killed while it counts has lost nothing of what it answered.
func TestKillLosesNothing(t *testing.T) {
	if path := os.Getenv("QUOTA_VICTIM"); path != "" {
		f, err := quota.Open(quota.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; ; i++ {
			if s, err := f.Take("shop", limit.Quota{Name: "q", Count: limit.MaxCount, Period: limit.Month, Per: limit.PerClient}, 1); err != nil || !s.Allowed {
				t.Fatal(s, err)
			}
			fmt.Println("took", i)
		}
	}
	path := filepath.Join(t.TempDir(), "quotas")
	victim := exec.Command(os.Args[0], "-test.run=^TestKillLosesNothing$")
	victim.Env = append(os.Environ(), "QUOTA_VICTIM="+path)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	answered := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "took "); ok {
			answered, _ = strconv.Atoi(text)
		}
		if answered == 2000 {
			_ = victim.Process.Kill() // what it wrote before is still read
		}
	}
	_ = victim.Wait() // it was killed
	uses, err := open(t, quota.Options{Path: path}).List()
	if err != nil || answered < 2000 || len(uses) != 1 || uses[0].Used < answered {
		t.Errorf("%d were answered, the file says %v, %v", answered, uses, err)
	}
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	kept, err := quota.Open(quota.Options{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := kept.Take("a", perDay(5), 1); err != nil {
		f.Fatal(err)
	}
	if err := kept.Close(); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text[64<<10 : 64<<10+512])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, slots []byte) {
		if len(slots) > 1<<20 {
			return
		}
		path := filepath.Join(t.TempDir(), "quotas")
		file := append(append(append([]byte(nil), text[:64<<10]...), slots...), make([]byte, 1<<20-len(slots))...)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		kept, err := quota.Open(quota.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kept.List(); err != nil {
			t.Error(err)
		}
		if _, err := kept.Take("b", perDay(5), 1); err != nil {
			t.Error(err)
		}
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	f := open(b, quota.Options{})
	q := limit.Quota{Name: "q", Count: limit.MaxCount, Period: limit.Month, Per: limit.PerClient}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("orders\x00orders-client-month\x00month\x00client\x00", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := f.Take(keys[i%len(keys)], q, 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	f := open(b, quota.Options{})
	q := limit.Quota{Name: "q", Count: limit.MaxCount, Period: limit.Month, Per: limit.PerClient}
	b.ReportAllocs()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprint("client ", n.Add(1))
		for pb.Next() {
			if _, err := f.Take(key, q, 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
