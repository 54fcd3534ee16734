package pavise_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

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
	for _, media := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b", "application/octet-stream", ""} {
		events := &sink{}
		guard := one(t, events, says{id: shop(), needs: shield.Needs{Body: 1 << 20}}, func(p *pavise.Policy) { p.APIs[0].Endpoints[1].MaxBody = 1 << 20 })
		in, out := io.Pipe()
		r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", in)
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		r.ContentLength = -1
		w, _ := send(t, guard, events, r, func(w http.ResponseWriter, r *http.Request) {
			go func() { _, _ = out.Write([]byte("first")) }()
			piece := make([]byte, 5)
			_, err := io.ReadFull(r.Body, piece)
			_, _ = fmt.Fprint(w, string(piece), err)
		})
		if w.Body.String() != "first<nil>" {
			t.Errorf("%q: the service got %q", media, w.Body)
		}
	}
}

// bodies that name the method, as services read it, and bodies that do not.
func bodies() map[string]struct {
	media, body string
	names       bool
} {
	part := func(header, content string) string {
		return "--b\r\n" + header + "\r\n\r\n" + content + "\r\n--b--\r\n"
	}
	const form, parts, object = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/json"
	long := strings.Repeat("x", 100<<10)
	return map[string]struct {
		media, body string
		names       bool
	}{
		"a form":                            {form, "a=b&_method=DELETE", true},
		"first":                             {form, "_method=DELETE&a=b", true},
		"without a value":                   {form, "a=b&_method", true},
		"behind a long value":               {form, "a=" + long + "&_method=DELETE", true},
		"behind many blanks":                {form, "a=b&" + strings.Repeat("+", 2000) + strings.Repeat("%20", 2000) + "%5F%6d%65%74%68%6F%64=DELETE", true},
		"behind a semicolon":                {form, "a=b;_method=DELETE", true},
		"ended by a NUL":                    {form, "_method%00" + long + "=DELETE", true},
		"as PHP reads":                      {form, ".METHOD=DELETE", true},
		"without a type":                    {"", "_method=DELETE", true},
		"of a type that PHP ends":           {"application/x-www-form-urlencoded,image/png", "_method=DELETE", true},
		"another name":                      {form, "payment_method=card&_methods=x&a=_method&_methodical", false},
		"a long name":                       {form, "a=b&" + long + "=_method", false},
		"nothing":                           {form, "", false},
		"a part":                            {parts, part("Content-Disposition: form-data; name=\"_method\"", "DELETE"), true},
		"a part, bare":                      {parts, part("content-disposition:form-data;name=_method", "DELETE"), true},
		"a part, folded":                    {parts, part("Content-Disposition: form-data;\r\n name='_method'", "DELETE"), true},
		"a part, by another header":         {parts, part("Content-ID: _method", "DELETE"), true},
		"a part, with backslashes":          {parts, part("Content-Disposition: form-data; name=\"\\_\\m\\ethod\"", "DELETE"), true},
		"a part, escaped":                   {parts, part("Content-Disposition: form-data; name*=utf-8''%5Fmethod", "DELETE"), true},
		"a part of another kind":            {"multipart/mixed; boundary=b", part("Content-Disposition: form-data; name=\"[method\"", "DELETE"), true},
		"a part whose header is long":       {parts, part("Content-Disposition: form-data; x=\""+long+"\"; name=\"_method\"", "DELETE"), true},
		"a part behind a long one":          {parts, part("Content-Disposition: form-data; name=a", long+"\r\n--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE"), true},
		"a part without an end":             {parts, "--b\r\nContent-Disposition: form-data; name=_method", true},
		"a file that is called so":          {parts, part("Content-Disposition: form-data; name=\"f\"; filename=\"_method.pdf\"", long), false},
		"a part of another name":            {parts, part("Content-Disposition: form-data; name=\"payment_method\"", "_method"), false},
		"a page that is uploaded":           {parts, part("Content-Disposition: form-data; name=\"f\"", "<input name=\"_method\" value=\"PUT\">"), false},
		"two types in one":                  {"multipart/form-data; boundary=x-www-form-urlencoded", "--x-www-form-urlencoded\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE", true},
		"JSON, as Laravel reads":            {object, `{"a":{"b":[1]},"_method":"DELETE"}`, true},
		"JSON, escaped":                     {"application/vnd.x+json", ` {"\u005f\u006d\u0065\u0074\u0068\u006F\u0064" : "DELETE"}`, true},
		"JSON, behind a long text":          {object, `{"a":"` + long + `\"","_method":"DELETE"}`, true},
		"JSON that calls itself a picture":  {"image/png; a=/json", `{"_method":"DELETE"}`, true},
		"JSON with the name further within": {object, `{"a":{"_method":"DELETE"},"b":"_method","c":["_method"],"d":"\"_method\":1","` + long + `":1}`, false},
		"JSON that is a list":               {object, `[{"_method":"DELETE"}]`, false},
		"a picture that holds a form":       {"image/png", "_method=DELETE", false},
		"YAML":                              {"application/yaml", "_method: DELETE", false},
		"a text, whatever it says":          {"text/plain", "_method=DELETE", false},
	}
}

