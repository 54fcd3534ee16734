// Package outbound carries the calls of services on this machine to others: with a client
// certificate and signatures that the services know nothing of.
//
// A service asks http://127.0.0.1:9001/v1/orders; the [Carrier] that listens there reads the
// request strictly (package edge), refuses what a browser has sent (refuse.go), adds the
// credentials (call.go), and hands it to package gateway, which streams it to
// https://orders.internal:8443 and the answer back. What was signed is what is sent: method,
// path, query and body as they came, and the destination as the host.
//
//	carrier, err := outbound.Open([]outbound.Call{{
//		Name: "orders", Listen: "127.0.0.1:9001", To: "https://orders.internal:8443", TLS: config, Signers: signers,
//	}}, outbound.Options{Log: tell})
//	…
//	err = carrier.Shutdown(ctx)
//
// Whoever reaches an address calls with this machine's credentials: so it is a loopback
// address, or a socket for its owner alone. It decides nothing about who calls, follows no
// redirect, and keeps nothing.
package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/shield"
)

// Call is a destination, with the address at which it is called from here.
type Call struct {
	Name   string
	Listen string // 127.0.0.1:9001 or unix:/run/pavise/orders.sock
	To     string // https://orders.internal:8443

	TLS     *tls.Config     // of connections to the destination; it verifies, and presents a certificate where there is one
	Signers []shield.Signer // applied in order
	Token   Token           // nil: none

	MaxSigned int64         // bytes of a body that a signer reads; a longer one is refused
	Timeout   time.Duration // for the head of an answer; 0: 30 s
}

// Token is an access token that is got and renewed; oauthclient.Sender is one.
type Token interface {
	shield.Signer
	// Answered is told of each answer, and reports whether the request, signed anew, could
	// fare better.
	Answered(r *http.Request, status int, h http.Header) (again bool)
}

// CallError says that a call cannot work as it is described.
type CallError struct {
	Name string // of the call
	Err  error
}

// Error names the call.
func (e *CallError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *CallError) Unwrap() error { return e.Err }

// Options are what a [Carrier] needs.
type Options struct {
	Log func(line string) // one line for each call that was refused or failed; called from many goroutines
	Now func() time.Time  // nil: time.Now
}

// Carrier carries calls. It is safe for concurrent use.
type Carrier struct {
	options Options

	mu     sync.Mutex // one change at a time
	doors  map[string]*door
	closed bool

	failed chan error
	ctx    context.Context // ends with the carrier: doors that are left are shut
	stop   context.CancelFunc
	owned  sync.WaitGroup
}

// door is a listener with the call that is carried from there.
type door struct {
	listener net.Listener
	server   *edge.Server

	mu      sync.RWMutex
	current *call
}

