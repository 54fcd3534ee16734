package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/finding"
)

// checkLeaks looks for credentials in files.
func checkLeaks(command *cobra.Command, folder string, f *reportFlags) error {
	waivers, err := readWaivers(f.waivers)
	if err != nil {
		return err
	}
	found, err := leaks.Walk(folder)
	if err != nil {
		return &usageError{err.Error(), "name a folder or a file"}
	}
	now := time.Now()
	holders, note := holdersOf(command, found, f.noStore, now)
	report := leaks.Report(folder, found, holders, now)
	if note != "" {
		report.Notes = append(report.Notes, note)
	}
	report.Waive(waivers, true)
	if err := finding.Write(command.OutOrStdout(), f.form(), finding.Style{Color: isTerminal(command.OutOrStdout()), All: f.all, FailOn: f.least}, report); err != nil {
		return err
	}
	bad := report.At(finding.Low)
	if bad == 0 || !f.fails {
		return nil
	}
	return &hinted{fmt.Errorf("%s in %s", counted(bad, "credential"), folder), "revoke them first, take them out then: who could read the files has them"}
}

// holdersOf asks the store about keys that were found; nil, with why, if it cannot be asked.
func holdersOf(command *cobra.Command, found *leaks.Found, no bool, now time.Time) (holders func(string) leaks.Holder, note string) {
	keys := 0
	for i := range found.Leaks {
		if found.Leaks[i].IsOfStore() {
			keys++
		}
	}
	if keys == 0 || no {
		return nil, ""
	}
	file, err := app.Load(configPath(command))
	if err != nil {
		return nil, "whether keys are in force was not asked: there is no configuration that can be read (-c names it)"
	}
	if app.IsNew(file) {
		return nil, "whether keys are in force was not asked: there is no store in " + file.State.Folder
	}
	var clients []client.Client
	var credentials []client.Credential
	err = administer(command, func(ctx context.Context, c *admin.Client) error {
		var first, second error
		clients, first = c.Clients(ctx)
		credentials, second = c.Credentials(ctx, "", "")
		return errors.Join(first, second)
	})
	if err != nil {
		return nil, "whether keys are in force was not asked: " + err.Error()
	}
	return leaks.HoldersOf(clients, credentials, now), ""
}
