package e2e

import (
	"testing"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/shield"
)

// tryAttacks sends every attack of a kind that a request can express. answers says
// what comes back where an earlier step than the shield is the first to object.
func tryAttacks(t *testing.T, g *harness.Gateway, c shield.Credential, method, target, body string, answers map[string]expected) {
	t.Helper()
	for _, attack := range g.Kind(c.Kind).Attacks {
		if attack.Change == nil && attack.Repeat == 0 {
			continue
		}
		t.Run(attack.Name, func(t *testing.T) {
			g.T = t
			r := g.Request(method, target, body)
			if err := g.Signer(c).Sign(r); err != nil {
				t.Fatal(err)
			}
			if attack.Change != nil {
				if err := attack.Change(r); err != nil {
					t.Fatal(err)
				}
			}
			want := expected{attack.Status, attack.Code}
			if want.status == 0 {
				want.status = attack.Code.Status()
			}
			if other, ok := answers[attack.Name]; ok {
				want = other
			}
			if attack.Repeat > 0 {
				g.Accepted(g.Do(r))
			}
			for range attack.Repeat {
				again := r.Clone(t.Context())
				again.Body = harness.Body(body)
				g.Refused(g.Do(again), want.status, want.code)
			}
			if attack.Repeat > 0 {
				return
			}
			g.Refused(g.Do(r), want.status, want.code)
		})
	}
	g.T = t
}

// expected is an answer.
type expected struct {
	status int
	code   shield.Code
}
