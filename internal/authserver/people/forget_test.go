package people_test

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestWhatWasSaidToAClientThatIsGoneIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword), "allow").wantSent("https://photos.example/callback?code=c")
	all := func(is bool) func(string) (bool, error) { return func(string) (bool, error) { return is, nil } }
	for _, test := range []struct {
		what string
		wait time.Duration
		gone func(string) (bool, error)
	}{
		{"said a moment ago", 0, all(true)},
		{"of one that stands", time.Hour, all(false)},
		{"nobody knows", time.Hour, func(string) (bool, error) { return true, errors.New("stale") }},
	} {
		w.clock.forward(test.wait)
		if n, _ := w.service.ForgetClients(t.Context(), test.gone); n != 0 {
			t.Errorf("%s: %d were forgotten", test.what, n)
		}
	}
	w.ask("two")
	b.get(authorize("two")).wantSent("https://photos.example/callback?code=c")
	if n, err := w.service.ForgetClients(t.Context(), all(true)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	w.ask("three")
	b.get(authorize("three")).want(http.StatusOK, "asks for access")
}
