package main

import (
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
	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/advise/learn"
	"pavise.dev/pavise/internal/advise/nginx"
)

// learnFlags are those of `pavise init --learn`.
type learnFlags struct {
	from, out, contract, since, upstream string
	least                                int
	asJSON                               bool
}

func (f *learnFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.from, "learn", "", "propose a configuration from this folder of an event log, or from this file of nginx")
	flags.StringVar(&f.contract, "contract", "learned.openapi.yaml", "with --learn of a log: file for the contract that is tried")
	flags.StringVar(&f.since, "since", "30d", "with --learn of a log: not before; a time, or how long ago, like 7d")
	flags.IntVar(&f.least, "least", 3, "with --learn of a log: endpoints with fewer requests are not proposed")
	jsonFlag(command, &f.asJSON)
}

// given names the first of the flags that says something; empty: none.
func (f *learnFlags) given(command *cobra.Command) string {
	for _, name := range []string{"contract", "since", "least", "json"} {
		if command.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// trialDays is how long a contract that was learnt is tried.
const trialDays = 30

// learned writes what was learnt from a log or from nginx's files.
func (f *learnFlags) learned(command *cobra.Command) error {
	info, err := os.Stat(f.from)
	if err != nil {
		return fmt.Errorf("learn: %w", err)
	}
	var p *learn.Proposal
	if info.IsDir() {
		p, err = f.fromLog(command)
	} else {
		p, err = f.fromNginx()
	}
	if err != nil {
		return err
	}
	if len(p.Plans) == 0 {
		return &usageError{f.from + " has nothing from which an endpoint could be proposed" + firstGap(p.Open), "a log of accepted requests, or an nginx that passes requests on, is learnt from"}
	}
	if err := writeNew(f.out, advise.Configuration("pavise init --learn", p.Plans)); err != nil {
		return err
	}
	if p.Contract != nil {
		if err := writeNew(f.contract, p.Contract); err != nil {
			return errors.Join(err, os.Remove(f.out))
		}
	}
	if f.asJSON {
		return writeJSON(command.OutOrStdout(), forPrograms(p))
	}
	return f.show(command.OutOrStdout(), p)
}

func firstGap(open []learn.Gap) string {
	if len(open) == 0 {
		return ""
	}
	return " (" + open[0].What + ")"
}

func (f *learnFlags) fromLog(command *cobra.Command) (*learn.Proposal, error) {
	now := time.Now()
	since, err := parseMoment(f.since, now)
	if err != nil {
		return nil, err
	}
	if f.least < 1 {
		return nil, &usageError{fmt.Sprintf("--least %d is no number of requests", f.least), ""}
	}
	log := learn.NewLog(learn.Options{Least: f.least, Candidate: f.contractName(), Until: now.UTC().AddDate(0, 0, trialDays).Format(time.DateOnly), Upstream: f.upstream})
	err = audit.Each(command.Context(), f.from, audit.Query{Since: since, Class: audit.Request}, func(found audit.Found) error {
		log.Add(&found.Event)
		return nil
	})
	fault, damaged := errors.AsType[*audit.Fault](err)
	if err != nil && !damaged {
		return nil, err
	}
	p := log.Propose()
	if damaged {
		p.Open = append(p.Open, learn.Gap{Rule: "log-damaged", Where: f.from, What: "not all could be read: " + fault.Error(), Do: "`pavise log verify` names the first bad record"})
	}
	return p, nil
}

// contractName is the contract as the configuration names it.
func (f *learnFlags) contractName() string {
	out, err := filepath.Abs(filepath.Dir(f.out))
	if err != nil {
		return f.contract
	}
	contract, err := filepath.Abs(f.contract)
	if err != nil {
		return f.contract
	}
	if relative, err := filepath.Rel(out, contract); err == nil {
		return relative
	}
	return contract
}

func (f *learnFlags) fromNginx() (p *learn.Proposal, err error) {
	absolute, err := filepath.Abs(f.from)
	if err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	folder, err := os.OpenRoot(filepath.Dir(absolute)) // nothing outside can be reached, by links either
	if err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	p, err = learn.FromNginx(folder.FS(), filepath.Dir(absolute), filepath.Base(absolute), isThere)
	if bad, ok := errors.AsType[*nginx.Error](err); ok {
		return nil, &usageError{bad.Error(), "nginx -t says whether nginx reads it; a folder is taken for an event log"}
	}
	if err == nil && f.upstream != "" {
		for _, plan := range p.Plans {
			plan.API.Upstream = f.upstream
		}
	}
	return p, err
}

// isThere reports whether a file can be read.
func isThere(name string) bool {
	if !filepath.IsAbs(name) {
		return false // nginx's names are relative to a folder that is not known here
	}
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// proposed is the form for programs.
type proposed struct {
	Endpoints []proposedEndpoint `json:"endpoints"`
	Seen      []learn.Seen       `json:"seen"`
	Open      []learn.Gap        `json:"open"`
}

type proposedEndpoint struct {
	API      string         `json:"api"`
	Endpoint string         `json:"endpoint"`
	Answers  advise.Answers `json:"answers"`
	Shield   string         `json:"shield"`
	Limit    string         `json:"limit"`
}

func forPrograms(p *learn.Proposal) proposed {
	all := proposed{Endpoints: []proposedEndpoint{}, Seen: append([]learn.Seen{}, p.Seen...), Open: append([]learn.Gap{}, p.Open...)}
	for _, plan := range p.Plans {
		for i := range plan.Advice {
			a := &plan.Advice[i]
			all.Endpoints = append(all.Endpoints, proposedEndpoint{plan.API.Name, a.Pattern, a.Answers, a.Shield.String(), a.Limit})
		}
	}
	return all
}

// show tells what was learnt, what is open, and what comes next.
func (f *learnFlags) show(w io.Writer, p *learn.Proposal) error {
	var rows [][]string
	for _, plan := range p.Plans {
		for i := range plan.Advice {
			a := &plan.Advice[i]
			row := []string{plan.API.Name, a.Pattern, a.Who(), a.Shield.String(), a.Limit}
			if at := slices.IndexFunc(p.Seen, func(s learn.Seen) bool { return s.Endpoint == a.Pattern }); at >= 0 {
				row = append(row, fmt.Sprint(p.Seen[at].Requests), fmt.Sprint(p.Seen[at].Callers), fmt.Sprint(p.Seen[at].Busiest))
			}
			rows = append(rows, row)
		}
	}
	headings := []string{"API", "ENDPOINT", "WHO CALLS", "SHIELD", "LIMIT"}
	if p.Seen != nil {
		headings = append(headings, "REQUESTS", "CALLERS", "A MINUTE")
	}
	if err := table(w, headings, rows); err != nil {
		return err
	}
	if len(p.Open) > 0 {
		if _, err := fmt.Fprint(w, "\nOpen:\n\n"); err != nil {
			return err
		}
		rows = nil
		for _, g := range p.Open {
			rows = append(rows, []string{g.Where, g.Rule, g.What, g.Do})
		}
		if err := table(w, []string{"WHERE", "RULE", "WHAT", "WHAT MENDS IT"}, rows); err != nil {
			return err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nwrote %s", f.out)
	if p.Contract != nil {
		fmt.Fprintf(&b, " and %s, which is tried and refuses nothing", f.contract)
	}
	b.WriteString(". Next:\n")
	for _, next := range advise.Next(p.Plans, f.out) {
		fmt.Fprintf(&b, "  %s\n", next)
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}
