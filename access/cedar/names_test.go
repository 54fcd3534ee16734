package cedar_test

import "testing"

func TestADeciderSaysWhatItLooksAt(t *testing.T) {
	for condition, want := range map[string][4]bool{
		`principal.client == "shop"`:                                   {},
		`context.body.n > 1`:                                           {0: true},
		`context.query has q`:                                          {1: true},
		`context.address.isInRange(ip("192.0.2.0/24"))`:                {2: true},
		`principal.scopes.contains("a")`:                               {3: true},
		`principal.attributes.level > 3`:                               {3: true},
		`context == {"method": "GET"}`:                                 {0: true, 1: true, 2: true},
		`context.time < datetime("2027-01-01") && context.host == "x"`: {},
		`Client::"shop".scopes.contains("a")`:                          {3: true},
	} {
		body, query, address, attributes := compile(t, condition).Names()
		if got := [4]bool{body, query, address, attributes}; got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}
