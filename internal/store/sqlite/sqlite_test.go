package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/sqlite"
	"pavise.dev/pavise/internal/store/storetest"
)

// TestMain is also the children that work against limits.
func TestMain(m *testing.M) {
	if name := os.Getenv("PAVISE_TEST_FULL"); name != "" {
		fill(name)
		os.Exit(0)
	}
	if name := os.Getenv("PAVISE_TEST_READONLY"); name != "" {
		openReadOnly(name)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, name string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw changes the file as another program would.
func raw(t *testing.T, name string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) client.Store { return open(t, filepath.Join(t.TempDir(), "data", "store.db")) })
}

func TestSQLiteGivesBackWhatAnotherProcessWrote(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a folder?#%41", "store.db")
	storetest.Durable(t, func(t *testing.T) client.Store { return open(t, name) })
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	s := open(t, filepath.Join(folder, "store.db"))
	defer func() { _ = s.Close() }()
	if _, err := s.Commit(t.Context(), client.Row{Table: "t", ID: "a", Version: 1}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) < 2 {
		t.Fatalf("%d files, %v; want the store and its log", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, %v", entry.Name(), info.Mode().Perm(), err)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %o, %v", info.Mode().Perm(), err)
	}
}

func TestStoreThatIsNotToBeUsedIsLeftAsItIs(t *testing.T) {
	tests := []struct {
		name    string
		make    func(t *testing.T, name string)
		corrupt bool
		hint    string
	}{
		{"rubbish with SQLite's name on it", func(t *testing.T, name string) {
			write(t, name, []byte("SQLite format 3\x00 and then nothing that makes sense, over and over again, for long enough to be a page"))
		}, true, "backup"},
		{"rubbish", func(t *testing.T, name string) { write(t, name, bytes.Repeat([]byte("rubbish "), 1000)) }, true, "backup"},
		{"pages overwritten", func(t *testing.T, name string) {
			filled(t, name)
			text := read(t, name)
			copy(text[len(text)/2:], bytes.Repeat([]byte{0xa5}, 3*4096))
			write(t, name, text)
		}, true, "backup"},
		{"cut short", func(t *testing.T, name string) {
			filled(t, name)
			text := read(t, name)
			write(t, name, text[:len(text)/2])
		}, true, "backup"},
		{"another program's", func(t *testing.T, name string) {
			raw(t, name, "PRAGMA journal_mode = DELETE", "CREATE TABLE moz_places (id INTEGER)")
		}, false, "another program"},
		{"a newer program's", func(t *testing.T, name string) {
			filled(t, name)
			raw(t, name, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		}, false, "newer"},
		{"open to others", func(t *testing.T, name string) {
			filled(t, name)
			if err := os.Chmod(name, 0o640); err != nil {
				t.Fatal(err)
			}
		}, false, "chmod 600"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "store.db")
			test.make(t, name)
			before := read(t, name)
			_, err := sqlite.Open(t.Context(), name)
			if err == nil || errors.Is(err, client.ErrCorrupt) != test.corrupt {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), test.hint) || !strings.Contains(err.Error(), name) {
				t.Errorf("the error names neither the file nor what to do: %v", err)
			}
			if !bytes.Equal(read(t, name), before) {
				t.Error("the file was changed")
			}
		})
	}
}

func filled(t *testing.T, name string) {
	t.Helper()
	s := open(t, name)
	for i := range 100 {
		if _, err := s.Commit(t.Context(), client.Row{Table: "t", ID: fmt.Sprint(i), Version: 1, Body: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFirstStartThatWasKilledIsTakenUp(t *testing.T) {
	name := filepath.Join(t.TempDir(), "store.db")
	write(t, name, nil)
	if err := open(t, name).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	for _, folder := range []string{file, "/proc/pavise"} {
		if _, err := sqlite.Open(t.Context(), filepath.Join(folder, "store.db")); err == nil || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

func TestFolderThatMayNotBeWritten(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "store.db")
	filled(t, name)
	for path, mode := range map[string]os.FileMode{folder: 0o555, name: 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 { // who may write everywhere: the child becomes somebody else
		if err := os.Chown(name, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := read(t, name)
	said := child(t, "PAVISE_TEST_READONLY="+name)
	if !strings.Contains(said, "may write the file and its folder") || !strings.Contains(said, name) {
		t.Errorf("the error gives no hint: %s", said)
	}
	if !bytes.Equal(read(t, name), before) {
		t.Error("the file was changed")
	}
}

const nobody = 65534

// openReadOnly opens a store in a folder that may not be written.
func openReadOnly(name string) {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			fmt.Println(err)
			return
		}
	}
	_, err := sqlite.Open(context.Background(), name)
	fmt.Println(err)
}

// child runs this test program with one setting and returns what it says.
func child(t *testing.T, setting string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), setting)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestFullDiskIsToldAndLosesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "store.db")
	out := child(t, "PAVISE_TEST_FULL="+name)
	var kept int
	said, rest, _ := strings.Cut(out, "\n")
	if _, err := fmt.Sscanf(said, "kept %d", &kept); err != nil || kept == 0 {
		t.Fatalf("the child said %s", out)
	}
	if !strings.Contains(rest, "full") || !strings.Contains(rest, name) {
		t.Errorf("the error gives no hint: %s", rest)
	}
	s := open(t, name)
	defer func() { _ = s.Close() }()
	rows, latest, err := s.Since(t.Context(), 0)
	if err != nil || len(rows) != kept || latest != int64(kept) {
		t.Errorf("%d rows until %d, %v; %d were acknowledged", len(rows), latest, err, kept)
	}
}

// fill commits until the limit on file sizes is reached.
func fill(name string) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, name)
	for kept := 0; err == nil && kept < 1000; kept++ {
		if _, err = s.Commit(ctx, client.Row{Table: "t", ID: fmt.Sprint(kept), Version: 1, Body: make([]byte, 10_000)}); err != nil {
			fmt.Println("kept", kept)
		}
	}
	fmt.Println(err)
}
