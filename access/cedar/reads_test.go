package cedar_test

import (
	"testing"

	"pavise.dev/pavise/shield"
)

func TestADeciderSaysWhatItLooksAt(t *testing.T) {
	for condition, want := range map[string]shield.Reads{
		`principal.client == "shop"`:                                   0,
		`context.body.n > 1`:                                           shield.ReadsBody | shield.ReadsHeader,
		`context.query has q`:                                          shield.ReadsQuery,
		`context.address.isInRange(ip("192.0.2.0/24"))`:                shield.ReadsAddress,
		`principal.scopes.contains("a")`:                               shield.ReadsToken,
		`principal.attributes.level > 3`:                               shield.ReadsToken,
		`context == {"method": "GET"}`:                                 shield.ReadsInput | shield.ReadsAddress,
		`context.time < datetime("2027-01-01") && context.host == "x"`: 0,
		`Client::"shop".scopes.contains("a")`:                          shield.ReadsToken,
	} {
		if got := compile(t, condition).Reads(); got != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
}
