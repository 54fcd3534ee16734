package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

// people is a log of so many events of three users, over several segments, that is open.
// Their names are such as base64 cannot write: three letters alone happen to stand in a MAC.
func people(t testing.TB, n int) (dir string, l *audit.Log) {
	t.Helper()
	dir = t.TempDir()
	l = open(t, dir, func(o *audit.Options) { o.SegmentSize = 4000; o.Now = time.Now })
	for i := range n {
		e := event(fmt.Sprint("r", i))
		e.User, e.Subject, e.Path, e.UserAgent = []string{"ann@home", "bob@home", "carla"}[i%3], fmt.Sprint("sub-", i%3), fmt.Sprint("/v1/people/", i%3), "agent-of-"+strconv.Itoa(i%3)
		e.Client = "shop.web"
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 3)}), 4711)
		e.Peer, e.Endpoint = e.Remote, "GET /v1/people/{id}"
		record(t, l, e)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return dir, l
}

func erase(t testing.TB, l *audit.Log, e audit.Erasure) audit.Erased {
	t.Helper()
	e.Actor, e.Reason = "root", "request 2026-17"
	done, err := l.Erase(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestErasedDataIsGoneAndTheLogVerifies(t *testing.T) {
	for name, test := range map[string]struct {
		whom  audit.Erasure
		gone  []string
		count uint64
	}{
		"a user":      {audit.Erasure{User: "bob@home"}, []string{"bob@home", "sub-1", "198.51.100.1", "agent-of-1", "people/1"}, 20},
		"a subject":   {audit.Erasure{Subject: "sub-1"}, []string{"bob@home", "sub-1", "198.51.100.1"}, 20},
		"an address":  {audit.Erasure{Address: netip.MustParsePrefix("198.51.100.1/32")}, []string{"bob@home", "198.51.100.1"}, 20},
		"a network":   {audit.Erasure{Address: netip.MustParsePrefix("198.51.100.0/31")}, []string{"ann@home", "bob@home", "198.51.100.0", "198.51.100.1"}, 40},
		"a client":    {audit.Erasure{Client: "shop.web"}, []string{"ann@home", "bob@home", "carla", "shop.web"}, 60},
		"nobody here": {audit.Erasure{User: "dora"}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir, l := people(t, 60)
			before, err := l.Checkpoint()
			if err != nil {
				t.Fatal(err)
			}
			dry := test.whom
			dry.Dry = true
			if counted, err := l.Erase(t.Context(), dry); err != nil || counted.Records != test.count {
				t.Errorf("counted %+v, %v", counted, err)
			}
			done := erase(t, l, test.whom)
			if done.Records != test.count || len(done.Events) != done.Segments {
				t.Errorf("done %+v, want %d records", done, test.count)
			}
			if again := erase(t, l, test.whom); again.Records != 0 {
				t.Errorf("erased again: %+v", again)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			report := verify(t, dir)
			if report.Fault != nil || report.Erased != test.count {
				t.Errorf("report %+v", report)
			}
			checkGone(t, dir, test.gone)
			if kept := search(t, dir, audit.Query{ID: "r2"}); len(kept) != 1 || kept[0].Event.User != "carla" && test.count < 60 {
				t.Errorf("another person's record: %+v", kept)
			}
			left := search(t, dir, audit.Query{ID: "r1"})
			if test.count > 0 && (len(left) != 1 || left[0].Event.Note != "erased" || left[0].Event.Endpoint != "GET /v1/people/{id}" || left[0].Event.Status != 200) {
				t.Errorf("what is left: %+v", left)
			}
			acts := search(t, dir, audit.Query{Class: audit.Admin})
			if len(acts) != done.Segments {
				t.Errorf("%d events tell of %d segments", len(acts), done.Segments)
			}
			for _, act := range acts {
				if act.Event.Actor != "root" || act.Event.Detail != "request 2026-17" || !strings.HasSuffix(act.Event.Change, done.About) {
					t.Errorf("event %+v", act.Event)
				}
			}
			// A checkpoint from before is still of this log.
			points, err := audit.Checkpoints(dir)
			if err != nil {
				t.Fatal(err)
			}
			if g, err := audit.Extend(dir, before, points[len(points)-1]); err != nil || g.Check(public()) != nil {
				t.Errorf("growth: %v", err)
			}
		})
	}
}

// checkGone searches every byte that is kept for what must not be there.
func checkGone(t *testing.T, dir string, gone []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		text := read(t, name)
		for _, word := range gone {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s still holds %q", filepath.Base(name), word)
			}
		}
	}
}

