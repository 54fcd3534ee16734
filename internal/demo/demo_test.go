package demo

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/store/lock"
)

// fill makes the folder of a demo that came to its end.
func fill(t *testing.T) (folder, file string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "demo")
	file = filepath.Join(folder, "pavise.yaml")
	s := Settings{Folder: folder}
	held, err := s.makeFolder()
	if err == nil {
		err = errors.Join(os.WriteFile(file, []byte("mine"), 0o600), held.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder, file
}

// A second demo leaves the first one's folder alone.
func TestTheFolderOfARunningDemoStays(t *testing.T) {
	folder, file := fill(t)
	held, err := lock.Take(folder)
	if err != nil {
		t.Fatal(err)
	}
	second := Settings{Folder: folder, Listen: "127.0.0.1:0", Out: io.Discard}
	if err := Run(t.Context(), second); !errors.Is(err, lock.ErrLocked) || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "--folder") {
		t.Errorf("the second demo says %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the second demo took the first one's files: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := second.makeFolder()
	if err != nil {
		t.Fatalf("the folder of a demo that ended: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was not emptied: %v", err)
	}
	if _, err := lock.Take(folder); !errors.Is(err, lock.ErrLocked) {
		t.Errorf("the folder is not held while the demo runs: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAPortThatIsTakenCostsNothing(t *testing.T) {
	folder, file := fill(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // of the test alone
	err = Run(t.Context(), Settings{Folder: folder, Listen: l.Addr().String(), Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a demo on a port that is taken says %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("it took the files: %v", err)
	}
}

func TestAFolderOfSomebodyElseStays(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "thesis.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := Settings{Folder: folder}
	if _, err := s.makeFolder(); err == nil {
		t.Error("a demo takes a folder that is none of its own")
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

// Who loads the app's result again, or has begun in another tab since, can begin again.
func TestTheAppOffersToBeginAgain(t *testing.T) {
	v := &visitor{pending: map[string]pending{"mine": {}, "other": {}}}
	for name, c := range map[string]struct{ state, cookie string }{"loaded again": {"used", "used"}, "begun in another tab since": {"other", "mine"}} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/callback?code=c&state="+c.state, http.NoBody)
		r.AddCookie(&http.Cookie{Name: cookieName, Value: c.cookie})
		w := httptest.NewRecorder()
		v.callback(w, r)
		if text := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(text, `<a href="/connect">Begin again</a>`) {
			t.Errorf("%s: %d\n%s", name, w.Code, text)
		}
	}
}
