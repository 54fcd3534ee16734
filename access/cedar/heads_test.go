package cedar_test

import (
	"slices"
	"testing"

	"pavise.dev/pavise/access/cedar"
)

func heads(t *testing.T, text string) []cedar.Head {
	t.Helper()
	all, err := cedar.Heads([]cedar.File{{Name: "p.cedar", Text: text}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHeadsSayWhomAndWhatAPolicyIsAbout(t *testing.T) {
	all := heads(t, `@id("all")
permit(principal, action, resource);
permit(principal == User::"https://login.example.com#ann", action == Action::"GET", resource == Endpoint::"orders GET /v1/orders") when { context.method == "GET" };
forbid(principal in Client::"shop", action in [Action::"POST", Action::"PUT"], resource in API::"orders");
permit(principal in Tenant::"t1", action, resource is Endpoint);`)
	for i, want := range []struct {
		name                                  string
		line                                  int
		forbid, conditional, anybody, anyting bool
		people                                []string
	}{
		{"p.cedar#1 (all)", 1, false, false, true, true, nil},
		{"p.cedar#2", 3, false, true, false, false, []string{"https://login.example.com#ann"}},
		{"p.cedar#3", 4, true, false, false, false, nil},
		{"p.cedar#4", 5, false, false, false, false, nil},
	} {
		h := all[i]
		if h.Name != want.name || h.Forbid != want.forbid || h.Conditional != want.conditional || h.Anybody != want.anybody || h.Anything != want.anyting || !slices.Equal(h.People, want.people) {
			t.Errorf("%+v, want %+v", h, want)
		}
		if h.Line < want.line || h.Line > want.line+1 {
			t.Errorf("%s stands in line %d, want %d", h.Name, h.Line, want.line)
		}
	}
	for _, c := range []struct {
		head          int
		api, endpoint string
		want          bool
	}{
		{0, "orders", "GET /v1/orders", true},
		{1, "orders", "GET /v1/orders", true},
		{1, "orders", "GET /v1/others", false},
		{1, "orders", "POST /v1/orders", false},
		{2, "orders", "POST /v1/orders", true},
		{2, "bills", "POST /v1/orders", false},
		{2, "orders", "GET /v1/orders", false},
		{3, "bills", "GET /x", true},
	} {
		if got := all[c.head].About(c.api, c.endpoint); got != c.want {
			t.Errorf("%s about %s %s: %t", all[c.head].Name, c.api, c.endpoint, got)
		}
	}
	for _, c := range []struct {
		head           int
		client, tenant string
		want           bool
	}{
		{0, "shop", "", true},
		{1, "shop", "", false},
		{2, "shop", "", true},
		{2, "other", "", false},
		{3, "other", "t1", true},
		{3, "other", "t2", false},
		{3, "other", "", false},
	} {
		if got := all[c.head].LetsIn(c.client, c.tenant); got != c.want {
			t.Errorf("%s lets %s of %q in: %t", all[c.head].Name, c.client, c.tenant, got)
		}
	}
}

func TestAPolicyIsInTheShadowOfOneThatSaysMore(t *testing.T) {
	for _, c := range []struct {
		one, other string
		want       bool
	}{
		{`permit(principal, action, resource);`, `permit(principal == Client::"a", action, resource);`, true},
		{`permit(principal, action, resource);`, `permit(principal, action, resource) when { true };`, true},
		{`permit(principal, action, resource) when { true };`, `permit(principal == Client::"a", action, resource);`, false},
		{`permit(principal == Client::"a", action, resource);`, `permit(principal, action, resource);`, false},
		{`forbid(principal, action, resource);`, `permit(principal == Client::"a", action, resource);`, true},
		{`permit(principal, action, resource);`, `forbid(principal == Client::"a", action, resource);`, false},
		{`forbid(principal, action, resource);`, `forbid(principal, action, resource in API::"a");`, true},
		{`permit(principal in Client::"a", action, resource);`, `permit(principal == Client::"a", action, resource);`, true},
		{`permit(principal in Client::"a", action, resource);`, `permit(principal == Client::"b", action, resource);`, false},
		{`permit(principal, action in [Action::"GET", Action::"PUT"], resource);`, `permit(principal, action == Action::"GET", resource);`, true},
		{`permit(principal, action in [Action::"GET", Action::"PUT"], resource);`, `permit(principal, action in [Action::"GET", Action::"POST"], resource);`, false},
		{`permit(principal is User, action, resource);`, `permit(principal == User::"a", action, resource);`, true},
		{`permit(principal is User, action, resource);`, `permit(principal == Client::"a", action, resource);`, false},
		{`permit(principal is User in Client::"a", action, resource);`, `permit(principal is User, action, resource);`, false},
		{`permit(principal is User, action, resource);`, `permit(principal is User in Client::"a", action, resource);`, true},
		{`permit(principal in Client::"a", action, resource);`, `permit(principal is User in Client::"a", action, resource);`, true},
		{`permit(principal == Client::"a", action, resource);`, `permit(principal in Client::"a", action, resource);`, false},
	} {
		one, other := heads(t, c.one), heads(t, c.other)
		if got := one[0].Shadows(&other[0]); got != c.want {
			t.Errorf("%s shadows %s: %t", c.one, c.other, got)
		}
	}
	if _, err := cedar.Heads([]cedar.File{{Name: "p.cedar", Text: "permit("}}); err == nil {
		t.Error("what is no policy has a head")
	}
}
