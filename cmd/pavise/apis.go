package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/inventory"
)

func apisCommand() *cobra.Command {
	var since, form string
	var endpoints, asJSON bool
	f := &reportFlags{}
	command := &cobra.Command{
		Use: "apis [NAME]", Short: "The inventory: each API with owner, exposure, contract, last call and last audit; undeclared and unused ones", Args: cobra.MaximumNArgs(1),
		Long: `List the APIs of the configuration: whose each is, its version, for whom it is open, what it carries, its
contract and shields, when it was last called and last audited. Then what was asked for often and is not
declared, and what is declared and nobody calls. With a name: its endpoints.

owner, version, exposure and data are stated at each API in the configuration. For whom an API is open
follows from listeners and shields; stated otherwise, that is a finding. Findings are waived by waivers of
the configuration.`,
		Example: "  pavise apis\n  pavise apis orders\n  pavise apis --since 90d --format html > apis.html\n  pavise apis --fail-on medium",
		RunE: func(command *cobra.Command, args []string) error {
			begin, err := parseMoment(since, time.Now())
			if err != nil {
				return err
			}
			if f.fails = f.failOn != "none"; f.fails {
				if f.least, err = finding.ParseSeverity(f.failOn); err != nil {
					return &usageError{"--fail-on: " + err.Error(), "critical, high, medium, low, info or none"}
				}
			}
			if asJSON {
				form = "json"
			}
			v, report, err := listed(command, begin, args)
			if err != nil {
				return err
			}
			if err := writeInventory(command.OutOrStdout(), form, v, report, endpoints || len(args) > 0); err != nil {
				return err
			}
			return f.verdict(report)
		},
	}
	flags := command.Flags()
	flags.StringVar(&since, "since", "30d", "count calls from then on: a time, or how long ago")
	flags.BoolVar(&endpoints, "endpoints", false, "list the endpoints of all APIs")
	flags.StringVar(&form, "format", "table", "table, json or html; sarif or junit for the findings alone")
	flags.StringVar(&f.failOn, "fail-on", "none", "end with 1 if something of this severity or above is found: critical, high, medium, low, info or none")
	jsonFlag(command, &asJSON)
	return command
}

// listed makes the inventory. The administration is asked first, so that what has happened is in
// the files; they are read here, as a gateway has better things to do.
func listed(command *cobra.Command, since time.Time, only []string) (*inventory.Inventory, *finding.Report, error) {
	file, err := app.Load(configPath(command))
	if err != nil {
		return nil, nil, err
	}
	look := app.Look{Since: since, Now: time.Now()}
	if !app.IsNew(file) {
		err := administer(command, func(ctx context.Context, a *admin.Client) error {
			if _, err := a.Events(ctx, audit.Query{Limit: 1}); err != nil {
				return err
			}
			s, err := a.Schedule(ctx, 0)
			look.Audited, look.Attacked = app.LastLooks(&s)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	v, err := app.Inventory(command.Context(), file, look)
	if err != nil {
		return nil, nil, err
	}
	report := app.InventoryReport(file, v)
	if len(only) > 0 {
		if _, known := file.APIs[only[0]]; !known {
			return nil, nil, &usageError{fmt.Sprintf("there is no API %.80q", only[0]), "pavise apis lists them"}
		}
		v.APIs = slices.DeleteFunc(v.APIs, func(a inventory.API) bool { return a.Name != only[0] })
		v.Unknown = slices.DeleteFunc(v.Unknown, func(u inventory.Unknown) bool { return u.API != only[0] })
		within := "apis." + only[0]
		report.Findings = slices.DeleteFunc(report.Findings, func(f finding.Finding) bool {
			return f.Where.Path != within && !strings.HasPrefix(f.Where.Path, within+".")
		})
	}
	return v, report, nil
}

// inventoried is the form for programs.
type inventoried struct {
	*inventory.Inventory

	Findings []finding.Finding `json:"findings"`
	Notes    []string          `json:"notes,omitempty"`
}

func writeInventory(out io.Writer, form string, v *inventory.Inventory, report *finding.Report, endpoints bool) error {
	switch form {
	case "table":
		return showInventory(out, v, report, endpoints)
	case "json":
		return writeJSON(out, inventoried{v, report.Findings, report.Notes})
	case "html":
		return v.WriteHTML(out, report)
	case "sarif", "junit":
		return finding.Write(out, form, finding.Style{}, report)
	}
	return &usageError{fmt.Sprintf("there is no form %.40q", form), "--format table, json, html, sarif or junit"}
}

func showInventory(out io.Writer, v *inventory.Inventory, report *finding.Report, endpoints bool) error {
	var rows, below [][]string
	for i := range v.APIs {
		a := &v.APIs[i]
		rows = append(rows, []string{
			a.Name, a.Owner, a.Version, exposed(a), strings.Join(a.Data, ", "), a.Contract, strings.Join(a.Shields, "; "), strconv.Itoa(len(a.Endpoints)), strconv.Itoa(a.Calls),
			orNever(a.LastCall), orNever(a.LastAudit),
		})
		for _, e := range a.Endpoints {
			below = append(below, []string{a.Name, e.Pattern, e.Shield, strings.Join(e.Scopes, " "), e.Contract, strconv.Itoa(e.Calls), strconv.Itoa(e.Clients), orNever(e.LastCall), ending(&e)})
		}
	}
	if err := table(out, []string{"API", "OWNER", "VERSION", "EXPOSURE", "DATA", "CONTRACT", "SHIELDS", "ENDPOINTS", "CALLS", "LAST CALL", "LAST AUDIT"}, rows); err != nil {
		return err
	}
	if endpoints {
		if err := section(out, []string{"API", "ENDPOINT", "SHIELD", "SCOPES", "CONTRACT", "CALLS", "CLIENTS", "LAST CALL", "ENDS"}, below); err != nil {
			return err
		}
	}
	rows = nil
	for _, u := range v.Unknown {
		rows = append(rows, []string{u.Method + " " + u.Host + u.Path, cmp.Or(u.Code, "through "+u.Through), strconv.Itoa(u.Answered), strconv.Itoa(u.Callers), strconv.Itoa(u.Requests), strconv.Itoa(u.Networks), strconv.Itoa(u.Days), shortTime(u.Last), u.Sample})
	}
	if err := section(out, []string{"NOT DECLARED", "CODE", "ANSWERED", "OF CALLERS", "REQUESTS", "NETWORKS", "DAYS", "LAST", "SAMPLE"}, rows); err != nil {
		return err
	}
	return showFindings(out, report, false)
}

func exposed(a *inventory.API) string {
	if a.Stated != "" && a.Stated != a.Exposure {
		return a.Exposure + " (stated: " + a.Stated + ")"
	}
	return a.Exposure
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return shortTime(t)
}

func ending(e *inventory.Endpoint) string {
	var parts []string
	if e.Deprecated != "" {
		parts = append(parts, "deprecated "+e.Deprecated)
	}
	if !e.Sunset.IsZero() {
		parts = append(parts, "sunset "+e.Sunset.UTC().Format(time.DateOnly))
	}
	return strings.Join(parts, ", ")
}
