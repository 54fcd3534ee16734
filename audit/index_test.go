package audit_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

// many is a log of n events of varied people, over several segments, with indexes.
func many(t testing.TB, n int) string {
	t.Helper()
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, func(o *audit.Options) { now.set(o); o.SegmentSize = min(int64(n)*60, 64<<20); o.Flood.Rate = n })
	for i := range n {
		e := event(fmt.Sprintf("id-%016d", i))
		e.Time, e.User, e.Subject, e.Client = now.now(), fmt.Sprint("user-", i%(n/20)), fmt.Sprint("sub-", i%(n/20)), fmt.Sprint("client-", i%37)
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / 1000 % 250), byte(i % 250)}), uint16(1024+i%60000))
		e.Peer, e.API, e.Endpoint, e.Host, e.Proto, e.TLS = e.Remote, "orders", fmt.Sprintf("GET /v1/things-%d/{id}", i%50), "api.example.com", "HTTP/2.0", "1.3"
		e.Trace = fmt.Sprintf("%032x", i/3+1) // of three services
		e.UserAgent, e.Issuer, e.Shield, e.Duration = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "https://login.example.com", "jwt", time.Duration(i%9000)*time.Microsecond
		if i%1000 == 7 {
			e.Decision, e.Code, e.Status = audit.Refused, fmt.Sprint("code_", i/1000%9), 403
		}
		for audit.Record(l, e) != nil {
			if err := l.Flush(); err != nil { // the ring was full for a moment
				t.Fatal(err)
			}
		}
		now.advance(10 * time.Millisecond)
		if i%(n/20) == 0 { // no checkpoint is under way then, and a segment can end
			if _, err := l.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := l.Index(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func indexes(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.index"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func queries(n int) map[string]audit.Query {
	half := startTime.Add(time.Duration(n/2) * 10 * time.Millisecond)
	return map[string]audit.Query{
		"user": {User: "user-3"}, "subject": {Subject: "sub-9"}, "client": {Client: "client-36"}, "id": {ID: fmt.Sprintf("id-%016d", n/3)}, "trace": {Trace: fmt.Sprintf("%032x", n/7)},
		"code": {Code: "code_1"}, "endpoint": {Endpoint: "GET /v1/things-7/{id}", Limit: 100}, "address": {Address: netip.MustParsePrefix("198.51.1.7/32")},
		"network": {Address: netip.MustParsePrefix("198.51.1.0/24")}, "odd network": {Address: netip.MustParsePrefix("198.51.1.0/27")}, "wide network": {Address: netip.MustParsePrefix("198.0.0.0/8"), Limit: 10},
		"time": {Since: half, Until: half.Add(time.Second)}, "user and time": {User: "user-3", Since: half}, "nobody": {User: "user-none"}, "decision": {Decision: audit.Refused},
	}
}

func TestIndexChangesNoAnswer(t *testing.T) {
	const n = 5000
	dir := many(t, n)
	made := indexes(t, dir)
	if len(made) < 4 || len(made) != len(segmentsOf(t, dir))-1 {
		t.Fatalf("%d indexes for %d segments", len(made), len(segmentsOf(t, dir)))
	}
	with := map[string]string{}
	for name, q := range queries(n) {
		with[name] = fmt.Sprint(search(t, dir, q))
	}
	for _, damage := range []func(name string) error{
		func(name string) error { return os.WriteFile(name, []byte("PAVISEX2"), 0o600) },
		func(name string) error { return os.WriteFile(name, nil, 0o600) },
		os.Remove,
	} {
		for _, name := range made {
			if err := damage(name); err != nil {
				t.Fatal(err)
			}
		}
		for name, q := range queries(n) {
			found := search(t, dir, q)
			if got := fmt.Sprint(found); got != with[name] {
				t.Errorf("%s: another answer without an index", name)
			}
			if len(found) == 0 && name != "nobody" {
				t.Errorf("%s: nothing was found", name)
			}
		}
		if report := verify(t, dir); report.Fault != nil {
			t.Errorf("damage of an index is no damage of the log: %v", report.Fault)
		}
	}
	// The next start makes them anew.
	l := open(t, dir, nil)
	if err := l.Index(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := indexes(t, dir); len(again) < len(made) {
		t.Errorf("%d of %d indexes were made anew", len(again), len(made))
	}
}

func TestIndexThatHidesEventsIsFound(t *testing.T) {
	attacktest.Rows(t, 145)
	dir := many(t, 2000)
	name := indexes(t, dir)[0]
	before := len(search(t, dir, audit.Query{User: "user-3"}))
	if f := verify(t, dir).Fault; f != nil {
		t.Fatal(f)
	}
	// Somebody clears the filters, and makes the checksum anew.
	write(t, name, audit.HideAll(read(t, name)))
	if after := len(search(t, dir, audit.Query{User: "user-3"})); after == before {
		t.Fatal("it hides nothing")
	}
	if f := verify(t, dir).Fault; f == nil || f.File != filepath.Base(name) || !strings.Contains(f.Why, "searches do not find") {
		t.Errorf("fault %v", f)
	}
}

func TestClassesAreKeptAsLongAsTheyAreToBe(t *testing.T) {
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, func(o *audit.Options) {
		now.set(o)
		o.SegmentSize, o.Keep = 3000, 365*24*time.Hour
		o.KeepClass = map[audit.Class]time.Duration{audit.Request: 30 * 24 * time.Hour, audit.Connection: 7 * 24 * time.Hour, audit.Admin: 730 * 24 * time.Hour}
	})
	for i := range 60 {
		e := event(fmt.Sprint("r", i))
		e.Time, e.Class = now.now(), []audit.Class{audit.Request, audit.Connection, audit.Admin, audit.Grant}[i%4]
		e.User, e.Action = "ann", []string{"", "", "client.create", ""}[i%4]
		record(t, l, e)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	isRight := func() { // the days that the test leaves out look like a jump
		t.Helper()
		if _, err := l.GoOn(); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() string {
		isRight()
		if err := l.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, dir); report.Fault != nil {
			t.Fatal(report.Fault)
		}
		var counts []int
		for _, class := range []audit.Class{audit.Request, audit.Connection, audit.Admin, audit.Grant} {
			counts = append(counts, len(search(t, dir, audit.Query{Class: class, User: "ann"})))
		}
		return fmt.Sprint(counts)
	}
	end := len(search(t, dir, audit.Query{})) // what is in the segment that grows stays until it ends
	now.advance(6 * 24 * time.Hour)
	if got := kept(); got != "[15 15 15 15]" {
		t.Errorf("after six days %s of %d are kept", got, end)
	}
	now.advance(3 * 24 * time.Hour)
	record(t, l, event("later")) // ends the segment
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	before, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	isRight()
	small := sizeOf(t, dir)
	if got := kept(); got != "[15 0 15 15]" {
		t.Errorf("after nine days %s are kept", got)
	}
	if after := sizeOf(t, dir); after >= small {
		t.Errorf("%d bytes, before %d", after, small)
	}
	now.advance(30 * 24 * time.Hour)
	if got := kept(); got != "[0 0 15 15]" {
		t.Errorf("after 39 days %s are kept", got)
	}
	now.advance(366 * 24 * time.Hour)
	if got := kept(); got != "[0 0 15 0]" {
		t.Errorf("after 405 days %s are kept", got)
	}
	if told := search(t, dir, audit.Query{Code: "records_expired"}); len(told) == 0 || told[0].Event.Class != audit.System {
		t.Errorf("told %+v", told)
	}
	after, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if g, err := audit.Extend(dir, before, after); err != nil || g.Check(public()) != nil {
		t.Errorf("growth: %v", err)
	}
	now.advance(366 * 24 * time.Hour)
	record(t, l, event("last")) // looks after retention
	isRight()
	for range 3 {
		now.advance(2 * time.Minute)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if report := verify(t, dir); report.Fault != nil || report.First == 1 {
		t.Errorf("report %+v: want segments gone in which all is over", report)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The proofs outlive the segments.
	points, err := audit.Checkpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := audit.Extend(dir, before, points[len(points)-1]); err != nil || g.Check(public()) != nil {
		t.Errorf("growth over removed segments: %v", err)
	}
}

func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	for _, name := range segmentsOf(t, dir) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// BenchmarkSearchMillion searches a real million of events. It takes a minute to make them,
// so that it wants to be asked for: AUDIT_MILLION=1 go test -run - -bench Million ./audit
func BenchmarkSearchMillion(b *testing.B) {
	n := 20_000
	if os.Getenv("AUDIT_MILLION") != "" {
		n = 1_000_000
	}
	dir := many(b, n)
	for name, q := range queries(n) {
		for _, indexed := range []string{"indexed", "scanned"} {
			b.Run(strings.ReplaceAll(name, " ", "_")+"/"+indexed, func(b *testing.B) {
				if indexed == "scanned" {
					for _, name := range indexes(b, dir) {
						if err := os.Rename(name, name+".away"); err != nil {
							b.Fatal(err)
						}
						defer func() { _ = os.Rename(name+".away", name) }()
					}
				}
				for b.Loop() {
					if _, err := audit.Search(b.Context(), dir, q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
