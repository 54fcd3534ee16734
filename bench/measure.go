package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// results are the figures of each row, by the name of the program.
type results map[string]map[string][]figure

// page is what the report shows.
type page struct {
	settings   settings
	machine    machine
	contenders []contender
	versions   map[string]string
	setups     map[string]string
	results    results
	steps      []step
	primitives primitives
	agreed     map[string]string // TLS, by the name of the program
	events     int               // that Pavise's log holds of its requests
	answered   int               // requests that Pavise answered
}

func measureAll(ctx context.Context, s settings) error {
	t, done, err := readyTrack(ctx)
	if err != nil {
		return err
	}
	defer done()
	t.profiles = s.pprof
	p := &page{settings: s, versions: map[string]string{}, setups: map[string]string{}, agreed: map[string]string{}, results: results{}}
	if p.machine, err = describeMachine(); err != nil {
		return err
	}
	p.contenders = slices.DeleteFunc(contenders(), func(c contender) bool { return !s.only.MatchString(c.name) })
	for round := range s.rounds {
		for _, c := range p.contenders {
			if err := p.measure(ctx, t, c); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, c.name, err)
			}
		}
	}
	if s.steps {
		if p.steps, err = measureSteps(ctx); err != nil {
			return err
		}
	}
	if p.primitives, err = measurePrimitives(); err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	return p.failures()
}

// readyTrack builds and starts what all contenders need.
func readyTrack(ctx context.Context) (_ *track, done func(), err error) {
	dir, err := os.MkdirTemp("", "pavise-bench-")
	if err != nil {
		return nil, nil, err
	}
	t := &track{pavise: filepath.Join(dir, "pavise")}
	if t.material, err = makeMaterial(filepath.Join(dir, "given")); err != nil {
		return nil, nil, err
	}
	t.dir = dir
	if t.self, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	say("build Pavise")
	t.built = "no checkout"
	if commit, err := output(ctx, "git", "describe", "--always", "--dirty=, with changes not committed"); err == nil {
		t.built = "commit " + commit
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", t.pavise, "./cmd/pavise")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("build Pavise (start this in the checkout's folder): %w\n%s", err, text)
	}
	addresses, err := free(1)
	if err != nil {
		return nil, nil, err
	}
	t.upstream = addresses[0]
	behind, err := launch(ctx, t.path("upstream.out"), otherCore, t.self, "upstream", t.upstream)
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		_ = behind.stop()
		_ = os.RemoveAll(dir) // it is in the temporary folder anyway
	}
	if err := behind.ready(ctx, t.upstream); err != nil {
		done()
		return nil, nil, err
	}
	return t, done, nil
}

// measure starts a contender and measures every row that it can guard once.
func (p *page) measure(ctx context.Context, t *track, c contender) error {
	dir, err := os.MkdirTemp(t.dir, "run-")
	if err != nil {
		return err
	}
	own := *t
	own.dir = dir
	defer func() { _ = os.RemoveAll(dir) }() // a log of a million events is no small thing
	if err := os.CopyFS(dir, os.DirFS(t.dir+"/given")); err != nil {
		return err
	}
	if p.versions[c.name], err = c.version(ctx, t); err != nil {
		return err
	}
	r, err := c.start(ctx, &own)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = r.stop() // something else went wrong before
		}
	}()
	p.setups[c.name] = r.setup
	answered := r.asked
	for _, row := range allRows() {
		if row.ours && c.name != ours {
			continue
		}
		if !p.settings.rows.MatchString(row.id) || c.rows != nil && !slices.Contains(c.rows, row.id) {
			continue
		}
		f, err := p.load(ctx, &own, r, row)
		if err != nil {
			return fmt.Errorf("row %s: %w", row.id, err)
		}
		say("%-9s %-36s %6.1f µs CPU  %8.0f/s  p50 %s  p99 %s  core busy %3.0f%%  failed %d %s", c.name, row.title,
			float64(f.perRequest().Nanoseconds())/1e3, f.perSecond(), f.P50, f.P99, 100*f.busy(), f.Failed, f.Failure)
		if p.results[c.name] == nil {
			p.results[c.name] = map[string][]figure{}
		}
		p.results[c.name][row.id] = append(p.results[c.name][row.id], f)
		p.agreed[c.name] = f.TLS
		answered += f.Sent
	}
	stopped = true
	if err := r.stop(); err != nil {
		return err
	}
	if c.name != ours {
		return nil
	}
	events, err := countEvents(dir)
	p.events, p.answered = p.events+events, p.answered+answered
	return err
}

// load lets the other core call.
func (p *page) load(ctx context.Context, t *track, r *running, row row) (figure, error) {
	o := order{
		Address: r.open, Name: openHost, Path: row.path, Proof: row.proof, Body: row.body, Fresh: row.fresh, Again: row.again,
		CA: t.path("ca.pem"), PID: r.pid(), Time: p.settings.time, PEM: r.key, Flow: row.flow, Cookie: r.cookie,
	}
	if row.form != "" {
		o.Form = strings.ReplaceAll(row.form, "{{token}}", r.proofs["own"][0].Secret)
	}
	if row.tls {
		o.Address, o.Name, o.Cert, o.Key = r.mutual, mutualHost, t.path("caller.pem"), t.path("caller.key")
	}
	if row.mine {
		o.Cert, o.Key = t.path("mine.pem"), t.path("mine-key.pem")
	}
	if row.proof != "" {
		o.Proofs = r.proofs[row.proof]
		if o.Proofs == nil {
			o.Proofs = t.tokens[row.proof]
		}
		o.Proofs = o.Proofs[:row.many]
	}
	text, err := json.Marshal(o)
	if err != nil {
		return figure{}, err
	}
	process := exec.CommandContext(ctx, "taskset", "-c", otherCore, t.self, "load")
	process.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400")
	process.Stdin = bytes.NewReader(text)
	process.Stderr = os.Stderr
	out, err := process.Output()
	if err != nil {
		return figure{}, fmt.Errorf("load: %w", err)
	}
	var f figure
	return f, json.Unmarshal(out, &f)
}

func say(format string, args ...any) {
	fmt.Fprintln(os.Stderr, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}
