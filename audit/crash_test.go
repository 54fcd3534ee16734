package audit_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// acknowledged is what a process was told is safe: by id, whether it was also
// completed. Refusals that the flood rule may count have no ids here.
type acknowledged struct {
	done     map[string]bool
	refusals int
	writers  int // each may have one more under way, which nobody was told of
}

// check compares the log with it: nothing lost, nothing twice.
func (a *acknowledged) check(t *testing.T, dir string) {
	t.Helper()
	seen, refusals := map[string]int{}, 0
	for _, found := range search(t, dir, audit.Query{}) {
		e := found.Event
		if e.Code == "missing_credential" {
			refusals += max(1, e.Count)
			continue
		}
		seen[e.ID]++
		if done, ok := a.done[e.ID]; ok && done && (e.Note != "" || e.Status != 201) {
			t.Errorf("event %s was completed with 201, and is in the log with %d %q", e.ID, e.Status, e.Note)
		}
		if e.Note != "" && e.Note != "interrupted" {
			t.Errorf("event %s has the note %q", e.ID, e.Note)
		}
	}
	for id := range a.done {
		if seen[id] != 1 {
			t.Errorf("event %s was acknowledged and is in the log %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s is in the log %d times", id, n)
		}
	}
	if refusals < a.refusals || refusals > a.refusals+a.writers {
		t.Errorf("%d refusals in the log, %d were acknowledged", refusals, a.refusals)
	}
}

// TestNothingAcknowledgedIsLostByKill9 lets a child record events as fast as it
// can, kills it at a random moment, and looks for every event that Begin had
// acknowledged. The next child goes on with the same log.
func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	if dir := os.Getenv("AUDIT_CHILD"); dir != "" {
		child(dir)
		return
	}
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	dir := t.TempDir()
	all := acknowledged{done: map[string]bool{}}
	for range rounds {
		killedChild(t, dir, &all)
		if _, err := os.Stat(filepath.Join(dir, "checkpoints.txt")); err != nil {
			continue // killed before there was a log
		}
		if report := verify(t, dir); report.Fault != nil {
			t.Fatalf("after a kill: %v", report.Fault)
		}
	}
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Torn != 0 {
		t.Fatalf("report %+v", report)
	}
	all.check(t, dir)
	t.Logf("%d events and %d refusals acknowledged over %d kills", len(all.done), all.refusals, rounds)
}

const childWriters = 3

// child says on its output what is safe, one line each.
func child(dir string) {
	l, err := audit.Open(audit.Options{Dir: dir, Node: "n1", Key: chainKey, Sign: signer(), Now: time.Now, Slots: 64, SegmentSize: 100_000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for w := range childWriters {
		go func() {
			for i := 0; ; i++ {
				e := event(fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i))
				if i%4 == 3 {
					stranger(e)
				}
				if err := l.Begin(e); err != nil {
					continue // the ring is full for a moment
				}
				word := "begun"
				if e.Code != "" {
					word = "refusal"
				}
				_, _ = os.Stdout.WriteString(word + " " + e.ID + "\n") // one write call: lines stay whole
				e.Status = 201
				l.Complete(e)
				if e.Code == "" {
					_, _ = os.Stdout.WriteString("done " + e.ID + "\n")
				}
			}
		}()
	}
	select {}
}

// stranger makes the event one that the flood rule may count.
func stranger(e *audit.Event) {
	e.Decision, e.Code, e.Status, e.Proved, e.CredentialID, e.Client = audit.Refused, "missing_credential", 401, false, "", ""
}

func killedChild(t *testing.T, dir string, all *acknowledged) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestNothingAcknowledgedIsLostByKill9$")
	cmd.Env = append(os.Environ(), "AUDIT_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(time.Duration(rand.IntN(120_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			break // an unfinished line tells nobody anything
		}
		word, id, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		switch word {
		case "begun":
			all.done[id] = false
		case "done":
			all.done[id] = true
		case "refusal":
			all.refusals++
		default:
			t.Fatalf("child: %s", text)
		}
	}
	_ = cmd.Wait() // killed
	all.writers += childWriters
}

