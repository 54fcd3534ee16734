package command_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki/command"
)

func TestCommandSaysHowItWent(t *testing.T) {
	if said, err := command.Run(t.Context(), []string{"sh", "-c", "echo out; echo err >&2"}); err != nil || said != "out\nerr\n" {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := command.Run(t.Context(), []string{"sh", "-c", "echo no; exit 3"}); err == nil || said != "no\n" {
		t.Errorf("%q, %v", said, err)
	}
	for _, words := range [][]string{nil, {"/nowhere/none"}} {
		if _, err := command.Run(t.Context(), words); err == nil {
			t.Errorf("%v ran", words)
		}
	}
}

// A server that is started in the background holds the output for as long as it runs.
func TestChildThatHoldsTheOutputIsNotWaitedFor(t *testing.T) {
	begin := time.Now()
	said, err := command.Run(t.Context(), []string{"sh", "-c", "sleep 60 & echo $!"})
	if took := time.Since(begin); err != nil || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	if pid := strings.TrimSpace(said); pid == "" || !isThere(pid) {
		t.Errorf("what it started (%q) is gone", pid)
	} else if _, err := command.Run(t.Context(), []string{"kill", pid}); err != nil {
		t.Error(err)
	}
}

func isThere(pid string) bool {
	_, err := os.Stat(filepath.Join("/proc", pid))
	return err == nil
}

func TestCommandEndsWithItsTimeAndWhatItStartedToo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := command.Run(ctx, []string{"sh", "-c", "sleep 60 & echo $! > " + file + "; wait"})
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); isRunning(strings.TrimSpace(string(pid))); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("what it started goes on")
		}
	}
}

// isRunning reports whether a process is there, and no zombie that nobody has reaped.
func isRunning(pid string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	_, after, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

func TestOutputIsBounded(t *testing.T) {
	said, err := command.Run(t.Context(), []string{"sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' a"})
	if err != nil || len(said) != 4096 {
		t.Errorf("%d bytes, %v", len(said), err)
	}
}
