package advise_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

// strengths is the order of layers' settings, the weakest first.
func layerLevel(l advise.Layer) int {
	switch {
	case l.Name == "":
		return 0
	case strings.Contains(l.Setting, "card"):
		return 3
	case strings.Contains(l.Setting, "report"):
		return 2
	}
	return 1
}

func judge(method string, a advise.Answers, tokens advise.Tokens) advise.Advice {
	return advise.Judge(advise.API{Tokens: tokens}, advise.Endpoint{Pattern: method + " /v1/things/{id}", Answers: a})
}

// subsets are all sets of callers but the empty one.
func subsets() (all [][]advise.Caller) {
	callers := advise.Callers()
	for bits := 1; bits < 1<<len(callers); bits++ {
		var one []advise.Caller
		for i, c := range callers {
			if bits&(1<<i) != 0 {
				one = append(one, c)
			}
		}
		all = append(all, one)
	}
	return all
}

// everyAnswer calls f for every answer that there is.
func everyAnswer(f func(advise.Answers)) {
	yes := true
	for _, callers := range subsets() {
		for _, data := range advise.DataKinds() {
			for _, harm := range advise.Harms() {
				f(advise.Answers{Callers: callers, Data: data, Harm: harm})
				if !slices.Contains(callers, advise.Webhook) {
					f(advise.Answers{Callers: callers, Data: data, Harm: harm, OnBehalf: &yes})
				}
			}
		}
	}
}

// Whatever is answered, the shield gives what the answers demand of each caller; where people's
// apps and services for people meet on one endpoint, and it cannot, the advice says so.
func TestShieldGivesWhatIsDemanded(t *testing.T) {
	split, all := 0, 0
	everyAnswer(func(answers advise.Answers) {
		all++
		a := judge("POST", answers, advise.Tokens{})
		if slices.ContainsFunc(a.Because, func(r advise.Reason) bool { return r.Rule == "split" }) {
			split++
			if len(answers.Callers) < 2 || answers.OnBehalf == nil {
				t.Errorf("%v: split for no reason", answers)
			}
			return
		}
		for _, c := range answers.Callers {
			alone := judge("POST", advise.Answers{Callers: []advise.Caller{c}, Data: answers.Data, Harm: answers.Harm, OnBehalf: answers.OnBehalf}, advise.Tokens{})
			if !alone.Shield.Gives().Has(alone.Demand) {
				t.Errorf("%s alone, %s, %s: %s gives %s, demanded is %s", c, answers.Data, answers.Harm, alone.Shield, alone.Shield.Gives(), alone.Demand)
			}
			if !slices.ContainsFunc(alternatives(a.Shield), func(s advise.Shield) bool { return s.Gives().Has(alone.Demand) }) {
				t.Errorf("%v, %s, %s: no part of %s gives what %s must (%s)", answers.Callers, answers.Data, answers.Harm, a.Shield, c, alone.Demand)
			}
		}
	})
	t.Logf("%d answers, %d of them want two endpoints", all, split)
}

func alternatives(s advise.Shield) []advise.Shield {
	if s.Kind == advise.Any {
		return s.Parts
	}
	return []advise.Shield{s}
}

// More harm and more delicate data never yield a weaker shield, fewer layers, or a higher rate.
func TestMoreAtStakeIsNeverWeaker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low, high := drawAnswers(t), advise.Answers{}
		high = low
		high.Data = rapid.SampledFrom(atLeast(advise.DataKinds(), low.Data)).Draw(t, "more data")
		high.Harm = rapid.SampledFrom(atLeast(advise.Harms(), low.Harm)).Draw(t, "more harm")
		method := rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method")
		a, b := judge(method, low, advise.Tokens{}), judge(method, high, advise.Tokens{})
		if !b.Shield.Gives().Has(a.Shield.Gives()) {
			t.Fatalf("%v: %s gives %s\n%v: %s gives only %s", low, a.Shield, a.Shield.Gives(), high, b.Shield, b.Shield.Gives())
		}
		if !b.Demand.Has(a.Demand) {
			t.Fatalf("%v demands %s, %v only %s", low, a.Demand, high, b.Demand)
		}
		for _, l := range a.Layers {
			if layerLevel(b.Layer(l.Name)) < layerLevel(l) {
				t.Fatalf("%v has %s: %s, %v only %v", low, l.Name, l.Setting, high, b.Layer(l.Name))
			}
		}
	})
}

