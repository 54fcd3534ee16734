package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

func logCommand() *cobra.Command {
	command := &cobra.Command{Use: "log", Short: "The event log: follow, search, replay, alerts, verify, prove, export, erase, its keys, and where else events go"}
	command.AddCommand(logFollow(), logSearch(), logReplay(), logAlerts(), logSilence(), logSilences(), logUnsilence(), logSinks(), logVerify(), logKey(), logCheckpoint(), logProve(), logConsistency(), logExport(), logErase(), logRetention())
	return command
}

// queryFlags select events.
type queryFlags struct {
	audit.Query
	trace, decision, class, address, since, until string
	asJSON                                        bool
}

func (f *queryFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.ID, "id", "", "request id")
	flags.StringVar(&f.trace, "trace", "", "trace id, or a whole traceparent")
	flags.StringVar(&f.Client, "client", "", "client")
	flags.StringVar(&f.Credential, "credential", "", "credential id")
	flags.StringVar(&f.User, "user", "", "user")
	flags.StringVar(&f.Subject, "subject", "", "subject")
	flags.StringVar(&f.Tenant, "tenant", "", "tenant")
	flags.StringVar(&f.API, "api", "", "API")
	flags.StringVar(&f.Endpoint, "endpoint", "", "endpoint, like 'GET /v1/orders'")
	flags.StringVar(&f.Code, "code", "", "code, like invalid_credential")
	flags.StringVar(&f.decision, "decision", "", "accepted, refused, failed or noted")
	flags.StringVar(&f.class, "class", "", "request, connection, admin, grant, detection or system")
	flags.StringVar(&f.address, "address", "", "caller's address or network")
	jsonFlag(command, &f.asJSON)
}

func (f *queryFlags) query(now time.Time) (audit.Query, error) {
	q := f.Query
	q.Decision, q.Class = audit.Decision(f.decision), audit.Class(f.class)
	if !oneOf(f.decision, "", "accepted", "refused", "failed", "noted") {
		return q, &usageError{fmt.Sprintf("--decision %q is none", f.decision), "accepted, refused, failed or noted"}
	}
	if !oneOf(f.class, "", "request", "connection", "admin", "grant", "detection", "system") {
		return q, &usageError{fmt.Sprintf("--class %q is none", f.class), "request, connection, admin, grant, detection or system"}
	}
	if f.trace != "" {
		if q.Trace = traceOf(f.trace); q.Trace == "" {
			return q, &usageError{fmt.Sprintf("--trace %.60q is none", f.trace), "32 hexadecimal digits, or a traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
		}
	}
	if f.address != "" {
		network, err := config.ParseNetwork(f.address)
		if err != nil {
			return q, &usageError{fmt.Sprintf("--address: %v", err), "write 192.0.2.7 or 192.0.2.0/24"}
		}
		q.Address = netip.PrefixFrom(network.Addr(), network.Bits())
	}
	for text, into := range map[*string]*time.Time{&f.since: &q.Since, &f.until: &q.Until} {
		if *text == "" {
			continue
		}
		at, err := parseMoment(*text, now)
		if err != nil {
			return q, err
		}
		*into = at
	}
	return q, nil
}

// traceOf is the trace that an id or a traceparent (W3C Trace Context §3.2) names; empty: it is neither.
func traceOf(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if parts := strings.Split(text, "-"); len(parts) >= 4 && len(parts[0]) == 2 {
		text = parts[1]
	}
	if len(text) != 32 || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}

func oneOf(word string, words ...string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// parseMoment reads a time, or how long ago it was.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := config.ParseDuration(text)
	if err != nil {
		return time.Time{}, &usageError{fmt.Sprintf("%q is no time", text), "write 2026-11-01T12:00:00Z, or how long ago: 2h"}
	}
	return now.Add(-ago), nil
}

func logSearch() *cobra.Command {
	f := &queryFlags{}
	command := &cobra.Command{
		Use: "search", Short: "Show recorded events, oldest first", Args: cobra.NoArgs,
		Example: "  pavise log search --decision refused --since 1h",
		RunE: func(command *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				found, err := a.Events(ctx, q)
				if err != nil {
					return err
				}
				for _, r := range found.Records {
					if err := showEvent(command.OutOrStdout(), r.Event, f.asJSON); err != nil {
						return err
					}
				}
				if found.Damage != "" {
					return &hinted{errors.New("what could be read is shown, but not all could: " + found.Damage), "`pavise log verify` names the first bad record"}
				}
				return nil
			})
		},
	}
	f.register(command)
	command.Flags().StringVar(&f.since, "since", "", "not before: a time, or how long ago, like 2h")
	command.Flags().StringVar(&f.until, "until", "", "before: a time, or how long ago")
	command.Flags().IntVar(&f.Limit, "limit", 100, "the newest so many, at most 10000")
	return command
}

// followEvery is how often the log is looked at.
const followEvery = 200 * time.Millisecond