func TestErasureIsRefusedWithoutReasonOrWithAName(t *testing.T) {
	_, l := people(t, 3)
	for name, e := range map[string]audit.Erasure{
		"nobody":              {Reason: "x"},
		"two":                 {User: "ann@home", Client: "shop.web", Reason: "x"},
		"no reason":           {User: "ann@home"},
		"the name in it":      {User: "ann@home", Reason: "asked for by Ann@Home herself"},
		"the address in it":   {Address: netip.MustParsePrefix("198.51.100.1/32"), Reason: "of 198.51.100.1"},
		"no reason, a subnet": {Address: netip.MustParsePrefix("198.51.100.0/24")},
	} {
		if _, err := l.Erase(t.Context(), e); err == nil {
			t.Errorf("%s: erased", name)
		}
	}
}

func TestTombstonesNeedTheirEvent(t *testing.T) {
	attacktest.Rows(t, 145)
	build := func(t *testing.T) (dir, older string) {
		dir, l := people(t, 30)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		older = copyLog(t, dir)
		erase(t, l, audit.Erasure{User: "bob@home"})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, older
	}
	change := func(old, fresh string) func(t *testing.T, dir, older string) {
		return func(t *testing.T, dir, _ string) {
			name := segmentsOf(t, dir)[0]
			text := read(t, name)
			if !bytes.Contains(text, []byte(old)) {
				t.Fatalf("there is no %s", old)
			}
			write(t, name, bytes.Replace(text, []byte(old), []byte(fresh), 1))
		}
	}
	for name, test := range map[string]struct {
		tamper func(t *testing.T, dir, older string)
		why    string
	}{
		"an erased record put back": {func(t *testing.T, dir, older string) {
			copyFile(t, older, dir, filepath.Base(segmentsOf(t, dir)[0]))
		}, "put back"},
		"what was left changed": {change(`"status":200}`, `"status":403}`), "its mac does not match"},
		"what was left of an erased one changed": {func(t *testing.T, dir, _ string) {
			name := segmentsOf(t, dir)[0]
			text := read(t, name)
			at := bytes.Index(text, []byte(`"note":"erased"`))
			from := bytes.LastIndexByte(text[:at], '\n')
			to := at + bytes.IndexByte(text[at:], '\n')
			line := bytes.Replace(bytes.Clone(text[from:to]), []byte(`"status":200`), []byte(`"status":403`), 1)
			write(t, name, bytes.Join([][]byte{text[:from], line, text[to:]}, nil))
		}, "was changed"},
		"a further tombstone": {func(t *testing.T, dir, _ string) { makeTombstone(t, dir, "") }, "made to tombstones"},
		"one of nobody":       {func(t *testing.T, dir, _ string) { makeTombstone(t, dir, "AAAAAAAAAAAAAAAAAAAAAA") }, "no event says"},
		"its hash changed":    {func(t *testing.T, dir, _ string) { change(`,"hash":"`, `,"hash":"A`)(t, dir, "") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, older := build(t)
			if f := verify(t, dir).Fault; f != nil {
				t.Fatal(f)
			}
			test.tamper(t, dir, older)
			if f := verify(t, dir).Fault; f == nil || !strings.Contains(f.Why, test.why) {
				t.Errorf("fault %v, want %q", f, test.why)
			}
		})
	}
}

