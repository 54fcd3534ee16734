package form_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink/form"
)

func classes() []audit.Class {
	return []audit.Class{audit.Request, audit.Connection, audit.Admin, audit.Grant, audit.System, form.Detection, "x"}
}

func TestHostileTextStaysInItsField(t *testing.T) {
	attacktest.Requirements(t, "16.4.1")
	attacktest.Rows(t, 143)
	for _, name := range []string{form.JSON, form.OCSF, form.ECS, form.CEF} {
		write := formOf(t, name)
		for _, text := range hostile() {
			for _, class := range classes() {
				line := write(nil, found(full(text, class, audit.Refused), 7))
				harmless(t, name, text, line)
				if name == form.CEF {
					sameKeys(t, text, line, write(nil, found(full("harmless", class, audit.Refused), 7)))
				} else if got, want := shape(t, line), shape(t, write(nil, found(full("harmless", class, audit.Refused), 7))); got != want && len(text) < 4096 {
					t.Errorf("%s: %.20q changes the fields:\n%s\n%s", name, text, got, want)
				}
			}
		}
	}
}

// harmless fails unless a line is one line of bounded length without anything that steers a
// terminal or turns text.
func harmless(t *testing.T, name, text string, line []byte) {
	t.Helper()
	if len(line) > 256<<10 {
		t.Errorf("%s: %.20q makes %d bytes", name, text, len(line))
	}
	if !utf8.Valid(line) {
		t.Errorf("%s: %.20q makes what is no UTF-8", name, text)
	}
	for _, c := range string(line) {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || strings.ContainsRune("\u2028\u2029\u202e\u061c\u200b\u2060\ufeff\U000e0001", c) {
			t.Fatalf("%s: %.20q leaves %q in the line", name, text, c)
		}
	}
}

// shape is the JSON with every text emptied, but for the names of OCSF's own values.
func shape(t *testing.T, line []byte) string {
	t.Helper()
	var v map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %.300s", err, line)
	}
	emptied(v)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// hangs are fields that depend on whether a text can be a host, or is a known word.
func hangs(name string) bool {
	switch name {
	case "hostname", "activity_id", "type_uid", "activity_name", "class_uid", "category_uid", "severity_id", "severity", "entity", "comment", "user", "actor":
		return true
	}
	return false
}

func emptied(v map[string]any) {
	for name, value := range v {
		switch inner := value.(type) {
		case string:
			v[name] = ""
		case []any:
			v[name] = len(inner)
		case map[string]any:
			emptied(inner)
		}
		if hangs(name) {
			delete(v, name)
		}
	}
}

// sameKeys reads two lines of CEF and compares which fields they have.
func sameKeys(t *testing.T, text string, line, plain []byte) {
	t.Helper()
	got, want := readCEF(t, string(line)), readCEF(t, string(plain))
	for key := range got {
		if _, ok := want[key]; !ok && key != "dst" && key != "dpt" {
			t.Errorf("cef: %.20q adds the field %s: %.300s", text, key, line)
		}
	}
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("cef: %.20q takes the field %s away: %.300s", text, key, line)
		}
	}
	if short, _ := strings.CutSuffix(got["msg"], "…"); len(text) < 1024 && utf8.ValidString(text) && len(short) == 0 {
		t.Errorf("cef: msg of %.20q is empty", text)
	}
	if got["act"] != string(audit.Refused) {
		t.Errorf("cef: %.20q changes act to %q", text, got["act"])
	}
}

