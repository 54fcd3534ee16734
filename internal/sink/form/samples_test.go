package form_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/form/formtest"
)

var source = form.Source{Node: "gw1", Version: "v1.2.3"}

func formOf(t testing.TB, name string) form.Form {
	t.Helper()
	write, err := source.Form(name)
	if err != nil {
		t.Fatal(err)
	}
	return write
}

func found(e audit.Event, seq uint64) audit.Found {
	return audit.Found{Seq: seq, Event: e, JSON: audit.AppendJSON(nil, &e)}
}

// hostile are texts that end a record, a field or a header somewhere.
func hostile() []string {
	return []string{
		"a\r\nb", "\x1b[31mred", `","decision":"accepted`, "x\u2028y\u2029z", "\xff\xfe", "\u202egnp", "a|b=c\\|d", `a"] b="c`, `\`, `\\=`, "=", "|",
		"\x00", "\x7f", "\u0085", "\u061c\u200b\u2060\ufeff\U000e0001", "CEF:0|x|y\n<14>1 - - [a=\"b\"]", "\xed\xa0\x80", " act=accepted ", "msg=x act=accepted",
		strings.Repeat("x", 1<<20), strings.Repeat("\"", 4096), strings.Repeat("\x01", 4096), strings.Repeat("ü", 4096), strings.Repeat("=", 4096),
	}
}

// full is an event whose every text is the given one.
func full(text string, class audit.Class, decision audit.Decision) audit.Event {
	e := *audittest.Event(text)
	e.BytesIn, e.BytesOut, e.Duration, e.UpstreamDuration = 1<<62, 1<<62, 1<<62, 1<<62
	e.Status, e.UpstreamStatus, e.Count = 1<<62, 1<<62, 1<<62
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			v.Field(i).SetString(text)
		}
	}
	e.Class, e.Decision = class, decision
	e.Remote = netip.MustParseAddrPort("[2001:db8::1%25zone]:65535")
	return e
}

func samples() []formtest.Sample {
	return formtest.Samples(time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC))
}
