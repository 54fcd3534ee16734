package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/edge"
)

// Server is an installation that listens.
type Server struct {
	app   *App
	https *edge.Server
	plain *edge.Server
	site  *edge.Server // for those who watch; nil: there is none

	HTTPS   net.Addr // where it listens
	HTTP    net.Addr // nil: no plain listener
	Metrics net.Addr // nil: no listener for those who watch

	running sync.WaitGroup
	failed  chan error
}

// Listen starts the listeners of the configuration.
func (a *App) Listen() (*Server, error) {
	f := a.current().file
	s := &Server{app: a, failed: make(chan error, 3)}
	secure, err := listen(f.Listen.HTTPS)
	if err != nil {
		return nil, err
	}
	var open net.Listener
	if f.Listen.HTTP != "" {
		if open, err = listen(f.Listen.HTTP); err != nil {
			return nil, errors.Join(err, secure.Close())
		}
	}
	if err := s.prepare(f); err != nil {
		return nil, errors.Join(err, secure.Close(), closeIf(open))
	}
	if err := s.listenSite(f.Listen.Metrics); err != nil {
		return nil, errors.Join(err, secure.Close(), closeIf(open))
	}
	s.serve(s.https, secure)
	s.HTTPS = secure.Addr()
	if open != nil {
		s.serve(s.plain, open)
		s.HTTP = open.Addr()
	}
	return s, nil
}

func closeIf(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; is another program there? Set listen.https to another address", address, err)
	}
	return l, nil
}

func (s *Server) prepare(f *config.File) error {
	limits := edge.Limits{
		Connections: f.Limits.Connections, PerAddress: f.Limits.ConnectionsPer, Head: int(f.Limits.HeaderBytes),
		Header: f.Limits.HeaderTimeout.Duration, Idle: f.Limits.IdleTimeout.Duration, Stall: f.Limits.BodyTimeout.Duration,
	}
	quiet := log.New(warnWriter{s.app}, "", 0)
	var err error
	s.https, err = edge.New(edge.Config{
		Handler: s.app.Handler(), TLS: s.app.TLSConfig(), Limits: limits, Handshake: s.app.handshake, Fault: s.app.fault, Now: s.app.now, Rand: s.app.rand, Log: quiet,
	})
	if err != nil {
		return err
	}
	s.plain, err = edge.New(edge.Config{
		Handler: s.openly(), HTTP10: true,
		Limits: limits, Fault: s.app.fault, Now: s.app.now, Rand: s.app.rand, Log: quiet,
	})
	return err
}

// openly answers without TLS under the generation in force: its challenges, and
// refusals that know which headers carry its credentials.
func (s *Server) openly() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := s.app.current()
		plain := edge.Plain{
			Challenges: g.certs.ChallengeHandler(http.NotFoundHandler()), Credentials: g.carriers,
			Fault: s.app.fault, Now: s.app.now, Rand: s.app.rand, Blocked: s.app.blockedBut(g.trusted),
		}
		plain.Open, plain.IsOpen = s.app.statusOf(g.file)
		plain.ServeHTTP(w, r)
	})
}

func (s *Server) serve(server *edge.Server, l net.Listener) {
	s.running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
}

// Failed delivers why a listener ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// lookEvery is how often files that settings name are looked at.
const lookEvery = time.Second

// watchFiles tells shields and certificates of files that have changed, until the
// installation is closed.
func (a *App) watchFiles() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-a.life.Done():
			return
		case <-ticker.C:
			g := a.current()
			g.files.look()
			a.observed.files.look()
			if err := g.reloadCertificates(a.now()); err != nil {
				a.note("certificate_warning", "", err.Error())
				a.warn(err)
			}
		}
	}
}

// reloadCertificates reads changed certificates again: those that are shown to
// callers, and those that are shown to upstreams. What is wrong with them is told
// once for as long as nothing else is; those in force stay.
func (g *generation) reloadCertificates(now time.Time) error {
	faults := g.certs.Reload()
	for _, pair := range g.pairs {
		if _, err := pair.Reload(now); err != nil {
			faults = append(faults, err)
		}
	}
	err, known := errors.Join(faults...), g.ailing
	g.ailing = ""
	if err != nil {
		g.ailing = err.Error()
	}
	if g.ailing == known {
		return nil
	}
	return err
}

// Shutdown drains requests under way until ctx ends, and stops listening: last where others
// watch. The App stays open.
func (s *Server) Shutdown(ctx context.Context) error {
	s.app.observed.ending.Store(true)
	err := s.https.Shutdown(ctx)
	if also := s.plain.Shutdown(ctx); err == nil || !errors.Is(also, ctx.Err()) {
		err = errors.Join(err, also) // one word is enough of a time that is over
	}
	err = errors.Join(err, s.closeSite())
	s.running.Wait()
	return err
}

// fault records what went wrong below a request.
func (a *App) fault(f edge.Fault) {
	e := &audit.Event{
		ID: f.ID, Time: f.Time, Class: audit.Connection, Decision: audit.Refused, Remote: unmapped(f.Remote), Peer: unmapped(f.Remote),
		SNI: f.ServerName, Step: string(f.Step), Code: string(f.Code), Status: f.Status, Detail: f.Detail, Exposed: f.Exposed != "",
	}
	if f.Exposed != "" {
		e.Detail = "a credential came without TLS in header " + f.Exposed
	}
	if err := audit.Record(a.sink, e); err != nil {
		a.warn(fmt.Errorf("record a connection fault: %w", err))
	}
}

func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// warnWriter hands on what net/http has to say.
type warnWriter struct{ app *App }

func (w warnWriter) Write(p []byte) (int, error) {
	w.app.warn(errors.New(string(p)))
	return len(p), nil
}
