package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// explainFlags are what a question is made of.
type explainFlags struct {
	whatIf    whatIfFlags
	signature signatureFlags
	diff      diffFlags
	log       string
	asJSON    bool
}

func explainCommand() *cobra.Command {
	f := &explainFlags{}
	command := &cobra.Command{
		Use:   "explain REQUEST-ID | explain --as CLIENT METHOD /path | explain --signature REQUEST-ID --string FILE | explain --diff FILE",
		Short: "Why was a request refused, why would it be, and which would be after a change?",
		Args:  cobra.MaximumNArgs(2),
		Long: `Why was a request refused, why would it be, and which would be after a change?

REQUEST-ID draws the path of a recorded request, or of a connection that failed, step by step: who it was, which part of
the shield refused, how long each part took, what holds for the endpoint, and the command that comes next.

--as CLIENT METHOD /path asks what would become of a request that is not sent: every step of the guard judges it, and nothing
is counted, used up or recorded. What cannot be judged is named. Exit code 3: it would be refused.

--signature REQUEST-ID --string FILE compares the text that the caller signed (of 'pavise call --debug', or of its own
log) with what the gateway computed, line by line, and names the usual mistakes.

--diff FILE asks, of the requests of the log, which ones that configuration would newly refuse or newly let pass. Exit code 1 if
there are any; --fail-on says which count.`,
		Example: `  pavise explain 4bf92f3577b34da6
  pavise explain --as shop GET /v1/orders/7
  pavise explain --as shop POST /v1/orders --body @order.json --from 192.0.2.7 --at 2026-12-01T10:00
  pavise call POST https://api.example.com/v1/orders --debug … 2> signed.txt; pavise explain --signature 4bf92f3577b34da6 --string signed.txt
  pavise explain --diff new.yaml --since 24h`,
		RunE: func(command *cobra.Command, args []string) error { return f.run(command, args) },
	}
	flags := command.Flags()
	f.whatIf.register(flags)
	f.signature.register(flags)
	f.diff.register(flags)
	flags.StringVar(&f.log, "log", "", "with REQUEST-ID: read this folder of a log, of an installation that is not here")
	jsonFlag(command, &f.asJSON)
	return command
}

// run finds out which of the four questions is asked.
func (f *explainFlags) run(command *cobra.Command, args []string) error {
	asked := 0
	for _, one := range []bool{f.whatIf.q.Client != "", f.signature.id != "", f.diff.file != "", f.log != ""} {
		if one {
			asked++
		}
	}
	wrong := &usageError{"want a request id, or --as CLIENT with a method and a path, or --signature, or --diff, one of them", "pavise explain --as shop GET /v1/orders/7"}
	if asked > 1 {
		return wrong
	}
	if err := f.misplaced(command); err != nil {
		return err
	}
	switch {
	case f.diff.file != "" && len(args) == 0:
		return f.diff.run(command, f.asJSON)
	case f.signature.id != "" && len(args) == 0:
		return f.signature.run(command, f.asJSON)
	case f.whatIf.q.Client != "" && len(args) == 2:
		return f.whatIf.run(command, args[0], args[1], f.asJSON)
	case f.log != "" && len(args) == 1:
		return explainFrom(command, f.log, args[0], f.asJSON)
	case asked == 0 && len(args) == 1:
		return explainRequest(command, args[0], f.asJSON)
	}
	return wrong
}

// misplaced refuses flags of another question than the one that is asked: they would do nothing.
func (f *explainFlags) misplaced(command *cobra.Command) error {
	for _, of := range []struct {
		asked bool
		flags []string
		to    string
	}{
		{f.whatIf.q.Client != "", []string{"credential", "host", "header", "from", "at"}, "--as CLIENT"},
		{f.whatIf.q.Client != "" || f.signature.id != "", []string{"body"}, "--as CLIENT or --signature"},
		{f.signature.id != "", []string{"string"}, "--signature"},
		{f.diff.file != "", []string{"since", "until", "api", "fail-on"}, "--diff"},
	} {
		for _, name := range of.flags {
			if !of.asked && command.Flags().Changed(name) {
				return &usageError{"--" + name + " belongs to " + of.to, "pavise help explain"}
			}
		}
	}
	return nil
}

// pairs writes names and values, without those that are empty.
func pairs(out io.Writer, list [][2]string) error {
	for _, pair := range list {
		if pair[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-11s %s\n", pair[0], oneLine(pair[1])); err != nil {
			return err
		}
	}
	return nil
}

// oneLine keeps what others wrote on its line.
func oneLine(text string) string { return strings.ReplaceAll(printable(text), "\n", " ") }
