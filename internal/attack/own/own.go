// Package own plans a penetration test of a gateway of ours: the configuration says which answer
// every attack must get, and whatever else comes back is a finding.
//
// [Open] makes the clients of the test through the administration (internal/client, tester.go):
// two that may everything that the configuration has scopes for, and one that may nothing. Their
// credentials live for a quarter of an hour, count only from where the test runs, and are ended by
// [Run.Close]. One run at a time has them: another gets an error that says who does. What is accepted
// of them the gateway answers itself, so that no service is asked.
//
//	own.go          a gateway, and a run against it
//	place.go        what is attacked: each endpoint with each way in
//	turn.go         one run at a time
//	source.go       from which addresses: wrong tries must not shut the test out
//	credential.go   credentials of every kind, made when they are needed
//	share.go        limits that all callers share
//	given.go        tokens of others' issuers that somebody gave
//	token.go        tokens of the installation's own authorization server
//	forge.go        tokens of issuers for which nobody here can sign
//	try.go          a request, and what the gateway made of it
//	rules.go        what is wrong, and what mends it
//	plan.go         the cases, in the order in which they disturb least
//	row.go          rows of the catalogue that cannot be tried from outside
//
// and one file for each family: shield.go (what each kind's folder brings), rights.go, ended.go,
// door.go, raw.go, http2.go, transport.go, origin.go, contract.go, injection.go, limit.go, upstream.go.
//
// What it does not do: it cannot see what a service was sent, so what is removed before the
// service (headers that only the gateway may say) is shown by Pavise's own tests, not here.
package own

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/shell"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Gateway is what is attacked, and what is known of it.
type Gateway struct {
	File  *config.File  // the policy that is to be in force
	Kinds []shield.Kind // of shields
	Admin *admin.Client // of the installation that runs

	Address string         // host:port at which it is asked; empty: that of listen.https
	Roots   *x509.CertPool // of its certificates; nil: the system's
	Paste   string         // what a command to paste needs besides the request
	From    netip.Prefix   // network from which the gateway sees the test; not valid: it is found out

	Through bool          // accepted requests reach the services
	Allowed attack.Demand // what will be allowed when it runs

	// Tokens are good ones of issuers for which nobody here can sign, by the issuer's name: of one
	// caller, and perhaps of another. What is accepted of them reaches the service.
	Tokens map[string][]secret.Value

	PerSecond int // requests at most; 0: 50

	For     string          // what runs the test, for whoever has to wait; empty: who calls the administration
	Planned *client.Planned // what a schedule is told when the run came to its end; nil: none asked

	Now  func() time.Time                                 // nil: time.Now
	Wait func(ctx context.Context, d time.Duration) error // nil: on the real clock
}

// Run is an attack that is ready. Close ends its credentials.
type Run struct {
	g       Gateway
	a, b    string // clients with every scope
	none    string // one without any
	hosts   []*host
	places  []*place
	sources *sources
	holder  *holder
	turn    *turn
	shares  *shares
	opened  []string // clients
	plan    *attack.Plan
	said    []string // for the report, found out on the way
	kept    int      // cases that the gateway did not let try

	complete bool

	samples   map[*place]draft
	documents map[string][]foreign.Sample
}

// host is a name of the gateway, with what sends to it.
type host struct {
	name   string
	prober *attack.Prober
	routes routes
}

// ErrNoPolicy is the error of a configuration in which there is nothing to attack.
var ErrNoPolicy = errors.New("the configuration has no endpoint")

// Open makes the clients of the test and plans the cases.
func Open(ctx context.Context, g Gateway) (_ *Run, err error) {
	r, err := prepared(ctx, g)
	if err != nil {
		return nil, err
	}
	r.g.Admin = g.Admin.OfRun(rand.Text())
	r.turn = &turn{admin: r.g.Admin, now: r.g.Now}
	if err := r.openClients(ctx); err != nil {
		return nil, err
	}
	r.plan = r.planned()
	return r, nil
}

// List plans the cases that Open does, and makes nothing for them: to know what they are called.
func List(ctx context.Context, g Gateway) (*attack.Plan, error) {
	r, err := prepared(ctx, g)
	if err != nil {
		return nil, err
	}
	return r.planned(), nil
}

