// Package app wires the parts together: from a configuration to a running gateway.
// It is the only place that knows the lists of kinds.
package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/authserver"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/internal/schedule"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/all"
)

type (
	clock     = func() time.Time
	presented = func(*http.Request) ([]*x509.Certificate, bool, error)
)

// Options replace parts of the world, for tests. The zero value is the real one.
type Options struct {
	Now  clock
	Rand io.Reader
	Warn func(error) // what the operator must know at once; nil: nobody is told

	Flood audit.Flood // when refusals of strangers are counted instead of written one by one

	AcceptRestored bool // the store was put back on purpose: what was revoked since then is in force again

	// Jobs are further ones that the schedule can run, by name: attack. They take the place of
	// those that there are.
	Jobs map[string]schedule.Job

	Library bool // the guard stands before a handler of the program's own; upstreams are not asked
}

// App is an installation that runs. It is safe for concurrent use.
type App struct {
	State *State

	now     clock
	rand    io.Reader
	warn    func(error)
	sink    audit.Sink
	limiter *limit.Memory
	tries   *limit.Lockout
	quotas  limit.Quotas
	load    *limit.Load
	once    pavise.OnceStore
	lookup  shield.Lookup
	revoked shield.Revoked

	intruders chan intruder // of honeypots, whose networks are to be kept out; nil: nobody is

	owned    owned
	observed observed // what those see who watch
	sinks    *sinks   // nil: a configuration is only checked

	detecting detecting
	alerts    *alerts // as sinks
	schedule  scheduled
	more      map[string]schedule.Job // beside those that there are

	signer  *gateway.Signer
	oauth   *authserver.Base // nil: there is no authorization server
	lasting config.OAuth     // the settings with which it was opened
	library bool
	asked   bool // of an installation that is only checked: a shield trusts the authority

	others *against.Others // of an installation that is simulated; nil: it is real, or nobody asks it
	tried  *flow.Store     // of an installation that is simulated, if its endpoints need one

	installed *config.File // of the start: listeners, state and log are as it says

	mu         sync.Mutex // one reload at a time
	generation atomic.Pointer[generation]
	retiring   sync.WaitGroup
	life       context.Context // ends with Close
	end        context.CancelFunc
}

// Kinds returns every kind of shield that the program has.
func Kinds() []shield.Kind { return all.Kinds() }

// Load reads a configuration file.
func Load(name string) (*config.File, error) { return config.Load(name, Kinds()) }

// Open opens an installation: its state, and the policy of its configuration. It
// listens to nothing yet.
func Open(ctx context.Context, f *config.File, o Options) (_ *App, err error) {
	a := &App{now: o.Now, rand: o.Rand, warn: o.Warn, library: o.Library, installed: f, more: o.Jobs}
	a.owned.app = a
	if a.now == nil {
		a.now = time.Now
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	if a.warn == nil {
		a.warn = func(error) {}
	}
	a.life, a.end = context.WithCancel(context.Background())
	if a.State, err = OpenState(ctx, f, StateOptions{Now: a.now, Warn: a.warn, Flood: o.Flood, AcceptRestored: o.AcceptRestored}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.State.Close())
		}
	}()
	a.sink, a.once, a.revoked, a.lookup = &uses{a.State.Log, a.State.View}, a.State.Once, a.State.View, a.State.View
	if err := a.openLimits(f); err != nil {
		return nil, err
	}
	a.intruders = make(chan intruder, maxIntruders)
	a.signer = a.State.Signer
	if a.sinks, err = a.openSinks(f); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.sinks.end()
		}
	}()
	if a.alerts, err = a.openAlerts(f); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.alerts.end()
		}
	}()
	if a.schedule.Scheduler, err = a.openSchedule(f, a.alerts.record); err != nil {
		return nil, err
	}
	a.beginSchedule()
	first, err := a.build(f, nil)
	if err != nil {
		return nil, err
	}
	a.generation.Store(first)
	a.countEvents()
	if err = a.watchLog(f); err != nil {
		return nil, err
	}
	a.State.Authority.OnChange(func() { a.current().files.look() })
	a.retiring.Go(a.watchFiles)
	a.retiring.Go(a.keepOut)
	a.retiring.Go(a.keepAuthServer)
	a.retiring.Go(a.keepAuthority)
	a.keepSince(f)
	a.note("started", f.Path, "") // before sinks tell of themselves: detections forget then which failed
	a.sinks.start()
	a.alerts.start()
	if a.State.Registry.Restored() {
		a.note("restored", f.State.Folder, "the store was put back on purpose; credentials revoked since then are in force again")
	}
	if a.library {
		a.startSchedule() // a gateway does when it listens
	}
	return a, nil
}

