package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/check/openapi"
	"pavise.dev/pavise/internal/finding"
)

// maxDocument is the longest document that is read, in bytes.
const maxDocument = 16 << 20

// checkDocuments looks for security faults of OpenAPI documents.
func checkDocuments(command *cobra.Command, names []string, f *reportFlags) error {
	reports, err := readReports(names, f.waivers)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	switch form := f.form(); form {
	case "json":
		err = writeJSON(out, reports)
	case "table":
		for _, r := range common(reports) {
			if err = finding.WriteTable(out, finding.Style{Color: isTerminal(out), All: f.all}, r); err != nil {
				break
			}
		}
	default:
		err = finding.Write(out, form, finding.Style{FailOn: f.least}, common(reports)...)
	}
	if err != nil {
		return err
	}
	return f.verdict(common(reports)...)
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

// listRules shows what configurations, stores and documents are checked for.
func listRules(command *cobra.Command, asJSON bool) error {
	rules := slices.Concat(check.Rules(), openapi.Rules())
	if asJSON {
		return writeJSON(command.OutOrStdout(), rules)
	}
	rows := make([][]string, 0, len(rules))
	for _, r := range rules {
		rows = append(rows, []string{r.ID, r.Severity.String(), r.Risk(), r.Title})
	}
	return table(command.OutOrStdout(), []string{"RULE", "SEVERITY", "OWASP", "WHAT"}, rows)
}
