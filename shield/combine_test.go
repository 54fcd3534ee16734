package shield_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

// fixed is a shield with a fixed answer.
type fixed struct {
	id      *shield.Identity
	err     error
	accepts string
	asked   *int
}

func (f fixed) Verify(*http.Request) (*shield.Identity, error) {
	if f.asked != nil {
		*f.asked++
	}
	return f.id, f.err
}

func (f fixed) Needs() shield.Needs {
	if f.accepts == "" {
		return shield.Needs{}
	}
	return shield.Needs{Accepts: []string{f.accepts}}
}

func proves(client string) fixed {
	return fixed{id: &shield.Identity{Shield: "t", Client: client, CredentialID: "c-" + client}}
}

func refuses(code shield.Code, challenge ...string) fixed {
	return fixed{err: shield.Refuse(code, "detail").With(challenge...)}
}

func verify(t *testing.T, s shield.Shield, err error) (*shield.Identity, *shield.Refusal) {
	t.Helper()
	if err != nil {
		t.Fatalf("build the shield: %v", err)
	}
	id, err := s.Verify(httptest.NewRequest("GET", "/", nil))
	refusal, _ := errors.AsType[*shield.Refusal](err)
	return id, refusal
}

func TestAnyAcceptsTheFirstProof(t *testing.T) {
	asked := 0
	later := proves("b")
	later.asked = &asked
	s, err := shield.Any(refuses(shield.Absent), proves("a"), later)
	id, _ := verify(t, s, err)
	if id == nil || id.Client != "a" {
		t.Fatalf("identity %+v, want client a", id)
	}
	if asked != 0 {
		t.Error("a later shield was asked although an earlier one had proved the caller")
	}
}

func TestAnyStopsAtAWrongCredential(t *testing.T) {
	for _, wrong := range []shield.Code{shield.InvalidCredential, shield.RevokedCredential, shield.MalformedCredential} {
		s, err := shield.Any(refuses(wrong), proves("a"))
		id, refusal := verify(t, s, err)
		if id != nil || refusal == nil || refusal.Code != wrong {
			t.Errorf("%s then a good one: identity %v, refusal %v; want the refusal", wrong, id, refusal)
		}
	}
}

