package sanitise_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/sanitise"
	"pavise.dev/pavise/shield"
)

func open(t testing.TB, rules ...sanitise.Rule) *sanitise.Sanitiser {
	t.Helper()
	s, err := sanitise.New(rules, sanitise.Options{Contract: declared{"item", "comment"}, MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rule(field string, do ...string) sanitise.Rule { return sanitise.Rule{Field: field, Do: do} }

func refusing(field string, do ...string) sanitise.Rule {
	return sanitise.Rule{Field: field, Do: do, Refuse: true}
}

// declared is a contract of an object with a few properties.
type declared []string

func (d declared) UndeclaredQuery(raw string) (names []string, err error) {
	for name := range must(url.ParseQuery(raw)) {
		if !slices.Contains(d, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (d declared) UndeclaredBody(h http.Header, text []byte) (pointers []string, err error) {
	object := map[string]any{}
	if h.Get("Content-Type") == jsonType {
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, errors.New("it is no JSON")
		}
	} else {
		for name := range must(url.ParseQuery(string(text))) {
			object[name] = nil
		}
	}
	for name := range object {
		if !slices.Contains(d, name) {
			pointers = append(pointers, "/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
		}
	}
	return pointers, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// result is what became of a request.
type result struct {
	query, body, changed string
	code                 shield.Code
	field                shield.Field
	request              *http.Request
}

func send(t testing.TB, s *sanitise.Sanitiser, query, media, body string) (out result) {
	t.Helper()
	r := httptest.NewRequest("POST", "https://api.example.com/orders?"+query, strings.NewReader(body))
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	r.Body = shield.NewBody(r.Body, 1<<20)
	var err error
	out.request = r
	out.changed, err = s.Sanitise(r, nil)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		out.code = refusal.Code
		if len(refusal.Fields) > 0 {
			out.field = refusal.Fields[0]
		}
		return out
	}
	if err != nil {
		t.Fatal(err)
	}
	out.query, out.body = r.URL.RawQuery, string(must(io.ReadAll(r.Body)))
	return out
}

// text sends one text through steps, and says what became of it.
func text(t testing.TB, in string, do ...string) string {
	t.Helper()
	out := send(t, open(t, rule("body /comment", do...)), "", jsonType, string(must(json.Marshal(map[string]string{"comment": in}))))
	if out.code != "" {
		return "refused " + out.field.Rule
	}
	var v struct{ Comment string }
	if err := json.Unmarshal([]byte(out.body), &v); err != nil {
		t.Fatalf("%s: %v", out.body, err)
	}
	return v.Comment
}

func TestStepsCleanTexts(t *testing.T) {
	attacktest.Rows(t, 171)
	for name, c := range map[string]struct {
		do       []string
		in, want string
	}{
		"blanks at both ends":            {[]string{"trim"}, " \t\u00a0\u3000Ada Lovelace\n", "Ada Lovelace"},
		"nothing to trim":                {[]string{"trim"}, "Ada  Lovelace", "Ada  Lovelace"},
		"controls":                       {[]string{"controls"}, "a\x00b\x1bc\u0085d\u2028e\tf\r\ng\x7f", "abcd\ne\tf\r\ng"},
		"blanks of no width":             {[]string{"invisible"}, "pass\u200bword\ufeff\u00ad", "password"},
		"directions":                     {[]string{"invisible"}, "invoice\u202efdp.exe\u2066", "invoicefdp.exe"},
		"tags that spell a text unseen":  {[]string{"invisible"}, "hi\U000e0069\U000e0067\U000e006e", "hi"},
		"many selectors":                 {[]string{"invisible"}, "😀\ufe0f\ufe01\U000e0100\U000e0101", "😀\ufe0f"},
		"a joiner between letters":       {[]string{"invisible"}, "ad\u200dmin\u200c", "admin"},
		"a joiner that Persian needs":    {[]string{"invisible"}, "می\u200cخواهم", "می\u200cخواهم"},
		"a joiner that Hindi needs":      {[]string{"invisible"}, "क्\u200dष", "क्\u200dष"},
		"a family":                       {[]string{"invisible"}, "👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"},
		"a burning heart":                {[]string{"invisible"}, "❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"},
		"a keycap":                       {[]string{"invisible"}, "1\ufe0f\u20e3", "1\ufe0f\u20e3"},
		"one spelling":                   {[]string{"nfc"}, "e\u0301", "é"},
		"ligatures stay":                 {[]string{"nfc"}, "ﬁ Ａ", "ﬁ Ａ"},
		"one form":                       {[]string{"nfkc"}, "ﬁ Ａ①", "fi A1"},
		"full width markup":              {[]string{"nfkc", "text"}, "＜script＞alert(1)＜/script＞", ""},
		"a Cyrillic а among Latin":       {[]string{"confusables"}, "pаypal and Μicrosoft", "paypal and Microsoft"},
		"Cyrillic and Greek by itself":   {[]string{"confusables"}, "сор и кот, Αθήνα; Δt, 5 μm", "сор и кот, Αθήνα; Δt, 5 μm"},
		"a script":                       {[]string{"html"}, `<b onclick="x()">Hi</b><script>alert(1)</script><img src=x onerror=alert(1)>`, `<b>Hi</b>`},
		"a script in an address":         {[]string{"html"}, `<a href="javascript:alert(1)">x</a>`, `x`},
		"a link":                         {[]string{"html"}, `<a href="https://example.com/?a=1&amp;b=2" target=_blank>it's</a>`, `<a href="https://example.com/?a=1&amp;b=2" rel="nofollow noreferrer">it's</a>`},
		"quotes and arithmetic in HTML":  {[]string{"html"}, `"5 < 6", don't & won't`, `"5 &lt; 6", don't &amp; won't`},
		"a broken tag":                   {[]string{"html"}, `<scr<script>ipt>alert(1)</script>`, `ipt&gt;alert(1)`},
		"markup in a text":               {[]string{"text"}, `Hi <b>you</b> &amp; AT&T<script>alert(1)</script> <3`, `Hi you & AT&T <3`},
		"markup that appears":            {[]string{"text"}, `<<b>script>alert(1)<</b>/script>`, ``},
		"encoded markup in a text":       {[]string{"text"}, `&amp;lt;script&amp;gt;alert(1)&amp;lt;/script&amp;gt;ok`, `ok`},
		"an address in a text":           {[]string{"text"}, `see ?a=1&copy=2&lang=de`, `see ?a=1&copy=2&lang=de`},
		"percent escapes twice":          {[]string{"decode", "html"}, `%253Cscript%253Ealert(1)%253C/script%253Eok`, `ok`},
		"references twice":               {[]string{"decode", "html"}, `&amp;lt;script&amp;gt;alert(1)&amp;lt;/script&amp;gt;ok`, `ok`},
		"references without a semicolon": {[]string{"decode"}, `&lt&#60&#x3c;&apos;&copy=1`, `<<<'&copy=1`},
		"percents that are none":         {[]string{"decode"}, `100% of 5%zz %ff%C3%A9`, `100% of 5%zz %ffé`},
		"percents around what is none":   {[]string{"decode"}, `%ff%3Cb%3e%c3`, `%ff<b>%c3`},
		"encoded deeper than anybody":    {[]string{"decode"}, "%" + strings.Repeat("25", 40) + "3C", "refused decode"},
		"special characters":             {[]string{"encode"}, `<a href='x'>"T&C" &amp; &lt;`, `&lt;a href=&#39;x&#39;&gt;&#34;T&amp;C&#34; &amp; &lt;`},
		"one step after the other":       {[]string{"trim", "invisible"}, " \u200b x \u200b ", "x"},
	} {
		if got := text(t, c.in, c.do...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOnlyNamedFieldsAreChangedAndInTheirPlace(t *testing.T) {
	attacktest.Rows(t, 171)
	s := open(t, rule("body /comment", "trim"), rule("body /lines/*/note", "trim"), rule("body /any/**", "trim"), rule("body /list/1", "trim"))
	in := `{ "id" : 12345678901234567890.50e+2, "comment":" x\u00e9\n ","lines": [ {"note":" a "}, {"note":7,"other":" b "}, {"note":"c"}],
		"any":{"k ":[" d ",{"x":" e\/ "}]}, "list":[" f ", " g "],"\u0063omment2":" h " }`
	want := `{ "id" : 12345678901234567890.50e+2, "comment":"xé","lines": [ {"note":"a"}, {"note":7,"other":" b "}, {"note":"c"}],
		"any":{"k ":["d",{"x":"e/"}]}, "list":[" f ", "g"],"\u0063omment2":" h " }`
	out := send(t, s, "", jsonType, in)
	if out.body != want || out.changed != "trim=5" {
		t.Errorf("got %s\nwant %s\n%s", out.body, want, out.changed)
	}
	if out.request.ContentLength != int64(len(want)) {
		t.Errorf("Content-Length %d, want %d", out.request.ContentLength, len(want))
	}
	if out := send(t, s, "", jsonType, want); out.body != want || out.changed != "" {
		t.Errorf("changed again: %s", out.changed)
	}
	if out := send(t, open(t, rule("body", "trim")), "", jsonType, ` " x " `); out.body != ` "x" ` {
		t.Errorf("a text by itself: %q", out.body)
	}
	if out := send(t, open(t, rule("body", "trim")), "", "text/plain; charset=UTF-8", " x "); out.body != "x" {
		t.Errorf("plain text: %q", out.body)
	}
}

func TestQueriesAndFormsAreCleaned(t *testing.T) {
	s := open(t, rule("query q", "trim", "text"), rule("query tag", "trim"), rule("body /comment", "trim"), rule("body /*", "controls"))
	out := send(t, s, "page=1&q=%20%3Cb%3Ehi%3C/b%3E+you+&x=%41&q=ok&tag=a,%20b,+", formType, "a=%01b&comment=+%C3%A9+&c=%7e&d")
	if out.query != "page=1&q=hi+you&x=%41&q=ok&tag=a,+b," || out.body != "a=b&comment=%C3%A9&c=%7e&d" {
		t.Errorf("query %s, body %s", out.query, out.body)
	}
	if out.changed != "trim=3 controls=1 text=1" || !strings.HasSuffix(out.request.RequestURI, "?"+out.query) {
		t.Errorf("changed %q, %s", out.changed, out.request.RequestURI)
	}
	if out := send(t, open(t, rule("query", "trim")), "a=+1&b=+2", "", ""); out.query != "a=1&b=2" {
		t.Errorf("every parameter: %s", out.query)
	}
	if out := send(t, s, "q=a%2Cb,+", "", ""); out.code != shield.InvalidInput || out.field.Rule != "form" {
		t.Errorf("two kinds of commas: %+v", out)
	}
	if out := send(t, s, "q=%ff", "", ""); out.code != shield.BadQuery {
		t.Errorf("no UTF-8: %v", out.code)
	}
}

func TestWhatIsUndeclaredIsStripped(t *testing.T) {
	s := open(t, rule("body", "strip_undeclared"), rule("query", "strip_undeclared"), rule("body /comment", "trim"))
	for in, want := range map[string]string{
		`{"item":1}`:                        `{"item":1}`,
		`{"admin":1}`:                       `{}`,
		`{ "admin" : [1,{"x":2}] , "b":2 }`: `{  }`,
		`{"item":1,"admin":2}`:              `{"item":1}`,
		`{"admin":2, "item":1}`:             `{"item":1}`,
		`{"a":1,"b":2,"item":1 ,"c":3,"d":4,"comment":" x ","e":5}`: `{"item":1,"comment":"x"}`,
		`{"\u0061/~":1,"item":1.50e30}`:                             `{"item":1.50e30}`,
	} {
		if out := send(t, s, "item=1", jsonType, in); out.body != want {
			t.Errorf("%s: %s, want %s (%v)", in, out.body, want, out.code)
		}
	}
	out := send(t, s, "debug=1&item=2&x&debug=3", formType, "admin=1&item=%20&b=2")
	if out.query != "item=2" || out.body != "item=%20" || out.changed != "strip_undeclared=5" {
		t.Errorf("query %q, body %q, changed %q", out.query, out.body, out.changed)
	}
	strict := open(t, refusing("body", "strip_undeclared"), refusing("query", "strip_undeclared"))
	if out := send(t, strict, "", jsonType, `{"admin":1}`); out.code != shield.InvalidInput || out.field != (shield.Field{In: "body", Pointer: "/admin", Rule: "undeclared"}) {
		t.Errorf("%+v", out)
	}
	if out := send(t, strict, "debug=1", "", ""); out.field != (shield.Field{In: "query", Pointer: "/debug", Rule: "undeclared"}) {
		t.Errorf("%+v", out)
	}
	if out := send(t, strict, "item=1", jsonType, `{"item":1}`); out.code != "" {
		t.Errorf("%+v", out)
	}
}

func TestARuleMayRefuseInstead(t *testing.T) {
	attacktest.Rows(t, 171)
	s := open(t, refusing("body /name", "invisible", "confusables", "decode"), refusing("query q", "text"), rule("body /name", "trim"))
	for in, want := range map[string]shield.Field{
		`{"name":" Ada "}`:           {},
		`{"name":"pаypal"}`:          {In: "body", Pointer: "/name", Rule: "confusables"},
		`{"name":"a\u202eb"}`:        {In: "body", Pointer: "/name", Rule: "invisible"},
		`{"name":"%253Cscript"}`:     {In: "body", Pointer: "/name", Rule: "decode"},
		`{"name":"&amp;lt;script"}`:  {In: "body", Pointer: "/name", Rule: "decode"},
		`{"other":"&amp;lt;script"}`: {},
	} {
		if out := send(t, s, "q=a", jsonType, in); out.field != want || (out.code == shield.InvalidInput) != (want.In != "") {
			t.Errorf("%s: %+v", in, out)
		}
	}
	if out := send(t, s, "q=%3Cb%3E", "", ""); out.field != (shield.Field{In: "query", Pointer: "/q", Rule: "text"}) {
		t.Errorf("%+v", out)
	}
	deep := open(t, refusing("body /a~1b/**", "trim"))
	if out := send(t, deep, "", jsonType, `{"x":1,"a/b":[1,{"c":[2," x"]}]}`); out.field.Pointer != "/a~1b/1/c/1" {
		t.Errorf("%+v", out)
	}
}

func TestWhatCannotBeReadDoesNotPass(t *testing.T) {
	s := open(t, rule("body /comment", "trim"))
	small, err := sanitise.New([]sanitise.Rule{rule("body /comment", "nfkc", "encode")}, sanitise.Options{MaxBody: 100})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		with        *sanitise.Sanitiser
		media, body string
		code        shield.Code
	}{
		"JSON":                {s, jsonType, `{"comment":"x"}`, ""},
		"no body":             {s, "", ``, ""},
		"a name twice":        {s, jsonType, `{"comment":"x","comment":" y"}`, shield.InvalidInput},
		"half a surrogate":    {s, jsonType, `{"comment":"\ud800"}`, shield.InvalidInput},
		"no JSON":             {s, jsonType, `{"comment":`, shield.InvalidInput},
		"too deep":            {s, jsonType, strings.Repeat("[", 100_000), shield.InvalidInput},
		"a form with ;":       {s, formType, `comment=a;b`, shield.InvalidInput},
		"a form, no escape":   {s, formType, `comment=%zz`, shield.InvalidInput},
		"XML":                 {s, "application/xml", `<comment/>`, shield.UnsupportedMedia},
		"multipart":           {s, "multipart/form-data; boundary=b", `--b--`, shield.UnsupportedMedia},
		"no type":             {s, "", `{}`, shield.UnsupportedMedia},
		"another charset":     {s, "application/json; charset=utf-16", `{}`, shield.UnsupportedMedia},
		"grown, within":       {small, jsonType, `{"comment":"ﷺ"}`, ""},
		"grown, beyond":       {small, jsonType, `{"comment":"` + strings.Repeat("ﷺ", 5) + `"}`, shield.TooLarge},
		"grown, beyond, form": {small, formType, `comment=` + strings.Repeat("%3C", 20), shield.TooLarge},
	} {
		if out := send(t, c.with, "", c.media, c.body); out.code != c.code {
			t.Errorf("%s: %q, want %q", name, out.code, c.code)
		}
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader("\x1f\x8b"))
	r.Header = http.Header{"Content-Type": {jsonType}, "Content-Encoding": {"gzip"}}
	r.Body = shield.NewBody(r.Body, 100)
	if _, err := s.Sanitise(r, nil); err == nil {
		t.Error("a coding passed")
	}
}

func TestRulesThatCannotWorkAreRefused(t *testing.T) {
	for name, r := range map[string]sanitise.Rule{
		"no field":              rule("", "trim"),
		"a header":              rule("header x", "trim"),
		"no pointer":            rule("body comment", "trim"),
		"two blanks":            rule("body  /comment", "trim"),
		"no step":               rule("body /comment"),
		"an unknown step":       rule("body /comment", "wash"),
		"** in the middle":      rule("body /a/**/b", "trim"),
		"two forms":             rule("body /a", "nfc", "nfkc"),
		"HTML that is encoded":  rule("body /a", "html", "encode"),
		"stripping of a part":   rule("body /a", "strip_undeclared"),
		"stripping beside":      rule("body", "strip_undeclared", "trim"),
		"stripping of one name": rule("query q", "strip_undeclared"),
	} {
		if _, err := sanitise.New([]sanitise.Rule{r}, sanitise.Options{Contract: declared{}}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := sanitise.New([]sanitise.Rule{rule("body", "strip_undeclared")}, sanitise.Options{}); err == nil {
		t.Error("stripping without a contract is accepted")
	}
}

func TestNothingIsCopiedWhereNothingChanges(t *testing.T) {
	s := open(t, rule("body /comment", "trim", "controls", "invisible", "nfc", "html"))
	body := `{"comment":"Leave it at the door, please: the bell doesn't work","item":"tea"}`
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", jsonType)
	kept := shield.NewBody(r.Body, 1000)
	r.Body = kept
	before, err := kept.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Sanitise(r, nil); changed != "" || err != nil {
		t.Fatal(changed, err)
	}
	if after, _ := kept.Bytes(); &after[0] != &before[0] {
		t.Error("the body is another one")
	}
}

// alphabet is what texts are made of in which something could come back after it was cleaned.
func alphabet() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"<", ">", "&", `"`, "'", "<b>", "</b>", "<script>", "</script>", "&lt;", "&gt;", "&amp;", "&#60;", "&#x3c", "&lt", "%3C", "%253C", "%25", "<x>", "<!--", "-->",
		"<a href=", "https://e.com/?a&b", "javascript:", "<plaintext>", "<title>", "</title>", "<textarea>", "<style>", "<svg>", "<![CDATA[", "]]>", "=", "/", "lt;", "amp;", ";", "#",
		" ", "\t", "\r", "\n", "\x00", "\x7f", "\u0085", "\u2028", "\u200b", "\u200d", "\u200c", "\u202e", "\ufe0f", "\U000e0041", "e", "\u0301", "\u0323", "é", "ﬁ", "＜", "＆", "ﷺ",
		"а", "p", "Α", "👩", "क", "्", "1", "\u00a0", "ſ", "K", "İ", "copy", "x",
	})
}

// What was cleaned once is not changed again, by any steps in any order; nor by coming encoded
// once more.
func TestCleaningIsIdempotent(t *testing.T) {
	attacktest.Rows(t, 171)
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOfN(alphabet(), 0, 24).Draw(t, "text"), "")
		if !utf8.ValidString(in) {
			t.Skip()
		}
		do := rapid.SliceOfNDistinct(rapid.SampledFrom(sanitise.Steps()[1:]), 1, 6, rapid.ID[string]).Draw(t, "do")
		s, err := sanitise.New([]sanitise.Rule{rule("body /**", do...), rule("query", do...)}, sanitise.Options{})
		if err != nil {
			t.Skip() // they contradict each other
		}
		body := string(must(json.Marshal(map[string]any{"a": in, "b": []string{in}})))
		once := rapidSend(t, s, "q="+url.QueryEscape(in), body)
		if once.code != "" {
			if once.code != shield.InvalidInput {
				t.Fatalf("%v", once.code)
			}
			return // encoded too deep
		}
		twice := rapidSend(t, s, once.query, once.body)
		if twice.changed != "" || twice.body != once.body || twice.query != once.query {
			t.Fatalf("%v: %q becomes %s, and that %s (%s, %q)", do, in, once.body, twice.body, twice.changed, twice.code)
		}
		if slices.Contains(do, "html") || slices.Contains(do, "text") {
			if lower := strings.ToLower(once.body); strings.Contains(lower, "<script") || strings.Contains(lower, `href=\"javascript`) {
				t.Fatalf("%v: %q becomes %s", do, in, once.body)
			}
		}
	})
}

func rapidSend(t *rapid.T, s *sanitise.Sanitiser, query, body string) (out result) {
	r := httptest.NewRequest("POST", "https://api.example.com/?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", jsonType)
	r.Body = shield.NewBody(r.Body, 1<<20)
	changed, err := s.Sanitise(r, nil)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return result{code: refusal.Code}
	}
	if err != nil {
		t.Fatal(err)
	}
	return result{query: r.URL.RawQuery, body: string(must(io.ReadAll(r.Body))), changed: changed}
}

// Valid JSON stays valid, and means what parsing it, changing it and writing it would.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{"a":" x ","b":[" y ",1e5,null,{"c":"\u0020\ud83d\ude00 "}]}`, `" x"`, `[]`, `{"a":1,"a":2}`, `{"\u0061":" "}`, `{"a":"\\ \"q\" \n"}`, `{"a":" <b>&amp;"}`,
	} {
		f.Add(seed)
	}
	s, err := sanitise.New([]sanitise.Rule{rule("body /**", "trim"), rule("body", "trim")}, sanitise.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 10_000 {
			return
		}
		out := send(t, s, "", jsonType, body)
		var before, after any
		if out.code != "" || json.Unmarshal([]byte(body), &before) != nil {
			return
		}
		if err := json.Unmarshal([]byte(out.body), &after); err != nil {
			t.Fatalf("%q becomes %q: %v", body, out.body, err)
		}
		if want := trimmed(before); !reflect.DeepEqual(after, want) {
			t.Fatalf("%q becomes %q: %v, want %v", body, out.body, after, want)
		}
	})
}

