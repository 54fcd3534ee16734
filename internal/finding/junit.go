package finding

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// What stands here is JUnit XML as CI servers read it.

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Package   string      `xml:"package,attr"`
	ID        int         `xml:"id,attr"`
	Name      string      `xml:"name,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Hostname  string      `xml:"hostname,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr,omitempty"`
	Time      string      `xml:"time,attr"`
	About     []junitFact `xml:"properties>property"`
	Cases     []junitCase `xml:"testcase"`
	Out       string      `xml:"system-out"`
	Err       string      `xml:"system-err"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped string        `xml:"skipped,omitempty"`
	Failure *junitFailure `xml:"failure"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFact struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes reports as JUnit XML, for CI: each rule of which nothing was found is a case
// that passed, each finding is one that failed, or was skipped if it is waived. What is less
// severe than the style's FailOn passed, with what was found as its output.
func WriteJUnit(w io.Writer, style Style, reports ...*Report) error {
	all := junitSuites{Name: "pavise"}
	for i, r := range reports {
		suite := junitOf(style, i, r)
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	return err
}

func junitOf(style Style, id int, r *Report) junitSuite {
	suite := junitSuite{
		Package: token(r.Tool), ID: id, Name: token(r.Subject), Timestamp: r.Time.UTC().Format("2006-01-02T15:04:05"), Hostname: "localhost", Time: "0",
		About: []junitFact{{"tool", strings.TrimSpace(r.Tool + " " + r.Version)}}, Out: strings.Join(append([]string{r.Summary()}, r.Notes...), "\n"), Err: r.Partial,
	}
	found := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.Rule] = true
		suite.add(style, r, f)
	}
	for _, rule := range r.Rules {
		if !found[rule.ID] {
			suite.Tests++
			suite.Cases = append(suite.Cases, junitCase{Name: token(rule.Title), Class: token(rule.ID), Time: "0"})
		}
	}
	return suite
}

func (s *junitSuite) add(style Style, r *Report, f *Finding) {
	name := f.What
	if at := f.Where.String(); at != "" {
		name = at + ": " + f.What
	}
	c := junitCase{Name: token(name), Class: token(f.Rule), Time: "0"}
	lines := append([]string{f.Why, "mend: " + f.Mend}, f.words()...)
	if f.Case != "" {
		lines = append(lines, "case: "+f.Case)
	}
	if f.Proof != "" {
		lines = append(lines, f.Proof)
	}
	text := strings.Join(lines, "\n")
	switch {
	case f.Waived != nil:
		s.Skipped++
		c.Skipped = "waived until " + f.Waived.Until + ": " + f.Waived.Reason
	case f.Severity >= style.FailOn:
		s.Failures++
		c.Failure = &junitFailure{Type: f.Severity.String(), Message: f.What, Text: text}
	default:
		c.Out = f.Severity.String() + ": " + f.What + "\n" + text
	}
	s.Tests++
	s.Cases = append(s.Cases, c)
}

// token is a text as an xs:token: on one line, with single spaces.
func token(text string) string { return strings.Join(strings.Fields(line(text)), " ") }
