package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests put a log into states that only the loss of power, or luck, makes.

func testOptions(dir string) Options {
	return Options{
		Dir: dir, Node: "n1", Key: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }, Slots: 8,
	}
}

func mustOpen(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// stopped is the folder of a log as the machine's disk has it after ten events, of
// which the last seven never became durable.
func stopped(t *testing.T) Options {
	t.Helper()
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	for i := range 10 {
		if err := Record(l, &Event{ID: fmt.Sprint("r", i)}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	copied := testOptions(t.TempDir())
	if err := os.CopyFS(filepath.Join(copied.Dir, treeFolder), os.DirFS(filepath.Join(o.Dir, treeFolder))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ringName, checkpointsName, segmentName(1)} {
		text, err := os.ReadFile(filepath.Join(o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == segmentName(1) {
			text = bytes.Join(bytes.SplitAfter(text, []byte("\n"))[:3], nil)
		}
		if err := os.WriteFile(filepath.Join(copied.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

// reboot makes the ring one that an earlier run of the machine wrote.
func reboot(t *testing.T, o Options) {
	t.Helper()
	name := ringFile(o.Dir)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	h, ok := readHead(text, o.Key)
	if !ok {
		t.Fatal("the ring has no head")
	}
	h.boot = [bootSize]byte{'o', 'l', 'd'}
	putHead(text, 0, h, o.Key)
	putHead(text, 1, h, o.Key)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTailThatPowerTookIsToldNotTakenForTampering(t *testing.T) {
	o := stopped(t)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "the ring knows of record 10") {
		t.Errorf("a cut end in one run of the machine: %v", err)
	}
	public := o.Sign.Public().(ed25519.PublicKey)
	report, err := Verify(o.Dir, o.Key, public)
	if err != nil || report.Fault == nil || report.Fault.Seq != 4 || strings.Contains(report.Fault.Why, "machine") {
		t.Errorf("%v, fault %v", err, report.Fault)
	}

	o = stopped(t)
	reboot(t, o)
	report, err = Verify(o.Dir, o.Key, public)
	if err != nil || report.Fault == nil || !strings.Contains(report.Fault.Why, "when the machine stopped") {
		t.Errorf("%v, fault %v", err, report.Fault)
	}
	if err := mustOpen(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	found, err := Search(t.Context(), o.Dir, Query{Code: "log_tail_lost"})
	if err != nil || len(found) != 1 || found[0].Event.Change != "records 4 to 10" {
		t.Errorf("%v, found %+v", err, found)
	}
	if report, err := Verify(o.Dir, o.Key, public); err != nil || report.Fault != nil {
		t.Errorf("%v, fault %v", err, report.Fault)
	}
}

// A record that no checkpoint covers yet, rewritten by somebody who has the chain's
// key: the ring still knows another one, unless he rewrites that too.
func TestRingKnowsTheLastRecord(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	if err := Record(l, &Event{ID: "true"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	copied := testOptions(t.TempDir())
	for _, name := range []string{ringName, checkpointsName} {
		text, err := os.ReadFile(filepath.Join(o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forged := forge(o.Key, [macSize]byte{}, 1, AppendJSON(nil, &Event{ID: "forged"}))
	if err := os.WriteFile(filepath.Join(copied.Dir, segmentName(1)), forged, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(copied.Dir, o.Key, o.Sign.Public().(ed25519.PublicKey))
	if err != nil || report.Fault == nil || !strings.Contains(report.Fault.Why, "rewritten") {
		t.Errorf("%v, fault %v", err, report.Fault)
	}
	if _, err := Open(copied); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("open: %v", err)
	}
}

// forge makes a line as somebody does who has the chain's key.
func forge(key []byte, before [macSize]byte, seq uint64, event []byte) []byte {
	var salt [saltSize]byte
	k := newLinker(key)
	mac := k.link(before, appendForm(nil, seq, seq, k.commitment(salt, event)))
	return appendLine(nil, seq, seq, event, salt, mac)
}

func TestPowerTakesNothingThatACheckpointCovers(t *testing.T) {
	o := stopped(t)
	reboot(t, o)
	text, err := os.ReadFile(filepath.Join(o.Dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLine(bytes.Split(text, []byte("\n"))[2])
	if err != nil {
		t.Fatal(err)
	}
	point := signCheckpoint("n1", head{seq: l.seq + 1, mac: l.mac}, hashValue{}, time.Unix(0, 0), o.Sign)
	if err := AppendCheckpoint(o.Dir, point); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "checkpoint covers record 4") {
		t.Errorf("error %v", err)
	}
}

func TestOneHalfWrittenHeadIsEnough(t *testing.T) {
	for turn := range 2 {
		o := testOptions(t.TempDir())
		l := mustOpen(t, o)
		if err := Record(l, &Event{ID: "r1"}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(ringFile(o.Dir))
		if err != nil {
			t.Fatal(err)
		}
		text[headAt+turn*headSpan+3] ^= 1
		if err := os.WriteFile(ringFile(o.Dir), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, o).Close(); err != nil {
			t.Errorf("copy %d: %v", turn, err)
		}
	}
}

func TestDamagedSlotIsTold(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	for _, id := range []string{"whole", "damaged", "hostile"} {
		if err := l.Begin(&Event{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := os.ReadFile(ringFile(o.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(ring, []byte(`"id":"damaged"`))
	copy(ring[at:], "\n\x00\n\x00")
	copied := testOptions(t.TempDir())
	if err := os.WriteFile(ringFile(copied.Dir), ring, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, copied).Close(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{ID: "whole"}, {ID: "hostile"}, {Code: "slot_damaged"}} {
		if found, err := Search(t.Context(), copied.Dir, q); err != nil || len(found) != 1 {
			t.Errorf("%+v: %d events, %v", q, len(found), err)
		}
	}
	report, err := Verify(copied.Dir, copied.Key, copied.Sign.Public().(ed25519.PublicKey))
	if err != nil || report.Fault != nil || report.Lines != 3 {
		t.Errorf("%v, report %+v", err, report)
	}
}

func TestRingOfAnotherSizeIsReplacedWhenItIsEmpty(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	if err := l.Begin(&Event{ID: "r1"}); err != nil {
		t.Fatal(err)
	}
	ring, err := os.ReadFile(ringFile(o.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o = testOptions(t.TempDir())
	o.Slots = 3
	if err := os.WriteFile(ringFile(o.Dir), ring, 0o600); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	for i := range 3 {
		if err := l.Begin(&Event{ID: fmt.Sprint("held", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Begin(&Event{ID: "one too many"}); !errors.Is(err, errRingFull) {
		t.Errorf("error %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := Search(t.Context(), o.Dir, Query{}); err != nil || len(found) != 4 {
		t.Errorf("%d events, %v", len(found), err)
	}
}

func TestLongestTailHasRoom(t *testing.T) {
	long := strings.Repeat("\x01", 2000)
	e := &Event{
		Step: long, Decision: Decision(long), Code: long, Detail: long, Upstream: long, Note: long, Would: long, Changed: long, Status: 1 << 62,
		UpstreamStatus: 1 << 62, BytesIn: 1 << 62, BytesOut: 1 << 62, Duration: 1 << 62, UpstreamDuration: 1 << 62, Count: 1 << 62,
	}
	if n := len(appendTail(nil, e)); n > maxTail {
		t.Errorf("a tail has %d bytes, the slot has room for %d", n, maxTail)
	}
}

// TestSecondKillDuringRecovery stands for a process that dies after it wrote what
// an earlier one had left, and before it freed the slots: the next must know.
func TestSecondKillDuringRecovery(t *testing.T) {
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	e := &Event{ID: "r1"}
	if err := l.Begin(e); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(ringFile(o.Dir))
	if err != nil {
		t.Fatal(err)
	}
	l.Complete(e)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	segment, err := os.ReadFile(filepath.Join(o.Dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	copied := testOptions(t.TempDir())
	for name, text := range map[string][]byte{ringName: before, segmentName(1): segment} {
		if err := os.WriteFile(filepath.Join(copied.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := mustOpen(t, copied).Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := Search(t.Context(), copied.Dir, Query{}); err != nil || len(found) != 1 || found[0].Event.Note != "" {
		t.Errorf("%v, found %+v", err, found)
	}
}

// TestFirstKill stands for a process that dies while it makes the ring.
func TestFirstKill(t *testing.T) {
	o := testOptions(t.TempDir())
	if err := os.WriteFile(ringFile(o.Dir)+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, o).Close(); err != nil {
		t.Error(err)
	}
}

func TestLogWithoutCheckpointsRefusesUntilItHasThem(t *testing.T) {
	o := testOptions(t.TempDir())
	var looked, warned atomic.Int64
	o.Now = func() time.Time { return time.Unix(1_800_000_000+11*looked.Add(1), 0) } // always due
	o.Warn = func(error) { warned.Add(1) }
	l := mustOpen(t, o)
	points := filepath.Join(o.Dir, checkpointsName)
	if err := os.Rename(points, points+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(points, 0o700); err != nil { // no checkpoint can be written
		t.Fatal(err)
	}
	if err := Record(l, &Event{ID: "r1"}); err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		if l.Flush() != nil {
			break
		}
	}
	if err := l.Begin(&Event{ID: "refused"}); err == nil || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("Begin without checkpoints: %v", err)
	}
	if err := errors.Join(os.Remove(points), os.Rename(points+".away", points)); err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		if l.Flush() == nil {
			break
		}
	}
	if err := Record(l, &Event{ID: "r2"}); err != nil {
		t.Errorf("with checkpoints again: %v", err)
	}
	if err := l.Close(); err != nil || warned.Load() != 2 {
		t.Errorf("close: %v, %d warnings", err, warned.Load())
	}
	report, err := Verify(o.Dir, o.Key, o.Sign.Public().(ed25519.PublicKey))
	if err != nil || report.Fault != nil || report.Lines != 2 {
		t.Errorf("%v, report %+v", err, report)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no folder":       func(o *Options) { o.Dir = "" },
		"a short key":     func(o *Options) { o.Key = o.Key[:16] },
		"no signing key":  func(o *Options) { o.Sign = nil },
		"no clock":        func(o *Options) { o.Now = nil },
		"slots below 0":   func(o *Options) { o.Slots = -1 },
		"too many slots":  func(o *Options) { o.Slots = maxSlots + 1 },
		"segment below 0": func(o *Options) { o.SegmentSize = -1 },
		"a file as folder": func(o *Options) {
			o.Dir = filepath.Join(o.Dir, "file")
			if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := testOptions(t.TempDir())
		change(&o)
		if l, err := Open(o); err == nil {
			t.Errorf("%s: opened", name)
			_ = l.Close()
		}
	}
	o := testOptions(t.TempDir())
	l := mustOpen(t, o)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseLine(f *testing.F) {
	event, mac := []byte(`{"id":"r1"}`), [macSize]byte{1, 2, 3}
	whole := appendLine(nil, 17, 21, event, [saltSize]byte{7}, mac)
	l, err := parseLine(bytes.TrimSuffix(whole, []byte("\n")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(appendTombstone(nil, &l, event, newMark()))
	f.Add(appendTombstone(nil, &l, nil, newMark()))
	f.Add([]byte(`{"seq":01,"ref":+1,"event":{},"salt":"AAAAAAAAAAAAAAAAAAAAAA","mac":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.TrimSuffix(text, []byte("\n"))
		l, err := parseLine(text)
		if err != nil {
			return
		}
		again := appendLine(nil, l.seq, l.ref, l.event, l.salt, l.mac)
		if l.by != "" {
			again = appendTombstone(nil, &l, l.event, l.by)
		}
		if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), text) {
			t.Errorf("%q was read, and is written %q", text, again)
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	x := newIndexer()
	offset := int64(0)
	for i := range 600 {
		event := AppendJSON(nil, &Event{ID: fmt.Sprint("r", i), Time: time.Unix(int64(i), 0), Class: Request, User: `a "b"`})
		text := bytes.TrimSuffix(appendLine(nil, uint64(i+1), 1, event, [saltSize]byte{}, [macSize]byte{}), []byte("\n"))
		l, err := parseLine(text)
		if err != nil {
			f.Fatal(err)
		}
		x.add(offset, &l)
		offset += int64(len(text)) + 1
	}
	f.Add(x.encode())
	f.Add(newIndexer().encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := parseIndex(text)
		if err != nil {
			return
		}
		s := searchIn("", Query{User: "ann"})
		for _, b := range x.blocks {
			s.in(&b)
		}
	})
}

// What the fast reader finds in an event is what is there.
func FuzzEachField(f *testing.F) {
	f.Add(string(AppendJSON(nil, &Event{ID: `a"\`, Time: time.Unix(0, 0), Path: `\\"`, Status: 200, Proved: true, User: "ann"})))
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.HasPrefix(text, `{"`) {
			text = string(AppendJSON(nil, &Event{ID: text, User: text, Path: text, Status: 1, Proved: true}))
		}
		e, err := ParseJSON([]byte(text))
		written := string(AppendJSON(nil, &e))
		fields := 0
		eachField([]byte(text), func(name, field []byte) { fields++ })
		if err != nil || written != text {
			return // it must not panic
		}
		again := "{"
		eachField([]byte(text), func(_, field []byte) { again += string(field) + "," })
		if strings.TrimSuffix(again, ",")+"}" != text {
			t.Errorf("%q was read as %q", text, again)
		}
	})
}

// TestAnIndexOfAnotherFormIsNotUsed: an erasure may put another form of a segment in its place
// between the look at the segment and that at its index.
func TestAnIndexOfAnotherFormIsNotUsed(t *testing.T) {
	o := testOptions(t.TempDir())
	o.SegmentSize = 1000
	l := mustOpen(t, o)
	for i := range 20 {
		if err := Record(l, &Event{ID: "e", Client: fmt.Sprint("c", i)}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Index(t.Context()), l.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := newSearch(o.Dir, Query{Client: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(o.Dir, s.names[0]))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.spans(s.names[0], info.Size()); len(got) != 0 {
		t.Errorf("of its own index: %v", got)
	}
	if got := s.spans(s.names[0], info.Size()+1); len(got) != 1 || got[0].from != 0 || got[0].to <= info.Size() {
		t.Errorf("of the index of another form: %v", got)
	}
}

// TestAnErasureDoesNotBringBackWhatRetentionTook: between the event of an erasure and its new
// forms, where the disk did not let it go on, retention may remove a segment.
func TestAnErasureDoesNotBringBackWhatRetentionTook(t *testing.T) {
	o := testOptions(t.TempDir())
	o.SegmentSize = 1000
	l := mustOpen(t, o)
	for i := range 20 {
		if err := Record(l, &Event{ID: fmt.Sprint("e", i)}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := segments(o.Dir)
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	segment := filepath.Join(o.Dir, names[0])
	draft := draftName(segment, newMark())
	err = l.ask(func(c *chain) error {
		c.unplaced = append(c.unplaced, &rewrite{taken{segment: names[0]}, draft})
		return errors.Join(os.Rename(segment, draft), c.place())
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{segment, draft} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there, %v", name, err)
		}
	}
}
