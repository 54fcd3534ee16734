package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// varied is a log of 60 events over several segments.
func varied(t testing.TB) string {
	t.Helper()
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, func(o *audit.Options) { now.set(o); o.SegmentSize = 3000; o.Flood.Rate = 1000 })
	for i := range 60 {
		e := event(fmt.Sprint("r", i))
		e.Time = now.now()
		e.Client = fmt.Sprint("client ", i%3, ` "quoted" <&> `)
		e.Trace = fmt.Sprintf("%032x", i/4+1)
		e.CredentialID, e.API, e.Endpoint = fmt.Sprint("k", i%5), fmt.Sprint("api", i%2), fmt.Sprint("GET /", i%4)
		if i%6 == 0 {
			e.Decision, e.Code = audit.Refused, "insufficient_scope"
		}
		if i%10 == 0 {
			e.Class, e.Remote = audit.Admin, netip.MustParseAddrPort("[2001:db8::7]:1")
		}
		record(t, l, e)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 { // a segment ends when no checkpoint is under way, which a slow disk makes a while
			if _, err := l.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		now.advance(time.Minute)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSearchFindsWhatMatches(t *testing.T) {
	dir := varied(t)
	for name, test := range map[string]struct {
		query audit.Query
		want  int
		first string
	}{
		"everything":           {audit.Query{}, 60, "r0"},
		"an id":                {audit.Query{ID: "r42"}, 1, "r42"},
		"an id that is none":   {audit.Query{ID: "r4"}, 1, "r4"},
		"a trace":              {audit.Query{Trace: fmt.Sprintf("%032x", 3)}, 4, "r8"},
		"a trace nobody is in": {audit.Query{Trace: fmt.Sprintf("%032x", 99)}, 0, ""},
		"nothing":              {audit.Query{ID: "no such"}, 0, ""},
		"a client":             {audit.Query{Client: `client 1 "quoted" <&> `}, 20, "r1"},
		"a credential":         {audit.Query{Credential: "k2"}, 12, "r2"},
		"an API":               {audit.Query{API: "api1"}, 30, "r1"},
		"an endpoint":          {audit.Query{Endpoint: "GET /3"}, 15, "r3"},
		"a code":               {audit.Query{Code: "insufficient_scope"}, 10, "r0"},
		"a decision":           {audit.Query{Decision: audit.Accepted}, 50, "r1"},
		"a class":              {audit.Query{Class: audit.Admin}, 6, "r0"},
		"an address":           {audit.Query{Address: netip.MustParsePrefix("2001:db8::/32")}, 6, "r0"},
		"a network":            {audit.Query{Address: netip.MustParsePrefix("192.0.2.0/24")}, 54, "r1"},
		"since":                {audit.Query{Since: startTime.Add(50 * time.Minute)}, 10, "r50"},
		"until":                {audit.Query{Until: startTime.Add(10 * time.Minute)}, 10, "r0"},
		"between":              {audit.Query{Since: startTime.Add(10 * time.Minute), Until: startTime.Add(12 * time.Minute)}, 2, "r10"},
		"the newest":           {audit.Query{Limit: 7}, 7, "r53"},
		"the newest of some":   {audit.Query{Limit: 4, Code: "insufficient_scope"}, 4, "r36"},
		"more than there are":  {audit.Query{Limit: 100, Code: "insufficient_scope"}, 10, "r0"},
	} {
		t.Run(name, func(t *testing.T) {
			found := search(t, dir, test.query)
			if len(found) != test.want || len(found) > 0 && found[0].Event.ID != test.first {
				t.Fatalf("%d events, %+v", len(found), found)
			}
			for i := 1; i < len(found); i++ {
				if found[i].Seq <= found[i-1].Seq {
					t.Errorf("record %d comes after %d", found[i].Seq, found[i-1].Seq)
				}
			}
			if test.query.Limit > 0 {
				return
			}
			n := 0
			err := audit.Each(t.Context(), dir, test.query, func(f audit.Found) error {
				if !bytes.Equal(f.JSON, found[n].JSON) {
					t.Errorf("Each differs at %d", n)
				}
				n++
				return nil
			})
			if err != nil || n != test.want {
				t.Errorf("Each: %d events, %v", n, err)
			}
		})
	}
}

func TestSearchEndsWhenItIsTold(t *testing.T) {
	dir := varied(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Search(ctx, dir, audit.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	enough := errors.New("enough")
	if err := audit.Each(t.Context(), dir, audit.Query{}, func(audit.Found) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
}

func TestDamagedLogIsSearchedAndTheDamageTold(t *testing.T) {
	dir := varied(t)
	name := segmentsOf(t, dir)[1]
	lines := bytes.SplitAfter(read(t, name), []byte("\n"))
	lines[1] = []byte("garbage\n")
	write(t, name, bytes.Join(lines, nil))
	found, err := audit.Search(t.Context(), dir, audit.Query{})
	var fault *audit.Fault
	if len(found) != 59 || !errors.As(err, &fault) || fault.Line != 2 || fault.File != filepath.Base(name) {
		t.Errorf("%d events, %v", len(found), err)
	}
}

func TestFollowShowsEachNewEventOnce(t *testing.T) {
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, func(o *audit.Options) { now.set(o); o.SegmentSize = 2000 })
	fill(t, l, 0, 5)
	tick, looked := make(chan time.Time), make(chan struct{})
	var got []string
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(looked)
		err := audit.Follow(ctx, dir, audit.Query{Client: "shop"}, tick, func(f audit.Found) { got = append(got, f.Event.ID) })
		if err != nil {
			t.Errorf("follow: %v", err)
		}
	}()
	tick <- time.Time{} // it stands at the end now
	for i := range 20 {
		e := event(fmt.Sprint("other", i))
		e.Client = "other"
		record(t, l, e)
		fill(t, l, 100+i, 101+i)
		if i%3 == 0 {
			tick <- time.Time{}
		}
	}
	// What is not whole yet is not shown.
	name := segmentsOf(t, dir)
	file, err := os.OpenFile(name[len(name)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"seq":`); err != nil {
		t.Fatal(err)
	}
	tick <- time.Time{}
	tick <- time.Time{}
	cancel()
	<-looked
	_ = file.Close()
	if len(got) != 20 || got[0] != "r100" || got[19] != "r119" {
		t.Errorf("got %v", got)
	}
}

func TestFollowEndsAtABadLine(t *testing.T) {
	dir := varied(t)
	tick, done := make(chan time.Time), make(chan error, 1)
	go func() { done <- audit.Follow(t.Context(), dir, audit.Query{}, tick, func(audit.Found) {}) }()
	tick <- time.Time{}
	names := segmentsOf(t, dir)
	last := names[len(names)-1]
	write(t, last, append(read(t, last), "garbage\n"...))
	var err error
	select {
	case tick <- time.Time{}:
		err = <-done
	case err = <-done: // the first look had not ended yet, and has seen the line
	}
	var fault *audit.Fault
	if !errors.As(err, &fault) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkSearch(b *testing.B) {
	dir := varied(b)
	for b.Loop() {
		if _, err := audit.Search(b.Context(), dir, audit.Query{ID: "r42"}); err != nil {
			b.Fatal(err)
		}
	}
}
