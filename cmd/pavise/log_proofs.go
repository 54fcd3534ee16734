package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func logCheckpoint() *cobra.Command {
	return &cobra.Command{
		Use: "checkpoint", Short: "Sign and print a checkpoint of everything that is recorded", Args: cobra.NoArgs,
		Long: `Print a signed checkpoint of the log as it is now: a signed note (c2sp.org/signed-note)
with the number of records and the root of their Merkle tree. Whoever keeps it can find out later
whether anything before it was changed: 'pavise log consistency' here, or any tool for
transparency logs with the key that 'pavise log key --note' writes.`,
		Example: "  pavise log checkpoint > checkpoint-of-today.txt",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				n, err := a.Checkpoint(ctx)
				if err != nil {
					return err
				}
				text, err := n.Checkpoint.MarshalText()
				if err != nil {
					return err
				}
				_, err = command.OutOrStdout().Write(text)
				return err
			})
		},
	}
}

func logProve() *cobra.Command {
	var id string
	command := &cobra.Command{
		Use: "prove --id EVENT", Short: "Print what proves that an event is in the log, as JSON", Args: cobra.NoArgs,
		Long: `Print a signed checkpoint, the record of an event, and the hashes that lead from one to
the other (RFC 9162, section 2.1.3). Whoever has the key of 'pavise log key --note' can check it without
this installation: pavise log verify FILE --key KEY. No other record is shown.`,
		Example: "  pavise log prove --id 7k3v9m2d8q1n5p0r > proof.json",
		RunE: func(command *cobra.Command, _ []string) error {
			if id == "" {
				return &usageError{"name an event", "pavise log prove --id REQUEST_ID"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				evidence, err := a.Prove(ctx, id)
				if err != nil {
					return err
				}
				return writeJSON(command.OutOrStdout(), evidence)
			})
		},
	}
	command.Flags().StringVar(&id, "id", "", "id of the event; of a request its X-Request-Id")
	return command
}

func logConsistency() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "consistency CHECKPOINT", Short: "Does the log still begin with what a kept checkpoint covers? Exits 1 if not", Args: cobra.ExactArgs(1),
		Long: `Prove that the log of now only grew since a checkpoint that you have kept ('pavise log
checkpoint', or one of log.checkpoints): nothing before it was changed, removed or put in. With --json,
print the proof (RFC 9162, section 2.1.4), which 'pavise log verify FILE --key KEY' checks anywhere.`,
		Example: "  pavise log consistency checkpoint-of-yesterday.txt",
		RunE: func(command *cobra.Command, args []string) error {
			before, err := readCheckpoint(args[0])
			if err != nil {
				return err
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				growth, err := a.Consistency(ctx, before)
				if p, ok := errors.AsType[*admin.Problem](err); ok && (p.Code == "log_rewritten" || p.Code == "foreign_checkpoint") {
					return &badLogError{"the log does not extend the checkpoint: " + p.Detail}
				}
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), growth)
				}
				return showGrowth(command.OutOrStdout(), &growth)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func showGrowth(w io.Writer, g *audit.Growth) error {
	_, err := fmt.Fprintf(w, "the log only grew: its first %d of %d records are those of the checkpoint of %s\n",
		g.Before.Seq, g.After.Seq, shortTime(g.Before.Time))
	return err
}

// maxKeptNote bounds the file of a checkpoint.
const maxKeptNote = 64 << 10

func readCheckpoint(name string) (c audit.Checkpoint, err error) {
	file, err := os.Open(name)
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxKeptNote))
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", err)
	}
	if err := c.UnmarshalText(text); err != nil {
		return c, &hinted{fmt.Errorf("%s is no checkpoint: %w", name, err), "give one that `pavise log checkpoint` wrote; of several in a file, cut the one out: tail -n 7"}
	}
	return c, nil
}

// verifyFile checks an export, or a proof, without an installation.
func verifyFile(command *cobra.Command, name, key string, asJSON bool) error {
	if key == "" {
		return &usageError{"a file is verified with the key of the log that it is from", "pavise log verify FILE --key \"$(pavise log key --note)\", with the key as you had it before"}
	}
	_, public, err := audit.ParseVerifierKey(key)
	if err != nil {
		return &usageError{"--key: " + err.Error(), "`pavise log key --note` writes it"}
	}
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	out := command.OutOrStdout()
	begin := make([]byte, 64<<10)
	n, err := io.ReadFull(file, begin)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("verify: %w", err)
	}
	var evidence audit.Evidence
	if json.Unmarshal(begin[:n], &evidence) == nil && evidence.Record != "" {
		found, err := evidence.Check(public)
		if err != nil {
			return &badLogError{fmt.Sprintf("%s proves nothing: %v", name, err)}
		}
		_, err = fmt.Fprintf(out, "record %d was in the log of %d records that was signed on %s: %s\n",
			found.Seq, evidence.Checkpoint.Seq, shortTime(evidence.Checkpoint.Time), eventLine(&found.Event, false))
		return err
	}
	var growth audit.Growth
	if json.Unmarshal(begin[:n], &growth) == nil && growth.After.Seq > 0 {
		if err := growth.Check(public); err != nil {
			return &badLogError{fmt.Sprintf("%s proves nothing: %v", name, err)}
		}
		return showGrowth(out, &growth)
	}
	return verifyExport(out, name, public, asJSON)
}
