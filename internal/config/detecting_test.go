package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
)

const watched = `hosts: {api.example.com: {certificate: local}}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    shield: {public: for a test}
    endpoints:
      GET /v1/orders/{id}: {scopes: any}
alerts: ALERTS
scopes: {}
`

func parseAlerts(alerts string) (*config.File, error) {
	return parse(strings.Replace(watched, "ALERTS", alerts, 1))
}

// hints are those of all problems.
func hints(err error) (all string) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			all += p.Hint + "\n"
		}
	}
	return all
}

func TestDetectionsThatCannotWorkAreRefused(t *testing.T) {
	rule := func(rest string) string { return "{rules: {own: {" + rest + "}}}" }
	const sound = "per: network, more_than: 20, within: 5m, means: it is"
	for name, c := range map[string]struct{ alerts, want, hint string }{
		"nothing said":                        {"{detections: on}", "", ""},
		"off":                                 {"{detections: off}", "", ""},
		"neither on nor off":                  {"{detections: maybe}", `"maybe" is not accepted`, ""},
		"one off":                             {"{off: [guessing]}", "", ""},
		"one that is not there off":           {"{off: gessing}", `there is no detection "gessing"`, "did you mean guessing?"},
		"a threshold":                         {"{thresholds: {guessing: 60}}", "", ""},
		"a threshold of none":                 {"{thresholds: {gessing: 60}}", `there is no detection "gessing"`, "did you mean guessing?"},
		"a threshold where is none":           {"{thresholds: {honeypot: 60}}", "has no threshold", "name it in off"},
		"a threshold below":                   {"{thresholds: {guessing: 0}}", "0 is no threshold", "write 1 to"},
		"a threshold of different":            {"{thresholds: {endpoint_scan: 301}}", "301 is no threshold", "write 1 to 300"},
		"a rule":                              {rule(sound + ", when: {code: invalid_credential}"), "", ""},
		"a rule of everything":                {rule(sound + ", when: {}"), "every event would count", "class: request"},
		"a rule without a time":               {rule("per: network, more_than: 2, means: it is, when: {class: request}"), "within is missing", ""},
		"a misspelled code":                   {rule(sound + ", when: {code: [invalid_credentials]}"), `no event has the code "invalid_credentials"`, "did you mean invalid_credential?"},
		"a code of somebody's own":            {rule(sound + ", when: {code: [tariff_exceeded]}"), "", ""},
		"an act":                              {rule(sound + ", when: {code: client.disable}"), "", ""},
		"a misspelled API":                    {rule(sound + ", when: {api: order}"), `there is no API "order"`, "did you mean orders?"},
		"a misspelled endpoint":               {rule(sound + ", when: {endpoint: 'GET /v1/order/{id}'}"), "there is no endpoint", "did you mean GET /v1/orders/{id}?"},
		"an endpoint":                         {rule(sound + ", when: {endpoint: 'GET /v1/orders/{id}', api: orders}"), "", ""},
		"statuses":                            {rule(sound + ", when: {status: '>=500'}"), "", ""},
		"statuses backwards":                  {rule(sound + ", when: {status: 499-400}"), "no status is in 499-400", "the lower one first"},
		"what is no status":                   {rule(sound + ", when: {status: '>=5xx'}"), "has not the form", "write '404'"},
		"different":                           {rule(sound + ", different: path, when: {class: request}"), "", ""},
		"different of the same":               {rule(sound + ", different: network, when: {class: request}"), "each network has one network", ""},
		"too many different":                  {rule("per: client, different: path, more_than: 301, within: 5m, means: it is, when: {class: request}"), "cannot be told apart", "at most 300"},
		"the name of one of ours":             {"{rules: {guessing: {" + sound + ", when: {class: request}}}}", "a detection of ours has this name", "another name"},
		"a name with a space":                 {"{rules: {my rule: {" + sound + ", when: {class: request}}}}", "has not the form", "small letters"},
		"an own one that is off":              {"{off: own, rules: {own: {" + sound + ", when: {class: request}}}}", "", ""},
		"a setting that is unknown":           {rule(sound + ", when: {class: request, colour: red}"), `unknown setting "colour"`, ""},
		"acts by actor":                       {rule("per: actor, more_than: 20, within: 5m, means: it is, when: {class: admin}"), "", ""},
		"acts by client":                      {rule("per: client, more_than: 20, within: 5m, means: it is, when: {class: admin}"), "events of the class admin have no client", "per: target"},
		"requests by actor":                   {rule("per: actor, more_than: 20, within: 5m, means: it is, when: {class: request}"), "events of the class request have no actor", "per: target"},
		"events of detections":                {rule(sound + ", when: {class: detection}"), `"detection" is not accepted`, ""},
		"a response":                          {"{respond: {guessing: {block: 1h}}}", "", ""},
		"a response to whom none can prove":   {"{respond: {token_tampering: {suspend: 1h}}}", "is about networks, and what raises it never proves a credential", "write {block: 1h}"},
		"a sign-in after what is a network's": {"{respond: {guessing: {step_up: 1h}}}", "it would never act", "write {block: 1h}"},
		"a credential that was only named":    {"{respond: {credential_attacked: {suspend: 1h}}}", "it would never act", "let alerts.notify tell somebody"},
		"a network of what has none":          {"{respond: {unusual_volume: {block: 1h}}}", "none would ever be blocked", "write {suspend: 1h}"},
		"a response to a service that fails":  {"{respond: {error_rate: {block: 1h}}}", "is about endpoints", "by itself"},
		"a copy":                              {"{respond: {replay: {suspend: 1h}}}", "it would never act", "write {block: 1h}"},
		"what is a credential's":              {"{respond: {many_networks: {suspend: 1h}, mass_reading: {step_up: 1h}, injection_burst: {suspend: 1h, block: 1h}}}", "", ""},
		"an own one of a network":             {"{respond: {own: {block: 1h, suspend: 1h}}, rules: {own: {per: network, more_than: 20, within: 5m, means: it is, when: {class: request}}}}", "it would never act", "write {block: 1h}"},
		"an own one of acts":                  {"{respond: {own: {block: 1h}}, rules: {own: {per: actor, more_than: 20, within: 5m, means: it is, when: {class: admin}}}}", "none would ever be blocked", "by itself"},
		"a response to none":                  {"{respond: {gessing: {block: 1h}}}", `there is no detection "gessing"`, "did you mean guessing?"},
		"a response to an own one":            {"{respond: {own: {block: 1h}}, rules: {own: {" + sound + ", when: {class: request}}}}", "", ""},
		"counted for what is not it":          {rule("per: tenant, more_than: 20, within: 5m, means: it is, when: {class: request}"), `"tenant" is not accepted`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseAlerts(c.alerts)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(hints(err), c.hint)) {
				t.Errorf("%v, want %q with the hint %q", err, c.want, c.hint)
			}
			if err != nil && !strings.Contains(err.Error(), "pavise.yaml:9:") {
				t.Errorf("%v does not say where", err)
			}
		})
	}
}

