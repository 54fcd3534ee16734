package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/finding"
)

// checkAgainst compares the configuration with an old one, by requests that both decide about.
func checkAgainst(command *cobra.Command, old string, f *reportFlags) (err error) {
	older, err := app.Load(old)
	if err != nil {
		return fmt.Errorf("the old configuration: %w", err)
	}
	name := configPath(command)
	newer, err := app.Load(name)
	if err != nil {
		return err
	}
	now := time.Now()
	result, err := app.Against(older, newer, now)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	report := against.Report(name+" against "+old, result, now)
	if f.asJSON {
		err = writeJSON(out, result)
	} else {
		err = finding.Write(out, f.form(), finding.Style{Color: isTerminal(out), All: true, FailOn: f.least}, report)
	}
	if err != nil || !f.fails || len(result.Opened) == 0 {
		return err
	}
	return &hinted{fmt.Errorf("%s opened by %s", counted(len(result.Opened), "door"), name), "--fail-on none if it is meant"}
}
