package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// What stands here is SARIF 2.1.0 (OASIS), as far as it is written.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string          `json:"id"`
	ShortDescription sarifText       `json:"shortDescription"`
	FullDescription  sarifText       `json:"fullDescription"`
	Help             sarifText       `json:"help"`
	Default          sarifDefault    `json:"defaultConfiguration"`
	Properties       sarifProperties `json:"properties"`
}

type sarifDefault struct {
	Level string `json:"level"`
}

// sarifProperties are those that code scanners read.
type sarifProperties struct {
	Tags     []string `json:"tags"`
	Severity string   `json:"security-severity"` // 0.0 to 10.0
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Properties   map[string]string  `json:"properties,omitempty"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// WriteSARIF writes reports as SARIF 2.1.0, for code scanners: a run for each tool. Findings
// that are waived are suppressed, with the reason.
func WriteSARIF(w io.Writer, reports ...*Report) error {
	log := sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{}}
	at := map[string]int{}
	rules := map[string]map[string]int{}
	for _, r := range reports {
		n, known := at[r.Tool]
		if !known {
			n = len(log.Runs)
			at[r.Tool], rules[r.Tool] = n, map[string]int{}
			log.Runs = append(log.Runs, sarifRun{
				ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
				Tool: sarifTool{sarifDriver{Name: r.Tool, Version: r.Version, Rules: []sarifRule{}}},
			})
		}
		log.Runs[n].add(r, rules[r.Tool])
	}
	return encode(w, log)
}

// add takes what a report holds into a run; index says where its rules are.
func (run *sarifRun) add(r *Report, index map[string]int) {
	driver := &run.Tool.Driver
	declare := func(rule Rule) {
		if _, known := index[rule.ID]; !known {
			index[rule.ID] = len(driver.Rules)
			driver.Rules = append(driver.Rules, sarifRuleOf(rule))
		}
	}
	for _, rule := range r.Rules {
		declare(rule)
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		declare(Rule{f.Rule, f.Severity, f.Title, f.Why, f.Mend, f.Standards})
		run.Results = append(run.Results, sarifResultOf(r, f, index[f.Rule]))
	}
}

func sarifRuleOf(r Rule) sarifRule {
	tags := []string{"security"}
	if r.OWASP != "" {
		tags = append(tags, r.OWASP)
	}
	for _, one := range r.ASVS {
		tags = append(tags, "ASVS-5.0/"+one)
	}
	for _, one := range r.NIST {
		tags = append(tags, "NIST-SP-800-228/"+one)
	}
	for _, one := range r.CWE {
		tags = append(tags, "external/cwe/"+strings.ToLower(one))
	}
	title := r.Title
	if title == "" {
		title = r.ID
	}
	return sarifRule{
		r.ID, sarifText{title}, sarifText{r.Why}, sarifText{r.Mend}, sarifDefault{level(r.Severity)}, sarifProperties{tags, score(r.Severity)},
	}
}

func sarifResultOf(r *Report, f *Finding, index int) sarifResult {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Where.Path))
	result := sarifResult{
		RuleID: f.Rule, RuleIndex: index, Level: level(f.Severity), Message: sarifText{f.What},
		Fingerprints: map[string]string{"rulePointer/v1": hex.EncodeToString(sum[:16])},
	}
	var at sarifLocation
	if f.Where.File != "" {
		at.Physical = &sarifPhysical{Artifact: sarifArtifact{uriOf(f.Where.File)}}
		if f.Where.Line > 0 {
			at.Physical.Region = &sarifRegion{f.Where.Line, max(f.Where.Column, 1)}
		}
	}
	switch {
	case f.Where.Path != "":
		at.Logical = []sarifLogical{{f.Where.Path}}
	case f.Where.File == "":
		at.Logical = []sarifLogical{{r.Subject}}
	}
	result.Locations = []sarifLocation{at}
	result.Properties = map[string]string{}
	if f.Proof != "" {
		result.Properties["proof"] = f.Proof
	}
	if f.Case != "" {
		result.Properties["case"] = f.Case
	}
	if f.Waived != nil {
		kind := "external"
		if f.Waived.Inside {
			kind = "inSource"
		}
		result.Suppressions = []sarifSuppression{{kind, f.Waived.Reason + " (until " + f.Waived.Until + ")"}}
	}
	return result
}

// uriOf is a file's name as a URI reference.
func uriOf(file string) string {
	file = filepath.ToSlash(file)
	if strings.HasPrefix(file, "/") {
		return (&url.URL{Scheme: "file", Path: file}).String()
	}
	return (&url.URL{Path: file}).EscapedPath()
}

func level(s Severity) string {
	return [...]string{Info: "note", Low: "note", Medium: "warning", High: "error", Critical: "error"}[s]
}

func score(s Severity) string {
	return [...]string{Info: "0.0", Low: "3.0", Medium: "5.5", High: "8.0", Critical: "9.5"}[s]
}
