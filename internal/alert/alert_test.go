package alert_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attacktest"
)

var began = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// request is an event of a client from an address.
func request(i int, at time.Time, change func(*audit.Event)) *audit.Event {
	e := &audit.Event{
		ID: fmt.Sprint("r", i), Time: at, Class: audit.Request, Remote: netip.MustParseAddrPort("192.0.2.7:1000"), Method: "GET",
		API: "orders", Endpoint: "GET /v1/orders/{id}", Path: "/v1/orders/7", Decision: audit.Accepted, Status: 200,
		Client: "shop", CredentialID: "k1", Proved: true,
	}
	if change != nil {
		change(e)
	}
	return e
}

func wrong(e *audit.Event) {
	e.Decision, e.Code, e.Status, e.Proved, e.Client, e.CredentialID = audit.Refused, "invalid_credential", 401, false, "", ""
}

// told gathers what an engine tells.
type told struct{ all []alert.Incident }

func (t *told) tell(i alert.Incident) { t.all = append(t.all, i) }

func TestAnIncidentIsToldWhenItBeginsAndWhenItEnds(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	at := began
	for i := range 200 {
		e.See(request(i, at, wrong))
		at = at.Add(time.Second)
	}
	if len(got.all) != 1 || got.all[0].Detection != "guessing" || got.all[0].Subject.String() != "network 192.0.2.7" || got.all[0].Ended {
		t.Fatalf("told %+v", got.all)
	}
	if open := e.Open(); len(open) != 1 || open[0].Count < 100 {
		t.Errorf("open %+v", open)
	}
	for i := range 60 {
		e.See(request(i, at, nil))
		at = at.Add(time.Minute)
	}
	if len(got.all) != 2 || !got.all[1].Ended || len(e.Open()) != 0 {
		t.Errorf("told %+v", got.all)
	}
}

func TestWhoIsSilencedIsNotTold(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, func(detection string, s alert.Subject, _ time.Time) bool {
		return detection == "guessing" && s.Name == "192.0.2.7"
	})
	for i := range 100 {
		e.See(request(i, began, wrong))
	}
	if len(got.all) != 0 {
		t.Errorf("told %+v", got.all)
	}
}

