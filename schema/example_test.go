package schema_test

import (
	"fmt"
	"net/http/httptest"

	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

func ExampleOpen() {
	document, err := schema.Open("orders.yaml", []byte(`
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /v1/orders/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer, minimum: 1}}
      responses: {"200": {description: the order}}
`), schema.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	operation, err := document.Operation("GET /v1/orders/{id}")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/v1/orders/7", "/v1/orders/0?admin=true"} {
		r := httptest.NewRequest("GET", "https://api.example.com"+path, nil)
		r.Body = shield.NewBody(r.Body, 1) // the guard does so
		fmt.Println(path, operation.Check(r, nil))
	}
	// Output:
	// /v1/orders/7 <nil>
	// /v1/orders/0?admin=true invalid_input: path /id minimum; query /admin undeclared
}
