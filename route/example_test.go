package route_test

import (
	"fmt"
	"net/http/httptest"

	"pavise.dev/pavise/route"
)

// ExampleTable finds the most special pattern.
func ExampleTable() {
	table := route.New[string]()
	for _, pattern := range []string{"GET /v1/orders/{id}", "GET /v1/orders/new", "GET /files/{path...}"} {
		if err := table.Add(pattern, pattern); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, request := range [][2]string{{"GET", "/v1/orders/7"}, {"HEAD", "/v1/orders/new"}, {"DELETE", "/v1/orders/7"}, {"GET", "/v1"}} {
		found, err := table.Match(httptest.NewRequest(request[0], request[1], nil))
		fmt.Printf("%s %s: %q %v\n", request[0], request[1], found, err)
	}
	// Output:
	// GET /v1/orders/7: "GET /v1/orders/{id}" <nil>
	// HEAD /v1/orders/new: "GET /v1/orders/new" <nil>
	// DELETE /v1/orders/7: "" the endpoint's methods are GET, HEAD
	// GET /v1: "" no endpoint has this path
}
