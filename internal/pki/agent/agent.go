// Package agent keeps certificates in files fresh: it renews each when two thirds of its
// life are over, writes it in one step, and tells the program that uses it.
//
// What fails is told and tried again, at growing intervals; the files stay as they are
// until there is something better. A program that could not be told is told again, until
// it was.
package agent

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"

	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/renewed"
)

// Options are what an [Agent] needs.
type Options struct {
	Files []certfile.Files
	// Dial returns where the next certificate of current is had. It is asked anew each
	// time, so that the authority's roots are those of today.
	Dial   func(ctx context.Context, current *tls.Certificate) (renewed.Source, error)
	Reload []string                                                    // command with its arguments, run after files have changed; none: nobody is told
	Log    func(string)                                                // one line for what happened
	Now    func() time.Time                                            // nil: time.Now
	Run    func(ctx context.Context, command []string) (string, error) // nil: runs it
}

// Agent keeps certificates fresh. Its methods are called by one goroutine.
type Agent struct {
	options Options
	all     []*certfile.Kept
	untold  bool          // files have changed, and the program was not told yet
	tries   renewed.Pause // of telling it
}

// New reads the certificates.
func New(o Options) (*Agent, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Run == nil {
		o.Run = run
	}
	a := &Agent{options: o}
	for _, files := range o.Files {
		c := certfile.NewKept(files, renewed.Options{Source: dialing{o}, Now: o.Now, Jitter: rand.Float64()})
		if err := c.Load(); err != nil {
			return nil, err
		}
		a.all = append(a.all, c)
	}
	return a, nil
}

// dialing asks anew for each certificate.
type dialing struct{ options Options }

// Obtain implements renewed.Source.
func (d dialing) Obtain(ctx context.Context, key crypto.Signer, current *tls.Certificate) ([]*x509.Certificate, error) {
	if !d.options.Now().Before(current.Leaf.NotAfter) {
		return nil, fmt.Errorf("it ended at %s and cannot be renewed any more: get a new one with an enrolment token (`pavise cert enroll`)", current.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	source, err := d.options.Dial(ctx, current)
	if err != nil {
		return nil, err
	}
	return source.Obtain(ctx, key, current)
}

// Keep renews what is due, and tells the program. It returns what went wrong, which is also
// in the log.
func (a *Agent) Keep(ctx context.Context) error {
	var faults []error
	for _, one := range a.all {
		if err := a.keep(ctx, one); err != nil {
			a.options.Log(fmt.Sprintf("%s: %v", one.Files.Chain, err))
			faults = append(faults, fmt.Errorf("%s: %w", one.Files.Chain, err))
		}
	}
	if err := a.tell(ctx); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (a *Agent) keep(ctx context.Context, one *certfile.Kept) error {
	saved, err := one.Keep(ctx)
	if !saved {
		return err
	}
	a.untold = true
	next, err := one.Get()
	if err == nil {
		a.options.Log(fmt.Sprintf("%s: renewed, until %s", one.Files.Chain, next.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	return err
}

// reloadTime is how long the command may take.
const reloadTime = time.Minute

// tell runs the command, if files have changed since it last went well.
func (a *Agent) tell(ctx context.Context) error {
	now := a.options.Now()
	if !a.untold || !a.tries.IsOver(now) {
		return nil
	}
	if len(a.options.Reload) == 0 {
		a.untold = false
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	said, err := a.options.Run(ctx, a.options.Reload)
	if err != nil {
		err = fmt.Errorf("run %s: %w: %.300s; it is tried again in %s", strings.Join(a.options.Reload, " "), err, strings.TrimSpace(said), a.tries.Failed(now))
		a.options.Log(err.Error())
		return err
	}
	a.untold, a.tries = false, renewed.Pause{}
	a.options.Log("ran " + strings.Join(a.options.Reload, " "))
	return nil
}

// run runs a command without a shell.
func run(ctx context.Context, command []string) (string, error) {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	return string(out), err
}

// Due is when the first of the certificates is renewed.
func (a *Agent) Due() time.Time {
	var due time.Time
	for _, one := range a.all {
		if at := one.Due(); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// every is how often an agent looks at what is due.
const every = time.Second

// Until keeps the certificates until ctx ends.
func (a *Agent) Until(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		_ = a.Keep(ctx) // it is in the log
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
