package jwt

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

// live is a shield whose issuer is asked over TLS.
func live(t *testing.T) (*world, *issuer.Set) {
	t.Helper()
	w := &world{World: shieldtest.NewWorld(), t: t, config: &Config{Issuer: []string{"corp"}, Cache: 64}}
	w.corp = issuertest.Start(t)
	w.corp.Now = w.Now
	client, err := fetch.New(fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: w.corp.Roots(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	set, err := issuer.New(issuer.Env{Now: w.Now, Fetch: client}, issuer.Settings{
		Name: "corp", URL: w.corp.URL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	env := w.Env()
	env.Issuers = set
	if w.shield, err = w.config.Open(env); err != nil {
		t.Fatal(err)
	}
	return w, set
}

func TestRotationAndAFloodOfUnknownKids(t *testing.T) {
	attacktest.Rows(t, 41)
	w, _ := live(t)
	old := w.corp.Token(nil)
	w.accepts(old) // waits for the first fetch
	before := w.corp.Fetches()
	var all sync.WaitGroup
	for caller := range 10 {
		all.Go(func() {
			for n := range 100 {
				_, err := w.ask(w.corp.Sign(map[string]any{"kid": fmt.Sprint("k", caller, "-", n)}, w.corp.Claims(nil)))
				wantCode(t, "an unknown kid", err, shield.InvalidCredential)
			}
		})
	}
	all.Wait()
	if got := w.corp.Fetches() - before; got != 1 {
		t.Errorf("1,000 unknown kids caused %d fetches", got)
	}
	w.corp.Rotate()
	w.refuses("a new key within the cool-down", w.corp.Token(nil), shield.InvalidCredential)
	w.Advance(issuer.DefaultCoolDown)
	w.accepts(w.corp.Token(nil))
	w.refuses("a remembered token whose key was withdrawn", old, shield.InvalidCredential)
}

func TestWithoutTheIssuerKeysServeUntilTheirLimit(t *testing.T) {
	attacktest.Rows(t, 42)
	w, set := live(t)
	w.accepts(w.corp.Token(nil))
	w.corp.Answer(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	if err := set.Refresh(t.Context()); err == nil {
		t.Fatal("a 502 was taken for keys")
	}
	w.Advance(issuer.DefaultKeysMaxAge - time.Minute)
	token := w.corp.Token(nil)
	w.accepts(token)
	w.Advance(2 * time.Minute)
	for _, token := range []string{token, w.corp.Token(nil)} { // remembered, and new
		if id, err := w.ask(token); id != nil || err == nil || isRefusal(err) {
			t.Errorf("with keys that are too old: %v, %v", id, err)
		}
	}
	w.corp.Answer(nil)
	w.Advance(issuer.DefaultCoolDown)
	w.accepts(token)
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*shield.Refusal](err)
	return ok
}

func TestReadmeShowsTheSettings(t *testing.T) {
	settings := reflect.TypeFor[Config]()
	for i := range settings.NumField() {
		tag := settings.Field(i).Tag
		if tag == "" {
			continue // not a setting
		}
		if row := fmt.Sprintf("| `%s` | %s |", tag.Get("yaml"), tag.Get("doc")); !strings.Contains(readme, row) {
			t.Errorf("the README lacks the row\n%s", row)
		}
	}
}
