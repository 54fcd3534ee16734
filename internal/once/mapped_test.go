//go:build unix

package once_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/once"
	"pavise.dev/pavise/internal/once/oncetest"
	"pavise.dev/pavise/shield"
)

func mapped(t testing.TB, o once.Options) *once.Mapped {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "once")
	}
	m, err := once.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, m) })
	return m
}

func closed(t testing.TB, m *once.Mapped) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// reopening is a file that is opened several times in one test.
type reopening struct {
	*oncetest.Clock
	once.Options
	warnings []string
}

func newReopening(t testing.TB) *reopening {
	r := &reopening{Clock: oncetest.NewClock()}
	r.Options = once.Options{
		Path: filepath.Join(t.TempDir(), "once"), Capacity: 1000, Now: r.Clock.Now, First: true,
		Warn: func(err error) { r.warnings = append(r.warnings, err.Error()) },
	}
	return r
}

func (r *reopening) open(t testing.TB) *once.Mapped {
	t.Helper()
	r.warnings = nil
	return mapped(t, r.Options)
}

func (r *reopening) warned(t testing.TB, text string) {
	t.Helper()
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], text) || !strings.Contains(r.warnings[0], "refused as stale") {
		t.Errorf("warnings %q, want one about %q", r.warnings, text)
	}
}

func consume(s once.Store, claims ...shield.Once) error {
	return s.Consume(context.Background(), claims)
}

func mustConsume(t testing.TB, s once.Store, claims ...shield.Once) {
	t.Helper()
	if err := consume(s, claims...); err != nil {
		t.Fatalf("a good claim: %v", err)
	}
}

func TestAClosedFileRemembers(t *testing.T) {
	r := newReopening(t)
	m := r.open(t)
	claim := oncetest.Claim(r.Clock, "a")
	mustConsume(t, m, claim)
	closed(t, m)
	if err := consume(m, oncetest.Claim(r.Clock, "b")); !errors.Is(err, once.ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
	if _, err := m.Live(); !errors.Is(err, once.ErrClosed) {
		t.Fatalf("count after close: %v", err)
	}
	r.First = false // an existing file is not made anew, so it does not matter
	m = r.open(t)
	oncetest.WantUsed(t, consume(m, claim))
	mustConsume(t, m, oncetest.Claim(r.Clock, "b")) // made at the moment of the restart: no cold start
	if len(r.warnings) != 0 {
		t.Errorf("warnings %q", r.warnings)
	}
	if n, err := m.Live(); n != 2 || err != nil {
		t.Errorf("%d claims are live, %v", n, err)
	}
}

func TestAMissingFileIsAColdStart(t *testing.T) {
	r := newReopening(t)
	r.First = false
	m := r.open(t)
	r.warned(t, "no file")
	oncetest.WantCold(t, consume(m, oncetest.Claim(r.Clock, "a")))
	closed(t, m)
	r.Add(time.Second)
	m = r.open(t) // the cold start lasts over a restart
	oncetest.WantCold(t, consume(m, oncetest.Claim(r.Clock, "a")))
	r.Add(once.DefaultSkew)
	mustConsume(t, m, oncetest.Claim(r.Clock, "a"))
}

func TestADamagedFileIsAColdStart(t *testing.T) {
	for name, damage := range map[string]func(t testing.TB, path string){
		"empty":               truncate(0),
		"half a header":       truncate(60),
		"one page":            truncate(4096),
		"cut tail":            func(t testing.TB, path string) { truncate(size(t, path)-32)(t, path) },
		"longer":              func(t testing.TB, path string) { truncate(size(t, path)+4096)(t, path) },
		"magic":               flip(0),
		"version":             flip(8),
		"stripes":             flip(16),
		"buckets":             flip(24),
		"key":                 flip(40),
		"created":             flip(64),
		"reserved":            flip(11 * 8),
		"checksum":            flip(15 * 8),
		"cold":                flip(16 * 8),
		"check of cold":       flip(17 * 8),
		"state":               flip(19 * 8),
		"text":                func(t testing.TB, path string) { write(t, path, []byte(strings.Repeat("hello\n", 10000))) },
		"end of slot":         flipSlot(0),
		"fingerprint of slot": flipSlot(16 * 8),
		"its second half":     flipSlot(2 * 16 * 8),
		"check of slot":       flipSlot(3 * 16 * 8),
	} {
		t.Run(name, func(t *testing.T) {
			r := newReopening(t)
			m := r.open(t)
			claim := oncetest.Claim(r.Clock, "a")
			mustConsume(t, m, claim)
			closed(t, m)
			damage(t, r.Path)
			m = r.open(t)
			r.warned(t, "damaged")
			oncetest.WantCold(t, consume(m, claim))
			if _, err := os.Stat(r.Path + ".damaged"); err != nil {
				t.Errorf("the damaged file was not kept: %v", err)
			}
			r.Add(once.DefaultSkew)
			mustConsume(t, m, oncetest.Claim(r.Clock, "b"))
			closed(t, m)
			m = r.open(t)
			oncetest.WantUsed(t, consume(m, oncetest.Claim(r.Clock, "b")))
			if len(r.warnings) != 0 {
				t.Errorf("the new file is damaged, too: %q", r.warnings)
			}
		})
	}
}

func truncate(size int64) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// change changes the file in place, as a fault of the disk does.
func change(t testing.TB, path string, f func([]byte)) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f(content)
	write(t, path, content)
}

