package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// http1 speaks HTTP/1.1 to one address. It is leaner than http.Transport, which
// passes every request through two goroutines, and it knows what was written:
// that is what makes a retry safe. A connection belongs to one exchange at a time.
type http1 struct {
	u  *Upstream
	at *address

	mu     sync.Mutex
	idle   []*conn1 // last in, first out
	closed bool
}

// conn1 is one connection.
type conn1 struct {
	of   *http1
	nc   net.Conn
	br   *bufio.Reader
	bw   *bufio.Writer
	made time.Time
	last time.Time // when it became idle
	used bool      // an exchange went well on it

	// of the current exchange
	x        *exchange
	wrote    int64
	text     []byte // the head as it arrives
	answer   responseHead
	body     io.Reader // nil: none, or counted by left
	left     int64
	toEnd    bool // the body ends with the connection
	whole    bool // the body was read to its end
	tail     []field
	upload   *upload
	partial  bool      // the request's body was not sent: the connection is spent
	deadline time.Time // of the next read of the body; zero: not yet set
	stop     func() bool

	onInterrupt func() // c.interrupt, made once
	interrupted atomic.Bool
}

// send implements transport.
func (p *http1) send(x *exchange, fresh bool) (reply, *fault) {
	c, f := p.connect(x, fresh)
	if f != nil {
		return nil, f
	}
	c.begin(x)
	if f := c.exchange(); f != nil {
		c.finish(false)
		return nil, f
	}
	return c, nil
}

// connect returns a kept connection that is still open, or a new one.
func (p *http1) connect(x *exchange, fresh bool) (*conn1, *fault) {
	for !fresh {
		c := p.take()
		if c == nil {
			break
		}
		now := time.Now()
		if now.Sub(c.made) < p.u.s.Timeouts.Lifetime && now.Sub(c.last) < p.u.s.Timeouts.KeepAlive && isQuiet(c.nc) {
			return c, nil
		}
		_ = c.nc.Close() // spent
	}
	nc, err := p.at.dial(x.r.Context(), []string{"http/1.1"})
	if err != nil {
		return nil, x.dialFault(err)
	}
	return p.adopt(nc), nil
}

func (p *http1) adopt(nc net.Conn) *conn1 {
	c := &conn1{of: p, nc: nc, made: time.Now()}
	c.br = bufio.NewReaderSize(nc, 8<<10)
	c.bw = bufio.NewWriterSize(c, 8<<10)
	c.onInterrupt = c.interrupt
	return c
}

func (p *http1) take() *conn1 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

func (p *http1) put(c *conn1) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.u.s.MaxConns {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

// prune closes connections that nobody has used for long.
func (p *http1) prune(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spent := 0 // the longest unused stand first
	for spent < len(p.idle) && now.Sub(p.idle[spent].last) >= p.u.s.Timeouts.KeepAlive {
		_ = p.idle[spent].nc.Close()
		spent++
	}
	if spent > 0 {
		p.idle = append(p.idle[:0], p.idle[spent:]...)
	}
}

func (p *http1) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.nc.Close()
	}
	p.idle = nil
}

// isIdempotent names the methods that may be sent twice (RFC 9110 §9.2.2).
func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// Write counts what leaves, for the retry.
func (c *conn1) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.wrote += int64(n)
	return n, err
}

func (c *conn1) begin(x *exchange) {
	c.x, c.wrote, c.body, c.left, c.toEnd, c.whole, c.partial = x, 0, nil, 0, false, false, false
	c.tail, c.upload = nil, nil
	c.interrupted.Store(false)
	c.stop = context.AfterFunc(x.r.Context(), c.onInterrupt)
}

// interrupt implements reply: pending and later reads and writes fail.
func (c *conn1) interrupt() {
	c.interrupted.Store(true)
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // an error means that it is closed already
}

// arm sets the deadlines; an interruption that came before prevails.
func (c *conn1) arm(set func(time.Time) error, t time.Time) {
	_ = set(t) // an error means that it is closed: the next read says so
	if c.interrupted.Load() {
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	}
}

// exchange sends the request and reads the head of the answer.
func (c *conn1) exchange() *fault {
	x := c.x
	c.arm(c.nc.SetDeadline, time.Now().Add(x.wait))
	c.writeHead()
	if x.expects {
		done, f := c.awaitContinue()
		if f != nil || done {
			return f
		}
	}
	if f := c.sendBody(); f != nil {
		return f
	}
	return c.readHead()
}

// sendBody sends a short body at once and hands a long one to a goroutine.
func (c *conn1) sendBody() *fault {
	x := c.x
	if x.body.kind == streamed {
		if err := c.bw.Flush(); err != nil {
			return c.failed(err)
		}
		c.startUpload()
		return nil
	}
	if x.body.kind == inline {
		_, _ = c.bw.Write(x.body.bytes) // an error comes out at the flush
	}
	if err := c.bw.Flush(); err != nil {
		return c.answerDespite(err)
	}
	return nil
}