func TestEachDetectionFiresOnItsAttackAndNotOnWhatIsUsual(t *testing.T) {
	attacktest.Rows(t, 173)
	for name, c := range map[string]struct {
		events func(see func(*audit.Event))
		want   string
	}{
		"thirty wrong keys at once": {func(see func(*audit.Event)) {
			for i := range 40 {
				see(request(i, began, wrong))
			}
		}, "guessing"},
		"a wrong key every minute for a day": {func(see func(*audit.Event)) {
			for i := range 1440 {
				see(request(i, began.Add(time.Duration(i)*time.Minute), wrong))
			}
		}, ""},
		"ten thousand objects in a day": {func(see func(*audit.Event)) {
			for i := range 10_000 {
				see(request(i, began.Add(time.Duration(i)*5*time.Second), func(e *audit.Event) { e.Path = fmt.Sprint("/v1/orders/", i) }))
			}
		}, "mass_reading"},
		"one object ten thousand times": {func(see func(*audit.Event)) {
			for i := range 10_000 {
				see(request(i, began.Add(time.Duration(i)*5*time.Second), nil))
			}
		}, ""},
		"a thousand objects a day for a month": {func(see func(*audit.Event)) {
			for i := range 30_000 {
				see(request(i, began.Add(time.Duration(i)*86*time.Second), func(e *audit.Event) { e.Path = fmt.Sprint("/v1/orders/", i) }))
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got told
			e := alert.NewEngine(alert.Detections(), got.tell, nil)
			c.events(e.See)
			var names []string
			for _, i := range got.all {
				if !i.Ended {
					names = append(names, i.Detection)
				}
			}
			if strings.Join(names, " ") != c.want {
				t.Errorf("told %+v, want %q", got.all, c.want)
			}
		})
	}
}

func TestDistinctIsCloseEnough(t *testing.T) {
	for _, n := range []int{0, 1, 10, 100, 1000, 10_000, 1_000_000} {
		var d alert.Distinct
		for i := range n {
			d.Add(fmt.Sprint("/v1/orders/", i))
			d.Add(fmt.Sprint("/v1/orders/", i))
		}
		if got := d.Count(); math.Abs(got-float64(n)) > 0.3*float64(n)+1 {
			t.Errorf("%d counted as %.0f", n, got)
		}
	}
}

func TestTablesAreBounded(t *testing.T) {
	table := alert.NewTable[int](1000)
	for i := range 100_000 {
		*table.At(table.Key(fmt.Sprint(i)))++
		*table.At(table.Key("always there"))++
		if table.Len() > 1000 {
			t.Fatalf("%d entries", table.Len())
		}
	}
	if n := *table.At(table.Key("always there")); n != 100_000 {
		t.Errorf("who is seen all the time is counted %v times", n)
	}
	if table.Known(table.Key("5")) != nil || table.Known(table.Key("99999")) == nil {
		t.Error("who was seen long ago is known, or who was just seen is not")
	}
}

// rig is a log with a watch of it.
type rig struct {
	dir     string
	log     *audit.Log
	now     time.Time
	refuses error // what the log says to an alert; nil: it takes them
}

func (r *rig) openLog(t *testing.T) {
	t.Helper()
	var err error
	r.log, err = audit.Open(audit.Options{
		Dir: filepath.Join(r.dir, "log"), Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now, Slots: 1024,
		Flood: audit.Flood{Rate: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.log.Close() })
}

func (r *rig) watch(t *testing.T) *watched { return r.watchWith(t, alert.Detections()) }

func (r *rig) watchWith(t *testing.T, kinds []alert.Kind) *watched {
	t.Helper()
	of := &watched{wake: make(chan time.Time)}
	var err error
	of.Watch, err = alert.NewWatch(alert.Settings{
		Log: filepath.Join(r.dir, "log"), File: filepath.Join(r.dir, "learned"), Kinds: kinds, Now: func() time.Time { return r.now },
		Record: func(e *audit.Event) error {
			if r.refuses != nil {
				return r.refuses
			}
			return audit.Record(r.log, e)
		},
		Warn: func(err error) {
			if !of.complaints {
				t.Error(err)
			}
		},
		Wake: of.wake,
	})
	if err != nil {
		t.Fatal(err)
	}
	return of
}

// watched is a watch that looks when it is woken.
type watched struct {
	*alert.Watch
	wake       chan time.Time
	complaints bool // are expected
}

// run lets it see what there is, and ends it.
func (w *watched) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	w.wake <- began
	w.wake <- began // what the first woke it for is done
	cancel()
	<-ended
}

func (r *rig) write(t *testing.T, from, to int, change func(*audit.Event)) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := audit.Record(r.log, request(i, r.now, change)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.log.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) alerts(t *testing.T) (all []audit.Found) {
	t.Helper()
	if err := r.log.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := audit.Search(t.Context(), filepath.Join(r.dir, "log"), audit.Query{Class: audit.Detection})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestARestartForgetsNothingAndTellsNothingTwice(t *testing.T) {
	r := &rig{dir: t.TempDir(), now: began}
	r.openLog(t)
	w := r.watch(t)
	r.write(t, 0, 20, wrong) // not yet enough
	w.run(t)
	if found := r.alerts(t); len(found) != 0 {
		t.Fatalf("told %+v", found)
	}
	w = r.watch(t)
	r.write(t, 20, 40, wrong)
	w.run(t)
	found := r.alerts(t)
	if len(found) != 1 || found[0].Event.Code != "guessing" || found[0].Event.Action != "began" {
		t.Fatalf("told %+v", found)
	}
	if len(w.Open()) != 1 {
		t.Errorf("open %+v", w.Open())
	}
	// A crash: what it has learned since is forgotten, what it has told is not told again.
	before, err := os.ReadFile(filepath.Join(r.dir, "learned"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := func(e *audit.Event) { wrong(e); e.Remote = netip.MustParseAddrPort("198.51.100.9:1") }
	r.write(t, 40, 80, elsewhere)
	for range 2 {
		if err := os.WriteFile(filepath.Join(r.dir, "learned"), before, 0o600); err != nil {
			t.Fatal(err)
		}
		w = r.watch(t)
		w.run(t)
		if found := r.alerts(t); len(found) != 2 || found[1].Event.Target != "network 198.51.100.9" {
			t.Fatalf("told %+v", found)
		}
	}
}

// TestWhatIsOfferedIsSeenInOrderAndGapsAreRead: a watch that is given only some of the events
// sees all, once.
func TestWhatIsOfferedIsSeenInOrderAndGapsAreRead(t *testing.T) {
	for name, offered := range map[string]func(seq uint64) bool{
		"all":          func(uint64) bool { return true },
		"none":         func(uint64) bool { return false },
		"every second": func(seq uint64) bool { return seq%2 == 0 },
		"the first":    func(seq uint64) bool { return seq < 10 },
		"the last":     func(seq uint64) bool { return seq > 20 },
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{dir: t.TempDir(), now: began}
			var seen seqs
			var w *watched
			var err error
			r.log, err = audit.Open(audit.Options{
				Dir: filepath.Join(r.dir, "log"), Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now, Slots: 64,
				Written: func(seq uint64, e *audit.Event) {
					if offered(seq) {
						w.Offer(seq, e)
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.log.Close() })
			w = r.watchWith(t, []alert.Kind{{Name: "all", New: func() alert.Detection { return &seen }}})
			r.write(t, 0, 30, nil)
			w.run(t)
			if len(seen.ids) != 30 {
				t.Fatalf("saw %q", seen.ids)
			}
			for i, id := range seen.ids {
				if id != fmt.Sprint("r", i) {
					t.Fatalf("saw %q", seen.ids)
				}
			}
		})
	}
}

// seqs is a detection that remembers what it saw.
type seqs struct{ ids []string }

func (s *seqs) See(e *audit.Event, _ func(alert.Alert)) { s.ids = append(s.ids, e.ID) }
func (s *seqs) State() any                              { return nil }

// TestProbingCannotBeTaught: whoever begins below the threshold and asks for more each time does
// not make it usual.
func TestProbingCannotBeTaught(t *testing.T) {
	attacktest.Rows(t, 173)
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	e.See(request(0, began, nil))
	at, n, r := began.Add(4*24*time.Hour).Truncate(10*time.Minute), 0, newRand(7)
	for _, objects := range []int{38, 115, 220} {
		for range objects {
			n++
			e.See(request(n, at, func(e *audit.Event) { e.Status, e.Path = 404, fmt.Sprint("/v1/orders/", r.Uint64()) }))
		}
		at = at.Add(10 * time.Minute)
	}
	if len(got.all) != 1 || got.all[0].Detection != "object_probing" {
		t.Errorf("told %+v", got.all)
	}
}

// TestWhatIsUsualIsNeverMoreThanCanBeCounted: days of stuffing that grows slowly do not blind
// who looks for it.
func TestWhatIsUsualIsNeverMoreThanCanBeCounted(t *testing.T) {
	attacktest.Rows(t, 149)
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	at, from := began.Truncate(10*time.Minute), 30
	see := func(networks int) {
		for i := range networks {
			e.See(request(i, at, func(e *audit.Event) {
				wrong(e)
				e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1)
			}))
		}
		at = at.Add(10 * time.Minute)
	}
	for range 144 * 10 { // never more than is tolerated by then
		see(from)
		from = min(from+1, 200)
	}
	got.all = nil
	see(700)
	for _, i := range got.all {
		if i.Detection == "stuffing" && !i.Ended {
			return
		}
	}
	t.Errorf("told %+v, open %+v", got.all, e.Open())
}

// TestABadLineDoesNotBlind: what stands behind a record that cannot be read is seen.
func TestABadLineDoesNotBlind(t *testing.T) {
	r := &rig{dir: t.TempDir(), now: began}
	r.openLog(t)
	var seen seqs
	kinds := []alert.Kind{{Name: "all", New: func() alert.Detection { return &seen }}}
	run := func() {
		w := r.watchWith(t, kinds)
		w.complaints = true
		w.run(t)
	}
	run()
	r.write(t, 0, 4, nil)
	run()
	r.write(t, 4, 10, nil)
	names, err := filepath.Glob(filepath.Join(r.dir, "log", "events-*.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Index(text, []byte(`{"seq":5,`))
	file, err := os.OpenFile(names[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{'X'}, int64(bad)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	run()
	if want := "r0 r1 r2 r3 r5 r6 r7 r8 r9"; strings.Join(seen.ids, " ") != want {
		t.Errorf("saw %q, want %s", seen.ids, want)
	}
}

// TestAnotherLogIsWatchedFromItsBeginning: an operator who keeps a damaged log as evidence begins
// with an empty one, whose numbers are lower than what is remembered.
func TestAnotherLogIsWatchedFromItsBeginning(t *testing.T) {
	r := &rig{dir: t.TempDir(), now: began}
	r.openLog(t)
	r.watch(t).run(t)
	r.write(t, 0, 20, nil)
	r.watch(t).run(t)
	if err := errors.Join(r.log.Close(), os.Rename(filepath.Join(r.dir, "log"), filepath.Join(r.dir, "evidence"))); err != nil {
		t.Fatal(err)
	}
	r.openLog(t)
	var seen seqs
	w := r.watchWith(t, []alert.Kind{{Name: "all", New: func() alert.Detection { return &seen }}})
	r.write(t, 100, 103, nil)
	w.run(t)
	if want := "r100 r101 r102"; strings.Join(seen.ids, " ") != want {
		t.Errorf("saw %q, want %s", seen.ids, want)
	}
}

// TestWhatTheLogDoesNotTakeIsToldLater: it may be full because of the very attack.
func TestWhatTheLogDoesNotTakeIsToldLater(t *testing.T) {
	r := &rig{dir: t.TempDir(), now: began}
	r.openLog(t)
	w := r.watchWith(t, alert.Detections())
	w.complaints = true
	r.refuses = errors.New("every slot is in use")
	r.write(t, 0, 40, wrong)
	w.run(t)
	if found := r.alerts(t); len(found) != 0 {
		t.Fatalf("told %+v", found)
	}
	w = r.watchWith(t, alert.Detections()) // a restart forgets nothing
	w.complaints = true
	r.refuses = nil
	w.run(t)
	if found := r.alerts(t); len(found) != 1 || found[0].Event.Code != "guessing" {
		t.Fatalf("told %+v", found)
	}
	w = r.watchWith(t, alert.Detections())
	w.run(t)
	if found := r.alerts(t); len(found) != 1 {
		t.Fatalf("told again: %+v", found)
	}
}

// TestIncidentsEndAfterTheClockWasPutBack: one that was years ahead for a moment.
func TestIncidentsEndAfterTheClockWasPutBack(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	for i := range 40 {
		e.See(request(i, began.AddDate(5, 0, 0), wrong))
	}
	e.Pass(began.AddDate(5, 0, 0).Add(time.Minute))
	for minutes := range 60 {
		e.Pass(began.Add(time.Duration(minutes) * time.Minute))
	}
	if len(got.all) != 2 || !got.all[1].Ended || len(e.Open()) != 0 {
		t.Errorf("told %+v", got.all)
	}
}

// TestAScanIsSeenWherePathsAreHidden: one endpoint with a secret in its path hides all that no
// endpoint has.
func TestAScanIsSeenWherePathsAreHidden(t *testing.T) {
	attacktest.Rows(t, 149)
	for requests, want := range map[int]int{40: 0, 400: 1} {
		var got told
		e := alert.NewEngine(alert.Detections(), got.tell, nil)
		for i := range requests {
			e.See(request(i, began.Add(time.Duration(i)*time.Second), func(e *audit.Event) {
				e.Decision, e.Code, e.Status, e.Proved, e.Client, e.CredentialID = audit.Refused, "unknown_endpoint", 404, false, "", ""
				e.API, e.Endpoint, e.Path = "", "", "/v1/*"
			}))
		}
		if len(got.all) != want || want > 0 && got.all[0].Detection != "endpoint_scan" {
			t.Errorf("%d requests: told %+v", requests, got.all)
		}
	}
}

// TestFormsThatPagesSendAreNoGuessing: a page can make its readers' browsers send any number of
// them, and who answers alerts by blocking networks would shut out the readers.
func TestFormsThatPagesSendAreNoGuessing(t *testing.T) {
	attacktest.Rows(t, 166)
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	for i := range 100 {
		e.See(&audit.Event{
			ID: fmt.Sprint("f", i), Time: began.Add(time.Duration(i) * time.Second), Class: audit.Grant, Decision: audit.Noted, Action: "person.forged_form",
			Remote: netip.MustParseAddrPort("192.0.2.7:1000"),
		})
	}
	if len(got.all) != 0 {
		t.Errorf("told %+v", got.all)
	}
}

// TestASinkThatWasMendedWhileNothingRanFailsNoMore: no event tells of its recovery.
func TestASinkThatWasMendedWhileNothingRanFailsNoMore(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	for i, code := range []string{"sink_failing", "started"} {
		e.See(&audit.Event{ID: fmt.Sprint("s", i), Time: began.Add(time.Duration(i) * time.Minute), Class: audit.System, Decision: audit.Noted, Code: code, Target: "siem"})
	}
	for i := range 60 {
		e.See(request(i, began.Add(time.Duration(i)*time.Minute), nil))
	}
	if len(got.all) != 0 {
		t.Errorf("told %+v", got.all)
	}
}
