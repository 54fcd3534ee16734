package leak_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/leak"
)

func TestJSONIsMaskedWhereItStands(t *testing.T) {
	attacktest.Rows(t, 113)
	s := all(t)
	for name, c := range map[string]struct{ text, want, found, pointer string }{
		"a text":             {`{ "b" : 1.50, "card":"4111 1111 1111 1111" , "a":[1e2]}`, `{ "b" : 1.50, "card":"************1111" , "a":[1e2]}`, "card=1", "/card"},
		"a number":           {`{"card":4111111111111111,"n":41}`, `{"card":"************1111","n":41}`, "card=1", "/card"},
		"in a list":          {`[1,{"mail":["x","ada@example.com"]}]`, `[1,{"mail":["x","a***@example.com"]}]`, "email=1", "/1/mail/1"},
		"behind escapes":     {`{"m":"\u0061da\u0040example.com \u003cb\/\u003e"}`, `{"m":"a***@example.com \u003cb\/\u003e"}`, "email=1", "/m"},
		"a card in escapes":  {`{"m":"\u0034111111111111111"}`, `{"m":"************1111"}`, "card=1", "/m"},
		"several":            {`{"a":"ada@example.com","b":"bob@example.com","c":"DE89370400440532013000"}`, `{"a":"a***@example.com","b":"b***@example.com","c":"***"}`, "email=2 iban=1", "/a"},
		"a trace in escapes": {`{"error":"x\n    at find (\/srv\/orders.js:12:7)"}`, `{"error":"x\n    at find (\/srv\/orders.js:12:7)"}`, "trace=1", "/error"},
		"a name":             {`{"ada@example.com":1}`, `{"ada@example.com":1}`, "email=1", "/*"},
		"nothing":            {`{"a":"4111111111111112","b":"at 12:30","c":"\n"}`, `{"a":"4111111111111112","b":"at 12:30","c":"\n"}`, "", ""},
		"across values":      {`{"a":["4111","1111","1111","1111"],"b":"ada","c":"@example.com"}`, `{"a":["4111","1111","1111","1111"],"b":"ada","c":"@example.com"}`, "", ""},
		"a whole":            {`"ada@example.com"`, `"a***@example.com"`, "email=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := s.JSON([]byte(c.text), nil)
			if err != nil || string(r.Text) != c.want || counts(r) != c.found {
				t.Fatalf("%s, %s, %v, want %s, %s", r.Text, counts(r), err, c.want, c.found)
			}
			if len(r.Found) > 0 && (r.Found[0].Pointer != c.pointer || r.Found[0].Named != (name == "a name")) {
				t.Errorf("%+v, want at %s", r.Found[0], c.pointer)
			}
		})
	}
}

func TestWhatIsNoJSONIsAnErrorWhereItWouldBeLookedThrough(t *testing.T) {
	s := all(t)
	for _, text := range []string{`{"a":"ada@example.com"`, `{"a":"\u0040"`, `ada@example.com`} {
		if r, err := s.JSON([]byte(text), nil); err == nil {
			t.Errorf("%s: %+v", text, r)
		} else if strings.Contains(err.Error(), "ada") {
			t.Errorf("the error tells a value: %v", err)
		}
	}
	r, err := s.Lines([]byte("{\"a\":\"ada@example.com\"}\n{\"a\":4111111111111111}\n4111111111111111 5\n"))
	if want := "{\"a\":\"a***@example.com\"}\n{\"a\":\"************1111\"}\n\"************1111\" 5\n"; err != nil || string(r.Text) != want {
		t.Errorf("%s, %v", r.Text, err)
	}
}

func TestWhatIsSparedIsLeftAlone(t *testing.T) {
	r, err := all(t).JSON([]byte(`{"id":4111111111111111,"items":[{"id":"4111111111111111"},{"card":"4111111111111111"}]}`), map[string]bool{"/id": true, "/items/0/id": true})
	if want := `{"id":4111111111111111,"items":[{"id":"4111111111111111"},{"card":"************1111"}]}`; err != nil || string(r.Text) != want || counts(r) != "card=1" {
		t.Errorf("%s, %s, %v", r.Text, counts(r), err)
	}
}