func flip(at int) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		change(t, path, func(b []byte) { b[at] ^= 0x10 })
	}
}

// flipSlot damages the only slot that holds something, at an offset within it.
func flipSlot(at int) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		change(t, path, func(b []byte) {
			for bucket := 8192; bucket < len(b); bucket += 512 {
				for slot := bucket; slot < bucket+128; slot += 8 {
					if b[slot+6]|b[slot+7] != 0 { // an end, in either order of bytes
						b[slot+at+1] ^= 0x10
						return
					}
				}
			}
			t.Fatal("no slot holds anything")
		})
	}
}

// Row 167: a file out of a backup does not know what was used since.
func TestARestoredCopyIsAColdStart(t *testing.T) {
	r := newReopening(t)
	m := r.open(t)
	closed(t, m)
	backup, err := os.ReadFile(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	m = r.open(t)
	claim := oncetest.Claim(r.Clock, "a")
	mustConsume(t, m, claim)
	closed(t, m)
	write(t, r.Path+".restored", backup)
	if err := os.Rename(r.Path+".restored", r.Path); err != nil {
		t.Fatal(err)
	}
	m = r.open(t)
	r.warned(t, "copy")
	oncetest.WantCold(t, consume(m, claim))
	r.Add(once.DefaultSkew)
	mustConsume(t, m, oncetest.Claim(r.Clock, "b"))
}

func TestAMachineThatStoppedIsAColdStart(t *testing.T) {
	r := newReopening(t)
	m := r.open(t)
	claim := oncetest.Claim(r.Clock, "a")
	mustConsume(t, m, claim)
	content, err := os.ReadFile(r.Path) // while it is open
	if err != nil {
		t.Fatal(err)
	}
	closed(t, m)
	content[18*8] ^= 1 // another run of the machine
	write(t, r.Path, content)
	m = r.open(t)
	r.warned(t, "machine stopped")
	oncetest.WantCold(t, consume(m, oncetest.Claim(r.Clock, "b")))
	r.Add(once.DefaultSkew)
	oncetest.WantCold(t, consume(m, claim)) // made before
	mustConsume(t, m, oncetest.Claim(r.Clock, "b"))

	closed(t, m)
	change(t, r.Path, func(b []byte) { b[18*8] ^= 1 }) // closed in order, then another run
	m = r.open(t)
	oncetest.WantUsed(t, consume(m, oncetest.Claim(r.Clock, "b")))
	if len(r.warnings) != 0 {
		t.Errorf("warnings %q", r.warnings)
	}
}

func TestCapacityCanBeChanged(t *testing.T) {
	r := newReopening(t)
	m := r.open(t)
	for i := range 900 {
		mustConsume(t, m, oncetest.Claim(r.Clock, fmt.Sprint(i)))
	}
	closed(t, m)
	for _, capacity := range []int{50000, 2000} {
		r.Capacity = capacity
		m = r.open(t)
		for i := range 900 {
			oncetest.WantUsed(t, consume(m, oncetest.Claim(r.Clock, fmt.Sprint(i))))
		}
		closed(t, m)
	}
	r.Capacity = 100
	if _, err := once.Open(r.Options); !errors.Is(err, once.ErrFull) {
		t.Fatalf("900 claims in a file for 100: %v", err)
	}
	r.Capacity = 2000
	m = r.open(t)
	oncetest.WantUsed(t, consume(m, oncetest.Claim(r.Clock, "0")))
	closed(t, m)
	r.Add(time.Minute)
	r.Capacity = 100
	m = r.open(t)
	if n, err := m.Live(); n != 0 || err != nil {
		t.Errorf("%d claims are live, %v", n, err)
	}
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	r := newReopening(t)
	r.open(t)
	if _, err := once.Open(r.Options); err == nil || !strings.Contains(err.Error(), "hint: another process") {
		t.Fatalf("opened twice: %v", err)
	}
}

func TestAFolderThatIsMissingIsAnError(t *testing.T) {
	r := newReopening(t)
	r.Path = filepath.Join(r.Path, "missing", "once")
	if _, err := once.Open(r.Options); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAFileThatIsCutWhileOpenRefuses(t *testing.T) {
	r := newReopening(t)
	m := r.open(t)
	mustConsume(t, m, oncetest.Claim(r.Clock, "a"))
	whole := size(t, r.Path)
	truncate(0)(t, r.Path)
	_, refusal := errors.AsType[*shield.Refusal](consume(m, oncetest.Claim(r.Clock, "b")))
	if err := consume(m, oncetest.Claim(r.Clock, "b")); err == nil || refusal {
		t.Fatalf("%v, want an error that is no refusal", err)
	}
	truncate(whole)(t, r.Path) // so that it can be closed
}

func TestFilesArePrivate(t *testing.T) {
	r := newReopening(t)
	r.open(t)
	for _, path := range []string{r.Path, r.Path + ".lock"} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestCloseWhileInUse(t *testing.T) {
	r := newReopening(t)
	r.Capacity = 100000
	m := r.open(t)
	var passed atomic.Int64
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := 0; ; i++ {
				err := consume(m, oncetest.Claim(r.Clock, fmt.Sprint(g, "-", i)))
				if errors.Is(err, once.ErrClosed) || errors.Is(err, once.ErrFull) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if passed.Add(1) == 2000 {
					wait.Go(func() { closed(t, m) })
				}
			}
		})
	}
	wait.Wait()
	m = r.open(t)
	if n, err := m.Live(); err != nil || int64(n) != passed.Load() {
		t.Errorf("%d claims are live, %v, want %d", n, err, passed.Load())
	}
}

