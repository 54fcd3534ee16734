package review

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// same reports how the quick reading of an event differs from the strict one.
func same(t *testing.T, q *reader, event []byte) {
	t.Helper()
	e, err := audit.ParseJSON(event)
	if err != nil {
		return // the chain keeps such lines out of a log
	}
	var r record
	if !q.read(event, &r) {
		t.Fatalf("not read: %s", event)
	}
	for name, pair := range map[string][2]string{
		"id": {string(r.id), e.ID}, "class": {string(r.class), string(e.Class)}, "method": {string(r.method), e.Method}, "path": {string(r.path), e.Path},
		"api": {string(r.api), e.API}, "endpoint": {string(r.endpoint), e.Endpoint}, "shield": {string(r.shield), e.Shield},
		"credential": {string(r.credential), e.CredentialID}, "issuer": {string(r.issuer), e.Issuer}, "subject": {string(r.subject), e.Subject},
		"client": {string(r.client), e.Client}, "user": {string(r.user), e.User}, "tenant": {string(r.tenant), e.Tenant}, "with": {string(r.with), e.With},
		"warning": {string(r.warning), e.Warning}, "step": {string(r.step), e.Step}, "decision": {string(r.decision), string(e.Decision)},
		"code": {string(r.code), e.Code}, "detail": {string(r.detail), e.Detail}, "action": {string(r.action), e.Action}, "note": {string(r.note), e.Note},
		"target": {string(r.target), e.Target}, "change": {string(r.change), e.Change},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, strictly %q: %s", name, pair[0], pair[1], event)
		}
	}
	if r.micro != e.Time.UnixMicro() || r.proved != e.Proved || r.count != max(e.Count, 1) {
		t.Errorf("time %d, proved %t, count %d of %s", r.micro, r.proved, r.count, event)
	}
	want := ""
	if addr := e.Remote.Addr().Unmap(); addr.IsValid() {
		bits := 48
		if addr.Is4() {
			bits = 24
		}
		p, err := addr.Prefix(bits)
		if err != nil {
			t.Fatal(err)
		}
		want = p.String()
	}
	if got := string(network(nil, r.remote)); e.Remote.IsValid() && !samePrefix(got, want) {
		t.Errorf("network %q, want %q: %s", got, want, event)
	}
}

func samePrefix(a, b string) bool {
	p, err := netip.ParsePrefix(a)
	q, also := netip.ParsePrefix(b)
	return err == nil && also == nil && p.Addr() == q.Addr() && p.Bits() == q.Bits()
}

func full() audit.Event {
	return audit.Event{
		ID: "8f3k2m", Time: time.Date(2026, 11, 30, 8, 15, 2, 123456000, time.UTC), Class: audit.Request, Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Peer: netip.MustParseAddrPort("10.0.0.1:99"), TLS: "1.3", SNI: "api.example.com", Proto: "HTTP/2.0", Method: "GET", Host: "api.example.com",
		Path: "/v1/orders/7", Query: "page=2", UserAgent: `Mozilla/5.0 "x"`, API: "orders", Endpoint: "GET /v1/orders/{id}", Step: "proxy", Decision: audit.Accepted,
		Status: 200, Shield: "api_key", CredentialID: "7K2Q9M4XWT", Issuer: "pavise", Subject: "shop", Client: "shop", User: "ann", Tenant: "t1",
		With: "mtls:serial:1f", Proved: true, Warning: "credential_old", Upstream: "127.0.0.1:9000", UpstreamStatus: 200, BytesIn: 12, BytesOut: 1234,
		Duration: 1500 * time.Microsecond, Took: [audit.Parts]time.Duration{time.Millisecond},
	}
}

