package explain_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/explain"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/mtls"
	"pavise.dev/pavise/shield/public"
)

const orders = `
hosts: {api.example.com: {certificate: local, client_certificates: ask}}
scopes: {orders:read: Read, orders:write: Write}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    shield: {any: [hmac, {all: [{mtls: {trust: ca.pem}}, api_key]}]}
    limit: 60/minute per client
    endpoints:
      GET /health: {shield: {public: load-balancer probe}}
      GET /v1/orders/{id}: {scopes: orders:read}
      POST /v1/orders: {scopes: [orders:read, orders:write], when: principal.tenant == context.body.tenant}
`

func load(t *testing.T, text string) *config.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(name, []shield.Kind{apikey.Kind(), hmac.Kind(), public.Kind(), mtls.Kind()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// refused is the event of a refusal by a step.
func refused(step, code, detail string) *audit.Event {
	e := &audit.Event{
		ID: "4bf92f3577b34da6", Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Class: audit.Request, Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		TLS: "1.3", SNI: "api.example.com", Proto: "HTTP/2.0", Method: "POST", Host: "api.example.com", Path: "/v1/orders",
		API: "orders", Endpoint: "POST /v1/orders", Step: step, Decision: audit.Refused, Code: code, Detail: detail, Status: 403,
	}
	e.Took[audit.Entry], e.Took[audit.Identity] = 11*time.Microsecond, 52*time.Microsecond
	e.Peer = e.Remote
	return e
}

// proved says who the caller of an event is.
func proved(e *audit.Event) *audit.Event {
	e.Shield, e.CredentialID, e.Client, e.Proved = "hmac", "hk_1", "shop", true
	return e
}

func step(t *testing.T, s explain.Story, name string) explain.Step {
	t.Helper()
	for _, one := range s.Path {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("no step %s in %+v", name, s.Path)
	return explain.Step{}
}

func TestAStoryDrawsThePathToWhereItEnded(t *testing.T) {
	f := load(t, orders)
	s := explain.Tell(proved(refused("access", "insufficient_scope", "missing orders:write; has orders:read")), explain.Known{File: f, Scopes: shield.Scopes{"orders:read", "other"}})
	for name, want := range map[string]explain.Outcome{
		"handshake": explain.Passed, "door": explain.Passed, "route": explain.Passed, "shield": explain.Passed, "cors": explain.None,
		"access": explain.Refused, "admit": explain.Skipped, "policy": explain.Skipped, "proxy": explain.Skipped, "answer": explain.Passed,
	} {
		if got := step(t, s, name); got.Outcome != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	if got := step(t, s, "shield"); got.Took != 52 || got.Part != "identity" {
		t.Errorf("the shield took %+v", got)
	}
	if got := step(t, s, "access"); got.Why != "insufficient_scope: missing orders:write; has orders:read" || got.What != "orders:read orders:write" {
		t.Errorf("%+v", got)
	}
	if got := step(t, s, "handshake").What; !strings.Contains(got, "TLS 1.3 for api.example.com") || !strings.Contains(got, "client certificate: none that") {
		t.Errorf("handshake: %s", got)
	}
	if want := "pavise client update shop --scope orders:read --scope other --scope orders:write"; s.Next[0] != want {
		t.Errorf("next %q, want %q: no scope may be lost by it", s.Next, want)
	}
	if len(s.Policy) == 0 || len(s.Who) == 0 {
		t.Errorf("%+v", s)
	}
}

func TestAStoryTellsWhichPartOfAShieldRefused(t *testing.T) {
	f := load(t, orders)
	draw := func(p *explain.Proof) string {
		var b strings.Builder
		var one func(*explain.Proof)
		one = func(p *explain.Proof) {
			b.WriteString(p.Combine + p.Kind + " " + p.Outcome.Mark() + " ")
			for i := range p.Parts {
				one(&p.Parts[i])
			}
		}
		one(p)
		return strings.TrimSpace(b.String())
	}
	for name, test := range map[string]struct {
		e    *audit.Event
		want string
	}{
		"nothing there":        {refused("shield", "missing_credential", "1: absent; 2.1: absent; 2.2: absent"), "any ✗ hmac ✗ all ✗ mtls ✗ api_key ✗"},
		"all but one":          {refused("shield", "missing_credential", "1: absent; 2.1: proved; 2.2: absent"), "any ✗ hmac ✗ all ✗ mtls ✓ api_key ✗"},
		"one ends it":          {refused("shield", "invalid_credential", "2.2: no key is this one"), "any ✗ hmac · all ✗ mtls · api_key ✗"},
		"an older event":       {refused("shield", "invalid_credential", "no key is this one"), "any · hmac · all · mtls · api_key ·"},
		"the first was enough": {proved(refused("access", "insufficient_scope", "")), "any ✓ hmac ✓ all · mtls · api_key ·"},
		"before the shield":    {refused("cors", "foreign_origin", ""), "any · hmac · all · mtls · api_key ·"},
	} {
		t.Run(name, func(t *testing.T) {
			s := explain.Tell(test.e, explain.Known{File: f})
			if s.Shield == nil || draw(s.Shield) != test.want {
				t.Errorf("%s, want %s", draw(s.Shield), test.want)
			}
		})
	}
}

func TestWhyNamesThePartsOfAShield(t *testing.T) {
	f := load(t, orders)
	for detail, want := range map[string]string{
		"2.2: revoked at noon":                    "api_key: revoked at noon",
		"1: absent; 2.1: absent; 2.2: absent":     "hmac: absent; mtls: absent; api_key: absent",
		"3: of a part that there is no more":      "3: of a part that there is no more",
		"no combination":                          "no combination",
		"1: the signature does not match; at all": "hmac: the signature does not match; at all",
	} {
		e := refused("shield", "invalid_credential", detail)
		if got := explain.Why(e, f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := step(t, explain.Tell(e, explain.Known{File: f}), "shield").Why; got != "invalid_credential: "+want {
			t.Errorf("on the path: %q", got)
		}
	}
}

func TestAPassedLimitIsAStatement(t *testing.T) {
	f := load(t, orders)
	if got := step(t, explain.Tell(refused("access", "denied", ""), explain.Known{File: f}), "limit").What; !strings.HasPrefix(got, "192.0.2.7 is not kept out or slowed down; ") {
		t.Errorf("passed: %q", got)
	}
	if got := step(t, explain.Tell(refused("limit", "locked_out", "too much"), explain.Known{File: f}), "limit"); !strings.HasPrefix(got.What, "192.0.2.7; ") || got.Why == "" {
		t.Errorf("refused: %+v", got)
	}
}

func TestACommandSaysWhichConfigurationItIsAbout(t *testing.T) {
	if got, want := explain.With("pavise key list", "my gateway.yaml"), "pavise -c 'my gateway.yaml' key list"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAStoryOfWhatIsNoMoreConfigured(t *testing.T) {
	e := refused("shield", "missing_credential", "")
	e.Endpoint = "POST /v0/orders"
	s := explain.Tell(e, explain.Known{File: load(t, orders)})
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "no endpoint POST /v0/orders") || s.Policy != nil || len(s.Path) == 0 {
		t.Errorf("%+v", s)
	}
	if s := explain.Tell(e, explain.Known{}); len(s.Path) == 0 {
		t.Error("without a configuration there is no path")
	}
}

func TestAStoryOfAConnection(t *testing.T) {
	for at, want := range map[string]string{
		"tls": "connection ✓ handshake ✗ request ·", "http1": "connection ✓ handshake ✓ request ✗", "limit": "connection ✗ handshake · request ·", "plain": "connection ✓ handshake · request ✗",
	} {
		s := explain.Tell(&audit.Event{Class: audit.Connection, Step: at, Code: "tls_version", Detail: "no", Remote: netip.MustParseAddrPort("192.0.2.7:1"), SNI: "api.example.com"}, explain.Known{})
		var got []string
		for _, one := range s.Path {
			got = append(got, one.Name+" "+one.Outcome.Mark())
		}
		if strings.Join(got, " ") != want || len(s.Next) == 0 {
			t.Errorf("%s: %v, next %v", at, got, s.Next)
		}
	}
}

func TestChangesTellWhatMayHaveChangedTheJudgement(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	since := []audit.Event{
		{Class: audit.Admin, Action: "client.create", Time: at},
		{Class: audit.Admin, Action: "reload", Change: "+ apis.orders.limit: 60/minute", Time: at.Add(time.Hour)},
		{Class: audit.System, Code: "started", Time: at.Add(2 * time.Hour)},
	}
	all := explain.Changes(since, at.Add(time.Minute), at)
	if len(all) != 2 || !strings.Contains(all[0].Text, "60/minute") || !all[1].Time.Equal(at.Add(2*time.Hour)) {
		t.Errorf("%+v", all)
	}
	if all := explain.Changes(nil, at.Add(time.Minute), at); len(all) != 1 {
		t.Errorf("a file that was written since: %+v", all)
	}
	if all := explain.Changes(nil, at.Add(-time.Minute), at); all != nil {
		t.Errorf("%+v", all)
	}
}

func TestACommandCanBePasted(t *testing.T) {
	e := proved(refused("policy", "denied", "no"))
	e.Path = "/v1/it's here;rm"
	s := explain.Tell(e, explain.Known{File: load(t, orders)})
	if want := `pavise explain --as shop POST '/v1/it'\''s here;rm' --from 192.0.2.7`; len(s.Next) != 1 || s.Next[0] != want {
		t.Errorf("%q, want %q", s.Next, want)
	}
}

// Every code of a fault below a request has a remedy.
func TestEveryFaultOfAConnectionHasARemedy(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "edge", "fault.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Code" {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || explain.ConnectionRemedy(code) == "" {
			t.Errorf("%s has none (%v)", code, err)
		}
		codes++
		return true
	})
	if codes < 20 {
		t.Errorf("only %d codes were found", codes)
	}
}
