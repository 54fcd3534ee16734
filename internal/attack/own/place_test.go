package own

import (
	"fmt"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/all"
)

// TestWaysInAreBounded: combinations of combinations are tried up to a bound, and the report says where it was reached.
func TestWaysInAreBounded(t *testing.T) {
	one := config.Shield{Any: []config.Shield{{Kind: "api_key"}, {Kind: "hmac"}, {Kind: "mtls"}}}
	many := config.Shield{}
	for range 6 {
		many.All = append(many.All, config.Part{Shield: one})
	}
	for name, c := range map[string]struct {
		shield config.Shield
		ways   int
		more   bool
	}{
		"few":  {one, 3, false},
		"many": {many, maxWays, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &place{Resolved: config.Resolved{Pattern: "GET /v1/orders"}}
			p.ways, p.more = waysOf(all.Kinds(), &c.shield)
			notes := unexplored([]*place{p})
			if len(p.ways) != c.ways || p.more != c.more || (len(notes) == 1) != c.more || c.more && !strings.Contains(notes[0], fmt.Sprint(p.Pattern, " has more than 256 ways in")) {
				t.Errorf("%d ways, more: %t, notes %q", len(p.ways), p.more, notes)
			}
		})
	}
}