func TestTheQuickReadingIsTheStrictOne(t *testing.T) {
	q := &reader{}
	for name, change := range map[string]func(*audit.Event){
		"as it is":                  func(*audit.Event) {},
		"nothing but the least":     func(e *audit.Event) { *e = audit.Event{ID: "a", Time: e.Time} },
		"escapes in what is wanted": func(e *audit.Event) { e.Client, e.Path = `sh"op\`, "/v1/\x1b[31m" },
		"escapes at the end":        func(e *audit.Event) { e.UserAgent = `\` },
		"a name within a value":     func(e *audit.Event) { e.UserAgent = `","client":"root` },
		"of many":                   func(e *audit.Event) { e.Count = 70_000 },
		"IPv6":                      func(e *audit.Event) { e.Remote = netip.MustParseAddrPort("[2001:db8:1:2::3]:443") },
		"IPv4 in IPv6":              func(e *audit.Event) { e.Remote = netip.MustParseAddrPort("[::ffff:192.0.2.9]:443") },
		"no port":                   func(e *audit.Event) { e.Remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), 0) },
		"IPv6 without a port":       func(e *audit.Event) { e.Remote = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::9"), 0) },
		"no address":                func(e *audit.Event) { e.Remote = netip.AddrPort{} },
		"before 1970":               func(e *audit.Event) { e.Time = time.Date(1969, 12, 31, 23, 59, 59, 999000, time.UTC) },
		"an administrator's": func(e *audit.Event) {
			*e = audit.Event{ID: "a", Time: e.Time, Class: audit.Admin, Action: "client.update", Actor: "ann", Target: "shop", Change: `scopes [a] → [a b]; contact "a" → "b"`}
		},
		"another hour after another": func(e *audit.Event) { e.Time = e.Time.Add(5 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			e := full()
			change(&e)
			same(t, q, audit.AppendJSON(nil, &e))
			same(t, q, bytes.ReplaceAll(audit.AppendJSON(nil, &e), []byte(`","`), []byte(`", "`))) // not as it is written, and valid
		})
	}
	for _, bad := range []string{``, `{}`, `{"id":"a"}`, `{"id":"a","time":"2026-11-30T08:15:02.1Z"}`, `{"id":"a","time":1}`, `[]`, `{"id":"a","time":"2026-11-30T08:15:02.000000Z","count":"1"}`} {
		if q.read([]byte(bad), &record{}) {
			t.Errorf("%q is read", bad)
		}
	}
}

// What a log holds is read alike, quickly and strictly, whatever callers sent.
func FuzzQuick(f *testing.F) {
	f.Add("shop", "/v1/orders/7", "GET /v1/orders/{id}", "ua", "mtls:a", 3, uint32(7), true)
	f.Add(`"`, `\`, "\x00", `\"`, `","client":"x`, -1, uint32(0), false)
	f.Add(strings.Repeat("é", 200), "\u202e", "…", `\\`, " ", 1<<20, uint32(1<<31), true)
	f.Fuzz(func(t *testing.T, client, path, endpoint, agent, with string, count int, addr uint32, proved bool) {
		e := full()
		e.Client, e.Path, e.Endpoint, e.UserAgent, e.With, e.Count, e.Proved = client, path, endpoint, agent, with, count, proved
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}), uint16(addr))
		q := &reader{}
		same(t, q, audit.AppendJSON(nil, &e))
	})
}

// Texts that are no events of ours are read as strictly, or not at all.
func FuzzQuickOfAnything(f *testing.F) {
	e := full()
	f.Add(audit.AppendJSON(nil, &e))
	f.Add([]byte(`{"id":"a","time":"2026-11-30T08:15:02.000000Z","peer":""}`))
	f.Add([]byte(`{"id":"a\n","time":"2026-11-30T08:15:02.000000Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) { same(t, &reader{}, text) })
}

func BenchmarkRead(b *testing.B) {
	e := full()
	text := audit.AppendJSON(nil, &e)
	b.Run("quick", func(b *testing.B) {
		q, r := &reader{}, &record{}
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if !q.read(text, r) {
				b.Fatal("not read")
			}
		}
	})
	b.Run("strict", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := audit.ParseJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
