package crs_test

import (
	"bytes"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

// Payloads that a rule of level 1 knows, with a marked word in the middle, and their harmless twins.
const (
	marked    = "zq9marker"
	sqlText   = "1' or '" + marked + "'='" + marked + "' union select password from users--"
	plainText = "O'Brien of " + marked + " would like the blue one, please"
)

func rulesOf(t testing.TB, s crs.Settings) *crs.Rules {
	t.Helper()
	rules, err := crs.New(s)
	if err != nil {
		t.Fatalf("compile the rules: %v", err)
	}
	return rules
}

// request is a request as it stands behind the guard's route and door.
func request(method, target, media, body string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header = http.Header{"User-Agent": {"orders-client/2.1"}, "Accept": {"application/json"}}
	if body != "" {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header = http.Header{"User-Agent": {"orders-client/2.1"}, "Accept": {"application/json"}}
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		r.Body = shield.NewBody(r.Body, 16<<20)
	}
	return r
}

func refusalOf(t testing.TB, err error) *shield.Refusal {
	t.Helper()
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if err != nil && !ok {
		t.Fatalf("an error that is no refusal: %v", err)
	}
	return refusal
}

// form writes a multipart body with a text and a file.
func form(text, file string) (media, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.SetBoundary("frontier")
	_ = w.WriteField("comment", text)
	part, _ := w.CreateFormFile("upload", file)
	_, _ = part.Write([]byte("\x89PNG\r\n\x1a\n\x00"))
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

// places puts a text into every place of a request.
func places(text string) map[string]*http.Request {
	escaped := strings.NewReplacer("%", "%25", " ", "%20", "'", "%27", "&", "%26", "#", "%23", "<", "%3C", ">", "%3E", `"`, "%22", "=", "%3D", "(", "%28", ")", "%29", ";", "%3B").Replace(text)
	header := request("GET", "/v1/orders/7", "", "")
	header.Header.Set("Referer", "https://example.com/?q="+text)
	cookie := request("GET", "/v1/orders/7", "", "")
	cookie.Header.Set("Cookie", "theme="+escaped)
	path := request("GET", "/v1/orders/"+escaped, "", "")
	path.SetPathValue("id", text)
	multi, body := form(text, "cat.png")
	inJSON := strings.ReplaceAll(text, `"`, `\"`)
	inXML := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
	return map[string]*http.Request{
		"query /q":            request("GET", "/v1/orders/7?q="+escaped, "", ""),
		"header /Referer":     header,
		"cookie /theme":       cookie,
		"path /id":            path,
		"body /notes/1/text":  request("POST", "/v1/orders/7", "application/json", `{"notes":[{},{"text":"`+inJSON+`"}]}`),
		"body /na.me":         request("POST", "/v1/orders/7", "application/vnd.api+json; charset=utf-8", `{"na.me":"`+inJSON+`","na":{"mx":1}}`),
		"body /field":         request("POST", "/v1/orders/7", "application/x-www-form-urlencoded", "a=1&field="+escaped),
		"body /comment":       request("POST", "/v1/orders/7", multi, body),
		"body  of XML":        request("POST", "/v1/orders/7", "application/xml", "<order><note>"+inXML+"</note></order>"),
		"body  of text":       request("POST", "/v1/orders/7", "text/plain", text),
		"body  as JSON alone": request("POST", "/v1/orders/7", "application/json", `"`+inJSON+`"`),
	}
}

func TestFindsAnAttackWhereverItStands(t *testing.T) {
	attacktest.Rows(t, 111)
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	for place, r := range places(sqlText) {
		refusal := refusalOf(t, layer.Check(r, nil))
		if refusal == nil || refusal.Code != shield.Injection || refusal.HTTPStatus() != http.StatusBadRequest || len(refusal.Fields) == 0 {
			t.Errorf("%s: %+v, want a refusal that names it", place, refusal)
			continue
		}
		in, pointer, _ := strings.Cut(place, " ")
		pointer, _, _ = strings.Cut(pointer, " ")
		found := slices.ContainsFunc(refusal.Fields, func(f shield.Field) bool {
			return f.In == in && f.Pointer == pointer && strings.HasPrefix(f.Rule, "crs-94")
		})
		if !found {
			t.Errorf("%s: %+v, want the place and a rule about SQL", place, refusal.Fields)
		}
	}
}

func TestLetsHarmlessTextPassWhereverItStands(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	for place, r := range places(plainText) {
		if err := layer.Check(r, nil); err != nil {
			t.Errorf("%s: %v, want it to pass", place, err)
		}
	}
}

// What matched is in no refusal, whichever place and rule it was.
func TestTellsNothingOfWhatMatched(t *testing.T) {
	told := 0
	for level := 1; level <= 4; level++ {
		layer := rulesOf(t, crs.Settings{Paranoia: level, Threshold: 1}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}", Credentials: []string{"X-Api-Key"}})
		for _, text := range []string{sqlText, "<script>alert('" + marked + "')</script>", "../../etc/" + marked, "${jndi:ldap://" + marked + "/a}", "; cat /etc/passwd | " + marked} {
			requests := places(text)
			requests["a name in the query"] = request("GET", "/v1/orders/7?"+strings.NewReplacer(" ", "+", "<", "%3C", ">", "%3E", "'", "%27", "=", "%3D", "{", "%7B", "}", "%7D", ";", "%3B").Replace(text)+"=1", "", "")
			requests["a name in JSON"] = request("POST", "/v1/orders/7", "application/json", `{"`+text+`":1}`)
			multi, body := form("a", text+".php")
			requests["a file's name"] = request("POST", "/v1/orders/7", multi, body)
			for place, r := range requests {
				refusal := refusalOf(t, layer.Check(r, nil))
				if refusal != nil {
					told++
				}
				if refusal != nil && strings.Contains(fmt.Sprintf("%v %+v", refusal, refusal.Fields), marked) {
					t.Errorf("%s, level %d: %v %+v tells what matched", place, level, refusal, refusal.Fields)
				}
			}
		}
	}
	if told < 200 {
		t.Errorf("%d refusals, want most of 280", told)
	}
}

func TestSeesNoCredentials(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "GET /v1/orders/{id}", Credentials: []string{"x-api-key"}})
	for name, seen := range map[string]bool{"Authorization": false, "X-Api-Key": false, "Dpop": false, "Pavise-Identity": false, "X-Note": true} {
		r := request("GET", "/v1/orders/7", "", "")
		r.Header.Set(name, "<script>alert(document.cookie)</script>")
		if err := layer.Check(r, nil); (err != nil) != seen {
			t.Errorf("%s: %v, seen is to be %v", name, err, seen)
		}
	}
}

