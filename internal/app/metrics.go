package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/internal/metrics"
)

// observed is what those see who watch an installation.
type observed struct {
	metrics *metrics.Metrics
	ending  atomic.Bool            // it is about to end, or does
	token   atomic.Pointer[string] // of scrapers; nil: they need none
	files   files                  // that hold it
}

// countEvents counts events from now on.
func (a *App) countEvents() {
	a.observed.metrics = metrics.New(metrics.Options{Started: a.now()})
	a.countAnew(a.current())
	a.observed.metrics.Show(a.standing)
	a.State.events.add(a.observed.metrics.See)
}

// countAnew learns what a configuration that was put in force names.
func (a *App) countAnew(g *generation) {
	a.observed.metrics.Know(g.endpoints)
	var kinds []metrics.Incident
	for _, kind := range g.file.Alerts.Detecting.Kinds() {
		kinds = append(kinds, metrics.Incident{Detection: kind.Name, Severity: string(kind.Severity)})
	}
	a.observed.metrics.Watch(kinds)
}

// Metrics counts what this installation does.
func (a *App) Metrics() *metrics.Metrics { return a.observed.metrics }

// endpointsOf are those of a policy, as events name them.
func endpointsOf(p pavise.Policy) (all []metrics.Endpoint) {
	for _, api := range p.APIs {
		for _, e := range api.Endpoints {
			all = append(all, metrics.Endpoint{API: api.Name, Name: e.Pattern})
		}
	}
	return all
}

// standing says how things stand.
func (a *App) standing() metrics.State {
	load := a.loaded()
	s := metrics.State{
		Status:  admin.Status{Running: true, Load: &load, Certificates: a.certificates(), Faults: map[string]string{}},
		Log:     &metrics.Log{Healthy: a.State.Log.Healthy() == nil, Bytes: sizeOf(a.installed.Log.Folder)},
		Unready: map[string]bool{}, Incidents: map[metrics.Incident]int{},
	}
	s.Clients, s.Credentials = a.State.View.Size()
	s.Confirmed = float64(a.State.View.Confirmed().UnixMilli()) / 1000
	s.Log.Used, s.Log.All = a.State.Log.Slots()
	s.Sinks, _ = a.sinks.status() // what cannot be read is told by the feed itself
	for part, fault := range a.healthy() {
		if fault != nil {
			s.Faults[part] = "failing" // why is no number
		}
	}
	for part, fault := range a.ready() {
		s.Unready[part] = fault != nil
	}
	for _, u := range a.current().upstream {
		well, all := u.Healthy()
		s.Upstreams = append(s.Upstreams, metrics.Upstream{API: u.Name(), Well: well, All: all})
	}
	if watch := a.detecting.watch.Load(); watch != nil {
		for _, i := range watch.Open() {
			s.Incidents[metrics.Incident{Detection: i.Detection, Severity: string(i.Severity)}]++
		}
	}
	return s
}

// sizeOf is how many bytes the files of a folder have.
func sizeOf(folder string) (sum int64) {
	entries, _ := os.ReadDir(folder) // a log that cannot be read is told elsewhere
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && filepath.Ext(entry.Name()) != "" {
			sum += info.Size()
		}
	}
	return sum
}

// ready says what keeps the gateway from being of use, part by part. While the store is away
// the snapshot in memory serves: only when that is too old everything is refused. An upstream
// that is down keeps nobody from other APIs.
func (a *App) ready() map[string]error {
	parts := map[string]error{"log": a.State.Log.Healthy(), "state": nil, "serving": nil}
	if age := a.now().Sub(a.State.View.Confirmed()); age > a.installed.State.MaxStaleness.Duration {
		parts["state"] = fmt.Errorf("what is revoked is unconfirmed for %s, so that everything is refused; see whether the store can be read", age.Round(time.Second))
	}
	if a.observed.ending.Load() {
		parts["serving"] = errors.New("it ends: requests under way come to their end, new ones go elsewhere")
	}
	return parts
}

