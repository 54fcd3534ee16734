package people_test

import (
	"net/http"
	"testing"

	"pavise.dev/pavise/internal/authserver/people"
)

func TestAnAdministratorSignsOutWithAllThatWasGranted(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	w.grants.all[u.Subject] = []people.Grant{{ID: "g1", Client: "photos"}}
	w.grants.all["somebody-else"] = []people.Grant{{ID: "g2", Client: "photos"}}
	b := w.browser()
	w.ask("one")
	b.signIn(b.get(authorize("one")), "ada", goodPassword).want(http.StatusOK)
	if list, err := w.service.SessionsOf(t.Context(), u.Subject); err != nil || len(list) != 1 {
		t.Fatalf("sessions %v, %v", list, err)
	}
	if change, err := w.service.SignOutUser(t.Context(), u.Subject); err != nil || change.Action != "user.sign_out" {
		t.Fatalf("%+v, %v", change, err)
	}
	if list, err := w.service.SessionsOf(t.Context(), u.Subject); err != nil || len(list) != 0 {
		t.Errorf("still signed in: %v, %v", list, err)
	}
	if len(w.grants.all[u.Subject]) != 0 || len(w.grants.all["somebody-else"]) != 1 {
		t.Errorf("grants that are left: %v", w.grants.all)
	}
	if _, err := w.service.SignOutUser(t.Context(), "u-nobody"); err == nil {
		t.Error("signed nobody out")
	}
}
