package crs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

func TestTry(t *testing.T) {
	rules, err := crs.New(crs.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	l := rules.Layer("POST /v1/{id}")
	for _, body := range []string{`{"a":{"b":["hello","1' OR '1'='1"]}}`, `{"a":"hello"}`} {
		r := httptest.NewRequest("POST", "/v1/7?q=hello", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Body = shield.NewBody(r.Body, 1<<20)
		t.Log(l.Check(r, nil))
	}
	r := httptest.NewRequest("GET", "/v1/7?q=<script>alert(1)</script>", nil)
	r.Header = http.Header{"User-Agent": {"() { :;}; echo hi"}}
	t.Logf("%+v", l.Check(r, nil))
}

func BenchmarkGet(b *testing.B) {
	rules, err := crs.New(crs.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	l := rules.Layer("GET /v1/{id}")
	r := httptest.NewRequest("GET", "/v1/7?q=hello&page=2", nil)
	r.Header = http.Header{"User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Check(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkPost(b *testing.B) {
	rules, err := crs.New(crs.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	l := rules.Layer("POST /v1/orders")
	text := `{"customer":{"name":"Ada Lovelace","email":"ada@example.com","note":"` + strings.Repeat("please leave it at the door. ", 20) + `"},"items":[{"sku":"A-100","quantity":2},{"sku":"B-7","quantity":1},{"sku":"C-9","quantity":10}],"express":true,"ref":"` + strings.Repeat("x", 120) + `"}`
	b.Log(len(text))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/orders", strings.NewReader(text))
		r.Header = http.Header{"User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"}, "Content-Type": {"application/json"}}
		r.Body = shield.NewBody(r.Body, 1<<20)
		if err := l.Check(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crs.New(crs.Settings{}); err != nil {
			b.Fatal(err)
		}
	}
}
