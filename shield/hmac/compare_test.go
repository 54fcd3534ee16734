package hmac_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/hmac"
)

var signedAt = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// signedText is what the client signs of a request.
func signedText(t testing.TB, r *http.Request) string {
	t.Helper()
	signer, err := hmac.Kind().Client(shield.Credential{
		ID: "hk_test", Secret: strings.Repeat("k", 43), Now: func() time.Time { return signedAt }, Rand: strings.NewReader(strings.Repeat("n", 64)),
		Settings: map[string]string{"headers": "x-tenant"},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.(shield.Explainer).Canonical(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func order() *http.Request {
	r := httptest.NewRequest("POST", "https://api.test/v1/orders/a%20b?b=2&a=1", strings.NewReader(`{"n":1}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Tenant", "acme")
	return r
}

func judged() hmac.Judged {
	return hmac.Judged{
		ID: "hk_test", Algorithm: "hmac-sha256", Time: signedAt.Add(2 * time.Second),
		Method: "POST", Host: "api.test", Path: "/v1/orders/a%20b", Query: "b=2&a=1", Required: []string{"X-Tenant"},
		Body: []byte(`{"n":1}`), HasBody: true,
	}
}

func compare(t *testing.T, text string, k hmac.Judged) hmac.Comparison {
	t.Helper()
	c, err := hmac.Compare(text, k)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// found is what a comparison says of a line: its verdict and note.
func found(c hmac.Comparison, name string) (hmac.Verdict, string) {
	for _, l := range c.Lines {
		if l.Name == name {
			return l.Verdict, l.Note
		}
	}
	return "", ""
}

func TestAGoodTextDiffersNowhere(t *testing.T) {
	text := signedText(t, order())
	for name, shown := range map[string]string{"as it is": text, "as call --debug shows it": "note\nsigned text:\n" + text + "\nmore of stderr\n"} {
		c := compare(t, shown, judged())
		if c.Differs() {
			t.Errorf("%s: %+v", name, c)
		}
		for _, line := range []string{"version", "key", "algorithm", "method", "host", "path", "query", "digest"} {
			if verdict, note := found(c, line); verdict != hmac.Same {
				t.Errorf("%s: %s is %s: %s", name, line, verdict, note)
			}
		}
	}
	hidden := judged()
	hidden.Path, hidden.Query, hidden.HasBody, hidden.Algorithm = "/v1/orders/*", "b=*&a=*", false, ""
	c := compare(t, text, hidden)
	if c.Differs() {
		t.Errorf("%+v", c)
	}
	for _, line := range []string{"path", "query", "digest", "algorithm", "nonce", "header x-tenant"} {
		if verdict, _ := found(c, line); verdict != hmac.Unknown {
			t.Errorf("%s is %s although the event does not show it", line, verdict)
		}
	}
}

func TestAMistakeIsShownInItsLineAndNamed(t *testing.T) {
	good := signedText(t, order())
	lines := strings.Split(good, "\n")
	with := func(i int, line string) string {
		changed := append([]string{}, lines...)
		changed[i] = line
		return strings.Join(changed, "\n")
	}
	for name, test := range map[string]struct {
		text, line, note string
		change           func(*hmac.Judged)
	}{
		"another version":                 {with(0, "pavise-hmac-v2"), "version", "", nil},
		"another key":                     {with(1, "hk_other"), "key", "", nil},
		"another algorithm":               {with(2, "hmac-sha512"), "algorithm", "", nil},
		"milliseconds":                    {with(3, lines[3]+"000"), "timestamp", "milliseconds", nil},
		"another day's text":              {with(3, "1700000000"), "timestamp", "another request", nil},
		"a short nonce":                   {with(4, "1234"), "nonce", "a nonce is", nil},
		"the method in lower case":        {with(5, "post"), "method", "lower case", nil},
		"a port":                          {with(6, "api.test:443"), "host", "port 443", nil},
		"an address for a host":           {with(6, "https://api.test"), "host", "https://", nil},
		"a slash at the end":              {with(7, "/v1/orders/a%20b/"), "path", "slash at the end", nil},
		"decoded escapes":                 {with(7, "/v1/orders/a b"), "path", "escapes decoded", nil},
		"another path":                    {with(7, "/v1/other"), "path", "", nil},
		"a sorted query":                  {with(8, "?a=1&b=2"), "query", "sorted", nil},
		"no question mark":                {with(8, "b=2&a=1"), "query", "question mark", nil},
		"a hidden query in another order": {with(8, "?a=1&b=2"), "query", "another order", func(k *hmac.Judged) { k.Query = "b=*&a=*" }},
		"a hidden path of more parts":     {with(7, "/v1/orders/a/b"), "path", "parts", func(k *hmac.Judged) { k.Path = "/v1/orders/*" }},
		"commas in the list":              {with(9, "content-type,x-tenant"), "headers", "semicolons", nil},
		"a header that is missing":        {with(9, "content-type;x-client"), "headers", "demands x-tenant", nil},
		"a canonical name":                {with(10, "Content-Type:application/json"), "header content-type", "lower case", nil},
		"a blank after the colon":         {with(11, "x-tenant: acme"), "header x-tenant", "no blank", nil},
		"a bare digest":                   {with(12, "abc"), "digest", "whole value", nil},
		"another body":                    {good, "digest", "of other bytes", func(k *hmac.Judged) { k.Body = []byte("{}") }},
		"a body with a line feed":         {good, "digest", "no line feed at its end", func(k *hmac.Judged) { k.Body = []byte("{\"n\":1}\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			k := judged()
			if test.change != nil {
				test.change(&k)
			}
			c := compare(t, test.text, k)
			if verdict, note := found(c, test.line); verdict != hmac.Differs || !strings.Contains(note, test.note) {
				t.Errorf("%s: %s, %q; want it to differ, and %q", test.line, verdict, note, test.note)
			}
		})
	}
}

func TestATextOfAnotherFormIsNamed(t *testing.T) {
	good := signedText(t, order())
	plain := httptest.NewRequest("GET", "https://api.test/v1/orders", nil)
	plain.Header.Set("X-Tenant", "acme")
	empty := signedText(t, plain)
	k := judged()
	k.Method, k.Path, k.Query, k.HasBody, k.Required = "GET", "/v1/orders", "", false, nil
	lines := strings.Split(empty, "\n")
	without := func(i int) string {
		return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "\n")
	}
	for name, test := range map[string]struct {
		text string
		k    hmac.Judged
		says string
	}{
		"carriage returns":         {strings.ReplaceAll(good, "\n", "\r\n"), judged(), "carriage returns"},
		"no line feed at the end":  {strings.TrimSuffix(good, "\n"), judged(), "after the last line"},
		"a line feed before":       {"\n" + good, judged(), "before the first line"},
		"a byte order mark":        {"\ufeff" + good, judged(), "byte order mark"},
		"something behind":         {good + "more\n", judged(), "follows the digest"},
		"without the query's line": {without(8), k, "query's line is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c := compare(t, test.text, test.k)
			if !strings.Contains(strings.Join(c.Form, "; "), test.says) {
				t.Errorf("%q; want %q", c.Form, test.says)
			}
			if verdict, note := found(c, "path"); verdict != hmac.Same {
				t.Errorf("the path is %s (%s): the lines are not compared with what they stand for", verdict, note)
			}
		})
	}
	for name, text := range map[string]string{"nothing": "", "one line": strings.ReplaceAll(good, "\n", ""), "too long": strings.Repeat("x\n", hmac.MaxSigned)} {
		if _, err := hmac.Compare(text, judged()); err == nil {
			t.Errorf("%s was compared", name)
		}
	}
}

func FuzzCompare(f *testing.F) {
	text := signedText(f, order())
	f.Add(text, "/v1/orders/*", "a=*")
	f.Add("signed text:\n"+text, "/", "")
	f.Add(strings.Repeat("a;b\n", 20), "", "*")
	f.Add("\n\n\n\n\n\n\n\n\n\n\n", "%", "?&&")
	f.Fuzz(func(t *testing.T, text, path, query string) {
		k := judged()
		k.Path, k.Query = path, query
		c, err := hmac.Compare(text, k)
		if err == nil && len(c.Lines) < 11 {
			t.Errorf("%d lines of %q", len(c.Lines), text)
		}
	})
}
