package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/app"
)

func logReplay() *cobra.Command {
	var since string
	var asJSON, list bool
	command := &cobra.Command{
		Use: "replay", Short: "What the detections find in the events of the last days", Args: cobra.NoArgs,
		Example: "  pavise log replay --since 7d\n  pavise log replay --list",
		RunE: func(command *cobra.Command, _ []string) error {
			if list {
				return listDetections(command, asJSON)
			}
			from, err := parseMoment(since, time.Now())
			if err != nil {
				return err
			}
			file, err := app.Load(configPath(command))
			if err != nil {
				return err
			}
			found, err := replay(command.Context(), file.Log.Folder, from)
			if err != nil {
				return err
			}
			return writeIncidents(command, found, asJSON)
		},
	}
	command.Flags().StringVar(&since, "since", "7d", "a time (RFC 3339), or how long ago: 2h, 7d")
	command.Flags().BoolVar(&list, "list", false, "tell of the detections instead: what each means, and what to do")
	jsonFlag(command, &asJSON)
	return command
}

// replay gathers the incidents that begin.
func replay(ctx context.Context, log string, from time.Time) ([]alert.Incident, error) {
	found := []alert.Incident{}
	err := alert.Replay(ctx, log, from, alert.Detections(), func(i alert.Incident) {
		if !i.Ended {
			found = append(found, i)
		}
	})
	return found, err
}

func writeIncidents(command *cobra.Command, found []alert.Incident, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, found)
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(out, "nothing was found")
		return err
	}
	rows := make([][]string, 0, len(found))
	for _, i := range found {
		rows = append(rows, []string{i.Began.UTC().Format(time.RFC3339), i.Detection, string(i.Severity), i.Subject.String(), i.What, i.Event})
	}
	return table(out, []string{"TIME", "DETECTION", "SEVERITY", "ABOUT", "WHAT", "EVENT"}, rows)
}

// detection is the form for programs.
type detection struct {
	Name     string         `json:"name"`
	Severity alert.Severity `json:"severity"`
	Means    string         `json:"means"`
	Do       string         `json:"do"`
}

func listDetections(command *cobra.Command, asJSON bool) error {
	var all []detection
	rows := [][]string{}
	for _, k := range alert.Detections() {
		all = append(all, detection{k.Name, k.Severity, k.Means, k.Do})
		rows = append(rows, []string{k.Name, string(k.Severity), k.Means, k.Do})
	}
	if asJSON {
		return writeJSON(command.OutOrStdout(), all)
	}
	return table(command.OutOrStdout(), []string{"DETECTION", "SEVERITY", "MEANS", "DO"}, rows)
}
