package review_test

import (
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/review"
)

const pattern = "GET /v1/orders/{id}"

func monday() time.Time { return time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC) }

func options() review.Options {
	return review.Options{
		Since: monday(), Until: monday().AddDate(0, 0, 7), Changed: monday().Add(-time.Hour), Enough: 300,
		Tried: []review.Tried{{API: "orders", Endpoint: pattern, Layer: "contract", Until: "2027-01-31"}},
	}
}

// sent is a request that was let through.
func sent(n int, client, would string) audit.Event {
	return audit.Event{
		ID: fmt.Sprintf("r%d", n), Time: monday().Add(time.Duration(n) * time.Second), Class: audit.Request, API: "orders", Endpoint: pattern,
		Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}), 1), Step: "proxy", Decision: audit.Accepted,
		Client: client, Proved: client != "", Would: would,
	}
}

func summed(o review.Options, events ...audit.Event) review.Layer {
	b := review.NewBlock(o)
	for i := range events {
		b.Add(&events[i])
	}
	for _, l := range b.Summary().Endpoints[0].Layers {
		if l.Until != "" {
			return l
		}
	}
	return review.Layer{}
}

func many(n int, client string) (all []audit.Event) {
	for i := range n {
		all = append(all, sent(i, client, ""))
	}
	return all
}

const broken = "contract invalid_input path minimum /id"

func TestVerdicts(t *testing.T) {
	started := func(at time.Time) audit.Event {
		return audit.Event{Time: at, Class: audit.System, Code: "started", Decision: audit.Noted}
	}
	reloaded := audit.Event{Time: monday().Add(200 * time.Second), Class: audit.Admin, Action: "configuration.reload", Decision: audit.Noted}
	noticed := reloaded
	noticed.Action = "reload" // of a file that changed, or of a signal
	refusedReload := reloaded
	refusedReload.Decision = audit.Refused
	late := options()
	late.Changed = monday().Add(150 * time.Second)
	early := func(step string) (all []audit.Event) {
		for _, e := range many(400, "shop") {
			e.Step, e.Decision = step, audit.Refused
			all = append(all, e)
		}
		return all
	}
	for name, c := range map[string]struct {
		options review.Options
		events  []audit.Event
		want    review.Verdict
		why     string
	}{
		"enough requests, none refused":               {options(), many(300, "shop"), review.Safe, "none of 300 requests of proved identities: below 1 % at 95 %"},
		"of strangers alone, none refused":            {options(), many(600, ""), review.Safe, "none of 600 requests: below 0.5 %"},
		"too few":                                     {options(), many(299, "shop"), review.TooFew, "299 requests of proved identities, want 300: below 1 %"},
		"none at all":                                 {options(), nil, review.TooFew, "0 requests, want 300"},
		"a caller would be refused":                   {options(), append(many(600, "shop"), sent(601, "old-app", broken), sent(602, "old-app", broken), sent(603, "zoo", broken)), review.Hits, "3 of 603 requests of proved identities: old-app (2), zoo (1)"},
		"strangers would be refused":                  {options(), append(many(300, "shop"), sent(301, "", broken)), review.Safe, "only 1 of strangers would be refused"},
		"strangers, and nobody else calls":            {options(), append(many(300, ""), sent(301, "", broken)), review.Look, "1 of 301 requests; nobody here proves who he is"},
		"many strangers do not make up for callers":   {options(), append(many(900, ""), sent(901, "shop", "")), review.TooFew, "1 requests of proved identities"},
		"refused before it was asked":                 {options(), early("access"), review.TooFew, "0 requests"},
		"refused for want of places":                  {options(), early("load"), review.TooFew, "0 requests"},
		"refused by the layer itself, not on trial":   {options(), early("validate"), review.TooFew, "0 requests"},
		"refused after it was asked":                  {options(), early("policy"), review.Safe, "none of 400"},
		"of a cut event not all is known":             {options(), append(many(300, "shop"), sent(301, "shop", "candidate-when forbidden body a /b; cont…")), review.Look, "of 1 requests the log holds only a part"},
		"written, and not read since":                 {late, many(600, "shop"), review.Waiting, "after the gateway last read"},
		"written, and read: what was before is left":  {late, append(append(many(200, "shop"), reloaded), many(600, "shop")[201:]...), review.Safe, "none of 399"},
		"written, and read by itself":                 {late, append(append(many(200, "shop"), noticed), many(600, "shop")[201:]...), review.Safe, "none of 399"},
		"a start reads too":                           {late, append(append(many(200, "shop"), started(late.Changed)), many(300, "shop")[201:]...), review.TooFew, "99 requests"},
		"a start before it was written":               {late, append([]audit.Event{started(monday())}, many(600, "shop")...), review.Waiting, ""},
		"a reload that was refused":                   {late, append(append(many(200, "shop"), refusedReload), many(600, "shop")[201:]...), review.Waiting, ""},
		"refused before it was changed: look at rows": {late, append(append(many(100, "shop"), sent(101, "shop", broken), reloaded), many(900, "shop")[201:]...), review.Safe, "none of 699"},
		"events that stand for many":                  {options(), []audit.Event{{Time: monday(), Class: audit.Request, API: "orders", Endpoint: pattern, Step: "policy", Decision: audit.Refused, Count: 400}}, review.Safe, "none of 400"},
		"other APIs do not count":                     {review.Options{Since: monday(), API: "orders", Tried: options().Tried}, []audit.Event{{Time: monday(), Class: audit.Request, API: "else", Endpoint: pattern, Decision: audit.Accepted, Count: 400}}, review.TooFew, "0 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			l := summed(c.options, c.events...)
			if l.Verdict != c.want || !strings.Contains(l.Why, c.why) {
				t.Errorf("%s: %s; want %s: %s", l.Verdict, l.Why, c.want, c.why)
			}
		})
	}
}