// Open listens, and carries.
func Open(calls []Call, o Options) (*Carrier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Carrier{options: o, doors: map[string]*door{}, failed: make(chan error, 1)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if err := c.Replace(calls); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// Replace puts other calls in force. Listeners that both have go on without a gap, and
// requests under way end as they began. After an error everything is as it was.
func (c *Carrier) Replace(calls []Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return http.ErrServerClosed
	}
	next, fresh, err := c.prepare(calls)
	if err != nil {
		return err
	}
	maps.Copy(c.doors, fresh)
	for key, d := range c.doors {
		if carried, ok := next[key]; ok {
			c.retire(d.swap(carried))
			continue
		}
		delete(c.doors, key)
		c.owned.Go(func() { c.leave(d) })
	}
	for _, d := range fresh { // they have something to carry now
		c.owned.Go(func() { c.serve(d) })
	}
	return nil
}

// prepare opens what the calls need beside what is there, or nothing.
func (c *Carrier) prepare(calls []Call) (next map[string]*call, fresh map[string]*door, err error) {
	next, fresh = map[string]*call{}, map[string]*door{}
	defer func() {
		if err == nil {
			return
		}
		for _, opened := range next {
			opened.upstream.Close()
		}
		for _, d := range fresh {
			_ = d.listener.Close() // nobody was served
		}
	}()
	for _, one := range calls {
		key := keyOf(one)
		if next[key] != nil {
			return next, fresh, fmt.Errorf("%s: %s is the address of %s already", one.Name, one.Listen, next[key].Name)
		}
		opened, err := c.open(one)
		if err != nil {
			return next, fresh, &CallError{one.Name, err}
		}
		next[key] = opened
		d := c.doors[key]
		if d == nil {
			if d, err = c.listen(one); err != nil {
				return next, fresh, fmt.Errorf("%s: %w", one.Name, err)
			}
			fresh[key] = d
		}
		opened.answersFor(d.listener.Addr())
	}
	return next, fresh, nil
}

// keyOf tells doors apart. Where any port will do, the name has to.
func keyOf(one Call) string {
	if strings.HasSuffix(one.Listen, ":0") {
		return one.Listen + " " + one.Name
	}
	return one.Listen
}

// maxConnections bounds connections to one door; all come from this machine.
const maxConnections = 16384

func (c *Carrier) listen(one Call) (*door, error) {
	listener, err := listen(one.Listen)
	if err != nil {
		return nil, err
	}
	d := &door{listener: listener}
	d.server, err = edge.New(edge.Config{
		Handler: d, Now: c.options.Now, Limits: edge.Limits{Connections: maxConnections, PerAddress: maxConnections},
		Fault: func(f edge.Fault) {
			c.options.Log(fmt.Sprintf("%s refused with %d %s: %s; request ID %s", one.Name, f.Status, f.Code, f.Detail, f.ID))
		},
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return d, nil
}

// serve serves a door until it is shut.
func (c *Carrier) serve(d *door) {
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		select {
		case c.failed <- err:
		default: // one is told already
		}
	}
}

// Failed tells of a listener that has ended by itself.
func (c *Carrier) Failed() <-chan error { return c.failed }

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	current := d.take()
	defer current.active.Done()
	current.ServeHTTP(w, r)
}

// take returns the call in force, and counts one more request under way.
func (d *door) take() *call {
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.current.active.Add(1)
	return d.current
}

// swap puts another call in force, and returns the one before, if there was one.
func (d *door) swap(next *call) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.current
	d.current = next
	return before
}

// retire closes a call that was replaced when its last request has ended.
func (c *Carrier) retire(old *call) {
	if old == nil {
		return
	}
	old.upstream.Retire()
	c.owned.Go(func() {
		old.active.Wait()
		old.upstream.Close()
	})
}

// leaveTime is how long requests of a call that is no longer configured may take to end.
const leaveTime = time.Minute

// leave shuts a door that is no longer configured.
func (c *Carrier) leave(d *door) {
	ctx, cancel := context.WithTimeout(c.ctx, leaveTime)
	defer cancel()
	if err := d.shut(ctx); err != nil {
		c.options.Log(err.Error())
	}
}

// shut ends a door. A second time it does nothing.
func (d *door) shut(ctx context.Context) error {
	err := d.server.Shutdown(ctx)
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.current.upstream.Close()
	return err
}

// Way is an address here, and where it leads.
type Way struct{ Name, From, To string }

// Ways are in the order of their names.
func (c *Carrier) Ways() []Way {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ways []Way
	for _, d := range c.doors {
		d.mu.RLock()
		way := Way{d.current.Name, "http://" + d.listener.Addr().String(), d.current.destination()}
		d.mu.RUnlock()
		if d.listener.Addr().Network() == "unix" {
			way.From = "unix:" + d.listener.Addr().String()
		}
		ways = append(ways, way)
	}
	slices.SortFunc(ways, func(a, b Way) int { return strings.Compare(a.Name, b.Name) })
	return ways
}

// Shutdown takes no more calls, lets those under way end until ctx does, and returns when
// everything is closed.
func (c *Carrier) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	doors := slices.Collect(maps.Values(c.doors))
	c.mu.Unlock()
	errs := make([]error, len(doors))
	var all sync.WaitGroup
	for i, d := range doors {
		all.Go(func() { errs[i] = d.shut(ctx) })
	}
	all.Wait()
	c.stop()
	c.owned.Wait()
	return errors.Join(errs...)
}
