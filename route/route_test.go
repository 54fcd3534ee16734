package route_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"pavise.dev/pavise/route"
)

func TestTableMatchesAsServeMuxDoes(t *testing.T) {
	table := route.New[string]()
	for _, pattern := range []string{"GET /v1/orders/{id}", "GET /v1/orders/new", "POST /v1/orders", "GET /files/{path...}", "GET /{$}"} {
		if err := table.Add(pattern, pattern); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ method, path, want, allow string }{
		{"GET", "/v1/orders/7", "GET /v1/orders/{id}", ""},
		{"HEAD", "/v1/orders/7", "GET /v1/orders/{id}", ""},
		{"GET", "/v1/orders/new", "GET /v1/orders/new", ""},
		{"GET", "/files/a/b", "GET /files/{path...}", ""},
		{"GET", "/", "GET /{$}", ""},
		{"DELETE", "/v1/orders", "", "POST"},
		{"GET", "/v1/orders/7/", "", ""},
		{"GET", "/V1/orders/7", "", ""},
		{"GET", "/nothing", "", ""},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, test.path, nil)
		got, err := table.Match(r)
		method, isMethod := errors.AsType[*route.MethodError](err)
		switch {
		case test.want != "":
			if err != nil || got != test.want {
				t.Errorf("%s %s: %q, %v; want %q", test.method, test.path, got, err, test.want)
			}
		case test.allow != "":
			if !isMethod || method.Allow != test.allow {
				t.Errorf("%s %s: %v; want methods %s", test.method, test.path, err, test.allow)
			}
		case !errors.Is(err, route.ErrNotFound):
			t.Errorf("%s %s: %q, %v; want not found", test.method, test.path, got, err)
		}
	}
	r := httptest.NewRequest("GET", "/v1/orders/7", nil)
	if _, err := table.Match(r); err != nil || r.PathValue("id") != "7" {
		t.Errorf("path value %q, %v; want 7", r.PathValue("id"), err)
	}
}

func TestTableRefusesBadPatterns(t *testing.T) {
	for _, pattern := range []string{"", "/v1", "GET v1", "GET ", "GET /{", "GET /{a}/{a}"} {
		if err := route.New[int]().Add(pattern, 1); err == nil {
			t.Errorf("pattern %q was accepted", pattern)
		}
	}
	table := route.New[int]()
	if err := table.Add("GET /a/{x}/c", 1); err != nil {
		t.Fatal(err)
	}
	if err := table.Add("GET /a/b/{y}", 2); err == nil {
		t.Error("two patterns of which neither is more special were accepted")
	}
}

func BenchmarkMatch(b *testing.B) {
	table := route.New[int]()
	if err := table.Add("GET /v1/orders/{id}", 1); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/v1/orders/7", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := table.Match(r); err != nil {
			b.Fatal(err)
		}
	}
}