func TestRowsSayWhomAndWhatFor(t *testing.T) {
	events := append(many(6, "shop"), sent(6, "a", broken+"; candidate-scopes insufficient_scope"), sent(7, "b", broken), sent(8, "b", "contract invalid_input query undeclared /x"))
	for i := range events {
		events[i].Remote = netip.MustParseAddrPort("[2001:db8::1]:1") // one network
	}
	events[7].Remote = netip.MustParseAddrPort("[2001:db8:0:1::1]:1")
	b := review.NewBlock(options())
	for i := range events {
		b.Add(&events[i])
	}
	s := b.Summary()
	e := s.Endpoints[0]
	if len(s.Endpoints) != 1 || e.Requests != 9 || len(e.Layers) != 2 || e.Layers[0].Layer != "candidate-scopes" || e.Layers[0].Verdict != review.Over {
		t.Fatalf("%+v", s)
	}
	l := e.Layers[1]
	want := []review.Row{
		{Code: "invalid_input", In: "path", Rule: "minimum", Pointer: "/id", Count: 2, Share: 2. / 9, Clients: 2, Networks: 2, First: events[6].Time, Last: events[7].Time, Sample: "r7"},
		{Code: "invalid_input", In: "query", Rule: "undeclared", Pointer: "/x", Count: 1, Share: 1. / 9, Clients: 1, Networks: 1, First: events[8].Time, Last: events[8].Time, Sample: "r8"},
	}
	if fmt.Sprint(l.Rows) != fmt.Sprint(want) || l.Requests.Count != 3 || l.Requests.Clients != 2 || l.Refused != 3 {
		t.Errorf("%+v\nwant %+v", l, want)
	}
}

// What a layer found of an answer is behind everything that was decided before.
func TestAnswersCountOnceTheyWereGiven(t *testing.T) {
	o := options()
	o.Tried[0].Layer = "responses"
	failed := sent(1, "shop", "")
	failed.Step, failed.Decision = "response", audit.Failed
	refused := sent(2, "shop", "")
	refused.Step, refused.Decision = "harm", audit.Refused
	if l := summed(o, failed, refused, sent(3, "shop", "responses bad_answer")); l.Judged != 2 || l.Proved != 1 {
		t.Errorf("%+v", l)
	}
}

// Whoever names a million parameters and comes from as many networks fills no memory.
func TestAMillionEventsAreSummedInBoundedMemory(t *testing.T) {
	const events = 1_000_000
	b := review.NewBlock(options())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range events {
		e := sent(i%600_000, fmt.Sprint("client-", i), fmt.Sprint("contract invalid_input query undeclared /", i))
		b.Add(&e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	l := b.Summary().Endpoints[0].Layers[0]
	if len(l.Rows) != review.MaxGroups+1 || l.Rows[0].Pointer != "…" {
		t.Errorf("%d rows, the first %+v", len(l.Rows), l.Rows[0])
	}
	got := float64(l.Requests.Clients)
	if !l.Requests.About || math.Abs(got-600_000)/600_000 > 0.25 && math.Abs(got-events)/events > 0.25 {
		t.Errorf("about %v clients of %d (%t)", got, events, l.Requests.About)
	}
	if !strings.Contains(l.Why, "more") || len(l.Why) > 400 {
		t.Errorf("%s", l.Why)
	}
}

// The field is cut where it is long, and names in it are of a caller's making.
func FuzzWould(f *testing.F) {
	for _, seed := range []string{"", broken, broken + "; injection harmful_input", "contract invalid_input body required ", "contract", "; ;  ; a", "contract invalid_in…", "contract invalid_input query undeclared /a b c…"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b := review.NewBlock(options())
		e := sent(1, "shop", text)
		b.Add(&e)
		for _, l := range b.Summary().Endpoints[0].Layers {
			for _, r := range l.Rows {
				if l.Layer == "" || r.Code == "" || r.Count < 1 || r.Count > 32 {
					t.Errorf("%q: %+v", text, l)
				}
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	block := review.NewBlock(options())
	e := sent(1, "shop", broken)
	b.ReportAllocs()
	for b.Loop() {
		block.Add(&e)
	}
}

// As the log is read: most of the time goes into the events' JSON.
func BenchmarkRead(b *testing.B) {
	block := review.NewBlock(options())
	e := sent(1, "shop", broken)
	e.Host, e.Method, e.Path, e.UserAgent, e.Upstream, e.TLS = "api.example.com", "GET", "/v1/orders/7", "curl/8", "127.0.0.1:3000", "1.3"
	text := audit.AppendJSON(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		read, err := audit.ParseJSON(text)
		if err != nil {
			b.Fatal(err)
		}
		block.Add(&read)
	}
}