func TestBodiesThatAreNoTextAreNotRead(t *testing.T) {
	layer := rulesOf(t, crs.Settings{Paranoia: 4}).Layer(crs.Endpoint{Pattern: "PUT /v1/pictures/{id}"})
	for _, media := range []string{"image/png", "application/octet-stream", "application/protobuf", "application/grpc", "video/mp4", "application/zip"} {
		r := request("PUT", "/v1/pictures/7", "", "")
		r.Header = http.Header{"Content-Type": {media}, "Accept": {"application/json"}, "User-Agent": {"orders-client"}, "Content-Encoding": {"gzip"}}
		r.ContentLength, r.Body = 10, shield.NewBody(unreadable{t}, 1<<20)
		if err := layer.Check(r, nil); err != nil {
			t.Errorf("%s: %v", media, err)
		}
	}
}

// unreadable is a body that nobody may read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, errors.New("not to be read")
}
func (u unreadable) Close() error { return nil }

func TestRefusesWhatItCannotRead(t *testing.T) {
	attacktest.Rows(t, 106)
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	for name, c := range map[string]struct {
		media, body string
		want        shield.Code
	}{
		"JSON that does not end":     {"application/json", `{"a":`, shield.InvalidInput},
		"JSON with a name twice":     {"application/json", `{"a":1,"a":2}`, shield.InvalidInput},
		"JSON that is too deep":      {"application/json", strings.Repeat("[", 100) + strings.Repeat("]", 100), shield.InvalidInput},
		"XML with a document type":   {"application/xml", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, shield.InvalidInput},
		"XML with an entity":         {"text/xml", `<a>&b;</a>`, shield.InvalidInput},
		"XML that does not end":      {"text/xml", `<a>`, shield.InvalidInput},
		"a form with a bad escape":   {"application/x-www-form-urlencoded", `a=%u0027`, shield.InvalidInput},
		"multipart without boundary": {"multipart/form-data", `a`, shield.InvalidInput},
		"multipart that is none":     {"multipart/form-data; boundary=b", `a`, shield.InvalidInput},
		"a text in another encoding": {"text/plain", "a\xff", shield.InvalidInput},
		"another charset":            {"application/json; charset=utf-7", `{}`, shield.UnsupportedMedia},
		"no media type":              {"???", `{}`, shield.UnsupportedMedia},
	} {
		refusal := refusalOf(t, layer.Check(request("POST", "/v1/orders/7", c.media, c.body), nil))
		if refusal == nil || refusal.Code != c.want {
			t.Errorf("%s: %v, want %s", name, refusal, c.want)
		}
	}
	unnamed := refusalOf(t, layer.Check(request("POST", "/v1/orders/7", "", "{}"), nil))
	if unnamed == nil || unnamed.Code != shield.Injection || unnamed.Fields[0].Rule != "crs-920340" {
		t.Errorf("a body without a media type: %+v, want crs-920340", unnamed)
	}
	coded := request("POST", "/v1/orders/7", "application/json", `{}`)
	coded.Header.Set("Content-Encoding", "gzip")
	twice := request("POST", "/v1/orders/7", "application/json", `{}`)
	twice.Header.Add("Content-Type", "text/plain")
	for _, r := range []*http.Request{coded, twice} {
		if refusal := refusalOf(t, layer.Check(r, nil)); refusal == nil || refusal.Code != shield.UnsupportedMedia {
			t.Errorf("%v, want %s", refusal, shield.UnsupportedMedia)
		}
	}
	if err := layer.Check(request("POST", "/v1/orders/7", "application/json", `{}`), nil); err != nil {
		t.Errorf("a body that can be read: %v", err)
	}
}

