package alert_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// fires counts the incidents of one rule.
func fires(r alert.Rule, events func(see func(*audit.Event))) (all []alert.Incident) {
	e := alert.NewEngine([]alert.Kind{r.Kind()}, func(i alert.Incident) {
		if !i.Ended {
			all = append(all, i)
		}
	}, nil)
	events(e.See)
	return all
}

func TestARuleFiresWithOneMoreThanItSaysWithinItsTime(t *testing.T) {
	rule := alert.Rule{
		Name: "own", Severity: alert.Low, When: alert.When{Codes: []string{"invalid_credential"}}, Per: alert.PerNetwork, Most: 20, Over: 5 * time.Minute, What: "wrong ones",
	}
	every := func(n int, apart time.Duration) func(func(*audit.Event)) {
		return func(see func(*audit.Event)) {
			for i := range n {
				see(request(i, began.Add(time.Duration(i)*apart), wrong))
			}
		}
	}
	for name, c := range map[string]struct {
		events func(func(*audit.Event))
		want   int
	}{
		"twenty at once":                {every(20, 0), 0},
		"one more":                      {every(21, 0), 1},
		"one more, just in time":        {every(21, 14*time.Second), 1},
		"a day of them, too slow":       {every(5000, 18*time.Second), 0},
		"twenty, and later twenty more": {func(see func(*audit.Event)) { every(20, 0)(see); see(request(1, began.Add(6*time.Minute), wrong)) }, 0},
		"one event for a hundred": {func(see func(*audit.Event)) {
			see(request(1, began, func(e *audit.Event) { wrong(e); e.Count = 100 }))
		}, 1},
		"what does not count": {func(see func(*audit.Event)) {
			for i := range 1000 {
				see(request(i, began, nil))
			}
		}, 0},
		"from as many networks": {func(see func(*audit.Event)) {
			for i := range 1000 {
				see(request(i, began, func(e *audit.Event) {
					wrong(e)
					e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
				}))
			}
		}, 0},
		"from one IPv6 network": {func(see func(*audit.Event)) {
			for i := range 21 {
				see(request(i, began, func(e *audit.Event) {
					wrong(e)
					e.Remote = netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%x]:1", i+1))
				}))
			}
		}, 1},
		"a time that goes back": {func(see func(*audit.Event)) {
			for i := range 21 {
				see(request(i, began.Add(-time.Duration(i)*time.Hour), wrong))
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fires(rule, c.events); len(got) != c.want {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}

func TestARuleLooksAtWhatItSays(t *testing.T) {
	for name, c := range map[string]struct {
		when alert.When
		per  alert.Per
		want bool
	}{
		"its class":              {alert.When{Class: audit.Request}, alert.PerClient, true},
		"another class":          {alert.When{Class: audit.Admin}, alert.PerClient, false},
		"its decision":           {alert.When{Decision: audit.Failed}, alert.PerClient, true},
		"another decision":       {alert.When{Decision: audit.Refused}, alert.PerClient, false},
		"its API":                {alert.When{API: "orders"}, alert.PerAPI, true},
		"another API":            {alert.When{API: "bills"}, alert.PerAPI, false},
		"its endpoint":           {alert.When{Endpoint: "GET /v1/orders/{id}"}, alert.PerEndpoint, true},
		"another endpoint":       {alert.When{Endpoint: "GET /v1/orders"}, alert.PerEndpoint, false},
		"its method":             {alert.When{Method: "GET"}, alert.PerCredential, true},
		"another method":         {alert.When{Method: "POST"}, alert.PerCredential, false},
		"its status":             {alert.When{Status: alert.Statuses{Least: 500, Most: 599}}, alert.PerNetwork, true},
		"another status":         {alert.When{Status: alert.Statuses{Least: 400, Most: 499}}, alert.PerNetwork, false},
		"its code":               {alert.When{Codes: []string{"upstream_failed", "upstream_timeout"}}, alert.PerNetwork, true},
		"another code":           {alert.When{Codes: []string{"upstream_timeout"}}, alert.PerNetwork, false},
		"for whom nobody is":     {alert.When{Class: audit.Request}, alert.PerUser, false},
		"several things at once": {alert.When{Class: audit.Request, API: "orders", Method: "GET", Status: alert.Statuses{Least: 502, Most: 502}}, alert.PerClient, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := fires(alert.Rule{Name: "own", When: c.when, Per: c.per, Over: time.Minute, What: "it was so"}, func(see func(*audit.Event)) {
				see(request(1, began, func(e *audit.Event) { e.Decision, e.Code, e.Status = audit.Failed, "upstream_failed", 502 }))
			})
			if (len(got) == 1) != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestARuleMayCountDifferentOnes(t *testing.T) {
	rule := alert.Rule{Name: "own", When: alert.When{Class: audit.Request}, Per: alert.PerClient, Different: alert.Paths, Most: 50, Over: time.Hour, What: "paths"}
	for paths, want := range map[int]int{1: 0, 40: 0, 70: 1} {
		got := fires(rule, func(see func(*audit.Event)) {
			for i := range 1000 {
				see(request(i, began.Add(time.Duration(i)*time.Second), func(e *audit.Event) { e.Path = fmt.Sprint("/v1/orders/", i%paths) }))
			}
		})
		if len(got) != want || want > 0 && !strings.Contains(got[0].What, "paths within one hour") {
			t.Errorf("%d different paths: %+v", paths, got)
		}
	}
}

func TestAClaimedIdentityIsNotCountedAsAProvedOne(t *testing.T) {
	rule := alert.Rule{Name: "own", When: alert.When{Class: audit.Request}, Per: alert.PerClient, Most: 5, Over: time.Hour, What: "requests"}
	for proved, want := range map[bool]int{true: 1, false: 0} {
		got := fires(rule, func(see func(*audit.Event)) {
			for i := range 10 {
				see(request(i, began, func(e *audit.Event) { e.Proved = proved }))
			}
		})
		if len(got) != want {
			t.Errorf("proved %t: %+v", proved, got)
		}
	}
}
