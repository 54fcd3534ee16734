package advise_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki"
)

// described is an endpoint with what must be advised for it.
type described struct {
	Why      string         `yaml:"why"`
	Tokens   advise.Tokens  `yaml:"tokens"`
	Endpoint string         `yaml:"endpoint"`
	Answers  advise.Answers `yaml:"answers"`
	Want     struct {
		Shield  string            `yaml:"shield"`
		Reasons []string          `yaml:"reasons"`
		Layers  []string          `yaml:"layers"`
		Risks   []string          `yaml:"risks"`
		Refused map[string]string `yaml:"refused"` // shield → rule
	} `yaml:"want"`
	Never []string `yaml:"never"` // reasons that it must not give
}

func readDescribed(t *testing.T) map[string]described {
	t.Helper()
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]described{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d described
		if err := yaml.Load(text, &d, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".yaml")] = d
	}
	return all
}

// The endpoints of testdata get the shield that they should, for the reasons that they should, and
// not for others.
func TestDescribedEndpointsGetTheRightShieldForTheRightReason(t *testing.T) {
	all := readDescribed(t)
	if len(all) < 30 {
		t.Errorf("only %d endpoints are described", len(all))
	}
	for name, d := range all {
		t.Run(name, func(t *testing.T) {
			a := advise.Judge(advise.API{Tokens: d.Tokens}, advise.Endpoint{Pattern: d.Endpoint, Answers: d.Answers})
			if got := a.Shield.String(); got != d.Want.Shield {
				t.Errorf("%s: %s, want %s", d.Why, got, d.Want.Shield)
			}
			for _, want := range d.Want.Reasons {
				if !slices.ContainsFunc(a.Because, func(r advise.Reason) bool { return r.Rule == want && r.Why != "" && r.Source != "" }) {
					t.Errorf("the reason %s is not given: %v", want, a.Because)
				}
			}
			for _, never := range d.Never {
				if slices.ContainsFunc(a.Because, func(r advise.Reason) bool { return r.Rule == never }) {
					t.Errorf("the reason %s is given", never)
				}
			}
			for shield, rule := range d.Want.Refused {
				at := slices.IndexFunc(a.Refused, func(r advise.Refused) bool { return r.Shield == shield })
				if at < 0 || a.Refused[at].Rule != rule || a.Refused[at].Why == "" {
					t.Errorf("%s is not refused by %s: %v", shield, rule, a.Refused)
				}
			}
			for _, want := range d.Want.Layers {
				if !a.Has(want) {
					t.Errorf("the layer %s is not advised: %v", want, a.Layers)
				}
			}
			for _, want := range d.Want.Risks {
				if !slices.ContainsFunc(a.Risks, func(r advise.Risk) bool { return r.Rule == want && r.Do != "" }) {
					t.Errorf("the risk %s is not told: %v", want, a.Risks)
				}
			}
			if len(a.Costs) == 0 {
				t.Error("nothing is said of what it costs")
			}
		})
	}
}

// What cannot be undone need not move money: no reason says that it does.
func TestWhatCannotBeUndoneIsNotCalledMoney(t *testing.T) {
	answers := advise.Answers{Callers: []advise.Caller{advise.Partner, advise.Mobile}, Data: advise.Health, Harm: advise.Irreversible}
	plan := advise.Advise(advise.API{Name: "clinic"}, []advise.Endpoint{{Pattern: "DELETE /patients/{id}", Answers: answers}})
	for _, r := range plan.Advice[0].Because {
		if strings.HasPrefix(r.Why, "money moves") || strings.Contains(r.Why, "payments") {
			t.Errorf("%s: %s", r.Rule, r.Why)
		}
	}
	answers.Harm = advise.Money
	plan = advise.Advise(advise.API{Name: "clinic"}, []advise.Endpoint{{Pattern: "POST /bills", Answers: answers}})
	if !slices.ContainsFunc(plan.Advice[0].Because, func(r advise.Reason) bool { return strings.HasPrefix(r.Why, "money moves") }) {
		t.Errorf("where money moves it is not said: %+v", plan.Advice[0].Because)
	}
}

// What is written for each of them starts a gateway.
func TestWhatIsWrittenStarts(t *testing.T) {
	for name, d := range readDescribed(t) {
		t.Run(name, func(t *testing.T) {
			plan := advise.Advise(advise.API{Name: "shop", Tokens: d.Tokens}, []advise.Endpoint{{Pattern: d.Endpoint, Answers: d.Answers}})
			f := loaded(t, t.TempDir(), plan)
			start(t, f)
			live, err := app.Advised(f)
			if err != nil {
				t.Fatal(err)
			}
			if found := plan.Against(live); len(found.Weaker)+len(found.Absent)+len(found.Beyond) > 0 || found.Equal != 1 {
				t.Errorf("what was written is weaker than what was advised: %+v", found)
			}
		})
	}
}

// start opens an installation of a configuration, and ends it.
func start(t *testing.T, f *config.File) {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
	if app.WantsAuthority(f) {
		s, err := app.OpenState(t.Context(), f, app.StateOptions{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authority.Init(t.Context(), pki.Init{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	a, err := app.Open(t.Context(), f, app.Options{Now: now, Warn: func(err error) { t.Logf("warned: %v", err) }})
	if err != nil {
		t.Fatalf("%v\n%s", err, readAll(t, f.Path))
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func readAll(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every rule has a name, says why, and cites where it comes from.
func TestRulesSayWhyAndWhereFrom(t *testing.T) {
	for _, r := range advise.Rules() {
		if r.ID == "" || r.Why == "" || r.When == "" && r.About != "guess" {
			t.Errorf("%+v is not whole", r)
		}
		if (r.About == "shield" || r.About == "layer" || r.About == "unfit") && r.Source == "" {
			t.Errorf("%s cites nothing", r.ID)
		}
	}
}

// A record of the decision cannot be steered by what stands in a document.
func TestMarkdownCannotBeSteered(t *testing.T) {
	plan := advise.Advise(advise.API{Name: "x"}, []advise.Endpoint{{Pattern: "GET /v1/a|b`<script>", Answers: advise.Answers{Callers: []advise.Caller{advise.Service}, Data: advise.User, Harm: advise.Read}}})
	plan.Left = []advise.Left{{What: "GET /`x`", Why: "[click](javascript:1)\n# heading"}}
	text := plan.Markdown("2026-11-30")
	for _, bad := range []string{"<script>", "[click](", "\n# heading"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q stands in the record", bad)
		}
	}
	if !strings.Contains(text, "## GET /v1/a") || !strings.Contains(text, "**Refused.**") || !strings.Contains(text, "2026-11-30") {
		t.Errorf("the record is not whole:\n%s", text)
	}
}

// What was advised for administration, a key among others, is what pavise check complains of.
func TestAdministrationIsNotOpenedByAKeyAlone(t *testing.T) {
	for pattern, want := range map[string]string{"GET /admin/report": "jwt", "GET /v1/management/keys": "jwt", "GET /report": "{any: [jwt, api_key]}"} {
		e := advise.Endpoint{Pattern: pattern}
		e.Complete()
		a := advise.Judge(advise.API{}, e)
		if got := a.Shield.String(); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
}
