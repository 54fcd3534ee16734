package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/store/lock"
)

// administer calls do with the administration of the installation: of the gateway
// that runs, or, when none does, of this process, which holds the data folder
// while do runs.
func administer(command *cobra.Command, do func(context.Context, *admin.Client) error) error {
	file, err := app.Load(configPath(command))
	if err != nil {
		return despite(command, err, do)
	}
	ctx := command.Context()
	for tries := lockTries; ; tries-- {
		transport, err := admin.Dial(ctx, file.State.Socket)
		if err == nil {
			return do(ctx, admin.Connect(transport))
		}
		if !errors.Is(err, admin.ErrNoGateway) {
			return err
		}
		if err = offline(command, file, do); tries == 0 || !errors.Is(err, lock.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// Another command holds the data folder for a moment, and a gateway that starts has no
// socket yet: both are waited for, five seconds at most.
const (
	lockTries = 50
	lockPause = 100 * time.Millisecond
)

// despite asks the gateway that runs although the file cannot be read: its own is in
// force, and what has to be revoked cannot wait for somebody's editing. Nothing else is
// done with such a file.
func despite(command *cobra.Command, wrong error, do func(context.Context, *admin.Client) error) error {
	var problems config.Problems
	if !errors.As(wrong, &problems) {
		return wrong
	}
	socket, err := config.Socket(configPath(command))
	if err != nil {
		return wrong
	}
	transport, err := admin.Dial(command.Context(), socket)
	if err != nil {
		return wrong
	}
	_, _ = fmt.Fprintf(command.ErrOrStderr(), "warning: %s has %s (`pavise check` lists them); the gateway that runs is asked all the same\n", configPath(command), counted(len(problems), "problem"))
	return do(command.Context(), admin.Connect(transport))
}

func offline(command *cobra.Command, file *config.File, do func(context.Context, *admin.Client) error) (err error) {
	ctx := command.Context()
	if err := mayAct(file.State.Folder, os.Geteuid()); err != nil {
		return err
	}
	state, err := app.OpenState(ctx, file, app.StateOptions{Now: time.Now, Warn: func(warning error) {
		_, _ = fmt.Fprintln(command.ErrOrStderr(), "warning:", printable(warning.Error()))
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if state.Created {
		_, _ = fmt.Fprintf(command.ErrOrStderr(), "made %s and the master key %s: keep a copy of the key elsewhere, nothing can be read without it\n", file.State.Folder, file.State.MasterKey)
	}
	return do(ctx, admin.Connect(admin.InProcess(app.Administration(file, state, time.Now))))
}
