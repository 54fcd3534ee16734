package pavise_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const markedSecret = "marked-s3cr3t"

// recorded is what an event tells of a request, where page and sort are shown and what stands
// for {email} is not.
func recorded(t *testing.T, target string) (path, query string) {
	t.Helper()
	events := &sink{}
	_, e := send(t, one(t, events, says{id: shop()}, func(p *pavise.Policy) {
		p.APIs[0].Recorded = pavise.Recorded{ShowQuery: []string{"page", "sort"}, Hide: []string{"email"}}
		p.APIs[0].Endpoints = append(p.APIs[0].Endpoints, pavise.Endpoint{Pattern: "GET /people/{email}/orders/{id}", Shield: says{id: shop()}, AnyScope: true})
		p.APIs = append(p.APIs, pavise.API{Name: "other", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
			{Pattern: "GET /other/{email}", Shield: says{id: shop()}, Scopes: shield.Scopes{"orders:read"}},
		}})
	}), events, get(target), nil)
	return e.Path, e.Query
}

func TestEventsShowWhatAnAPIChose(t *testing.T) {
	attacktest.Rows(t, 144)
	jwt := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0"
	for target, want := range map[string]string{
		"/v1/orders/7?page=2&sort=-name,id":                      "page=2&sort=-name,id",
		"/v1/orders/7?page=2&q=" + markedSecret:                  "page=2&q=*",
		"/v1/orders/7?page=2&page=3":                             "page=2&page=3",
		"/v1/orders/7?page=" + jwt:                               "page=*",
		"/v1/orders/7?page=pvs_0123456789abcdef":                 "page=*",
		"/v1/orders/7?page=pvshs_bcdefgh":                        "page=*",
		"/v1/orders/7?page=4111111111111111":                     "page=*",
		"/v1/orders/7?page=1795435200123":                        "page=1795435200123",
		"/v1/orders/7?page=01234567-89ab-cdef-0123-456789abcdef": "page=01234567-89ab-cdef-0123-456789abcdef",
		"/v1/orders/7?page=%0a" + markedSecret:                   "page=*",
		"/v1/orders/7?page=a%22%7D":                              "page=*",
		"/v1/orders/7?page=a%3D1":                                "page=*",
		"/v1/orders/7?p%61ge=2":                                  "page=*",
		"/v1/orders/7?Page=2":                                    "Page=*",
		"/v1/orders/7?page=" + markedSecret + "==":               "page=*",
		"/v1/orders/7?page":                                      "*",
		"/v1/orders/7?page=":                                     "*",
		"/v1/orders/7?page=" + strings.Repeat("1,", 33):          "page=*",
		"/other/7?page=" + markedSecret:                          "page=*",
		"/nothing/7?page=" + markedSecret:                        "page=*",
	} {
		if _, got := recorded(t, target); got != want {
			t.Errorf("%.80s is recorded as %q, want %q", target, got, want)
		}
	}
}

func TestEventsHidePartsOfPaths(t *testing.T) {
	for target, want := range map[string]string{
		"/people/ann@example.com/orders/7":   "/people/*/orders/7",
		"/v1/orders/7":                       "/v1/orders/7",
		"/other/" + markedSecret:             "/other/" + markedSecret, // of an API that hides nothing
		"/people/ann@example.com/ordres/7":   "/people/*/*/*",          // misspelled: nobody knows which part is which
		"/people/ann@example.com/orders/7/8": "/people/*/orders/*/*",
	} {
		if got, _ := recorded(t, target); got != want {
			t.Errorf("%s is recorded as %q, want %q", target, got, want)
		}
	}
}

func TestNoCredentialIsShownOnPurpose(t *testing.T) {
	attacktest.Requirements(t, "16.2.5")
	policy := func(r pavise.Recorded) error {
		_, err := pavise.New(pavise.Policy{
			Hosts: []pavise.Host{{Name: "api.test"}}, Sink: &sink{},
			APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.test"}, Recorded: r, Endpoints: []pavise.Endpoint{{Pattern: "GET /a", Shield: says{}, AnyScope: true}}}},
		})
		return err
	}
	for _, name := range []string{"token", "apiKey", "X-Amz-Signature", "email", "", "a b", "a\nb", "a=b", strings.Repeat("a", 65), "pvs_0123456789abcdef"} {
		if err := policy(pavise.Recorded{ShowQuery: []string{"page", name}}); err == nil || !strings.Contains(err.Error(), "must not be shown") {
			t.Errorf("%q: %v", name, err)
		}
	}
	many := strings.Split(strings.Repeat("page,", 32)+"page", ",")
	if err := policy(pavise.Recorded{ShowQuery: many}); err == nil {
		t.Error("33 parameters are taken")
	}
	if err := policy(pavise.Recorded{ShowQuery: many[:32], Hide: []string{"id"}}); err != nil {
		t.Error(err)
	}
}
