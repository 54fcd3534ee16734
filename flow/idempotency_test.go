package flow_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

func withKeys(t testing.TB) *world {
	w := newWorld(t)
	w.idempotency = keys()
	return w
}

func TestARetryGetsTheSameAnswerAgain(t *testing.T) {
	attacktest.Rows(t, 172)
	w := withKeys(t).start()
	first := w.send("shop/ann", "/pay?x=1", "key-1", "body")
	w.want(first, 201, "")
	again := w.send("shop/ann", "/pay?x=1", `"key-1"`, "body") // quoted or not is one key
	if first.replayed || !again.replayed || again.status != first.status || again.body != first.body || w.calls.Load() != 1 {
		t.Errorf("first %+v, again %+v, %d calls", first, again, w.calls.Load())
	}
	if again.header.Get("Location") != "/orders/1" || again.header.Get("Content-Type") != "application/json" || again.header.Get("Set-Cookie") != "" {
		t.Errorf("headers of the retry: %v", again.header)
	}
	if again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
		t.Error("the retry has the request ID of the first one")
	}
	w.server.Close()
	if e := w.events.Events(); len(e) != 2 || e[0].Note != "" || e[1].Note != "replayed" || e[1].Status != 201 {
		t.Errorf("events %+v", e)
	}
}

func TestAKeyIsOneRequestsOfOneIdentity(t *testing.T) {
	w := withKeys(t).start()
	w.want(w.send("shop/ann", "/pay?x=1", "k", "ann's body"), 201, "")
	for name, c := range map[string]struct {
		who, path, body string
		status          int
		code            shield.Code
	}{
		"another body":     {"shop/ann", "/pay?x=1", "another", 422, shield.KeyReused},
		"another query":    {"shop/ann", "/pay?x=2", "ann's body", 422, shield.KeyReused},
		"another user":     {"shop/bob", "/pay?x=1", "ann's body", 201, ""},
		"another client":   {"till/ann", "/pay?x=1", "ann's body", 201, ""},
		"no user":          {"shop", "/pay?x=1", "ann's body", 201, ""},
		"another endpoint": {"shop/ann", "/cart", "ann's body", 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls := w.calls.Load()
			g := w.send(c.who, c.path, "k", c.body)
			w.want(g, c.status, c.code)
			if g.replayed || strings.Contains(g.body, "ann's body") && c.status != 201 || w.calls.Load() != calls+int32(c.status/201%2) {
				t.Errorf("%+v after %d calls, now %d", g, calls, w.calls.Load())
			}
		})
	}
	if g := w.send("shop/ann", "/pay?x=1", "k", "ann's body"); !g.replayed {
		t.Errorf("the owner of the key gets %+v", g)
	}
}

func TestOfFiftyAtOnceOneIsCarriedOut(t *testing.T) {
	attacktest.Rows(t, 172)
	w := withKeys(t)
	entered, leave := make(chan struct{}, 50), make(chan struct{})
	w.answer = func(out http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = io.WriteString(out, "paid")
	}
	w.start()
	var carried, refused atomic.Int32
	var first sync.WaitGroup
	first.Go(func() { <-entered })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch g, err := w.try("shop/ann", "/pay", "k", "body"); {
			case err != nil:
				t.Error(err)
			case g.status == 200 && !g.replayed && g.body == "paid":
				carried.Add(1)
			case g.status == 409 && g.code() == string(shield.InProgress) && g.header.Get("Retry-After") == "1":
				if refused.Add(1) == 49 {
					close(leave)
				}
			default:
				t.Errorf("%+v", g)
			}
		})
	}
	first.Wait()
	all.Wait()
	if carried.Load() != 1 || refused.Load() != 49 || w.calls.Load() != 1 {
		t.Errorf("%d carried out, %d refused, %d calls", carried.Load(), refused.Load(), w.calls.Load())
	}
	if g := w.send("shop/ann", "/pay", "k", "body"); !g.replayed || g.body != "paid" {
		t.Errorf("afterwards: %+v", g)
	}
}