// TestNothingUsedIsForgottenByKill9 kills a process that consumes claims, at random
// moments: what it acknowledged stays used, and the file is never damaged.
func TestNothingUsedIsForgottenByKill9(t *testing.T) {
	attacktest.Rows(t, 86)
	if path := os.Getenv("ONCE_TEST_VICTIM"); path != "" {
		victim(path, os.Getenv("ONCE_TEST_ROUND"))
		return
	}
	path := filepath.Join(t.TempDir(), "once")
	var acknowledged []string
	rounds := 25
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		acknowledged = append(acknowledged, killed(t, path, round)...)
		m := mapped(t, victimOptions(path, t))
		for _, name := range acknowledged {
			if err := consume(m, victimClaim(name)); !errors.Is(err, once.ErrUsed) {
				t.Fatalf("round %d: the claim %s was acknowledged before the kill, and then: %v", round, name, err)
			}
		}
		closed(t, m)
	}
	if len(acknowledged) < 40*rounds {
		t.Errorf("only %d claims were acknowledged: the test does not test", len(acknowledged))
	}
}

func victimOptions(path string, t testing.TB) once.Options {
	return once.Options{Path: path, Capacity: 1 << 18, First: true, Warn: func(err error) {
		if t == nil {
			fmt.Println("warning", err)
			return
		}
		t.Errorf("warning: %v", err)
	}}
}

func victimClaim(name string) shield.Once {
	claim := oncetest.Claim(oncetest.NewClock(), name)
	claim.Made, claim.Until = time.Now(), time.Now().Add(time.Hour)
	return claim
}

// victim consumes claims from four goroutines and says so, until it is killed.
func victim(path, round string) {
	m, err := once.Open(victimOptions(path, nil))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("open")
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 20000 {
				name := fmt.Sprintf("%s-%d-%d", round, g, i)
				if err := consume(m, victimClaim(name), victimClaim(name+"x")); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Printf("used %s\nused %sx\n", name, name)
			}
		})
	}
	wait.Wait()
}