// readCEF is a reader by the letter of the format: header parts end at a bare |, values of the
// extension at the last blank before a bare =.
func readCEF(t *testing.T, line string) map[string]string {
	t.Helper()
	head, rest := []string{}, line
	for range 7 {
		end := bare(rest, '|')
		if end < 0 {
			t.Fatalf("cef: fewer than seven parts: %.300s", line)
		}
		head, rest = append(head, rest[:end]), rest[end+1:]
	}
	if head[0] != "CEF:0" || head[1] != "Pavise" || len(head[6]) > 2 {
		t.Fatalf("cef: header %.80q", head)
	}
	fields := map[string]string{}
	for rest != "" {
		equals := bare(rest, '=')
		if equals < 0 {
			t.Fatalf("cef: no = in %.80q", rest)
		}
		key := rest[:equals]
		rest = rest[equals+1:]
		value := rest
		if next := bare(rest, '='); next >= 0 {
			blank := strings.LastIndexByte(rest[:next], ' ')
			if blank < 0 {
				t.Fatalf("cef: no blank before a key in %.80q", rest)
			}
			value, rest = rest[:blank], rest[blank+1:]
		} else {
			rest = ""
		}
		if _, twice := fields[key]; twice {
			t.Fatalf("cef: %s stands twice: %.300s", key, line)
		}
		fields[key] = strings.NewReplacer(`\=`, "=", `\\`, `\`).Replace(value)
	}
	return fields
}

// bare finds a mark without a backslash before it.
func bare(s string, mark byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case mark:
			return i
		}
	}
	return -1
}

func TestFormsTellWhoWhatWhenAndWhy(t *testing.T) {
	attacktest.Requirements(t, "16.2.1", "16.2.4")
	e := *audittest.Event("r1")
	e.Decision, e.Code, e.Step, e.Status, e.Class = audit.Refused, "insufficient_scope", "access", 403, audit.Request
	for name, want := range map[string][]string{
		form.JSON: {`"id":"r1"`, `"code":"insufficient_scope"`},
		form.OCSF: {
			`"class_uid":6003`, `"type_uid":600302`, `"uid":"r1"`, `"time":1795435200123`, `"app_name":"shop"`, `"operation":"GET /v1/orders/{id}"`,
			`"status":"Failure"`, `"status_code":"insufficient_scope"`, `"credential_uid":"k1"`, `"ip":"192.0.2.7"`, `"tenant_uid":"t1"`, `"sequence":42`,
		},
		form.ECS: {
			`"@timestamp":"2026-11-23T12:00:00.123456Z"`, `"outcome":"failure"`, `"code":"insufficient_scope"`, `"status_code":403`, `"ip":"192.0.2.7"`,
			`"category":["api"]`, `"type":["denied"]`, `"original":"curl/8"`, `"client":"shop"`, `"credential":"k1"`, `"sequence":42`, `"duration":1500000`,
		},
		form.CEF: {
			"CEF:0|Pavise|Pavise|v1.2.3|insufficient_scope|Request refused|8|rt=1795435200123 externalId=r1", "src=192.0.2.7", "spt=1234", "act=refused",
			"cs2=shop cs2Label=client", "cs3=k1 cs3Label=credential", "cn1=403 cn1Label=status", "request=/v1/orders/7?page\\=2", "dst=127.0.0.1 dpt=9000",
		},
	} {
		line := string(formOf(t, name)(nil, found(e, 42)))
		for _, part := range want {
			if !strings.Contains(line, part) {
				t.Errorf("%s lacks %s:\n%s", name, part, line)
			}
		}
	}
	if _, err := source.Form("leef"); err == nil || !strings.Contains(err.Error(), "ocsf") {
		t.Errorf("a form that is not there: %v", err)
	}
}

// What is told of the trace, of the upstream and of the time that each part of the path took
// stands in every form.
func TestFormsTellOfTraceUpstreamAndTimes(t *testing.T) {
	e := *audittest.Event("r1")
	e.Upstream = "https://10.0.0.7:9000"
	trace, span, parent := e.Trace, e.Span, e.Parent
	for name, want := range map[string][]string{
		form.JSON: {
			`"trace":"` + trace + `"`, `"span":"` + span + `"`, `"parent":"` + parent + `"`, `"sampled":true`, `"entry_us":1`, `"last_us":6`,
			`"upstream":"https://10.0.0.7:9000"`, `"upstream_status":204`, `"upstream_us":1000`, `"note":"upgraded"`,
		},
		form.OCSF: {
			`"correlation_uid":"` + trace + `"`, `"span":"` + span + `"`, `"parent":"` + parent + `"`, `"sampled":true`, `"entry_us":1`, `"identity_us":2`,
			`"rights_us":3`, `"input_us":4`, `"conditions_us":5`, `"last_us":6`, `"upstream":"https://10.0.0.7:9000"`, `"upstream_status":204`,
			`"upstream_us":1000`, `"note":"upgraded"`,
		},
		form.ECS: {
			`"trace":{"id":"` + trace + `"}`, `"transaction":{"id":"` + span + `"}`, `"span":{"id":"` + span + `"}`, `"parent":"` + parent + `"`, `"sampled":true`,
			`"duration":1500000`, `"entry_us":1`, `"identity_us":2`, `"rights_us":3`, `"input_us":4`, `"conditions_us":5`, `"last_us":6`,
			`"address":"https://10.0.0.7:9000"`, `"upstream_status":204`, `"upstream_us":1000`, `"note":"upgraded"`,
		},
		form.CEF: {
			"PavisePaviseTrace=" + trace, "PavisePaviseSpan=" + span, "PavisePaviseParent=" + parent, "PavisePaviseSampled=true", "PavisePaviseEntryMicroseconds=1",
			"PavisePaviseIdentityMicroseconds=2", "PavisePaviseRightsMicroseconds=3", "PavisePaviseInputMicroseconds=4", "PavisePaviseConditionsMicroseconds=5",
			"PavisePaviseLastMicroseconds=6", "PavisePaviseUpstream=https://10.0.0.7:9000", "dst=10.0.0.7 dpt=9000", "PavisePaviseNote=upgraded",
			"flexNumber1=204 flexNumber1Label=upstreamStatus", "flexNumber2=1000 flexNumber2Label=upstreamMicroseconds",
		},
	} {
		line := string(formOf(t, name)(nil, found(e, 42)))
		for _, part := range want {
			if !strings.Contains(line, part) {
				t.Errorf("%s lacks %s:\n%s", name, part, line)
			}
		}
		bare := string(formOf(t, name)(nil, found(audit.Event{ID: "r2", Class: audit.Admin, Decision: audit.Accepted}, 43)))
		for _, word := range []string{"race", "pstream", "_us", "arent", "Microseconds"} {
			if strings.Contains(bare, word) {
				t.Errorf("%s tells of %s where there is none:\n%s", name, word, bare)
			}
		}
	}
}

func TestSeverityFollowsWhatWasDecided(t *testing.T) {
	for _, s := range samples() {
		want := map[string]form.Severity{
			"accepted": form.Informational, "no-credential": form.Low, "wrong-credential": form.Medium, "exposed": form.High, "injection": form.Medium,
			"upstream-failed": form.High, "sink-lost": form.Critical, "fired": form.High, "sign-in-failed": form.Medium, "started": form.Informational,
		}[s.Name]
		if got := form.SeverityOf(&s.Event); want != 0 && got != want {
			t.Errorf("%s is %v, want %v", s.Name, got, want)
		}
	}
}

func FuzzForms(f *testing.F) {
	for i, text := range hostile() {
		if len(text) < 5000 {
			f.Add(text, byte(i), "refused")
		}
	}
	f.Fuzz(func(t *testing.T, text string, class byte, decision string) {
		if len(text) > 5000 {
			return
		}
		e := full(text, classes()[int(class)%len(classes())], audit.Decision(decision))
		for _, name := range []string{form.OCSF, form.ECS, form.CEF} {
			line := formOf(t, name)(nil, found(e, 7))
			harmless(t, name, text, line)
			if name == form.CEF {
				readCEF(t, string(line))
			} else if !json.Valid(line) {
				t.Errorf("%s: %.300s", name, line)
			}
		}
	})
}

func TestFormsDoNotAllocate(t *testing.T) {
	for _, name := range []string{form.JSON, form.OCSF, form.ECS, form.CEF} {
		write, buffer := formOf(t, name), make([]byte, 0, 8192)
		for _, s := range samples() {
			f := found(s.Event, 7)
			if n := testing.AllocsPerRun(20, func() { buffer = write(buffer[:0], f) }); n != 0 {
				t.Errorf("%s allocates %.0f times for %s", name, n, s.Name)
			}
		}
	}
}

func BenchmarkForms(b *testing.B) {
	f := found(samples()[0].Event, 7)
	for _, name := range []string{form.JSON, form.OCSF, form.ECS, form.CEF} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			write, buffer := formOf(b, name), make([]byte, 0, 8192)
			for b.Loop() {
				buffer = write(buffer[:0], f)
			}
			b.SetBytes(int64(len(buffer)))
		})
	}
}
