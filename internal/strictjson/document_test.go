package strictjson_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/strictjson"
)

func TestDocumentsAreBounded(t *testing.T) {
	attacktest.Rows(t, 102)
	bounds := strictjson.Bounds{Depth: 10, Entries: 100}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"plain":                       {`{"a":[1,2.5,-1e3,"x",null,true]}`, true},
		"ten deep":                    {strings.Repeat("[", 10) + "1" + strings.Repeat("]", 10), true},
		"eleven deep":                 {strings.Repeat("[", 11) + "1" + strings.Repeat("]", 11), false},
		"ten thousand deep":           {strings.Repeat("[", 10_000), false},
		"a hundred entries":           {"[" + strings.Repeat("1,", 99) + "1]", true},
		"a hundred and one":           {"[" + strings.Repeat("1,", 100) + "1]", false},
		"a name twice":                {`{"a":1,"a":2}`, false},
		"the thirteenth name twice":   {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"m":1}`, false},
		"the first name twice, later": {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"a":1}`, false},
		"thirteen names":              {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1}`, true},
		"a name twice, escaped":       {`{"a":1,"\u0061":2}`, false},
		"NaN":                         {`NaN`, false},
		"Infinity":                    {`-Infinity`, false},
		"half a surrogate":            {`"\ud800"`, false},
		"a byte order mark":           {"\xef\xbb\xbf{}", false},
		"UTF-16":                      {"{\x00}\x00", false},
		"a trailing comma":            {`[1,]`, false},
		"a comment":                   {`[1/*x*/]`, false},
		"something behind":            {`{} {}`, false},
		"2^53":                        {`9007199254740992`, true},
		"2^53 and one":                {`9007199254740993`, false},
		"-2^53 less one":              {`-9007199254740993`, false},
		"1e400":                       {`1e400`, false},
		"1e-400000000":                {`1e-400000000`, false},
		"1e308":                       {`1e308`, true},
		"a hundred digits":            {strings.Repeat("1", 100), false},
		"a hundred digits behind":     {"0." + strings.Repeat("1", 100), false},
		"1e-400":                      {`1e-400`, false},
		"0e-400":                      {`0e-400`, true},
		"the least":                   {`5e-324`, true},
		"less than the least":         {`1.2345678901234e-323`, false},
		"0.1 with all its digits":     {`0.10000000000000001`, true},
		"0.3, reckoned":               {`-0.30000000000000004`, true},
		"seventeen nines":             {`0.99999999999999999`, false},
		"a little more than 100":      {`100.00000000000000000001`, false},
		"2^53 and one, with a point":  {`9007199254740993.0`, false},
		"the same with an exponent":   {`9.007199254740993e15`, false},
		"2^53 and two, with a point":  {`9007199254740994.0`, true},
		"Avogadro's":                  {`6.02214076e23`, true},
		"zeros behind":                {`1.50000000000000000000000`, true},
		"zeros before":                {`0.00000000000000000000015`, true},
		"-0":                          {`-0`, true},
		"-0.0":                        {`-0.0`, true},
		"a leading zero":              {`01`, false},
		"a plus":                      {`+1`, false},
	} {
		if _, err := strictjson.Document([]byte(c.text), bounds); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err := strictjson.Scan([]byte(c.text), bounds); (err == nil) != c.ok {
			t.Errorf("scan: %s: %v", name, err)
		}
	}
	for text, ok := range map[string]bool{"7": true, "-0": true, "1e3": true, "007": false, "": false, "-": false, " 1": false, "1 ": false, "1\n": false, "1\r\n": false, `"1"`: false, "null": false, "1e400": false, "1e-400": false, "9007199254740993": false, "1 2": false} {
		if got := strictjson.IsNumber(text, false); got != ok {
			t.Errorf("%q is a number: %t", text, got)
		}
	}
	large := bounds
	large.LargeIntegers = true
	for text, ok := range map[string]bool{`0.12345678901234567890`: true, `9007199254740993.0`: true, `1e-400`: false, `1e400`: false} {
		if _, err := strictjson.Document([]byte(text), large); (err == nil) != ok {
			t.Errorf("where readers are exact: %s: %v", text, err)
		}
	}
	if strictjson.IsNumber("9007199254740993", true) == strictjson.IsNumber("9007199254740993", false) {
		t.Error("large numbers are taken, or are not, whatever is asked for")
	}
	if v, err := strictjson.Document([]byte(`9007199254740993`), large); err != nil || v != json.Number("9007199254740993") {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := strictjson.Document([]byte(`9223372036854775808`), large); err == nil {
		t.Error("beyond 2^63 too")
	}
}

// Texts and prose, as bodies have them: what is measured is the scan.
func BenchmarkDocumentOfTexts(b *testing.B) {
	line := `{"title":"A letter from the harbour","text":"` + strings.Repeat("The ship left at dawn, and nobody waved; the gulls followed it for an hour. ", 12) + `"},`
	text := []byte("[" + strings.Repeat(line, 50) + "{}]")
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := strictjson.Document(text, strictjson.Bounds{Depth: 64, Entries: 10_000}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	text := []byte(`{"id":7,"customer":{"name":"Ada Lovelace","mail":"ada@example.com"},"items":[{"sku":"A-100","count":2,"price":12.5},{"sku":"B-7","count":1,"price":3}],"note":"leave it at the door, please","paid":false}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := strictjson.Document(text, strictjson.Bounds{Depth: 64, Entries: 10_000}); err != nil {
			b.Fatal(err)
		}
	}
}

