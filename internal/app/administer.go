package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/shield"
)

// Administration is the administrative API over a state that this process holds.
func Administration(f *config.File, s *State, now clock) *admin.Service {
	public, _ := s.Signing.Public().(ed25519.PublicKey) // an Ed25519 key's public half is one
	return &admin.Service{
		Authority: s.Authority, CRL: s.Status.List, Enrolment: s.Enrolment, EnrolAt: enrolAt(f), Registry: s.Registry, Refresh: s.View.Refresh, Kinds: append(Kinds(), registration.Kind()),
		Env:      shield.Env{Now: now, Rand: rand.Reader, Credentials: s.View, Revoked: s.View, Issuers: named{func() *config.File { return f }}},
		Record:   func(e audit.Event) error { return audit.Record(s.Log, &e) },
		Ready:    s.Log.Healthy,
		Quotas:   s.Quotas,
		QuotaOf:  quotaOf(f),
		Identity: s.Signer.JWKS(),
		Users:    func(ctx context.Context) (admin.Users, error) { return peopleOf(ctx, f, s, now) },
		OAuth:    func(ctx context.Context) (*admin.OAuth, error) { return serverOf(ctx, f, s, now) },
		Inspect: func(ctx context.Context, q admin.Inspection) (admin.Inspected, error) {
			return inspectResting(ctx, f, s, now, q)
		},
		Sinks: func() ([]sink.Status, error) { return restingSinks(f) },
		Trail: s.Log, Retention: s.Log,
		Forget:   func(e *audit.Erasure) (int, error) { return eraseResting(f, now, e) },
		Alerts:   func() (*admin.Alerts, error) { return restingAlerts(f, s, now) },
		Schedule: func(ctx context.Context) (*admin.Schedule, error) { return restingSchedule(ctx, f, s, now) },
		LogDir:   f.Log.Folder, KeptDir: f.Log.Kept,
		ChainKey: s.ChainKey, Public: public, Flush: s.Log.Flush, Installed: f.Path,
		File: func() *config.File { return f },
		Explain: func(q admin.WhatIf) (admin.Answer, error) {
			return foreseeResting(context.Background(), f, s, now, q)
		},
	}
}

// named knows the issuers of a configuration by name; nothing is fetched, so that no
// token of theirs can be judged.
type named struct{ file func() *config.File }

// Issuer implements shield.Issuers.
func (n named) Issuer(name string) (*shield.Issuer, error) {
	if own := n.file().OAuth.Issuer; name == config.OwnIssuer && own != "" {
		return &shield.Issuer{Name: name, URL: own, Algorithms: issuer.DefaultAlgorithms(), Keys: nobody{}, Introspect: nobody{}}, nil
	}
	known, ok := n.file().Issuers[name]
	if !ok {
		return nil, fmt.Errorf("there is no issuer %q in %s", name, n.file().Path)
	}
	i := &shield.Issuer{Name: name, URL: known.URL, Audience: known.Audience, Algorithms: known.Algorithms, Keys: nobody{}}
	if len(i.Algorithms) == 0 {
		i.Algorithms = issuer.DefaultAlgorithms()
	}
	if known.Introspect != nil {
		i.Introspect = nobody{}
	}
	return i, nil
}

// administer serves the administration of the running gateway on its socket.
func (a *App) administer(f *config.File) (stopper, error) {
	service := Administration(f, a.State, a.now)
	a.live(service)
	l, err := admin.Listen(f.State.Socket)
	if err != nil {
		return nil, err
	}
	s := &administration{server: admin.NewServer(service)}
	s.running.Go(func() { s.err = s.server.Serve(l) })
	return s, nil
}

// server is the authorization server in force, as far as it is administered; nil if there
// is none.
func (a *App) server() *admin.OAuth {
	if a.current().oauth == nil {
		return nil
	}
	return a.administered(a.current().file)
}

