package waf_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf"
)

// payload is an attack, and the detector whose file it stands in.
type payload struct{ detector, text string }

// payloads reads testdata/payloads: a file for each detector, an attack in each line.
func payloads(t testing.TB) (all []payload) {
	t.Helper()
	for _, name := range waf.Detectors() {
		text, err := os.ReadFile(filepath.Join("testdata", "payloads", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			all = append(all, payload{name, unquote(strings.TrimSuffix(line, "\n"))})
		}
	}
	return all
}

// unquote reads the escapes of a line of testdata.
func unquote(line string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `\u00a0`, "\u00a0").Replace(line)
}

// encodings are the ways in which an attack is written.
func encodings() map[string]func(string) string {
	return map[string]func(string) string{
		"plain":      func(s string) string { return s },
		"url":        percent,
		"double url": func(s string) string { return percent(percent(s)) },
		"base64":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"unicode":    func(s string) string { return each(s, `\u%04x`) },
		"%u":         func(s string) string { return each(s, `%%u%04x`) },
		"entity":     func(s string) string { return each(s, "&#%d;") },
		"hex entity": func(s string) string { return each(s, "&#x%x;") },
	}
}

func percent(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// each writes all but letters and digits in another form.
func each(s, form string) string {
	var out strings.Builder
	for _, r := range s {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') {
			out.WriteRune(r)
			continue
		}
		fmt.Fprintf(&out, form, r)
	}
	return out.String()
}

// places are where a text stands in a request; nil for one that it cannot stand in.
func places() map[string]func(string) *http.Request {
	post := func(media, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "https://api.example.com/v1/notes", strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		r.Body = shield.NewBody(r.Body, 1<<20)
		return r
	}
	get := func(target string) *http.Request {
		return httptest.NewRequest(http.MethodGet, "https://api.example.com"+target, nil)
	}
	part := func(file bool, name, text string) *http.Request {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		if err := w.SetBoundary("bound"); err != nil {
			return nil
		}
		disposition := fmt.Sprintf(`form-data; name="%s"`, name)
		if file {
			disposition = fmt.Sprintf(`form-data; name="file"; filename="%s"`, name)
		}
		p, err := w.CreatePart(map[string][]string{"Content-Disposition": {disposition}})
		if err != nil || strings.ContainsAny(name, "\r\n") {
			return nil
		}
		_, _ = p.Write([]byte(text))
		_ = w.Close()
		return post("multipart/form-data; boundary=bound", body.String())
	}
	inXML := func(before, s, after string) *http.Request {
		if strings.Contains(s, "\x00") { // which XML has not
			return nil
		}
		var out bytes.Buffer
		if xml.EscapeText(&out, []byte(s)) != nil {
			return nil
		}
		return post("application/xml", before+out.String()+after)
	}
	quoted := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			return ""
		}
		return string(text)
	}
	return map[string]func(string) *http.Request{
		"path":       func(s string) *http.Request { return get("/v1/notes/" + url.PathEscape(s)) },
		"query":      func(s string) *http.Request { return get("/v1/notes?q=" + url.QueryEscape(s)) },
		"query name": func(s string) *http.Request { return get("/v1/notes?" + url.QueryEscape(s) + "=1") },
		"header":     func(s string) *http.Request { r := get("/"); r.Header.Set("X-Note", s); return r },
		"user agent": func(s string) *http.Request { r := get("/"); r.Header.Set("User-Agent", s); return r },
		"cookie":     cookie,
		"JSON leaf":  func(s string) *http.Request { return post("application/json", `{"a":[{"b":`+quoted(s)+`}]}`) },
		"JSON name":  func(s string) *http.Request { return post("application/json", `{"a":[{`+quoted(s)+`:1}]}`) },
		"JSON root":  func(s string) *http.Request { return post("application/vnd.api+json", quoted(s)) },
		"line":       func(s string) *http.Request { return post("application/x-ndjson", "{}\n"+quoted(s)+"\n") },
		"form": func(s string) *http.Request {
			return post("application/x-www-form-urlencoded", "a=1&b="+url.QueryEscape(s))
		},
		"form name": func(s string) *http.Request {
			return post("application/x-www-form-urlencoded", url.QueryEscape(s)+"=1")
		},
		"part":        func(s string) *http.Request { return part(false, "note", s) },
		"part's name": func(s string) *http.Request { return part(false, s, "text") },
		"file name":   func(s string) *http.Request { return part(true, s, "text") },
		"XML":         func(s string) *http.Request { return inXML("<a><b>", s, "</b></a>") },
		"attribute":   func(s string) *http.Request { return inXML(`<a b="`, s, `"/>`) },
		"text":        func(s string) *http.Request { return post("text/plain", s) },
	}
}

// cookie holds what a cookie can (RFC 6265 §4.1.1), as programs read it: some take quotes and
// blanks too.
func cookie(s string) *http.Request {
	if strings.ContainsAny(s, ";\r\n\x00") || strings.TrimSpace(s) != s {
		return nil
	}
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
	r.Header.Set("Cookie", "theme=dark; note="+s)
	return r
}

func layer(t testing.TB, o waf.Options) *waf.Layer {
	t.Helper()
	l, err := waf.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// isEncoded reports attacks that are written in an encoding already: more layers than two are
// not taken off.
var isEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}|%u[0-9a-f]{4}|&#|&[a-z]+;|\\[ux][0-9a-f]{2}|^PHN`)

// What attackers send is refused wherever it stands and however it is written.
func TestAttacksAreRefusedInEveryPlaceAndEncoding(t *testing.T) {
	attacktest.Rows(t, 111)
	l := layer(t, waf.Options{})
	all := payloads(t)
	sent, passed, unreadable := 0, 0, 0
	ways, spots := encodings(), places()
	for _, p := range all {
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			if way != "plain" && isEncoded.MatchString(p.text) {
				continue
			}
			for _, place := range slices.Sorted(maps.Keys(spots)) {
				r := spots[place](ways[way](p.text))
				if r == nil {
					continue
				}
				sent++
				refusal, ok := errors.AsType[*shield.Refusal](l.Check(r, nil))
				switch {
				case !ok:
					if passed++; passed < 1000 {
						t.Errorf("%s, %s, %s: %q passes", p.detector, place, way, ways[way](p.text))
					}
				case refusal.Code == shield.InvalidInput:
					unreadable++
				case refusal.Code != shield.Injection || len(refusal.Fields) == 0:
					t.Errorf("%s, %s, %s: %v", p.detector, place, way, refusal)
				case strings.Contains(refusal.Error(), "alert(1)"):
					t.Errorf("%s, %s, %s: the refusal tells the value: %v", p.detector, place, way, refusal)
				}
			}
		}
	}
	t.Logf("%d attacks, sent in %d requests: %d refused as what no reader agrees about, %d passed", len(all), sent, unreadable, passed)
	if len(all) < 700 || sent < 60_000 {
		t.Errorf("%d attacks in %d requests are fewer than there were", len(all), sent)
	}
}