// prepared is a run without its clients.
func prepared(ctx context.Context, g Gateway) (_ *Run, err error) {
	if g.Now == nil {
		g.Now = time.Now
	}
	r := &Run{g: g, a: client.TesterA, b: client.TesterB, none: client.TesterNone, samples: map[*place]draft{}, documents: map[string][]foreign.Sample{}}
	if g.Through {
		r.a, r.b = client.TesterThroughA, client.TesterThroughB
	}
	if err := r.reachable(); err != nil {
		return nil, err
	}
	if r.sources, err = newSources(ctx, &r.g); err != nil {
		return nil, err
	}
	if err := r.openHosts(ctx); err != nil {
		return nil, err
	}
	if r.places, err = placesOf(&r.g, r.hosts); err != nil {
		return nil, err
	}
	r.said = append(r.said, unexplored(r.places)...)
	r.holder = newHolder(r)
	r.shares = newShares(r.g.Now, r.gives)
	return r, nil
}

// reachable settles where the gateway is asked.
func (r *Run) reachable() error {
	if r.g.Address == "" {
		r.g.Address = r.g.File.Listen.HTTPS
	}
	name, port, err := net.SplitHostPort(r.g.Address)
	if err != nil || port == "0" {
		return fmt.Errorf("the gateway's address %q has no port: name its URL", r.g.Address)
	}
	if addr, err := netip.ParseAddr(name); name == "" || err == nil && addr.IsUnspecified() {
		name = "127.0.0.1" // it listens everywhere
	}
	r.g.Address = net.JoinHostPort(name, port)
	return nil
}

// openHosts makes a prober for each name that the configuration serves. All of them lead to the
// gateway's address, whatever the names mean elsewhere.
func (r *Run) openHosts(ctx context.Context) error {
	at, port, err := net.SplitHostPort(r.g.Address)
	if err != nil {
		return fmt.Errorf("the gateway's address: %w", err)
	}
	lookup := func(ctx context.Context, _ string) ([]netip.Addr, error) {
		if addr, err := netip.ParseAddr(at); err == nil {
			return []netip.Addr{addr}, nil
		}
		return net.DefaultResolver.LookupNetIP(ctx, "ip", at)
	}
	for _, name := range sortedNames(r.g.File.Hosts) {
		p, err := attack.NewProber(ctx, attack.Settings{
			Target: "https://" + net.JoinHostPort(name, port), Roots: r.g.Roots, Paste: r.paste(name, at, port), PerSecond: r.perSecond(),
			HTTP1: true, From: r.sources.from, Lookup: lookup, Now: r.g.Now, Wait: r.g.Wait,
		})
		if err != nil {
			return fmt.Errorf("host %s: %w", name, err)
		}
		r.hosts = append(r.hosts, &host{name: name, prober: p})
	}
	if len(r.hosts) == 0 {
		return ErrNoPolicy
	}
	return nil
}

// perSecond is how many requests leave in a second at most: from the one address that others have, too, half of
// what it may.
func (r *Run) perSecond() int {
	rate, err := limit.ParseRate(r.g.File.Limits.Address)
	if r.sources.turns || err != nil {
		return r.g.PerSecond
	}
	return min(cmp.Or(r.g.PerSecond, usualRate), max(1, int(float64(rate.Count)/rate.Per.Seconds()/2)))
}

const usualRate = 50

// paste is what curl needs to reach a host where the test does.
func (r *Run) paste(name, at, port string) string {
	words := []string{}
	if r.g.Paste != "" {
		words = append(words, r.g.Paste)
	}
	if name != at {
		words = append(words, "--connect-to "+shell.Quoted(strings.Join([]string{name, port, at, port}, ":")))
	}
	return strings.Join(words, " ")
}

// Plan are the cases.
func (r *Run) Plan() *attack.Plan { return r.plan }

// Prober is that of the first host.
func (r *Run) Prober() *attack.Prober { return r.hosts[0].prober }

// Kept is how many cases the gateway did not let try, or was not there for: what they look for is neither there
// nor gone.
func (r *Run) Kept() int { return r.kept }

// Complete adds to a report what the run came to, and what could not be tried. The run has come
// to its end, then.
func (r *Run) Complete(report *finding.Report) {
	r.complete = r.turn.lost == nil
	report.Subject = "https://" + r.g.Address
	report.Notes = slices.Concat(r.summary(), r.said, r.shares.said(), report.Notes)
}

// timeout is how long a service may take to answer around the gateway.
func (r *Run) timeout() time.Duration { return 3 * time.Second }
