package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

func checkCommand() *cobra.Command {
	var asJSON bool
	var calls string
	documents := &documentFlags{}
	command := &cobra.Command{
		Use: "check [OPENAPI…]", Short: "Is the configuration valid, and what in it is insecure? Or: security faults of OpenAPI documents",
		Long: `Without a file: is the configuration (-c) valid, and what in it is insecure?

With OpenAPI documents: security faults of the documents themselves, each with its place, why it matters, and what mends it.
Findings are waived by x-pavise-waive: {rule, reason, until} in the document, or in the file of --waivers.`,
		Example: "  pavise check\n  pavise check orders.openapi.yaml --fail-on medium\n  pavise check *.yaml --sarif > findings.sarif",
		RunE: func(command *cobra.Command, names []string) error {
			switch flag := documents.given(command); {
			case documents.rules:
				return listRules(command, asJSON)
			case len(names) > 0 && calls != "":
				return &usageError{"--outbound is about a file of its own", "check the documents by a command of their own"}
			case len(names) > 0:
				return checkDocuments(command, names, documents, asJSON)
			case flag != "":
				return &usageError{"--" + flag + " is for OpenAPI documents, and none is named", "name one: pavise check orders.openapi.yaml"}
			}
			var about string
			var insecure []config.Weakness
			var err error
			if calls != "" {
				about, insecure, err = checkOutbound(calls)
			} else {
				about, insecure, err = checkGateway(configPath(command))
			}
			if asJSON {
				return checkJSON(command, insecure, err)
			}
			if err != nil {
				return err
			}
			return checkText(command, about, insecure)
		},
	}
	command.Flags().StringVar(&calls, "outbound", "", "check a file of `pavise serve --outbound` instead")
	documents.register(command)
	jsonFlag(command, &asJSON)
	return command
}

func checkGateway(name string) (about string, insecure []config.Weakness, err error) {
	file, err := app.Load(name)
	if err != nil {
		return "", nil, err
	}
	endpoints := 0
	for _, api := range file.APIs {
		endpoints += len(api.Endpoints)
	}
	about = fmt.Sprintf("%s is valid: %d APIs, %d endpoints", name, len(file.APIs), endpoints)
	if app.WantsAuthority(file) && app.IsNew(file) {
		about += "\nIt needs the certificate authority, and there is none in " + file.State.Folder + " yet: run `pavise ca init` before `pavise serve`"
	}
	return about, file.Insecure(), whole(file)
}

func checkOutbound(name string) (about string, insecure []config.Weakness, err error) {
	file, err := config.LoadOutbound(name)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%s is valid: %d calls", name, len(file.Calls)), file.Insecure(), nil
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
}

func checkJSON(command *cobra.Command, insecure []config.Weakness, err error) error {
	c := checked{Valid: err == nil, Problems: config.Problems{}, Insecure: append([]config.Weakness{}, insecure...)}
	if err != nil && !errors.As(err, &c.Problems) {
		return err
	}
	if fault := writeJSON(command.OutOrStdout(), c); fault != nil {
		return fault
	}
	if !c.Valid {
		return &usageError{"the configuration is not valid", ""}
	}
	return nil
}

func checkText(command *cobra.Command, about string, found []config.Weakness) error {
	out := command.OutOrStdout()
	if _, err := fmt.Fprintln(out, about); err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	rows := make([][]string, 0, len(found))
	for _, w := range found {
		rows = append(rows, []string{w.Path, w.What, w.Reason})
	}
	if _, err := fmt.Fprintln(out, "\nWeakened on purpose:"); err != nil {
		return err
	}
	return table(out, []string{"WHERE", "WHAT", "REASON"}, rows)
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
	command.Flags().BoolVar(&calls, "outbound", false, "of the file of `pavise serve --outbound`")
	return command
}
