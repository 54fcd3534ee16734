package flow_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

func withSteps(t testing.TB) *world {
	w := newWorld(t)
	w.sequence = purchase()
	return w
}

// buy goes through all steps.
func (w *world) buy(who string) (last got) {
	for _, path := range []string{"/cart", "/checkout/1", "/pay"} {
		if last = w.send(who, path, "", ""); last.status != 201 {
			return last
		}
	}
	return last
}

func TestStepsComeInOrderAndOnce(t *testing.T) {
	attacktest.Rows(t, 172)
	w := withSteps(t).start()
	w.want(w.send("shop/ann", "/pay", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("shop/ann", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("shop/ann", "/cart", "", ""), 201, "")
	w.want(w.send("shop/ann", "/cart", "", ""), 201, "") // begins anew
	w.want(w.send("shop/ann", "/pay", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("shop/bob", "/checkout/1", "", ""), 409, shield.OutOfOrder) // it is not his
	w.want(w.send("shop/ann", "/checkout/1", "", ""), 201, "")
	w.want(w.send("shop/ann", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("shop/ann", "/pay", "", ""), 201, "")
	w.want(w.send("shop/ann", "/pay", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("shop/ann", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	if w.calls.Load() != 4 || w.store.Runs() != 0 {
		t.Errorf("%d calls, %d runs open", w.calls.Load(), w.store.Runs())
	}
	w.want(w.buy("shop/ann"), 201, "")
	if n := w.codes()[string(shield.OutOfOrder)]; n != 7 {
		t.Errorf("%d events say out_of_order", n)
	}
}

func TestStepsMayBeRepeatedWhereTheyMay(t *testing.T) {
	w := withSteps(t)
	w.sequence.Once = false
	w.start()
	w.want(w.send("a", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	w.want(w.buy("a"), 201, "")
	w.want(w.send("a", "/pay", "", ""), 201, "")
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
	w.want(w.send("a", "/pay", "", ""), 201, "")
	w.wait(w.sequence.Within + 1)
	w.want(w.send("a", "/pay", "", ""), 409, shield.OutOfOrder)
}

func TestAFlowReplayedAThousandTimesIsLimited(t *testing.T) {
	attacktest.Rows(t, 172)
	w := withSteps(t)
	l, err := limit.ParseLimit("20/hour per user")
	if err != nil {
		t.Fatal(err)
	}
	l.Name = "checkout-user"
	w.sequence.Limits = []limit.Limit{l}
	w.start()
	bought, limited := 0, 0
	for range 1000 {
		switch g := w.buy("shop/bot"); {
		case g.status == 201:
			bought++
		case g.status == 429 && g.code() == string(shield.RateLimited) && g.header.Get("Retry-After") != "":
			limited++
		default:
			t.Fatalf("%+v", g)
		}
	}
	w.want(w.buy("shop/ann"), 201, "")
	if bought != 20 || limited != 980 {
		t.Errorf("%d bought, %d limited", bought, limited)
	}
	w.wait(time.Hour)
	w.want(w.buy("shop/bot"), 201, "")
	if codes := w.codes(); codes[string(shield.RateLimited)] != 980 {
		t.Errorf("events: %v", codes)
	}
}

func TestStepsHaveAPaceAndATime(t *testing.T) {
	w := withSteps(t)
	w.sequence.Pace = 2 * time.Second
	w.start()
	w.want(w.send("a", "/cart", "", ""), 201, "")
	g := w.send("a", "/checkout/1", "", "")
	w.want(g, 429, shield.TooFast)
	if g.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", g.header.Get("Retry-After"))
	}
	w.wait(2*time.Second - 1)
	w.want(w.send("a", "/checkout/1", "", ""), 429, shield.TooFast)
	w.wait(1)
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
	w.wait(w.sequence.Within)
	w.want(w.send("a", "/pay", "", ""), 409, shield.OutOfOrder)
}

func TestAClockThatIsSetBackEndsWhatIsFromTheFuture(t *testing.T) {
	w := withSteps(t)
	w.sequence.Pace = time.Second
	w.start()
	w.want(w.send("a", "/cart", "", ""), 201, "")
	w.wait(-30 * time.Second) // clocks are corrected
	w.want(w.send("a", "/checkout/1", "", ""), 429, shield.TooFast)
	w.wait(-time.Hour)
	w.want(w.send("a", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("a", "/cart", "", ""), 201, "")
	w.wait(time.Second)
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
}

// TestWhatAStepBecomes has the service end in every way.
func TestWhatAStepBecomes(t *testing.T) {
	for name, c := range map[string]struct {
		answer    http.HandlerFunc
		same, pay int // status of the same step again, and of the next one instead
	}{
		"taken":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }, 409, 201},
		"refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(402) }, 201, 409},
		"failed":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 201, 409},
		"taken, then broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 409, 201},
		"never reached": {func(w http.ResponseWriter, r *http.Request) {
			pavise.Report(r.Context(), pavise.Outcome{Unsent: true})
			pavise.Fail(w, r, shield.Refuse(shield.UpstreamDown, ""))
		}, 201, 409},
		"unknown": {func(w http.ResponseWriter, r *http.Request) {
			pavise.Fail(w, r, shield.Refuse(shield.UpstreamTimeout, ""))
		}, 409, 409},
		"crashed": {func(http.ResponseWriter, *http.Request) { panic("oh") }, 409, 409},
	} {
		t.Run(name, func(t *testing.T) {
			for _, next := range []struct {
				path string
				want int
			}{{"/checkout/1", c.same}, {"/pay", c.pay}} {
				w := withSteps(t).start()
				w.want(w.send("a", "/cart", "", ""), 201, "")
				w.answer = c.answer
				_, _ = w.try("a", "/checkout/1", "", "") // it may break off
				w.answer = nil
				if g := w.send("a", next.path, "", ""); g.status != next.want {
					t.Errorf("%s afterwards: %d %s, want %d", next.path, g.status, g.body, next.want)
				}
			}
		})
	}
}

func TestOfFiftyStepsAtOnceOnePasses(t *testing.T) {
	w := withSteps(t).start()
	w.want(w.send("a", "/cart", "", ""), 201, "")
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
	var passed, refused atomic.Int32
	leave := make(chan struct{})
	w.answer = func(out http.ResponseWriter, _ *http.Request) { <-leave; out.WriteHeader(http.StatusCreated) }
	timeout := time.AfterFunc(10*time.Second, func() { close(leave) }) // of a test that goes wrong
	together(50, func(int) {
		switch g, err := w.try("a", "/pay", "", ""); {
		case err == nil && g.status == 201:
			passed.Add(1)
		case err == nil && g.code() == string(shield.InProgress):
			if refused.Add(1) == 49 && timeout.Stop() {
				close(leave)
			}
		default:
			t.Errorf("%+v, %v", g, err)
		}
	})
	if passed.Load() != 1 || refused.Load() != 49 || w.calls.Load() != 3 {
		t.Errorf("%d passed, %d refused, %d calls", passed.Load(), refused.Load(), w.calls.Load())
	}
}

func TestSequencesOutliveTheProcess(t *testing.T) {
	w := withSteps(t).start()
	w.want(w.send("a", "/cart", "", ""), 201, "")
	w.want(w.send("b", "/cart", "", ""), 201, "")
	w.want(w.buy("c"), 201, "")
	entered, stop := make(chan struct{}), make(chan struct{})
	w.answer = func(http.ResponseWriter, *http.Request) { close(entered); <-stop }
	go func() { _, _ = w.try("b", "/checkout/1", "", "") }()
	<-entered
	w.answer = nil
	w.restart()
	close(stop)
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
	w.want(w.send("b", "/checkout/1", "", ""), 409, shield.OutOfOrder) // what came of it is not known
	w.want(w.send("c", "/pay", "", ""), 409, shield.OutOfOrder)
	w.restart()
	w.want(w.send("a", "/pay", "", ""), 201, "")
}

func TestSeveralRunsBesideEachOther(t *testing.T) {
	w := withSteps(t)
	w.key = [3]flow.Place{{In: flow.InHeader, Name: "X-Cart"}, {In: flow.InPath, Name: "id"}, {In: flow.InBody, Name: "/cart/id"}}
	w.start()
	for _, cart := range []string{"1", "2", "3", "4"} {
		w.want(w.send("a", "/cart", "", "", "X-Cart", cart), 201, "")
	}
	w.want(w.send("a", "/cart", "", "", "X-Cart", "5"), 429, shield.RateLimited)
	w.want(w.send("a", "/cart", "", "", "X-Cart", "1"), 201, "")
	w.want(w.send("b", "/cart", "", "", "X-Cart", "5"), 201, "")
	w.want(w.send("a", "/checkout/2", "", ""), 201, "")
	w.want(w.send("a", "/pay", "", `{"cart":{"id":1}}`), 409, shield.OutOfOrder)
	w.want(w.send("a", "/pay", "", `{"cart":{"id":2}}`), 201, "")
	w.want(w.send("a", "/pay", "", `{"cart":{"id":"2"}}`), 409, shield.OutOfOrder)
	for name, g := range map[string]got{
		"no header":    w.send("a", "/cart", "", ""),
		"two headers":  w.send("a", "/cart", "", "", "X-Cart", "1", "X-Cart", "2"),
		"no body":      w.send("a", "/pay", "", ""),
		"no JSON":      w.send("a", "/pay", "", "{"),
		"twice":        w.send("a", "/pay", "", `{"cart":{"id":1,"id":2}}`),
		"no pointer":   w.send("a", "/pay", "", `{"cart":{}}`),
		"an object":    w.send("a", "/pay", "", `{"cart":{"id":{}}}`),
		"another form": w.send("a", "/pay", "", `{"cart":{"id":2.0}}`),
		"empty":        w.send("a", "/pay", "", `{"cart":{"id":""}}`),
	} {
		if g.status != 400 || g.code() != string(shield.InvalidInput) {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

func TestTheServiceMayMakeTheKey(t *testing.T) {
	w := withSteps(t)
	w.key = [3]flow.Place{{In: flow.InAnswer, Name: "/id"}, {In: flow.InPath, Name: "id"}, {In: flow.InHeader, Name: "X-Cart"}}
	w.start()
	w.want(w.send("a", "/cart", "", ""), 201, "") // its answer says 1
	w.want(w.send("a", "/checkout/2", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("b", "/checkout/1", "", ""), 409, shield.OutOfOrder)
	w.want(w.send("a", "/checkout/1", "", ""), 201, "")
	w.want(w.send("a", "/pay", "", "", "X-Cart", "1"), 201, "")
	w.answer = func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "no key") }
	w.want(w.send("a", "/cart", "", ""), 200, "")
	w.server.Close()
	events := w.events.Events()
	if last := events[len(events)-1]; last.Warning != "flow_unkept" {
		t.Errorf("event %+v", last)
	}
}

func TestARetryWithAKeyDoesNotMoveTheSequence(t *testing.T) {
	w := withSteps(t)
	w.idempotency = keys()
	w.start()
	w.want(w.send("a", "/pay", "k3", ""), 409, shield.OutOfOrder) // and the key is free again
	w.want(w.send("a", "/cart", "k1", ""), 201, "")
	w.want(w.send("a", "/checkout/1", "k2", ""), 201, "")
	if g := w.send("a", "/cart", "k1", ""); !g.replayed {
		t.Errorf("%+v", g)
	}
	w.want(w.send("a", "/pay", "k3", ""), 201, "")
	for range 3 {
		if g := w.send("a", "/pay", "k3", ""); !g.replayed {
			t.Errorf("%+v", g)
		}
	}
	w.want(w.send("a", "/pay", "k4", ""), 409, shield.OutOfOrder)
	if w.calls.Load() != 3 {
		t.Errorf("%d calls", w.calls.Load())
	}
}

func TestOpenSequencesAreBounded(t *testing.T) {
	w := withSteps(t)
	w.change = func(o *flow.Options) { o.MaxRuns = 3 }
	w.start()
	for i := range 3 {
		w.want(w.send(fmt.Sprint(i), "/cart", "", ""), 201, "")
	}
	w.want(w.send("4", "/cart", "", ""), 503, shield.Busy)
	w.want(w.send("1", "/cart", "", ""), 201, "")
	w.wait(w.sequence.Within)
	w.want(w.send("4", "/cart", "", ""), 201, "")
}

func TestWhatCannotWorkIsNoEndpoint(t *testing.T) {
	w := withSteps(t)
	w.open()
	for name, change := range map[string]func(*flow.Step){
		"one step":            func(s *flow.Step) { s.Of.Steps = 1 },
		"a step beyond":       func(s *flow.Step) { s.Index = 3 },
		"no time":             func(s *flow.Step) { s.Of.Within = 0 },
		"slower than allowed": func(s *flow.Step) { s.Of.Pace = s.Of.Within },
		"nobody's":            func(s *flow.Step) { s.Of.Per = limit.PerEndpoint },
		"a late key":          func(s *flow.Step) { s.Index, s.Key = 1, flow.Place{In: flow.InAnswer, Name: "/id"} },
		"none open":           func(s *flow.Step) { s.Of.Open = 0 },
		"nobody counts":       func(s *flow.Step) { s.Of.Limits = []limit.Limit{{}} },
	} {
		step := &flow.Step{Of: purchase()}
		change(step)
		if _, err := flow.New(w.store, flow.Settings{Step: step}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := flow.New(w.store, flow.Settings{Step: &flow.Step{Of: purchase()}}); err != nil {
		t.Error(err)
	}
	if _, err := flow.New(w.store, flow.Settings{Idempotency: &flow.Idempotency{Keep: time.Hour, MaxAnswer: flow.MaxAnswer + 1}}); err == nil {
		t.Error("answers over the bound were taken")
	}
	if _, err := flow.Open(flow.Options{Dir: t.TempDir(), Key: []byte("short")}); err == nil {
		t.Error("a short key was taken")
	}
}
