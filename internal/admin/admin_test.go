package admin_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
)

// world is a service with a log and a view, as a gateway has them.
type world struct {
	service *admin.Service
	view    *client.View
	log     *audit.Log
	store   *failing
}

// failing is a store that can be made to fail.
type failing struct {
	client.Store
	fault atomic.Pointer[error]
}

func (f *failing) now() error {
	if fault := f.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

func (f *failing) Since(ctx context.Context, revision int64) ([]client.Row, int64, error) {
	if err := f.now(); err != nil {
		return nil, 0, err
	}
	return f.Store.Since(ctx, revision)
}

func (f *failing) Table(ctx context.Context, table string) ([]client.Row, error) {
	if err := f.now(); err != nil {
		return nil, err
	}
	return f.Store.Table(ctx, table)
}

func (f *failing) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	if err := f.now(); err != nil {
		return client.Row{}, false, err
	}
	return f.Store.Get(ctx, table, id)
}

func (f *failing) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	if err := f.now(); err != nil {
		return 0, err
	}
	return f.Store.Commit(ctx, rows...)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	store := &failing{Store: memory.New()}
	registry, err := client.OpenRegistry(ctx, client.Options{Store: store, Master: master})
	must(t, err)
	view, err := registry.View(ctx, client.ViewOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, view.Close()) })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, dir := bytes.Repeat([]byte{9}, 32), t.TempDir()
	log, err := audit.Open(audit.Options{Dir: dir, Node: "test", Key: key, Sign: private, Now: time.Now})
	must(t, err)
	t.Cleanup(func() { must(t, log.Close()) })
	return &world{&admin.Service{
		Registry: registry, Refresh: view.Refresh, Kinds: []shield.Kind{apikey.Kind(), hmac.Kind()},
		Env:    shield.Env{Now: time.Now, Rand: rand.Reader, Credentials: view},
		Record: func(e audit.Event) error { return audit.Record(log, &e) },
		Trail:  log, LogDir: dir, ChainKey: key, Public: public, Flush: log.Flush,
	}, view, log, store}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) client() *admin.Client { return admin.Connect(admin.InProcess(w.service)) }

// events are those of administration, oldest first.
func (w *world) events(t *testing.T) []audit.Event {
	t.Helper()
	must(t, w.log.Flush())
	found, err := audit.Search(t.Context(), w.service.LogDir, audit.Query{Class: audit.Admin})
	must(t, err)
	var events []audit.Event
	for _, f := range found {
		events = append(events, f.Event)
	}
	return events
}

// raw sends what no client of ours would, as an actor who may.
func (w *world) raw(method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://"+admin.Host+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r = r.WithContext(admin.WithActor(r.Context(), admin.CurrentUser()))
	if change != nil {
		change(r)
	}
	answer := httptest.NewRecorder()
	w.service.ServeHTTP(answer, r)
	return answer
}

func code(t *testing.T, body []byte) string {
	t.Helper()
	var p admin.Problem
	must(t, json.Unmarshal(body, &p))
	return p.Code
}

func TestCreatesAKeyThatIsInForceAtOnceAndRevokesItAtOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "shop", Scopes: []string{"orders:read"}})
	must(t, err)
	made, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live", Expires: time.Hour})
	must(t, err)
	record, err := w.view.Credential("api_key", made.Credential.ID)
	must(t, err)
	if !record.Match([]byte(made.Secret)) || record.Settings["environment"] != "live" {
		t.Fatalf("the key that was shown is not the one in force, or its environment is %q", record.Settings["environment"])
	}
	if made.Credential.Settings["environment"] != "live" {
		t.Errorf("settings %v lack the environment", made.Credential.Settings)
	}
	if made.Credential.Expires.IsZero() {
		t.Error("the key does not expire")
	}
	_, err = a.Revoke(ctx, admin.Revoke{ID: made.Credential.ID, Reason: "leaked"})
	must(t, err)
	record, err = w.view.Credential("api_key", made.Credential.ID)
	must(t, err)
	if record.Revoked.IsZero() {
		t.Error("the revocation is not in force when it is answered")
	}
	var acts []string
	for _, e := range w.events(t) {
		acts = append(acts, e.Action+" "+string(e.Decision))
		if e.Actor != admin.CurrentUser().Name {
			t.Errorf("%s: actor %q", e.Action, e.Actor)
		}
	}
	want := []string{"client.create accepted", "credential.create accepted", "credential.revoke accepted"}
	if !slices.Equal(acts, want) {
		t.Errorf("events %q, want %q", acts, want)
	}
	w.holdsNot(t, made.Secret)
}

// holdsNot searches what is written to disk for a secret.
func (w *world) holdsNot(t *testing.T, secret string) {
	t.Helper()
	must(t, filepath.Walk(w.service.LogDir, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s holds the secret", name)
		}
		return err
	}))
}

