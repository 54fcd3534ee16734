package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/sink/form"
)

// proofSuffix names the file beside an export in a form of others, which proves it.
const proofSuffix = ".proof.jsonl"

const csvForm = "csv"

func logExport() *cobra.Command {
	f := &queryFlags{}
	var format, out string
	command := &cobra.Command{
		Use: "export", Short: "Write events to a file that whoever receives it can verify", Args: cobra.NoArgs,
		Long: `Write the events that the flags select, from the log of this installation, with a signed
checkpoint and the hashes that lead to it. Whoever has the key of 'pavise log key --note' sees with 'pavise log
verify FILE --key KEY' that nothing was changed, left out between the first and the last, or put in; events that
were not asked for are there as hashes alone.

As json, everything is in one file. In another form (ocsf, ecs, cef, csv) the events are in FILE, and what proves
them in FILE.proof.jsonl; verify needs both. Without --format, the ending of FILE says the form: .csv, .cef, .ocsf,
.ecs; .json, .jsonl and .ndjson are json. Nothing is written over.`,
		Example: `  pavise log export --since 2026-10-01T00:00:00Z --until 2026-11-01T00:00:00Z --out october.jsonl
  pavise log export --user ann --since 90d --out ann.jsonl
  pavise log export --since 24h --out yesterday.csv`,
		RunE: func(command *cobra.Command, _ []string) error {
			format, err := exportForm(format, out, command.Flags().Changed("format"))
			if err != nil {
				return err
			}
			if out == "" && format != form.JSON {
				return &usageError{"an export as " + format + " is two files", "say where: --out FILE"}
			}
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			file, err := app.Load(configPath(command))
			if err != nil {
				return err
			}
			var note admin.Note
			err = administer(command, func(ctx context.Context, a *admin.Client) (err error) {
				note, err = a.Checkpoint(ctx)
				return err
			})
			if err != nil {
				return err
			}
			e := exporter{log: file.Log.Folder, query: q, head: audit.Exported{
				Key: note.Key, Checkpoint: note.Checkpoint, Format: format, Node: note.Checkpoint.Node, At: time.Now().UTC().Truncate(time.Second),
			}}
			return e.run(command, out)
		},
	}
	f.register(command)
	flags := command.Flags()
	flags.StringVar(&f.since, "since", "", "not before: a time, or how long ago, like 2h")
	flags.StringVar(&f.until, "until", "", "before: a time, or how long ago")
	flags.StringVar(&format, "format", form.JSON, "json, ocsf, ecs, cef or csv; without it, what the file's ending says")
	flags.StringVar(&out, "out", "", "file to write; without it, json is written to the output")
	_ = flags.MarkHidden("json")
	return command
}

// exportForm is the form of an export: the one that is asked for, or the one that the file's ending
// says. A file that says one thing and holds another is written by mistake.
func exportForm(format, out string, asked bool) (string, error) {
	if !oneOf(format, form.JSON, form.OCSF, form.ECS, form.CEF, csvForm) {
		return "", &usageError{fmt.Sprintf("--format %.40q is none", format), "json, ocsf, ecs, cef or csv"}
	}
	ending := strings.ToLower(filepath.Ext(out))
	said := formsOf(ending)
	switch {
	case said == nil:
		return format, nil // an ending that says nothing
	case !asked:
		return said[0], nil
	case !oneOf(format, said...):
		return "", &usageError{fmt.Sprintf("--format %s and a file that ends in %s contradict each other", format, ending), "leave out --format, which then is " + said[0] + ", or name another file"}
	}
	return format, nil
}

// formsOf are the forms that the ending of a file may stand for, the usual one first; nil: it says
// nothing.
func formsOf(ending string) []string {
	switch ending {
	case ".csv":
		return []string{csvForm}
	case ".cef":
		return []string{form.CEF}
	case ".ocsf":
		return []string{form.OCSF}
	case ".ecs":
		return []string{form.ECS}
	case ".json", ".jsonl", ".ndjson":
		return []string{form.JSON, form.OCSF, form.ECS} // each of them is JSON, one event a line
	}
	return nil
}

type exporter struct {
	log   string
	query audit.Query
	head  audit.Exported
}

func (e *exporter) run(command *cobra.Command, out string) error {
	if out == "" {
		_, err := audit.Export(command.Context(), command.OutOrStdout(), e.log, e.query, e.head)
		return err
	}
	proof := out
	if e.head.Format != form.JSON {
		proof = out + proofSuffix
	}
	head, err := e.write(command.Context(), proof)
	if err != nil {
		return err
	}
	if proof != out {
		if err := render(proof, out); err != nil {
			return errors.Join(err, os.Remove(proof))
		}
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "%d events, records %d to %d of %d, in %s\n", head.Records, head.First, head.Last, head.Checkpoint.Seq, out)
	return err
}

func (e *exporter) write(ctx context.Context, name string) (head audit.Exported, err error) {
	file, err := createNew(name)
	if err != nil {
		return head, err
	}
	head, err = audit.Export(ctx, file, e.log, e.query, e.head)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return head, err
}

// createNew writes over nothing.
func createNew(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, &usageError{fmt.Sprintf("%s is there already", name), "name another file, or move that one away"}
	}
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return file, nil
}

