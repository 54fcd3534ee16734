package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Settings are what a prober needs.
type Settings struct {
	Target string
	Roots  *x509.CertPool // nil: the system's

	// Certificate is shown to a target that asks for one; nil: none is.
	Certificate *tls.Certificate

	// Paste is what a command to paste needs besides the request, to reach the target:
	// --cacert 'ca.pem'.
	Paste string

	PerSecond int           // requests at most; 0: 50
	Most      int64         // requests of the whole run; 0: 100,000
	Timeout   time.Duration // of one request; 0: 10 s

	// HTTP1 keeps requests to HTTP/1.1: what is sent is then nearer to what is written.
	HTTP1 bool

	// From is asked from which address a connection is made; nil, or an address that is not
	// valid: the system chooses. With it every request has a connection of its own.
	From func() netip.Addr

	Lookup func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's
	Now    func() time.Time                                             // nil: time.Now
	Wait   func(ctx context.Context, d time.Duration) error             // nil: on the real clock
}

// Bounds against a hostile target.
const (
	maxAnswer = 1 << 20  // bytes of a body that are looked at
	maxHead   = 64 << 10 // bytes of a head
)

// Prober sends requests to a target, and nowhere else. It is safe for concurrent use.
type Prober struct {
	scope  *Scope
	s      Settings
	client *http.Client
	sent   atomic.Int64

	mu     sync.Mutex
	next   time.Time     // when the next request may leave
	every  time.Duration // between two requests
	others map[*tls.Certificate]*http.Client
}

// Answer is what came back.
type Answer struct {
	Status  int
	Proto   string
	Header  http.Header
	Body    []byte // its first megabyte
	Cut     bool   // there was more, or it ended before its end
	Took    time.Duration
	TLS     *tls.ConnectionState
	Request *http.Request // as it was sent, with its credential

	secrets, short map[string]string // of the session that sent it
}

// ErrEnough is the error of a request beyond what a run may send.
var ErrEnough = errors.New("the run has sent as many requests as it may")

// NewProber makes a prober for a target.
func NewProber(ctx context.Context, s Settings) (*Prober, error) {
	if s.PerSecond == 0 {
		s.PerSecond = 50
	}
	if s.Most == 0 {
		s.Most = 100_000
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Wait == nil {
		s.Wait = wait
	}
	scope, err := NewScope(ctx, s.Target, s.Lookup)
	if err != nil {
		return nil, err
	}
	scope.from = s.From
	p := &Prober{scope: scope, s: s, every: time.Second / time.Duration(s.PerSecond), others: map[*tls.Certificate]*http.Client{}}
	p.client = p.newClient(s.Certificate)
	return p, nil
}

func (p *Prober) newClient(certificate *tls.Certificate) *http.Client {
	transport := &http.Transport{
		DialContext: p.scope.dial, TLSClientConfig: p.tls(certificate), MaxResponseHeaderBytes: maxHead, DisableCompression: true,
		ForceAttemptHTTP2: !p.s.HTTP1, DisableKeepAlives: p.s.From != nil, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 8, TLSHandshakeTimeout: p.s.Timeout,
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p *Prober) tls(certificate *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: p.s.Roots, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		// Sent whichever authorities the server names: what is behind it may have others.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config
}

// Roots are the authorities that the target's certificate is held to; nil: the system's.
func (p *Prober) Roots() *x509.CertPool { return p.s.Roots }

// Scope is where it sends to.
func (p *Prober) Scope() *Scope { return p.scope }

// Sent is how many requests it has sent.
func (p *Prober) Sent() int64 { return p.sent.Load() }

// Close ends idle connections.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client.CloseIdleConnections()
	for _, client := range p.others {
		client.CloseIdleConnections()
	}
}

// Send sends a request that is in scope.
func (p *Prober) Send(r *http.Request) (*Answer, error) { return p.send(p.client, r) }

// SendWith sends a request over connections of their own, for which another certificate is
// shown.
func (p *Prober) SendWith(certificate *tls.Certificate, r *http.Request) (*Answer, error) {
	return p.send(p.clientWith(certificate), r)
}

// clientWith is the client that shows a certificate; nil: that of the prober.
func (p *Prober) clientWith(certificate *tls.Certificate) *http.Client {
	if certificate == nil {
		return p.client
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	client := p.others[certificate]
	if client == nil {
		client = p.newClient(certificate)
		p.others[certificate] = client
	}
	return client
}

// Pause waits, as long as a target asks for before the next request.
func (p *Prober) Pause(ctx context.Context, d time.Duration) error { return p.s.Wait(ctx, d) }

// slowest is the time between two requests that [Prober.Slower] does not go beyond.
const slowest = 200 * time.Millisecond

// Slower sends half as many requests in a second from now on, but for those of bursts: the target
// asked for a pause, and answered after it.
func (p *Prober) Slower() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = max(p.every, min(2*p.every, slowest))
}

// Burst sends many requests as fast as they go, width at a time: only for cases that demand
// [Floods]. The answers are those that came; what did not is left out.
func (p *Prober) Burst(requests []*http.Request, width int) (answers []*Answer) {
	return p.BurstWith(nil, requests, width)
}

// BurstWith is Burst over connections for which another certificate is shown; nil: that of the
// prober.
func (p *Prober) BurstWith(certificate *tls.Certificate, requests []*http.Request, width int) (answers []*Answer) {
	client := p.clientWith(certificate)
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan *http.Request)
	for range width {
		all.Go(func() {
			for r := range next {
				if p.sent.Add(1) > p.s.Most || !p.scope.Allows(r.URL) {
					continue
				}
				if a, err := p.exchange(client, r); err == nil {
					mu.Lock()
					answers = append(answers, a)
					mu.Unlock()
				}
			}
		})
	}
	for _, r := range requests {
		next <- r
	}
	close(next)
	all.Wait()
	return answers
}

