package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
	"pavise.dev/pavise/internal/shell"
)

// attackTries is how often an attack begins anew because the configuration was read meanwhile.
const attackTries = 3

// attackItself attacks the gateway at its own address, by the configuration in force. What could
// disturb callers (floods, smuggling, writing) is left to whoever runs `pavise attack`. What one
// configuration made of the demands of another says nothing, and is left out.
func (a *App) attackItself(ctx context.Context, moment time.Time) (*finding.Report, error) {
	by, err := a.turnToAttack(ctx, moment)
	if err != nil {
		return nil, err
	}
	for range attackTries {
		f := a.current().file
		report, err := a.attackBy(ctx, f, by)
		switch {
		case admin.IsUnderAttack(err):
			return nil, &schedule.NotNow{Why: err.Error()}
		case err != nil || a.current().file == f:
			return report, err
		}
	}
	return nil, fmt.Errorf("the configuration was read anew during each of %d tries", attackTries)
}

// takeOver is how long after its moment a planned attack is left to the gateway that made the last
// one: what it finds is laid over what it found before.
const takeOver = time.Hour

// turnToAttack says for whom this gateway attacks at a moment of the plan, or that another one which
// shares the store has done it, or is about to: once is enough for all.
func (a *App) turnToAttack(ctx context.Context, moment time.Time) (by client.Planned, err error) {
	by = client.Planned{Moment: moment, Node: a.schedule.Node(), Name: thisMachine()}
	if moment.IsZero() {
		return by, nil
	}
	t, err := a.State.Registry.Turn(ctx)
	if err != nil {
		return by, fmt.Errorf("see who attacked last: %w", err)
	}
	last := t.Last
	switch {
	case last.Node == "" || last.Node == by.Node:
	case !last.Moment.Before(moment):
		return by, &schedule.Elsewhere{Why: fmt.Sprintf("%s attacked, until %s; its pavise schedule shows what it found", last.Name, last.Ended.Format(time.RFC3339))}
	case a.now().Before(moment.Add(a.current().file.Schedule.Jitter.Duration + takeOver)):
		return by, &schedule.NotNow{Why: fmt.Sprintf("%s attacks, as it did the last time; this gateway does if it has not by an hour behind its time", last.Name)}
	}
	return by, nil
}

// thisMachine is how people call it.
func thisMachine() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "another gateway"
	}
	return name
}

// attackBy attacks the gateway by a configuration.
func (a *App) attackBy(ctx context.Context, f *config.File, by client.Planned) (report *finding.Report, err error) {
	g := own.Gateway{
		File: f, Kinds: Kinds(), Admin: admin.Connect(admin.InProcess(Administration(f, a.State, a.now))), Now: a.now,
		For: "the schedule of " + by.Name,
	}
	if !by.Moment.IsZero() {
		g.Planned = &by
	}
	if g.Roots, _, err = RootsOf(ctx, f, g.Admin, ""); err != nil {
		return nil, err
	}
	run, err := own.Open(ctx, g)
	if err != nil {
		return nil, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), testEnd)
		defer cancel()
		err = errors.Join(err, run.Close(ending))
	}()
	if err := foreign.Reach(ctx, run.Prober()); err != nil {
		return nil, fmt.Errorf("the gateway is attacked at %s: %w", f.Listen.HTTPS, err)
	}
	if report, err = attack.Run(ctx, run.Prober(), run.Plan(), attack.Options{Now: a.now, Again: "pavise attack --self -c " + shell.Word(f.Path)}); err != nil {
		return nil, err
	}
	if err := errors.Join(ctx.Err(), run.Lost()); err != nil {
		return nil, err
	}
	if n := run.Kept(); n > 0 && report.Partial == "" {
		report.Partial = fmt.Sprintf("%d cases were not let try: the test's network is kept out, or the gateway did not answer", n)
	}
	if a.current().file == f { // else it is made again
		run.Complete(report)
	}
	steady(f, report)
	return report, nil
}

// testEnd is how long the end of a test's credentials may take.
const testEnd = 30 * time.Second

// RootsOf are the authorities of a gateway's own certificates, besides the system's: what signs for
// development, the authority of the installation, and the file extra; files are those that were read.
func RootsOf(ctx context.Context, f *config.File, c *admin.Client, extra string) (roots *x509.CertPool, files []string, err error) {
	if roots, err = x509.SystemCertPool(); err != nil {
		roots = x509.NewCertPool()
	}
	sources := map[string]bool{}
	for _, host := range f.Hosts {
		sources[host.Certificate.Source] = true
	}
	if sources["local"] {
		files = append(files, filepath.Join(f.State.Folder, "local-ca", "ca.pem"))
	}
	if extra != "" {
		files = append(files, extra)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && name != extra {
			return nil, nil, fmt.Errorf("the gateway has never run here: it makes %s when it starts", name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the CA: %w", err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("read the CA: %s holds no certificate in PEM", name)
		}
	}
	if sources["own"] {
		authority, err := c.Authority(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("ask for the authority of the gateway's certificate: %w", err)
		}
		roots.AppendCertsFromPEM([]byte(authority.Roots))
	}
	return roots, files, nil
}
