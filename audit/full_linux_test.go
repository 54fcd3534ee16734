package audit_test

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pavise.dev/pavise/audit"
)

// fullDisk makes every file of this process one that cannot grow: what a full disk
// is for a log. room is how long files may be, in bytes.
func fullDisk(t *testing.T, room uint64) (restore func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(size uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
	}
	set(room)
	restore = sync.OnceFunc(func() { set(limit.Cur) })
	t.Cleanup(restore)
	return restore
}

// inChild runs the test in a process of its own, because the limit would also hit
// what the test's own machinery writes.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv("AUDIT_FULL_DISK") != "" {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "AUDIT_FULL_DISK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return true
}

func foundOnce(t *testing.T, dir string, ids ...string) {
	t.Helper()
	if report := verify(t, dir); report.Fault != nil {
		t.Errorf("fault %v", report.Fault)
	}
	for _, id := range ids {
		if found := search(t, dir, audit.Query{ID: id}); len(found) != 1 {
			t.Errorf("event %s is in the log %d times", id, len(found))
		}
	}
}

func TestFullDiskRefusesUntilThereIsRoom(t *testing.T) {
	if inChild(t) {
		return
	}
	dir := t.TempDir()
	var warnings []string
	l := open(t, dir, func(o *audit.Options) { o.Warn = func(err error) { warnings = append(warnings, err.Error()) } })
	record(t, l, event("before"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	under := event("under way")
	if err := l.Begin(under); err != nil {
		t.Fatal(err)
	}
	restore := fullDisk(t, 0)
	record(t, l, event("held")) // is safe in the ring
	if err := l.Flush(); err == nil || l.Healthy() == nil {
		t.Fatal("a log that cannot be written is healthy")
	}
	if err := l.Begin(event("refused")); err == nil || !strings.Contains(err.Error(), "cannot be written") || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Begin while the log cannot be written: %v", err)
	}
	l.Complete(under) // what was begun can be completed
	if err := l.Flush(); err == nil {
		t.Fatal("written on a full disk")
	}
	restore()
	if err := l.Flush(); err != nil || l.Healthy() != nil {
		t.Fatalf("after the disk had room again: %v", err)
	}
	record(t, l, event("after"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], "cannot be written") || !strings.Contains(warnings[1], "again") {
		t.Errorf("warnings %q", warnings)
	}
	foundOnce(t, dir, "before", "held", "under way", "after")
	if found := search(t, dir, audit.Query{ID: "refused"}); len(found) != 0 {
		t.Error("what was refused is in the log")
	}
}

func TestEventsHeldOnAFullDiskAreWrittenByTheNextStart(t *testing.T) {
	if inChild(t) {
		return
	}
	dir := t.TempDir()
	l := open(t, dir, nil)
	under := event("under way")
	if err := l.Begin(under); err != nil {
		t.Fatal(err)
	}
	restore := fullDisk(t, 0)
	record(t, l, event("held"))
	if err := l.Close(); err == nil {
		t.Error("closed as if it had been written")
	}
	if _, err := audit.Open(options(dir)); err == nil {
		t.Error("opened on a full disk")
	}
	restore()
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	foundOnce(t, dir, "held", "under way")
}

func TestNoRoomForARing(t *testing.T) {
	if inChild(t) {
		return
	}
	dir := t.TempDir()
	restore := fullDisk(t, 0)
	_, err := audit.Open(options(dir))
	if err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("error %v", err)
	}
	restore()
	if err := open(t, dir, nil).Close(); err != nil {
		t.Error(err)
	}
}

func TestHalfALineIsTakenBack(t *testing.T) {
	if inChild(t) {
		return
	}
	dir := t.TempDir()
	l := open(t, dir, nil)
	record(t, l, event("before"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	size := len(read(t, segmentsOf(t, dir)[0]))
	restore := fullDisk(t, uint64(size)+100)
	record(t, l, event("held"))
	if err := l.Flush(); err == nil {
		t.Fatal("written on a full disk")
	}
	if now := len(read(t, segmentsOf(t, dir)[0])); now != size {
		t.Errorf("the segment has %d bytes, and had %d", now, size)
	}
	restore()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	foundOnce(t, dir, "before", "held")
}