func TestAnyStopsWhenAShieldCannotDecide(t *testing.T) {
	s, err := shield.Any(fixed{err: shield.ErrStale}, proves("a"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Verify(httptest.NewRequest("GET", "/", nil))
	if id != nil || !errors.Is(err, shield.ErrStale) {
		t.Errorf("identity %v, error %v; want the error", id, err)
	}
}

func TestAnyTellsNothingThereFromNobodysCredential(t *testing.T) {
	s, err := shield.Any(refuses(shield.Absent, `Bearer realm="x"`), refuses(shield.Absent, "ApiKey", `bearer realm="y"`))
	_, refusal := verify(t, s, err)
	if refusal.Code != shield.Absent {
		t.Errorf("code %s, want absent", refusal.Code)
	}
	if want := []string{`Bearer realm="x"`, "ApiKey"}; !slices.Equal(refusal.Challenge, want) {
		t.Errorf("challenges %q, want %q: in order, each scheme once", refusal.Challenge, want)
	}
	s, err = shield.Any(refuses(shield.Absent), refuses(shield.Foreign))
	if _, refusal = verify(t, s, err); refusal.Code != shield.Foreign {
		t.Errorf("code %s, want foreign", refusal.Code)
	}
}

func TestAnyRefusesShieldsThatCannotBeToldApart(t *testing.T) {
	one, two := proves("a"), proves("b")
	one.accepts, two.accepts = "X-API-Key", "X-API-Key"
	if _, err := shield.Any(one, two); err == nil {
		t.Error("two shields that accept the same form were combined")
	}
	two.accepts = "Authorization: HMAC"
	if _, err := shield.Any(one, two); err != nil {
		t.Errorf("shields of different forms: %v", err)
	}
}

func TestAllDemandsEveryPart(t *testing.T) {
	s, err := shield.All(shield.Part{Shield: proves("a")}, shield.Part{Shield: refuses(shield.Absent, "HMAC")})
	_, refusal := verify(t, s, err)
	if refusal == nil || refusal.Code != shield.Absent || !slices.Equal(refusal.Challenge, []string{"HMAC"}) {
		t.Errorf("refusal %v, want absent with the challenge of the missing part", refusal)
	}
}

func TestAllFindsAWrongPartBehindAMissingOne(t *testing.T) {
	s, err := shield.All(shield.Part{Shield: refuses(shield.Absent)}, shield.Part{Shield: refuses(shield.BadSignature)})
	if _, refusal := verify(t, s, err); refusal.Code != shield.BadSignature {
		t.Errorf("code %s, want the wrong part's", refusal.Code)
	}
}

func TestAllRefusesMixedIdentities(t *testing.T) {
	tests := []struct {
		name  string
		parts []shield.Part
		mixed bool
	}{
		{"one client", []shield.Part{{Shield: proves("a")}, {Shield: proves("a")}}, false},
		{"two clients", []shield.Part{{Shield: proves("a")}, {Shield: proves("b")}}, true},
		{"another client as actor", []shield.Part{{Shield: proves("a")}, {Shield: proves("b"), Actor: true}}, false},
		{"nobody's credential", []shield.Part{{Shield: proves("a")}, {Shield: proves("")}}, true},
		{"nobody's credentials only", []shield.Part{{Shield: proves("")}, {Shield: proves("")}}, true},
		{"a third of another client", []shield.Part{{Shield: proves("a")}, {Shield: proves("a")}, {Shield: proves("b")}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := shield.All(test.parts...)
			id, refusal := verify(t, s, err)
			if mixed := refusal != nil && refusal.Code == shield.MixedIdentities; mixed != test.mixed {
				t.Errorf("identity %v, refusal %v; mixed should be %t", id, refusal, test.mixed)
			}
		})
	}
}

func TestAllIntersectsScopesAndTakesTheEarliestEnd(t *testing.T) {
	soon, late := time.Unix(100, 0), time.Unix(200, 0)
	first, second, third := proves("a"), proves("a"), proves("a")
	first.id.Scopes, first.id.Expires = shield.Scopes{"read", "write"}, late
	second.id.Scopes, second.id.Expires = shield.Scopes{"write", "pay"}, soon
	third.id.Scopes = nil // carries none at all: does not narrow
	s, err := shield.All(shield.Part{Shield: first}, shield.Part{Shield: second}, shield.Part{Shield: third})
	id, refusal := verify(t, s, err)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if !slices.Equal(id.Scopes, shield.Scopes{"write"}) || !id.Expires.Equal(soon) || len(id.With) != 2 {
		t.Errorf("scopes %v until %v with %d others; want [write] until %v with 2", id.Scopes, id.Expires, len(id.With), soon)
	}
	if !slices.Equal(first.id.Scopes, shield.Scopes{"read", "write"}) {
		t.Error("the shared identity of the first part was changed")
	}
	empty := proves("a")
	empty.id.Scopes = shield.Scopes{}
	s, err = shield.All(shield.Part{Shield: first}, shield.Part{Shield: empty})
	if id, _ = verify(t, s, err); len(id.Scopes) != 0 {
		t.Errorf("scopes %v with a part that carries zero scopes, want none", id.Scopes)
	}
}

func TestScopesWithinACeiling(t *testing.T) {
	held := shield.Scopes{"orders:read", "orders", "ordersx:read", "orders:", "pay.in", "admin"}
	tests := map[string]shield.Scopes{
		"orders:*":    {"orders:read"},
		"orders:read": {"orders:read"},
		"pay.*":       {"pay.in"},
		"ord*":        {}, // a prefix must end at a separator
		"*":           held,
		"":            {},
	}
	for ceiling, want := range tests {
		if got := held.Within(shield.Scopes{ceiling}); !slices.Equal(got, want) {
			t.Errorf("within %q: %v, want %v", ceiling, got, want)
		}
	}
}

// exposing is a shield whose credential stands in the URL.
type exposing struct{ fixed }

func (exposing) Exposed(*http.Request) *shield.Refusal {
	return shield.Refuse(shield.ExposedCredential, "detail")
}

func TestACredentialInTheURLIsSeenBeforeAnyProof(t *testing.T) {
	asked := 0
	good := proves("a")
	good.asked = &asked
	wrong := refuses(shield.BadSignature)
	for name, build := range map[string]func() (shield.Shield, error){
		"any": func() (shield.Shield, error) { return shield.Any(good, exposing{refuses(shield.Absent)}) },
		"all": func() (shield.Shield, error) {
			return shield.All(shield.Part{Shield: wrong}, shield.Part{Shield: exposing{proves("a")}})
		},
		"any of all": func() (shield.Shield, error) {
			all, err := shield.All(shield.Part{Shield: good}, shield.Part{Shield: exposing{proves("a")}})
			if err != nil {
				return nil, err
			}
			return shield.Any(good, all)
		},
	} {
		s, err := build()
		if _, refusal := verify(t, s, err); refusal == nil || refusal.Code != shield.ExposedCredential {
			t.Errorf("%s: %v", name, refusal)
		}
	}
	if asked != 0 {
		t.Errorf("a shield was asked %d times", asked)
	}
}