func TestKeysAreDemandedAndRead(t *testing.T) {
	for name, c := range map[string]struct {
		required bool
		key      string
		more     []string
		status   int
		code     shield.Code
	}{
		"missing and required":  {true, "", nil, 400, shield.KeyRequired},
		"missing":               {false, "", nil, 201, ""},
		"twice":                 {true, "a", []string{flow.KeyHeader, "b"}, 400, shield.BadHeader},
		"the same twice":        {false, "a", []string{flow.KeyHeader, "a"}, 400, shield.BadHeader},
		"no string":             {false, `"open`, nil, 400, shield.BadHeader},
		"with parameters":       {false, `"a";b=1`, nil, 400, shield.BadHeader},
		"a list":                {false, `a,b`, nil, 400, shield.BadHeader},
		"too long":              {true, strings.Repeat("k", 256), nil, 400, shield.BadHeader},
		"the longest":           {true, strings.Repeat("k", 255), nil, 201, ""},
		"a UUID":                {true, "8e03978e-40d5-43e8-bc93-6894a57f9324", nil, 201, ""},
		"a quoted one, escaped": {true, `"a \"b\" \\"`, nil, 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := withKeys(t)
			w.idempotency.Required = c.required
			w.start()
			w.want(w.send("shop", "/pay", c.key, "body", c.more...), c.status, c.code)
			if called := w.calls.Load() == 1; called != (c.status == 201) {
				t.Errorf("%d calls", w.calls.Load())
			}
		})
	}
}

func TestWithoutAKeyEveryRequestIsCarriedOut(t *testing.T) {
	w := withKeys(t)
	w.idempotency.Required = false
	w.start()
	for range 3 {
		w.want(w.send("shop", "/pay", "", "body"), 201, "")
	}
	if w.calls.Load() != 3 || w.store.Keys() != 0 {
		t.Errorf("%d calls, %d keys", w.calls.Load(), w.store.Keys())
	}
}

// TestWhatCameOfIt has the service end in every way, and says what the retry gets.
func TestWhatCameOfIt(t *testing.T) {
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	fails := func(unsent bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			pavise.Report(r.Context(), pavise.Outcome{Unsent: unsent})
			pavise.Fail(w, r, shield.Refuse(shield.UpstreamFailed, "gone"))
		}
	}
	const (
		replayed = "replayed"
		anew     = "anew"
	)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"done":                        {says(200, "ok"), replayed},
		"done, without a word":        {says(204, ""), replayed},
		"refused by the service":      {says(402, "no money"), replayed},
		"failed within the service":   {says(500, "oops"), replayed},
		"unavailable":                 {says(503, "later"), replayed},
		"limited by the service":      {says(429, "later"), anew},
		"too early":                   {says(425, "later"), anew},
		"not received by the service": {says(408, "later"), anew},
		"nothing reached the service": {fails(true), anew},
		"the service broke off":       {fails(false), string(shield.OutcomeUnknown)},
		"the answer broke off": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ha")
			panic(http.ErrAbortHandler)
		}, string(shield.OutcomeUnknown)},
		"the handler crashed":    {func(http.ResponseWriter, *http.Request) { panic("oh") }, string(shield.OutcomeUnknown)},
		"an answer at the bound": {says(200, strings.Repeat("x", 1024)), replayed},
		"an answer over it":      {says(200, strings.Repeat("x", 1025)), string(shield.AnswerNotKept)},
		"an answer in pieces over it": {func(w http.ResponseWriter, _ *http.Request) {
			for range 300 {
				_, _ = io.WriteString(w, "piece by piece")
			}
		}, string(shield.AnswerNotKept)},
		"an answer with trailers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "ok")
			w.Header().Set("X-Sum", "1")
		}, string(shield.AnswerNotKept)},
		"a stream": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
		}, string(shield.AnswerNotKept)},
	} {
		t.Run(name, func(t *testing.T) {
			w := withKeys(t)
			w.answer = c.answer
			w.start()
			first, _ := w.try("shop/ann", "/pay", "k", "body") // it may break off
			retry, _ := w.try("shop/ann", "/pay", "k", "body")
			switch calls := w.calls.Load(); {
			case c.want == replayed && (!retry.replayed || retry.status != first.status || retry.body != first.body || calls != 1),
				c.want == anew && (retry.replayed || calls != 2),
				c.want != replayed && c.want != anew && (retry.status != 409 || retry.code() != c.want || calls != 1):
				t.Errorf("first %+v, retry %+v, %d calls; want %s", first, retry, calls, c.want)
			}
		})
	}
}

func TestACallerWhoLeavesFindsTheAnswerLater(t *testing.T) {
	w := withKeys(t)
	entered, left, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	w.left = left
	w.answer = func(out http.ResponseWriter, r *http.Request) {
		close(entered)
		<-left
		done <- r.Context().Err()
		_, _ = io.WriteString(out, "paid")
	}
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+"/pay", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Who", "shop/ann")
	r.Header.Set(flow.KeyHeader, "k")
	go func() { <-entered; cancel() }()
	if response, err := w.server.Client().Do(r); err == nil {
		_ = response.Body.Close()
		t.Fatal("the caller did not leave")
	}
	if err := <-done; err != nil {
		t.Errorf("the service's request was ended: %v", err)
	}
	for { // until the handler has ended
		g := w.send("shop/ann", "/pay", "k", "body")
		if g.code() == string(shield.InProgress) {
			continue
		}
		if !g.replayed || g.body != "paid" {
			t.Errorf("%+v", g)
		}
		return
	}
}

