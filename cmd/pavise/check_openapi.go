package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/check/openapi"
	"pavise.dev/pavise/internal/finding"
)

// documentFlags are those of `pavise check FILE…`.
type documentFlags struct {
	failOn, waivers     string
	asSARIF, all, rules bool
}

func (f *documentFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.failOn, "fail-on", "high", "end with 1 if something of this severity or above is found: high, medium, low, info or none")
	flags.StringVar(&f.waivers, "waivers", "", "a file of waivers, beside those of the documents")
	flags.BoolVar(&f.asSARIF, "sarif", false, "write SARIF 2.1.0, for code scanners")
	flags.BoolVar(&f.all, "all", false, "show every place, and what is waived")
	flags.BoolVar(&f.rules, "rules", false, "list the rules for OpenAPI documents")
}

// given names the first of the flags that says something; empty: none.
func (f *documentFlags) given(command *cobra.Command) string {
	for _, name := range []string{"fail-on", "waivers", "sarif", "all"} {
		if command.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// maxDocument is the longest document that is read, in bytes.
const maxDocument = 16 << 20

// checkDocuments looks for security faults of OpenAPI documents.
func checkDocuments(command *cobra.Command, names []string, f *documentFlags, asJSON bool) error {
	least, fails := finding.High, f.failOn != "none"
	if fails {
		var err error
		if least, err = finding.ParseSeverity(f.failOn); err != nil {
			return &usageError{"--fail-on: " + err.Error(), "high, medium, low, info or none"}
		}
	}
	if asJSON && f.asSARIF {
		return &usageError{"--json and --sarif are two forms", "choose one"}
	}
	reports, err := readReports(names, f.waivers)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	switch {
	case f.asSARIF:
		err = finding.Write(out, "sarif", finding.Style{}, common(reports)...)
	case asJSON:
		err = writeJSON(out, reports)
	default:
		for _, r := range reports {
			if err = showReport(out, r, f.all); err != nil {
				break
			}
		}
	}
	if err != nil || !fails {
		return err
	}
	bad := 0
	for _, r := range reports {
		bad += r.At(least)
	}
	if bad > 0 {
		return &hinted{fmt.Errorf("%s of severity %s or above", counted(bad, "finding"), least), "mend them, or waive each with a reason and an end; --fail-on says from which severity on it counts"}
	}
	return nil
}

// common are reports in the form of all tools.
func common(reports []*openapi.Report) (all []*finding.Report) {
	now := time.Now()
	for _, r := range reports {
		all = append(all, r.Common(now))
	}
	return all
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func readReports(names []string, waivers string) ([]*openapi.Report, error) {
	options := openapi.Options{Now: time.Now()}
	if waivers != "" {
		text, err := readDocument(waivers)
		if err != nil {
			return nil, err
		}
		if options.Waivers, err = openapi.ReadWaivers(text); err != nil {
			return nil, &usageError{fmt.Sprintf("%s: %v", waivers, err), "write a list of {rule: NAME, where: /paths/~1v1~1orders/get, reason: why, until: 2027-01-31}"}
		}
	}
	var reports []*openapi.Report
	for _, name := range names {
		text, err := readDocument(name)
		if err != nil {
			return nil, err
		}
		r, err := openapi.Check(name, text, options)
		if err != nil {
			return nil, &usageError{err.Error(), "OpenAPI 3.0 and 3.1 are read, in YAML or JSON; the configuration is checked with `pavise check -c FILE`"}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// readDocument reads a file that is not longer than a document may be.
func readDocument(name string) (text []byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if text, err = io.ReadAll(io.LimitReader(file, maxDocument+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// maxPlaces is how many places of one rule are shown without --all.
const maxPlaces = 10

// showReport writes what was found in a document, the worst first, rule by rule.
func showReport(w io.Writer, r *openapi.Report, all bool) error {
	byRule, waived := map[string][]openapi.Finding{}, 0
	counts := map[openapi.Severity]int{}
	for _, f := range r.Findings {
		if f.Waived != nil {
			if waived++; !all {
				continue
			}
		} else {
			counts[f.Severity]++
		}
		byRule[f.Rule] = append(byRule[f.Rule], f)
	}
	var b strings.Builder
	for _, rule := range ordered(byRule) {
		showRule(&b, r.File, rule, byRule[rule.ID], all, isTerminal(w))
	}
	fmt.Fprintf(&b, "%s: %s; %d high, %d medium, %d low, %d info; %d waived\n", r.File, counted(r.Operations, "operation"),
		counts[openapi.High], counts[openapi.Medium], counts[openapi.Low], counts[openapi.Info], waived)
	if r.More > 0 {
		fmt.Fprintf(&b, "%d more findings were not kept\n", r.More)
	}
	if r.Partial {
		b.WriteString("the document is too large, or its parts refer to each other too often, to be looked at to its end\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ordered lists the rules of which something was found, the worst first.
func ordered(found map[string][]openapi.Finding) (rules []openapi.Rule) {
	for _, r := range openapi.Rules() {
		if len(found[r.ID]) > 0 {
			rules = append(rules, r)
		}
	}
	slices.SortStableFunc(rules, func(a, b openapi.Rule) int { return cmp.Compare(b.Severity, a.Severity) })
	return rules
}

func showRule(b *strings.Builder, file string, rule openapi.Rule, found []openapi.Finding, all, color bool) {
	tone := map[openapi.Severity]string{openapi.High: "31", openapi.Medium: "33", openapi.Low: "36", openapi.Info: "2"}[rule.Severity]
	risk, _, _ := strings.Cut(rule.OWASP, " ")
	fmt.Fprintf(b, "%s  %s  %s  %s\n  %s\n  %s\n", paint(color, tone, fmt.Sprintf("%-6s", rule.Severity)), rule.ID, risk, counted(len(found), "place"), rule.Why, paint(color, "2", "mend: "+rule.Mend))
	for i, f := range found {
		if i == maxPlaces && !all {
			fmt.Fprintf(b, "    … and %d more: --all shows them\n", len(found)-maxPlaces)
			break
		}
		note := ""
		if f.Waived != nil {
			note = " (waived until " + f.Waived.Until + ": " + f.Waived.Reason + ")"
		}
		fmt.Fprintf(b, "    %s\n", strings.ReplaceAll(printable(fmt.Sprintf("%s:%d:%d  %s%s", file, f.Line, f.Column, f.What, note)), "\n", " "))
	}
	b.WriteByte('\n')
}

// listRules shows what documents are checked for.
func listRules(command *cobra.Command, asJSON bool) error {
	rules := openapi.Rules()
	if asJSON {
		return writeJSON(command.OutOrStdout(), rules)
	}
	rows := make([][]string, 0, len(rules))
	for _, r := range rules {
		risk, _, _ := strings.Cut(r.OWASP, ":")
		rows = append(rows, []string{r.ID, r.Severity.String(), risk, r.Title})
	}
	return table(command.OutOrStdout(), []string{"RULE", "SEVERITY", "OWASP", "WHAT"}, rows)
}
