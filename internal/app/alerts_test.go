package app

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/notify/webhook"
	"pavise.dev/pavise/shield"
)

// guarded is an installation whose alerts the test raises.
func guarded(t *testing.T, dir, alerts string) *App {
	t.Helper()
	a, err := Open(t.Context(), write(t, dir, minimal+"\ntrusted_proxies: {addresses: [10.0.0.0/8]}\n"+alerts), Options{Library: true, Flood: audit.Flood{Rate: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func shut(t *testing.T, a *App) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func raised(detection, kind, name, event string, at time.Time) alert.Incident {
	return alert.Incident{
		Detection: detection, Severity: alert.High, Subject: alert.Subject{Kind: kind, Name: name}, Began: at, Last: at, Count: 1, What: "many", Event: event,
	}
}

// receiver takes notices.
func receiver(t *testing.T) (address string, got <-chan webhook.Message) {
	t.Helper()
	messages := make(chan webhook.Message, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m webhook.Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		messages <- m
	}))
	t.Cleanup(server.Close)
	return server.URL, messages
}

func TestAlertsAreToldOverARestartAndSilencedOnesAreNot(t *testing.T) {
	address, got := receiver(t)
	dir := t.TempDir()
	settings := "alerts: {group: 0s, notify: {hook: {webhook: {url: " + address + "}}}}\n"
	a := guarded(t, dir, settings)
	tell := func(i alert.Incident) audit.Event {
		t.Helper()
		e := i.AsEvent()
		if err := a.alerts.record(&e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	now := time.Now()
	if _, err := a.alerts.silences.Add(alert.Silence{Detection: "guessing", Subject: "192.0.2.0/24", Until: now.Add(time.Hour), Reason: "a penetration test"}); err != nil {
		t.Fatal(err)
	}
	if e := tell(raised("guessing", "network", "192.0.2.7", "r1", now)); e.Note != alert.Silenced {
		t.Errorf("%+v", e)
	}
	if e := tell(raised("guessing", "network", "198.51.100.7", "r2", now)); e.Note != "" {
		t.Errorf("%+v", e)
	}
	if m := <-got; len(m.Began) != 1 || m.Began[0].Subject.Name != "198.51.100.7" || m.Began[0].Means == "" {
		t.Errorf("%+v", m)
	}
	shut(t, a)
	a = guarded(t, dir, settings) // what it told is known, and what was silenced is recorded
	defer func() { shut(t, a) }()
	end := raised("guessing", "network", "198.51.100.7", "r2", now)
	end.Ended = true
	tell(end)
	if m := <-got; len(m.Ended) != 1 || len(m.Began) != 0 {
		t.Errorf("%+v", m)
	}
	all, err := alert.History(t.Context(), a.installed.Log.Folder, now.Add(-time.Hour))
	if err != nil || len(all) != 2 || !all[0].Silenced || all[1].Silenced {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestATestTravelsAsAlertsDo(t *testing.T) {
	address, got := receiver(t)
	a := guarded(t, t.TempDir(), "alerts: {group: 10m, notify: {hook: {webhook: {url: "+address+"}}, gone: {webhook: {url: http://127.0.0.1:1}}}}\n")
	defer shut(t, a)
	tested, err := a.alerts.test(t.Context(), notify.Everybody, "ann")
	if err != nil || len(tested) != 2 {
		t.Fatalf("%+v, %v", tested, err)
	}
	if gone, hook := tested[0], tested[1]; gone.Arrived || !strings.Contains(gone.Error, "refused") || !hook.Arrived || hook.Error != "" {
		t.Errorf("%+v", tested)
	}
	if m := <-got; !strings.Contains(m.Test, "ann") {
		t.Errorf("%+v", m)
	}
	if again, err := a.alerts.test(t.Context(), "hook", "ann"); err != nil || len(again) != 1 || !again[0].Arrived {
		t.Errorf("%+v, %v", again, err)
	}
	if parts := a.healthy(); parts["notifier gone"] == nil || parts["notifier hook"] != nil {
		t.Errorf("%v", parts)
	}
}

// answering is a responder with the log of its installation.
type answering struct {
	t *testing.T
	a *App
	r *responder
}

func answers(t *testing.T, never ...string) *answering {
	t.Helper()
	a := guarded(t, t.TempDir(), "")
	t.Cleanup(func() { shut(t, a) })
	hour := config.Duration{Duration: time.Hour}
	return &answering{t, a, &responder{app: a, never: never, do: map[string]config.Response{
		"guessing": {Block: hour}, "token_tampering": {Suspend: hour}, "new_network": {StepUp: hour},
	}}}
}

// request records one that an attacker, or somebody else, sent.
func (w *answering) request(id string, change func(*audit.Event)) {
	w.t.Helper()
	e := audit.Event{
		ID: id, Time: w.a.now(), Class: audit.Request, Decision: audit.Accepted, Remote: netip.MustParseAddrPort("192.0.2.7:1"), Shield: "api_key",
		CredentialID: "k1", Client: "shop", Issuer: "pavise", Subject: "shop", Proved: true,
	}
	change(&e)
	if err := audit.Record(w.a.sink, &e); err != nil {
		w.t.Fatal(err)
	}
	if err := w.a.State.Log.Flush(); err != nil {
		w.t.Fatal(err)
	}
}

// respond raises an alert, and returns why nothing was done; "" if it was.
func (w *answering) respond(i alert.Incident) (withheld string) {
	w.t.Helper()
	if err := w.r.Send(w.t.Context(), []audit.Found{{Event: i.AsEvent()}}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.a.State.Log.Flush(); err != nil {
		w.t.Fatal(err)
	}
	found, err := audit.Search(w.t.Context(), w.a.installed.Log.Folder, audit.Query{Class: audit.Admin, Limit: 1})
	if err != nil || len(found) != 1 || found[0].Event.Actor != "alerts" {
		w.t.Fatalf("there is no event of it: %+v, %v", found, err)
	}
	e := &found[0].Event
	if (e.Code == "response_withheld") != (e.Decision == audit.Refused) {
		w.t.Errorf("%+v", e)
	}
	if e.Code == "" {
		return ""
	}
	return e.Detail
}

func (w *answering) held(id *shield.Identity) shield.Code {
	refusal, _ := errors.AsType[*shield.Refusal](w.a.State.View.Held(id))
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

func TestANetworkThatGuessesIsBlockedForATime(t *testing.T) {
	w := answers(t)
	now := w.a.now()
	if why := w.respond(raised("guessing", "network", "192.0.2.7", "r1", now)); why != "" {
		t.Error(why)
	}
	until, blocked := w.a.State.View.Blocked(netip.MustParseAddr("192.0.2.7"))
	if !blocked || until.After(now.Add(time.Hour+time.Minute)) || until.Before(now.Add(59*time.Minute)) {
		t.Errorf("blocked: %v until %s", blocked, until)
	}
	if _, blocked := w.a.State.View.Blocked(netip.MustParseAddr("192.0.2.8")); blocked {
		t.Error("its neighbour is blocked")
	}
	if why := w.respond(raised("guessing", "network", "192.0.2.7", "r2", now.Add(-time.Minute))); !strings.Contains(why, "already") {
		t.Error(why)
	}
	// The log is read late, as after a long stop: what would have ended is not begun.
	before, _ := w.a.State.Registry.Blocks(t.Context())
	if err := w.r.Send(t.Context(), []audit.Found{{Event: func() audit.Event {
		i := raised("guessing", "network", "192.0.2.99", "r3", now.Add(-2*time.Hour))
		return i.AsEvent()
	}()}}); err != nil {
		t.Error(err)
	}
	if after, _ := w.a.State.Registry.Blocks(t.Context()); len(after) != len(before) {
		t.Errorf("%+v", after)
	}
}

func TestNobodyElseIsBlocked(t *testing.T) {
	w := answers(t, "198.51.100.0/24")
	w.request("use", func(e *audit.Event) { e.Remote = netip.MustParseAddrPort("203.0.113.9:1") })
	for name, want := range map[string]string{
		"10.1.2.3": "trusted proxy", "10.0.0.0/24": "trusted proxy", "127.0.0.1": "this machine", "::1": "this machine",
		"192.0.0.0/16": "wider", "2001:db8::/32": "wider", "198.51.100.7": "respond_never", "many": "not about a network",
		"203.0.113.9":    "in good use", // an attacker behind the same address as a client
		"203.0.113.0/24": "in good use",
	} {
		if why := w.respond(raised("guessing", "network", name, "r1", w.a.now())); !strings.Contains(why, want) {
			t.Errorf("%s: %q", name, why)
		}
	}
	if why := w.respond(raised("guessing", "api", "orders", "r1", w.a.now())); !strings.Contains(why, "not about a network") {
		t.Error(why)
	}
	if all, err := w.a.State.Registry.Blocks(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, name := range []string{"192.0.2.0/24", "2001:db8:1::/48", "2001:db8:2:3::/64"} {
		if why := w.respond(raised("guessing", "network", name, "r1", w.a.now())); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// TestNobodyIsBlockedForWhatAPageSends: a picture on anybody's page makes its readers' browsers ask
// for a honeypot (invariant 10).
func TestNobodyIsBlockedForWhatAPageSends(t *testing.T) {
	attacktest.Rows(t, 166)
	w := answers(t)
	now := w.a.now()
	refused := func(id, code, warning string) {
		w.request(id, func(e *audit.Event) {
			e.Remote, e.Decision, e.Proved, e.Client, e.CredentialID = netip.MustParseAddrPort("192.0.2.7:1"), audit.Refused, false, "", ""
			e.Code, e.Warning = code, warning
		})
	}
	refused("picture", "honeypot", audit.SentByPage)
	refused("last", "honeypot", "") // of another browser behind the same address
	refused("key", "invalid_credential", "")
	w.request("plain", func(e *audit.Event) {
		e.Class, e.Decision, e.Proved, e.Client, e.CredentialID, e.Code = audit.Connection, audit.Refused, false, "", "", "tls_required"
	})
	for _, event := range []string{"picture", "last", "plain", "gone"} {
		if why := w.respond(raised("guessing", "network", "192.0.2.7", event, now)); !strings.Contains(why, "a page") {
			t.Errorf("%s: %q", event, why)
		}
	}
	if why := w.respond(raised("guessing", "network", "192.0.2.7", "key", now)); why != "" {
		t.Errorf("wrong credentials, which no page can send: %q", why)
	}
}

func TestACredentialIsSuspendedIfTheRequestHeldIt(t *testing.T) {
	w := answers(t, "partner")
	now := w.a.now()
	w.request("proved", func(*audit.Event) {})
	if why := w.respond(raised("token_tampering", "credential", "k1", "proved", now)); why != "" {
		t.Error(why)
	}
	if code := w.held(&shield.Identity{Shield: "api_key", CredentialID: "k1"}); code != shield.SuspendedCredential {
		t.Errorf("%q", code)
	}
	if _, err := w.a.State.Registry.Release(t.Context(), "k1"); err != nil {
		t.Error(err)
	}
	if err := w.a.State.View.Refresh(t.Context()); err != nil || w.held(&shield.Identity{Shield: "api_key", CredentialID: "k1"}) != "" {
		t.Errorf("released, and held still: %v", err)
	}
}

// Whoever knows a name, has recorded a request, or shares the name of a credential must not be
// able to have its holder shut out (invariant 10).
func TestAnAttackerCannotHaveOthersSuspended(t *testing.T) {
	attacktest.Rows(t, 166)
	w := answers(t, "partner")
	now := w.a.now()
	w.request("named", func(e *audit.Event) { e.Proved, e.Decision, e.Code = false, audit.Refused, "invalid_credential" })
	w.request("replayed", func(e *audit.Event) { e.Decision, e.Code = audit.Refused, "replayed_request" })
	w.request("stale", func(e *audit.Event) { e.Decision, e.Code = audit.Refused, "stale_request" })
	w.request("own", func(e *audit.Event) { e.CredentialID, e.Client = "attacker", "mallory" })
	w.request("spared", func(e *audit.Event) { e.Client = "partner" })
	for _, each := range []struct{ event, kind, name, want string }{
		{"named", "credential", "k1", "did not prove"},
		{"replayed", "credential", "k1", "copy"},
		{"stale", "credential", "k1", "copy"},
		{"own", "credential", "k1", "does not prove whom"},
		{"own", "client", "shop", "does not prove whom"},
		{"proved", "network", "192.0.2.7", "not in the log"},
		{"gone", "credential", "k1", "not in the log"},
		{"spared", "client", "partner", "respond_never"},
	} {
		if why := w.respond(raised("token_tampering", each.kind, each.name, each.event, now)); !strings.Contains(why, each.want) {
			t.Errorf("%+v: %q", each, why)
		}
	}
	if all, err := w.a.State.Registry.Holds(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Tokens without an id have one name for all of a client; only whose the token was is held.
func TestOfTokensTheirHolderIsHeld(t *testing.T) {
	w := answers(t)
	now := w.a.now()
	token := func(id, subject string) {
		w.request(id, func(e *audit.Event) {
			e.Shield, e.CredentialID, e.Client, e.Issuer, e.Subject, e.User = "jwt", "corp#app", "app", "https://login.example.com", subject, subject
		})
	}
	token("mallory", "mallory")
	token("ann", "ann")
	if why := w.respond(raised("token_tampering", "user", "mallory", "mallory", now)); why != "" {
		t.Error(why)
	}
	if why := w.respond(raised("new_network", "user", "ann", "ann", now)); why != "" {
		t.Error(why)
	}
	id := func(subject string, signedIn time.Time) *shield.Identity {
		return &shield.Identity{Shield: "jwt", CredentialID: "corp#app", Client: "app", Issuer: "https://login.example.com", Subject: subject, User: subject, SignedIn: signedIn}
	}
	for _, each := range []struct {
		id   *shield.Identity
		want shield.Code
	}{
		{id("mallory", now.Add(time.Minute)), shield.SuspendedCredential},
		{id("ann", now.Add(-time.Minute)), shield.StepUp},
		{id("ann", now.Add(time.Minute)), ""},
		{id("bob", now.Add(-time.Minute)), ""},
	} {
		if got := w.held(each.id); got != each.want {
			t.Errorf("%s: %q", each.id.Subject, got)
		}
	}
	all, err := w.a.State.Registry.Holds(t.Context())
	if err != nil || len(all) != 2 || !slices.ContainsFunc(all, func(h client.Hold) bool { return h.SignIn && h.Name == "ann" }) {
		t.Errorf("%+v, %v", all, err)
	}
	w.request("service", func(e *audit.Event) {
		e.Shield, e.CredentialID, e.Client, e.Issuer, e.Subject = "jwt", "corp#app", "app", "https://login.example.com", "app"
	})
	if why := w.respond(raised("new_network", "client", "app", "service", now)); !strings.Contains(why, "not that of a person") {
		t.Error(why)
	}
}

func TestResponsesGoTheWayOfTheLog(t *testing.T) {
	dir := t.TempDir()
	a := guarded(t, dir, "alerts: {respond: {guessing: {block: 1h}}}\n")
	i := raised("guessing", "network", "192.0.2.7", "r1", a.now())
	e := i.AsEvent()
	if err := a.alerts.record(&e); err != nil {
		t.Fatal(err)
	}
	shut(t, a) // perhaps before it was done
	a = guarded(t, dir, "alerts: {respond: {guessing: {block: 1h}}}\n")
	defer func() { shut(t, a) }()
	for { // the feed looks a few times a second
		if _, blocked := a.State.View.Blocked(netip.MustParseAddr("192.0.2.7")); blocked {
			return
		}
		runtime.Gosched()
	}
}
