package pavise_test

import (
	"fmt"
	"io"
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
	typed := func(r *http.Request, media string) *http.Request {
		r.Header.Set("Content-Type", media)
		return r
	}
	chunked := func(r *http.Request) *http.Request {
		r.ContentLength = -1
		return r
	}
	long := strings.Repeat("a", 70<<10)
	parts := func(name, disposition string) *http.Request {
		return typed(post("", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"page.html\"\r\n\r\n<input name=\"_method\">\r\n--b\r\n"+
			disposition+": form-data; name="+name+"\r\n\r\nDELETE\r\n--b--\r\n"), "multipart/form-data; boundary=b")
	}
	object := func(text string) *http.Request { return typed(post("", text), "application/json") }
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
		"in a chunked form":           {chunked(post("", "a=b&_method=DELETE")), false, shield.InvalidInput},
		"in a form of megabytes":      {post("", "a="+long+"&_method=DELETE"), false, shield.InvalidInput},
		"in one that a layer reads":   {post("", "a="+strings.Repeat("a", 2<<20)+"&_method=DELETE"), false, shield.InvalidInput},
		"beside a broken pair":        {post("", "%zz=1&_method=DELETE"), false, shield.InvalidInput},
		"behind a type that is none":  {typed(post("", "_method=DELETE"), "application/x-www-form-urlencoded; a=1; a=2"), false, shield.InvalidInput},
		"of a type as PHP reads it":   {typed(post("", "_method=DELETE"), "Application/X-WWW-Form-Urlencoded,text/plain"), false, shield.InvalidInput},
		"in parts of such a type":     {typed(parts(`"_method"`, "Content-Disposition"), `multipart/form-data; a; a=1; Boundary="b"; c`), false, shield.InvalidInput},
		"in a form of parts":          {parts(`"_method"`, "Content-Disposition"), false, shield.InvalidInput},
		"in parts, chunked":           {chunked(parts("_METHOD", "content-disposition")), false, shield.InvalidInput},
		"a file that speaks of it":    {parts(`"method"`, "Content-Disposition"), false, ""},
		"in an object":                {object(`{"a":{"b":[1]},"_method":"DELETE"}`), false, shield.InvalidInput},
		"in an object, escaped":       {object(`{"a":"\u00e9","\u005f\u006dethod":"DELETE"}`), false, shield.InvalidInput},
		"in an object, chunked":       {chunked(object(`{"_method":"DELETE"}`)), false, shield.InvalidInput},
		"further down, harmless":      {object(`{"a":{"_method":"DELETE"},"b":"_method"}`), false, ""},
		"where the service needs it":  {post("?_method=DELETE", "_method=DELETE"), true, ""},
		"of another method, harmless": {get("/v1/orders/7?_method=DELETE"), false, ""},
	} {
		events := &sink{}
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.APIs[0].Lenient.InsecureMethodParameter = c.lenient
			p.APIs[0].Endpoints[1].Validate, p.APIs[0].Endpoints[1].MaxBody = whole{}, 4<<20
		})
		w, _ := send(t, guard, events, c.request, nil)
		if got := codeOfAnswer(t, w); got != string(c.code) {
			t.Errorf("%s: %d %q, want %q", name, w.Code, got, c.code)
		}
	}
}

// whole is a layer that reads all of a body.
type whole struct{}

func (whole) Body() int64 { return 4 << 20 }

func (whole) Check(r *http.Request, _ *shield.Identity) error {
	body, err := shield.BodyOf(r)
	if err == nil {
		_, err = body.Bytes()
	}
	return err
}

// What nobody reads is not read for the parameter's sake: a stream stays one, and an upload is not held.
func TestAStreamIsNotReadForAParameter(t *testing.T) {
	events := &sink{}
	guard := one(t, events, says{id: shop(), needs: shield.Needs{Body: 1 << 20}}, func(p *pavise.Policy) { p.APIs[0].Endpoints[1].MaxBody = 1 << 20 })
	in, out := io.Pipe()
	r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", in)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = -1
	w, _ := send(t, guard, events, r, func(w http.ResponseWriter, r *http.Request) {
		go func() { _, _ = out.Write([]byte("first")) }()
		piece := make([]byte, 5)
		_, err := io.ReadFull(r.Body, piece)
		_, _ = fmt.Fprint(w, string(piece), err)
	})
	if w.Body.String() != "first<nil>" {
		t.Errorf("the service got %q", w.Body)
	}
}

func codeOfAnswer(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code == http.StatusOK {
		return ""
	}
	return codeOf(t, w)
}