func (p *Prober) send(client *http.Client, r *http.Request) (*Answer, error) {
	if !p.scope.Allows(r.URL) {
		return nil, fmt.Errorf("%s: %w", r.URL.Redacted(), ErrOutside)
	}
	if err := p.admit(r.Context()); err != nil {
		return nil, err
	}
	return p.exchange(client, r)
}

func (p *Prober) exchange(client *http.Client, r *http.Request) (*Answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), p.s.Timeout)
	defer cancel()
	began := p.s.Now()
	response, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("ask the target: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	a := &Answer{Status: response.StatusCode, Proto: response.Proto, Header: response.Header, TLS: response.TLS, Request: r}
	a.Body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if a.Cut = err != nil || len(a.Body) > maxAnswer; len(a.Body) > maxAnswer {
		a.Body = a.Body[:maxAnswer]
	}
	a.Took = p.s.Now().Sub(began)
	return a, nil
}

// admit waits until the next request may leave.
func (p *Prober) admit(ctx context.Context) error {
	if p.sent.Add(1) > p.s.Most {
		return ErrEnough
	}
	p.mu.Lock()
	now := p.s.Now()
	pause := p.next.Sub(now)
	p.next = now.Add(max(pause, 0) + p.every)
	p.mu.Unlock()
	if pause <= 0 {
		return ctx.Err()
	}
	return p.s.Wait(ctx, pause)
}

// Raw sends bytes as they are, over a connection of their own, and returns what comes back
// within the time of a request: for what no client would send. Closed reports whether the
// target ended the connection.
func (p *Prober) Raw(ctx context.Context, protocols []string, text []byte) (answer []byte, closed bool, err error) {
	if err := p.admit(ctx); err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.Timeout)
	defer cancel()
	conn, err := p.connect(ctx, protocols, nil)
	if err != nil {
		return nil, false, err
	}
	return talk(ctx, conn, text)
}

// Talk hands a connection to the target to a case, for the time of a request: for what is no
// exchange of HTTP/1.1. change may set what the handshake says; nil: nothing.
func (p *Prober) Talk(ctx context.Context, protocols []string, change func(*tls.Config), with func(net.Conn) error) error {
	if err := p.admit(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.Timeout)
	defer cancel()
	conn, err := p.connect(ctx, protocols, change)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("connect to the target: %w", err)
	}
	return with(conn)
}

// Plain sends bytes without TLS, to the target's port, or to port 80 of a target at port 443:
// what answers a browser that was told only the name.
func (p *Prober) Plain(ctx context.Context, text []byte) (answer []byte, port string, err error) {
	if err := p.admit(ctx); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.Timeout)
	defer cancel()
	conn, port, err := p.scope.dialPlain(ctx)
	if err != nil {
		return nil, port, fmt.Errorf("connect to the target: %w", err)
	}
	answer, _, err = talk(ctx, conn, text)
	return answer, port, err
}

// talk sends bytes and returns what comes back.
func talk(ctx context.Context, conn net.Conn, text []byte) (answer []byte, closed bool, err error) {
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, false, fmt.Errorf("connect to the target: %w", err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(text)
		sent <- err
	}()
	var got bytes.Buffer
	_, err = io.Copy(&got, io.LimitReader(conn, maxHead))
	closed = err == nil && got.Len() < maxHead || errors.Is(err, io.EOF) || isReset(err)
	_ = conn.Close() // ends the write, if it still waits
	<-sent
	return got.Bytes(), closed, nil
}

// isReset reports whether the other side broke the connection.
func isReset(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return err != nil && !(ok && timeout.Timeout())
}

// connect opens a connection to the target, with TLS if its address says so.
func (p *Prober) connect(ctx context.Context, protocols []string, change func(*tls.Config)) (net.Conn, error) {
	conn, err := p.scope.dial(ctx, "tcp", p.scope.host)
	if err != nil {
		return nil, fmt.Errorf("connect to the target: %w", err)
	}
	if p.scope.base.Scheme != "https" {
		return conn, nil
	}
	config := p.tls(p.s.Certificate)
	config.NextProtos, config.ServerName = protocols, p.scope.base.Hostname()
	if change != nil {
		change(config)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("shake hands with the target: %w", err), conn.Close())
	}
	return secure, nil
}

// Handshake shakes hands with a TLS configuration of the case's own, at the target.
func (p *Prober) Handshake(ctx context.Context, config *tls.Config) (tls.ConnectionState, error) {
	if err := p.admit(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.Timeout)
	defer cancel()
	conn, err := p.scope.dial(ctx, "tcp", p.scope.host)
	if err != nil {
		return tls.ConnectionState{}, fmt.Errorf("connect to the target: %w", err)
	}
	defer func() { _ = conn.Close() }()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("shake hands with the target: %w", err)
	}
	return secure.ConnectionState(), nil
}

// EverySuite are all cipher suites that this program can offer, also those that nobody should take.
func EverySuite() (all []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		all = append(all, s.ID)
	}
	return all
}
