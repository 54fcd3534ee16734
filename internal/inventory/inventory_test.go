package inventory_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/inventory"
	"pavise.dev/pavise/shield/all"
)

const text = `listen: {https: "0.0.0.0:8443"}
hosts: {api.acme.org: {certificate: local, client_certificates: ask}}
apis:
  orders:
    owner: Team Orders
    version: "2.3"
    exposure: partner
    data: [personal, payment]
    host: api.acme.org
    upstream: http://127.0.0.1:9000
    shield: {any: [api_key, hmac]}
    scopes: any
    endpoints:
      GET /v1/orders/{id}: {body_schema: order.json}
      POST /v1/orders: {}
  partners:
    host: api.acme.org
    upstream: http://127.0.0.1:9001
    shield: {all: [{mtls: {trust: ca.pem}}, {hmac: {}}]}
    scopes: any
    endpoints:
      GET /v1/partners: {}
scopes: {}
`

func parsed(t testing.TB, text string) *config.File {
	t.Helper()
	f, err := config.Parse(config.Source{Name: "pavise.yaml", Text: []byte(text)}, all.Kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func today() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

func request(at time.Time, from, method, path string, change func(*audit.Event)) *audit.Event {
	e := &audit.Event{ID: "r-" + path, Time: at, Class: audit.Request, Decision: audit.Refused, Code: "unknown_endpoint", Host: "api.acme.org", Method: method, Path: path, Remote: netip.MustParseAddrPort(from + ":1")}
	change(e)
	return e
}

func nothing(*audit.Event) {}

func called(api, endpoint, client string) func(*audit.Event) {
	return func(e *audit.Event) {
		e.API, e.Endpoint, e.Client, e.Decision, e.Code = api, endpoint, client, audit.Accepted, ""
	}
}

func make1(t testing.TB, f *config.File, traffic *inventory.Traffic, describe func(*config.OpenAPI) (string, func(string) inventory.Ending, error)) *inventory.Inventory {
	t.Helper()
	v, err := inventory.Make(inventory.Sources{File: f, Now: today(), Traffic: traffic, Audited: today().Add(-9 * time.Hour), Describe: describe})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rulesOf(r *finding.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.Rule+" "+f.Where.Path)
	}
	slices.Sort(all)
	return all
}

func TestTheListSaysWhoseEachIsAndForWhomItIsOpen(t *testing.T) {
	traffic := inventory.NewTraffic(today().AddDate(0, 0, -30))
	month := today().AddDate(0, 0, -29)
	traffic.Add(request(month, "192.0.2.1", "GET", "/v1/orders/7", called("orders", "GET /v1/orders/{id}", "shop")))
	traffic.Add(request(today().Add(-time.Hour), "192.0.2.1", "GET", "/v1/orders/8", called("orders", "GET /v1/orders/{id}", "app")))
	traffic.Add(request(today(), "192.0.2.1", "GET", "/v1/orders/9", func(e *audit.Event) { e.API, e.Endpoint = "orders", "GET /v1/orders/{id}" }))
	traffic.Add(request(today(), "192.0.2.1", "GET", "/v1/partners", func(e *audit.Event) {
		called("partners", "GET /v1/partners", "pavise")(e)
		e.Note = "tested"
	}))
	through := func(e *audit.Event) { called("orders", "GET /v1/orders/{id}", client.TesterThroughA)(e) }
	traffic.Add(request(today(), "127.0.0.1", "GET", "/v1/orders/1", through))
	traffic.Add(request(today(), "127.0.0.1", "GET", "/v1/orders/1", func(e *audit.Event) { through(e); e.Decision = audit.Refused }))
	v := make1(t, parsed(t, text), traffic, nil)
	if len(v.APIs) != 2 {
		t.Fatalf("%+v", v)
	}
	o, p := v.APIs[0], v.APIs[1]
	if o.Owner != "Team Orders" || o.Version != "2.3" || o.Exposure != inventory.Public || o.Stated != "partner" || o.Calls != 2 || o.Refused != 1 || o.Clients != 2 || !o.LastCall.Equal(today().Add(-time.Hour)) || o.LastAudit.IsZero() {
		t.Errorf("orders %+v", o)
	}
	if p.Exposure != inventory.Partner || p.Calls != 0 || !slices.Equal(p.Shields, []string{"mtls and hmac"}) || p.Owner != "" {
		t.Errorf("partners %+v", p)
	}
	report := v.Report(parsed(t, text))
	want := []string{
		"api-exposed-wider apis.orders", "api-unused apis.partners", "api-without-contract apis.partners", "api-without-owner apis.partners",
		"endpoint-unused apis.orders.endpoints.POST /v1/orders",
	}
	if got := rulesOf(report); !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
	var page bytes.Buffer
	if err := v.WriteHTML(&page, report); err != nil || !strings.Contains(page.String(), "Team Orders") || strings.Contains(page.String(), "<script") {
		t.Errorf("page %v", err)
	}
}

func TestForWhomAnAPIIsOpenFollowsFromListenersAndShields(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"everywhere":                {"", "", inventory.Public},
		"this machine":              {`"0.0.0.0:8443"`, "127.0.0.1:8443", inventory.Internal},
		"a private network":         {`"0.0.0.0:8443"`, "10.0.0.7:8443", inventory.Internal},
		"a proxy before it":         {`listen: {https: "0.0.0.0:8443"}`, "listen: {https: 127.0.0.1:8443}\ntrusted_proxies: {addresses: [127.0.0.1]}", inventory.Public},
		"machines alone":            {"{any: [api_key, hmac]}", "{any: [{mtls: {trust: ca.pem}}, hmac]}", inventory.Partner},
		"a key and a signature":     {"{any: [api_key, hmac]}", "{all: [api_key, hmac]}", inventory.Partner},
		"one endpoint for everyone": {"POST /v1/orders: {}", "POST /v1/orders: {shield: {public: the form is open}}", inventory.Public},
	} {
		f := parsed(t, strings.Replace(text, c.old, c.new, 1))
		v := make1(t, f, inventory.NewTraffic(today()), nil)
		if got := v.APIs[0].Exposure; got != c.want || v.APIs[0].Why == "" {
			t.Errorf("%s: %s, because %s", name, got, v.APIs[0].Why)
		}
		wider := slices.Contains(rulesOf(v.Report(f)), "api-exposed-wider apis.orders")
		if wider != (c.want == inventory.Public) {
			t.Errorf("%s: wider than stated: %t", name, wider)
		}
	}
}

