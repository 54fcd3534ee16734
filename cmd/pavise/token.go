package main

import "github.com/spf13/cobra"

// tokenCommand is what is done about tokens: the caller's half gets them, the operator's
// half looks at what was issued.
func tokenCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "token", Short: "Get access tokens; see and end what was granted", Args: cobra.NoArgs,
	}
	command.AddCommand(tokenGetCommand(), tokenForgetCommand(), tokenGrants(), tokenInspect())
	return command
}
