package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
)

func storeCommand() *cobra.Command {
	command := &cobra.Command{Use: "store", Short: "The keys under which the data folder is kept: rotate, rekey"}
	command.AddCommand(storeRotate(), storeRekey())
	return command
}

// storeRotate makes new data keys.
func storeRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Seal everything in the store again under new data keys", Args: cobra.NoArgs,
		Long: `Seal every secret in the store, and tag every row, under new data keys. The master
key stays. Every credential stays valid throughout; if it breaks off, do it again.`,
		Example: "  pavise store rotate",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.RotateStore(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(command.OutOrStdout(), "rotated:", printable(done.Change))
				return err
			})
		},
	}
}

// storeRekey changes the master key.
func storeRekey() *cobra.Command {
	var to string
	command := &cobra.Command{
		Use: "rekey", Short: "Put the store under a new master key; no gateway may run", Args: cobra.NoArgs,
		Long: `Put the store under a new master key, while no gateway runs. The key is made beside the
old one and takes its place; the old one stays beside it (.old- and its id), for
backups that were made under it. A kill at any moment loses nothing: do it again.

With --to, the key is read from that file (32 bytes in base64, mode 0600) and nothing
is moved: put it where state.master_key or state.master_key_command will find it
before the next start.`,
		Example: "  pavise store rekey",
		RunE: func(command *cobra.Command, _ []string) error {
			file, err := app.Load(configPath(command))
			if err != nil {
				return err
			}
			if _, err := admin.Dial(command.Context(), file.State.Socket); err == nil {
				return &hinted{errors.New("a gateway runs, and would go on with the old key"), "stop it, change the key, and start it again"}
			}
			change, err := app.Rekey(command.Context(), file, app.StateOptions{Now: time.Now}, to, admin.CurrentUser().Name)
			if err != nil {
				return err
			}
			where := "it is in " + file.State.MasterKey + ", the old one beside it"
			if to != "" {
				where = "put " + to + " where the next start will find it"
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "the store is %s: %s. Keep a copy of it elsewhere.\n", change.Text, where)
			return err
		},
	}
	command.Flags().StringVar(&to, "to", "", "file with the new key; default: one is made")
	return command
}
