package main

import "github.com/spf13/cobra"

func checkAgainst(command *cobra.Command, old string, f *reportFlags) error { return nil }
