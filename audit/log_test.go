package audit_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

var (
	chainKey  = bytes.Repeat([]byte{1}, 32)
	signSeed  = bytes.Repeat([]byte{2}, 32)
	startTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(signSeed) }

func public() ed25519.PublicKey { return signer().Public().(ed25519.PublicKey) }

func open(t testing.TB, dir string, change func(*audit.Options)) *audit.Log {
	t.Helper()
	o := audit.Options{Dir: dir, Node: "n1", Key: chainKey, Sign: signer(), Now: func() time.Time { return startTime }, Slots: 64}
	if change != nil {
		change(&o)
	}
	l, err := audit.Open(o)
	if err != nil {
		t.Fatalf("open the log: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func event(id string) *audit.Event {
	remote := netip.MustParseAddrPort("192.0.2.7:1234")
	return &audit.Event{
		ID: id, Time: startTime, Class: audit.Request, Remote: remote, Peer: remote, Method: "GET", Path: "/v1/orders/7",
		Decision: audit.Accepted, Status: 200, Client: "shop", CredentialID: "k1", Proved: true, Step: "proxy",
	}
}

func record(t testing.TB, l *audit.Log, events ...*audit.Event) {
	t.Helper()
	for _, e := range events {
		err := audit.Record(l, e)
		if err != nil && l.Flush() == nil { // the small ring was full for a moment
			err = audit.Record(l, e)
		}
		if err != nil {
			t.Fatalf("record %s: %v", e.ID, err)
		}
	}
}

func search(t testing.TB, dir string, q audit.Query) []audit.Found {
	t.Helper()
	found, err := audit.Search(t.Context(), dir, q)
	if err != nil {
		t.Fatalf("search: %v", err)
	}
	return found
}

func verify(t testing.TB, dir string) audit.Report {
	t.Helper()
	report, err := audit.Verify(dir, chainKey, public())
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return report
}

func TestEventIsReadBackAsItWasWritten(t *testing.T) {
	e := event("r1")
	e.Peer = netip.MustParseAddrPort("[2001:db8::1]:443")
	e.Detail, e.Duration, e.UpstreamDuration = `a "quoted" \ detail`, 1500*time.Microsecond, time.Millisecond
	e.BytesIn, e.BytesOut, e.UpstreamStatus, e.Upstream = 1, 2, 204, "127.0.0.1:9000"
	e.Exposed, e.Warning, e.With, e.Note, e.Count = true, "credential_old", "mtls:x", "upgraded", 3
	got, err := audit.ParseJSON(audit.AppendJSON(nil, e))
	if err != nil || !reflect.DeepEqual(got, *e) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, *e)
	}
}