func namesOf(kinds []alert.Kind) (all []string) {
	for _, k := range kinds {
		all = append(all, k.Name)
	}
	return all
}

func TestKindsAreOursWithoutThoseThatAreOffAndTheOperatorsOwn(t *testing.T) {
	f, err := parseAlerts("{off: [honeypot, b], thresholds: {guessing: 60}, rules: {a: {when: {class: request}, per: api, more_than: 1, within: 1m, means: much}, b: {when: {class: admin}, per: actor, more_than: 1, within: 1m, means: much}}}")
	if err != nil {
		t.Fatal(err)
	}
	kinds := f.Alerts.Kinds()
	all := namesOf(kinds)
	if slices.Contains(all, "honeypot") || slices.Contains(all, "b") || !slices.Contains(all, "guessing") || all[len(all)-1] != "a" || len(all) != len(alert.Detections()) {
		t.Errorf("%q", all)
	}
	if i := slices.Index(all, "guessing"); kinds[i].Most != 60 {
		t.Errorf("guessing fires above %d", kinds[i].Most)
	}
	if f, err = parseAlerts("{detections: off}"); err != nil || len(f.Alerts.Kinds()) != 0 {
		t.Errorf("%v: %q", err, namesOf(f.Alerts.Kinds()))
	}
}

func TestAFileOfRulesIsHeldToTheConfiguration(t *testing.T) {
	beside, err := parseAlerts("{detections: on}")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for text, want := range map[string]string{
		"rules:\n  own: {when: {api: orders}, per: client, more_than: 5, within: 1m, means: much}\n":   "",
		"rules:\n  own: {when: {api: invoices}, per: client, more_than: 5, within: 1m, means: much}\n": `2:21: rules.own.when.api: there is no API "invoices"`,
		"rule: {}\n": `1:1: rule: unknown setting "rule"`,
		"":           "the file is empty",
	} {
		name := filepath.Join(dir, "rules.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := config.LoadDetecting(name, beside)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && len(d.Rules) != 1 {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := config.LoadDetecting(filepath.Join(dir, "none"), beside); err == nil {
		t.Error("a file that is not there is read")
	}
}

// FuzzDetecting: whatever a file of rules holds, it is read or refused with a place, and what is
// read makes detections that run.
func FuzzDetecting(f *testing.F) {
	f.Add("rules:\n  own: {when: {code: [denied], status: '>=400'}, per: network, more_than: 5, within: 1m, means: much}\n")
	f.Add("off: guessing\nthresholds: {guessing: 5}\n")
	f.Add("detections: off\n")
	beside, err := parseAlerts("{detections: on}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := config.ParseDetecting(config.Source{Name: "rules.yaml", Text: []byte(text)}, beside)
		if err == nil {
			alert.NewEngine(d.Kinds(), func(alert.Incident) {}, nil)
		} else if !strings.Contains(err.Error(), "rules.yaml:") {
			t.Errorf("%v does not say where", err)
		}
	})
}
