package once_test

import (
	"errors"
	"os"
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
			c.Add(once.DefaultSkew + time.Second)
			if err := s.Consume(t.Context(), []shield.Once{oncetest.Claim(c, name)}); err != nil {
				t.Errorf("made after the start: %v", err)
			}
		})
	}
}
