// Package edge is where bytes become requests. It accepts connections, does the
// TLS handshake, and hands HTTP/1.1 and HTTP/2 to net/http, which reads and answers
// them; but it stands between the bytes and net/http, and passes on only what is
// beyond doubt.
//
// Why: before a handler of net/http runs, net/http has merged Content-Length beside
// Transfer-Encoding, folded lines, bare line feeds and absolute-form targets into something
// harmless-looking, and has answered some faults by itself. A guard above it cannot refuse
// what it cannot see, and no event would tell of what it answered.
//
//   - HTTP/1.1: [conn] checks the grammar of each head and follows the framing of each body
//     (RFC 9112, without leniency). What is refused is answered here with a problem document.
//   - HTTP/2: [frames] watches the frames under net/http's own implementation: it ends
//     connections whose frames only cost work, and reports what net/http refuses.
//   - Slow peers, and too many connections, have finite limits: [Limits].
//   - Every fault below a request is one call of Config.Fault.
//
// A listener without TLS serves [Plain] and nothing else.
//
//	srv, err := edge.New(edge.Config{Handler: guard, TLS: policy, Fault: record})
//	…
//	go srv.Serve(listener)
//	…
//	err = srv.Shutdown(ctx)
//
// What the edge does not do: it decides nothing about hosts, paths, credentials or rates; it
// sets no TLS policy; and a body's size is the guard's limit. The decisions behind it are in
// docs/decisions/0010-edge.md.
package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config is what a Server is made of. Handler is required.
type Config struct {
	Handler http.Handler
	TLS     *tls.Config // nil: HTTP/1.1 without TLS, meant for Plain only. It is cloned.
	Limits  Limits

	// HTTP10 lets requests of HTTP/1.0 in, which need no Host: for listeners without TLS
	// that decide nothing by it. Programs that ask for revocation lists and by OCSP speak it.
	HTTP10 bool

	// Handshake reports whether another TLS handshake with an address may begin; where it may
	// not, the connection is closed before any work is done. nil: always.
	Handshake func(netip.Addr) bool

	// Fault is told of every fault, once, from many goroutines, and must not block for
	// long: connections wait for it. A flood of faults makes a flood of calls.
	Fault func(Fault)

	Now  func() time.Time // the time of faults; nil: time.Now. Limits run on the real clock.
	Rand io.Reader        // of request IDs; nil: crypto/rand
	Log  *log.Logger      // what net/http has to say, a handler's panic for one; nil: the standard logger
}

// Server accepts connections and serves what is sent over them. It is safe for
// concurrent use.
type Server struct {
	limits  Limits
	tls     *tls.Config
	now     func() time.Time
	rand    io.Reader
	report  func(Fault)
	http1   *http.Server
	http2   *http.Server
	opened1 *queue // connections whose handshake is done
	opened2 *queue
	census  census
	may     func(netip.Addr) bool // begin a handshake; nil: always

	ctx  context.Context // ends with the server: unfinished handshakes stop
	stop context.CancelFunc

	mu        sync.Mutex
	started   bool
	closing   bool
	listeners map[net.Listener]struct{}
	sockets   map[*socket]struct{}
	empty     chan struct{} // closed when the last socket goes while closing

	inner    sync.WaitGroup // the two http.Servers' accept loops
	openings sync.WaitGroup // connections between accept and http.Server
}

// New returns a server that has not started: it holds no goroutine until Serve.
func New(c Config) (*Server, error) {
	if c.Handler == nil {
		return nil, errors.New("edge: there is no handler")
	}
	limits, err := c.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if limits.http10 = c.HTTP10; c.HTTP10 && c.TLS != nil {
		return nil, errors.New("edge: HTTP/1.0 is for listeners without TLS")
	}
	s := &Server{
		limits: limits, now: c.Now, rand: c.Rand, report: c.Fault,
		opened1: newQueue(), opened2: newQueue(),
		census: census{by: map[netip.Prefix]int{}, limit: limits.Connections, per: limits.PerAddress},
		may:    c.Handshake, listeners: map[net.Listener]struct{}{}, sockets: map[*socket]struct{}{}, empty: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if c.TLS != nil {
		s.tls = tlsConfig(c.TLS)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http1 = s.newHTTP1(c)
	s.http2 = s.newHTTP2(c)
	return s, nil
}

// tlsConfig adds to a policy what the edge needs of it.
func tlsConfig(policy *tls.Config) *tls.Config {
	t := policy.Clone()
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	if len(t.NextProtos) == 0 {
		t.NextProtos = []string{"h2", "http/1.1"}
	}
	t.NextProtos = slices.Clone(t.NextProtos)
	t.GetConfigForClient = remember(t.GetConfigForClient)
	return t
}

// newHTTP1 is Go's HTTP/1.1 server. It has no timeouts: conn has them all, and
// knows whose fault they are. Its limit on heads never acts, for ours is smaller.
func (s *Server) newHTTP1(c Config) *http.Server {
	only := new(http.Protocols)
	only.SetHTTP1(true)
	return &http.Server{
		Handler: c.Handler, Protocols: only, ErrorLog: c.Log,
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               s.limits.Head + 4096,
		ConnState: func(nc net.Conn, state http.ConnState) {
			c, ok := nc.(interface{ edge() *conn })
			switch {
			case !ok:
				panic(fmt.Sprintf("edge: http.Server serves a %T", nc)) // only conns go into opened1
			case state == http.StateIdle:
				c.edge().idle()
			case state == http.StateHijacked:
				c.edge().tunnelled()
			}
		},
	}
}

// Serve accepts connections from l until Shutdown, and then returns
// http.ErrServerClosed. It closes l. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if err := s.start(l); err != nil {
		return err
	}
	defer s.done(l)
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case s.ctx.Err() != nil || s.isClosing():
			if err == nil {
				_ = nc.Close() // it came too late; its peer sees the end
			}
			return http.ErrServerClosed
		case err != nil && !isTemporary(err):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		case err != nil: // out of descriptors, most likely: give others time to close
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		pause = 0
		s.accept(nc)
	}
}

func isTemporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// start notes a listener, and with the first one starts the two http.Servers.
func (s *Server) start(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return http.ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	if !s.started {
		s.started = true
		s.inner.Go(func() { _ = s.http1.Serve(s.opened1) }) // always http.ErrServerClosed: a queue has no other end
		s.inner.Go(func() { _ = s.http2.Serve(s.opened2) })
	}
	return nil
}

func (s *Server) done(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// accept counts a connection in, or closes it.
func (s *Server) accept(nc net.Conn) {
	sock := &socket{Conn: nc, server: s, remote: addrPort(nc.RemoteAddr()), local: addrPort(nc.LocalAddr())}
	bad := s.census.enter(sock.remote.Addr())
	if bad == nil && s.tls != nil && s.may != nil && !s.may(sock.remote.Addr()) {
		s.census.leave(sock.remote.Addr())
		bad = &reject{TooManyHandshakes, 0, "handshakes come too fast from " + network(sock.remote.Addr()).String()}
	}
	if bad != nil {
		_ = nc.Close() // nothing was promised to it
		s.fault(sock.newFault(StepLimit, bad))
		return
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.census.leave(sock.remote.Addr())
		_ = nc.Close()
		return
	}
	s.sockets[sock] = struct{}{}
	s.openings.Add(1)
	s.mu.Unlock()
	go s.open(sock)
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		p := tcp.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// open does the handshake and gives the connection to the protocol it agreed on.
func (s *Server) open(sock *socket) {
	defer s.openings.Done()
	if s.tls == nil {
		s.opened1.put(newConn(sock, sock))
		return
	}
	secure, err := sock.handshake(s.ctx)
	if err != nil {
		sock.leave() // the fault is reported
		return
	}
	if sock.tls.NegotiatedProtocol == "h2" {
		s.open2(sock, secure)
		return
	}
	s.opened1.put(secureConn{newConn(sock, secure)})
}

// forget takes a closed socket out of the count.
func (s *Server) forget(sock *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sockets[sock]; !ok {
		return
	}
	delete(s.sockets, sock)
	s.census.leave(sock.remote.Addr())
	if s.closing && len(s.sockets) == 0 {
		close(s.empty)
	}
}

func (s *Server) fault(f Fault) {
	if s.report != nil {
		s.report(f)
	}
}

// Shutdown stops accepting, lets requests in progress end (HTTP/2 clients are told by
// GOAWAY), and returns when every connection is closed, those that handlers took over too.
// When ctx ends first, it closes what is left and returns ctx's error; handlers that do not
// mind the end of their request's context within two seconds may then still run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	for l := range s.listeners {
		_ = l.Close() // Serve sees it, and closes it once more
	}
	if !again && len(s.sockets) == 0 {
		close(s.empty)
	}
	s.mu.Unlock()
	s.stop() // a handshake in progress would end in a connection that nobody serves

	err := s.drain(ctx)
	s.mu.Lock()
	left := make([]*socket, 0, len(s.sockets))
	for sock := range s.sockets {
		left = append(left, sock)
	}
	s.mu.Unlock()
	for _, sock := range left {
		_ = sock.Close()
	}
	s.openings.Wait()
	_ = errors.Join(s.http1.Close(), s.http2.Close()) // their listeners are queues, which cannot fail
	s.inner.Wait()
	select {
	case <-s.empty:
	case <-time.After(noticeTime): // a handler hangs
	}
	return err
}

// noticeTime is how long Shutdown waits for handlers to see that their connection
// was closed. net/http keeps an HTTP/2 connection for 1 s after it sent GOAWAY.
const noticeTime = 2 * time.Second

// drain waits for all connections to end by themselves.
func (s *Server) drain(ctx context.Context) error {
	var both sync.WaitGroup
	errs := make([]error, 2)
	both.Go(func() { errs[0] = s.http1.Shutdown(ctx) })
	both.Go(func() { errs[1] = s.http2.Shutdown(ctx) })
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("drain connections: %w", err)
	}
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain connections: %w", ctx.Err())
	}
}

// queue is a net.Listener that is fed from inside the program.
type queue struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn), ended: make(chan struct{})} }

// put gives a connection to whoever accepts, or closes it.
func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.ended:
		_ = c.Close() // nobody will serve it
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.ended) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return inside{} }

type inside struct{}

func (inside) Network() string { return "edge" }
func (inside) String() string  { return "edge" }
