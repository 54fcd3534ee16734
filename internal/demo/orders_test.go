package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An order is of the person who placed it, and not of somebody of the same name at another issuer.
func TestAnOrderIsOfOnePerson(t *testing.T) {
	orders := Orders()
	as := func(issuer, user, method, path, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if user != "" {
			r.Header.Set("Pavise-User", user)
			r.Header.Set("Pavise-Issuer", issuer)
		}
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		return w.Code
	}
	if status := as("demo", "ann", "POST", "/v1/orders", `{"item":"tea","count":1}`); status != http.StatusCreated {
		t.Fatalf("%d", status)
	}
	for _, c := range []struct {
		issuer, user string
		want         int
	}{{"demo", "ann", 200}, {"pavise", "ann", 404}, {"demo", "bea", 404}, {"", "", 200}} {
		if status := as(c.issuer, c.user, "GET", "/v1/orders/9", ""); status != c.want {
			t.Errorf("%s of %s: %d, want %d", c.user, c.issuer, status, c.want)
		}
	}
}