// answerDespite looks for an answer after a failed write: a peer may answer
// early and close, and his answer is worth more than our error.
func (c *conn1) answerDespite(err error) *fault {
	if c.interrupted.Load() || c.wrote == 0 {
		return c.failed(err)
	}
	c.partial = true
	c.arm(c.nc.SetReadDeadline, time.Now().Add(time.Second))
	if _, peekErr := c.br.Peek(1); peekErr != nil {
		return c.failed(err)
	}
	return nil
}

// failed makes a fault of an error of the connection.
func (c *conn1) failed(err error) *fault {
	if up := c.upload; up != nil {
		if f := up.callersFault(); f != nil {
			return f
		}
	}
	f := &fault{err: err, stage: sent}
	switch {
	case c.x.r.Context().Err() != nil || c.x.ended.Load() != nil:
		f.stage = atFault
	case c.wrote == 0:
		f.stage = unsent
		f.stale = c.used
	case isEnd(err):
		f.stale = c.used
		if errors.Is(err, io.EOF) {
			f.err = fmt.Errorf("it closed the connection without an answer: %w", err)
		}
	case isTimeout(err):
		f.err = fmt.Errorf("no answer in time: %w", err)
	}
	return f
}

// awaitContinue sends the head and waits for leave to send the body (RFC 9110
// §10.1.1). done: the final answer is there, and the body stays unread.
func (c *conn1) awaitContinue() (done bool, f *fault) {
	if err := c.bw.Flush(); err != nil {
		return false, c.failed(err)
	}
	timeouts := c.of.u.s.Timeouts
	c.arm(c.nc.SetReadDeadline, time.Now().Add(min(timeouts.Continue, timeouts.ResponseHeader)))
	_, err := c.br.Peek(1)
	c.arm(c.nc.SetReadDeadline, time.Now().Add(timeouts.ResponseHeader))
	switch {
	case err != nil && isTimeout(err) && !c.interrupted.Load():
		return false, nil
	case err != nil:
		return false, c.failed(err)
	}
	for range maxInformational {
		if f := c.readOneHead(); f != nil {
			return false, f
		}
		switch {
		case c.answer.status == http.StatusContinue:
			return false, nil
		case c.answer.status >= 200 || c.answer.status == http.StatusSwitchingProtocols:
			c.partial = true
			return true, c.final()
		}
		c.x.informational(&c.answer)
	}
	return false, c.failed(badHead("more than %d informational answers", maxInformational))
}

// readHead reads up to the final answer's head.
func (c *conn1) readHead() *fault {
	for range maxInformational + 1 {
		if f := c.readOneHead(); f != nil {
			return f
		}
		if c.answer.status >= 200 || c.answer.status == http.StatusSwitchingProtocols {
			return c.final()
		}
		c.x.informational(&c.answer)
	}
	return c.failed(badHead("more than %d informational answers", maxInformational))
}

func (c *conn1) readOneHead() *fault {
	var err error
	c.text, err = readLines(c.br, c.text[:0], c.of.u.s.MaxResponseHead)
	if err == nil {
		err = c.answer.parse(string(c.text))
	}
	if err != nil {
		return c.failed(err)
	}
	return nil
}

// final readies the body of the final answer (RFC 9112 §6.3).
func (c *conn1) final() *fault {
	h := &c.answer
	if c.upload != nil {
		c.upload.headSeen()
	}
	h.close = h.close || c.x.hasUnexpectedBody()
	if h.status == http.StatusSwitchingProtocols {
		if c.x.upgrade == "" || !strings.EqualFold(h.upgrade, c.x.upgrade) || h.minor == 0 {
			return c.failed(badHead("101 for an upgrade to %q that nobody asked for", h.upgrade))
		}
		return nil
	}
	switch {
	case c.x.r.Method == http.MethodHead:
		// A body that is sent all the same would be the next caller's answer.
		c.whole, h.close = true, true
	case h.status == http.StatusNoContent, h.status == http.StatusNotModified:
		c.whole, h.close = true, h.close || h.chunked || h.length > 0
	case h.chunked:
		c.body = httputil.NewChunkedReader(c.br)
	case h.length >= 0:
		c.left, c.whole = h.length, h.length == 0
	default:
		c.toEnd = true
	}
	c.deadline = time.Time{}
	return nil
}

// head implements reply.
func (c *conn1) head() *responseHead { return &c.answer }

// buffered implements reply.
func (c *conn1) buffered() bool { return c.whole || c.br.Buffered() > 0 }

// trailers implements reply.
func (c *conn1) trailers() []field { return c.tail }

// uploading implements reply.
func (c *conn1) uploading() bool {
	if c.upload != nil {
		return !c.upload.eof.Load()
	}
	return false
}

