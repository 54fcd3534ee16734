package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

func checkCommand() *cobra.Command {
	var calls, against, leaking string
	f := &reportFlags{}
	command := &cobra.Command{
		Use: "check [OPENAPI…]", Short: "Is the configuration valid, and what is wrong with it, the store, and certificates? Or: faults of OpenAPI documents, of a change; keys that leaked",
		Long: `Without a file: is the configuration (-c) valid, and what is wrong with it, with the certificates, secrets and OpenAPI
documents that it names, and with the clients and credentials of the store? Rules read values: how long a secret is, when a
certificate ends, whether anybody can have a scope. Findings are waived by waivers: in the configuration, or in the file of
--waivers, each with a reason and an end.

With OpenAPI documents: security faults of the documents themselves, each with its place, why it matters, and what mends it.
Findings are waived by x-pavise-waive: {rule, reason, until} in the document, or in the file of --waivers.

--against OLD: what the configuration lets through that OLD refused, each with a request that passes on the one and is refused
by the other, and the reverse. Ends with 1 if a door was opened.

--leaks FOLDER: keys, secrets and tokens of Pavise, private keys and JWTs in files; whether they are in force, and how to revoke
them. Ends with 1 if one is found.`,
		Example: "  pavise check\n  pavise check --html > report.html\n  pavise check orders.openapi.yaml --fail-on medium\n  pavise check --against deployed.yaml\n  pavise check --leaks .",
		RunE: func(command *cobra.Command, names []string) error {
			if err := f.valid(command, names, calls, against, leaking); err != nil {
				return err
			}
			switch {
			case f.rules:
				return listRules(command, f.asJSON)
			case leaking != "":
				return checkLeaks(command, leaking, f)
			case against != "":
				return checkAgainst(command, against, f)
			case len(names) > 0:
				return checkDocuments(command, names, f)
			case calls != "":
				about, insecure, err := checkOutbound(calls)
				return showValid(command, about, insecure, nil, f, err)
			}
			return checkGateway(command, f)
		},
	}
	command.Flags().StringVar(&calls, "outbound", "", "check the `FILE` of pavise serve --outbound instead")
	command.Flags().StringVar(&against, "against", "", "compare with an `OLD` configuration: which doors are opened, which closed")
	command.Flags().StringVar(&leaking, "leaks", "", "look for credentials in the files below a `FOLDER`")
	f.register(command)
	return command
}

// checkGateway checks the configuration, and audits what it can reach.
func checkGateway(command *cobra.Command, f *reportFlags) error {
	name := configPath(command)
	file, err := app.Load(name)
	if err != nil {
		return showValid(command, "", nil, nil, f, err)
	}
	endpoints := 0
	for _, api := range file.APIs {
		endpoints += len(api.Endpoints)
	}
	about := fmt.Sprintf("%s is valid: %s, %s", name, counted(len(file.APIs), "API"), counted(endpoints, "endpoint"))
	if app.WantsAuthority(file) && app.IsNew(file) {
		about += "\nIt needs the certificate authority, and there is none in " + file.State.Folder + " yet: run `pavise ca init` before `pavise serve`"
	}
	if err := whole(file); err != nil {
		return showValid(command, about, file.Insecure(), nil, f, err)
	}
	report, err := audited(command, file, f)
	if err != nil {
		return err
	}
	report.About = counted(endpoints, "endpoint")
	return showValid(command, about, file.Insecure(), report, f, nil)
}

func checkOutbound(name string) (about string, insecure []config.Weakness, err error) {
	file, err := config.LoadOutbound(name)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%s is valid: %s", name, counted(len(file.Calls), "call")), file.Insecure(), nil
}

// whole finds what only shows when the parts are put together.
func whole(file *config.File) error {
	if err := app.Check(file); err != nil {
		return config.Problems{{Pos: config.Pos{File: file.Path}, Message: err.Error(), Hint: "pavise serve would not start with it"}}
	}
	return nil
}

