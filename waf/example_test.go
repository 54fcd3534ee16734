package waf_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"pavise.dev/pavise/waf"
)

func ExampleNew() {
	layer, err := waf.New(waf.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{"/v1/notes?author=O%27Brien", "/v1/notes?author=x%27+or+1=1--"} {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com"+target, nil)
		fmt.Println(layer.Check(r, nil))
	}
	// Output:
	// <nil>
	// injection: query /author sql
}