// makeTombstone does to carla's first record what erasure does, by the event given or one
// that there is.
func makeTombstone(t *testing.T, dir, by string) {
	t.Helper()
	name := segmentsOf(t, dir)[0]
	lines := bytes.SplitAfter(read(t, name), []byte("\n"))
	var victim int
	for i, line := range lines {
		if bytes.Contains(line, []byte(`"carla"`)) {
			victim = i
		}
		if at := bytes.Index(line, []byte(`"by":"`)); at >= 0 && by == "" {
			by = string(line[at+6 : at+28])
		}
	}
	lines[victim] = audit.Tombstone(lines[victim], by)
	write(t, name, bytes.Join(lines, nil))
}

func TestErasureSurvivesKill9AtAnyMoment(t *testing.T) {
	if dir := os.Getenv("AUDIT_ERASER"); dir != "" {
		eraser(dir)
		return
	}
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	dir, l := people(t, 600)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestErasureSurvivesKill9AtAnyMoment$")
		cmd.Env = append(os.Environ(), "AUDIT_ERASER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ready := make([]byte, 6)
		if _, err := io.ReadFull(out, ready); err != nil || string(ready) != "ready\n" {
			t.Fatalf("child: %q %v", ready, err)
		}
		killer := time.AfterFunc(time.Duration(round*round)*2*time.Millisecond, func() { _ = cmd.Process.Kill() })
		said, _ := io.ReadAll(out)
		killer.Stop()
		_ = cmd.Wait() // killed, or at its end
		if report := verify(t, dir); report.Fault != nil {
			t.Fatalf("round %d, after a kill: %v", round, report.Fault)
		}
		if err := open(t, dir, nil).Close(); err != nil {
			t.Fatal(err)
		}
		report := verify(t, dir)
		if report.Fault != nil {
			t.Fatalf("round %d: %v", round, report.Fault)
		}
		if strings.Contains(string(said), "erased") {
			checkGone(t, dir, []string{"bob@home"})
		}
		if drafts, _ := filepath.Glob(filepath.Join(dir, "*.jsonl.*")); len(drafts) > 0 {
			t.Errorf("round %d: left over: %v", round, drafts)
		}
		if found := search(t, dir, audit.Query{Client: "shop.web"}); len(found)+int(report.Erased) < 600 {
			t.Errorf("round %d: %d records are left and %d erased", round, len(found), report.Erased)
		}
	}
}