func TestHostileTextStaysInItsField(t *testing.T) {
	attacktest.Rows(t, 143)
	hostile := []string{
		"a\r\nb", "\x1b[31mred", `","decision":"accepted`, "x\u2028y\u2029z", "\xff\xfe", "\u202egnp", "a|b=c\\|d", `a"] b="c`,
		"\x00", "\x7f", "\u0085", strings.Repeat("x", 1<<20), strings.Repeat("\"", 4096), strings.Repeat("\x01", 4096), strings.Repeat("ü", 4096),
	}
	for _, text := range hostile {
		e := event(text)
		v := reflect.ValueOf(e).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String {
				v.Field(i).SetString(text)
			}
		}
		encoded := audit.AppendJSON(nil, e)
		if len(encoded) > 8<<10 {
			t.Errorf("%.20q makes an event of %d bytes", text, len(encoded))
		}
		for _, c := range string(encoded) {
			if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 || c == 0x202e || c == '\uFFFD' {
				t.Fatalf("%.20q leaves %q in the record", text, c)
			}
		}
		if !json.Valid(encoded) {
			t.Fatalf("%.20q breaks the JSON: %.200s", text, encoded)
		}
		if _, err := audit.ParseJSON(encoded); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestLogKeepsEventsInAVerifiableChain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	for i := range 100 {
		record(t, l, event(fmt.Sprint("r", i)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Lines != 100 || report.Checkpoints == 0 {
		t.Fatalf("report %+v", report)
	}
	found := search(t, dir, audit.Query{ID: "r42"})
	if len(found) != 1 || found[0].Event.Client != "shop" || found[0].Event.Status != 200 {
		t.Errorf("found %+v", found)
	}
	// A second run goes on with the same chain.
	l = open(t, dir, nil)
	record(t, l, event("later"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Lines != 101 {
		t.Errorf("report after the second run %+v", report)
	}
	if found := search(t, dir, audit.Query{Limit: 1}); len(found) != 1 || found[0].Event.ID != "later" {
		t.Errorf("newest %+v", found)
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	attacktest.Rows(t, 145)
	build := func(t *testing.T) (dir, name string, lines [][]byte) {
		dir = t.TempDir()
		l := open(t, dir, nil)
		for i := range 10 {
			record(t, l, event(fmt.Sprint("r", i)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return dir, names[0], bytes.SplitAfter(text, []byte("\n"))[:10]
	}
	tests := []struct {
		name   string
		tamper func(lines [][]byte) [][]byte
		line   int
	}{
		{"an edit", func(l [][]byte) [][]byte { l[4] = bytes.Replace(l[4], []byte("200"), []byte("201"), 1); return l }, 5},
		{"a deletion", func(l [][]byte) [][]byte { return append(l[:4:4], l[5:]...) }, 5},
		{"a reorder", func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }, 5},
		{"a repetition", func(l [][]byte) [][]byte { return append(l[:5:5], l[4:]...) }, 6},
		{"a cut tail", func(l [][]byte) [][]byte { return l[:7] }, 0},
		{"the last line edited", func(l [][]byte) [][]byte { l[9] = bytes.Replace(l[9], []byte("200"), []byte("201"), 1); return l }, 10},
		{"garbage", func(l [][]byte) [][]byte { l[2] = []byte("{}\n"); return l }, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, name, lines := build(t)
			if err := os.WriteFile(name, bytes.Join(test.tamper(lines), nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, dir); report.Fault == nil || report.Fault.Line != test.line {
				t.Errorf("fault %v, want one at line %d", report.Fault, test.line)
			}
		})
	}
	t.Run("a full rewrite by somebody with the chain's key", func(t *testing.T) {
		dir, _, _ := build(t)
		kept, err := os.ReadFile(filepath.Join(dir, "checkpoints.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		forged := t.TempDir()
		l := open(t, forged, nil)
		for i := range 10 {
			record(t, l, event(fmt.Sprint("forged", i)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(forged, "checkpoints.jsonl"), kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, forged); report.Fault == nil || !strings.Contains(report.Fault.Why, "rewritten") {
			t.Errorf("fault %v", report.Fault)
		}
	})
	t.Run("a tail torn by the death of the process is no fault", func(t *testing.T) {
		dir, name, lines := build(t)
		torn := append(bytes.Join(lines, nil), `{"seq":11,"ref":11,"event":{"id":"r10","`...)
		if err := os.WriteFile(name, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, dir); report.Fault != nil || report.Torn != 40 {
			t.Errorf("report %+v, want 40 torn bytes and no fault", report)
		}
		l := open(t, dir, nil)
		record(t, l, event("after"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, dir); report.Fault != nil || report.Torn != 0 {
			t.Errorf("report after repair %+v", report)
		}
		if found := search(t, dir, audit.Query{Code: "log_repaired"}); len(found) != 1 {
			t.Errorf("the repair left %d events", len(found))
		}
	})
	t.Run("a cut end is noticed at the next start", func(t *testing.T) {
		dir, name, lines := build(t)
		if err := os.WriteFile(name, bytes.Join(lines[:7], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := audit.Open(audit.Options{Dir: dir, Key: chainKey, Sign: signer(), Now: time.Now, Slots: 64})
		if err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("error %v", err)
		}
	})
}

// TestNothingAcknowledgedIsLostByKill9 lets a child record events as fast as it
// can, kills it at a random moment, and looks for every event that Begin had
// acknowledged.
func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	if dir := os.Getenv("AUDIT_CHILD"); dir != "" {
		child(dir)
		return
	}
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range rounds {
		for id := range killedChild(t, dir, round) {
			acknowledged[id] = true
		}
	}
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil {
		t.Fatalf("fault %v", report.Fault)
	}
	seen := map[string]int{}
	for _, found := range search(t, dir, audit.Query{}) {
		seen[found.Event.ID]++
	}
	for id := range acknowledged {
		if seen[id] != 1 {
			t.Errorf("event %s was acknowledged and is in the log %d times", id, seen[id])
		}
	}
	t.Logf("%d events acknowledged over %d kills", len(acknowledged), rounds)
}

func child(dir string) {
	l, err := audit.Open(audit.Options{Dir: dir, Node: "n1", Key: chainKey, Sign: signer(), Now: time.Now, Slots: 64})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		e := event(fmt.Sprintf("%d-%d", os.Getpid(), i))
		if err := l.Begin(e); err != nil {
			continue // the ring is full for a moment
		}
		fmt.Println("ok", e.ID)
		if i%3 != 0 {
			l.Complete(e)
		} else {
			go l.Complete(e)
		}
	}
}

func killedChild(t *testing.T, dir string, round int) map[string]bool {
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
	ids := map[string]bool{}
	stopAfter := 50 + round*173%1500
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, ok := strings.CutPrefix(lines.Text(), "ok ")
		if !ok {
			t.Fatalf("child: %s", lines.Text())
		}
		ids[id] = true
		if len(ids) == stopAfter {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	return ids
}

func TestLogThatCannotBeWrittenRefusesUntilItCan(t *testing.T) {
	dir := t.TempDir()
	var warned sync.WaitGroup
	warned.Add(1)
	var once sync.Once
	l := open(t, dir, func(o *audit.Options) { o.Warn = func(error) { once.Do(warned.Done) } })
	record(t, l, event("before"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	// A directory in the way of the next segment stands for a disk that takes nothing.
	restore := breakSegments(t, dir)
	record(t, l, event("held")) // is safe in the ring
	if err := l.Flush(); err == nil {
		t.Fatal("a log without a segment is healthy")
	}
	warned.Wait()
	if err := l.Begin(event("refused")); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("Begin while the log cannot be written: %v", err)
	}
	restore()
	if err := l.Flush(); err != nil {
		t.Fatalf("after the disk came back: %v", err)
	}
	record(t, l, event("after"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil {
		t.Errorf("fault %v", report.Fault)
	}
	for _, id := range []string{"before", "held", "after"} {
		if found := search(t, dir, audit.Query{ID: id}); len(found) != 1 {
			t.Errorf("event %s is in the log %d times", id, len(found))
		}
	}
}

func breakSegments(t *testing.T, dir string) (restore func()) {
	t.Helper()
	var limit [2]uint64
	getLimit(t, &limit)
	setLimit(t, [2]uint64{0, limit[1]})
	return func() { setLimit(t, limit) }
}

func TestFullRingRefuses(t *testing.T) {
	l := open(t, t.TempDir(), func(o *audit.Options) { o.Slots = 4 })
	held := make([]*audit.Event, 4)
	for i := range held {
		held[i] = event(fmt.Sprint("held", i))
		if err := l.Begin(held[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Begin(event("one too many")); err == nil {
		t.Error("an event was taken without a slot")
	}
	for _, e := range held {
		l.Complete(e)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	record(t, l, event("again"))
}

func TestFloodOfStrangersIsCountedNeverOfTheProved(t *testing.T) {
	dir := t.TempDir()
	now := startTime
	l := open(t, dir, func(o *audit.Options) { o.Now = func() time.Time { return now }; o.Slots = 1024 })
	stranger := func(id, addr string) *audit.Event {
		e := event(id)
		e.Decision, e.Code, e.Status, e.Proved, e.CredentialID, e.Client = audit.Refused, "missing_credential", 401, false, "", ""
		e.Remote = netip.AddrPortFrom(netip.MustParseAddr(addr), 1)
		return e
	}
	for i := range 50 {
		record(t, l, stranger(fmt.Sprint("a", i), fmt.Sprintf("2001:db8::%x", i+1))) // one /64
		record(t, l, stranger(fmt.Sprint("b", i), fmt.Sprintf("192.0.2.%d", i+1)))   // fifty networks
		proved := stranger(fmt.Sprint("c", i), "2001:db8::1")
		proved.Proved = true
		record(t, l, proved)
		exposed := stranger(fmt.Sprint("d", i), "2001:db8::1")
		exposed.Exposed = true
		record(t, l, exposed)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	counts := map[byte]int{}
	for _, found := range search(t, dir, audit.Query{}) {
		counts[found.Event.ID[0]]++
	}
	if counts['a'] != 20 || counts['b'] != 50 || counts['c'] != 50 || counts['d'] != 50 {
		t.Errorf("one network %d (want 20), many %d, proved %d, exposed %d (want 50 each)", counts['a'], counts['b'], counts['c'], counts['d'])
	}
	now = now.Add(11 * time.Second)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{ID: "a20"})
	if len(found) != 1 || found[0].Event.Count != 30 || found[0].Event.Code != "missing_credential" {
		t.Errorf("counted events %+v, want one for 30", found)
	}
}

func TestSegmentsRotateAndTheOldestGo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.SegmentSize, o.MaxSize = 2000, 6000 })
	for i := range 100 {
		record(t, l, event(fmt.Sprint("r", i)))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := verify(t, dir)
	if report.Fault != nil || report.First == 1 {
		t.Errorf("report %+v: want a whole log whose first segments are gone", report)
	}
	if found := search(t, dir, audit.Query{Code: "segments_removed"}); len(found) == 0 {
		t.Error("nothing says that segments were removed")
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add(audit.AppendJSON(nil, event("r1")))
	f.Add([]byte(`{"id":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := audit.ParseJSON(text)
		if err != nil {
			return
		}
		again := audit.AppendJSON(nil, &e)
		if !json.Valid(again) || len(again) > 8<<10 {
			t.Errorf("%q became %q", text, again)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	l := open(b, b.TempDir(), func(o *audit.Options) { o.Slots = 4096; o.Now = time.Now })
	b.ReportAllocs()
	e := event("0123456789ABCDEF")
	for b.Loop() {
		if err := l.Begin(e); err != nil {
			b.StopTimer()
			_ = l.Flush()
			b.StartTimer()
			continue
		}
		l.Complete(e)
	}
}
