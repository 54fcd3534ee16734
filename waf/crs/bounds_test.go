package crs_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

// allocated is how many bytes f allocates, in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestWorkIsBounded(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	ten := strings.Repeat("harmless words ", 10<<20/15)
	var query, many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&query, "&a%d=1", i)
		fmt.Fprintf(&many, `,"a%d":1`, i)
	}
	parts := strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n", 10_000) + "--b--\r\n"
	deep := strings.Repeat(`{"`+strings.Repeat("n", 1000)+`":`, 50) + "[" + strings.Repeat(`"x",`, 900) + "1]" + strings.Repeat("}", 50)
	for name, c := range map[string]struct {
		target, media, body string
		most                uint64 // MiB
	}{
		"10 MiB of JSON":         {"/v1/orders/7", "application/json", `{"a":"` + ten + `"}`, 1},
		"10 MiB of text":         {"/v1/orders/7", "text/plain", ten, 1},
		"10 MiB in multipart":    {"/v1/orders/7", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + ten + "\r\n--b--\r\n", 100},
		"10,000 parameters":      {"/v1/orders/7?" + query.String()[1:], "", "", 1},
		"10,000 fields":          {"/v1/orders/7", "application/x-www-form-urlencoded", query.String()[1:], 8},
		"10,000 values of JSON":  {"/v1/orders/7", "application/json", "{" + many.String()[1:] + "}", 16},
		"10,000 parts":           {"/v1/orders/7", "multipart/form-data; boundary=b", parts, 64},
		"long names, often":      {"/v1/orders/7", "application/json", deep, 16},
		"10,000 elements":        {"/v1/orders/7", "application/xml", "<a>" + strings.Repeat("<b>c</b>", 10_000) + "</a>", 32},
		"10 MiB in a chunk more": {"/v1/orders/7", "application/json", `{"a":"` + ten + ten[:10], 1},
	} {
		r := request("POST", c.target, c.media, c.body)
		var refusal *shield.Refusal
		spent := allocated(func() { refusal = refusalOf(t, layer.Check(r, nil)) })
		if refusal == nil || refusal.Code != shield.TooLarge {
			t.Errorf("%s: %v, want %s", name, refusal, shield.TooLarge)
		}
		if spent > c.most<<20 {
			t.Errorf("%s: %d KiB are allocated, want at most %d MiB", name, spent>>10, c.most)
		}
	}
}

// Numbers are no texts: many of them are no more work than one.
func TestPlainValuesAreNotCounted(t *testing.T) {
	layer := rulesOf(t, crs.Settings{Paranoia: 4, Threshold: 1, MaxBody: 4 << 20}).Layer(crs.Endpoint{Pattern: "POST /v1/{id}"})
	long := `{"` + strings.Repeat("n", 50_000) + `":[` + strings.Repeat("1,", 50_000) + `1]}`
	for _, text := range []string{long, `[` + strings.Repeat("1,", 100_000) + `1]`, `{"prices":[` + strings.Repeat(`"12.90",-3,true,null,0,{},[],`, 20_000) + `1]}`} {
		if err := layer.Check(request("POST", "/v1/7", "application/json", text), nil); err != nil {
			t.Error(err)
		}
	}
	refusal := refusalOf(t, layer.Check(request("POST", "/v1/7", "application/json", `{"prices":[1,{"<script>":2}]}`), nil))
	if refusal == nil || refusal.Code != shield.Injection {
		t.Errorf("a name of a plain value: %v, want a refusal", refusal)
	}
}

// What is taken for plain is nothing to any rule, at the highest level.
func TestNoRuleFindsAnythingInPlainValues(t *testing.T) {
	layer := rulesOf(t, crs.Settings{Paranoia: 4, Threshold: 1}).Layer(crs.Endpoint{Pattern: "POST /v1/{id}"})
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		fields := make([]string, 0, 20)
		for i := range 20 {
			text := strconv.Itoa(random.IntN(1_000_000_000))
			if i%2 == 0 {
				text += "." + strconv.Itoa(random.IntN(1_000_000_000))
			}
			if i%3 == 0 {
				text = "-" + text
			}
			fields = append(fields, fmt.Sprintf("a%d=%s", i, text))
		}
		if err := layer.Check(request("POST", "/v1/7", "application/x-www-form-urlencoded", strings.Join(fields, "&")), nil); err != nil {
			t.Fatalf("%v: %+v", fields, refusalOf(t, err).Fields)
		}
	}
}