func seeds() []string {
	return []string{
		`{"a":"ada@example.com","b":[4111111111111111,"4111 1111 1111 1111"],"c":{"DE89370400440532013000":"x\n\u0041"}}`,
		`"4111111111111111@example.com"`, `"a@b.io@c.io"`, `"***@example.com"`, `"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk@x.io"`,
		`"-----BEGIN PRIVATE KEY-----\n4111111111111111"`, `"sk-aB3dE5gH7jaB3dE5gH7j 4111-1111-1111-1111-"`, `[1,-4111111111111111,4111111111111111e0]`, `"\ud83d\ude00ada@example.com\u0000"`,
		`"\u0034111111111111111 4111111111111111"`, `{"n":"at x(\nA.java:1)"}`, "\"\xffada@example.com\"", `"DE89 3704 0044 0532 0130 00@x.io"`, `"ghp_` + strings.Repeat("a1", 18) + `.4111111111111111"`,
	}
}

// Masked once is masked: looking again changes nothing. What was JSON is JSON.
func FuzzMaskingIsDoneOnce(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	s := all(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := s.JSON(text, nil)
		if err != nil {
			return
		}
		if json.Valid(text) != json.Valid(r.Text) {
			t.Fatalf("%q became %q", text, r.Text)
		}
		again, err := s.JSON(r.Text, nil)
		if err != nil || !bytes.Equal(again.Text, r.Text) {
			t.Fatalf("%q, masked %q, again %q, %v", text, r.Text, again.Text, err)
		}
		plain := s.Text(text)
		if twice := s.Text(plain.Text); !bytes.Equal(plain.Text, twice.Text) {
			t.Fatalf("%q, masked %q, again %q", text, plain.Text, twice.Text)
		}
	})
}

// Masking in place is what reading, masking each text and number, and writing would be.
func FuzzMaskingInPlaceIsMaskingTheValue(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	s := all(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		before, ok := read(text)
		if !ok {
			return
		}
		r, err := s.JSON(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		after, ok := read(r.Text)
		if want := masked(s, before); !ok || !reflect.DeepEqual(after, want) {
			t.Fatalf("%q became %q, want %#v", text, r.Text, want)
		}
	})
}

func read(text []byte) (v any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if !json.Valid(text) || strings.ToValidUTF8(string(text), "") != string(text) || decoder.Decode(&v) != nil {
		return nil, false
	}
	return v, true
}

func masked(s *leak.Scanner, v any) any {
	switch v := v.(type) {
	case string:
		return string(s.Text([]byte(v)).Text)
	case json.Number:
		if out := string(s.Text([]byte(v)).Text); out != string(v) {
			return out
		}
		return v
	case []any:
		for i := range v {
			v[i] = masked(s, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = masked(s, v[name])
		}
	}
	return v
}

// harmless are answers of an API of every day: texts in several languages, code, statements of
// SQL, ids of many makes, times, measures, telephone numbers, articles.
func harmless(r *rand.Rand, n int) []byte {
	texts := []string{
		"The ship left at dawn, and nobody waved.", "Wir liefern bis Freitag, den 4. Dezember 2026, um 18:30 Uhr.", "价格是 1999 元，数量 12。", "Она вернулась в 7 часов.",
		"SELECT id, name FROM orders WHERE total > 100 ORDER BY id", "if err != nil { return fmt.Errorf(\"read: %w\", err) }", "see main.go:120 and orders.js:12", "npm i lodash@4.17.21",
		"icon@2x.png", "follow @ada on the fediverse", "at 12:30 (UTC+1)", "+49 151 12345678", "+1 (555) 010-9999", "v1.2.3-rc.4+build.5", "https://example.com/a/b?c=1&d=2#e", "1 234 567,89 EUR",
	}
	hex := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdef"[r.IntN(16)]
		}
		return string(b)
	}
	order := map[string]any{
		"id": r.Int64N(1e9), "uuid": hex(8) + "-" + hex(4) + "-4" + hex(3) + "-a" + hex(3) + "-" + hex(12), "sha": hex(40), "etag": hex(32), "oid": hex(24),
		"at": fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02dZ", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60)), "ms": 1764493200000 + r.Int64N(1e10),
		"ean": fmt.Sprintf("%013d", r.Int64N(1e13)), "phone": fmt.Sprintf("49151%08d", r.IntN(1e8)), "price": float64(r.IntN(1e6)) / 100, "ratio": r.Float64(),
		"lat": r.Float64()*180 - 90, "text": texts[r.IntN(len(texts))] + " " + texts[r.IntN(len(texts))], "snowflake": fmt.Sprint(1<<60 + r.Int64N(1<<59)), "tracking": fmt.Sprintf("1Z%s%010d", strings.ToUpper(hex(6)), r.Int64N(1e10)),
	}
	items := make([]any, n)
	for i := range items {
		items[i] = order
	}
	text, err := json.Marshal(map[string]any{"items": items, "count": n})
	if err != nil {
		panic(err)
	}
	return text
}

