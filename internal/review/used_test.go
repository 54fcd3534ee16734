package review_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/review"
)

// logOf is the folder of a log that holds events.
func logOf(t testing.TB, events ...audit.Event) string {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Open(audit.Options{
		Dir: dir, Node: "n1", Key: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
		Now: func() time.Time { return now() }, SegmentSize: 50_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = fmt.Sprint("e", i)
		}
		if err := audit.Record(l, &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func now() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

func ago(days int) time.Time { return now().AddDate(0, 0, -days) }

// granted is what the shop and others have.
func granted() *review.Granted {
	key := func(id, owner string, scopes ...string) client.Credential {
		return client.Credential{Kind: "api_key", ID: id, Client: owner, Scopes: scopes, Created: ago(200)}
	}
	return &review.Granted{
		Endpoints: []review.Configured{
			{API: "orders", Pattern: "GET /v1/orders/{id}", Scopes: []string{"orders:read"}},
			{API: "orders", Pattern: "POST /v1/orders", Scopes: []string{"orders:write"}},
			{API: "orders", Pattern: "GET /v1/catalog"},
			{API: "orders", Pattern: "GET /v1/report", Scopes: []string{"orders:read"}, Named: []string{"orders:all"}},
		},
		Clients: []client.Client{
			{ID: "shop", Scopes: []string{"orders:read", "orders:write", "orders:all"}, Created: ago(300)},
			{ID: "idle", Scopes: []string{"orders:read"}, Created: ago(300)},
			{ID: "fresh", Scopes: []string{"orders:read"}, Created: ago(3)},
		},
		Credentials: []client.Credential{key("K1", "shop"), key("K2", "shop"), key("K3", "idle"), {Kind: "api_key", ID: "K4", Client: "fresh", Created: ago(3)}},
		Standing:    []string{"openid"},
	}
}

// asked is a request of the shop that was let through.
func asked(at time.Time, pattern string, change func(*audit.Event)) audit.Event {
	e := audit.Event{
		Time: at, Class: audit.Request, API: "orders", Endpoint: pattern, Path: "/v1/orders/7", Remote: netip.MustParseAddrPort("192.0.2.7:1"), Step: "proxy", Decision: audit.Accepted,
		Shield: "api_key", CredentialID: "K1", Issuer: "pavise", Subject: "shop", Client: "shop", Proved: true,
	}
	if change != nil {
		change(&e)
	}
	return e
}

// old is an event from before, so that the log covers the time that is looked at.
func old() audit.Event {
	return audit.Event{Time: ago(100), Class: audit.System, Code: "started", Decision: audit.Noted}
}

func looked(t testing.TB, g *review.Granted, events ...audit.Event) *review.Used {
	t.Helper()
	used, err := review.Read(t.Context(), []string{logOf(t, events...)}, g, review.Window{Since: ago(90), Until: now()})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func aim() review.Aim { return review.Aim{Now: now(), Settle: review.DefaultSettle} }

func shop(t testing.TB, u *review.Used) review.ClientUse {
	t.Helper()
	i := slices.IndexFunc(u.Clients, func(c review.ClientUse) bool { return c.Client == "shop" })
	if i < 0 {
		t.Fatal("the shop is not there")
	}
	return u.Clients[i]
}

const read, write, catalog, reportOf = "GET /v1/orders/{id}", "POST /v1/orders", "GET /v1/catalog", "GET /v1/report"

func TestAGrantIsUsedByARequestThatNeededItAndWasAccepted(t *testing.T) {
	attacktest.Rows(t, 142)
	for name, c := range map[string]struct {
		event  audit.Event
		unused []string
	}{
		"accepted":                          {asked(ago(1), read, nil), []string{"orders:write", "orders:all"}},
		"refused for its scope":             {asked(ago(1), write, func(e *audit.Event) { e.Decision, e.Step = audit.Refused, "access" }), []string{"orders:read", "orders:write", "orders:all"}},
		"refused for want of places":        {asked(ago(1), write, func(e *audit.Event) { e.Decision, e.Step = audit.Failed, "load" }), []string{"orders:read", "orders:write", "orders:all"}},
		"refused by its contract":           {asked(ago(1), write, func(e *audit.Event) { e.Decision, e.Step = audit.Refused, "validate" }), []string{"orders:read", "orders:write", "orders:all"}},
		"let through, the service was away": {asked(ago(1), write, func(e *audit.Event) { e.Decision, e.Step = audit.Failed, "proxy" }), []string{"orders:read", "orders:all"}},
		"where any scope will do":           {asked(ago(1), catalog, nil), []string{"orders:read", "orders:write", "orders:all"}},
		"where a condition may have asked":  {asked(ago(1), reportOf, nil), []string{"orders:write"}},
		"before the time":                   {asked(ago(91), read, nil), []string{"orders:read", "orders:write", "orders:all"}},
		"of a token of its own":             {asked(ago(1), read, func(e *audit.Event) { e.Shield, e.CredentialID = "jwt", "jti-1" }), []string{"orders:write", "orders:all"}},
		"of another client":                 {asked(ago(1), read, func(e *audit.Event) { e.Client, e.CredentialID = "idle", "K3" }), []string{"orders:read", "orders:write", "orders:all"}},
		"of `pavise attack`":                {asked(ago(1), read, func(e *audit.Event) { e.Client, e.CredentialID = client.TesterA, "K9" }), []string{"orders:read", "orders:write", "orders:all"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shop(t, looked(t, granted(), old(), c.event)); !slices.Equal(got.Unused, c.unused) {
				t.Errorf("not used %v, want %v", got.Unused, c.unused)
			}
		})
	}
}

func TestWhatSomebodyOnlyNamedIsNotHis(t *testing.T) {
	used := looked(t, granted(), old(), asked(ago(1), read, func(e *audit.Event) { e.Decision, e.Step, e.Proved = audit.Refused, "shield", false }),
		asked(ago(1), write, func(e *audit.Event) { e.Decision, e.Step = audit.Refused, "access" }))
	if c := shop(t, used); c.Refused != 1 || c.Requests != 0 {
		t.Errorf("%+v", c.Activity)
	}
	for _, c := range used.Credentials {
		if want := map[string]int{"K1": 1}[c.ID]; c.Refused != want {
			t.Errorf("%s: %d refused, want %d", c.ID, c.Refused, want)
		}
	}
}

// What the old one of a rotation was used for the new one will be.
func TestCredentialsThatCameOfOneAnotherCountTogether(t *testing.T) {
	g := granted()
	g.Credentials[1].Replaces, g.Credentials[0].ReplacedBy = "K1", "K2"
	used := looked(t, g, old(), asked(ago(30), write, nil), asked(ago(1), read, func(e *audit.Event) { e.CredentialID = "K2" }))
	for _, c := range used.Credentials {
		if c.Client == "shop" && !slices.Equal(c.Unused, []string{"orders:all"}) {
			t.Errorf("%s did not use %v", c.ID, c.Unused)
		}
	}
}

func TestAScopeWithAStarIsUsedByWhatItStandsFor(t *testing.T) {
	g := granted()
	g.Clients[0].Scopes = []string{"orders:*", "bills:*"}
	used := looked(t, g, old(), asked(ago(1), read, func(e *audit.Event) { e.Shield, e.CredentialID = "jwt", "j" }))
	if c := shop(t, used); !slices.Equal(c.Unused, []string{"bills:*"}) {
		t.Errorf("not used %v", c.Unused)
	}
}

func TestADisabledClientWouldMissItsTokens(t *testing.T) {
	g := granted()
	p := looked(t, g, old()).Propose(aim())
	used := looked(t, g, audit.Event{Time: ago(1), Class: audit.Grant, Decision: audit.Noted, Action: "token.issue", Client: "idle"})
	struck := p.Judge(used)
	if len(struck) != 1 || struck[0].Change == nil || struck[0].Change.Client != "idle" {
		t.Errorf("%+v", struck)
	}
}

// rules are those of what was found, with their places.
func rules(all []finding.Finding) (names []string) {
	for _, f := range all {
		names = append(names, f.Rule+": "+f.Where.Path)
	}
	slices.Sort(names)
	return names
}

func TestFindings(t *testing.T) {
	g := granted()
	g.Credentials[0].Created, g.Credentials[1].Created = ago(400), ago(190)
	g.Credentials[2].Expires = ago(-10)
	g.Grants = []review.Grant{{ID: "g1", Client: "shop", Subject: "u1", Created: ago(80)}, {ID: "g2", Client: "shop", Subject: "u2", Created: ago(80)}}
	events := []audit.Event{old()}
	for i := range 6 {
		events = append(events, asked(ago(5), read, func(e *audit.Event) {
			e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 7}), 1)
		}))
	}
	events = append(events, asked(ago(4), catalog, func(e *audit.Event) { e.Shield, e.CredentialID, e.Subject = "jwt", "jti", "u1" }))
	got := rules(looked(t, g, events...).Find(aim()))
	want := []string{
		"client-unused: client idle",
		"credential-never-rotated: api_key K2", "credential-never-rotated: api_key K3",
		"credential-never-used: api_key K2", "credential-never-used: api_key K3",
		"credential-old: api_key K1", "credential-shared: api_key K1",
		"endpoint-unused: apis.orders.endpoints.GET /v1/report", "endpoint-unused: apis.orders.endpoints.POST /v1/orders",
		"grant-unused: client shop orders:all", "grant-unused: client shop orders:write",
		"oauth-grant-unused: grant g2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if left := rules(looked(t, g, events...).Find(review.Aim{Now: now(), Settle: review.DefaultSettle, Client: "idle"})); len(left) != 3 {
		t.Errorf("of one client: %v", left)
	}
}

func TestWhatWasNotWatchedLongIsNotCalledUnused(t *testing.T) {
	g := granted()
	for name, first := range map[string]audit.Event{
		"a log of two days": asked(ago(2), read, nil),
		"an empty log":      {},
	} {
		t.Run(name, func(t *testing.T) {
			var events []audit.Event
			if !first.Time.IsZero() {
				events = append(events, first)
			}
			used := looked(t, g, events...)
			report := used.Report("pavise.yaml", aim())
			for _, f := range report.Findings {
				if strings.Contains(f.Rule, "unused") || strings.Contains(f.Rule, "never-used") {
					t.Errorf("%s: %s", f.Rule, f.What)
				}
			}
			if p := used.Propose(aim()); len(p.Changes)+len(p.Endpoints) > 0 {
				t.Errorf("proposed %+v", p)
			}
			if report.Partial == "" || !slices.ContainsFunc(report.Findings, func(f finding.Finding) bool { return f.Rule == "log-short" }) {
				t.Errorf("it does not say what the log does not cover: %+v", report)
			}
		})
	}
	used := looked(t, g, old(), asked(ago(1), read, nil))
	if used.Covers() != 1 || used.Report("x", aim()).Partial != "" {
		t.Errorf("a log that covers all of it covers %v", used.Covers())
	}
	for _, c := range used.Propose(aim()).Changes {
		if c.Client == "fresh" {
			t.Errorf("a client of three days: %s", c.Words())
		}
	}
}

// The store knows when a credential was last used on whatever node: what this log does not tell of is
// taken for used.
func TestWhatAnotherNodeSawIsNotTakenAway(t *testing.T) {
	g := granted()
	g.Credentials[1].LastUsed = ago(2)
	used := looked(t, g, old(), asked(ago(1), read, nil))
	p := used.Propose(aim())
	if i := slices.IndexFunc(p.Changes, func(c review.Change) bool { return c.Client == "shop" }); i >= 0 {
		t.Errorf("proposed %s", p.Changes[i].Words())
	}
	if len(p.Advice) != 1 || !strings.Contains(p.Advice[0], "K2") {
		t.Errorf("advice %q", p.Advice)
	}
	other := logOf(t, old(), asked(ago(2), write, func(e *audit.Event) { e.CredentialID = "K2" }))
	both, err := review.Read(t.Context(), []string{logOf(t, old(), asked(ago(1), read, nil)), other}, g, review.Window{Since: ago(90), Until: now()})
	if err != nil {
		t.Fatal(err)
	}
	if got := shop(t, both); got.Elsewhere != "" || !slices.Equal(got.Unused, []string{"orders:all"}) {
		t.Errorf("with both logs: %+v", got)
	}
}

func TestProposalsKeepWhatIsYoungOrUnderWay(t *testing.T) {
	g := granted()
	g.Credentials[1].Created = ago(3)
	used := looked(t, g, old(), asked(ago(20), read, nil))
	for _, c := range used.Propose(aim()).Changes {
		if c.Client == "shop" && c.What != review.NarrowCredential {
			t.Errorf("a key of three days may need it: %s", c.Words())
		}
	}
	g.Credentials[1].Created, g.Credentials[1].Replaces, g.Credentials[0].ReplacedBy = ago(20), "K1", "K2"
	used = looked(t, g, old(), asked(ago(20), read, nil))
	for _, c := range used.Propose(aim()).Changes {
		if c.What == review.RevokeCredential && c.Client == "shop" {
			t.Errorf("a rotation is under way: %s", c.Words())
		}
	}
}

func TestAClientOfTheAuthorizationServerIsAdvisedNotNarrowed(t *testing.T) {
	g := granted()
	g.Clients[0].Scopes = append(g.Clients[0].Scopes, "openid")
	g.Credentials = append(g.Credentials[:2], client.Credential{Kind: "oauth", ID: "shop", Client: "shop", Created: ago(200)})
	g.Credentials[1].LastUsed = ago(100)
	used := looked(t, g, old(), asked(ago(1), read, nil))
	if got := shop(t, used); !slices.Equal(got.Unused, []string{"orders:write", "orders:all"}) {
		t.Errorf("not used %v", got.Unused)
	}
	p := used.Propose(aim())
	if slices.ContainsFunc(p.Changes, func(c review.Change) bool { return c.What == review.NarrowClient }) {
		t.Errorf("%+v", p.Changes)
	}
	if !slices.ContainsFunc(p.Advice, func(s string) bool { return strings.Contains(s, "asks the authorization server") }) {
		t.Errorf("advice %q", p.Advice)
	}
}

func TestATrialSaysWhomAProposalHits(t *testing.T) {
	g := granted()
	p := looked(t, g, old(), asked(ago(20), read, nil)).Propose(aim())
	if struck := p.Judge(looked(t, g, asked(ago(1), read, nil), asked(ago(1), catalog, nil))); len(struck) != 1 || struck[0].Change != nil {
		t.Errorf("what it keeps is refused, or the endpoint that it takes out is not: %+v", struck)
	}
	struck := p.Judge(looked(t, g, asked(ago(1), write, func(e *audit.Event) { e.ID = "r77" })))
	if len(struck) < 2 || struck[len(struck)-1].Sample != "r77" || struck[0].Endpoint != "orders POST /v1/orders" {
		t.Errorf("%+v", struck)
	}
}

func TestAProposalGivesNobodyAnything(t *testing.T) {
	text, err := json.Marshal(looked(t, granted(), old(), asked(ago(20), read, nil)).Propose(aim()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := review.ParseProposal(text); err != nil {
		t.Fatal(err)
	}
	head := `{"pavise_proposal":1,"made":"2026-11-30T12:00:00Z","since":"2026-09-01T12:00:00Z","until":"2026-11-30T12:00:00Z","changes":[`
	for name, bad := range map[string]string{
		"more scopes":               head + `{"what":"client.scopes","client":"a","from":["x"],"to":["x","y"],"why":""}]}`,
		"other scopes":              head + `{"what":"client.scopes","client":"a","from":["x","z"],"to":["y"],"why":""}]}`,
		"the same scopes":           head + `{"what":"client.scopes","client":"a","from":["x"],"to":["x"],"why":""}]}`,
		"no scope of a credential":  head + `{"what":"credential.scopes","client":"a","kind":"k","id":"i","from":["x"],"to":[],"why":""}]}`,
		"another act":               head + `{"what":"client.enable","client":"a","why":""}]}`,
		"nobody":                    head + `{"what":"client.disable","client":"","why":""}]}`,
		"no credential":             head + `{"what":"credential.revoke","client":"a","why":""}]}`,
		"an unknown field":          head + `{"what":"client.disable","client":"a","why":"","tenant":"x"}]}`,
		"another version":           `{"pavise_proposal":2,"made":"2026-11-30T12:00:00Z","changes":[]}`,
		"something behind it":       head + `]} {}`,
		"nothing":                   ``,
		"a list instead of a thing": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := review.ParseProposal([]byte(bad)); err == nil {
				t.Errorf("%+v", p)
			}
		})
	}
}

func FuzzParseProposal(f *testing.F) {
	f.Add([]byte(`{"pavise_proposal":1,"made":"2026-11-30T12:00:00Z","since":"2026-09-01T12:00:00Z","until":"2026-11-30T12:00:00Z","changes":[{"what":"client.scopes","client":"a","from":["x","y"],"to":["x"],"why":"w"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := review.ParseProposal(text)
		if err != nil {
			return
		}
		for _, c := range p.Changes {
			if len(c.To) > len(c.From) {
				t.Errorf("%+v gives something", c)
			}
		}
	})
}

func TestPoliciesThatDecideNothing(t *testing.T) {
	g := granted()
	everything := []string{"orders GET /v1/orders/{id}", "orders POST /v1/orders", "orders GET /v1/catalog", "orders GET /v1/report"}
	g.Policies = []review.Policy{
		{Name: "p#1", Anybody: true, Anything: true, Reaches: everything, Clients: []string{"shop", "idle", "fresh"}},
		{Name: "p#2", Conditional: true, Reaches: everything[:1], Clients: []string{"shop"}, Shadow: "p#1"},
		{Name: "p#3", Conditional: true, Reaches: everything[1:2], Clients: []string{"idle"}},
		{Name: "p#4", Conditional: true},
		{Name: "p#5", Forbid: true, Conditional: true, Anybody: true, Reaches: everything, Clients: []string{"shop"}},
		{Name: "p#6", Reaches: everything[:1], People: []string{"https://login.example.com#ann"}},
	}
	denied := asked(ago(1), write, func(e *audit.Event) {
		e.Decision, e.Step, e.Code, e.Detail = audit.Refused, "policy", "denied", "policy p#5 forbids it"
	})
	ann := asked(ago(1), read, func(e *audit.Event) {
		e.Shield, e.CredentialID, e.Issuer, e.User, e.Client = "jwt", "j", "https://login.example.com", "ann", "elsewhere"
	})
	used := looked(t, g, old(), asked(ago(1), read, nil), denied, ann)
	p := used.Policies
	if p[0].Requests != 2 || p[0].Alone != 1 || p[1].Requests != 1 || p[4].Forbade != 1 || p[5].Requests != 1 {
		t.Errorf("%+v", p)
	}
	var got []string
	for _, name := range rules(used.Find(aim())) {
		if strings.HasPrefix(name, "policy") {
			got = append(got, name)
		}
	}
	want := []string{"policy-shadowed: policy p#2", "policy-unused: policy p#3", "policy-unused: policy p#4", "policy-wide: policy p#1"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Callers choose names; what is kept of them is bounded.
func TestNamesOfCallersAreBounded(t *testing.T) {
	g := granted()
	events := []audit.Event{old()}
	for i := range 7000 {
		events = append(events, asked(ago(1), read, func(e *audit.Event) {
			e.Shield, e.CredentialID, e.Client, e.Issuer, e.Subject = "jwt", fmt.Sprint("j", i), "", "https://a.example.com", fmt.Sprint("u", i)
		}))
	}
	used := looked(t, g, events...)
	if len(used.Strangers) != 5000 || used.Unlisted == 0 || used.Accepted != 7000 {
		t.Errorf("%d are listed, %d requests are not, %d accepted", len(used.Strangers), used.Unlisted, used.Accepted)
	}
	if n := len(used.Report("x", aim()).Notes); n == 0 {
		t.Error("it does not say so")
	}
}

// What was given yesterday is not taken away today, though nobody has used it yet.
func TestWhatIsNewIsNotCalledUnused(t *testing.T) {
	act := func(at time.Time, action, target, change string) audit.Event {
		return audit.Event{Time: at, Class: audit.Admin, Action: action, Actor: "ann", Target: target, Change: change, Decision: audit.Accepted}
	}
	given := act(ago(2), "client.update", "shop", "scopes [orders:read] → [orders:read orders:write orders:all]")
	taken := act(ago(2), "client.update", "shop", "scopes [orders:read orders:write orders:all x] → [orders:read orders:write orders:all]")
	added := act(ago(2), "reload", "pavise.yaml", "+ apis.orders.endpoints.POST /v1/orders: {scopes: [orders:write]}; limits.connections: 1 → 2")
	added.Decision = audit.Noted
	changed := added
	changed.Change = "apis.orders.endpoints.POST /v1/orders.max_body: 1 → 2"
	many := added
	many.Change = "hosts.a: b → c; + …: 7 more changes"
	use := asked(ago(1), read, nil)
	for name, c := range map[string]struct {
		events          []audit.Event
		narrows, cutOut bool
	}{
		"nothing is new":                 {nil, true, true},
		"a scope was given":              {[]audit.Event{given}, false, true},
		"one was given long ago":         {[]audit.Event{act(ago(40), given.Action, given.Target, given.Change)}, true, true},
		"one was taken":                  {[]audit.Event{taken}, true, true},
		"another client was given one":   {[]audit.Event{act(ago(2), given.Action, "idle", given.Change)}, true, true},
		"an endpoint was added":          {[]audit.Event{added}, true, false},
		"an endpoint was changed":        {[]audit.Event{changed}, true, true},
		"more changed than an event has": {[]audit.Event{many}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := looked(t, granted(), append(append([]audit.Event{old()}, c.events...), use)...)
			p := u.Propose(aim())
			narrows := slices.ContainsFunc(p.Changes, func(c review.Change) bool { return c.What == review.NarrowClient && c.Client == "shop" })
			cutOut := slices.Contains(p.Endpoints, review.Gone{API: "orders", Pattern: write})
			if narrows != c.narrows || cutOut != c.cutOut {
				t.Errorf("narrows %t, takes out %t: %+v", narrows, cutOut, p)
			}
			found := func(rule, path string) bool {
				return slices.ContainsFunc(u.Find(aim()), func(f finding.Finding) bool { return f.Rule == rule && strings.HasPrefix(f.Where.Path, path) })
			}
			if found("grant-unused", "client shop") != c.narrows || found("endpoint-unused", "apis.orders.endpoints."+write) != c.cutOut {
				t.Errorf("%+v", u.Find(aim()))
			}
		})
	}
}

// An endpoint of yesterday, and what waits for it, is said to be new, and is not proposed to go.
func TestWhatThePolicyHasSinceYesterdayIsNotJudged(t *testing.T) {
	g := granted()
	g.Endpoints = append(g.Endpoints, review.Configured{API: "orders", Pattern: "GET /v1/export", Scopes: []string{"export:read"}}, review.Configured{API: "orders", Pattern: "GET /v1/next", Scopes: []string{"orders:read"}})
	g.Clients[0].Scopes = append(g.Clients[0].Scopes, "export:read")
	g.Clients = append(g.Clients, client.Client{ID: "waits", Scopes: []string{"export:*"}, Created: ago(300)})
	g.Credentials = append(g.Credentials, client.Credential{Kind: "api_key", ID: "K5", Client: "waits", Created: ago(300)})
	g.Since = map[string]time.Time{"orders " + read: ago(200), "orders " + write: ago(20), "orders " + catalog: ago(200), "orders " + reportOf: ago(200), "orders GET /v1/export": ago(1)}
	many := audit.Event{Time: ago(2), Class: audit.Admin, Action: "reload", Actor: "configuration", Target: "pavise.yaml", Change: "+ …: 7 more changes", Decision: audit.Noted}
	u, err := review.Read(t.Context(), []string{logOf(t, old(), many, asked(ago(1), read, nil))}, g, review.Window{Since: ago(30), Until: now()})
	if err != nil {
		t.Fatal(err)
	}
	p := u.Propose(aim())
	if want := []review.Gone{{API: "orders", Pattern: write}, {API: "orders", Pattern: catalog}, {API: "orders", Pattern: reportOf}}; !slices.Equal(p.Endpoints, want) {
		t.Errorf("takes out %v, want %v", p.Endpoints, want)
	}
	for _, c := range p.Changes {
		if c.Client == "waits" || c.Client == "shop" && c.What == review.NarrowClient && !slices.Contains(c.To, "export:read") {
			t.Errorf("proposed: %s", c.Words())
		}
	}
	said := map[string]string{}
	for _, one := range u.Unjudged(aim()) {
		said[one.What] = one.Why
	}
	for what, why := range map[string]string{
		"endpoint orders GET /v1/export": "new since 2026-11-29", "endpoint orders GET /v1/next": "new, and not in force yet",
		"scope export:read": "the first endpoint that asks for it is new since 2026-11-29", "scope export:*": "the first endpoint that asks for it is new since 2026-11-29",
		"api_key K4 of fresh": "new since 2026-11-27",
	} {
		if said[what] != why {
			t.Errorf("%s: said %q, want %q: %v", what, said[what], why, said)
		}
	}
	report := u.Report("pavise.yaml", aim())
	for _, f := range report.Findings {
		if strings.Contains(f.Where.Path, "export") || strings.Contains(f.Where.Path, "waits") || strings.Contains(f.Where.Path, "K5") && f.Rule != "credential-never-rotated" {
			t.Errorf("found: %s %s", f.Rule, f.Where.Path)
		}
		if f.Rule == "endpoint-unused" && strings.HasSuffix(f.Where.Path, write) && !strings.HasSuffix(f.What, "since 2026-11-10") {
			t.Errorf("%s is called unused since before it was there: %s", write, f.What)
		}
	}
	if !strings.Contains(strings.Join(report.Notes, "\n"), "Not judged: endpoint orders GET /v1/export: new since 2026-11-29.") {
		t.Errorf("notes %q", report.Notes)
	}
}

// Scopes may hold whatever a shell acts on (RFC 6749 §3.3); what is to be run by hand does nothing else.
func TestCommandsOfAProposalStayWords(t *testing.T) {
	for _, c := range []struct {
		change review.Change
		want   string
	}{
		{review.Change{What: review.NarrowClient, Client: "shop", To: []string{"orders:read", "a;id", "b'$(id)'`id`", "*"}}, `pavise client update shop --scope orders:read --scope 'a;id' --scope 'b'\''$(id)'\''` + "`id`" + `' --scope '*'`},
		{review.Change{What: review.NarrowClient, Client: "shop"}, `pavise client update shop --scope ''`},
		{review.Change{What: review.NarrowCredential, Client: "shop", Kind: "api_key", ID: "K1", To: []string{"a&b"}}, `pavise key narrow K1 --kind api_key --scope 'a&b'`},
		{review.Change{What: review.RevokeCredential, Client: "shop", Kind: "mtls", ID: "uri:spiffe://a/b?c;id"}, `pavise revoke 'uri:spiffe://a/b?c;id' --kind mtls --reason 'not used'`},
		{review.Change{What: review.RevokeGrant, Client: "shop", ID: "g 1"}, `pavise token revoke 'g 1' --reason 'not used'`},
		{review.Change{What: review.DisableClient, Client: "shop"}, `pavise client disable shop`},
	} {
		if got := c.change.Command(); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}
