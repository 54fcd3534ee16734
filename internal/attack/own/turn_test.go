package own_test

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/client"
)

const simple = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local}}
apis:
  prices:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    endpoints: {GET /v1/prices: {scopes: [prices:read]}}
scopes: {prices:read: See prices}
`

// TestTheSecondRunIsToldWhoAttacks: by name, and since when; and it has its turn when the first one ends.
func TestTheSecondRunIsToldWhoAttacks(t *testing.T) {
	c := newClock()
	i := installOn(t, c, simple, nil)
	f := i.load(t, "pavise.yaml")
	open := func(by string) (*own.Run, error) {
		g := own.Gateway{File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), For: by}
		c.on(&g)
		return own.Open(t.Context(), g)
	}
	first, err := open("the schedule of web-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(""); !admin.IsUnderAttack(err) || !strings.Contains(err.Error(), "the schedule of web-1 attacks since "+c.Now().UTC().Format(time.RFC3339)) {
		t.Errorf("the second run: %v", err)
	}
	// The first one sleeps, and another begins: it notices, and none of it counts.
	c.add(client.TurnLife)
	second, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	report, err := attack.Run(t.Context(), first.Prober(), first.Plan(), attack.Options{})
	if err != nil || !strings.HasPrefix(report.Partial, "it ended after 0 of ") || !admin.IsUnderAttack(first.Lost()) {
		t.Errorf("the first one went on: %q, %v, %v", report.Partial, first.Lost(), err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Errorf("its late end: %v", err)
	}
	report, err = attack.Run(t.Context(), second.Prober(), second.Plan(), attack.Options{})
	if err != nil || report.Partial != "" || second.Lost() != nil || len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("the second one: %q, %v, %v", report.Partial, second.Lost(), err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	third, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
