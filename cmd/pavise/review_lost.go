package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/review"
)

// lostFlags are those of `pavise review --lost`.
type lostFlags struct {
	id, kind, reason, evidence string
	end                        bool

	made bool // the folder of the evidence is there, and empty
}

func (f *lostFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.id, "lost", "", "what whoever has the credential with this `ID` reaches, and what was done with it")
	flags.StringVar(&f.kind, "kind", "", "with --lost: kind of the credential, where several have the id")
	flags.BoolVar(&f.end, "end", false, "with --lost: end it, with all that came of it")
	flags.StringVar(&f.reason, "reason", "", "with --end: why, for the log")
	flags.StringVar(&f.evidence, "evidence", "", "with --lost: a new `FOLDER` for the report and its signed records; with --end evidence-CREDENTIAL")
}

// lostReport is the file that is signed.
type lostReport struct {
	Made time.Time `json:"made"`
	*review.Lost
	Ended *admin.Ended `json:"ended,omitempty"`
	Fault string       `json:"fault,omitempty"` // why not all was ended
}

// Files of evidence.
const (
	lostFile   = "report.json"
	recordFile = "records.jsonl"
)

// reviewLost says what a credential reaches and what was done with it, and ends it if that is wanted.
func reviewLost(command *cobra.Command, f *lostFlags, logs []string, since string, asJSON, yes bool) error {
	now := time.Now()
	begin, err := parseMoment(since, now)
	if err != nil {
		return err
	}
	if f.end && f.reason == "" {
		return &usageError{"--end wants to know why", `--reason "laptop stolen": it stands in the log`}
	}
	file, err := app.Load(configPath(command))
	if err != nil {
		return err
	}
	l, about, err := f.find(command, file, append([]string{file.Log.Folder}, logs...), begin, now)
	if err != nil {
		return err
	}
	report := lostReport{Made: now.UTC(), Lost: l}
	if !asJSON {
		if err := showLost(command.OutOrStdout(), l); err != nil {
			return err
		}
	}
	if !f.end {
		return f.told(command, file, &report, about, asJSON)
	}
	if !yes {
		if err := confirm(command, fmt.Sprintf("%s %s of client %s ends for good, with %s that came of it. Go on?", l.Kind, l.ID, l.Client, counted(len(l.Derived), "thing"))); err != nil {
			return err
		}
	}
	if err := f.room(); err != nil {
		return err
	}
	ended, fault := f.ended(command, l)
	if p, refused := errors.AsType[*admin.Problem](fault); refused && p.Ended == nil { // before anything was ended
		_ = os.Remove(f.evidence) // it is empty
		return fault
	}
	if fault != nil {
		report.Fault = fault.Error()
		if len(ended.Credentials)+len(ended.Before)+len(ended.Left) == 0 {
			ended.Left = []string{"it is not known what was"}
		}
	}
	report.Ended = &ended
	err = f.told(command, file, &report, about, asJSON)
	if fault == nil {
		return err
	}
	if err != nil {
		err = fmt.Errorf("%w; and of the evidence: %w", fault, err)
	} else {
		err = fault
	}
	return &hinted{err, "mend that, and run it again: it goes on with what is left, and what was ended stays so. The first evidence stays where it is"}
}

// told shows what was ended, and writes the evidence where it is wanted.
func (f *lostFlags) told(command *cobra.Command, file *config.File, report *lostReport, about []string, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		if err := writeJSON(out, report); err != nil {
			return err
		}
	} else if report.Ended != nil {
		if err := showEnded(out, report.Ended); err != nil {
			return err
		}
	}
	if f.evidence == "" {
		return nil
	}
	return f.prove(command, file, report, about, asJSON)
}

// maxEvidence bounds the folders of evidence of one credential.
const maxEvidence = 100

// room makes the folder of the evidence before anything is ended, as afterwards it would be too late to
// name another. One that is not named gets a name of its own each time.
func (f *lostFlags) room() error {
	if f.evidence != "" {
		return f.makeFolder()
	}
	name := "evidence-" + strings.Map(fileRune, f.id)
	for n := 1; ; n++ {
		if f.evidence = name; n > 1 {
			f.evidence = fmt.Sprintf("%s-%d", name, n)
		}
		if _, err := os.Lstat(f.evidence); errors.Is(err, os.ErrNotExist) || n == maxEvidence {
			return f.makeFolder()
		}
	}
}

func (f *lostFlags) makeFolder() error {
	err := os.Mkdir(f.evidence, 0o700)
	f.made = err == nil
	switch {
	case errors.Is(err, os.ErrExist):
		return &usageError{f.evidence + " is there already; nothing was done", "--evidence ANOTHER-FOLDER"}
	case err != nil:
		return &hinted{fmt.Errorf("make the folder of the evidence: %w; nothing was ended", err), "--evidence FOLDER, where you may write"}
	}
	return nil
}

