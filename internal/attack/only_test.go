package attack_test

import (
	"errors"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attack"
)

// To look again at what was mended a case is named, as it stands in a report; or a rule, or a part of either.
func TestOnlyTheCasesThatAreNamedAreLeft(t *testing.T) {
	for pattern, want := range map[string]string{
		"a GET /v1/orders":          "a GET /v1/orders",
		"a*":                        "a GET /v1/orders, a GET /v1/orders/{id}",
		"*orders/*":                 "a GET /v1/orders/{id}, b PUT /v1/orders/{id}",
		"*":                         "a GET /v1/orders, a GET /v1/orders/{id}, b PUT /v1/orders/{id}",
		"no-credential":             "a GET /v1/orders, a GET /v1/orders/{id}, b PUT /v1/orders/{id}", // the rule of all
		"a GET /v1/order":           "",
		"c*":                        "",
		"*a":                        "",
		"a GET /v1/orders*orders":   "",
		"a GET /v1/orders|*b*{id}*": "a GET /v1/orders, b PUT /v1/orders/{id}",
	} {
		plan := &attack.Plan{Cases: []attack.Case{open("a GET /v1/orders", "/"), open("a GET /v1/orders/{id}", "/"), open("b PUT /v1/orders/{id}", "/")}}
		err := plan.Only(strings.Split(pattern, "|"))
		var left []string
		for _, c := range plan.Cases {
			left = append(left, c.ID)
		}
		if got := strings.Join(left, ", "); got != want || (err == nil) == (want == "") || err != nil && !errors.Is(err, attack.ErrNoCase) {
			t.Errorf("%s leaves %q, want %q: %v", pattern, got, want, err)
		}
	}
}

// What looks at what others left is left with them.
func TestWhatLooksAtOthersStaysWithThem(t *testing.T) {
	last := open("late", "/")
	last.Last = true
	plan := &attack.Plan{Cases: []attack.Case{open("a", "/"), open("b", "/"), last}}
	if err := plan.Only([]string{"b"}); err != nil || len(plan.Cases) != 2 || plan.Cases[1].ID != "late" {
		t.Errorf("%+v, %v", plan.Cases, err)
	}
	if err := plan.Only([]string{"late"}); !errors.Is(err, attack.ErrNoCase) {
		t.Errorf("by itself it is named: %v", err)
	}
}

func TestAPlanSaysWhatItLacksWhereNothingMayBeTried(t *testing.T) {
	writes, floods := open("a", "/"), open("b", "/")
	writes.Demands, floods.Demands = attack.Writes, attack.Writes|attack.Floods
	plan := &attack.Plan{Cases: []attack.Case{writes, floods}}
	if lacks := strings.Join(plan.Lacks(0).Words(), ","); lacks != "writes,floods" {
		t.Errorf("it lacks %s", lacks)
	}
	if lacks := plan.Lacks(attack.Writes); lacks != 0 {
		t.Errorf("one can be tried, and it lacks %v", lacks.Words())
	}
}

func TestEachDemandHasAWord(t *testing.T) {
	for _, word := range attack.DemandWords() {
		demand, err := attack.ParseDemand(word)
		if err != nil || len(demand.Words()) != 1 || demand.Words()[0] != word {
			t.Errorf("%s is read as %v, %v", word, demand.Words(), err)
		}
	}
	if _, err := attack.ParseDemand("everything"); err == nil {
		t.Error("a word that there is not is read")
	}
}