// Read implements reply.
func (c *conn1) Read(p []byte) (int, error) {
	if c.whole {
		return 0, io.EOF
	}
	if c.br.Buffered() == 0 {
		c.armRead()
	}
	switch {
	case c.body != nil:
		n, err := c.body.Read(p)
		if err == io.EOF {
			err = c.readTail()
		}
		return n, err
	case c.toEnd:
		n, err := c.br.Read(p)
		c.whole = err == io.EOF
		return n, err
	}
	n, err := c.br.Read(p[:min(c.left, int64(len(p)))])
	c.left -= int64(n)
	if c.left == 0 {
		c.whole = true
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// armRead gives the next read its time, unless the deadline in force is nearly
// that: setting one costs as much as a short read.
func (c *conn1) armRead() {
	want := time.Now().Add(c.of.u.s.Timeouts.Idle)
	if limit := c.x.limit; !limit.IsZero() && limit.Before(want) {
		want = limit
	}
	if early := want.Sub(c.deadline); early >= 0 && early < time.Second && !c.deadline.IsZero() {
		return
	}
	c.deadline = want
	c.arm(c.nc.SetReadDeadline, want)
}

// readTail reads the trailer section and returns io.EOF if it is whole.
func (c *conn1) readTail() error {
	text, err := readLines(c.br, nil, maxTrailerBytes)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if len(text) > 2 {
		if c.tail, err = parseFields(nil, string(text)); err != nil {
			return err
		}
	}
	c.whole = true
	return io.EOF
}

// finish implements reply.
func (c *conn1) finish(whole bool) {
	quiet := c.stop()
	clean := true
	if c.upload != nil {
		clean = c.upload.stop()
	}
	c.x = nil
	reusable := whole && quiet && clean && c.whole && !c.interrupted.Load() && !c.answer.close && !c.toEnd && !c.partial &&
		c.br.Buffered() == 0 && c.answer.status != http.StatusSwitchingProtocols
	if reusable {
		c.used, c.last, c.upload, c.body = true, time.Now(), nil, nil
		if c.of.put(c) {
			return
		}
	}
	_ = c.nc.Close() // nothing more is expected of it
}

// tunnel implements reply.
func (c *conn1) tunnel() net.Conn { return &tunnelConn{Conn: c.nc, br: c.br} }

// tunnelConn reads what was buffered first.
type tunnelConn struct {
	net.Conn
	br *bufio.Reader
}

func (t *tunnelConn) Read(p []byte) (int, error) { return t.br.Read(p) }

func (t *tunnelConn) CloseWrite() error { return closeWrite(t.Conn) }

func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// writeHead writes request line and fields into the buffer. Errors come out at
// the flush.
func (c *conn1) writeHead() {
	x, bw := c.x, c.bw
	bw.Reset(c)
	line(bw, x.r.Method, " ", x.target, " HTTP/1.1\r\nHost: ", x.host(c.of.at), "\r\n")
	for name, values := range x.r.Header {
		if x.drops(name) || name == "Expect" && !x.expects {
			continue
		}
		for _, value := range x.sent(name, values) {
			line(bw, name, ": ", value, "\r\n")
		}
	}
	x.setFields(func(name, value string) {
		line(bw, name, ": ", value, "\r\n")
		if name == "Te" && x.upgrade == "" {
			line(bw, "Connection: TE\r\n")
		}
	})
	c.writeFraming()
	switch {
	case x.upgrade != "":
		line(bw, "Connection: Upgrade\r\nUpgrade: ", x.upgrade, "\r\n")
	case x.hasUnexpectedBody():
		line(bw, "Connection: close\r\n")
	}
	line(bw, "\r\n")
}

// hasUnexpectedBody reports whether a request has a body that some services never look for (RFC
// 9110 §9.3.1). They would take it for the next request on the connection, which nobody has
// judged, and its answer for that of whoever comes next: nothing may follow on such a one.
func (x *exchange) hasUnexpectedBody() bool {
	return x.body.kind != noBody && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead)
}

func (c *conn1) writeFraming() {
	x, bw := c.x, c.bw
	switch {
	case x.body.kind != noBody && x.body.length >= 0:
		line(bw, "Content-Length: ")
		_, _ = bw.Write(strconv.AppendInt(bw.AvailableBuffer(), x.body.length, 10))
		line(bw, "\r\n")
	case x.body.kind != noBody:
		line(bw, "Transfer-Encoding: chunked\r\n")
		if len(x.body.trailers) > 0 {
			line(bw, "Trailer: ", strings.Join(x.body.trailers, ", "), "\r\n")
		}
	case x.r.Method == http.MethodPost, x.r.Method == http.MethodPut, x.r.Method == http.MethodPatch:
		line(bw, "Content-Length: 0\r\n")
	}
}

// line writes words; a bufio.Writer keeps its first error for the flush.
func line(bw *bufio.Writer, words ...string) {
	for _, word := range words {
		_, _ = bw.WriteString(word)
	}
}

// handshake makes a TLS connection to the address.
func handshake(ctx context.Context, nc net.Conn, config *tls.Config) (*tls.Conn, error) {
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // the handshake's error says why
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}