func longBodies(p *pavise.Policy) { p.APIs[0].Endpoints[1].MaxBody = 1 << 20 }

// What no layer reads is looked through on its way: the service gets nothing of the parameter, and the
// rest as it was.
func TestABodyOnItsWayNamesNoMethod(t *testing.T) {
	attacktest.Rows(t, 112)
	for name, c := range bodies() {
		for _, slow := range []bool{false, true} {
			if slow && len(c.body) > 20<<10 {
				continue
			}
			var got []byte
			var fault error
			source := io.Reader(strings.NewReader(c.body))
			if slow {
				source = iotest.OneByteReader(source)
			}
			r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", source)
			if c.media != "" {
				r.Header.Set("Content-Type", c.media)
			}
			events := &sink{}
			guard := one(t, events, says{id: shop()}, longBodies)
			send(t, guard, events, r, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, fault = io.ReadAll(r.Body) }))
			refusal, refused := errors.AsType[*shield.Refusal](fault)
			switch {
			case refused != c.names || refused && refusal.Code != shield.InvalidInput || !refused && fault != nil:
				t.Errorf("%s, slow %t: %v", name, slow, fault)
			case !refused && string(got) != c.body:
				t.Errorf("%s, slow %t: the service got %d bytes of %d", name, slow, len(got), len(c.body))
			case refused && (!strings.HasPrefix(c.body, string(got)) || strings.Contains(strings.ToLower(string(got)), "method")):
				t.Errorf("%s, slow %t: the service got %.200q", name, slow, got)
			}
		}
	}
}

// What a layer reads is refused before anything of it is sent.
func TestABodyThatIsReadNamesNoMethod(t *testing.T) {
	for name, c := range bodies() {
		r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", strings.NewReader(c.body))
		if c.media != "" {
			r.Header.Set("Content-Type", c.media)
		}
		events, asked := &sink{}, false
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			longBodies(p)
			p.APIs[0].Endpoints[1].Validate = whole{}
		})
		w, _ := send(t, guard, events, r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
		if got := codeOfAnswer(t, w); (got == string(shield.InvalidInput)) != c.names || asked == c.names {
			t.Errorf("%s: %d %q, asked %t", name, w.Code, got, asked)
		}
	}
}

// However a body arrives, the same is found, and the rest goes on as it was.
func FuzzBodyOnItsWay(f *testing.F) {
	for _, c := range bodies() {
		if len(c.body) < 1000 {
			f.Add(c.media, c.body, uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, media, body string, room uint8) {
		read := func(source io.Reader, r int) ([]byte, error) {
			request := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", source)
			request.Header.Set("Content-Type", media)
			events := &sink{}
			var got []byte
			var fault error
			guard := one(t, events, says{id: shop()}, longBodies)
			guard.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
				p := make([]byte, r)
				for fault == nil {
					var n int
					n, fault = request.Body.Read(p)
					got = append(got, p[:n]...)
				}
			})).ServeHTTP(httptest.NewRecorder(), request)
			return got, fault
		}
		whole, first := read(strings.NewReader(body), 1<<16)
		pieces, second := read(iotest.OneByteReader(strings.NewReader(body)), int(room)+1)
		_, one := errors.AsType[*shield.Refusal](first)
		_, other := errors.AsType[*shield.Refusal](second)
		if one != other || !strings.HasPrefix(body, string(whole)) || !strings.HasPrefix(body, string(pieces)) || !one && first == io.EOF && (string(whole) != body || string(pieces) != body) {
			t.Errorf("%q of %q: %v with %d bytes, %v with %d", body, media, first, len(whole), second, len(pieces))
		}
	})
}

func BenchmarkBodyOnItsWay(b *testing.B) {
	for name, c := range map[string]struct{ media, body string }{
		"form":  {"application/x-www-form-urlencoded", strings.Repeat("name=a+value+of+twenty&", 1000)},
		"JSON":  {"application/json", `{"items":[` + strings.Repeat(`{"name":"a value of twenty","count":7},`, 1000) + `{}]}`},
		"parts": {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" + strings.Repeat("some text - of a file\n", 1000) + "\r\n--b--"},
		"other": {"text/plain", strings.Repeat("some text - of a file\n", 1000)},
	} {
		b.Run(name, func(b *testing.B) {
			events := &sink{}
			handler := one(b, events, says{id: shop()}, longBodies).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					b.Error(err)
				}
			}))
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "http://api.test/v1/orders", strings.NewReader(c.body))
				r.Header.Set("Content-Type", c.media)
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

func codeOfAnswer(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code == http.StatusOK {
		return ""
	}
	return codeOf(t, w)
}