// Another caller never makes what is demanded less, never lets one in by less than the endpoint
// demands of it, and of those of one family the one whose credential is less safe shows no less.
func TestMoreExposedCallersAreNeverLetInByLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := drawAnswers(t)
		many := few
		more := rapid.SampledFrom(advise.Callers()).Draw(t, "one more")
		if more == advise.Webhook && few.OnBehalf != nil {
			return
		}
		if !slices.Contains(few.Callers, more) {
			many.Callers = append(slices.Clone(few.Callers), more)
		}
		a, b := judge("POST", few, advise.Tokens{}), judge("POST", many, advise.Tokens{})
		if !b.Demand.Has(a.Demand) {
			t.Fatalf("%v demands %s, %v only %s", few, a.Demand, many, b.Demand)
		}
		if a.Public() != b.Public() {
			t.Fatalf("%v: %s, %v: %s", few, a.Shield, many, b.Shield)
		}
	})
	for _, family := range [][]advise.Caller{{advise.ThirdParty, advise.Mobile, advise.Browser}, {advise.Service, advise.Device}, {advise.Partner, advise.Webhook}} {
		for i := 1; i < len(family); i++ {
			for _, data := range advise.DataKinds() {
				for _, harm := range advise.Harms() {
					safer := judge("POST", advise.Answers{Callers: family[i-1 : i], Data: data, Harm: harm}, advise.Tokens{})
					other := judge("POST", advise.Answers{Callers: family[i : i+1], Data: data, Harm: harm}, advise.Tokens{})
					if !other.Shield.Gives().Has(safer.Shield.Gives()) {
						t.Errorf("%s data, %s: %s shows %s, %s only %s", data, harm, family[i-1], safer.Shield, family[i], other.Shield)
					}
				}
			}
		}
	}
}

func drawAnswers(t *rapid.T) advise.Answers {
	a := advise.Answers{
		Callers: rapid.SampledFrom(subsets()).Draw(t, "callers"),
		Data:    rapid.SampledFrom(advise.DataKinds()).Draw(t, "data"),
		Harm:    rapid.SampledFrom(advise.Harms()).Draw(t, "harm"),
	}
	if !slices.Contains(a.Callers, advise.Webhook) && rapid.Bool().Draw(t, "on behalf") {
		yes := true
		a.OnBehalf = &yes
	}
	return a
}

// atLeast are the words from one on; payment and health are alike.
func atLeast[T ~string](all []T, from T) []T {
	i := slices.Index(all, from)
	if from == T(advise.Health) {
		i--
	}
	return all[i:]
}

// An API key never stands alone before user data, whoever calls.
func TestNoAPIKeyAloneBeforeUserData(t *testing.T) {
	everyAnswer(func(answers advise.Answers) {
		if answers.Data == advise.PublicData || answers.Data == advise.Application {
			return
		}
		a := judge("GET", answers, advise.Tokens{})
		if a.Shield.Uses(advise.APIKey) || a.Public() {
			t.Errorf("%v: %s", answers, a.Shield)
		}
	})
}

// Every answer becomes a configuration that pavise check has nothing to say of, but which
// endpoints are public, and why.
func TestEveryAnswerBecomesAConfiguration(t *testing.T) {
	for _, tokens := range []advise.Tokens{{}, {Opaque: true}, {Issuer: "https://login.example.com"}} {
		for _, method := range []string{"GET", "POST"} {
			var endpoints []advise.Endpoint
			seen := map[string]bool{}
			everyAnswer(func(answers advise.Answers) {
				a := judge(method, answers, tokens)
				if key := fmt.Sprint(a.Shield, a.Layers, a.Limit, a.Scopes); !seen[key] {
					seen[key] = true
					endpoints = append(endpoints, advise.Endpoint{Pattern: fmt.Sprintf("%s /v1/e%d/{id}", method, len(endpoints)), Answers: answers})
				}
			})
			plan := advise.Advise(advise.API{Name: "shop", Tokens: tokens}, endpoints)
			loaded(t, t.TempDir(), plan)
		}
	}
}

// loaded writes the plan's configuration and reads it as pavise check does.
func loaded(t *testing.T, dir string, plan *advise.Plan) *config.File {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	text := plan.Configuration()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := app.Load(name)
	if err != nil {
		t.Fatalf("%v\n%.6000s", err, text)
	}
	if err := app.Check(file); err != nil {
		t.Fatalf("%v\n%.6000s", err, text)
	}
	for _, w := range file.Insecure() {
		if w.What != "anybody may call" {
			t.Errorf("%s is weakened: %s", w.Path, w.What)
		}
	}
	return file
}