func eraser(dir string) {
	l, err := audit.Open(audit.Options{Dir: dir, Node: "n1", Key: chainKey, Sign: signer(), Now: time.Now, Slots: 64, SegmentSize: 4000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	if _, err := l.Erase(context.Background(), audit.Erasure{User: "bob@home", Actor: "root", Reason: "7"}); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("erased")
	os.Exit(0)
}

func TestReadersGoOnOverARewrittenSegment(t *testing.T) {
	dir, l := people(t, 30)
	r := audit.NewReader(dir, 0, audit.Query{})
	piece, err := r.Read(t.Context(), 5)
	if err != nil || len(piece.Events) != 5 {
		t.Fatalf("%+v %v", piece, err)
	}
	erase(t, l, audit.Erasure{User: "bob@home"})
	seen := piece.Last
	for {
		piece, err := r.Read(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range piece.Events {
			if f.Seq != seen+1 {
				t.Fatalf("record %d comes after %d", f.Seq, seen)
			}
			seen = f.Seq
		}
		if len(piece.Events) == 0 {
			break
		}
	}
	if seen < 30 {
		t.Errorf("read up to %d", seen)
	}
}

func TestExportIsVerifiedOffline(t *testing.T) {
	dir, l := people(t, 40)
	erase(t, l, audit.Erasure{User: "ann@home"})
	point, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]audit.Query{"all": {}, "one person": {User: "bob@home"}, "one event": {ID: "r7"}, "erased": {ID: "r9"}} {
		var out bytes.Buffer
		head, err := audit.Export(t.Context(), &out, dir, q, audit.Exported{Checkpoint: point, Key: audit.VerifierKey("n1", public())})
		if err != nil {
			t.Fatal(err)
		}
		if name == "one person" && (strings.Contains(out.String(), "carla") || head.Records < 13) {
			t.Errorf("%+v", head)
		}
		n := uint64(0)
		count := func(audit.Found) error { n++; return nil }
		if _, err := audit.ReadExport(bytes.NewReader(out.Bytes()), public(), count); err != nil || n != head.Records {
			t.Errorf("%s: %d of %d, %v", name, n, head.Records, err)
		}
		lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
		last := len(lines) - 2
		for change, lines := range map[string][][]byte{
			"a record left out": append(lines[:last:last], nil),
			"a record changed":  append(lines[:last:last], bytes.Replace(lines[last], []byte(`"id":"`), []byte(`"id":"x`), 1)),
			"one put in":        append(lines[:last+1:last+1], lines[last]),
			"another root":      append([][]byte{bytes.Replace(lines[0], []byte(`n1\n`), []byte(`n2\n`), 1)}, lines[1:]...),
		} {
			text := bytes.Join(lines, nil)
			if name == "erased" && change == "a record changed" {
				continue // what is left is covered by an event of the log, not by the tree
			}
			if _, err := audit.ReadExport(bytes.NewReader(text), public(), count); err == nil {
				t.Errorf("%s, %s: taken", name, change)
			}
		}
	}
	if _, err := audit.Export(t.Context(), io.Discard, dir, audit.Query{ID: "none"}, audit.Exported{Checkpoint: point}); err == nil {
		t.Error("nothing was exported")
	}
}

func TestAnEventIsProved(t *testing.T) {
	attacktest.Rows(t, 145)
	dir, l := people(t, 40)
	point, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	e, err := audit.Prove(t.Context(), dir, "r17", point)
	if err != nil {
		t.Fatal(err)
	}
	found, err := e.Check(public())
	if err != nil || found.Event.ID != "r17" {
		t.Errorf("%+v %v", found, err)
	}
	forged := e
	forged.Record = strings.Replace(e.Record, `"user":"carla"`, `"user":"ann@home"`, 1)
	if _, err := forged.Check(public()); err == nil || forged.Record == e.Record {
		t.Errorf("a changed record: %v", err)
	}
	if _, err := audit.Prove(t.Context(), dir, "none", point); err == nil {
		t.Error("an event that there is not was proved")
	}
	erase(t, l, audit.Erasure{User: "carla"})
	later, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if e, err = audit.Prove(t.Context(), dir, "r17", later); err != nil {
		t.Fatal(err)
	}
	if found, err = e.Check(public()); err != nil || found.Event.User != "" || found.Event.Note != "erased" {
		t.Errorf("%+v %v", found, err)
	}
	if _, err := forged.Check(public()); err == nil {
		t.Error("taken")
	}
	var fault *audit.Fault
	rewritten := point
	rewritten.Root[3] ^= 1
	if _, err := audit.Extend(dir, rewritten, later); !errors.As(err, &fault) {
		t.Errorf("another log: %v", err)
	}
	if _, err := audit.Extend(dir, later, point); !errors.As(err, &fault) {
		t.Errorf("a shorter log: %v", err)
	}
}

func FuzzReadExport(f *testing.F) {
	dir, l := people(f, 5)
	point, err := l.Checkpoint()
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := audit.Export(f.Context(), &out, dir, audit.Query{User: "bob@home"}, audit.Exported{Checkpoint: point, Key: audit.VerifierKey("n1", public())}); err != nil {
		f.Fatal(err)
	}
	whole := out.Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := audit.ReadExport(bytes.NewReader(text), public(), func(audit.Found) error { return nil }); err == nil && len(text) < len(whole)/2 {
			t.Errorf("%q is taken", text)
		}
	})
}

