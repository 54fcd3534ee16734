package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
)

// serveCommand runs the gateway.
func serveCommand() *cobra.Command {
	var drain, notice time.Duration
	var restored bool
	var calls string
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway with the configuration file.

The file is read again when it changes, and on SIGHUP; a bad one leaves the old
one in force. SIGTERM and Ctrl-C let requests under way end, then stop.

With --outbound FILE it is no gateway but a helper for services on this machine: they call
http://127.0.0.1:PORT, and it calls others for them with a client certificate and
signatures. It needs no data folder. 'pavise schema --outbound' describes the file.`,
		Example: `  pavise serve
  pavise serve --outbound outbound.yaml`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if calls != "" {
				return serveOutbound(command.Context(), calls, drain, command.ErrOrStderr())
			}
			return serve(command.Context(), configPath(command), drain, notice, restored, command.ErrOrStderr())
		},
	}
	command.Flags().DurationVar(&drain, "drain", 30*time.Second, "how long requests under way may take to end")
	command.Flags().DurationVar(&notice, "notice", 0, "how long /readyz says that the gateway ends before it takes no more connections")
	command.Flags().StringVar(&calls, "outbound", "", "file with the calls that are carried for services on this machine")
	command.Flags().BoolVar(&restored, "accept-restored", false, "start although the store was put back from a backup: what was revoked since then is in force again")
	return command
}

func serve(ctx context.Context, path string, drain, notice time.Duration, restored bool, out io.Writer) error {
	file, err := app.Load(path)
	if err != nil {
		return err
	}
	running, err := app.Start(ctx, file, app.Options{AcceptRestored: restored, Warn: func(err error) { _, _ = fmt.Fprintln(out, "warning:", err) }})
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1) // before anybody is told that it serves
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(stop)
	defer signal.Stop(again)
	if running.Created() {
		_, _ = fmt.Fprintf(out, "made %s and the master key %s: keep a copy of the key elsewhere, nothing can be read without it\n", file.State.Folder, file.State.MasterKey)
	}
	running.Notice = notice
	if address := running.Metrics(); address != "" {
		_, _ = fmt.Fprintf(out, "metrics and health at %s\n", address)
	}
	_, _ = fmt.Fprintf(out, "pavise serves https://%s\n", running.HTTPS())
	return running.Until(ctx, stop, again, drain)
}