// render writes the events of a proof in the form that it names.
func render(proof, out string) (err error) {
	target, err := createNew(out)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, target.Sync(), target.Close()); err != nil {
			err = errors.Join(err, os.Remove(out))
		}
	}()
	_, err = rendered(proof, nil, target)
	return err
}

// rendered verifies a proof, and writes its events as they are in the form that it names.
func rendered(proof string, public ed25519.PublicKey, w io.Writer) (head audit.Exported, err error) {
	source, err := os.Open(proof)
	if err != nil {
		return head, fmt.Errorf("read what proves the export: %w", err)
	}
	defer func() { _ = source.Close() }() // it was only read
	head, err = readHead(source)
	if err != nil {
		return head, err
	}
	buffered := bufio.NewWriterSize(w, 1<<18)
	write, err := eventWriter(&head, buffered)
	if err != nil {
		return head, err
	}
	if head, err = audit.ReadExport(source, public, write); err != nil {
		return head, err
	}
	return head, buffered.Flush()
}

// readHead reads the first line of an export, and goes back to its beginning.
func readHead(source io.ReadSeeker) (head audit.Exported, err error) {
	head, _ = audit.ReadExport(source, nil, func(audit.Found) error { return errEnough }) // what is wrong is found by the second reading
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return head, fmt.Errorf("read the export: %w", err)
	}
	return head, nil
}

var errEnough = errors.New("enough was read")

// eventWriter writes events in the form that an export names.
func eventWriter(head *audit.Exported, w *bufio.Writer) (func(audit.Found) error, error) {
	if head.Format == csvForm {
		return csvWriter(w)
	}
	write, err := form.Source{Node: head.Node, Version: head.Release}.Form(head.Format)
	if err != nil {
		return nil, err
	}
	var text []byte
	return func(f audit.Found) error {
		if f.JSON == nil {
			return nil // nothing is left of it
		}
		text = append(write(text[:0], f), '\n')
		_, err := w.Write(text)
		return err
	}, nil
}

// csvColumns are the fields of an event that a table has.
func csvColumns() []string {
	return []string{
		"seq", "time", "id", "class", "decision", "step", "code", "status", "method", "host", "path", "api", "endpoint", "remote", "shield",
		"credential", "client", "user", "issuer", "subject", "tenant", "actor", "action", "target", "change", "detail", "note", "user_agent", "duration_us", "count",
	}
}

func csvWriter(w *bufio.Writer) (func(audit.Found) error, error) {
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns()); err != nil {
		return nil, err
	}
	return func(f audit.Found) error {
		if f.JSON == nil {
			return nil // nothing is left of it
		}
		if err := out.Write(csvRow(&f)); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}, nil
}

func csvRow(f *audit.Found) []string {
	e := &f.Event
	row := []string{
		strconv.FormatUint(f.Seq, 10), e.Time.UTC().Format(time.RFC3339Nano), e.ID, string(e.Class), string(e.Decision), e.Step, e.Code, cellOf(int64(e.Status)), e.Method, e.Host, e.Path,
		e.API, e.Endpoint, remoteOf(e), e.Shield, e.CredentialID, e.Client, e.User, e.Issuer, e.Subject, e.Tenant, e.Actor, e.Action, e.Target, e.Change,
		e.Detail, e.Note, e.UserAgent, cellOf(e.Duration.Microseconds()), cellOf(int64(e.Count)),
	}
	for i, cell := range row {
		row[i] = plainCell(cell)
	}
	return row
}

func cellOf(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func remoteOf(e *audit.Event) string {
	if !e.Remote.IsValid() {
		return ""
	}
	return e.Remote.String()
}

// plainCell keeps a spreadsheet from taking what a caller sent for a formula, and a
// terminal from obeying it.
func plainCell(cell string) string {
	cell = printable(cell)
	if cell != "" && bytes.IndexByte([]byte("=+-@\t\r"), cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// verifyExport checks an export, or a file in a form of others beside what proves it.
func verifyExport(out io.Writer, name string, public ed25519.PublicKey, asJSON bool) error {
	proof, beside := name, false
	if _, err := os.Stat(name + proofSuffix); err == nil {
		proof, beside = name+proofSuffix, true
	}
	same := &compared{}
	if beside {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		same.other = bufio.NewReader(file)
	}
	head, err := rendered(proof, public, same)
	if err == nil && beside {
		err = same.end()
	}
	if err != nil {
		return &badLogError{fmt.Sprintf("%s does not verify: %v", name, err)}
	}
	if asJSON {
		return writeJSON(out, head)
	}
	_, err = fmt.Fprintf(out, "the export is whole: %d events, records %d to %d of the log of %d that was signed on %s\n",
		head.Records, head.First, head.Last, head.Checkpoint.Seq, shortTime(head.Checkpoint.Time))
	return err
}

// compared compares what is written with another text; without one it takes everything.
type compared struct{ other *bufio.Reader }

var errOther = errors.New("the file says something else than what proves it")

// Write implements io.Writer.
func (c *compared) Write(p []byte) (int, error) {
	if c.other == nil {
		return len(p), nil
	}
	there := make([]byte, len(p))
	if _, err := io.ReadFull(c.other, there); err != nil || !bytes.Equal(there, p) {
		return 0, errOther
	}
	return len(p), nil
}

func (c *compared) end() error {
	if _, err := c.other.ReadByte(); !errors.Is(err, io.EOF) {
		return errOther
	}
	return nil
}
