package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
)

// helpCommand is cobra's, and knows the pages of the shields.
func helpCommand(root *cobra.Command) *cobra.Command {
	command := &cobra.Command{
		Use: "help [COMMAND]", Short: "Help on a command, or on a shield: help shield KIND",
		RunE: func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil || len(args) > 0 && found == root || len(rest) > 0 {
				return &usageError{fmt.Sprintf("there is no command %q", strings.Join(args, " ")), "`pavise help` lists them"}
			}
			return found.Help()
		},
	}
	command.AddCommand(&cobra.Command{
		Use: "shield [KIND]", Short: "The page of a shield", Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error { return helpShield(command, args) },
	})
	return command
}

func helpShield(command *cobra.Command, args []string) error {
	var rows [][]string
	var names []string
	for _, k := range app.Kinds() {
		if len(args) == 1 && args[0] == k.Name {
			_, err := fmt.Fprintln(command.OutOrStdout(), strings.TrimRight(withoutComments(k.README), "\n"))
			return err
		}
		rows, names = append(rows, []string{k.Name, k.Summary}), append(names, k.Name)
	}
	if len(args) == 1 {
		return &usageError{fmt.Sprintf("there is no shield of kind %q", args[0]), "the kinds are " + strings.Join(names, ", ")}
	}
	return table(command.OutOrStdout(), []string{"KIND", "WHO IS CALLING?"}, rows)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Which version this is", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(command.OutOrStdout(), "pavise %s\n", version())
			return err
		},
	}
}

// version is what this program was built from, by what, and for which machine.
func version() string {
	name, revision := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		name = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return fmt.Sprintf("%s%s %s %s/%s", name, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have the gateway read its configuration again", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Reload(ctx)
				if err != nil {
					return err
				}
				text := "the configuration is in force\n"
				if len(done.Waiting) > 0 {
					text = "the configuration is in force, but for what waits for the next start of pavise serve:\n"
				}
				for _, c := range done.Waiting {
					c.Restart = false // said once is enough
					text += "  " + c.String() + "\n"
				}
				_, err = fmt.Fprint(command.OutOrStdout(), text)
				return err
			})
		},
	}
}

func statusCommand() *cobra.Command {
	var asJSON, metrics bool
	command := &cobra.Command{
		Use: "status", Short: "Does a gateway run, and is it well?", Args: cobra.NoArgs,
		Long: `Does a gateway run, and is it well? With --metrics the answer is in the text format of
Prometheus: how things stand. 'pavise metrics' has also what the gateway counts.`,
		Example: "  pavise status\n  pavise status --metrics > /var/lib/node_exporter/pavise.prom",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				s, err := a.Status(ctx)
				if err != nil {
					return err
				}
				switch {
				case asJSON:
					return writeJSON(command.OutOrStdout(), s)
				case metrics:
					return writeMetrics(command.OutOrStdout(), s)
				}
				list := [][2]string{
					{"running", fmt.Sprint(s.Running)},
					{"file", s.Configuration},
					{"clients", fmt.Sprint(s.Clients)},
					{"keys", fmt.Sprint(s.Credentials)},
				}
				if l := s.Load; l != nil {
					list = append(list, [2]string{"under way", fmt.Sprintf("%d of %d requests", l.UnderWay, l.Places)})
				}
				if len(s.Certificates) > 0 {
					first := s.Certificates[0]
					list = append(list, [2]string{"next to end", first.Name + ", " + shortTime(first.NotAfter)})
				}
				for part, fault := range s.Faults {
					list = append(list, [2]string{part, fault})
				}
				return pairs(command.OutOrStdout(), list)
			})
		},
	}
	jsonFlag(command, &asJSON)
	command.Flags().BoolVar(&metrics, "metrics", false, "in the text format of Prometheus")
	return command
}