// TestErasureReachesWhatIsWrittenInAnotherWay: names that were too long for their field, networks
// by which callers of IPv6 are counted, and acts about a network.
func TestErasureReachesWhatIsWrittenInAnotherWay(t *testing.T) {
	long := strings.Repeat("a-very-long-subject/", 12) + "ann"
	of := func(class audit.Class, target string) *audit.Event {
		return &audit.Event{Class: class, Decision: audit.Noted, Time: startTime, Target: target, Code: "guessing", Action: "began"}
	}
	events := map[string]*audit.Event{
		"long":     {Class: audit.Request, Decision: audit.Accepted, Time: startTime, Subject: long, User: long, Client: long},
		"act":      of(audit.Admin, long),
		"finding":  of(audit.Detection, "user "+long),
		"spaces":   of(audit.Detection, "user Ann of the house"),
		"six":      of(audit.Detection, "network 2001:db8:0:7::/64"),
		"four":     of(audit.Detection, "network 203.0.113.7"),
		"block":    of(audit.Admin, "203.0.113.7/32"),
		"wide":     of(audit.Admin, "203.0.113.0/24"),
		"counted":  {Class: audit.Request, Decision: audit.Refused, Time: startTime, Remote: netip.MustParseAddrPort("[2001:db8:0:7::]:0"), Note: "counted", Count: 9},
		"another":  of(audit.Detection, "network 2001:db8:0:8::/64"),
		"somebody": {Class: audit.Request, Decision: audit.Accepted, Time: startTime, Subject: long[:len(long)/2], Remote: netip.MustParseAddrPort("[2001:db8:0:8::1]:1")},
	}
	for name, test := range map[string]struct {
		whom audit.Erasure
		want string
	}{
		"a long user":        {audit.Erasure{User: long}, "finding long act"},
		"a long subject":     {audit.Erasure{Subject: long}, "finding long act"},
		"a long client":      {audit.Erasure{Client: long}, "finding long act"},
		"a name with blanks": {audit.Erasure{User: "Ann of the house"}, "spaces"},
		"an address":         {audit.Erasure{Address: netip.MustParsePrefix("203.0.113.7/32")}, "block four"},
		"a network":          {audit.Erasure{Address: netip.MustParsePrefix("203.0.113.0/24")}, "block four wide"},
		"an IPv6 address":    {audit.Erasure{Address: netip.MustParsePrefix("2001:db8:0:7::5/128")}, "counted six"},
		"its network":        {audit.Erasure{Address: netip.MustParsePrefix("2001:db8:0:7::/64")}, "counted six"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, nil)
			for id, e := range events {
				one := *e
				one.ID = id
				record(t, l, &one)
			}
			erase(t, l, test.whom)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			for _, found := range search(t, dir, audit.Query{}) {
				if _, ours := events[found.Event.ID]; !ours {
					continue
				}
				wanted := slices.Contains(strings.Fields(test.want), found.Event.ID)
				if isErased := strings.HasSuffix(found.Event.Note, "erased"); isErased != wanted {
					t.Errorf("%s: erased %t", found.Event.ID, isErased)
				}
			}
		})
	}
}

// TestAReaderNoticesASegmentThatWasWrittenAnewTwice: the third form of a file may have the identity
// of the first, whose place a reader remembers.
func TestAReaderNoticesASegmentThatWasWrittenAnewTwice(t *testing.T) {
	dir, l := people(t, 60)
	r := audit.NewReader(dir, 0, audit.Query{})
	piece, err := r.Read(t.Context(), 5)
	if err != nil || piece.Last != 5 {
		t.Fatalf("%+v, %v", piece, err)
	}
	erase(t, l, audit.Erasure{User: "ann@home"})
	erase(t, l, audit.Erasure{User: "bob@home"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	last := piece.Last
	for {
		p, err := r.Read(t.Context(), 7)
		if err != nil || p.Lost > 0 {
			t.Fatalf("behind %d: %d lost, %v", last, p.Lost, err)
		}
		for _, f := range p.Events {
			if f.Seq != last+1 {
				t.Fatalf("%d stands behind %d", f.Seq, last)
			}
			last = f.Seq
		}
		if len(p.Events) == 0 {
			break
		}
	}
	if newest, err := audit.Newest(dir); err != nil || last != newest {
		t.Errorf("read up to %d of %d, %v", last, newest, err)
	}
}