// A body of a length that is not announced is read up to the endpoint's bound, and no more.
func TestABodyWithoutALengthIsBoundedToo(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	r := request("POST", "/v1/orders/7", "application/json", "{}")
	r.ContentLength = -1
	r.Body = shield.NewBody(io.NopCloser(endless{}), 1<<20)
	if refusal := refusalOf(t, layer.Check(r, nil)); refusal == nil || refusal.Code != shield.TooLarge {
		t.Errorf("%v, want %s", refusal, shield.TooLarge)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

func TestBoundsCanBeRaised(t *testing.T) {
	layer := rulesOf(t, crs.Settings{MaxBody: 1 << 20, MaxFields: 20_000}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, `,"a%d":1`, i)
	}
	if err := layer.Check(request("POST", "/v1/orders/7", "application/json", "{"+many.String()[1:]+"}"), nil); err != nil {
		t.Error(err)
	}
}

// A file of an upload is not text: its size counts for nothing, its name does.
func TestNothingIsWrittenToDisk(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", folder)
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	if err := os.RemoveAll(folder); err != nil { // where a file would be made, none can be
		t.Fatal(err)
	}
	big := "--b\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"cat.png\"\r\nContent-Type: image/png\r\n\r\n" +
		strings.Repeat("\x00", 4<<20) + "\r\n--b--\r\n"
	if err := layer.Check(request("POST", "/v1/orders/7", "multipart/form-data; boundary=b", big), nil); err != nil {
		t.Errorf("an upload of 4 MiB: %v", err)
	}
	media, body := form("a", "shell.php")
	refusal := refusalOf(t, layer.Check(request("POST", "/v1/orders/7", media, body), nil))
	if refusal == nil || refusal.Code != shield.Injection || refusal.Fields[0] != (shield.Field{In: "body", Pointer: "/upload", Rule: "crs-933110"}) {
		t.Errorf("an upload of a program: %+v", refusal)
	}
}

// FuzzBody holds that whatever comes as a body is judged or refused, and that what it says is never told.
func FuzzBody(f *testing.F) {
	multi, body := form("hello", "a.txt")
	f.Add("application/json", `{"a":["b",1,null,true,{}]}`)
	f.Add("application/x-www-form-urlencoded", "a=b&c=%20d;e=f")
	f.Add("application/xml", `<?xml version="1.0"?><a b="c"><!-- d --><![CDATA[e]]></a>`)
	f.Add(multi, body)
	f.Add("text/plain", "1' or '1'='1")
	f.Add("", "<script>alert(1)</script>")
	f.Add("multipart/mixed; boundary=b", "--b\r\n\r\na\r\n--b--")
	layer := rulesOf(f, crs.Settings{Paranoia: 4, Threshold: 1, MaxBody: 4096, MaxFields: 50}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	f.Fuzz(func(t *testing.T, media, text string) {
		if len(text) > 4096 {
			return
		}
		r := httptest.NewRequest("POST", "/v1/orders/7", strings.NewReader(text))
		r.Header = http.Header{"Content-Type": {media}, "User-Agent": {"a"}}
		r.Body = shield.NewBody(r.Body, 1<<20)
		refusal := refusalOf(t, layer.Check(r, nil))
		if refusal == nil {
			return
		}
		for word := range strings.FieldsSeq(text) {
			if len(word) > 40 && strings.Contains(refusal.Detail, word) {
				t.Errorf("%q is told", word)
			}
		}
		for _, field := range refusal.Fields {
			if len(field.Pointer) > 1024 {
				t.Errorf("a pointer of %d bytes", len(field.Pointer))
			}
		}
	})
}

// FuzzExceptions holds that a field is a name, whatever is in it: no text of a setting becomes a directive.
func FuzzExceptions(f *testing.F) {
	f.Add("body /a/*/b")
	f.Add("query /a\" \"id:1")
	f.Add("cookie /~0~1|x")
	f.Fuzz(func(t *testing.T, field string) {
		e := crs.Exception{Rules: []int{942100}, Field: field}
		if e.Validate() != nil {
			return
		}
		if _, err := crs.New(crs.Settings{Except: []crs.Exception{e}}); err != nil {
			t.Errorf("%q is valid, but does not work: %v", field, err)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	layer := rulesOf(b, crs.Settings{}).Layer(crs.Endpoint{Pattern: "GET /v1/orders/{id}"})
	r := request("GET", "/v1/orders/7?status=open&page=2", "", "")
	b.ReportAllocs()
	for b.Loop() {
		if err := layer.Check(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPost(b *testing.B) {
	prose := `{"customer":{"name":"Ada Lovelace","email":"ada@example.com","note":"` + strings.Repeat("please leave it at the door. ", 22) + `"},"items":[{"sku":"A-100","quantity":2},{"sku":"B-7","quantity":1},{"sku":"C-9","quantity":10}],"express":true,"ref":"` + strings.Repeat("x", 200) + `"}`
	var numbers strings.Builder
	for i := range 24 {
		fmt.Fprintf(&numbers, `,{"sku":"A-%d","quantity":%d,"price":"%d.90"}`, 1000+i, i, i)
	}
	for name, text := range map[string]string{"prose": prose, "fields": `{"items":[` + numbers.String()[1:] + `]}`} {
		for _, level := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%d_bytes_of_%s_at_%d", len(text), name, level), func(b *testing.B) {
				layer := rulesOf(b, crs.Settings{Paranoia: level, Threshold: 1000}).Layer(crs.Endpoint{Pattern: "POST /v1/orders"})
				b.ReportAllocs()
				for b.Loop() {
					if err := layer.Check(request("POST", "/v1/orders", "application/json", text), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkLongest is the most work that the default bounds allow.
func BenchmarkLongest(b *testing.B) {
	text := `{"a":"` + strings.Repeat("please leave it at the door. ", (64<<10)/29-1) + `"}`
	layer := rulesOf(b, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders"})
	b.ReportAllocs()
	for b.Loop() {
		if err := layer.Check(request("POST", "/v1/orders", "application/json", text), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rulesOf(b, crs.Settings{})
	}
}
