package answer_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"pavise.dev/pavise/internal/answer"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const document = `
openapi: 3.1.0
paths:
  /x:
    get:
      responses:
        "200":
          description: one
          content:
            application/json: {schema: {type: object, properties: {id: {type: [string, integer], x-pavise-sensitive: false}, name: {type: string}, born: {type: string, x-pavise-sensitive: true, x-pavise-scopes: [pii]}}}}
            image/png: {}
`

func judge(t testing.TB, change func(*answer.Judge)) *answer.Judge {
	t.Helper()
	d, err := schema.Open("api.yaml", []byte(document), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := d.Answers("GET /x")
	if err != nil {
		t.Fatal(err)
	}
	scanner, err := leak.New(map[leak.Kind]leak.Action{leak.Card: leak.Mask, leak.Trace: leak.Block, leak.Email: leak.Report})
	if err != nil {
		t.Fatal(err)
	}
	j := &answer.Judge{Answers: answers, Contract: answer.Refuse, Scanner: scanner, Strict: true, Most: 1000, Now: time.Now}
	if change != nil {
		change(j)
	}
	return j
}

func typed(media string) http.Header { return http.Header{"Content-Type": {media}} }

func TestWhatIsHeldBack(t *testing.T) {
	get, peek := httptest.NewRequest("GET", "/x", nil), httptest.NewRequest("HEAD", "/x", nil)
	detectorsAlone := func(j *answer.Judge) { j.Answers, j.Contract = nil, answer.Off }
	for name, c := range map[string]struct {
		change func(*answer.Judge)
		r      *http.Request
		status int
		h      http.Header
		want   int64
	}{
		"JSON":                          {nil, get, 200, typed("application/json"), 1000},
		"declared bytes":                {nil, get, 200, typed("image/png"), 0},
		"undeclared bytes":              {nil, get, 200, typed("image/gif"), -1},
		"a stream":                      {nil, get, 200, typed("text/event-stream"), -1},
		"a stream that is said to pass": {func(j *answer.Judge) { j.Streams = []string{"text/event-stream"} }, get, 200, typed("text/event-stream; charset=utf-8"), 0},
		"compressed":                    {nil, get, 200, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"br"}}, -1},
		"a piece":                       {nil, get, 206, typed("application/json"), -1},
		"the head alone":                {nil, peek, 200, typed("image/gif"), 1000},
		"no content":                    {nil, get, 204, nil, 1000},
		"the head, and no contract":     {detectorsAlone, peek, 200, typed("image/gif"), 0},
		"no media type":                 {detectorsAlone, get, 200, nil, 1000},
		"two media types":               {detectorsAlone, get, 200, http.Header{"Content-Type": {"text/html", "text/html"}}, -1},
		"bytes, and no contract":        {detectorsAlone, get, 200, typed("image/png"), -1},
		"bytes, and only reports":       {func(j *answer.Judge) { detectorsAlone(j); j.Strict = false }, get, 200, typed("image/png"), 1000},
	} {
		if got := judge(t, c.change).Hold(c.r, c.status, c.h); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	attacktest.Rows(t, 113)
	r := httptest.NewRequest("GET", "/x", nil)
	json := typed("application/json")
	plain := func(j *answer.Judge) { j.Answers, j.Contract = nil, answer.Off }
	for name, c := range map[string]struct {
		change         func(*answer.Judge)
		id             *shield.Identity
		h              http.Header
		body           string
		want           string // "" where it is refused
		changed, would string
	}{
		"harmless":                  {nil, nil, json, `{"name":"Ada"}`, `{"name":"Ada"}`, "", ""},
		"nobody is known":           {nil, nil, json, `{"born":"1815"}`, `{"born":"***"}`, "masked=1", ""},
		"somebody is":               {nil, &shield.Identity{Scopes: shield.Scopes{"pii"}}, json, `{"born":"1815"}`, `{"born":"1815"}`, "", ""},
		"an id like a card":         {nil, nil, json, `{"id":4111111111111111,"name":"4111111111111111"}`, `{"id":4111111111111111,"name":"************1111"}`, "card=1", ""},
		"reported":                  {nil, nil, json, `{"name":"ada@example.com bob@example.com"}`, `{"name":"ada@example.com bob@example.com"}`, "", "responses invalid_answer body email /name x2"},
		"undeclared":                {nil, nil, json, `{"x":1}`, "", "", ""},
		"no JSON, only detectors":   {plain, nil, json, `{"name":"4111111111111111"`, "", "", ""},
		"no JSON, only reports":     {func(j *answer.Judge) { plain(j); j.Strict = false }, nil, json, `{"name":"4111111111111111"`, `{"name":"4111111111111111"`, "", "responses invalid_answer body form"},
		"JSON that nobody calls so": {plain, nil, nil, `{"name":"\u0034111111111111111"}`, `{"name":"************1111"}`, "card=1", ""},
		"a text that nobody does":   {plain, nil, nil, `4111111111111111 "`, `************1111 "`, "card=1", ""},
		"a card as a name":          {plain, nil, json, `{"4111111111111111":1}`, "", "", ""},
		"lines of JSON":             {plain, nil, typed("application/x-ndjson"), "{\"a\":4111111111111111}\n{\"a\":1}\n", "{\"a\":\"************1111\"}\n{\"a\":1}\n", "card=1", ""},
		"on trial":                  {func(j *answer.Judge) { j.Until = time.Now().Add(time.Hour) }, nil, json, `{"x":"4111111111111111"}`, `{"x":"4111111111111111"}`, "", "responses invalid_answer body undeclared /x"},
		"a trial that is over":      {func(j *answer.Judge) { j.Until = time.Now().Add(-time.Hour) }, nil, json, `{"x":"4111111111111111"}`, "", "", ""},
	} {
		got, err := judge(t, c.change).Judge(r, c.id, 200, c.h, []byte(c.body))
		if refused := err != nil; refused != (c.want == "") || !refused && (string(got.Body) != c.want || got.Changed != c.changed || got.Would != c.would) {
			t.Errorf("%s: %s, changed %q, would %q, %v", name, got.Body, got.Changed, got.Would, err)
		}
		if _, ok := err.(*shield.Refusal); err != nil && !ok {
			t.Errorf("%s: %v is no refusal", name, err)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	j := judge(b, nil)
	r, h, text := httptest.NewRequest("GET", "/x", nil), typed("application/json"), []byte(`{"id":7,"name":"Ada Lovelace, of St James's Square","born":"1815-12-10"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Judge(r, nil, 200, h, text); err != nil {
			b.Fatal(err)
		}
	}
}
