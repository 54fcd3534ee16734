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
	command := &cobra.Command{
		Use: "check", Short: "Is the configuration valid, and what in it is insecure?", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			file, err := app.Load(configPath(command))
			if err == nil {
				err = whole(file)
			}
			if asJSON {
				return checkJSON(command, file, err)
			}
			if err != nil {
				return err
			}
			return checkText(command, file)
		},
	}
	jsonFlag(command, &asJSON)
	return command
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

func checkJSON(command *cobra.Command, file *config.File, err error) error {
	c := checked{Problems: config.Problems{}, Insecure: []config.Weakness{}}
	if err != nil && !errors.As(err, &c.Problems) {
		return err
	}
	if file != nil {
		c.Valid = err == nil
		c.Insecure = append(c.Insecure, file.Insecure()...)
	}
	if fault := writeJSON(command.OutOrStdout(), c); fault != nil {
		return fault
	}
	if !c.Valid {
		return &usageError{"the configuration is not valid", ""}
	}
	return nil
}

func checkText(command *cobra.Command, file *config.File) error {
	endpoints := 0
	for _, api := range file.APIs {
		endpoints += len(api.Endpoints)
	}
	out := command.OutOrStdout()
	if _, err := fmt.Fprintf(out, "%s is valid: %d APIs, %d endpoints\n", configPath(command), len(file.APIs), endpoints); err != nil {
		return err
	}
	found := file.Insecure()
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
	return &cobra.Command{
		Use: "schema", Short: "Write the JSON Schema of the configuration, for editors", Args: cobra.NoArgs,
		Example: "  pavise schema > pavise.schema.json",
		RunE: func(command *cobra.Command, _ []string) error {
			text, err := config.Schema(app.Kinds())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s\n", text)
			return err
		},
	}
}