// The scan and the reader agree.
func FuzzScan(f *testing.F) {
	for _, text := range []string{`{"a":[1,2.5,-1e3,"x",null,true]}`, `{"a":1,"\u0061":2}`, `[[[[]]]]`, `{"a":{"b":{}},"c":"\ud83d\ude00"}`, `1e400`, ` 9007199254740993 `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bounds := strictjson.Bounds{Depth: 6, Entries: 40}
		_, read := strictjson.Document(text, bounds)
		if scanned := strictjson.Scan(text, bounds); (read == nil) != (scanned == nil) || read != nil && read.Error() != scanned.Error() {
			t.Errorf("read %v, scanned %v", read, scanned)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	small := `{"id":7,"customer":{"name":"Ada Lovelace","mail":"ada@example.com"},"items":[{"sku":"A-100","count":2,"price":12.5},{"sku":"B-7","count":1,"price":3}],"note":"leave it at the door, please","paid":false}`
	line := `{"title":"A letter from the harbour","text":"` + strings.Repeat("The ship left at dawn, and nobody waved; the gulls followed it for an hour. ", 12) + `"},`
	for name, text := range map[string]string{"small": small, "texts": "[" + strings.Repeat(line, 50) + "{}]"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if err := strictjson.Scan([]byte(text), strictjson.Bounds{Depth: 64, Entries: 10_000}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is a number by itself is one as a document, too, and nothing else is.
func FuzzIsNumber(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1e400", "1e-400", "0.99999999999999999", "0.10000000000000001", "9007199254740993.0", "1 ", "", "null", "00", "1.50000000000000000000000000000000000000000000"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, large bool) {
		v, err := strictjson.Document([]byte(text), strictjson.Bounds{Depth: 1, Entries: 1, LargeIntegers: large})
		n, isNumber := v.(json.Number)
		want := err == nil && isNumber && string(n) == text
		if got := strictjson.IsNumber(text, large); got != want {
			t.Fatalf("%q is a number: %t; as a document: %v, %v", text, got, v, err)
		}
		if !want || large {
			return
		}
		if read, err := n.Float64(); err != nil || math.IsInf(read, 0) || read == 0 && strings.ContainsAny(strings.ToLower(text[:mantissa(text)]), "123456789") {
			t.Fatalf("%q is read as %v, %v", text, read, err)
		}
	})
}

func mantissa(text string) int {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return i
	}
	return len(text)
}
