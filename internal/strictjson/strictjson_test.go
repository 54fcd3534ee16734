package strictjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pavise.dev/pavise/internal/strictjson"
)

func TestReadsWhatTheStandardAllows(t *testing.T) {
	for text, want := range map[string]any{
		`{}`:                        map[string]any{},
		` [ ] `:                     []any{},
		`{"a":1,"b":[true,null]}`:   map[string]any{"a": strictjson.Number("1"), "b": []any{true, nil}},
		`"\u00e9\n\"\\\/"`:          "é\n\"\\/",
		`"\ud83d\ude00"`:            "😀",
		`"😀"`:                       "😀",
		`-0.5e+10`:                  strictjson.Number("-0.5e+10"),
		`0`:                         strictjson.Number("0"),
		"\t{\"\":\r\n{\"\":false}}": map[string]any{"": map[string]any{"": false}},
	} {
		got, err := strictjson.Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%s) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestRefusesWhatReadersDifferOver(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth+2) + strings.Repeat("]", strictjson.MaxDepth+2)
	for name, text := range map[string]string{
		"nothing":                "",
		"blanks":                 "  ",
		"a name twice":           `{"a":1,"a":1}`,
		"a name twice, escaped":  `{"a":1,"\u0061":2}`,
		"a name twice, inside":   `[{"x":{"a":1,"a":2}}]`,
		"something after it":     `{} {}`,
		"a NUL after it":         "{}\x00",
		"trailing comma":         `[1,]`,
		"trailing comma, object": `{"a":1,}`,
		"comment":                `{/**/}`,
		"single quotes":          `{'a':1}`,
		"bare name":              `{a:1}`,
		"byte order mark":        "\xef\xbb\xbf{}",
		"UTF-16":                 "\xff\xfe{\x00}\x00",
		"broken UTF-8":           "\"\xff\"",
		"overlong UTF-8":         "\"\xc0\xaf\"",
		"broken UTF-8, escaped":  "\"\\n\xff\"",
		"lone high surrogate":    `"\ud83d"`,
		"lone low surrogate":     `"\ude00"`,
		"two high surrogates":    `"\ud83d\ud83d"`,
		"encoded surrogate":      "\"\xed\xa0\xbd\"",
		"control character":      "\"\n\"",
		"control after escape":   "\"\\n\n\"",
		"unknown escape":         `"\x41"`,
		"short escape":           `"\u00"`,
		"not hexadecimal":        `"\u00zz"`,
		"unended string":         `"a`,
		"unended escape":         `"a\`,
		"unended object":         `{"a":1`,
		"unended array":          `[1`,
		"no colon":               `{"a" 1}`,
		"NaN":                    `NaN`,
		"Infinity":               `-Infinity`,
		"leading zero":           `01`,
		"plus":                   `+1`,
		"point without digits":   `1.`,
		"exponent without":       `1e`,
		"hexadecimal":            `0x1`,
		"half a word":            `tru`,
		"word in capitals":       `True`,
		"too deep":               deep,
	} {
		if v, err := strictjson.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %v", name, v)
		}
	}
}

func TestObjectRefusesOtherValues(t *testing.T) {
	for _, text := range []string{`[]`, `"a"`, `null`, `1`} {
		if _, err := strictjson.Object([]byte(text)); err == nil {
			t.Errorf("%s was taken for an object", text)
		}
	}
}

func TestErrorsDoNotQuote(t *testing.T) {
	_, err := strictjson.Parse([]byte(`{"canary-secret":1,"canary-secret":2}`))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

// FuzzParse holds the reader against encoding/json: what we accept it accepts,
// and reads alike.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e3,"x\u00e9\ud83d\ude00",true,null,{}]}`, `{"a":1,"a":2}`, `"\ud800"`, `[[[[]]]]`, ` 1 `, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, err := strictjson.Parse(data)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var theirs any
		if err := decoder.Decode(&theirs); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %q: %v", data, err)
		}
		if fmt.Sprintf("%#v", plain(ours)) != fmt.Sprintf("%#v", theirs) {
			t.Fatalf("read %q as %#v, encoding/json as %#v", data, ours, theirs)
		}
	})
}

// A run of plain bytes ends where the first other one is, wherever that stands.
func FuzzStringsOfEveryLength(f *testing.F) {
	f.Add("aaaaaaaaaaaaaaaa", byte('"'))
	f.Add("aaaaaaaaaa\x1faaaa", byte(0x80))
	f.Fuzz(func(t *testing.T, text string, other byte) {
		for i := 0; i <= len(text) && i < 40; i++ {
			data := []byte("\"" + text[:i] + string([]byte{other}) + text[i:] + "\"")
			ours, err := strictjson.Parse(data)
			var theirs string
			fine := utf8.Valid(data) && json.Unmarshal(data, &theirs) == nil && !bytes.Contains(data, []byte(`\u`))
			if fine && (err != nil || ours != theirs) || err == nil && !json.Valid(data) {
				t.Fatalf("%q: %q, %v; encoding/json: %q", data, ours, err, theirs)
			}
		}
	})
}

func plain(v any) any {
	switch v := v.(type) {
	case strictjson.Number:
		return json.Number(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name := range v {
			out[name] = plain(v[name])
		}
		return out
	}
	return v
}

func BenchmarkParse(b *testing.B) {
	claims := []byte(`{"iss":"https://login.example.com","sub":"u-12345","aud":["orders"],"exp":1795000000,"iat":1794999700,"jti":"0f3a","client_id":"web","scope":"orders:read orders:write"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := strictjson.Object(claims); err != nil {
			b.Fatal(err)
		}
	}
}
