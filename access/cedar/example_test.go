package cedar_test

import (
	"fmt"
	"net/http/httptest"
	"strings"

	"pavise.dev/pavise/access/cedar"
	"pavise.dev/pavise/shield"
)

// ExampleNew judges payments by their tenant and amount.
func ExampleNew() {
	decider, err := cedar.New(cedar.Settings{
		API: "payments", Endpoint: "POST /v1/payments",
		Condition: `principal.tenant == context.body.tenant && context.body.amount <= 1000`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	caller := &shield.Identity{Shield: "api_key", CredentialID: "k1", Client: "shop", Tenant: "acme"}
	for _, body := range []string{
		`{"tenant":"acme","amount":20}`,
		`{"tenant":"acme","amount":2000}`,
		`{"tenant":"evil","tenant":"acme","amount":20}`,
		`{"amount":20}`,
	} {
		r := httptest.NewRequest("POST", "/v1/payments", nil)
		r.Header.Set("Content-Type", "application/json")
		r.Body = shield.NewBody(readCloser{strings.NewReader(body)}, decider.Body()) // the guard does this
		fmt.Println(decider.Check(r, caller))
	}
	// Output:
	// <nil>
	// denied: no policy permits it
	// denied: the body, which a policy names, is no strict JSON at byte 25: a name stands twice
	// denied: policy condition could not be evaluated: record does not have the attribute `tenant`
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
