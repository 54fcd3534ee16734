package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

// built is a log of ten records in one segment.
type built struct {
	dir, segment string
	lines        [][]byte
}

func build(t *testing.T) built {
	t.Helper()
	b := built{dir: t.TempDir()}
	l := open(t, b.dir, nil)
	for i := range 10 {
		record(t, l, event(fmt.Sprint("r", i)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names := segmentsOf(t, b.dir)
	if len(names) != 1 {
		t.Fatal(names)
	}
	b.segment = names[0]
	b.lines = bytes.SplitAfter(read(t, b.segment), []byte("\n"))[:10]
	return b
}

func segmentsOf(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	attacktest.Requirements(t, "16.4.2")
	attacktest.Rows(t, 145)
	edit := func(l []byte) []byte { return bytes.Replace(l, []byte("200"), []byte("201"), 1) }
	tests := []struct {
		name   string
		tamper func(lines [][]byte) [][]byte
		line   int // 0: the file ends too early
		seq    uint64
	}{
		{"an edit", func(l [][]byte) [][]byte { l[4] = edit(l[4]); return l }, 5, 5},
		{"the first line edited", func(l [][]byte) [][]byte { l[0] = edit(l[0]); return l }, 1, 1},
		{"the last line edited", func(l [][]byte) [][]byte { l[9] = edit(l[9]); return l }, 10, 10},
		{"a deletion", func(l [][]byte) [][]byte { return append(l[:4:4], l[5:]...) }, 5, 5},
		{"the first line deleted", func(l [][]byte) [][]byte { return l[1:] }, 1, 1},
		{"a reorder", func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }, 5, 5},
		{"a repetition", func(l [][]byte) [][]byte { return append(l[:5:5], l[4:]...) }, 6, 6},
		{"the last line cut", func(l [][]byte) [][]byte { return l[:9] }, 0, 10},
		{"a cut tail", func(l [][]byte) [][]byte { return l[:7] }, 0, 8},
		{"a tail cut inside a line", func(l [][]byte) [][]byte { l[7] = l[7][:40]; return l[:8] }, 0, 8},
		{"the last line break removed", func(l [][]byte) [][]byte { l[9] = bytes.TrimSuffix(l[9], []byte("\n")); return l }, 0, 10},
		{"everything cut", func([][]byte) [][]byte { return nil }, 0, 1},
		{"garbage", func(l [][]byte) [][]byte { l[2] = []byte("{}\n"); return l }, 3, 3},
		{"an empty line", func(l [][]byte) [][]byte { l[2] = append([]byte("\n"), l[2]...); return l }, 3, 3},
		{"a line break removed", func(l [][]byte) [][]byte { l[2] = bytes.TrimSuffix(l[2], []byte("\n")); return l }, 3, 3},
		{"a line too long", func(l [][]byte) [][]byte { l[2] = append(bytes.Repeat([]byte("x"), 100_000), '\n'); return l }, 3, 3},
		{"a tail too long", func(l [][]byte) [][]byte { return append(l, bytes.Repeat([]byte("x"), 100_000)) }, 11, 11},
		{"garbage behind the end", func(l [][]byte) [][]byte { return append(l, []byte("x")) }, 11, 11},
		{"a mac of another line", func(l [][]byte) [][]byte {
			l[4] = append(l[4][:len(l[4])-48:len(l[4])-48], l[5][len(l[5])-48:]...)
			return l
		}, 5, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := build(t)
			write(t, b.segment, bytes.Join(test.tamper(b.lines), nil))
			f := verify(t, b.dir).Fault
			if f == nil || f.Line != test.line || f.Seq != test.seq || f.File != filepath.Base(b.segment) {
				t.Errorf("fault %v, want one at line %d, record %d", f, test.line, test.seq)
			}
		})
	}
}

func TestVerifyMissesNothingThatWasTakenAway(t *testing.T) {
	attacktest.Rows(t, 145)
	checkpoints := func(b built) string { return filepath.Join(b.dir, "checkpoints.txt") }
	ring := func(b built) string { return filepath.Join(b.dir, "ring") }
	tests := []struct {
		name   string
		tamper func(t *testing.T, b built)
		why    string
	}{
		{"every segment", func(t *testing.T, b built) { remove(t, b.segment) }, "cut off"},
		{"the checkpoints", func(t *testing.T, b built) { remove(t, checkpoints(b)) }, "removed"},
		{"the checkpoints, and the end", func(t *testing.T, b built) {
			remove(t, checkpoints(b))
			write(t, b.segment, bytes.Join(b.lines[:7], nil))
		}, "the ring knows of record 10"},
		{"the ring, and the end", func(t *testing.T, b built) {
			remove(t, ring(b))
			write(t, b.segment, bytes.Join(b.lines[:7], nil))
		}, "a checkpoint covers record 10"},
		{"what the ring says", func(t *testing.T, b built) {
			text := read(t, ring(b))
			clear(text[64:4096])
			write(t, ring(b), text)
		}, "does not match the chain's key"},
		{"the ring's file", func(t *testing.T, b built) { write(t, ring(b), nil) }, "too short"},
		{"a checkpoint's signature", func(t *testing.T, b built) {
			text := read(t, checkpoints(b))
			write(t, checkpoints(b), bytes.Replace(text, []byte("n1\n10\n"), []byte("n1\n9\n"), 1))
		}, "signature"},
		{"a checkpoint's form", func(t *testing.T, b built) { write(t, checkpoints(b), []byte("1\n2\n3\n4\n5\n6\n7\n")) }, "no checkpoint"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := build(t)
			if report := verify(t, b.dir); report.Fault != nil || report.Covered != 10 || report.Head != 10 {
				t.Fatalf("before: %+v", report)
			}
			test.tamper(t, b)
			if f := verify(t, b.dir).Fault; f == nil || !strings.Contains(f.Why, test.why) {
				t.Errorf("fault %v, want %q", f, test.why)
			}
			if _, err := audit.Open(options(b.dir)); err == nil && !strings.Contains(test.name, "checkpoint") {
				t.Error("the log was opened as if nothing had happened")
			}
		})
	}
	t.Run("everything", func(t *testing.T) {
		if report, err := audit.Verify(t.TempDir(), chainKey, public()); err == nil {
			t.Errorf("report %+v of a folder without a log", report)
		}
	})
}

