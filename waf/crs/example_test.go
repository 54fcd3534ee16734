package crs_test

import (
	"fmt"
	"net/http/httptest"

	"pavise.dev/pavise/waf/crs"
)

// ExampleNew compiles the rules and asks them about two requests.
func ExampleNew() {
	rules, err := crs.New(crs.Settings{Paranoia: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	layer := rules.Layer(crs.Endpoint{Pattern: "GET /v1/orders"})
	for _, query := range []string{"customer=O%27Brien", "customer=%27+union+select+password+from+users--"} {
		fmt.Println(layer.Check(httptest.NewRequest("GET", "/v1/orders?"+query, nil), nil))
	}
	// Output:
	// <nil>
	// injection: anomaly score 20 of 5, by rules 942100 942190 942270 942360
}
