package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

func logReplay() *cobra.Command {
	var since, rules string
	var only []string
	var asJSON, list bool
	command := &cobra.Command{
		Use: "replay", Short: "What the detections find in the events of the last days", Args: cobra.NoArgs,
		Long: `Run the detections over what the log holds, and show the incidents that they find. They begin
with nothing learned, so that those that know what is usual are silent in the first days.

--rules reads a file that holds what stands under alerts: rules, thresholds, off. Its rules run
beside those of the configuration; use it to see how often one would have fired before it does.`,
		Example: `  pavise log replay --since 7d
  pavise log replay --since 30d --detection guessing,stuffing
  pavise log replay --rules mine.yaml --detection report_errors
  pavise log replay --list`,
		RunE: func(command *cobra.Command, _ []string) error {
			from, err := parseMoment(since, time.Now())
			if err != nil {
				return err
			}
			file, err := app.Load(configPath(command))
			if err != nil {
				return err
			}
			kinds, err := chosen(file, rules, only)
			if err != nil {
				return err
			}
			if list {
				return listDetections(command, kinds, asJSON)
			}
			found, err := replay(command.Context(), file.Log.Folder, from, kinds)
			if err != nil {
				return err
			}
			return writeIncidents(command, found, asJSON)
		},
	}
	command.Flags().StringVar(&since, "since", "7d", "a time (RFC 3339), or how long ago: 2h, 7d")
	command.Flags().StringSliceVar(&only, "detection", nil, "only these, by name; also one that is off")
	command.Flags().StringVar(&rules, "rules", "", "a file with further rules, thresholds and what is off")
	command.Flags().BoolVar(&list, "list", false, "tell of the detections instead: what each means, counts, and what to do")
	jsonFlag(command, &asJSON)
	return command
}

// chosen are the detections that a replay runs: those of the configuration and of a file of
// rules, or of both those that are named.
func chosen(file *config.File, rules string, only []string) ([]alert.Kind, error) {
	d := file.Alerts.Detecting
	if rules != "" {
		more, err := config.LoadDetecting(rules, file)
		if err != nil {
			return nil, err
		}
		d = d.With(more)
	}
	d.Detections = "" // a replay is asked for
	if len(only) == 0 {
		return d.Kinds(), nil
	}
	d.Off = nil
	all := d.Kinds()
	var names []string
	for _, k := range all {
		names = append(names, k.Name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, &usageError{fmt.Sprintf("there is no detection %.60q", name), "pavise log replay --list shows them"}
		}
	}
	return slices.DeleteFunc(all, func(k alert.Kind) bool { return !slices.Contains(only, k.Name) }), nil
}

// replay gathers the incidents that begin, with how often each was raised until it ended.
func replay(ctx context.Context, log string, from time.Time, kinds []alert.Kind) ([]alert.Incident, error) {
	found := []alert.Incident{}
	err := alert.Replay(ctx, log, from, kinds, func(i alert.Incident) {
		if !i.Ended {
			found = append(found, i)
			return
		}
		for at := range slices.Backward(found) {
			if b := &found[at]; b.Detection == i.Detection && b.Subject == i.Subject {
				*b = i
				return
			}
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
		rows = append(rows, []string{i.Began.UTC().Format(time.RFC3339), i.Detection, string(i.Severity), printable(i.Subject.String()), printable(i.What), i.Event})
	}
	return table(out, []string{"TIME", "DETECTION", "SEVERITY", "ABOUT", "WHAT", "EVENT"}, rows)
}

// detection is the form for programs.
type detection struct {
	Name      string         `json:"name"`
	Severity  alert.Severity `json:"severity"`
	Threshold int            `json:"threshold,omitempty"`
	Counts    string         `json:"counts,omitempty"`
	Means     string         `json:"means"`
	Do        string         `json:"do"`
}

func listDetections(command *cobra.Command, kinds []alert.Kind, asJSON bool) error {
	all := make([]detection, 0, len(kinds))
	rows := make([][]string, 0, len(kinds))
	for _, k := range kinds {
		d := detection{k.Name, k.Severity, k.Most, k.Counts, k.Means, k.Do}
		fires := "with the first sign"
		if k.Most > 0 {
			fires = strings.TrimSpace("above " + strconv.Itoa(k.Most) + " " + k.Counts)
		} else {
			d.Counts = ""
		}
		all = append(all, d)
		rows = append(rows, []string{k.Name, string(k.Severity), fires, k.Means, k.Do})
	}
	if asJSON {
		return writeJSON(command.OutOrStdout(), all)
	}
	return table(command.OutOrStdout(), []string{"DETECTION", "SEVERITY", "FIRES", "MEANS", "DO"}, rows)
}
