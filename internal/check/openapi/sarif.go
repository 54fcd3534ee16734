package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
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
	Name  string      `json:"name"`
	Rules []sarifRule `json:"rules"`
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
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
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

// WriteSARIF writes reports as one run of SARIF 2.1.0, for code scanners. Findings that are
// waived are suppressed, with the reason.
func WriteSARIF(w io.Writer, reports ...*Report) error {
	rules := Rules()
	run := sarifRun{ColumnKind: "unicodeCodePoints", Tool: sarifTool{sarifDriver{Name: "pavise check"}}, Results: []sarifResult{}}
	for _, r := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			r.ID,
			sarifText{r.Title},
			sarifText{r.Why},
			sarifText{r.Mend},
			sarifDefault{level(r.Severity)},
			sarifProperties{[]string{"security", r.OWASP}, score(r.Severity)},
		})
	}
	for _, report := range reports {
		for i := range report.Findings {
			f := &report.Findings[i]
			index := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == f.Rule })
			run.Results = append(run.Results, resultOf(report.File, f, index))
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}); err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	return nil
}

func resultOf(file string, f *Finding, index int) sarifResult {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Pointer))
	result := sarifResult{
		RuleID: f.Rule, RuleIndex: index, Level: level(f.Severity), Message: sarifText{f.What},
		Locations: []sarifLocation{{
			sarifPhysical{sarifArtifact{uriOf(file)}, sarifRegion{max(f.Line, 1), max(f.Column, 1)}},
			[]sarifLogical{{f.Pointer}},
		}},
		Fingerprints: map[string]string{"rulePointer/v1": hex.EncodeToString(sum[:16])},
	}
	if f.Waived != nil {
		kind := "inSource"
		if f.Waived.at == nil {
			kind = "external"
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

func level(s Severity) string { return []string{"note", "note", "warning", "error"}[s] }

func score(s Severity) string { return []string{"0.0", "3.0", "5.5", "8.0"}[s] }
