package flow_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// world is a guard over HTTP whose endpoints have flows.
type world struct {
	t      testing.TB
	dir    string
	clock  atomic.Int64 // nanoseconds
	store  *flow.Store
	events *audit.Memory
	server *httptest.Server
	change func(*flow.Options)

	idempotency *flow.Idempotency
	sequence    *flow.Sequence
	key         [3]flow.Place // of each step
	calls       atomic.Int32
	answer      func(w http.ResponseWriter, r *http.Request) // nil: 201 with a number
	left        chan struct{}                                // closed when the server notices that a caller left; nil: nobody asks
}

// byHeader is a shield that takes everybody at his word.
type byHeader struct{}

func (byHeader) Verify(r *http.Request) (*shield.Identity, error) {
	client, user, _ := strings.Cut(r.Header.Get("X-Who"), "/")
	return &shield.Identity{Shield: "test", CredentialID: "k-" + client, Client: client, User: user, Issuer: "test"}, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "flows"), events: &audit.Memory{}}
	w.clock.Store(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).UnixNano())
	return w
}

// purchase is a sequence of three steps.
func purchase() *flow.Sequence {
	return &flow.Sequence{Name: "checkout", Steps: 3, Within: 30 * time.Minute, Per: limit.PerUser, Once: true, Open: 4}
}

func keys() *flow.Idempotency {
	return &flow.Idempotency{Required: true, Keep: time.Hour, MaxAnswer: 1024}
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()) }

func (w *world) wait(d time.Duration) { w.clock.Add(int64(d)) }

func (w *world) open() {
	w.t.Helper()
	o := flow.Options{Dir: w.dir, Key: bytes.Repeat([]byte{7}, 32), Now: w.now, Warn: func(err error) { w.t.Log(err) }}
	if w.change != nil {
		w.change(&o)
	}
	store, err := flow.Open(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = store
	w.t.Cleanup(func() { _ = store.Close() })
}

// start opens the store and the guard before it.
func (w *world) start() *world {
	w.t.Helper()
	w.open()
	limiter, err := limit.NewMemory(limit.MemoryOptions{Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	var endpoints []pavise.Endpoint
	for i, pattern := range []string{"POST /cart", "POST /checkout/{id}", "POST /pay"} {
		s := flow.Settings{API: "shop", Pattern: pattern, MaxBody: 1 << 16, Idempotency: w.idempotency, Limiter: limiter}
		if w.sequence != nil {
			s.Step = &flow.Step{Of: w.sequence, Index: i, Key: w.key[i]}
		}
		e, err := flow.New(w.store, s)
		if err != nil {
			w.t.Fatal(err)
		}
		endpoints = append(endpoints, pavise.Endpoint{Pattern: pattern, Shield: byHeader{}, AnyScope: true, MaxBody: 1 << 16, Flow: e})
	}
	guard, err := pavise.New(pavise.Policy{
		Sink: w.events, Hosts: []pavise.Host{{Name: "127.0.0.1"}}, Now: w.now,
		APIs: []pavise.API{{Name: "shop", Hosts: []string{"127.0.0.1"}, Endpoints: endpoints}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	guarded := guard.Wrap(http.HandlerFunc(w.serve))
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.left != nil {
			left := w.left
			w.left = nil
			defer context.AfterFunc(r.Context(), func() { close(left) })()
		}
		guarded.ServeHTTP(out, r)
	}))
	w.t.Cleanup(w.server.Close)
	return w
}

// restart is the death of the process, and another one: what the files hold at this moment is
// all that is left.
func (w *world) restart() {
	w.t.Helper()
	other := filepath.Join(w.t.TempDir(), "flows")
	if err := os.CopyFS(other, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	w.dir = other
	w.start()
}

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	n := w.calls.Add(1)
	if w.answer != nil {
		w.answer(out, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Location", "/orders/"+strconv.Itoa(int(n)))
	out.Header().Set("Set-Cookie", "secret=1")
	out.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(out, `{"id":%d,"got":%q}`, n, body)
}

// got is an answer.
type got struct {
	status   int
	body     string
	replayed bool
	header   http.Header
}

// code is that of a problem; empty: none.
func (g got) code() string {
	_, rest, _ := strings.Cut(g.body, `"code":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

func (w *world) send(who, path, key, body string, headers ...string) got {
	w.t.Helper()
	g, err := w.try(who, path, key, body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) try(who, path, key, body string, headers ...string) (g got, err error) {
	r, err := http.NewRequest(http.MethodPost, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		return g, err
	}
	r.Header.Set("X-Who", who)
	if key != "" {
		r.Header.Set(flow.KeyHeader, key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := w.server.Client().Do(r)
	if err != nil {
		return g, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return got{response.StatusCode, string(text), response.Header.Get(flow.ReplayedHeader) == "true", response.Header}, err
}

// want holds an answer to a status, and to a code if it is a refusal.
func (w *world) want(g got, status int, code shield.Code) {
	w.t.Helper()
	if g.status != status || g.code() != string(code) {
		w.t.Fatalf("%d %s, want %d %s", g.status, g.body, status, code)
	}
}

// codes counts the codes of the events.
func (w *world) codes() map[string]int {
	w.server.Close() // events are complete when the last handler has ended
	all := map[string]int{}
	for _, e := range w.events.Events() {
		all[e.Code]++
	}
	return all
}

func together(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
