package config_test

import (
	"maps"
	"strings"
	"testing"

	"pavise.dev/pavise/leak"
)

const responsesBase = `hosts:
  api.example.com: {certificate: local}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    shield: api_key
    scopes: any
    openapi: orders.openapi.yaml
    responses: API
    endpoints:
      GET /v1/orders/{id}: {}
      POST /v1/orders: {responses: OWN}
scopes: {}
`

func withResponses(api, own string) string {
	text := strings.Replace(responsesBase, "API", api, 1)
	if own == "" {
		return strings.Replace(text, "{responses: OWN}", "{}", 1)
	}
	return strings.Replace(text, "OWN", own, 1)
}

func TestDetectorsHaveAShortForm(t *testing.T) {
	for text, want := range map[string]map[leak.Kind]leak.Action{
		"card":                            {leak.Card: leak.Mask},
		"[card, trace, key]":              {leak.Card: leak.Mask, leak.Trace: leak.Block, leak.Key: leak.Block},
		"{card: report, trace: block}":    {leak.Card: leak.Report, leak.Trace: leak.Block},
		"{private_key: mask, jwt: block}": {leak.PrivateKey: leak.Mask, leak.JWT: leak.Block},
	} {
		f := mustParse(t, withResponses("{detect: "+text+"}", ""))
		if got := f.APIs["orders"].Responses; !maps.Equal(got.Detect.Actions(), want) || got.MaxBody != 1<<20 {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestAnEndpointsOwnResponsesStandInPlaceOfTheAPIs(t *testing.T) {
	f := mustParse(t, withResponses("{contract: strip, detect: card}", "{max_body: 2KiB}"))
	all, err := f.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if get, post := all[0].Responses, all[1].Responses; get.Contract != "strip" || len(get.Detect) != 1 || post.Contract != "" || post.MaxBody != 2048 || len(post.Detect) != 0 {
		t.Errorf("%+v, %+v", get, post)
	}
	found := mustParse(t, withResponses("{insecure_stream: [{media: text/event-stream, reason: numbers of orders alone}]}", "")).Insecure()
	if len(found) != 1 || found[0].What != "text/event-stream" {
		t.Errorf("%+v", found)
	}
}

func TestResponsesThatCannotBeJudged(t *testing.T) {
	for name, c := range map[string]struct{ api, own, want string }{
		"a detector that there is not": {"{detect: [card, phone]}", "", `"phone" is not accepted`},
		"one in a map":                 {"{detect: {phone: mask}}", "", "has not the form"},
		"an action that there is not":  {"{detect: {card: hide}}", "", `"hide" is not accepted`},
		"a trace that is masked":       {"{detect: {trace: mask}}", "", "nothing is left that could be shown"},
		"one of an endpoint":           {"{}", "{detect: {trace: mask}}", "nothing is left that could be shown"},
		"a contract that there is not": {"{contract: warn}", "", `"warn" is not accepted`},
		"a stream without a reason":    {"{insecure_stream: [{media: text/event-stream}]}", "", "reason is missing"},
		"a stream that is no type":     {"{insecure_stream: [{media: events, reason: they hold nothing at all}]}", "", "has not the form"},
		"a stream twice":               {"{insecure_stream: [{media: a/b, reason: they hold nothing at all}, {media: a/b, reason: they hold nothing at all}]}", "", "stands twice"},
		"more than is held":            {"{max_body: 1GiB}", "", "too large"},
		"nothing":                      {"{max_body: 0}", "", "is too small"},
		"misspelled":                   {"{detekt: card}", "", "unknown setting"},
	} {
		if _, err := parse(withResponses(c.api, c.own)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	bare := func(api, own string) string {
		return strings.Replace(withResponses(api, own), "    openapi: orders.openapi.yaml\n", "", 1)
	}
	for name, c := range map[string]struct{ api, own, want string }{
		"a contract without a description": {"{contract: refuse}", "", "there is no description"},
		"nothing to judge by":              {"{}", "", "nothing is judged"},
		"of an endpoint":                   {"{detect: card}", "{contract: strip, detect: card}", "there is no description"},
		"detectors alone":                  {"{detect: card}", "{detect: key}", ""},
	} {
		if _, err := parse(bare(c.api, c.own)); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
