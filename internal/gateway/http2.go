package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// http2 speaks HTTP/2 to one address by net/http, over TLS or, as h2c, without.
type http2 struct {
	u    *Upstream
	at   *address
	pool *http.Transport
}

func newHTTP2(u *Upstream, a *address) *http2 {
	protocols := new(http.Protocols)
	if a.tls == nil {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP2(true)
	}
	return &http2{u: u, at: a, pool: &http.Transport{
		Protocols:              protocols,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx, nil) },
		DialTLSContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dialHTTP2(ctx) },
		DisableCompression:     true,
		MaxResponseHeaderBytes: int64(u.s.MaxResponseHead),
		IdleConnTimeout:        u.s.Timeouts.KeepAlive,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: u.s.Timeouts.Idle,
		},
	}}
}

// errNotHTTP2 says that a peer that spoke HTTP/2 before does not any more.
var errNotHTTP2 = errors.New("the address no longer speaks HTTP/2")

func (a *address) dialHTTP2(ctx context.Context) (net.Conn, error) {
	nc, err := a.dial(ctx, []string{"h2"})
	if err != nil {
		return nil, err
	}
	if secure, ok := nc.(*tls.Conn); !ok || secure.ConnectionState().NegotiatedProtocol != "h2" {
		_ = nc.Close() // of no use
		return nil, errNotHTTP2
	}
	return nc, nil
}

func (p *http2) prune(time.Time) {}

func (p *http2) close() { p.pool.CloseIdleConnections() }

// answer2 is the answer of one stream.
type answer2 struct {
	x        *exchange
	cancel   context.CancelFunc
	h        responseHead
	response *http.Response
	body     *body2
	idle     *time.Timer // cancels the stream
	silent   atomic.Bool // the idle timer did
	patience patience
}

// patience is the wait for the head of an answer: it begins when the request has
// been written and ends with the head, whichever net/http tells first.
type patience struct {
	cancel context.CancelFunc

	mu    sync.Mutex
	over  bool
	late  bool // cancelled for want of an answer
	timer *time.Timer
}

func (p *patience) begin(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || p.timer != nil {
		return
	}
	p.timer = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.over {
			p.late = true
			p.cancel()
		}
	})
}

// end reports whether the answer came too late.
func (p *patience) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	return p.late
}

// send implements transport.
func (p *http2) send(x *exchange, _ bool) (reply, *fault) {
	ctx, cancel := context.WithCancel(x.r.Context())
	a := &answer2{x: x, cancel: cancel}
	a.patience.cancel = cancel
	request, body := p.request(httptrace.WithClientTrace(ctx, a.trace()), x)
	a.body = body
	if x.body.kind == streamed {
		x.body.touched = true
		if x.r.ProtoMajor == 1 {
			_ = x.EnableFullDuplex() // not supported: the body is read first
		}
		x.watch(a)
	}
	response, err := p.pool.RoundTrip(request)
	if a.patience.end() && err != nil {
		err = fmt.Errorf("wait for an answer: %w", context.DeadlineExceeded)
	}
	if err != nil {
		f := a.failed(err)
		a.finish(false)
		return nil, f
	}
	a.response = response
	if err := a.readHead(); err != nil {
		a.finish(false)
		return nil, &fault{err: err, stage: sent}
	}
	return a, nil
}

// request builds the request that net/http sends. Opaque carries the path byte
// for byte; net/http appends the query as it is.
func (p *http2) request(ctx context.Context, x *exchange) (*http.Request, *body2) {
	path, query, asked := strings.Cut(x.target, "?")
	r := &http.Request{
		Method: x.r.Method, Host: x.host(p.at), Header: make(http.Header, len(x.r.Header)+8),
		URL: &url.URL{Scheme: p.at.url.Scheme, Host: p.at.url.Host, Opaque: path, RawQuery: query, ForceQuery: asked && query == ""},
	}
	for name, values := range x.r.Header {
		if !x.drops(name) && (name != "Expect" || x.expects) {
			r.Header[name] = x.sent(name, values)
		}
	}
	x.setFields(func(name, value string) {
		r.Header[name] = append(r.Header[name][:len(r.Header[name]):len(r.Header[name])], value)
	})
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = nil // present and empty: net/http adds none of its own
	}
	var body *body2
	if x.body.kind != noBody {
		body = &body2{x: x, out: r, from: x.r.Body}
		if x.body.kind == inline {
			body.from = bytes.NewReader(x.body.bytes)
		}

		r.Body, r.ContentLength = body, x.body.length
		if len(x.body.trailers) > 0 {
			r.Trailer = make(http.Header, len(x.body.trailers))
			for _, name := range x.body.trailers {
				r.Trailer[name] = nil
			}
		}
	}
	return r.WithContext(ctx), body
}