// logFollow reads the files themselves: it may go on for hours, and holding the
// data folder so long would keep a gateway from starting.
func logFollow() *cobra.Command {
	f := &queryFlags{}
	command := &cobra.Command{
		Use: "follow", Short: "Show events as they happen, until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			file, err := app.Load(configPath(command))
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			ticker := time.NewTicker(followEvery)
			defer ticker.Stop()
			err = audit.Follow(ctx, file.Log.Folder, q, ticker.C, func(found audit.Found) {
				if err := showEvent(command.OutOrStdout(), found.JSON, f.asJSON); err != nil {
					cancel(err) // nobody reads any more
				}
			})
			return err
		},
	}
	f.register(command)
	return command
}

// showEvent writes one event, as one line.
func showEvent(w io.Writer, text []byte, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(w, "%s\n", text)
		return err
	}
	e, err := audit.ParseJSON(text)
	if err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	_, err = fmt.Fprintln(w, eventLine(&e, isTerminal(w)))
	return err
}

// eventLine is an event for people.
func eventLine(e *audit.Event, color bool) string {
	tone := map[audit.Decision]string{audit.Accepted: "32", audit.Refused: "31", audit.Failed: "33"}[e.Decision]
	parts := []string{paint(color, "2", e.Time.UTC().Format("2006-01-02T15:04:05.000Z")), paint(color, tone, fmt.Sprintf("%-8s", e.Decision))}
	switch e.Class {
	case audit.Admin:
		parts = append(parts, e.Actor, e.Action, e.Target, e.Change)
	case audit.Grant:
		parts = append(parts, e.Action, e.Client, e.Subject, e.Target)
	default:
		parts = append(parts, e.Method, e.Host+e.Path)
		if e.Status != 0 {
			parts = append(parts, fmt.Sprint(e.Status))
		}
		parts = append(parts, e.Client, e.Target)
	}
	if e.Code != "" {
		parts = append(parts, paint(color, tone, strings.TrimPrefix(e.Step+": ", ": ")+e.Code))
	}
	parts = append(parts, e.Detail, e.Warning, e.Note)
	if e.Would != "" {
		parts = append(parts, "would refuse: "+e.Would)
	}
	if e.Changed != "" {
		parts = append(parts, "changed: "+e.Changed)
	}
	if e.Count > 1 {
		parts = append(parts, fmt.Sprintf("(%d times)", e.Count))
	}
	parts = append(parts, paint(color, "2", e.ID))
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, plainLine(part, color))
		}
	}
	return strings.Join(kept, "  ")
}

// plainLine keeps a part on its line. Parts of ours may carry colours.
func plainLine(part string, color bool) string {
	if color && strings.HasPrefix(part, "\x1b[") {
		return "\x1b" + strings.ReplaceAll(printable(strings.TrimSuffix(part[1:], "\x1b[0m")), "\n", " ") + "\x1b[0m"
	}
	return strings.ReplaceAll(printable(part), "\n", " ")
}

func logVerify() *cobra.Command {
	var asJSON bool
	var key string
	command := &cobra.Command{
		Use: "verify [FILE]", Short: "Was the log, or an export or proof of it, changed by anybody? Exits 1 and names the first bad record", Args: cobra.MaximumNArgs(1),
		Long: `Verify the log of this installation: every record against the chain's key and the Merkle
tree, every checkpoint against its signature, every tombstone against the event that tells of it.

With a FILE, verify what 'pavise log export', 'prove' or 'consistency --json' wrote, anywhere, with the key of the
log it is from.`,
		Example: "  pavise log verify\n  pavise log verify october.jsonl --key gw1+1f3a…",
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return verifyFile(command, args[0], key, asJSON)
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				v, err := a.Verify(ctx)
				if err != nil {
					return err
				}
				return showVerified(command, v, asJSON)
			})
		},
	}
	jsonFlag(command, &asJSON)
	command.Flags().StringVar(&key, "key", "", "of a FILE: the key of its log, as 'pavise log key --note' wrote it")
	return command
}

func showVerified(command *cobra.Command, v admin.Verified, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		if err := writeJSON(out, v); err != nil {
			return err
		}
	}
	if !v.Whole {
		return &badLogError{fmt.Sprintf("the log does not verify: %s:%d: record %d: %s", v.File, v.Line, v.Bad, v.Why)}
	}
	if asJSON {
		return nil
	}
	text := fmt.Sprintf("the log is whole: records %d to %d, %d signed checkpoints", v.First, v.Last, v.Checkpoints)
	if !v.Begun.IsZero() {
		text += fmt.Sprintf("; it was BEGUN ANEW on %s: what was recorded before is missing", v.Begun.UTC().Format(time.RFC3339))
	}
	if v.Erased > 0 {
		text += fmt.Sprintf("; %d were erased on purpose", v.Erased)
	}
	if v.Expired > 0 {
		text += fmt.Sprintf("; of %d only the hashes are kept, as their time was over", v.Expired)
	}
	if v.Last > v.Covered {
		text += fmt.Sprintf("; the newest %d rest on the chain's key alone until the next checkpoint", v.Last-v.Covered)
	}
	if v.Torn > 0 {
		text += fmt.Sprintf("; an unfinished last record of %d bytes is left from a process that died", v.Torn)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