func TestUndeclaredEndpointsThatAreAskedForOftenAreTold(t *testing.T) {
	traffic := inventory.NewTraffic(today().AddDate(0, 0, -30))
	for day := range 10 {
		at := today().AddDate(0, 0, day-10)
		for n := range 3 {
			traffic.Add(request(at, "192.0.2.1", "GET", fmt.Sprintf("/v0/orders/%d", day*10+n), nothing)) // an old version, by ids
		}
	}
	for n := range 40 { // a scanner
		traffic.Add(request(today(), "198.51.100.9", "GET", fmt.Sprintf("/admin%c/x.php", 'a'+n%26), nothing))
		traffic.Add(request(today(), "198.51.100.9", "GET", "/v0/orders/1", nothing))
	}
	for range 100 { // one network, one day
		traffic.Add(request(today(), "203.0.113.5", "GET", "/favicon.ico", nothing))
	}
	traffic.Add(request(today(), "203.0.113.6", "GET", "/once", nothing))
	for n := range 25 { // with a method that there is not
		traffic.Add(request(today(), fmt.Sprintf("203.0.113.%d", n), "DELETE", "/v1/orders/7", func(e *audit.Event) { e.Code, e.API = "method_not_allowed", "orders" }))
	}
	v := make1(t, parsed(t, text), traffic, nil)
	if len(v.Unknown) != 2 {
		t.Fatalf("%+v", v.Unknown)
	}
	if u := v.Unknown[0]; u.Path != "/v0/orders/{n}" || u.Requests != 30 || u.Networks != 1 || u.Days != 11 || u.Sample == "" {
		t.Errorf("%+v", u)
	}
	if u := v.Unknown[1]; u.Method != "DELETE" || u.API != "orders" || u.Networks != 25 {
		t.Errorf("%+v", u)
	}
	if v.Scanned == 0 {
		t.Error("the scanner is not counted")
	}
	if got := rulesOf(v.Report(parsed(t, text))); !slices.Contains(got, "api-undeclared GET api.acme.org/v0/orders/{n}") {
		t.Errorf("found %q", got)
	}
}

// through is a request that a catch-all endpoint let through.
func through(status int) func(*audit.Event) {
	return func(e *audit.Event) {
		called("pages", "GET /{path...}", "")(e)
		e.UpstreamStatus = status
	}
}

const catchAll = `hosts: {api.acme.org: {certificate: local}}
apis:
  pages:
    owner: Team Pages
    host: api.acme.org
    upstream: http://127.0.0.1:9000
    shield: {public: everybody reads}
    scopes: any
    endpoints: {"GET /{path...}": {}}
scopes: {}
`

