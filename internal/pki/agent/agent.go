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
	all     []*kept
	untold  bool  // files have changed, and the program was not told yet
	tries   pause // of telling it
}

// kept is one certificate.
type kept struct {
	files   certfile.Files
	cert    *renewed.Certificate
	unsaved bool  // the newest could not be written yet
	tries   pause // of writing
}

// pause grows from try to try.
type pause struct {
	long time.Duration
	next time.Time
}

// Bounds of a pause.
const (
	firstPause = 5 * time.Second
	lastPause  = 15 * time.Minute
)

// failed puts the next try off.
func (p *pause) failed(now time.Time) {
	p.long = min(max(2*p.long, firstPause), lastPause)
	p.next = now.Add(p.long)
}

func (p *pause) isOver(now time.Time) bool { return !now.Before(p.next) }

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
		current, err := files.Load()
		if err != nil {
			return nil, err
		}
		c := renewed.New(renewed.Options{Source: dialing{o}, Now: o.Now, Jitter: rand.Float64()})
		c.Use(current)
		a.all = append(a.all, &kept{files: files, cert: c})
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
			a.options.Log(fmt.Sprintf("%s: %v", one.files.Chain, err))
			faults = append(faults, fmt.Errorf("%s: %w", one.files.Chain, err))
		}
	}
	if err := a.tell(ctx); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (a *Agent) keep(ctx context.Context, one *kept) error {
	changed, err := one.cert.Keep(ctx)
	if err != nil {
		return err
	}
	one.unsaved = one.unsaved || changed
	now := a.options.Now()
	if !one.unsaved || !one.tries.isOver(now) {
		return nil
	}
	next, err := one.cert.Get()
	if err == nil {
		err = a.save(one, next)
	}
	if err != nil {
		one.tries.failed(now)
		return fmt.Errorf("%w; it is tried again in %s", err, one.tries.long)
	}
	one.unsaved, one.tries, a.untold = false, pause{}, true
	a.options.Log(fmt.Sprintf("%s: renewed, until %s", one.files.Chain, next.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	return nil
}

func (a *Agent) save(one *kept, next *tls.Certificate) error {
	key, ok := next.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a %T cannot be saved", next.PrivateKey)
	}
	var chain []*x509.Certificate
	for _, der := range next.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, c)
	}
	return one.files.Save(chain, key)
}

// reloadTime is how long the command may take.
const reloadTime = time.Minute

// tell runs the command, if files have changed since it last went well.
func (a *Agent) tell(ctx context.Context) error {
	now := a.options.Now()
	if !a.untold || !a.tries.isOver(now) {
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
		a.tries.failed(now)
		err = fmt.Errorf("run %s: %w: %.300s; it is tried again in %s", strings.Join(a.options.Reload, " "), err, strings.TrimSpace(said), a.tries.long)
		a.options.Log(err.Error())
		return err
	}
	a.untold, a.tries = false, pause{}
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
		if at := one.cert.Due(); due.IsZero() || at.Before(due) {
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