// serverOf opens grants and signing keys of a state that this process holds, without a
// server; nil if the configuration asks for none.
func serverOf(ctx context.Context, f *config.File, s *State, now clock) (*admin.OAuth, error) {
	if f.OAuth.Issuer == "" {
		return nil, nil
	}
	a := resting(ctx, s, now)
	if err := a.openAuthBase(f); err != nil {
		return nil, err
	}
	return a.administered(f), nil
}

func (a *App) administered(f *config.File) *admin.OAuth {
	return &admin.OAuth{
		Issuer: a.lasting.Issuer, Grants: a.oauth.Grants, Keys: a.oauth.Keys, Invitations: a.oauth.Invitations,
		Registration: f.OAuth.Registration, Scopes: slices.Sorted(maps.Keys(f.Scopes)),
	}
}

// resting is an installation of which this process holds the state, and that serves
// nothing.
func resting(ctx context.Context, s *State, now clock) *App {
	return &App{
		State: s, now: now, rand: rand.Reader, life: ctx, library: true,
		once: s.Once, lookup: s.View, revoked: s.View, sink: s.Log, warn: func(error) {},
	}
}

// live lets the administration speak of the gateway that runs, and of the configuration
// that is in force in it.
func (a *App) live(service *admin.Service) {
	service.Running = true
	service.Users = func(context.Context) (admin.Users, error) {
		if people := a.People(); people != nil {
			return people, nil
		}
		return nil, nil
	}
	service.OAuth = func(context.Context) (*admin.OAuth, error) { return a.server(), nil }
	service.Inspect = a.Inspect
	service.File = func() *config.File { return a.current().file }
	service.Env.Issuers = named{func() *config.File { return a.current().file }}
	service.Explain = func(q admin.WhatIf) (admin.Answer, error) {
		return a.Foresee(context.Background(), q)
	}
	service.Reload = func(context.Context) ([]config.Change, error) {
		next, err := Load(a.installed.Path)
		if err != nil {
			a.noteChange("reload_refused", a.installed.Path, err.Error())
			return nil, err
		}
		return a.reload(next)
	}
	service.QuotaOf = func(name string) int { return quotaOf(a.current().file)(name) }
	service.Load, service.Metrics = a.loaded, a.observed.metrics.Write
	service.Healthy, service.Certificates, service.Sinks = a.healthy, a.certificates, a.sinks.status
	service.Alerts = func() (*admin.Alerts, error) { return a.alerts.administered(), nil }
	service.Forget = a.alerts.erase
	service.Schedule = func(context.Context) (*admin.Schedule, error) { return a.onSchedule(), nil }
}

// healthy says how the parts are that can fail while the gateway runs.
func (a *App) healthy() map[string]error {
	parts := map[string]error{"log": a.State.Log.Healthy(), "credentials": nil}
	if age := a.now().Sub(a.State.View.Confirmed()); age > 5*time.Second {
		parts["credentials"] = fmt.Errorf("unconfirmed for %s", age.Round(time.Second))
	}
	sinks, _ := a.sinks.status() // what cannot be read is told by the feed itself
	for _, s := range sinks {
		parts["sink "+s.Name] = nil
		if s.Failing != "" {
			parts["sink "+s.Name] = errors.New(s.Failing)
		}
	}
	notifiers, _ := a.alerts.status()
	for _, n := range notifiers {
		parts["notifier "+n.Name] = nil
		if n.Failing != "" {
			parts["notifier "+n.Name] = errors.New(n.Failing)
		}
	}
	return parts
}

// administration is the served API.
type administration struct {
	server  *admin.Server
	running sync.WaitGroup
	err     error
}

// Shutdown ends the API and waits for it.
func (s *administration) Shutdown(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	s.running.Wait()
	return errors.Join(err, s.err)
}

// enrolAt is where programs elsewhere get certificates; empty if they do nowhere.
func enrolAt(f *config.File) string {
	if f.PKI.Host == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(f.Listen.HTTPS)
	if err != nil || port == "443" || port == "0" {
		return "https://" + f.PKI.Host
	}
	return "https://" + net.JoinHostPort(f.PKI.Host, port)
}