// Whoever tries ten thousand paths does not hide the one that a service answers, or that callers ask for.
func TestNoiseDoesNotHideWhatIsThere(t *testing.T) {
	traffic := inventory.NewTraffic(today().AddDate(0, 0, -30))
	word := func(n int) string {
		return fmt.Sprintf("%c%c%c%c", 'a'+n%26, 'a'+n/26%26, 'a'+n/676%26, 'a'+n/17576%26)
	}
	add := func(n, network int, path string, change func(*audit.Event)) {
		traffic.Add(request(today().AddDate(0, 0, -n%5), fmt.Sprintf("10.%d.%d.%d", network>>16, network>>8&255, network&255), "GET", path, change))
	}
	traffic.Add(request(today(), "192.0.2.9", "GET", "/known", called("pages", "GET /known", "shop")))
	for n := range 10_000 { // from thousands of networks, so that none looks like a scanner
		for k := range 3 {
			add(k, n*8+k, "/"+word(n), func(e *audit.Event) { e.Count = 8 })
		}
		add(n, n, "/wp-"+word(n)+"/x.php", through(404))
		if n == 9000 {
			add(0, 1<<20, "/admin/export", through(200))
		}
		if n%100 == 0 {
			traffic.Add(request(today().AddDate(0, 0, -n/5000), "192.0.2.9", "GET", "/v0/orders", nothing))
		}
	}
	f := parsed(t, catchAll)
	v := make1(t, f, traffic, nil)
	if len(v.Unknown) > 100 || v.Unknown[0].Path != "/admin/export" || v.Unknown[0].Answered != 1 || v.Unknown[0].Through != "GET /{path...}" {
		t.Fatalf("%d are listed, the first are %+v", len(v.Unknown), v.Unknown[:2])
	}
	if u := v.Unknown[1]; u.Path != "/v0/orders" || u.Callers != 1 || u.Requests < 20 {
		t.Errorf("the second is %+v", u)
	}
	if u := v.Unknown[len(v.Unknown)-1]; u.Path != "/{any}" || u.Paths < 5_000 || u.Code != "unknown_endpoint" {
		t.Errorf("the last is %+v", u)
	}
	report := v.Report(f)
	if first, second := report.Findings[0], report.Findings[1]; first.Rule != "api-behind-wildcard" || !strings.Contains(first.What, "GET /admin/export (1)") || first.Where.Line == 0 || second.Where.Path != "GET api.acme.org/v0/orders" || !strings.Contains(second.What, "1 of which call what is declared") {
		t.Errorf("first %+v\nthen %+v", first, second)
	}
}

func TestOfAShortLogNothingIsSaidToBeUnused(t *testing.T) {
	for _, days := range []int{0, 6, 8} {
		traffic := inventory.NewTraffic(today().AddDate(0, 0, -30))
		if days > 0 {
			traffic.Add(request(today().AddDate(0, 0, -days), "192.0.2.1", "GET", "/v1/orders/7", called("orders", "GET /v1/orders/{id}", "shop")))
		}
		report := make1(t, parsed(t, text), traffic, nil).Report(parsed(t, text))
		said := slices.ContainsFunc(rulesOf(report), func(r string) bool { return strings.Contains(r, "-unused") })
		if said != (days == 8) || (len(report.Notes) == 0) != (days == 8) {
			t.Errorf("%d days: %q, notes %q", days, rulesOf(report), report.Notes)
		}
	}
}

func TestWhatEndsAndIsStillCalledIsTold(t *testing.T) {
	described := strings.Replace(text, "    version: \"2.3\"\n", "    openapi: {file: orders.yaml}\n", 1)
	described = strings.Replace(described, "{body_schema: order.json}", "{}", 1)
	f := parsed(t, described)
	traffic := inventory.NewTraffic(today().AddDate(0, 0, -30))
	traffic.Add(request(today().AddDate(0, 0, -20), "192.0.2.1", "GET", "/v1/orders/7", called("orders", "GET /v1/orders/{id}", "shop")))
	v := make1(t, f, traffic, func(from *config.OpenAPI) (string, func(string) inventory.Ending, error) {
		return "4.0", func(pattern string) inventory.Ending {
			if pattern == "POST /v1/orders" {
				return inventory.Ending{Sunset: today().AddDate(0, 0, -1)}
			}
			return inventory.Ending{Deprecated: "yes", Sunset: today().AddDate(0, 1, 0)}
		}, nil
	})
	if o := v.APIs[0]; o.Version != "4.0" || o.Contract != "orders.yaml" || o.Endpoints[0].Deprecated != "yes" {
		t.Errorf("%+v", o)
	}
	got := rulesOf(v.Report(f))
	for _, want := range []string{"deprecated-called apis.orders.endpoints.GET /v1/orders/{id}", "sunset-over apis.orders.endpoints.POST /v1/orders"} {
		if !slices.Contains(got, want) {
			t.Errorf("found %q, not %s", got, want)
		}
	}
}

// Whatever strangers ask for, memory is bounded.
func TestStrangersCannotFillTheMemory(t *testing.T) {
	traffic := inventory.NewTraffic(today())
	for n := range 60_000 {
		traffic.Add(request(today(), fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), "GET", fmt.Sprintf("/x%c%c%c%c", 'a'+n%26, 'a'+n/26%26, 'a'+n/676%26, 'a'+n/17576%26), nothing))
	}
	if v := make1(t, parsed(t, text), traffic, nil); v.LeftOut != 40_000 || len(v.Unknown) != 0 {
		t.Errorf("%d left out", v.LeftOut)
	}
}

func BenchmarkTraffic(b *testing.B) {
	traffic := inventory.NewTraffic(today())
	e := request(today(), "192.0.2.1", "GET", "/v1/orders/7", called("orders", "GET /v1/orders/{id}", "shop"))
	b.ReportAllocs()
	for b.Loop() {
		traffic.Add(e)
	}
}
