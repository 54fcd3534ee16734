package app

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/authserver"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/metrics"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

// generation is everything that one configuration made: it is built whole, then
// takes the place of the one before, or is closed again. Requests end under the
// generation under which they began.
type generation struct {
	file       *config.File
	guard      *pavise.Guard
	handler    http.Handler // the guard, in front of the upstreams
	certs      *tlsconf.Certificates
	issuers    *issuer.Set
	trusts     shield.Issuers // the issuers, as shields see them
	files      *files
	upstream   []*gateway.Upstream
	pairs      []*tlsconf.Pair               // our certificates towards upstreams
	oauth      *authserver.Server            // nil: there is none
	carriers   []string                      // headers that carry credentials
	endpoints  []metrics.Endpoint            // as events name them
	places     map[string]*limit.Concurrency // by name and bounds
	before     map[string]*limit.Concurrency // those of the generation before
	handshakes limit.Rate                    // of one address
	trusted    []netip.Prefix                // proxies whose word about the caller's address counts

	signed *fetch.Client // gets what is signed by itself, for shields
	beside *beside       // what shields do beside requests; nil: nothing

	documents  map[config.OpenAPI]*schema.Document // descriptions of APIs
	operations map[described]*schema.Operation
	scanners   map[string]*leak.Scanner // of answers, by what they look for
	now        clock

	ruleSets map[string]*crs.Rules // by their settings
	earlier  map[string]*crs.Rules // of the generation before, while this one is built

	ailing string // what was wrong with certificates when they were last looked at

	under    atomic.Int64  // requests under way
	replaced atomic.Bool   // no more begin
	last     chan struct{} // closed when it was replaced and the last request has ended
	ended    sync.Once
}

// enter takes the generation in force for one request, which must leave it.
func (a *App) enter() *generation {
	for {
		g := a.generation.Load()
		g.under.Add(1)
		if a.generation.Load() == g {
			return g // counted before it was replaced, if it ever is
		}
		g.leave()
	}
}

func (g *generation) leave() {
	if g.under.Add(-1) == 0 && g.replaced.Load() {
		g.ended.Do(func() { close(g.last) })
	}
}

// retire ends a generation that another one has replaced: when its last request
// has ended, streams and tunnels too, or when ctx ends.
func (g *generation) retire(ctx context.Context) {
	for _, u := range g.upstream {
		u.Retire()
	}
	g.replaced.Store(true)
	if g.under.Load() == 0 {
		g.ended.Do(func() { close(g.last) })
	}
	select {
	case <-g.last:
	case <-ctx.Done():
	}
	g.close()
}

// close ends what the generation runs. A generation that could not be built whole
// is closed too.
func (g *generation) close() {
	if g.beside != nil {
		g.beside.close()
	}
	for _, u := range g.upstream {
		u.Close()
	}
	if g.issuers != nil {
		g.issuers.Close()
	}
	if g.certs != nil {
		g.certs.Close()
	}
}
