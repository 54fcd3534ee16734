package pavise_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/shield"
)

// spent is a store in which everything was used up before.
type spent struct{}

func (spent) Consume(context.Context, []shield.Once) error {
	return shield.Refuse(shield.ReplayedRequest, "used before")
}

func TestChallengesOfTheGuard(t *testing.T) {
	bound := func(scheme string, once bool, certificate string) *shield.Identity {
		id := shop()
		id.Scheme, id.Confirm.Certificate = scheme, certificate
		if once {
			id.Once = []shield.Once{{Space: "s"}}
		}
		return id
	}
	refusal := shield.Refuse(shield.InvalidCredential, "x").With(`Bearer realm="a"`, `DPoP`, `Basic realm="b"`)
	for name, tc := range map[string]struct {
		says     says
		metadata string
		want     []string
	}{
		"a shield's own": {says: says{err: refusal}, want: []string{`Bearer realm="a"`, `DPoP`, `Basic realm="b"`}},
		"with metadata on the host": {says: says{err: refusal}, metadata: "/.well-known/oauth-protected-resource", want: []string{
			`Bearer realm="a", resource_metadata="https://api.test/.well-known/oauth-protected-resource"`,
			`DPoP resource_metadata="https://api.test/.well-known/oauth-protected-resource"`, `Basic realm="b"`,
		}},
		"with metadata elsewhere": {says: says{err: shield.Refuse(shield.InvalidCredential, "x").With(`Bearer realm="a"`)}, metadata: "https://x.example/m", want: []string{
			`Bearer realm="a", resource_metadata="https://x.example/m"`,
		}},
		"metadata makes no challenge": {says: says{err: shield.Refuse(shield.InvalidCredential, "x")}, metadata: "/m"},
		"a proof used before":         {says: says{id: bound("DPoP", true, "")}, want: []string{`DPoP error="invalid_dpop_proof", error_description="the proof was used before: make one for each request"`}},
		"a nonce used before":         {says: says{id: bound("", true, "")}},
		"another certificate":         {says: says{id: bound("DPoP", false, "thumb")}, want: []string{`DPoP error="invalid_token", error_description="bound to another certificate"`}},
		"another key's certificate":   {says: says{id: bound("", false, "thumb")}},
	} {
		events := &sink{}
		guard := one(t, events, tc.says, func(p *pavise.Policy) {
			p.Once = spent{}
			p.APIs[0].Metadata = tc.metadata
		})
		w, _ := send(t, guard, events, get("/v1/orders/7"), func(http.ResponseWriter, *http.Request) { t.Errorf("%s: let through", name) })
		if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
