package app

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// naming lists the files of an installation, but for the log and the store, that hold a name.
func naming(t *testing.T, folder, name string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(path, filepath.Join(folder, "log")) || strings.Contains(path, "store.db") {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(name)) {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestWhoIsErasedIsNamedNowhereElse: neither while it runs nor while nothing does.
func TestWhoIsErasedIsNamedNowhereElse(t *testing.T) {
	const ann, bob = "ann-marie-77", "bob-walter-78"
	for name, running := range map[string]bool{"running": true, "resting": false} {
		t.Run(name, func(t *testing.T) {
			address, got := receiver(t)
			dir := t.TempDir()
			a := guarded(t, dir, "alerts: {group: 0s, rules: {own: {when: {class: request}, per: user, more_than: 1, within: 1h, means: much}}, "+
				"notify: {hook: {webhook: {url: "+address+"}}}}\n")
			for _, user := range []string{ann, bob} {
				for range 3 {
					a.record(&audit.Event{
						Class: audit.Request, Decision: audit.Accepted, User: user, Issuer: "corp", Subject: user, Client: "shop", CredentialID: "k", Shield: "jwt", Proved: true, Status: 200,
					})
				}
				if _, err := a.alerts.silences.Add(alert.Silence{Detection: "first_use", Subject: "user " + user, Until: time.Now().Add(time.Hour), Reason: "moves"}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.alerts.silences.Add(alert.Silence{Detection: "guessing", Until: time.Now().Add(time.Hour), Reason: "asked for by " + ann}); err != nil {
				t.Fatal(err)
			}
			for told := 0; told < 2; {
				told += len((<-got).Began)
			}
			folder, file := a.installed.State.Folder, a.installed
			e := &audit.Erasure{User: ann, Reason: "request 7"}
			var erased int
			var err error
			if running {
				erased, err = a.alerts.erase(e)
				shut(t, a)
			} else {
				shut(t, a)
				if len(naming(t, folder, ann)) < 3 {
					t.Fatalf("before: %v", naming(t, folder, ann))
				}
				erased, err = eraseResting(file, time.Now, e)
			}
			if err != nil || erased != 4 {
				t.Errorf("erased %d, %v; want two silences, what is open, and what was told", erased, err)
			}
			if found := naming(t, folder, ann); len(found) > 0 {
				t.Errorf("is still named in %v", found)
			}
			if found := naming(t, folder, bob); len(found) != 3 {
				t.Errorf("somebody else is named only in %v", found)
			}
		})
	}
}
