package once_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/once"
	"pavise.dev/pavise/internal/once/oncetest"
	"pavise.dev/pavise/shield"
)

func TestMemoryKeepsThePromises(t *testing.T) {
	oncetest.Run(t, func(t *testing.T, c *oncetest.Clock, capacity int) once.Store {
		s, err := once.NewMemory(once.Options{Capacity: capacity, Now: c.Now, First: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestMappedKeepsThePromises(t *testing.T) {
	oncetest.Run(t, func(t *testing.T, c *oncetest.Clock, capacity int) once.Store {
		return open(t, filepath.Join(t.TempDir(), "once"), c, capacity, true)
	})
}

func open(t testing.TB, path string, c *oncetest.Clock, capacity int, first bool) *once.Mapped {
	t.Helper()
	s, err := once.Open(once.Options{Path: path, Capacity: capacity, Now: c.Now, First: first})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestMappedRemembersAfterARestart(t *testing.T) {
	attacktest.Rows(t, 86)
	c, path := oncetest.NewClock(), filepath.Join(t.TempDir(), "once")
	s := open(t, path, c, 64, true)
	claim := oncetest.Claim(c, "a")
	if err := s.Consume(t.Context(), []shield.Once{claim}); err != nil {
		t.Fatal(err)
	}
	if _, err := once.Open(once.Options{Path: path, Capacity: 64, Now: c.Now}); err == nil {
		t.Error("a second process opened the file")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, c, 64, false)
	if err := s.Consume(t.Context(), []shield.Once{claim}); !errors.Is(err, once.ErrUsed) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestColdStartRefusesWhatWasMadeBeforeIt(t *testing.T) {
	c := oncetest.NewClock()
	before := oncetest.Claim(c, "a")
	c.Add(10 * time.Second)
	for name, prepare := range map[string]func(path string) error{
		"a missing file": func(string) error { return nil },
		"a damaged file": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("garbage", 2000)), 0o600)
		},
		"an empty file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "once")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, c, 64, false)
			err := s.Consume(t.Context(), []shield.Once{before})
			refusal, ok := errors.AsType[*shield.Refusal](err)
			if !errors.Is(err, once.ErrCold) || !ok || refusal.Code != shield.StaleRequest {
				t.Errorf("from before the start: %v", err)
			}
			c.Add(10 * time.Second)
			if err := s.Consume(t.Context(), []shield.Once{oncetest.Claim(c, name)}); err != nil {
				t.Errorf("made after the start: %v", err)
			}
		})
	}
}

// TestNothingUsedIsForgottenByKill9 kills a process that consumes claims, at
// different moments, and tries every acknowledged claim again.
func TestNothingUsedIsForgottenByKill9(t *testing.T) {
	attacktest.Rows(t, 86)
	if path := os.Getenv("ONCE_CHILD"); path != "" {
		child(path)
		return
	}
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	path := filepath.Join(t.TempDir(), "once")
	c := oncetest.NewClock()
	if err := open(t, path, c, 1<<16, true).Close(); err != nil {
		t.Fatal(err)
	}
	var used []string
	for round := range rounds {
		used = append(used, killed(t, path, round)...)
	}
	s := open(t, path, c, 1<<16, false)
	for _, name := range used {
		if err := s.Consume(t.Context(), []shield.Once{oncetest.Claim(c, name)}); !errors.Is(err, once.ErrUsed) {
			t.Fatalf("claim %s was acknowledged before a kill and passes again: %v", name, err)
		}
	}
	t.Logf("%d claims over %d kills", len(used), rounds)
}

func child(path string) {
	c := oncetest.NewClock()
	s, err := once.Open(once.Options{Path: path, Capacity: 1 << 16, Now: c.Now})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if err := s.Consume(context.Background(), []shield.Once{oncetest.Claim(c, name)}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("ok", name)
	}
}

func killed(t *testing.T, path string, round int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestNothingUsedIsForgottenByKill9$")
	cmd.Env = append(os.Environ(), "ONCE_CHILD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var used []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "ok ")
		if !ok {
			t.Fatalf("child: %s", lines.Text())
		}
		used = append(used, name)
		if len(used) == 20+round*131%900 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	return used
}

func BenchmarkConsume(b *testing.B) {
	s, err := once.Open(once.Options{Path: filepath.Join(b.TempDir(), "once"), Now: time.Now, First: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	claim := shield.Once{Space: "k", Made: time.Now(), Until: time.Now().Add(2 * time.Second)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		claim.Digest[0], claim.Digest[1], claim.Digest[2], claim.Digest[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		if err := s.Consume(b.Context(), []shield.Once{claim}); err != nil && !errors.Is(err, once.ErrFull) && !errors.Is(err, once.ErrUsed) {
			b.Fatal(err)
		}
	}
}
