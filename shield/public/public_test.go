package public

import (
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

func TestConformance(t *testing.T) {
	shieldtest.Run(t, Kind(), shieldtest.Fixture{
		Prepare: func(testing.TB, *shieldtest.World) (shield.Config, shield.Credential) {
			return &Config{Reason: "load-balancer probe"}, shield.Credential{}
		},
	})
}

func TestReasonIsRequired(t *testing.T) {
	tests := []struct {
		name, reason string
		good         bool
	}{
		{"a sentence", "load-balancer probe", true},
		{"five letters", "probe", true},
		{"another alphabet", "проба", true},
		{"none", "", false},
		{"four letters", "test", false},
		{"blanks around four letters", "   test   ", false},
		{"marks only", "-------", false},
		{"two lines", "load\nbalancer probe", false},
		{"too long", strings.Repeat("because ", 30), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Kind().Config().(*Config)
			if err := c.SetScalar(test.reason); err != nil {
				t.Fatal(err)
			}
			if problems := c.Validate(); (len(problems) == 0) != test.good {
				t.Errorf("problems %v", problems)
			}
			if _, err := c.Open(shield.Env{}); (err == nil) != test.good {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestIdentityIsNobody(t *testing.T) {
	s, err := (&Config{Reason: "load-balancer probe"}).Open(shield.Env{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Verify(httptest.NewRequest("GET", "/health", nil))
	if err != nil {
		t.Fatal(err)
	}
	if id.Client != "" || id.User != "" || id.Issuer != "" || id.Subject != "" || id.CredentialID != "" {
		t.Errorf("the identity names somebody: %+v", id)
	}
	if id.Scopes == nil || len(id.Scopes) != 0 {
		t.Errorf("scopes %#v, want empty and not nil", id.Scopes)
	}
}
