package audit_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/attacktest"
)

func TestEventIsReadBackAsItWasWritten(t *testing.T) {
	attacktest.Requirements(t, "16.2.1", "16.2.2")
	events := map[string]*audit.Event{
		"every field": audittest.Event("r1"),
		"nothing":     {},
		"no peer":     {Remote: netip.MustParseAddrPort("192.0.2.7:1")},
		"no remote":   {Peer: netip.MustParseAddrPort("192.0.2.7:1")},
		"no port":     {Remote: netip.MustParseAddrPort("192.0.2.7:0"), Peer: netip.MustParseAddrPort("[::1]:0")},
		"mapped":      {Remote: netip.MustParseAddrPort("[::ffff:192.0.2.7]:5")},
		"escapes":     {Detail: "a \"quoted\" \\ detail\t\r\n\x00\x7f\u0085\u2028\u2029\u202e\U000e0041\ufffd<&>ü日本", Path: "/😀"},
		"last year":   {Time: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
	}
	for name, e := range events {
		t.Run(name, func(t *testing.T) {
			encoded := audit.AppendJSON(nil, e)
			got, err := audit.ParseJSON(encoded)
			if err != nil || !reflect.DeepEqual(got, *e) {
				t.Errorf("%v\n    %s\ngot  %+v\nwant %+v", err, encoded, got, *e)
			}
			var indented any
			if err := json.Unmarshal(encoded, &indented); err != nil {
				t.Errorf("%s: %v", encoded, err)
			}
		})
	}
}

func TestHostileTextStaysInItsField(t *testing.T) {
	attacktest.Requirements(t, "16.4.1")
	attacktest.Rows(t, 143)
	hostile := []string{
		"a\r\nb", "\x1b[31mred", `","decision":"accepted`, "x\u2028y\u2029z", "\xff\xfe", "\u202egnp", "a|b=c\\|d", `a"] b="c`,
		"\x00", "\x7f", "\u0085", "\u061c\u200b\u2060\ufeff\U000e0001", "CEF:0|x|y\n<14>1 - - [a=\"b\"]", "\xed\xa0\x80",
		strings.Repeat("x", 1<<20), strings.Repeat("\"", 4096), strings.Repeat("\x01", 4096), strings.Repeat("ü", 4096),
		strings.Repeat("\U000e0041", 4096), strings.Repeat("\xff", 4096),
	}
	for _, text := range hostile {
		e := audittest.Event(text)
		e.BytesIn, e.BytesOut, e.Duration, e.UpstreamDuration = 1<<62, 1<<62, 1<<62, 1<<62
		e.Status, e.UpstreamStatus, e.Count = 1<<62, 1<<62, 1<<62
		e.Remote = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
		e.Peer = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6667]:65535")
		v := reflect.ValueOf(e).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String {
				v.Field(i).SetString(text)
			}
		}
		encoded := audit.AppendJSON(nil, e)
		if len(encoded) > 7040 {
			t.Errorf("%.20q makes an event of %d bytes", text, len(encoded))
		}
		if !json.Valid(encoded) || !utf8.Valid(encoded) {
			t.Fatalf("%.20q breaks the JSON: %.200s", text, encoded)
		}
		for _, c := range string(encoded) {
			if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || strings.ContainsRune("\u2028\u2029\u202e\u061c\u200b\u2060\ufeff\ufffd\U000e0001", c) {
				t.Fatalf("%.20q leaves %q in the record", text, c)
			}
		}
		if got, err := audit.ParseJSON(encoded); err != nil || got.Status != e.Status || got.Proved != e.Proved {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// A forwarded address is what somebody wrote, and the zone of an IPv6 address may
// be any text.
func TestZoneOfAnAddressIsNotWritten(t *testing.T) {
	attacktest.Rows(t, 143)
	addr, err := netip.ParseAddr("fe80::1%\",\"proved\":true,\"x\":\"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	e := audit.Event{ID: "r1", Remote: netip.AddrPortFrom(addr, 1), Peer: netip.AddrPortFrom(addr, 0)}
	got, err := audit.ParseJSON(audit.AppendJSON(nil, &e))
	if err != nil || got.Proved || got.Remote.String() != "[fe80::1]:1" || got.Peer.Addr().String() != "fe80::1" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestParseRefusesWhatWasNotWritten(t *testing.T) {
	base := `{"id":"r1","time":"2026-11-23T12:00:00.000000Z"`
	if _, err := audit.ParseJSON([]byte(base + `}`)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"an array":             `[]`,
		"null":                 `null`,
		"no id":                `{"time":"2026-11-23T12:00:00.000000Z"}`,
		"no time":              `{"id":"r1"}`,
		"a repeated field":     base + `,"code":"a","code":"b"}`,
		"an unknown field":     base + `,"verdict":"a"}`,
		"another case":         base + `,"Code":"a"}`,
		"a number for a text":  base + `,"code":1}`,
		"a text for a number":  base + `,"status":"200"}`,
		"a fraction":           base + `,"status":200.5}`,
		"below zero":           base + `,"bytes_in":-1}`,
		"too large":            base + `,"bytes_in":9223372036854775808}`,
		"too long a time":      base + `,"duration_us":9223372036854775807}`,
		"false":                base + `,"proved":false}`,
		"null in a field":      base + `,"code":null}`,
		"an object in a field": base + `,"code":{}}`,
		"an array in a field":  base + `,"code":["a"]}`,
		"something behind":     base + `}{}`,
		"an end too early":     base,
		"no UTF-8":             base + ",\"code\":\"\xff\"}",
		"another time":         `{"id":"r1","time":"2026-11-23T12:00:00Z"}`,
		"a local time":         `{"id":"r1","time":"2026-11-23T12:00:00.000000+01:00"}`,
		"no address":           base + `,"remote":"localhost:1"}`,
		"a zone":               base + `,"remote":"fe80::1%eth0"}`,
		"too long":             base + `,"detail":"` + strings.Repeat("x", 1<<16) + `"}`,
	} {
		if e, err := audit.ParseJSON([]byte(text)); err == nil {
			t.Errorf("%s was read: %+v", name, e)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("r1", "/path", "a\r\n\u2028", "192.0.2.7:1", int64(1), int64(2))
	f.Add("\xff", strings.Repeat("\\", 900), "\U000e0041\ufffd", "[fe80::1%x]:1", int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, id, path, detail, remote string, number, seconds int64) {
		addr, _ := netip.ParseAddrPort(remote)
		e := &audit.Event{
			ID: id, Path: path, Detail: detail, Note: id, Remote: addr, Time: time.Unix(seconds, number), Status: int(number),
			Duration: time.Duration(number), Count: int(seconds), Code: detail, User: path,
		}
		encoded := audit.AppendJSON(nil, e)
		if !json.Valid(encoded) || len(encoded) > 7040 {
			t.Fatalf("%d bytes: %s", len(encoded), encoded)
		}
		got, err := audit.ParseJSON(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		for _, text := range [][2]string{{id, got.ID}, {path, got.Path}, {detail, got.Detail}, {path, got.User}} {
			want := strings.ToValidUTF8(text[0], "\ufffd")
			cut, truncated := strings.CutSuffix(text[1], "…")
			if !same(text[0], text[1]) && !(truncated && strings.HasPrefix(collapse(want), collapse(cut))) {
				t.Errorf("%q was read back as %q", text[0], text[1])
			}
		}
		// What was read is written as it was: a record can be passed on.
		if again := audit.AppendJSON(nil, &got); string(again) != string(encoded) {
			t.Errorf("written again\n%s is\n%s", encoded, again)
		}
	})
}

// same compares, with one U+FFFD for each byte that is no UTF-8.
func same(a, b string) bool { return string([]rune(a)) == b }

// collapse makes runs of U+FFFD one, which ToValidUTF8 does.
func collapse(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

func FuzzParseJSON(f *testing.F) {
	f.Add(audit.AppendJSON(nil, audittest.Event("r1")))
	f.Add([]byte(`{"id":1}`))
	f.Add([]byte(` { "id" : "" , "time" : "2026-11-23T12:00:00.000000Z" } `))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := audit.ParseJSON(text)
		if err != nil {
			return
		}
		again := audit.AppendJSON(nil, &e)
		if !json.Valid(again) || len(again) > 7040 {
			t.Errorf("%q became %q", text, again)
		}
		if _, err := audit.ParseJSON(again); err != nil {
			t.Errorf("%q: %v", again, err)
		}
	})
}

func TestAppendJSONDoesNotAllocate(t *testing.T) {
	e, dst := audittest.Event("r1"), make([]byte, 0, 8192)
	if n := testing.AllocsPerRun(100, func() { dst = audit.AppendJSON(dst[:0], e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	e, dst := event("0123456789ABCDEF"), make([]byte, 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		dst = audit.AppendJSON(dst[:0], e)
	}
}

// Whatever encoding/json would not read as one flat object is refused here too.
func FuzzParseJSONIsAsStrictAsEncodingJSON(f *testing.F) {
	f.Add([]byte(`{"id":"a","time":"2026-11-01T12:00:00.000000Z"}`))
	f.Add([]byte(` { "id" : "\u0061" , "time":"2026-11-01T12:00:00.000000Z","status": 200,"proved" :true}`))
	f.Add([]byte(`{"id":"a","time":"2026-11-01T12:00:00.000000Z","status":1e2,}`))
	f.Add([]byte(`{"id":"a" "time":"2026-11-01T12:00:00.000000Z"}{`))
	f.Add([]byte(`{"id":"\ud800","time":"2026-11-01T12:00:00.000000Z","status":0200}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := audit.ParseJSON(text)
		if err != nil {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Errorf("%q is read, and is no JSON: %v", text, err)
		}
		if plain["id"] != nil && plain["id"] != e.ID {
			t.Errorf("%q: id %q", text, e.ID)
		}
	})
}

func BenchmarkParseJSON(b *testing.B) {
	e := *audittest.Event("id")
	text := audit.AppendJSON(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := audit.ParseJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}
