package lock_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/store/lock"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv("PAVISE_TEST_LOCK"); folder != "" {
		_, err := lock.Take(folder)
		fmt.Println(errors.Is(err, lock.ErrLocked), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func other(t *testing.T, folder string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), "PAVISE_TEST_LOCK="+folder)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestSecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	held, err := lock.Take(folder)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v; want mode 700", info, err)
	}
	if said := other(t, folder); !strings.HasPrefix(said, "true") || !strings.Contains(said, fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("the other process: %s", said)
	}
	if _, err := lock.Take(folder); !errors.Is(err, lock.ErrLocked) {
		t.Errorf("twice in one process: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if said := other(t, folder); !strings.HasPrefix(said, "false <nil>") {
		t.Errorf("after it was given free: %s", said)
	}
	// That process ended without Close: its lock ended with it.
	again, err := lock.Take(folder)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Take(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("error %v", err)
	}
}