// siteLimits are the bounds of the listener for those who watch.
func siteLimits() edge.Limits {
	return edge.Limits{
		Connections: 256, PerAddress: 64, Head: 8 << 10, RequestLine: 1 << 10, Fields: 50,
		Handshake: 5 * time.Second, Header: 5 * time.Second, Idle: 2 * time.Minute, Stall: 10 * time.Second,
	}
}

// listenSite serves those who watch, if they are to be served.
func (s *Server) listenSite(m *config.Metrics) error {
	if m == nil {
		return nil
	}
	site := &metrics.Site{
		Metrics: s.app.observed.metrics, Ready: s.app.ready, Certificate: m.CA != "",
		Local: m.IsLocal() && m.Host == "", Refused: s.app.refusedReader,
	}
	if m.Token != "" {
		if err := s.app.readToken(m.Token); err != nil {
			return err
		}
		site.Token = func() string { return *s.app.observed.token.Load() }
	}
	secure, err := s.app.siteTLS(m)
	if err != nil {
		return err
	}
	s.site, err = edge.New(edge.Config{
		Handler: site.Handler(), TLS: secure, HTTP10: secure == nil, Limits: siteLimits(), Handshake: s.app.handshake,
		Fault: s.app.fault, Now: s.app.now, Rand: s.app.rand, Log: log.New(warnWriter{s.app}, "", 0),
	})
	if err != nil {
		return err
	}
	l, err := listen(m.Address)
	if err != nil {
		return fmt.Errorf("listen.metrics: %w", err)
	}
	s.serve(s.site, l)
	s.Metrics = l.Addr()
	return nil
}

// closeSite ends the listener for those who watch; what they ask takes no time.
func (s *Server) closeSite() error {
	if s.site == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.site.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// readToken reads the scrapers' token, and again when its file changes. One that is of no use
// leaves the one before in force.
func (a *App) readToken(name string) error {
	path := a.installed.Abs(name)
	read := func() error {
		text, err := (&files{}).Read(path)
		if err != nil {
			return fmt.Errorf("listen.metrics.token_file: %w", err)
		}
		token := string(bytes.TrimSpace(text))
		if len(token) < config.MinToken {
			return fmt.Errorf("listen.metrics.token_file: %s holds fewer than %d characters; openssl rand -hex 32 makes a token", name, config.MinToken)
		}
		a.observed.token.Store(&token)
		return nil
	}
	a.observed.files.Watch(path, func() {
		if err := read(); err != nil {
			a.warn(fmt.Errorf("the token of scrapers stays as it was: %w", err))
		}
	})
	return read()
}

// siteTLS is how the listener for those who watch speaks TLS; nil: it does not.
func (a *App) siteTLS(m *config.Metrics) (*tls.Config, error) {
	if m.Host == "" {
		return nil, nil
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true, // each handshake verifies the certificate of whoever asks
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			named := *hello
			named.ServerName = m.Host // scrapers ask for an address
			return a.current().certs.GetCertificate(&named)
		},
	}
	if m.CA != "" {
		text, err := (&files{}).Read(a.installed.Abs(m.CA))
		if err != nil {
			return nil, fmt.Errorf("listen.metrics.client_ca: %w", err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven // probes have none
		if !t.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("listen.metrics.client_ca: %s holds no certificate", m.CA)
		}
	}
	return t, nil
}

// refusedReader records that somebody asked for metrics who may not have them.
func (a *App) refusedReader(r *http.Request, code string, status int) {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero address for what is none
	a.fault(edge.Fault{
		ID: newID(a.rand), Time: a.now(), Remote: remote, Step: "metrics", Code: edge.Code(code), Status: status,
		Detail: "asked the listener for those who watch",
	})
}

// giveNotice says to those who watch that the gateway ends, and gives them time to act on it.
func (r *Running) giveNotice() {
	r.app.observed.ending.Store(true)
	if r.Notice > 0 {
		timer := time.NewTimer(r.Notice)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.server.Failed():
		}
	}
}
