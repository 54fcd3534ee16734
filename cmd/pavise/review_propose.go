package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/review"
)

// Files of a proposal.
const (
	proposalFile = "proposal.json"   // for --trial and --apply
	commandsFile = "commands.sh"     // the same by hand
	patchFile    = "endpoints.patch" // of the configuration
	adviceFile   = "advice.txt"
)

// propose writes a smaller policy into a folder.
func propose(command *cobra.Command, f *useFlags, h *holding, used *review.Used, folder string) error {
	p := used.Propose(f.aim)
	if err := os.Mkdir(folder, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return &usageError{folder + " is there already", "name another folder, or move that one away"}
		}
		return fmt.Errorf("make the folder of the proposal: %w", err)
	}
	text, left, err := endpointPatch(h, p)
	if err != nil {
		return err
	}
	for _, name := range left {
		p.Advice = append(p.Advice, "endpoint "+name+" has no caller, and does not stand on lines of its own, or is the last of its API: take it out by hand")
	}
	out := command.OutOrStdout()
	file, err := createNew(filepath.Join(folder, proposalFile))
	if err != nil {
		return err
	}
	if err := errors.Join(writeJSON(file, p), file.Close()); err != nil {
		return err
	}
	files := map[string]string{commandsFile: script(p), patchFile: text, adviceFile: strings.Join(p.Advice, "\n") + "\n"}
	for _, name := range []string{commandsFile, patchFile, adviceFile} {
		if strings.TrimSpace(files[name]) == "" || name == commandsFile && len(p.Changes) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(files[name]), 0o600); err != nil {
			return fmt.Errorf("write the proposal: %w", err)
		}
	}
	if err := showProposal(out, p); err != nil {
		return err
	}
	shown := printable(folder)
	_, err = fmt.Fprintf(out, "\nIn %s. Nothing is changed yet:\n  pavise review --trial %s   would anybody miss it?\n  pavise review --apply %s   changes clients, credentials and grants\n", shown, shown, shown)
	if err == nil && text != "" {
		_, err = fmt.Fprintf(out, "  patch -p0 < %s   takes the endpoints out of the configuration; then pavise check, and pavise reload\n", filepath.Join(shown, patchFile))
	}
	return err
}

func showProposal(w io.Writer, p *review.Proposal) error {
	if len(p.Changes)+len(p.Endpoints) == 0 {
		_, err := fmt.Fprintln(w, "there is nothing to take away")
		return errors.Join(err, showRest(w, p))
	}
	for i := range p.Changes {
		if _, err := fmt.Fprintf(w, "%s  (%s)\n", printable(p.Changes[i].Words()), printable(p.Changes[i].Why)); err != nil {
			return err
		}
	}
	for _, e := range p.Endpoints {
		if _, err := fmt.Fprintf(w, "endpoint %s %s: takes it out\n", e.API, e.Pattern); err != nil {
			return err
		}
	}
	return showRest(w, p)
}

func showRest(w io.Writer, p *review.Proposal) error {
	for _, one := range p.Advice {
		if _, err := fmt.Fprintf(w, "advice: %s\n", printable(one)); err != nil {
			return err
		}
	}
	if p.Covered != "" {
		_, err := fmt.Fprintln(w, printable(p.Covered))
		return err
	}
	return nil
}

// script does by hand what --apply does.
func script(p *review.Proposal) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# What `pavise review --propose` proposes. `pavise review --trial` says whether somebody would miss it.\nset -e\n")
	for i := range p.Changes {
		fmt.Fprintf(&b, "\n# %s\n%s\n", printable(p.Changes[i].Why), p.Changes[i].Command())
	}
	return b.String()
}

// endpointPatch takes endpoints without a caller out of the files of the configuration. left are those
// that do not stand on lines of their own, or in none of the files that were read.
func endpointPatch(h *holding, p *review.Proposal) (text string, left []string, err error) {
	cuts := map[string][]review.Cut{}
	for _, e := range h.Granted.Endpoints {
		if !slices.Contains(p.Endpoints, review.Gone{API: e.API, Pattern: e.Pattern}) {
			continue
		}
		name, err := filepath.Abs(e.File) // as messages show it: from here, or whole
		if err != nil {
			return "", nil, fmt.Errorf("find the file of endpoint %s: %w", e.String(), err)
		}
		if !slices.Contains(h.file.Paths, name) {
			left = append(left, e.String())
			continue
		}
		cuts[name] = append(cuts[name], review.Cut{Endpoint: e.String(), Line: e.Line})
	}
	for _, name := range h.file.Paths {
		if len(cuts[name]) == 0 {
			continue
		}
		whole, err := readDocument(name)
		if err != nil {
			return "", nil, err
		}
		_, diff, more := review.Patch(fromHere(name), string(whole), cuts[name])
		text, left = text+diff, append(left, more...)
	}
	return text, left, nil
}

