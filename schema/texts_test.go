package schema_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const textsDocument = `
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /v1/{kind}/{note}:
    post:
      parameters:
        - {name: kind, in: path, required: true, schema: {enum: [notes, drafts]}}
        - {name: note, in: path, required: true, schema: {type: string}}
        - {name: limit, in: query, schema: {type: integer}}
        - {name: ids, in: query, schema: {type: array, items: {type: string, format: uuid}}}
        - {name: q, in: query, schema: {type: string, maxLength: 100}}
      requestBody:
        content:
          application/json: {schema: {$ref: "#/components/schemas/Note"}}
      responses: {"200": {description: ok}}
components:
  schemas:
    Named:
      properties:
        title: {type: string}
        code: {type: string, pattern: "^[A-Z]{2}-[0-9]+$"}
        loose: {type: string, pattern: "[a-z]+"}
        wild: {type: string, pattern: "^.+$"}
        spaced: {type: string, pattern: "^[a-z ]+$"}
    Note:
      allOf:
        - $ref: "#/components/schemas/Named"
        - type: object
          properties:
            id: {type: string, format: uuid}
            mail: {type: string, format: email}
            day: {anyOf: [{type: string, format: date}, {type: "null"}]}
            either: {anyOf: [{type: string, format: date}, {type: string}]}
            state: {const: open}
            parent: {anyOf: [{$ref: "#/components/schemas/Note"}, {type: "null"}]}
            labels: {type: object, additionalProperties: {type: string}}
            tags: {type: array, items: {type: string}}
            codes: {type: array, items: {type: string, pattern: "^[a-z0-9-]{1,8}$"}}
            free: {type: object}
`

func texts(t *testing.T, walk func(*http.Request, func(string, []string, string) error) error, r *http.Request) string {
	t.Helper()
	var all []string
	err := walk(r, func(in string, names []string, text string) error {
		all = append(all, in+" "+strings.Join(names, "/")+"="+text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func textsRequest(target, media, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://api.example.com"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Body = shield.NewBody(r.Body, 1<<20)
	return r
}

// What a schema confines is left out, through references, allOf and alternatives; what it leaves
// open, and names that nobody declared, are told.
func TestTextsAreThoseThatNothingConfines(t *testing.T) {
	d := open(t, textsDocument, schema.Options{})
	o, err := d.Operation("POST /v1/{kind}/{note}")
	if err != nil {
		t.Fatal(err)
	}
	id := "0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968"
	r := textsRequest("/v1/notes/first?limit=5&ids="+id+"&q=it", "application/json", `{
		"id":"`+id+`","title":"a","code":"AB-1","loose":"b","wild":"c","spaced":"or x","mail":"ada@example.com","day":"2026-11-30","either":"d","state":"open",
		"parent":{"title":"e","code":"AB-2","parent":{"id":"`+id+`","loose":"f"}},"labels":{"g":"h"},"tags":["i","j"],"codes":["k"],"free":{"l":{"m":["n",1]}}}`)
	if err := o.Check(r, nil); err != nil {
		t.Fatal(err)
	}
	want := `body either=d
body free/l/m/0=n
body free/l/m=m
body free/l=l
body labels/g=g
body labels/g=h
body loose=b
body mail=ada@example.com
body parent/parent/loose=f
body parent/title=e
body spaced=or x
body tags/0=i
body tags/1=j
body title=a
body wild=c
path note=first
query q=it`
	if got := texts(t, o.Texts, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAllTextsOfWhatNobodyDescribes(t *testing.T) {
	for name, c := range map[string]struct{ media, body, want string }{
		"JSON":  {"application/json", `{"a":["b",{"c":"d"}],"e":1}`, "body a/0=b\nbody a/1/c=c\nbody a/1/c=d\nbody a=a\nbody e=e"},
		"form":  {"application/x-www-form-urlencoded", "a=b&c=d+e", "body a=a\nbody a=b\nbody c=c\nbody c=d e"},
		"XML":   {"application/xml", `<a x="y"><b>c<![CDATA[d]]></b></a>`, "body a/b=cd\nbody a/x=y"},
		"text":  {"text/plain", "a", "body =a"},
		"lines": {"application/x-ndjson", "\"a\"\n\n{\"b\":1}\n", "body 0=a\nbody 2/b=b"},
		"parts": {
			"multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"c.txt\"\r\n\r\nd\r\n--x--\r\n",
			"body a=a\nbody a=b\nbody f=c.txt\nbody f=f",
		},
		"XML in pieces": {"application/xml", "<a>\n<b> 1 union <!-- x -->select<![CDATA[ ]]>2 </b>\n</a>", "body a/b=1 union select 2"},
		"parts that say they are pictures": {
			"multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: image/png\r\n\r\nb\xff\r\n--x--\r\n",
			"body a=a\nbody a=b\uFFFD",
		},
		"bytes":                      {"application/octet-stream", "a", ""},
		"bytes that are no JSON":     {"application/octet-stream", "[\x01\x02 \"a\"", ""},
		"JSON called bytes":          {"application/octet-stream", " {\"a\":\"b\"}", "body a=a\nbody a=b"},
		"a list called a picture":    {"image/png", `[1,["a"]]`, "body 1/0=a"},
		"lines called bytes":         {"application/octet-stream", "{\"a\":\"b\"}\n{\"a\":\"c\\\"\"}", "body 0=a\nbody 1=b\nbody 2=a\nbody 3=c\""},
		"JSON with something behind": {"application/octet-stream", "\xef\xbb\xbf{\"a\":\"b\"}\xff", "body 0=a\nbody 1=b"},
		"JSON far behind blanks":     {"application/octet-stream", strings.Repeat(" ", 1000) + `["a"]`, "body 0=a"},
		"JSON called a text":         {"text/plain", `{"a":"b"}`, "body ={\"a\":\"b\"}\nbody a=a\nbody a=b"},
		"JSON called a form":         {"application/x-www-form-urlencoded", `{"a":"b=c"}`, "body a=a\nbody a=b=c\nbody {\"a\":\"b=c\"}\nbody {\"a\":\"b={\"a\":\"b"},
	} {
		r := textsRequest("/v1/it?q=r", c.media, c.body)
		want := strings.TrimSpace(c.want + "\npath 0=v1\npath 1=it\nquery q=q\nquery q=r")
		if got := texts(t, schema.Texts, r); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Whatever a body says it is, what JSON in it says is seen; and no body is too odd to be read.
func FuzzTexts(f *testing.F) {
	for _, body := range []string{`{"a":["b",{"c":"d"}]}`, `{"a":"b"}x`, "\xef\xbb\xbf[1,\"\\u0061\"]", `<svg><a b="c">d</a></svg>`, "a=b&c=d", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n", `{"a":"b`, " [ \n{"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		seen := func(media string) (all map[string]bool, err error) {
			all = map[string]bool{}
			err = schema.Texts(textsRequest("/", media, body), func(in string, _ []string, text string) error {
				if in == "body" {
					all[text] = true
				}
				return nil
			})
			return all, err
		}
		want, err := seen("application/json")
		for _, media := range []string{"application/octet-stream", "image/png", "text/plain", "text/json", "image/svg+xml", "application/xml", "application/x-ndjson", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			got, other := seen(media)
			if err != nil || other != nil || !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") {
				continue
			}
			for text := range want {
				if !got[text] {
					t.Fatalf("%q, called %s: %q is not seen", body, media, text)
				}
			}
		}
	})
}
