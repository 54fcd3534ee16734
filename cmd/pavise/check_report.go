package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

// reportFlags say how `pavise check` tells what it found, and what ends it with 1.
type reportFlags struct {
	failOn, waivers, format          string
	asJSON, asSARIF, asJUnit, asHTML bool
	all, rules, noStore              bool

	least finding.Severity // of failOn
	fails bool             // failOn is not none
}

func (f *reportFlags) register(command *cobra.Command) {
	f.registerForms(command)
	flags := command.Flags()
	flags.StringVar(&f.waivers, "waivers", "", "a file of waivers, beside those of the configuration or the documents")
	flags.BoolVar(&f.noStore, "no-store", false, "leave the store alone: look at files only")
}

// registerForms registers the flags that every report has.
func (f *reportFlags) registerForms(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.failOn, "fail-on", "high", "end with 1 if something of this severity or above is found: critical, high, medium, low, info or none")
	flags.StringVar(&f.format, "format", "", "table, json, sarif, junit or html: the same as these flags")
	flags.BoolVar(&f.asSARIF, "sarif", false, "write SARIF 2.1.0, for code scanners")
	flags.BoolVar(&f.asJUnit, "junit", false, "write JUnit XML, for CI")
	flags.BoolVar(&f.asHTML, "html", false, "write one page, for people")
	flags.BoolVar(&f.all, "all", false, "show every place, hints, and what is waived")
	flags.BoolVar(&f.rules, "rules", false, "list the rules")
	jsonFlag(command, &f.asJSON)
}

// valid refuses flags that contradict each other.
func (f *reportFlags) valid(command *cobra.Command, names []string, calls, against, leaking string) error {
	if err := f.forms(); err != nil {
		return err
	}
	subjects := 0
	for flag, is := range map[string]bool{"documents": len(names) > 0, "--outbound": calls != "", "--against": against != "", "--leaks": leaking != ""} {
		if is {
			subjects++
		}
		_ = flag
	}
	if subjects > 1 {
		return &usageError{"documents, --outbound, --against and --leaks are checks of their own", "run one command for each"}
	}
	if command.Flags().Changed("waivers") && (calls != "" || against != "") {
		return &usageError{"--waivers is for findings of rules", "leave it out: what was opened is not waived"}
	}
	return nil
}

// forms refuses a severity that there is not, and two forms at once.
func (f *reportFlags) forms() (err error) {
	if f.fails = f.failOn != "none"; f.fails {
		if f.least, err = finding.ParseSeverity(f.failOn); err != nil {
			return &usageError{"--fail-on: " + err.Error(), "critical, high, medium, low, info or none"}
		}
	}
	if f.format != "" && !slices.Contains(finding.Forms(), f.format) {
		return &usageError{fmt.Sprintf("--format: there is no form %q", f.format), strings.Join(finding.Forms(), ", ")}
	}
	forms := 0
	if f.format != "" {
		forms++
	}
	for _, is := range []bool{f.asJSON, f.asSARIF, f.asJUnit, f.asHTML} {
		if is {
			forms++
		}
	}
	if forms > 1 {
		return &usageError{"--format, --json, --sarif, --junit and --html are forms of one report", "choose one"}
	}
	f.asJSON = f.asJSON || f.format == "json"
	return nil
}

func (f *reportFlags) form() string {
	switch {
	case f.format != "":
		return f.format
	case f.asJSON:
		return "json"
	case f.asSARIF:
		return "sarif"
	case f.asJUnit:
		return "junit"
	case f.asHTML:
		return "html"
	}
	return "table"
}

// verdict is the error with which the command ends if what was found is bad enough.
func (f *reportFlags) verdict(reports ...*finding.Report) error {
	bad := 0
	for _, r := range reports {
		if r != nil {
			bad += r.At(f.least)
		}
	}
	if !f.fails || bad == 0 {
		return nil
	}
	return &hinted{fmt.Errorf("%s of severity %s or above", counted(bad, "finding"), f.least), "mend them, or waive each with a reason and an end; --fail-on says from which severity on it counts"}
}

// audited asks all rules about a configuration, what its store holds, and the documents that
// it names.
func audited(command *cobra.Command, file *config.File, f *reportFlags) (*finding.Report, error) {
	subject := check.Subject{File: file, Now: time.Now()}
	all, err := readWaivers(f.waivers)
	if err != nil {
		return nil, err
	}
	subject.Waivers = slices.DeleteFunc(all, func(w finding.Waiver) bool { return isLeaks(w.Rule) })
	var notes []string
	switch {
	case f.noStore || app.IsNew(file):
	default:
		held, err := holdings(command, file)
		if err != nil {
			notes = append(notes, "the store was not looked at: "+err.Error())
		}
		subject.Held = held
	}
	report, err := app.Audit(subject)
	if err != nil {
		return nil, err
	}
	report.Notes = append(report.Notes, notes...)
	return report, nil
}

// readWaivers reads a file of waivers, which may be for other reports, too; none if no file is named.
func readWaivers(name string) ([]finding.Waiver, error) {
	if name == "" {
		return nil, nil
	}
	text, err := readDocument(name)
	if err != nil {
		return nil, err
	}
	all, err := finding.ReadWaivers(name, text, app.IsWaivable())
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %v", name, err), "write a list of {rule: NAME, where: apis.orders, reason: why, until: 2027-01-31}; --rules lists the rules"}
	}
	return all, nil
}

func isLeaks(rule string) bool {
	return slices.ContainsFunc(leaks.Rules(), func(r finding.Rule) bool { return r.ID == rule })
}

// holdings reads what the store holds: of the gateway that runs, or of the folder.
func holdings(command *cobra.Command, file *config.File) (*check.Held, error) {
	var held *check.Held
	err := administer(command, func(ctx context.Context, c *admin.Client) (err error) {
		held, err = app.Holdings(ctx, c)
		return err
	})
	return held, err
}
