package schema_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const closedDocument = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Shop-Key}, session: {type: apiKey, in: cookie, name: sid}}}
paths:
  /v1/things:
    get:
      parameters:
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: theme, in: cookie, schema: {enum: [dark, light]}}
      responses: {"200": {description: things}}
`

func TestUndeclaredHeadersAndCookiesAreRefusedWhereTheyAreClosed(t *testing.T) {
	attacktest.Rows(t, 109)
	for name, c := range map[string]struct {
		headers       []string
		open, refused string
	}{
		"declared":             {[]string{"X-Trace", "a", "Cookie", "theme=dark; sid=1"}, "", ""},
		"a credential":         {[]string{"X-Shop-Key", "k", "X-Own-Key", "k", "Authorization", "Bearer x"}, "", ""},
		"what clients send":    {[]string{"User-Agent", "x", "Accept", "*/*", "Sec-Fetch-Mode", "cors", "X-Forwarded-For", "1.2.3.4", "Traceparent", "00-1"}, "", ""},
		"another header":       {[]string{"X-Debug", "canary"}, "", "header /X-Debug undeclared"},
		"another cookie":       {[]string{"Cookie", "theme=dark; admin=canary"}, "", "cookie /admin undeclared"},
		"what is wrong anyway": {[]string{"Cookie", "theme=blue"}, "cookie /theme enum", "cookie /theme enum"},
	} {
		for closed, want := range map[bool]string{false: c.open, true: c.refused} {
			d := open(t, closedDocument, schema.Options{ClosedHeaders: closed, ClosedCookies: closed})
			o, err := d.Operation("GET /v1/things")
			if err != nil {
				t.Fatal(err)
			}
			o.Credentials("x-own-key")
			r := httptest.NewRequest("GET", "/v1/things", nil)
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Add(c.headers[i], c.headers[i+1])
			}
			r.Body = shield.NewBody(r.Body, 1)
			err = o.Check(r, nil)
			if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%s, closed %t: %v, want %q", name, closed, err, want)
			}
		}
	}
}