// killed runs a victim, kills it after a random number of lines, and returns the
// claims that it acknowledged.
func killed(t *testing.T, path string, round int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingUsedIsForgottenByKill9$")
	cmd.Env = append(os.Environ(), "ONCE_TEST_VICTIM="+path, fmt.Sprintf("ONCE_TEST_ROUND=%d", round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	after := rand.IntN(400)
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a line without an end was not said
		}
		if err != nil {
			t.Fatal(err)
		}
		switch word, name, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "used":
			names = append(names, name)
		case "error", "warning":
			t.Fatalf("the victim says: %s", line)
		}
	}
	_ = cmd.Wait() // it was killed
	return names
}

// BenchmarkConsume is one claim after another, a minute for half a tableful. The
// larger the table, the likelier is a miss of every cache, which is most of the
// time there.
func BenchmarkConsume(b *testing.B) {
	for _, capacity := range []int{1 << 13, 1 << 17, once.DefaultCapacity} {
		b.Run(fmt.Sprint("capacity ", capacity), func(b *testing.B) { benchmarkConsume(b, capacity) })
	}
}

func benchmarkConsume(b *testing.B, capacity int) {
	clock := oncetest.NewClock()
	m := mapped(b, once.Options{First: true, Now: clock.Now, Capacity: capacity})
	claims := []shield.Once{oncetest.Claim(clock, "bench")}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		number(&claims[0], i)
		if err := m.Consume(context.Background(), claims); err != nil {
			b.Fatal(err)
		}
		if i%uint64(capacity/2) == 0 {
			clock.Add(time.Minute)
			claims[0].Made, claims[0].Until = clock.Now(), clock.Now().Add(time.Minute)
		}
	}
}

// BenchmarkConsumeFresh is the real clock, and a new page of the file now and then.
func BenchmarkConsumeFresh(b *testing.B) {
	m := mapped(b, once.Options{First: true, Capacity: 1 << 23})
	claims := []shield.Once{victimClaim("bench")}
	claims[0].Until = claims[0].Made.Add(20 * time.Hour)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		number(&claims[0], i)
		if err := m.Consume(context.Background(), claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConsumeParallel(b *testing.B) {
	m := mapped(b, once.Options{First: true, Capacity: 1 << 23})
	var goroutine atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		claims := []shield.Once{victimClaim(fmt.Sprint(goroutine.Add(1)))}
		for i := uint64(0); pb.Next(); i++ {
			number(&claims[0], i)
			if err := m.Consume(context.Background(), claims); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func number(claim *shield.Once, n uint64) {
	binary.LittleEndian.PutUint64(claim.Digest[:8], n)
}

// TestAClockThatWasPutBackWhileNothingRanIsSeen: what was used while it was ahead is known after any
// number of starts, and in a file of another size.
func TestAClockThatWasPutBackWhileNothingRanIsSeen(t *testing.T) {
	c := oncetest.NewClock()
	var warned []string
	o := once.Options{
		Path: filepath.Join(t.TempDir(), "once"), Capacity: 100, Now: c.Now, First: true,
		Warn: func(err error) { warned = append(warned, err.Error()) },
	}
	start := func() *once.Mapped {
		t.Helper()
		s, err := once.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	end := func(s *once.Mapped) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := start()
	before := oncetest.Claim(c, "before")
	if err := consume(s, before); err != nil {
		t.Fatal(err)
	}
	c.Add(5 * time.Hour)
	ahead := oncetest.Claim(c, "ahead")
	if err := consume(s, ahead); err != nil {
		t.Fatal(err)
	}
	end(s)
	c.Add(-5 * time.Hour)
	s = start()
	if len(warned) != 1 || !strings.Contains(warned[0], "set back") {
		t.Errorf("warned %q", warned)
	}
	oncetest.WantCold(t, consume(s, before))
	c.Add(time.Minute + time.Second)
	if err := consume(s, oncetest.Claim(c, "after")); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	end(s)
	o.Capacity = 10_000
	s = start()
	c.Add(5*time.Hour - time.Minute - time.Second)
	if err := consume(s, ahead); err == nil {
		t.Error("what was used while the clock was ahead passed again")
	}
	c.Add(2 * time.Minute)
	if err := consume(s, oncetest.Claim(c, "end")); err != nil {
		t.Errorf("when all is over: %v", err)
	}
	end(s)
}
