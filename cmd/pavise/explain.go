package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func explainCommand() *cobra.Command {
	var q admin.WhatIf
	var asJSON bool
	command := &cobra.Command{
		Use: "explain REQUEST-ID | explain --as CLIENT METHOD /path", Short: "Why was a request refused, or why would it be?",
		Args: cobra.RangeArgs(1, 2),
		Example: `  pavise explain 4bf92f3577b34da6
  pavise explain --as shop GET /v1/orders/7`,
		RunE: func(command *cobra.Command, args []string) error {
			switch {
			case q.Client == "" && len(args) == 1:
				return explainRequest(command, args[0], asJSON)
			case q.Client != "" && len(args) == 2:
				q.Method, q.Path = strings.ToUpper(args[0]), args[1]
				return foresee(command, q, asJSON)
			}
			return &usageError{"want a request id, or --as CLIENT with a method and a path", "pavise explain --as shop GET /v1/orders/7"}
		},
	}
	command.Flags().StringVar(&q.Client, "as", "", "client that would call; nothing is sent")
	command.Flags().StringVar(&q.Credential, "credential", "", "with this credential of the client; default: any")
	command.Flags().StringVar(&q.Host, "host", "", "host that would be called; default: the one that has the path")
	jsonFlag(command, &asJSON)
	return command
}

func explainRequest(command *cobra.Command, id string, asJSON bool) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		x, err := a.Explain(ctx, id)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		if asJSON {
			return writeJSON(out, x)
		}
		e, err := audit.ParseJSON(x.Event)
		if err != nil {
			return fmt.Errorf("read the event: %w", err)
		}
		if _, err := fmt.Fprintln(out, eventLine(&e, isTerminal(out))); err != nil {
			return err
		}
		return pairs(out, [][2]string{{"decision", x.Decision}, {"step", x.Step}, {"code", x.Code}, {"why", x.Why}, {"remedy", x.Remedy}})
	})
}

func foresee(command *cobra.Command, q admin.WhatIf, asJSON bool) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		answer, err := a.WhatIf(ctx, q)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		if asJSON {
			err = writeJSON(out, answer)
		} else {
			err = showForeseen(out, answer)
		}
		if err == nil && !answer.Allowed {
			return &refusedError{fmt.Sprintf("%s %s as %s would be refused", q.Method, q.Path, q.Client)}
		}
		return err
	})
}

func showForeseen(out io.Writer, a admin.Answer) error {
	decision := "accepted"
	if !a.Allowed {
		decision = fmt.Sprintf("refused with %d", a.Status)
	}
	return pairs(out, [][2]string{
		{"decision", decision},
		{"api", a.API},
		{"endpoint", a.Endpoint},
		{"shield", a.Shield},
		{"step", a.Step},
		{"code", a.Code},
		{"why", a.Why},
		{"remedy", a.Remedy},
		{"not judged", strings.Join(a.Unknown, "; ")},
	})
}

// pairs writes names and values, without those that are empty.
func pairs(out io.Writer, list [][2]string) error {
	for _, pair := range list {
		if pair[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-11s %s\n", pair[0], strings.ReplaceAll(printable(pair[1]), "\n", " ")); err != nil {
			return err
		}
	}
	return nil
}