// fileRune keeps what a file's name can have.
func fileRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
		return r
	}
	return '-'
}

// find describes the credential; about are the names under which the log has it, its own first.
func (f *lostFlags) find(command *cobra.Command, file *config.File, folders []string, since, now time.Time) (l *review.Lost, about []string, err error) {
	err = administer(command, func(ctx context.Context, a *admin.Client) error {
		if _, err := a.Events(ctx, audit.Query{Limit: 1}); err != nil { // so that what has happened is in the files
			return err
		}
		known, err := a.Credentials(ctx, "", "")
		if err != nil {
			return err
		}
		c, err := f.chosen(known)
		if err != nil {
			return err
		}
		owner, err := a.Client(ctx, c.Client)
		if err != nil {
			return err
		}
		if l, err = app.Lost(file, c, &owner.Client, known, now); err != nil {
			return err
		}
		about = []string{c.ID}
		for _, d := range l.Derived {
			about = append(about, d.ID)
		}
		registered := owner.Registration != nil
		if c.Kind != registration.KindName && (c.Kind != client.CertificateKind || !registered) {
			return nil
		}
		about = append(about, c.Client)
		l.Derived = append(l.Derived, review.Derived{What: "tokens", About: "of the authorization server, for client " + c.Client})
		if file.OAuth.Issuer == "" {
			return nil
		}
		allowed, err := a.Grants(ctx, admin.GrantQuery{Client: c.Client})
		if err != nil && f.end { // what can be ended is: this will be told then
			l.Derived = append(l.Derived, review.Derived{What: "grants", About: "it is not known which: " + err.Error()})
			return nil
		}
		for _, g := range allowed {
			l.Derived = append(l.Derived, review.Derived{What: "grant", ID: g.ID, About: "of " + g.Subject + ": " + strings.Join(g.Scopes, " ")})
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = l.Trace(command.Context(), folders, about, since)
	if err != nil && f.end {
		l.Damage, err = err.Error(), nil
	}
	return l, about, err
}

func (f *lostFlags) chosen(known []client.Credential) (*client.Credential, error) {
	var found []*client.Credential
	for i := range known {
		if known[i].ID == f.id && (f.kind == "" || known[i].Kind == f.kind) {
			found = append(found, &known[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, &usageError{fmt.Sprintf("there is no credential %.80q", f.id), "pavise key list shows those that there are; pavise check --leaks FOLDER finds the id of a key that was found somewhere"}
	case 1:
		return found[0], nil
	}
	return nil, &usageError{fmt.Sprintf("credentials of several kinds have the id %.80q", f.id), "--kind " + found[0].Kind}
}

func (f *lostFlags) ended(command *cobra.Command, l *review.Lost) (done admin.Ended, err error) {
	err = administer(command, func(ctx context.Context, a *admin.Client) (err error) {
		done, err = a.End(ctx, admin.End{Kind: l.Kind, ID: l.ID, Reason: f.reason})
		return err
	})
	return done, err
}

// prove writes the report, and the records that name the credential under a checkpoint that signs
// them: among them the event with the report's digest.
func (f *lostFlags) prove(command *cobra.Command, file *config.File, report *lostReport, about []string, asJSON bool) error {
	if !f.made {
		if err := f.makeFolder(); err != nil {
			return err
		}
	}
	sum := sha256.New()
	target, err := createNew(filepath.Join(f.evidence, lostFile))
	if err != nil {
		return err
	}
	if err := errors.Join(writeJSON(io.MultiWriter(target, sum), report), target.Sync(), target.Close()); err != nil {
		return err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	var sealed admin.Sealed
	err = administer(command, func(ctx context.Context, a *admin.Client) (err error) {
		sealed, err = a.SealReport(ctx, admin.Sealing{Target: report.ID, SHA256: digest})
		return err
	})
	if err != nil {
		return err
	}
	e := exporter{log: file.Log.Folder, query: audit.Query{About: about}, head: audit.Exported{
		Key: sealed.Key, Checkpoint: sealed.Checkpoint, Format: "json", Node: sealed.Checkpoint.Node, At: time.Now().UTC().Truncate(time.Second),
	}}
	name := filepath.Join(f.evidence, recordFile)
	if _, err := e.write(command.Context(), name); err != nil {
		return err
	}
	if asJSON {
		return nil
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), `
Evidence is in %s. It was signed with the key %s
  pavise log verify %s --key KEY   says that the records are those of the log
  sha256sum %s   is the digest in their event %s: %s
`, printable(f.evidence), sealed.Key, name, filepath.Join(f.evidence, lostFile), sealed.Event, digest)
	return err
}

func showEnded(w io.Writer, e *admin.Ended) error {
	for _, part := range []struct {
		word  string
		lines []string
	}{
		{"over before:", e.Before},
		{"ended:", slices.Concat(e.Credentials, prefixed("grant ", e.Grants), []string{e.Tokens})},
		{"NOT ENDED:", e.Left},
		{"because:", e.Faults},
	} {
		for _, line := range part.lines {
			if line == "" {
				continue
			}
			if _, err := fmt.Fprintln(w, part.word, printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

func prefixed(with string, all []string) (out []string) {
	for _, one := range all {
		out = append(out, with+one)
	}
	return out
}

// maxShownObjects is how many paths of an endpoint the table shows.
const maxShownObjects = 3

func showLost(w io.Writer, l *review.Lost) error {
	until, from := "without an end", "from everywhere"
	if !l.Until.IsZero() {
		until = "until " + shortTime(l.Until)
	}
	if len(l.Networks) > 0 {
		from = "from " + strings.Join(l.Networks, ", ")
	}
	rows := [][]string{
		{"client", l.Client},
		{"contact", l.Contact},
		{"state", l.State},
		{"made", shortTime(l.Created)},
		{"good", until + ", " + from},
		{"scopes", strings.Join(l.Scopes, " ")},
		{"last used", shortTime(l.LastUsed)},
	}
	if err := table(w, []string{l.Kind, l.ID}, rows); err != nil {
		return err
	}
	opens, needs, touched, places, came, acts := [][]string{}, [][]string{}, [][]string{}, [][]string{}, [][]string{}, [][]string{}
	for _, r := range l.Reach {
		switch {
		case r.Opens():
			opens = append(opens, []string{r.API, r.Endpoint, strings.Join(r.Hosts, " "), strings.Join(r.Asks, "; ")})
		default:
			needs = append(needs, []string{r.API, r.Endpoint, strings.Join(r.With, " and "), strings.Join(r.Lacks, " ")})
		}
	}
	for _, t := range l.Touched {
		about := map[bool]string{true: "about "}[t.About]
		objects := strings.Join(t.Objects[:min(len(t.Objects), maxShownObjects)], " ")
		if len(t.Objects) > maxShownObjects {
			objects += " …"
		}
		first := ""
		if t.First != nil {
			first = shortTime(*t.First)
		}
		touched = append(touched, []string{t.API, t.Endpoint, fmt.Sprint(t.Requests), fmt.Sprint(t.Refused), first, lastOf(&t.Activity), about + fmt.Sprint(t.Distinct), objects, t.Sample})
	}
	for _, n := range l.From {
		places = append(places, []string{n.Network, fmt.Sprint(n.Requests), fmt.Sprint(n.Accepted), shortTime(n.First), shortTime(n.Last), n.Sample})
	}
	for _, d := range l.Derived {
		came = append(came, []string{d.What, d.ID, d.About})
	}
	for _, a := range l.Acts[max(0, len(l.Acts)-20):] {
		acts = append(acts, []string{shortTime(a.Time), a.Action, a.Actor, a.Detail, a.ID})
	}
	if len(opens) == 0 {
		if _, err := fmt.Fprintln(w, "\nBy itself it opens nothing."); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		title    string
		headings []string
		rows     [][]string
	}{
		{"It opens, by itself", []string{"API", "ENDPOINT", "HOSTS", "IF A REQUEST MEETS"}, opens},
		{"It is part of what these ask for, and not enough", []string{"API", "ENDPOINT", "ALSO WANTED", "SCOPES IT LACKS"}, needs},
		{"Came of it, and ends with it", []string{"WHAT", "ID", "ABOUT"}, came},
		{"It touched, " + l.Traced(), []string{"API", "ENDPOINT", "REQUESTS", "REFUSED", "FIRST", "LAST", "OBJECTS", "SUCH AS", "SAMPLE"}, touched},
		{"It came from", []string{"NETWORK", "REQUESTS", "ACCEPTED", "FIRST", "LAST", "SAMPLE"}, places},
		{"Also in the log", []string{"TIME", "ACTION", "ACTOR", "DETAIL", "EVENT"}, acts},
	} {
		if len(part.rows) == 0 && !strings.HasPrefix(part.title, "It touched") {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s:\n", part.title); err != nil {
			return err
		}
		if err := orNone(w, "nothing", part.headings, part.rows); err != nil {
			return err
		}
	}
	if l.Damage != "" {
		_, err := fmt.Fprintln(w, "\nNot all of the log could be read:", printable(l.Damage))
		return err
	}
	return nil
}