func trimmed(v any) any {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case []any:
		for i := range v {
			v[i] = trimmed(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = trimmed(v[name])
		}
	}
	return v
}

// No text keeps a step busy, makes it panic, or comes back changed.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"<scr<script>ipt>", "&amp;lt;", "%253C", "e\u0301\u0301", "\u200d\u200d", "<a href='x' href=\"y\">", "<plaintext><b>", "&#0;&#x80;", "</p x>"} {
		f.Add(seed)
	}
	all := [][]string{{"trim", "controls", "invisible", "nfc", "html"}, {"decode", "nfkc", "confusables", "text"}, {"encode", "trim"}, {"decode", "html"}}
	f.Fuzz(func(t *testing.T, in string) {
		if !utf8.ValidString(in) || len(in) > 10_000 {
			return
		}
		for _, do := range all {
			once := text(t, in, do...)
			if again := text(t, once, do...); again != once && !strings.HasPrefix(once, "refused ") {
				t.Fatalf("%v: %q becomes %q, and that %q", do, in, once, again)
			}
		}
	})
}

func BenchmarkUnchanged(b *testing.B) {
	benchmark(b, `{"id":7,"comment":"Leave it at the door, please: the bell doesn't work","items":[{"sku":"A-100","note":"ripe"},{"sku":"B-7","note":"none"}]}`)
}

func BenchmarkChanged(b *testing.B) {
	benchmark(b, `{"id":7,"comment":" Leave it at the <b onclick=x()>door</b>, please <script>alert(1)</script>","items":[{"sku":"A-100","note":" ripe\u0000"},{"sku":"B-7","note":"none"}]}`)
}

func benchmark(b *testing.B, body string) {
	s := open(b, rule("body /comment", "trim", "controls", "invisible", "nfc", "html"), rule("body /items/*/note", "trim", "controls"))
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", jsonType)
	r.ContentLength = int64(len(body))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.Body = shield.NewBody(io.NopCloser(strings.NewReader(body)), 1<<20)
		if _, err := s.Sanitise(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
