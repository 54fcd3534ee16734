package pavise_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// untouched fails the test if the guard counts, uses up or records anything.
type untouched struct{ t *testing.T }

func (u untouched) Take(string, limit.Rate, int) (limit.State, error) {
	u.t.Error("a rate was counted")
	return limit.State{Allowed: true}, nil
}

func (u untouched) Consume(context.Context, []shield.Once) error {
	u.t.Error("a claim was used up")
	return nil
}

func (u untouched) Blocked(string, netip.Addr) time.Duration { return 0 }
func (u untouched) Wrong(string, netip.Addr)                 { u.t.Error("a wrong try was counted") }

func (u untouched) Right(string, netip.Addr) { u.t.Error("a right try was counted") }

func all(t *testing.T, parts ...shield.Part) shield.Shield {
	t.Helper()
	s, err := shield.All(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func anyOf(t *testing.T, shields ...shield.Shield) shield.Shield {
	t.Helper()
	s, err := shield.Any(shields...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// as returns shop with changes.
func as(change func(*shield.Identity)) *shield.Identity {
	id := shop()
	change(id)
	return id
}

func TestDryJudgesAsTheGuardAnswersAndLeavesNothing(t *testing.T) {
	absent := says{err: &shield.Refusal{Code: shield.Absent}}
	foreign := says{err: shield.Refuse(shield.Foreign, "of another issuer")}
	good := says{id: as(func(id *shield.Identity) { id.Once = []shield.Once{{Space: "s"}} })}
	bare := says{id: as(func(id *shield.Identity) { id.Scopes = nil })}
	poor := says{id: as(func(id *shield.Identity) { id.Scopes = shield.Scopes{"other"} })}
	bound := says{id: as(func(id *shield.Identity) { id.Confirm.Certificate = "thumbprint" })}
	boundPoor := says{id: as(func(id *shield.Identity) { id.Confirm.Certificate, id.Scopes = "thumbprint", nil })}
	for name, test := range map[string]struct {
		shield  shield.Shield
		status  int
		code    shield.Code
		missing string
		lacks   string
		proved  bool
	}{
		"accepted":                          {good, 200, "", "[]", "[]", true},
		"nothing was there":                 {absent, 401, shield.MissingCredential, "[]", "[]", false},
		"somebody else's":                   {foreign, 401, shield.InvalidCredential, "[]", "[]", false},
		"wrong":                             {says{err: shield.Refuse(shield.ExpiredCredential, "over")}, 401, shield.ExpiredCredential, "[]", "[]", false},
		"undecided":                         {says{err: errors.New("the store is away")}, 503, shield.Undecided, "[]", "[]", false},
		"too old to decide":                 {says{err: shield.ErrStale}, 503, shield.StalePolicy, "[]", "[]", false},
		"scopes missing":                    {poor, 403, shield.InsufficientScope, "[orders:read]", "[]", true},
		"bound to a certificate":            {bound, 401, shield.UnboundCredential, "[]", "[]", true},
		"bound, and scopes missing":         {boundPoor, 401, shield.UnboundCredential, "[orders:read]", "[]", true},
		"any, the second":                   {anyOf(t, absent, good), 200, "", "[]", "[]", true},
		"any, nobody's":                     {anyOf(t, absent, foreign), 401, shield.InvalidCredential, "[]", "[]", false},
		"all there":                         {all(t, shield.Part{Shield: good}, shield.Part{Shield: bare}), 200, "", "[]", "[]", true},
		"all but one":                       {all(t, shield.Part{Shield: good}, shield.Part{Shield: absent}), 401, shield.MissingCredential, "[]", "[[1]]", true},
		"all but the first, which has none": {all(t, shield.Part{Shield: absent}, shield.Part{Shield: bare}), 401, shield.MissingCredential, "[]", "[[0]]", true},
		"all but one, and scopes missing":   {all(t, shield.Part{Shield: poor}, shield.Part{Shield: absent}, shield.Part{Shield: foreign}), 401, shield.MissingCredential, "[orders:read]", "[[1] [2]]", true},
		"all of nothing":                    {all(t, shield.Part{Shield: absent}, shield.Part{Shield: foreign}), 401, shield.MissingCredential, "[]", "[]", false},
		"any of all of any": {
			anyOf(t, absent, all(t, shield.Part{Shield: anyOf(t, absent, good)}, shield.Part{Shield: anyOf(t, absent, foreign)})),
			401, shield.InvalidCredential, "[]", "[[1 1]]", true,
		},
		"another client's": {
			all(t, shield.Part{Shield: good}, shield.Part{Shield: says{id: as(func(id *shield.Identity) { id.Client = "thief" })}}),
			403, shield.MixedIdentities, "[]", "[]", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &sink{}
			calm := untouched{t}
			guard := one(t, events, test.shield, func(p *pavise.Policy) {
				p.Limiter, p.Once, p.Tries = calm, calm, calm
				p.PerAddress = &limit.Limit{Name: "address", Rate: limit.Rate{Count: 1, Per: time.Minute}}
			})
			v := guard.Dry(get("/v1/orders/7"))
			status, code := 200, shield.Code("")
			if v.Refusal != nil {
				status, code = v.Refusal.HTTPStatus(), v.Refusal.Code
			}
			if status != test.status || code != test.code || fmt.Sprint(v.Missing) != test.missing || fmt.Sprint(v.Lacks) != test.lacks || (v.Identity != nil) != test.proved {
				t.Errorf("%d %s, missing %v, lacks %v, identity %+v", status, code, v.Missing, v.Lacks, v.Identity)
			}
			if v.API != "orders" || v.Endpoint != "GET /v1/orders/{id}" || (v.Refusal == nil) != (v.Step == "") {
				t.Errorf("%+v", v)
			}
			if events.begun != 0 || len(events.events) != 0 {
				t.Error("an event was left")
			}
			// What the guard answers to the same request, made.
			events = &sink{}
			made := one(t, events, test.shield, func(p *pavise.Policy) { p.Once = &consumed{} })
			w, event := send(t, made, events, get("/v1/orders/7"), nil)
			if w.Code != test.status || event.Code != string(test.code) {
				t.Errorf("the guard answers %d %s", w.Code, event.Code)
			}
		})
	}
}

func TestDryFindsNoEndpointWhereThereIsNone(t *testing.T) {
	guard := one(t, &sink{}, says{id: shop()}, nil)
	elsewhere := get("/v1/orders/7")
	elsewhere.Host = "other.test"
	post := get("/v1/orders/7")
	post.Method = http.MethodPost
	for code, r := range map[shield.Code]*http.Request{shield.UnknownHost: elsewhere, shield.UnknownEndpoint: get("/nowhere")} {
		if v := guard.Dry(r); v.Refusal == nil || v.Refusal.Code != code || v.Endpoint != "" {
			t.Errorf("%s: %+v", code, v)
		}
	}
	if v := guard.Dry(post); v.Refusal == nil || v.Endpoint != "" {
		t.Errorf("a method that is not served: %+v", v)
	}
}

// looks is a shield that looks at everything that it may.
type looks struct{ saw *http.Request }

func (l *looks) Verify(r *http.Request) (*shield.Identity, error) {
	l.saw = r
	if _, err := shield.BodyOf(r); err != nil {
		return nil, err
	}
	return shop(), nil
}

func (l *looks) Needs() shield.Needs { return shield.Needs{Body: 10} }

func TestDryGivesShieldsWhatTheyReadAndChangesNothing(t *testing.T) {
	l := &looks{}
	guard := one(t, &sink{}, l, nil)
	r := get("/v1/orders/7")
	r.Header.Set("Authorization", "Bearer x")
	r.RemoteAddr = "192.0.2.1:1"
	if v := guard.Dry(r); v.Refusal != nil {
		t.Fatalf("%v", v.Refusal)
	}
	if l.saw.Header.Get("Authorization") != "Bearer x" || shield.RemoteAddr(l.saw) != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("the shield saw %v", l.saw)
	}
	if l.saw == r || r.Body != http.NoBody && r.Body != nil || !slices.Equal(r.Header["Authorization"], []string{"Bearer x"}) {
		t.Error("the request was changed")
	}
}