func TestCredentialTakesOverTheSettingsThatShieldsRead(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "pay"})
	must(t, err)
	made, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "hmac", Client: "pay", Environment: "test", Settings: map[string]string{"algorithm": "hmac-sha512"}})
	must(t, err)
	fresh, err := a.Rotate(ctx, admin.Rotation{ID: made.Credential.ID, Overlap: time.Hour})
	must(t, err)
	for _, id := range []string{made.Credential.ID, fresh.Credential.ID} {
		record, err := w.view.Credential("hmac", id)
		must(t, err)
		if record.Settings["algorithm"] != "hmac-sha512" || record.Settings["environment"] != "test" {
			t.Errorf("%s has settings %v", id, record.Settings)
		}
	}
	if fresh.Secret == "" || fresh.Secret == made.Secret {
		t.Error("the successor has no secret of its own")
	}
	_, err = a.CreateCredential(ctx, admin.NewCredential{Kind: "hmac", Client: "pay", Settings: map[string]string{"environment": "live"}})
	if err == nil {
		t.Error("an environment was smuggled in among the settings")
	}
}

func TestAnImportedSecretIsNeverSentBack(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "legacy"})
	must(t, err)
	const secret = "an-old-key-of-the-legacy-system-4711"
	for _, kind := range []string{"api_key", "hmac"} {
		made, err := a.CreateCredential(ctx, admin.NewCredential{Kind: kind, Client: "legacy", Import: secret})
		must(t, err)
		if made.Secret != "" {
			t.Errorf("the answer holds the imported %s secret", kind)
		}
	}
	if _, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "legacy", Import: secret}); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("the second import: %v", err)
	}
	w.holdsNot(t, secret)
}

func TestRefusedActsLeaveAnEventToo(t *testing.T) {
	w := newWorld(t)
	_, err := w.client().DisableClient(t.Context(), "nobody")
	var p *admin.Problem
	if !errors.As(err, &p) || p.Code != "missing" || p.Status != http.StatusNotFound || p.Hint == "" {
		t.Fatalf("answer %#v", err)
	}
	events := w.events(t)
	if len(events) != 1 || events[0].Decision != audit.Refused || events[0].Code != "missing" || events[0].Target != "nobody" {
		t.Errorf("events %+v", events)
	}
}

func TestAChangeWithoutAnEventIsNotAnsweredAsDone(t *testing.T) {
	w := newWorld(t)
	w.service.Record = func(audit.Event) error { return errors.New("disk full") }
	_, err := w.client().CreateClient(t.Context(), admin.NewClient{ID: "shop"})
	var p *admin.Problem
	if !errors.As(err, &p) || p.Code != "unrecorded" {
		t.Errorf("answer %v", err)
	}
}

func TestNothingIsChangedWhileNoEventCanBeKept(t *testing.T) {
	w := newWorld(t)
	var fault error
	w.service.Ready = func() error { return fault }
	for _, fault = range []error{errors.New("disk full"), nil} {
		_, err := w.client().CreateClient(t.Context(), admin.NewClient{ID: "shop"})
		list, listErr := w.client().Clients(t.Context())
		if listErr != nil {
			t.Fatal(listErr)
		}
		var p *admin.Problem
		switch {
		case fault == nil && (err != nil || len(list) != 1):
			t.Errorf("when events can be kept again: %v, %d clients", err, len(list))
		case fault != nil && (!errors.As(err, &p) || p.Code != "log_unavailable" || p.Status != 503 || p.Hint == "" || len(list) != 0):
			t.Errorf("answer %v, %d clients", err, len(list))
		}
	}
}