// body2 hands the caller's body to net/http and notices whose fault an error is.
type body2 struct {
	x    *exchange
	out  *http.Request
	from io.Reader // the caller's body, or what was read of it
	eof  atomic.Bool
	bad  atomic.Pointer[fault]

	mu   sync.Mutex // held while the body is read
	shut bool
}

// Read implements io.Reader.
func (b *body2) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return 0, errClosedPool
	}
	n, err := b.from.Read(p)
	switch {
	case err == io.EOF:
		b.eof.Store(true)
		for name := range b.out.Trailer {
			b.out.Trailer[name] = b.x.r.Trailer[name]
		}
	case err != nil:
		b.bad.Store(b.x.bodyFault(err))
	}
	return n, err
}

// callersFault returns what the caller did wrong with his body, if he did.
func (b *body2) callersFault() *fault {
	if b.x.r.Context().Err() != nil {
		b.stop() // net/http ends the context before the read of the body has said why
	}
	return b.bad.Load()
}

// Close implements io.Closer. net/http calls it from goroutines of its own; the
// exchange itself ends the reading, in stop.
func (b *body2) Close() error { return nil }

// stop returns when nobody reads the body any more: neither the caller's, nor the
// buffer that goes back to the pool.
func (b *body2) stop() {
	if !b.mu.TryLock() {
		b.x.unblockBody()
		b.mu.Lock()
	}
	b.shut = true
	b.mu.Unlock()
}

// trace hears informational answers.
func (a *answer2) trace() *httptrace.ClientTrace {
	heard := 0
	written := func(httptrace.WroteRequestInfo) { a.patience.begin(a.x.wait) }
	return &httptrace.ClientTrace{WroteRequest: written, Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		if heard++; heard > maxInformational {
			return badHead("more than %d informational answers", maxInformational)
		}
		h := responseHead{status: status}
		h.add(http.Header(header))
		a.x.informational(&h)
		return nil
	}}
}

func (h *responseHead) add(header http.Header) {
	for name, values := range header {
		for _, value := range values {
			h.fields = append(h.fields, field{name, value})
		}
	}
}

func (a *answer2) readHead() error {
	r := a.response
	if r.StatusCode < 200 || r.StatusCode > 599 {
		return badHead("status %d", r.StatusCode)
	}
	a.h = responseHead{minor: 1, status: r.StatusCode, length: r.ContentLength, fields: make([]field, 0, len(r.Header)+1)}
	if a.x.r.Method == http.MethodHead && r.Header["Content-Length"] == nil {
		a.h.length = -1
	}
	a.h.add(r.Header)
	for name := range r.Trailer {
		a.h.fields = append(a.h.fields, field{"Trailer", name})
	}
	return nil
}

func (a *answer2) failed(err error) *fault {
	if a.body != nil {
		if f := a.body.callersFault(); f != nil {
			return f
		}
	}
	f := &fault{err: err, stage: sent}
	_, isDial := errors.AsType[*dialError](err)
	switch {
	case a.x.r.Context().Err() != nil || a.x.ended.Load() != nil:
		f.stage = atFault
	case errors.Is(err, errNotHTTP2):
		f.stage, f.stale = unsent, true
		a.x.at.forgetProtocol()
	case isDial:
		f.stage = unsent
	}
	return f
}

// interrupt implements reply.
func (a *answer2) interrupt() { a.cancel() }

// head implements reply.
func (a *answer2) head() *responseHead { return &a.h }

// buffered implements reply: net/http does not tell, so every read may wait.
func (a *answer2) buffered() bool { return false }

// uploading implements reply.
func (a *answer2) uploading() bool {
	return a.body != nil && a.x.body.kind == streamed && !a.body.eof.Load()
}

// tunnel implements reply: HTTP/2 has no 101.
func (a *answer2) tunnel() net.Conn { return nil }

// Read implements reply.
func (a *answer2) Read(p []byte) (int, error) {
	wait := a.x.u.s.Timeouts.Idle
	if limit := a.x.limit; !limit.IsZero() {
		wait = min(wait, time.Until(limit))
	}
	if a.idle == nil {
		a.idle = time.AfterFunc(wait, func() {
			a.silent.Store(true)
			a.cancel()
		})
	} else {
		a.idle.Reset(wait)
	}
	n, err := a.response.Body.Read(p)
	a.idle.Stop()
	if err != nil && err != io.EOF && a.silent.Load() {
		err = fmt.Errorf("silence within the answer: %w", context.DeadlineExceeded)
	}
	return n, err
}

// trailers implements reply.
func (a *answer2) trailers() []field {
	var h responseHead
	h.add(a.response.Trailer)
	return h.fields
}

// finish implements reply.
func (a *answer2) finish(whole bool) {
	if !whole || a.uploading() {
		a.cancel()
	}
	if a.response != nil {
		_ = a.response.Body.Close() // the stream is over either way
	}
	a.cancel()
	if a.body != nil {
		a.body.stop()
	}
}