// TestRingCopiedAtAnyMomentIsRecovered copies a living log, ring first, which is
// what a process that dies at that moment leaves. Requests are under way, and the
// drain is at work.
func TestRingCopiedAtAnyMomentIsRecovered(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.SegmentSize = 50_000; o.Slots = 32 })
	random := rand.New(rand.NewPCG(1, 2))
	all := acknowledged{done: map[string]bool{}}
	var under []*audit.Event
	for step := range 6000 {
		switch {
		case len(under) < 20 && random.IntN(2) == 0:
			e := event(strconv.Itoa(step))
			if random.IntN(4) == 0 {
				stranger(e)
			}
			if err := l.Begin(e); err != nil {
				break // full for a moment
			}
			if e.Code != "" {
				all.refusals++
				l.Complete(e)
				break
			}
			all.done[e.ID] = false
			under = append(under, e)
		case len(under) > 0:
			i := random.IntN(len(under))
			e := under[i]
			under = append(under[:i], under[i+1:]...)
			all.done[e.ID] = true
			e.Status = 201
			l.Complete(e)
		}
		if step%150 == 149 {
			snapshot := copyLog(t, dir)
			if err := open(t, snapshot, nil).Close(); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, snapshot); report.Fault != nil || report.Torn != 0 {
				t.Fatalf("step %d: report %+v", step, report)
			}
			all.check(t, snapshot)
		}
	}
}

// copyLog copies a log, what moves first before where it moves to.
func copyLog(t testing.TB, dir string) string {
	t.Helper()
	into := t.TempDir()
	copyFile(t, dir, into, "ring")
	copyFile(t, dir, into, "checkpoints.txt")
	// Hashes may be ahead of what the ring and the checkpoints knew, or behind the lines.
	if err := os.CopyFS(filepath.Join(into, "tree"), os.DirFS(filepath.Join(dir, "tree"))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "events-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		copyFile(t, dir, into, filepath.Base(name))
	}
	return into
}

func copyFile(t testing.TB, from, into, name string) {
	t.Helper()
	source, err := os.Open(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.Create(filepath.Join(into, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEventsUnderWayAtCloseAreWrittenAsInterrupted(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	e := event("upgraded")
	if err := l.Begin(e); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if found := search(t, dir, audit.Query{}); len(found) != 1 || found[0].Event.Note != "interrupted" {
		t.Errorf("found %+v", found)
	}
	l.Complete(e) // too late, and harmless
	if err := l.Begin(event("late")); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Begin after Close: %v", err)
	}
	if err := l.Healthy(); err == nil {
		t.Error("a closed log is healthy")
	}
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if found := search(t, dir, audit.Query{}); len(found) != 1 {
		t.Errorf("%d events after the next start", len(found))
	}
}

func TestEventIsCompletedOnceOnly(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.Slots = 1 })
	first := event("first")
	if err := l.Begin(first); err != nil {
		t.Fatal(err)
	}
	stale := *first
	l.Complete(first)
	l.Complete(first)
	again := stale
	again.Status = 999
	l.Complete(&again)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	second := event("second")
	if err := l.Begin(second); err != nil {
		t.Fatal(err)
	}
	stale.Status = 999
	l.Complete(&stale) // its slot is another's now
	l.Complete(&audit.Event{Handle: 1 << 40})
	l.Complete(&audit.Event{})
	l.Complete(second)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{})
	if len(found) != 2 || found[0].Event.Status != 200 || found[1].Event.ID != "second" || found[1].Event.Status != 200 {
		t.Errorf("found %+v", found)
	}
}

func TestManyWriteAtOnceWhileOthersRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.Slots = 128; o.SegmentSize = 20_000 })
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if report, err := audit.Verify(dir, chainKey, public()); err != nil || report.Fault != nil {
					t.Errorf("verify while it is written: %v %v", err, report.Fault)
				}
				if _, err := audit.Search(t.Context(), dir, audit.Query{ID: "3-77"}); err != nil {
					t.Errorf("search while it is written: %v", err)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				e := event(fmt.Sprintf("%d-%d", w, i))
				for l.Begin(e) != nil {
					_ = l.Flush()
				}
				l.Complete(e)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Lines != 2000 {
		t.Errorf("report %+v", report)
	}
}