func TestAStoreThatFailsIsNoFaultOfTheCaller(t *testing.T) {
	w := newWorld(t)
	w.service.Refresh = func(context.Context) error { return nil }
	broken := errors.New("disk I/O error")
	w.store.fault.Store(&broken)
	for what, call := range map[string]func() error{
		"a question": func() error { _, err := w.client().Clients(t.Context()); return err },
		"an act":     func() error { _, err := w.client().CreateClient(t.Context(), admin.NewClient{ID: "shop"}); return err },
	} {
		var p *admin.Problem
		if err := call(); !errors.As(err, &p) || p.Code != "store_unavailable" || p.Status != 503 || p.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRefusesWhatABrowserOrAnotherHostCouldSend(t *testing.T) {
	attacktest.Rows(t, 168)
	w := newWorld(t)
	const body = `{"id":"evil"}`
	for name, c := range map[string]struct {
		change func(*http.Request)
		code   string
	}{
		"a rebound name":        {func(r *http.Request) { r.Host = "rebound.example.com" }, "foreign_host"},
		"localhost":             {func(r *http.Request) { r.Host = "localhost" }, "foreign_host"},
		"no host":               {func(r *http.Request) { r.Host = "" }, "foreign_host"},
		"an origin":             {func(r *http.Request) { r.Header.Set("Origin", "null") }, "foreign_origin"},
		"fetch metadata":        {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, "foreign_origin"},
		"a simple form":         {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "unsupported_media"},
		"a peer without a name": {func(r *http.Request) { *r = *r.WithContext(context.Background()) }, "forbidden_peer"},
		"another user": {func(r *http.Request) {
			*r = *r.WithContext(admin.WithActor(context.Background(), admin.Actor{Name: "mallory", UID: 4711}))
		}, "forbidden_peer"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.events(t))
			answer := w.raw("POST", "/v1/clients", body, c.change)
			if got := code(t, answer.Body.Bytes()); got != c.code || answer.Code < 400 {
				t.Errorf("%d %s, want %s", answer.Code, got, c.code)
			}
			events := w.events(t)
			if len(events) != before+1 || events[before].Code != c.code || events[before].Decision != audit.Refused {
				t.Errorf("events after it: %+v", events[before:])
			}
		})
	}
	if list, err := w.client().Clients(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("clients %v, %v", list, err)
	}
}

func TestRefusesBodiesThatReadersReadDifferently(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ body, code string }{
		"unknown member":  {`{"id":"shop","admin":true}`, "unknown_field"},
		"member twice":    {`{"id":"shop","id":"evil"}`, "malformed"},
		"something after": {`{"id":"shop"} {}`, "malformed"},
		"a list":          {`[]`, "malformed"},
		"nothing":         {``, "malformed"},
		"wrong type":      {`{"id":7}`, "malformed"},
		"too long":        {`{"id":"` + strings.Repeat("a", 70<<10) + `"}`, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := w.raw("POST", "/v1/clients", c.body, nil)
			if got := code(t, answer.Body.Bytes()); got != c.code {
				t.Errorf("%d %s, want %s", answer.Code, answer.Body, c.code)
			}
		})
	}
}

func TestRefusesUnknownAndRepeatedParametersOfASearch(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"clint=shop", "code=a&code=b", "limit=0", "limit=999999", "address=x", "since=yesterday"} {
		if answer := w.raw("GET", "/v1/events?"+query, "", nil); answer.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, answer.Code)
		}
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	for _, id := range []string{"one", "two", "three"} {
		_, err := a.CreateClient(ctx, admin.NewClient{ID: id})
		must(t, err)
	}
	if v, err := a.Verify(ctx); err != nil || !v.Whole || v.Records != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	names, err := filepath.Glob(filepath.Join(w.service.LogDir, "events-*"))
	must(t, err)
	changed := false
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		if bytes.Contains(text, []byte(`"target":"two"`)) {
			must(t, os.WriteFile(name, bytes.Replace(text, []byte(`"target":"two"`), []byte(`"target":"owt"`), 1), 0o600))
			changed = true
		}
	}
	v, err := a.Verify(ctx)
	must(t, err)
	if !changed || v.Whole || v.Bad != 2 || v.Why == "" {
		t.Errorf("changed %t: %+v", changed, v)
	}
}

// A line that cannot be read hides none of those before it.
func TestASearchOfADamagedLogShowsWhatItCan(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	for _, id := range []string{"one", "two", "three"} {
		_, err := a.CreateClient(ctx, admin.NewClient{ID: id})
		must(t, err)
	}
	found, err := a.Events(ctx, audit.Query{})
	if err != nil || len(found.Records) != 3 || found.Damage != "" {
		t.Fatalf("%+v, %v", found, err)
	}
	names, err := filepath.Glob(filepath.Join(w.service.LogDir, "events-*"))
	must(t, err)
	text, err := os.ReadFile(names[0])
	must(t, err)
	must(t, os.WriteFile(names[0], bytes.Replace(text, []byte(`"action":"client.create","target":"three"`), []byte(`"action":"client.create,"target":"three"`), 1), 0o600))
	found, err = a.Events(ctx, audit.Query{})
	if err != nil || len(found.Records) != 2 || found.Damage == "" {
		t.Errorf("%d records, damage %q, %v", len(found.Records), found.Damage, err)
	}
}

func TestExplainsARefusedRequest(t *testing.T) {
	w := newWorld(t)
	e := audit.Event{
		ID: "req-1", Time: time.Now(), Class: audit.Request, Decision: audit.Refused, Step: "shield",
		Code: string(shield.StaleRequest), Detail: "signed 90s ago", Status: 401,
	}
	must(t, w.service.Record(e))
	x, err := w.client().Explain(t.Context(), "req-1")
	must(t, err)
	if x.Step != "shield" || x.Code != "stale_request" || x.Why != "signed 90s ago" || !strings.Contains(x.Remedy, "clock") {
		t.Errorf("%+v", x)
	}
	if _, err := w.client().Explain(t.Context(), "req-2"); err == nil {
		t.Error("a request that never was is explained")
	}
}

