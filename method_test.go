package pavise_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// A parameter that services take for the method does not reach them: in a query, and in a form that
// a layer reads.
func TestAParameterIsNoMethod(t *testing.T) {
	attacktest.Rows(t, 112)
	post := func(query, form string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders"+query, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	for name, c := range map[string]struct {
		request *http.Request
		lenient bool
		code    shield.Code
	}{
		"neither":                     {post("?method=DELETE", "payment_method=card&name=_method"), false, ""},
		"in the query":                {post("?_method=DELETE", ""), false, shield.BadQuery},
		"in the query, escaped":       {post("?a=b&%5F%6dethod=DELETE", ""), false, shield.BadQuery},
		"in the query, as PHP reads":  {post("?+.method=DELETE", ""), false, shield.BadQuery},
		"in the query, in capitals":   {post("?_METHOD=DELETE", ""), false, shield.BadQuery},
		"in a form":                   {post("", "a=b&_method=DELETE"), false, shield.InvalidInput},
		"in a form, escaped":          {post("", "%5bmethod=DELETE"), false, shield.InvalidInput},
		"where the service needs it":  {post("?_method=DELETE", "_method=DELETE"), true, ""},
		"of another method, harmless": {get("/v1/orders/7?_method=DELETE"), false, ""},
	} {
		events := &sink{}
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.APIs[0].Lenient.InsecureMethodParameter = c.lenient
			p.APIs[0].Endpoints[1].Validate, p.APIs[0].Endpoints[1].MaxBody = reading{most: 100}, 100
		})
		w, _ := send(t, guard, events, c.request, nil)
		if got := codeOfAnswer(t, w); got != string(c.code) {
			t.Errorf("%s: %d %q, want %q", name, w.Code, got, c.code)
		}
	}
}

func codeOfAnswer(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code == http.StatusOK {
		return ""
	}
	return codeOf(t, w)
}
