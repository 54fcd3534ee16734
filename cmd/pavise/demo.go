package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/demo"
)

// demoCommand shows what Pavise does.
func demoCommand() *cobra.Command {
	var settings demo.Settings
	command := &cobra.Command{
		Use:   "demo",
		Short: "Guard a small API with every shield, and print what to try",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			settings.Program, settings.Out = program, command.OutOrStdout()
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return demo.Run(ctx, settings)
		},
	}
	command.Flags().StringVar(&settings.Folder, "folder", "pavise-demo", "folder for everything that the demo makes; emptied at each start")
	command.Flags().StringVar(&settings.Listen, "listen", "127.0.0.1:8443", "address to listen on")
	return command
}