// serveSocket serves a world on a socket, and stops at the end of the test.
func serveSocket(t *testing.T, w *world, path string) {
	t.Helper()
	listener, err := admin.Listen(path)
	must(t, err)
	server := admin.NewServer(w.service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		must(t, server.Shutdown(context.Background()))
		must(t, <-done)
	})
}

func TestTheSocketServesItsOwnUserAndNamesHimAsActor(t *testing.T) {
	w, path := newWorld(t), filepath.Join(t.TempDir(), "private", "admin.sock")
	serveSocket(t, w, path)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	if info, err = os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder's mode %o, %v", info.Mode().Perm(), err)
	}
	transport, err := admin.Dial(t.Context(), path)
	must(t, err)
	_, err = admin.Connect(transport).CreateClient(t.Context(), admin.NewClient{ID: "shop"})
	must(t, err)
	if events := w.events(t); len(events) != 1 || events[0].Actor != admin.CurrentUser().Name {
		t.Errorf("events %+v", events)
	}
	if _, err := admin.Listen(path); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("a second one: %v", err)
	}
}

func TestListenRemovesOnlyWhatNobodyAnswersOn(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	must(t, err)
	left.SetUnlinkOnClose(false)
	must(t, left.Close())
	listener, err := admin.Listen(stale)
	must(t, err)
	must(t, listener.Close())

	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o600))
	if _, err := admin.Listen(file); err == nil {
		t.Error("a file was replaced")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	open := filepath.Join(dir, "open")
	must(t, os.Mkdir(open, 0o777))
	must(t, os.Chmod(open, 0o777))
	if _, err := admin.Listen(filepath.Join(open, "admin.sock")); err == nil {
		t.Error("a folder that others can write was taken")
	}
}

func TestDialSaysThatNoGatewayRuns(t *testing.T) {
	if _, err := admin.Dial(t.Context(), filepath.Join(t.TempDir(), "none.sock")); !errors.Is(err, admin.ErrNoGateway) {
		t.Errorf("%v", err)
	}
}

func FuzzDecodeNeverPanicsAndNeverAnswersTwice(f *testing.F) {
	for _, seed := range []string{`{}`, `{"id":"a"}`, `{"id":"a","id":"b"}`, `{"attributes":{"a":[1,{"b":null}]}}`, `[`, "\xff"} {
		f.Add([]byte(seed))
	}
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	registry, err := client.OpenRegistry(context.Background(), client.Options{Store: memory.New(), Master: master})
	if err != nil {
		f.Fatal(err)
	}
	service := &admin.Service{
		Registry: registry, Kinds: []shield.Kind{apikey.Kind()}, Env: shield.Env{Now: time.Now, Rand: rand.Reader},
		Record: func(audit.Event) error { return nil },
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/clients", "/v1/credentials", "/v1/rotate", "/v1/revoke", "/v1/explain"} {
			r := httptest.NewRequest("POST", "http://"+admin.Host+path, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r = r.WithContext(admin.WithActor(r.Context(), admin.CurrentUser()))
			answer := httptest.NewRecorder()
			service.ServeHTTP(answer, r)
			text, _ := io.ReadAll(answer.Body)
			if !json.Valid(text) {
				t.Errorf("%s: %d %q", path, answer.Code, text)
			}
		}
	})
}

func TestASecretThatWasGivenForANameIsRecordedNowhere(t *testing.T) {
	w := newWorld(t)
	issued, err := apikey.Kind().Issue(w.service.Env, shield.IssueRequest{Client: "shop", Environment: "live"})
	must(t, err)
	var recorded []audit.Event
	w.service.Record = func(e audit.Event) error { recorded = append(recorded, e); return nil }
	for path, body := range map[string]string{
		"/v1/revoke": `{"id":"` + issued.Secret + `"}`,
		"/v1/clients/" + issued.Secret + "/disable": `{}`,
	} {
		r := httptest.NewRequestWithContext(admin.WithActor(t.Context(), admin.Actor{Name: "ops", Allowed: true}), http.MethodPost, path, strings.NewReader(body))
		r.Host = admin.Host
		r.Header.Set("Content-Type", "application/json")
		w.service.ServeHTTP(httptest.NewRecorder(), r)
	}
	if len(recorded) != 2 {
		t.Fatalf("%d events", len(recorded))
	}
	for _, e := range recorded {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, issued.Secret) || e.Decision != audit.Refused {
			t.Errorf("recorded %s", text)
		}
	}
}