// checked is the form for programs.
type checked struct {
	Valid    bool              `json:"valid"`
	Problems config.Problems   `json:"problems"`
	Insecure []config.Weakness `json:"insecure"`
	Findings []finding.Finding `json:"findings"`
	Notes    []string          `json:"notes,omitempty"`
}

// showValid shows whether a configuration is valid, and what was found; report is nil if nobody
// looked.
func showValid(command *cobra.Command, about string, insecure []config.Weakness, report *finding.Report, f *reportFlags, err error) error {
	switch {
	case f.asJSON:
		if err := checkJSON(command, insecure, report, err); err != nil {
			return err
		}
	case err != nil:
		return err
	case f.form() != "table":
		if report == nil {
			return &usageError{"there are no findings to write", "--" + f.form() + " is for the configuration of a gateway, and for OpenAPI documents"}
		}
		if err := finding.Write(command.OutOrStdout(), f.form(), finding.Style{FailOn: f.least}, report); err != nil {
			return err
		}
	default:
		if err := checkText(command, about, insecure, report, f); err != nil {
			return err
		}
	}
	return f.verdict(report)
}

func checkJSON(command *cobra.Command, insecure []config.Weakness, report *finding.Report, err error) error {
	c := checked{Valid: err == nil, Problems: config.Problems{}, Insecure: append([]config.Weakness{}, insecure...), Findings: []finding.Finding{}}
	if err != nil && !errors.As(err, &c.Problems) {
		return err
	}
	if report != nil {
		c.Findings, c.Notes = report.Findings, report.Notes
	}
	if fault := writeJSON(command.OutOrStdout(), c); fault != nil {
		return fault
	}
	if !c.Valid {
		return &usageError{"the configuration is not valid", ""}
	}
	return nil
}

func checkText(command *cobra.Command, about string, weakened []config.Weakness, report *finding.Report, f *reportFlags) error {
	out := command.OutOrStdout()
	if _, err := fmt.Fprintln(out, about); err != nil {
		return err
	}
	if len(weakened) > 0 {
		rows := make([][]string, 0, len(weakened))
		for _, w := range weakened {
			rows = append(rows, []string{w.Path, w.What, w.Reason})
		}
		if _, err := fmt.Fprintln(out, "\nWeakened on purpose:"); err != nil {
			return err
		}
		if err := table(out, []string{"WHERE", "WHAT", "REASON"}, rows); err != nil {
			return err
		}
	}
	if report == nil {
		return nil
	}
	return showFindings(out, report, f.all)
}

// showFindings shows what was found: hints only if all is wanted, and nothing if there is
// nothing else.
func showFindings(out io.Writer, report *finding.Report, all bool) error {
	shown := *report
	hints := 0
	if !all {
		shown.Findings = nil
		for _, one := range report.Findings {
			if one.Severity == finding.Info {
				hints++
				continue
			}
			shown.Findings = append(shown.Findings, one)
		}
	}
	if hints > 0 {
		shown.Notes = append(slices.Clone(shown.Notes), counted(hints, "hint")+": --all shows them")
	}
	if len(shown.Findings) == 0 {
		for _, note := range shown.Notes {
			if _, err := fmt.Fprintln(out, printable(note)); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return finding.WriteTable(out, finding.Style{Color: isTerminal(out), All: all}, &shown)
}

func schemaCommand() *cobra.Command {
	var calls bool
	command := &cobra.Command{
		Use: "schema", Short: "Write the JSON Schema of the configuration, for editors", Args: cobra.NoArgs,
		Example: "  pavise schema > pavise.schema.json\n  pavise schema --outbound > outbound.schema.json",
		RunE: func(command *cobra.Command, _ []string) error {
			text, err := config.Schema(app.Kinds())
			if calls {
				text, err = config.OutboundSchema()
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s\n", text)
			return err
		},
	}
	command.Flags().BoolVar(&calls, "outbound", false, "of the file of pavise serve --outbound")
	return command
}
