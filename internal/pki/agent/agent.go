// Package agent keeps certificates in files fresh: it renews each when two thirds of its
// life are over, writes it in one step, and tells the program that uses it.
//
// What fails is told and tried again, at growing intervals; the files stay as they are
// until there is something better. A program that could not be told is told again, until
// it was: beside each chain a file says of which one it was told last (told.go), so that
// neither a restart nor somebody else who replaces the files is missed.
package agent

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/command"
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
	all     []*kept
	tries   renewed.Pause // of telling the program
}

// New reads the certificates.
func New(o Options) (*Agent, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Run == nil {
		o.Run = command.Run
	}
	a := &Agent{options: o}
	for _, files := range o.Files {
		one := &kept{Kept: certfile.NewKept(files, renewed.Options{Source: dialing{o}, Now: o.Now, Jitter: rand.Float64()})}
		if err := files.Recover(); err != nil {
			return nil, err
		}
		if err := one.look(); err != nil {
			return nil, err
		}
		if len(o.Reload) > 0 {
			if err := one.begin(); err != nil {
				return nil, err
			}
		}
		a.all = append(a.all, one)
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

func (a *Agent) keep(ctx context.Context, one *kept) error {
	looked := one.look()
	saved, err := one.Keep(ctx)
	if err != nil || !saved {
		return errors.Join(looked, err)
	}
	if next, err := one.Get(); err == nil {
		a.options.Log(fmt.Sprintf("%s: renewed, until %s", one.Files.Chain, next.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	return one.look()
}

// reloadTime is how long the command may take.
const reloadTime = time.Minute

// tell runs the command, if files have changed since it last went well.
func (a *Agent) tell(ctx context.Context) error {
	now := a.options.Now()
	if len(a.options.Reload) == 0 || !a.tries.IsOver(now) {
		return nil
	}
	isTold, err := a.isTold()
	if err != nil {
		return a.later(err, now)
	}
	if isTold {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	words := strings.Join(a.options.Reload, " ")
	if said, err := a.options.Run(ctx, a.options.Reload); err != nil {
		return a.later(fmt.Errorf("run %s: %w: %.300s", words, err, strings.TrimSpace(said)), now)
	}
	a.options.Log("ran " + words)
	for _, one := range a.all {
		if err := one.setTold(); err != nil {
			return a.later(err, now)
		}
	}
	a.tries = renewed.Pause{}
	return nil
}

// isTold reports whether the program knows what the files hold.
func (a *Agent) isTold() (bool, error) {
	for _, one := range a.all {
		if is, err := one.isTold(); err != nil || !is {
			return false, err
		}
	}
	return true, nil
}

// later logs what will be tried again.
func (a *Agent) later(err error, now time.Time) error {
	err = fmt.Errorf("%w; it is tried again in %s", err, a.tries.Failed(now))
	a.options.Log(err.Error())
	return err
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