func newTries(f *config.File, now clock) (*limit.Lockout, error) {
	trusted, err := trustedProxies(f)
	if err != nil {
		return nil, err
	}
	return limit.NewLockout(limit.LockoutOptions{
		Network: limit.Rate{Count: f.Limits.WrongTries, Per: time.Minute}, Trusted: trusted, Now: now,
	})
}

// trustedProxies are the networks whose word about the caller's address counts.
func trustedProxies(f *config.File) (trusted []netip.Prefix, err error) {
	for _, network := range f.Proxies.Addresses {
		prefix, err := config.ParseNetwork(network)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies.addresses: %w", err)
		}
		trusted = append(trusted, prefix)
	}
	return trusted, nil
}

func (a *App) current() *generation { return a.generation.Load() }

// Handler is the guard in force, in front of the upstreams.
func (a *App) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := a.enter()
		defer g.leave()
		g.handler.ServeHTTP(w, r)
	})
}

// Wrap is the guard in force, in front of a handler of the program's own.
func (a *App) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := a.enter()
		defer g.leave()
		g.guard.Wrap(next).ServeHTTP(w, r)
	})
}

// Guard is the guard in force at this moment.
func (a *App) Guard() *pavise.Guard { return a.current().guard }

// Reload puts another configuration in force, whole or not at all, and leaves an
// event with the difference. Requests under way end under the old one. The operator
// is told which of the changes wait for the next start.
func (a *App) Reload(f *config.File) error {
	_, err := a.reload(f)
	return err
}

func (a *App) reload(f *config.File) (waiting []config.Change, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.current()
	plan, err := a.planOf(f)
	if err != nil {
		a.noteChange("reload_refused", f.Path, err.Error())
		return nil, err
	}
	next, err := a.build(f, old)
	if err != nil {
		a.noteChange("reload_refused", f.Path, err.Error())
		return nil, err
	}
	a.tries.Trust(next.trusted)
	a.State.Authority.SetPolicy(pkiPolicy(f))
	a.generation.Store(next)
	a.watchAnew(f)
	a.schedule.Set(plan)
	a.countAnew(next)
	waiting = a.waiting(f)
	changes := config.Diff(old.file, f)
	for i := range changes {
		changes[i].Restart = slices.ContainsFunc(waiting, func(c config.Change) bool { return c.Path == changes[i].Path })
	}
	a.keepSince(f)
	a.noteChange("reload", f.Path, written(changes))
	if len(waiting) > 0 {
		a.warn(fmt.Errorf("restart pavise serve for what cannot change while it runs: %s", written(waiting)))
	}
	a.retire(old)
	return waiting, nil
}

// waiting are the settings of a configuration that this process cannot put in force. Those
// of the authorization server are as they were when it was added, be that at a reload; where
// there is none, nothing waits.
func (a *App) waiting(f *config.File) []config.Change {
	is := *a.installed
	is.OAuth = f.OAuth
	if f.OAuth.Issuer != "" {
		is.OAuth = a.lasting
	}
	return slices.DeleteFunc(config.Diff(&is, f), func(c config.Change) bool { return !c.Restart })
}

// drainFor is how long requests, streams and upgraded connections that began under
// an old configuration may go on.
const drainFor = 10 * time.Minute

// retire lets what is under way in an old generation come to its end.
func (a *App) retire(old *generation) {
	a.retiring.Go(func() {
		ctx, cancel := context.WithTimeout(a.life, drainFor)
		defer cancel()
		old.retire(ctx)
	})
}

// Close ends everything that the installation runs.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopSchedule()
	a.note("stopped", "", "")
	fault := a.State.Log.Flush()
	a.sinks.close()
	a.alerts.close()
	a.end()
	a.retiring.Wait()
	a.detecting.stop()
	a.current().close()
	return errors.Join(fault, a.State.Close())
}

// note records an event of the system itself.
func (a *App) note(code, target, detail string) {
	a.record(&audit.Event{Class: audit.System, Decision: audit.Noted, Code: code, Target: target, Detail: detail})
}

func (a *App) noteChange(action, target, change string) {
	a.record(&audit.Event{Class: audit.Admin, Decision: audit.Noted, Actor: "configuration", Action: action, Target: target, Change: change})
}

func (a *App) record(e *audit.Event) {
	e.Time = a.now()
	e.ID = newID(a.rand)
	if err := audit.Record(a.sink, e); err != nil {
		a.warn(fmt.Errorf("record %s: %w", e.Code+e.Action, err))
	}
}

// uses is the log, and tells which credentials were used for what was accepted.
type uses struct {
	*audit.Log
	view *client.View
}

// Complete implements audit.Sink.
func (u *uses) Complete(e *audit.Event) {
	if e.Decision == audit.Accepted && e.Class == audit.Request && e.CredentialID != "" {
		u.view.Used(e.Shield, e.CredentialID, e.Time)
	}
	u.Log.Complete(e)
}
