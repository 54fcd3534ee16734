package openapi_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/check/openapi"
)

const deleted = "    delete:\n      operationId: dropOrder\n      security: []\n      responses: {4XX: {$ref: \"#/components/responses/Problem\"}}\n"

// withWaiver is the clean document with an operation that anybody may call, and a waiver in
// some place.
func withWaiver(t testing.TB, old, waiver string) string {
	t.Helper()
	text := strings.Replace(clean(t), "    get:\n      operationId: showOrder", deleted+"    get:\n      operationId: showOrder", 1)
	return strings.Replace(text, old, old+waiver, 1)
}

func TestAWaiverIsForWhereItStands(t *testing.T) {
	const waiver = `{rule: no-security, reason: drops are signed, until: "2026-11-30"}`
	for name, c := range map[string]struct {
		old, waiver string
		waived      bool
		further     string // rule that finds something more
	}{
		"none":                  {"", "", false, ""},
		"in the operation":      {"operationId: dropOrder", "\n      x-pavise-waive: " + waiver, true, ""},
		"in a list":             {"operationId: dropOrder", "\n      x-pavise-waive: [" + waiver + "]", true, ""},
		"above it":              {"paths:", "\n  x-pavise-waive: " + waiver, true, ""},
		"in the document":       {"openapi: 3.1.0", "\nx-pavise-waive: " + waiver, true, ""},
		"beside it":             {"operationId: showOrder", "\n      x-pavise-waive: " + waiver, false, "waiver-unused"},
		"of another rule":       {"operationId: dropOrder", "\n      x-pavise-waive: " + strings.Replace(waiver, "no-security", "basic-auth", 1), false, "waiver-unused"},
		"that is over":          {"operationId: dropOrder", "\n      x-pavise-waive: " + strings.Replace(waiver, "11-30", "11-29", 1), false, "waiver-over"},
		"without an end":        {"operationId: dropOrder", "\n      x-pavise-waive: {rule: no-security, reason: drops are signed}", false, "waiver-invalid"},
		"without a reason":      {"operationId: dropOrder", "\n      x-pavise-waive: {rule: no-security, until: \"2026-11-30\"}", false, "waiver-invalid"},
		"of no rule":            {"operationId: dropOrder", "\n      x-pavise-waive: " + strings.Replace(waiver, "no-security", "no-secrets", 1), false, "waiver-invalid"},
		"with a word of no use": {"operationId: dropOrder", "\n      x-pavise-waive: " + strings.Replace(waiver, "{", "{owner: me, ", 1), false, "waiver-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			r := check(t, withWaiver(t, c.old, c.waiver))
			rules := map[string]bool{}
			for _, f := range r.Findings {
				rules[f.Rule] = f.Waived != nil
			}
			waived, found := rules["no-security"]
			if _, further := rules[c.further]; !found || waived != c.waived || c.further != "" && !further || len(rules) > 2 {
				t.Errorf("found %v", rules)
			}
			want := 1
			if c.waived {
				want = 0
			}
			if c.further != "waiver-invalid" && r.At(openapi.High) != want {
				t.Errorf("%d findings count, want %d", r.At(openapi.High), want)
			}
		})
	}
}