func TestKeysOutliveTheProcess(t *testing.T) {
	w := withKeys(t)
	entered, stop := make(chan struct{}), make(chan struct{})
	w.answer = func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get(flow.KeyHeader) == "hangs" {
			close(entered)
			<-stop
		}
		_, _ = io.WriteString(out, "paid")
	}
	w.start()
	w.want(w.send("shop/ann", "/pay", "k", "body"), 200, "")
	go func() { _, _ = w.try("shop/ann", "/pay", "hangs", "body") }()
	<-entered
	w.restart()
	close(stop)
	if g := w.send("shop/ann", "/pay", "k", "body"); !g.replayed || g.body != "paid" {
		t.Errorf("answered before: %+v", g)
	}
	w.want(w.send("shop/ann", "/pay", "hangs", "body"), 409, shield.OutcomeUnknown)
	w.want(w.send("shop/ann", "/pay", "k", "another"), 422, shield.KeyReused)
}

func TestKeysAreForgottenInTime(t *testing.T) {
	w := withKeys(t).start()
	w.want(w.send("shop/ann", "/pay", "k", "body"), 201, "")
	w.wait(time.Hour - time.Second)
	if g := w.send("shop/ann", "/pay", "k", "body"); !g.replayed {
		t.Errorf("a second before: %+v", g)
	}
	w.wait(-2 * time.Hour) // a clock that is set back gives nothing free
	if g := w.send("shop/ann", "/pay", "k", "body"); !g.replayed {
		t.Errorf("the clock was set back: %+v", g)
	}
	w.wait(2*time.Hour + time.Second)
	if g := w.send("shop/ann", "/pay", "k", "body"); g.replayed || g.status != 201 || w.calls.Load() != 2 {
		t.Errorf("after its time: %+v", g)
	}
	w.wait(2 * time.Hour)
	if n := w.store.Keys(); n != 0 {
		t.Errorf("%d keys are known after all were over", n)
	}
}

func TestKeysAreBoundedInAllAndForEachIdentity(t *testing.T) {
	w := withKeys(t)
	w.change = func(o *flow.Options) { o.MaxKeys = 8 }
	w.start()
	for _, key := range []string{"1", "2", "3", "4", "5", "6", "6"} { // alone, one has three quarters
		w.want(w.send("a", "/pay", key, ""), 201, "")
	}
	g := w.send("a", "/pay", "7", "")
	w.want(g, 429, shield.RateLimited)
	if g.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.want(w.send("b", "/pay", "1", ""), 201, "")
	w.want(w.send("c", "/pay", "1", ""), 201, "")
	w.want(w.send("e", "/pay", "1", ""), 503, shield.Busy)
	w.wait(2 * time.Hour)
	w.want(w.send("e", "/pay", "1", ""), 201, "")
}

func TestAnswersBeyondTheRoomAreNotKept(t *testing.T) {
	w := withKeys(t)
	w.change = func(o *flow.Options) { o.MaxBytes = 1500 }
	w.answer = func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, strings.Repeat("x", 1000)) }
	w.start()
	for _, key := range []string{"1", "2"} {
		w.want(w.send("a", "/pay", key, ""), 200, "")
	}
	if g := w.send("a", "/pay", "1", ""); !g.replayed {
		t.Errorf("%+v", g)
	}
	w.want(w.send("a", "/pay", "2", ""), 409, shield.AnswerNotKept)
}

func TestNothingReadableIsOnTheDisk(t *testing.T) {
	w := withKeys(t)
	w.answer = func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "planted-answer") }
	w.start()
	w.want(w.send("planted-client/planted-user", "/pay?q=planted-query", "planted-key", "planted-body"), 200, "")
	found, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(found) < 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil || strings.Contains(string(text), "planted") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, e := range w.events.Events() {
		if strings.Contains(e.Detail+e.Query+e.Note+e.Warning, "planted-key") {
			t.Errorf("the key is in the event %+v", e)
		}
	}
}

func TestAnotherKeyOfTheStoreOpensNoAnswer(t *testing.T) {
	w := withKeys(t).start()
	w.want(w.send("a", "/pay", "1", ""), 201, "")
	w.change = func(o *flow.Options) { o.Key = make([]byte, 32) }
	w.restart()
	if g := w.send("a", "/pay", "1", ""); g.replayed {
		t.Errorf("%+v", g)
	}
}