func TestParanoiaAndThresholdDecideHowMuchIsRefused(t *testing.T) {
	// A rule of level 2 matches: 942200 looks for what hides SQL in comments and backticks.
	const text = `,varname"=somedata`
	try := func(s crs.Settings) error {
		r := request("POST", "/v1/orders/7", "application/json", `{"a":"`+strings.ReplaceAll(text, `"`, `\"`)+`"}`)
		return rulesOf(t, s).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"}).Check(r, nil)
	}
	if err := try(crs.Settings{}); err != nil {
		t.Errorf("level 1: %v", err)
	}
	refusal := refusalOf(t, try(crs.Settings{Paranoia: 2}))
	if refusal == nil || !slices.Contains(refusal.Fields, shield.Field{In: "body", Pointer: "/a", Rule: "crs-942200"}) {
		t.Errorf("level 2: %+v, want crs-942200 for /a", refusal)
	}
	if err := try(crs.Settings{Paranoia: 2, Threshold: 100}); err != nil {
		t.Errorf("level 2 with a threshold of 100: %v", err)
	}
}

func TestExceptionsHoldForTheirFieldAlone(t *testing.T) {
	found := refusalOf(t, rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"}).Check(places(sqlText)["query /q"], nil))
	if found == nil {
		t.Fatal("the attack passes anyway")
	}
	ids := idsOf(t, found)
	for field, open := range map[string][]string{
		"":                      {"query /q", "header /Referer", "cookie /theme", "path /id", "body /notes/1/text", "body /field", "body  of XML", "body  of text"},
		"query /q":              {"query /q"},
		"cookie /theme":         {"cookie /theme"},
		"path /id":              {"path /id"},
		"header /Referer":       {"header /Referer"},
		"body /notes/*/text":    {"body /notes/1/text"},
		"body /notes/**":        {"body /notes/1/text"},
		"body /na.me":           {"body /na.me"},
		"body /NOTES/0/text":    {},
		"body /field":           {"body /field"},
		"body /comment":         {"body /comment"},
		"body":                  {"body  of XML", "body  of text", "body  as JSON alone"},
		"query /another":        {},
		"body /notes/1/textual": {},
	} {
		rules := rulesOf(t, crs.Settings{Except: []crs.Exception{{Rules: ids, Field: field}}})
		layer := rules.Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
		for place, r := range places(sqlText) {
			err := layer.Check(r, nil)
			isOpen := err == nil
			if want := slices.Contains(open, place); field != "" && isOpen != want || want && !isOpen {
				t.Errorf("exception for %q: %s passes: %v (%v), want %v", field, place, isOpen, err, want)
			}
		}
	}
}

// idsOf are all rules that a payload may be found by, taken away one after another.
func idsOf(t *testing.T, first *shield.Refusal) (ids []int) {
	t.Helper()
	refusal := first
	for refusal != nil {
		for _, f := range refusal.Fields {
			var id int
			if _, err := fmt.Sscanf(f.Rule, "crs-%d", &id); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		layer := rulesOf(t, crs.Settings{Except: []crs.Exception{{Rules: ids}}}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
		refusal = nil
		for _, r := range places(sqlText) {
			if refusal = refusalOf(t, layer.Check(r, nil)); refusal != nil {
				break
			}
		}
	}
	return ids
}

func TestRefusesSettingsThatCannotWork(t *testing.T) {
	for name, s := range map[string]crs.Settings{
		"a level that there is not":     {Paranoia: 5},
		"a threshold below one":         {Threshold: -1},
		"no body at all":                {MaxBody: -1},
		"no fields at all":              {MaxFields: -1},
		"an exception without rules":    {Except: []crs.Exception{{Field: "query /q"}}},
		"a rule that there is not":      {Except: []crs.Exception{{Rules: []int{942102}, Field: "query /q"}}},
		"no such rule, everywhere":      {Except: []crs.Exception{{Rules: []int{942102}}}},
		"a rule that decides":           {Except: []crs.Exception{{Rules: []int{949110}}}},
		"a rule that begins":            {Except: []crs.Exception{{Rules: []int{901001}}}},
		"a rule that is switched off":   {Except: []crs.Exception{{Rules: []int{920350}}}},
		"a field in no place":           {Except: []crs.Exception{{Rules: []int{942100}, Field: "ARGS:q"}}},
		"a field without a slash":       {Except: []crs.Exception{{Rules: []int{942100}, Field: "query q"}}},
		"a header below a header":       {Except: []crs.Exception{{Rules: []int{942100}, Field: "header /a/b"}}},
		"all headers":                   {Except: []crs.Exception{{Rules: []int{942100}, Field: "header"}}},
		"a field with a line's end":     {Except: []crs.Exception{{Rules: []int{942100}, Field: "query /q\nSecRuleEngine Off"}}},
		"a field that is never to end":  {Except: []crs.Exception{{Rules: []int{942100}, Field: "query /" + strings.Repeat("q", 300)}}},
		"a field with a space behind":   {Except: []crs.Exception{{Rules: []int{942100}, Field: "query "}}},
		"a field that is no UTF-8 text": {Except: []crs.Exception{{Rules: []int{942100}, Field: "query /\xff"}}},
	} {
		if _, err := crs.New(s); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// Whatever a name holds is part of the name.
	s := crs.Settings{Except: []crs.Exception{{Rules: []int{942100}, Field: `query /a"|b'/,c` + "`"}, {Rules: []int{942100}, Field: `query /a"|,;:!&<> ü`}}}
	if _, err := crs.New(s); err == nil {
		t.Error("a field of two names in the query is accepted")
	}
	s.Except = s.Except[1:]
	if _, err := crs.New(s); err != nil {
		t.Errorf("a name with signs of the rules' language: %v", err)
	}
}

// Values that a contract has read are looked at as it read them.
func TestLooksAtWhatTheContractUnderstood(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	r := request("POST", "/v1/orders/7", "application/json", `{"a":"b"}`)
	body, err := shield.BodyOf(r)
	if err != nil {
		t.Fatal(err)
	}
	body.Understood(map[string]any{"a": sqlText})
	if refusal := refusalOf(t, layer.Check(r, nil)); refusal == nil || refusal.Fields[0].Pointer != "/a" {
		t.Errorf("%+v, want /a", refusal)
	}
}

func TestServesManyAtOnceAndLeavesTheRequestAsItWas(t *testing.T) {
	layer := rulesOf(t, crs.Settings{}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				text, wantRefused := plainText, false
				if i%2 == 1 {
					text, wantRefused = sqlText, true
				}
				r := request("POST", "/v1/orders/7?a=1", "application/json", `{"note":"`+text+`"}`)
				header := r.Header.Clone()
				if err := layer.Check(r, nil); (err != nil) != wantRefused {
					t.Errorf("%v", err)
				}
				body, _ := shield.BodyOf(r)
				if text2, err := body.Bytes(); err != nil || !strings.Contains(string(text2), text) || len(header) != len(r.Header) || r.URL.RawQuery != "a=1" {
					t.Errorf("the request is another one")
				}
			}
		})
	}
	all.Wait()
}

// Comments and CDATA do not cut a text of XML into pieces that nothing finds anything in.
func TestTextsOfXMLAreReadInOnePiece(t *testing.T) {
	attacktest.Rows(t, 111)
	layer := rulesOf(t, crs.Settings{Paranoia: 1}).Layer(crs.Endpoint{Pattern: "POST /v1/orders"})
	for body, refused := range map[string]bool{
		"<a>1' union <!-- x -->select<![CDATA[ ]]>password from users-- </a>": true,
		"<a>a union <!-- x -->of<![CDATA[ ]]>workers</a>":                     false,
	} {
		if err := layer.Check(request("POST", "/v1/orders", "application/xml", body), nil); (err != nil) != refused {
			t.Errorf("%s: %v", body, err)
		}
	}
}