func TestWaiversOfAFile(t *testing.T) {
	all, err := openapi.ReadWaivers([]byte("- {rule: no-security, where: \"/paths/~1v1~1orders~1{order_id}\", reason: drops are signed, until: 2026-11-30}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openapi.Check("a.yaml", []byte(withWaiver(t, "", "")), openapi.Options{Now: today(), Waivers: all})
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Waived == nil || r.Findings[0].Waived.Reason != "drops are signed" {
		t.Errorf("%v %+v", err, r)
	}
	if all, err = openapi.ReadWaivers([]byte("waivers:\n  - {rule: no-security, reason: drops are signed, until: 2026-11-30}\n")); err != nil || len(all) != 1 {
		t.Errorf("under the word waivers: %v, %v", all, err)
	}
	for text, want := range map[string]string{
		"- {rule: no-security, reason: drops are signed}":                                    "is no day",
		"- {rule: no-security, reason: short, until: 2026-11-30}":                            "the reason has 5",
		"\n- {rule: a, reason: drops are signed, until: 2026-11-30}":                         "line 2: there is no rule",
		"- {rule: no-security, rule: no-owner, reason: drops are signed, until: 2026-11-30}": "stands twice",
		"- {rule: no-security, owner: me, reason: drops are signed, until: 2026-11-30}":      "is not known",
		"- {rule: no-security, where: paths, reason: drops are signed, until: 2026-11-30}":   "is no pointer",
		"- &a {rule: no-security, reason: drops are signed, until: 2026-11-30}\n- *a":        "a waiver is",
		"rule: no-security": "read a list",
		"- 3":               "a waiver is",
	} {
		if _, err := openapi.ReadWaivers([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// In the form of all tools nothing is lost: places, what is waived, and the rules that found
// nothing.
func TestTheCommonForm(t *testing.T) {
	r := check(t, withWaiver(t, "operationId: dropOrder", "\n      x-pavise-waive: {rule: no-security, reason: drops are signed, until: \"2026-11-30\"}"))
	common := r.Common(today())
	if len(common.Rules) != len(openapi.Rules()) || len(common.Findings) != 1 || common.At(openapi.Info) != 0 {
		t.Fatalf("%+v", common)
	}
	f := common.Findings[0]
	if f.Rule != "no-security" || f.Where.File != "a.yaml" || f.Where.Line != r.Findings[0].Line || f.Where.Path != r.Findings[0].Pointer || f.Waived == nil || !f.Waived.Inside || f.Mend == "" {
		t.Errorf("%+v", f)
	}
}

// Each rule has its place in the three standards.
func TestEveryRuleHasItsPlaces(t *testing.T) {
	for _, r := range openapi.Rules() {
		if r.OWASP == "" || len(r.NIST) == 0 {
			t.Errorf("%s: %+v", r.ID, r.Standards)
		}
	}
}

// Of a pattern that cannot keep anybody busy nothing is said; of one that can, it is.
func TestPatternsThatKeepAMachineBusy(t *testing.T) {
	for pattern, bad := range map[string]bool{
		`^(a+)+$`: true, `^([a-z]+)*$`: true, `^(a|aa)+$`: true, `^(\\w+\\s?)+$`: true, `^(\\d+|\\w+)*$`: true, `^(a+[.]a+)*$`: true, `^([a-zA-Z0-9]+[._-]?)*@x$`: true, `^((ab)*)*$`: true, `^(.*,)*$`: true, `^(a?a)*$`: true, `^([0-9]{1,3}[.]?)+$`: true,
		`^[a-z]+$`: false, `^(\\w+,)+$`: false, `^[a-z]+([.-][a-z]+)*$`: false, `^(ab|cd)*$`: false, `^([0-9]{1,3}\\.){3}[0-9]{1,3}$`: false, `^(a?b)*$`: false, `^([a-z]{1,8}-)*$`: false, `^\\d+(,\\d+)*$`: false,
	} {
		text := strings.Replace(clean(t), "note: {type: string, maxLength: 200}", `note: {type: string, maxLength: 200, pattern: "`+pattern+`"}`, 1)
		found := false
		for _, f := range check(t, text).Findings {
			found = found || f.Rule == "pattern-catastrophic"
		}
		if found != bad {
			t.Errorf("%s: found %t", pattern, found)
		}
	}
}

// No value that looks like a secret is told.
func TestSecretsAreFoundAndNotTold(t *testing.T) {
	for secret, found := range map[string]bool{
		"ghp_" + "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1EuQoi": true, "xoxb-" + "83920175-Kq7RmZ8vTn4XcBw9": true,
		"pvshs_" + "9sVbT2kQ0wXy7hRtNcV3xLp8sQfGjKw5eHuM0aBDzq4Wn6JmEiU21Ro7k": true, "pvshs_" + strings.Repeat("x", 58): false,
		"https://" + "svc:Kq7RmZ8v@db.pavise.dev/x": true, "-----BEGIN EC " + "PRIVATE KEY-----\\nMHcCAQEEIKq7RmZ8vTn4XcBw9JfHs3GdYp6Ka1EuQoiKq7RmZ8v": true,
		"AKIA" + "IOSFODNN7EXAMPLE": false, "ghp_" + strings.Repeat("x", 36): false, "https://user:password@example.com": false, "a perfectly harmless text": false,
	} {
		text := strings.Replace(clean(t), "title: Orders", `title: "`+secret+`"`, 1)
		r := check(t, text)
		if (len(r.Findings) == 1 && r.Findings[0].Rule == "secret-in-document") != found {
			t.Errorf("%.8s…: %+v", secret, r.Findings)
		}
		if told, _ := json.Marshal(r); strings.Contains(string(told), secret[4:12]) && found {
			t.Errorf("%.8s… is told", secret)
		}
	}
}

var update = flag.Bool("update", false, "write the table of rules in docs/guide/check-openapi.md anew")

func TestRulesPageTellsOfEveryRule(t *testing.T) {
	const page = "../../../docs/guide/check-openapi.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "<!-- rules -->\n")
	_, after, ok := strings.Cut(rest, "<!-- end -->")
	if !ok {
		t.Fatal("the page has no place for the rules")
	}
	var b strings.Builder
	b.WriteString(before + "<!-- rules -->\n\n| rule | severity | OWASP | why | what mends it |\n|---|---|---|---|---|\n")
	for _, r := range openapi.Rules() {
		risk, _, _ := strings.Cut(r.OWASP, ":")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.ID, r.Severity, risk, r.Why, r.Mend)
	}
	b.WriteString("\n<!-- end -->" + after)
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if b.String() != string(text) {
		t.Errorf("%s is not what the program says; run go test ./internal/check/openapi -run TestRulesPage -update", page)
	}
}