func TestVerifyFindsAFullRewrite(t *testing.T) {
	attacktest.Requirements(t, "16.4.2")
	attacktest.Rows(t, 145)
	b := build(t)
	kept, err := audit.Checkpoints(b.dir)
	if err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	forge := func(t *testing.T, change func(*audit.Options)) string {
		dir := t.TempDir()
		l := open(t, dir, change)
		for i := range 10 {
			record(t, l, event(fmt.Sprint("forged", i)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	otherKey := func(o *audit.Options) { o.Key = bytes.Repeat([]byte{9}, 32) }
	otherSign := func(o *audit.Options) { o.Sign = otherSigner() }

	t.Run("without the chain's key", func(t *testing.T) {
		dir := forge(t, otherKey)
		remove(t, filepath.Join(dir, "ring"))
		if f := verify(t, dir).Fault; f == nil || f.Seq != 1 || !strings.Contains(f.Why, "mac") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("with the chain's key, checkpoints signed by another", func(t *testing.T) {
		if f := verify(t, forge(t, otherSign)).Fault; f == nil || !strings.Contains(f.Why, "signature") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("with the chain's key, beside the checkpoints that there were", func(t *testing.T) {
		dir := forge(t, otherSign)
		copyFile(t, b.dir, dir, "checkpoints.txt")
		if f := verify(t, dir).Fault; f == nil || f.Seq != 10 || !strings.Contains(f.Why, "rewritten") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("with the chain's key, without checkpoints", func(t *testing.T) {
		dir := forge(t, nil)
		remove(t, filepath.Join(dir, "checkpoints.txt"))
		if f := verify(t, dir).Fault; f == nil {
			t.Error("no fault")
		}
	})
	t.Run("with all keys, against a checkpoint kept elsewhere", func(t *testing.T) {
		dir := forge(t, nil)
		if f := verify(t, dir).Fault; f != nil {
			t.Fatalf("the forged log is not even whole: %v", f)
		}
		report, err := audit.Verify(dir, chainKey, public(), kept[len(kept)-1])
		if err != nil || report.Fault == nil || !strings.Contains(report.Fault.Why, "rewritten") {
			t.Errorf("fault %v %v", report.Fault, err)
		}
		if report, err = audit.Verify(b.dir, chainKey, public(), kept...); err != nil || report.Fault != nil {
			t.Errorf("the true log: %v %v", report.Fault, err)
		}
	})
	t.Run("put back to an earlier state, against a checkpoint kept elsewhere", func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir, nil)
		record(t, l, event("r1"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		earlier := copyLog(t, dir)
		l = open(t, dir, nil)
		record(t, l, event("r2"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		points, err := audit.Checkpoints(dir)
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(earlier, chainKey, public(), points[len(points)-1])
		if err != nil || report.Fault == nil || report.Fault.Seq != 2 {
			t.Errorf("fault %v %v", report.Fault, err)
		}
	})
}

func TestTailTornByTheDeathOfTheProcessIsNoFault(t *testing.T) {
	attacktest.Rows(t, 145)
	next := `{"seq":11,"ref":11,"event":{"id":"r10","`
	for _, torn := range []string{next, next[:1], next[:8]} {
		b := build(t)
		write(t, b.segment, append(bytes.Join(b.lines, nil), torn...))
		points := filepath.Join(b.dir, "checkpoints.txt")
		write(t, points, append(read(t, points), "n1\n11\nabc"...))
		if report := verify(t, b.dir); report.Fault != nil || report.Torn != len(torn) || report.Lines != 10 {
			t.Errorf("report %+v, want %d torn bytes and no fault", report, len(torn))
		}
		l := open(t, b.dir, nil)
		record(t, l, event("after"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, b.dir); report.Fault != nil || report.Torn != 0 || report.Lines != 12 {
			t.Errorf("report after repair %+v", report)
		}
		if found := search(t, b.dir, audit.Query{Code: "log_repaired"}); len(found) != 1 {
			t.Errorf("the repair left %d events", len(found))
		}
	}
}

func TestLogThatWasTamperedWithIsNotOpened(t *testing.T) {
	attacktest.Rows(t, 145)
	tests := []struct {
		name   string
		tamper func(t *testing.T, b built)
		want   string
	}{
		{"a cut end", func(t *testing.T, b built) { write(t, b.segment, bytes.Join(b.lines[:7], nil)) }, "cut off"},
		{"a changed end", func(t *testing.T, b built) {
			b.lines[9] = append(b.lines[9][:len(b.lines[9])-48:len(b.lines[9])-48], b.lines[8][len(b.lines[8])-48:]...)
			write(t, b.segment, bytes.Join(b.lines, nil))
		}, "changed"},
		{"no end at all", func(t *testing.T, b built) { write(t, b.segment, bytes.Repeat([]byte("x"), 50_000)) }, "is no line"},
		{"a ring of another log", func(t *testing.T, b built) {
			other := t.TempDir()
			if err := open(t, other, func(o *audit.Options) { o.Key = bytes.Repeat([]byte{9}, 32) }).Close(); err != nil {
				t.Fatal(err)
			}
			copyFile(t, other, b.dir, "ring")
		}, "the key is another"},
		{"a ring of another size", func(t *testing.T, b built) { write(t, filepath.Join(b.dir, "ring"), make([]byte, 500)) }, "no ring has"},
		{"a ring that was cut", func(t *testing.T, b built) {
			text := read(t, filepath.Join(b.dir, "ring"))
			write(t, filepath.Join(b.dir, "ring"), text[:len(text)-1])
		}, "but not 64 slots"},
		{"a ring of another kind", func(t *testing.T, b built) {
			write(t, filepath.Join(b.dir, "ring"), make([]byte, 4096+8192))
		}, "no event ring"},
		{"spoilt checkpoints", func(t *testing.T, b built) {
			write(t, filepath.Join(b.dir, "checkpoints.txt"), []byte("x\n\n\n\n\n\n\n"))
		}, "no checkpoint"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := build(t)
			test.tamper(t, b)
			before := copyLog(t, b.dir)
			_, err := audit.Open(options(b.dir))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			for _, name := range []string{"ring", "checkpoints.txt", filepath.Base(b.segment)} {
				if !bytes.Equal(read(t, filepath.Join(b.dir, name)), read(t, filepath.Join(before, name))) {
					t.Errorf("%s is evidence, and was changed", name)
				}
			}
		})
	}
}

func TestMissingRingIsReplacedAndTold(t *testing.T) {
	b := build(t)
	remove(t, filepath.Join(b.dir, "ring"))
	if report := verify(t, b.dir); report.Fault != nil || report.Head != 0 {
		t.Errorf("report %+v", report)
	}
	l := open(t, b.dir, nil)
	if err := l.Begin(event("under way")); err != nil { // its reference must be new, or recovery takes it for written
		t.Fatal(err)
	}
	snapshot := copyLog(t, b.dir)
	if err := open(t, snapshot, nil).Close(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []audit.Query{{Code: "ring_missing"}, {ID: "under way"}} {
		if found := search(t, snapshot, q); len(found) != 1 {
			t.Errorf("%d events for %+v", len(found), q)
		}
	}
}

func TestCheckpointsAreGivenOut(t *testing.T) {
	dir := t.TempDir()
	var points []audit.Checkpoint
	l := open(t, dir, func(o *audit.Options) {
		o.Node = "gw 1\nx"
		o.Checkpointed = func(c audit.Checkpoint) { points = append(points, c) }
	})
	record(t, l, event("r1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	last := points[len(points)-1]
	if last.Seq != 1 || !last.Signed(public()) || last.Node != "gw_1_x" || !last.Time.Equal(startTime.Truncate(time.Second)) {
		t.Errorf("checkpoint %+v", last)
	}
	if last.Signed(otherSigner().Public().(ed25519.PublicKey)) {
		t.Error("signed by anybody")
	}
}

func TestHalfACheckpointSpoilsNoneBehindIt(t *testing.T) {
	dir, into := t.TempDir(), t.TempDir()
	l := open(t, dir, nil)
	record(t, l, event("r1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	points, err := audit.Checkpoints(dir)
	if err != nil || len(points) == 0 {
		t.Fatal(points, err)
	}
	whole := read(t, filepath.Join(dir, "checkpoints.txt"))
	for cut := range len(whole) {
		write(t, filepath.Join(into, "checkpoints.txt"), whole[:cut])
		before, err := audit.Checkpoints(into)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := audit.AppendCheckpoint(into, points[0]); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if kept, err := audit.Checkpoints(into); err != nil || len(kept) != len(before)+1 {
			t.Fatalf("cut at %d: %d checkpoints, %v", cut, len(kept), err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	b := f.TempDir()
	l := open(f, b, nil)
	record(f, l, event("r1"), event("r2"))
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	name := segmentsOf(f, b)[0]
	whole := read(f, name)
	f.Add(whole)
	f.Add(whole[:len(whole)-10])
	f.Add([]byte("{\"seq\":1,\"ref\":1,\"event\":{},\"salt\":\"" + strings.Repeat("A", 22) + "\",\"mac\":\"" + strings.Repeat("A", 43) + "\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		write(t, name, text)
		report, err := audit.Verify(b, chainKey, public())
		if err != nil {
			t.Fatal(err)
		}
		if report.Fault == nil && !bytes.HasPrefix(text, whole) {
			t.Errorf("%q counts as whole", text)
		}
		_, _ = audit.Search(t.Context(), b, audit.Query{}) // must not panic or hang
	})
}
