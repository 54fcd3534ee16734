package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/audit"
)

func TestALogWhoseFilesAreTakenAwayIsNotWritten(t *testing.T) {
	whole := func(dir string) string { return dir }
	ring := func(dir string) string { return filepath.Join(dir, "ring") }
	segment := func(dir string) string { return filepath.Join(dir, "events-00000000000000000001.jsonl") }
	for name, which := range map[string]func(string) string{"the folder": whole, "the ring": ring, "the segment": segment} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, now := filepath.Join(t.TempDir(), "log"), newClock()
				l := open(t, dir, now.set)
				fill(t, l, 0, 3)
				settle(t, l)
				if err := os.Rename(which(dir), dir+".away"); err != nil {
					t.Fatal(err)
				}
				now.advance(11 * time.Second)
				if err := l.Flush(); err == nil || !strings.Contains(err.Error(), "taken away") {
					t.Errorf("flush: %v", err)
				}
				if err := l.Begin(event("lost")); err == nil || l.Healthy() == nil {
					t.Error("what nobody could find again was recorded")
				}
				if err := os.Rename(dir+".away", which(dir)); err != nil {
					t.Fatal(err)
				}
				if err := l.Flush(); err != nil {
					t.Errorf("put back: %v", err)
				}
				fill(t, l, 3, 5)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if report := verify(t, dir); report.Fault != nil || report.Lines != 5 || !report.Begun.IsZero() {
					t.Errorf("report %+v", report)
				}
			})
		})
	}
}

func TestAFileOfAnotherInItsPlaceIsNotTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := filepath.Join(t.TempDir(), "log"), newClock()
		l := open(t, dir, now.set)
		fill(t, l, 0, 3)
		settle(t, l)
		if err := os.CopyFS(dir+".copy", os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".copy", dir); err != nil {
			t.Fatal(err)
		}
		now.advance(11 * time.Second)
		if err := l.Flush(); err == nil || l.Healthy() == nil {
			t.Errorf("a copy is taken for the log: %v", err)
		}
	})
}

func TestALogThatIsBegunAnewSaysSo(t *testing.T) {
	for name, known := range map[string]bool{"of an installation that had one": true, "of a new one": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, func(o *audit.Options) { o.Known = known })
			fill(t, l, 0, 1)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir, func(o *audit.Options) { o.Known = true }) // the next start finds it
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			found := search(t, dir, audit.Query{Code: "log_begun_anew"})
			if report := verify(t, dir); report.Begun.IsZero() == known || (len(found) == 1) != known || report.Fault != nil {
				t.Errorf("report %+v, events %+v", report, found)
			}
			if known && found[0].Seq != 1 {
				t.Errorf("it is record %d", found[0].Seq)
			}
		})
	}
}