// Of harmless answers hardly one is taken for a leak.
func TestHarmlessAnswersAreLeftAlone(t *testing.T) {
	s := all(t)
	r := rand.New(rand.NewPCG(1, 2))
	const answers = 20_000
	wrong, kinds := 0, map[leak.Kind]int{}
	for range answers {
		text := harmless(r, 1)
		got, err := s.JSON(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got.Found {
			kinds[f.Kind]++
		}
		if len(got.Found) > 0 {
			wrong++
		}
	}
	t.Logf("%d of %d harmless answers: %v", wrong, answers, kinds)
	if wrong > answers/1000 || kinds[leak.IBAN] > 0 {
		t.Errorf("%d of %d harmless answers are taken for leaks: %v", wrong, answers, kinds)
	}
}

// What is left is chance: about one in three numbers of sixteen digits has an issuer's prefix,
// and one in ten of these the right check digit. An API whose ids are such numbers has them
// masked: it says so in its document (x-pavise-sensitive: false).
func TestRandomNumbersOfACardsLengthAreTakenForCardsByChance(t *testing.T) {
	s, r, taken := only(t, leak.Card), rand.New(rand.NewPCG(5, 6)), 0
	const numbers = 100_000
	for range numbers {
		if got := s.Text(fmt.Appendf(nil, "%d", 1_000_000_000_000_000+r.Int64N(9_000_000_000_000_000))); len(got.Found) > 0 {
			taken++
		}
	}
	t.Logf("%d of %d", taken, numbers)
	if taken < numbers/50 || taken > numbers/25 {
		t.Errorf("%d of %d random numbers of sixteen digits are taken for cards", taken, numbers)
	}
}

func BenchmarkHarmless(b *testing.B) {
	s := all(b)
	text := harmless(rand.New(rand.NewPCG(3, 4)), 18)
	b.Run("10KB", func(b *testing.B) {
		measure(b, s, []byte(strings.NewReplacer(`\"`, "'", `\`, "/").Replace(string(text))), 0)
	})
	b.Run("10KB-escapes", func(b *testing.B) { measure(b, s, text, 0) })
}

func BenchmarkMasking(b *testing.B) {
	text := bytes.Replace(harmless(rand.New(rand.NewPCG(3, 4)), 18), []byte(`"sha":"`), []byte(`"mail":"ada@example.com","card":4111111111111111,"sha":"`), 3)
	measure(b, all(b), text, 2)
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		all(b)
	}
}

func measure(b *testing.B, s *leak.Scanner, text []byte, kinds int) {
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if r, err := s.JSON(text, nil); err != nil || len(r.Found) != kinds {
			b.Fatal(r.Found, err)
		}
	}
}
