package sanitise_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"

	"pavise.dev/pavise/sanitise"
	"pavise.dev/pavise/shield"
)

func ExampleNew() {
	clean, err := sanitise.New([]sanitise.Rule{{Field: "body /comment", Do: []string{"trim", "text"}}}, sanitise.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("POST", "/v1/orders", strings.NewReader(`{"id": 7, "comment": " <b>Soon</b>, please"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Body = shield.NewBody(r.Body, 1<<20) // as the guard does
	changed, err := clean.Sanitise(r, nil)
	body, _ := io.ReadAll(r.Body)
	fmt.Println(string(body), changed, err)
	// Output: {"id": 7, "comment": "Soon, please"} trim=1 text=1 <nil>
}