// fromHere is a file's name as patch takes it: relative to where the command was called.
func fromHere(name string) string {
	whole, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	here, err := os.Getwd()
	if err != nil {
		return name
	}
	if short, err := filepath.Rel(here, whole); err == nil {
		return short
	}
	return name
}

// readProposal reads a proposal: its folder, or the file itself.
func readProposal(name string) (*review.Proposal, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, proposalFile)
	}
	text, err := readDocument(name)
	if err != nil {
		return nil, err
	}
	p, err := review.ParseProposal(text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %v", name, err), "pavise review --propose FOLDER makes one"}
	}
	return p, nil
}

// tried says whom a proposal would have refused since it was made.
type tried struct {
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until"`
	Accepted int             `json:"accepted"` // requests in that time
	Struck   []review.Struck `json:"struck"`
	Verdict  review.Verdict  `json:"verdict"`
	Damage   string          `json:"damage,omitempty"`
}

func (f *useFlags) tried(command *cobra.Command, p *review.Proposal, from time.Time) (*tried, error) {
	h, err := held(command)
	if err != nil {
		return nil, err
	}
	w := review.Window{Since: from, Until: time.Now()}
	used, err := f.look(command.Context(), h, w)
	if err != nil {
		return nil, err
	}
	t := &tried{Since: w.Since, Until: w.Until, Accepted: used.Accepted, Struck: p.Judge(used), Damage: used.Damage}
	switch {
	case len(t.Struck) > 0:
		t.Verdict = review.Hits
	case t.Accepted < review.DefaultEnough:
		t.Verdict = review.TooFew
	default:
		t.Verdict = review.Safe
	}
	return t, nil
}

// tryProposal shows whom a proposal would refuse: nothing is changed. It ends with 1 if somebody is hit.
func tryProposal(command *cobra.Command, f *useFlags, name, since string, asJSON bool) error {
	p, err := readProposal(name)
	if err != nil {
		return err
	}
	from := p.Made
	if since != "" {
		if from, err = parseMoment(since, time.Now()); err != nil {
			return err
		}
	}
	t, err := f.tried(command, p, from)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	if asJSON {
		err = writeJSON(out, t)
	} else {
		err = showTried(out, t)
	}
	if err == nil && len(t.Struck) > 0 {
		return &hinted{fmt.Errorf("%s would have refused what was accepted", counted(hitting(t.Struck), "change")), "speak to them, or make the proposal again: pavise review --propose FOLDER"}
	}
	return err
}

// hitting counts the changes of a proposal that hit somebody. Requests cannot be added up: one may be
// hit by several changes.
func hitting(struck []review.Struck) (n int) {
	seen := map[*review.Change]bool{}
	for _, s := range struck {
		if s.Change == nil || !seen[s.Change] { // each endpoint that would be gone is a change
			n++
		}
		seen[s.Change] = true
	}
	return n
}

func showTried(w io.Writer, t *tried) error {
	refused := "0"
	if n := hitting(t.Struck); n > 0 {
		refused = "some, by " + counted(n, "change")
	}
	if _, err := fmt.Fprintf(w, "%s: of %s accepted since %s it would have refused %s.\n", t.Verdict, counted(t.Accepted, "request"), shortTime(t.Since), refused); err != nil || len(t.Struck) == 0 {
		return err
	}
	rows := [][]string{}
	for _, s := range t.Struck {
		what := "takes the endpoint out"
		if s.Change != nil {
			what = s.Change.Words()
		}
		rows = append(rows, []string{s.Endpoint, fmt.Sprint(s.Requests), lastOf(&s.Activity), s.Sample, what})
	}
	return table(w, []string{"ENDPOINT", "REQUESTS", "LAST", "SAMPLE", "BECAUSE IT"}, rows)
}

// applyProposal makes the changes of a proposal, one after the other, after it was shown whom they
// would have hit since it was made.
func applyProposal(command *cobra.Command, f *useFlags, name string, yes bool) error {
	p, err := readProposal(name)
	if err != nil {
		return err
	}
	t, err := f.tried(command, p, p.Made)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	if len(t.Struck) > 0 {
		if err := showTried(out, t); err != nil {
			return err
		}
		return &hinted{errors.New("nothing was changed: since the proposal was made, somebody used what it takes away"), "make it again: pavise review --propose FOLDER"}
	}
	if err := showProposal(out, p); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		return nil
	}
	if !yes {
		if err := confirm(command, fmt.Sprintf("Make %s?", counted(len(p.Changes), "change"))); err != nil {
			return err
		}
	}
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		for i := range p.Changes {
			if err := app.Take(ctx, a, &p.Changes[i]); err != nil {
				return &hinted{fmt.Errorf("%s: %w; %s before it", p.Changes[i].Words(), err, madeBefore(i)), "what was made stays; make the proposal again for the rest"}
			}
		}
		_, err := fmt.Fprintf(out, "%s made; each has its event\n", counted(len(p.Changes), "change"))
		return err
	})
}

func madeBefore(n int) string {
	if n == 1 {
		return "1 change was made"
	}
	return fmt.Sprintf("%d changes were made", n)
}
