package edge

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// conn is an HTTP/1.1 connection under http.Server. Its Read passes on only bytes
// that the scanner has accepted, and never bytes of two requests at once; so
// http.Server is always inside the request that the scanner is in.
//
// What one phase allows:
//
//	waiting   http.Server waits for a request, or reads one. A fault in a head is
//	          answered here: nothing else writes. A fault in a body fails the read.
//	working   the whole request was passed on; http.Server only listens for the
//	          client going away, with a read of one byte, and may be writing.
//	          No fault is answered, and of the next request at most one byte
//	          passes, one that may begin a method.
//	tunnel    a handler has taken the connection over: all passes.
type conn struct {
	net   net.Conn // what HTTP is spoken over: the socket, or TLS on it
	sock  *socket
	phase atomic.Int32

	// Of the reading side: http.Server reads from one goroutine at a time.
	scan   scanner
	head   []byte // accepted, and not yet passed on: a head is passed on when it is complete
	passed int    // how many bytes at the start of head were passed on
	whole  bool   // what was accepted ends with the end of the request
	begun  bool   // net/http has the head of the request, so its handler may run
	rest   []byte // received, and not yet scanned
	taken  int    // how many bytes at the start of rest were scanned
	broken error  // what every further read returns
	body   pace
	read   deadline

	// Of the writing side.
	answer pace
	write  deadline
	stall  sync.Once

	linger atomic.Bool // the client must have time to read an answer to its fault
	closed sync.Once
}

// The phases of a conn.
const (
	waiting int32 = iota
	working
	tunnel
)

// secureConn is a conn over TLS; http.Server takes r.TLS from it.
type secureConn struct{ *conn }

// ConnectionState returns what the handshake agreed on.
func (c secureConn) ConnectionState() tls.ConnectionState { return *c.sock.tls }

// maxAhead bounds what is kept of a pipelined request while the one before it is
// being answered.
const maxAhead = 4096

// A fault's answer is given this long to leave, and the client this long and this
// many bytes to stop sending and read it.
const (
	answerTime  = 5 * time.Second
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

func newConn(sock *socket, over net.Conn) *conn {
	lim := &sock.server.limits
	c := &conn{net: over, sock: sock, scan: scanner{lim: lim}, body: newPace(lim), answer: newPace(lim)}
	c.read.set, c.write.set = over.SetReadDeadline, over.SetWriteDeadline
	c.read.limit(time.Now().Add(lim.Header))
	return c
}

// edge lets the hook of http.Server find the conn in what it is given.
func (c *conn) edge() *conn { return c }

// idle is called when the answer to a request has been sent and http.Server waits
// for the next one.
func (c *conn) idle() {
	lim := c.scan.lim
	c.body, c.answer = newPace(lim), newPace(lim)
	c.read.next()
	c.write.next()
	c.begun = false
	wait := lim.Idle
	if !c.scan.fresh() || c.taken < len(c.rest) {
		wait = lim.Header
	}
	c.read.limit(time.Now().Add(wait))
	c.phase.Store(waiting)
}

// tunnelled is called when a handler has taken the connection over.
func (c *conn) tunnelled() {
	c.read.limit(time.Time{})
	c.write.limit(time.Time{})
	c.phase.Store(tunnel)
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	switch c.phase.Load() {
	case tunnel:
		if c.taken < len(c.rest) {
			return c.take(p), nil
		}
		return c.net.Read(p)
	case working:
		return c.readAhead(p[:1])
	}
	if c.passed < len(c.head) {
		return c.pass(p), nil
	}
	return c.readOn(p)
}

// readOn passes on what comes next of a body, or the next head when all of it has
// come. net/http must not see a part of a head: at an error it takes a line that
// has no end for a whole one, and white space for the end of the head.
func (c *conn) readOn(p []byte) (int, error) {
	for c.broken == nil {
		n, err := c.receive(p)
		if n == 0 {
			return 0, c.ended(err)
		}
		first := c.scan.fresh()
		used, done, bad := c.scan.next(p[:n])
		if bad != nil {
			return 0, c.refuse(bad)
		}
		c.putBack(p[used:n])
		if c.scan.inHead() && !done {
			c.head = append(c.head, p[:used]...)
			if first {
				c.read.limit(time.Now().Add(c.scan.lim.Header))
			}
			continue
		}
		c.whole, c.begun = done, true
		if len(c.head) > 0 {
			c.head = append(c.head, p[:used]...)
			return c.pass(p), nil
		}
		c.passedOn()
		return used, nil
	}
	return 0, c.broken
}

// pass hands out a head that was kept.
func (c *conn) pass(p []byte) int {
	n := copy(p, c.head[c.passed:])
	if c.passed += n; c.passed == len(c.head) {
		c.passedOn()
	}
	return n
}

// passedOn notes that net/http has all that was accepted. What one large head
// needed is not kept for the life of the connection.
func (c *conn) passedOn() {
	c.head, c.passed = c.head[:0], 0
	if cap(c.head) > maxAhead {
		c.head = nil
	}
	if c.whole {
		c.whole = false
		c.read.limit(time.Time{})
		c.phase.Store(working)
	}
}

// receive returns bytes that came before, or waits for new ones.
func (c *conn) receive(p []byte) (int, error) {
	if c.taken < len(c.rest) {
		return c.take(p), nil
	}
	c.rest, c.taken = c.rest[:0], 0
	if c.scan.inHead() {
		return c.net.Read(p)
	}
	start := time.Now()
	c.read.patience(start, &c.body)
	n, err := c.net.Read(p)
	c.body.spent(n, time.Since(start))
	return n, err
}

func (c *conn) take(p []byte) int {
	n := copy(p, c.rest[c.taken:])
	c.taken += n
	return n
}

// putBack keeps bytes that receive returned and that belong to the next request.
func (c *conn) putBack(b []byte) {
	switch {
	case len(b) == 0:
	case c.taken > 0: // they came from rest, and are still there
		c.taken -= len(b)
	default:
		c.rest = append(c.rest, b...)
	}
}

// readAhead is the read by which http.Server notices that a client goes away. A
// byte that may begin a request is passed on. Any other is kept, with what follows,
// until it can be answered; meanwhile only the end of the connection is news.
func (c *conn) readAhead(p []byte) (int, error) {
	for c.taken == len(c.rest) {
		c.rest, c.taken = c.rest[:0], 0
		n, err := c.net.Read(p)
		if n == 0 {
			return 0, err
		}
		c.rest = append(c.rest, p[:n]...)
	}
	if first := c.rest[c.taken]; c.scan.fresh() && class[first].is(tchar) {
		c.take(p)
		_, _, _ = c.scan.next(p) // one byte of a method: neither an end nor a fault
		return 1, nil
	}
	for len(c.rest)-c.taken < maxAhead {
		n, err := c.net.Read(p)
		if n == 0 {
			return 0, err
		}
		c.rest = append(c.rest, p[:n]...)
	}
	return 0, readError(errors.New("the client sends on without waiting for its answer"))
}

// refuse ends the connection for a fault in what the client sent.
func (c *conn) refuse(bad *reject) error {
	f := c.sock.newFault(StepHTTP1, bad)
	var refusal *shield.Refusal
	switch {
	case !c.begun:
		c.send(&f)
	default: // the handler is at work, and answers
		f.Status = 0
		if bad.code != Timeout {
			refusal = &shield.Refusal{Code: shield.Code(bad.code), Status: bad.status, Detail: bad.detail}
		}
	}
	c.broken = readError(&Error{Fault: f, refusal: refusal})
	c.linger.Store(true)
	c.sock.server.fault(f)
	return c.broken
}

// send writes the answer to a fault past http.Server.
func (c *conn) send(f *Fault) {
	c.write.limit(time.Now().Add(answerTime))
	_, _ = c.net.Write(appendAnswer(nil, f)) // a client that is gone needs no answer
}

// ended decides what the end of the stream of bytes, or a timeout, means.
func (c *conn) ended(err error) error {
	late := isTimeout(err) && c.read.expired(time.Now())
	switch {
	case c.scan.fresh() || !late && err != io.EOF:
		return err // between requests anyone may go; a broken connection is nobody's message
	case late && c.scan.inHead():
		return c.refuse(&reject{Timeout, 408, "the head took too long"})
	case late:
		return c.refuse(&reject{Timeout, 408, "the body came too slowly"})
	case c.scan.inHead():
		return c.refuse(&reject{Incomplete, 400, "the connection ended inside a head"})
	}
	return err
}

// readError makes http.Server end the connection without an answer of its own.
func readError(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// Write implements net.Conn. It writes in pieces, so that a client that reads
// slowly but steadily is told from one that has stopped.
func (c *conn) Write(p []byte) (written int, err error) {
	if c.phase.Load() == tunnel {
		return c.net.Write(p)
	}
	for {
		piece := p[written:min(len(p), written+writePiece)]
		start := time.Now()
		c.write.patience(start, &c.answer)
		n, err := c.net.Write(piece)
		c.answer.spent(n, time.Since(start))
		written += n
		if err != nil {
			return written, c.writeFailed(err)
		}
		if written == len(p) {
			return written, nil
		}
	}
}

// writePiece is the largest TLS record; with the default limits it takes at most
// Stall at Rate.
const writePiece = 16 << 10

func (c *conn) writeFailed(err error) error {
	if !isTimeout(err) || !c.write.expired(time.Now()) {
		return err
	}
	f := c.sock.newFault(StepHTTP1, &reject{Timeout, 0, "the client reads the answer too slowly"})
	c.stall.Do(func() { c.sock.server.fault(f) })
	return &net.OpError{Op: "write", Net: "tcp", Err: &Error{Fault: f}}
}

// CloseWrite tells the client that nothing more will come.
func (c *conn) CloseWrite() error {
	var err error
	if secure, ok := c.net.(*tls.Conn); ok {
		err = secure.CloseWrite()
	}
	return errors.Join(err, c.sock.CloseWrite())
}

// Close implements net.Conn. After a fault was answered it first waits for the
// client to stop sending: closing at once would reset the connection, and the
// answer could be lost (RFC 9112 §9.6).
func (c *conn) Close() (err error) {
	c.closed.Do(func() {
		if c.linger.Load() {
			_ = c.CloseWrite() // if the client is gone already, there is nobody to wait for
			_ = c.sock.SetReadDeadline(time.Now().Add(lingerTime))
			_, _ = io.CopyN(io.Discard, c.sock, lingerBytes)
		}
		err = c.net.Close()
		c.sock.leave() // also where TLS could not say farewell
	})
	return err
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.net.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.read.request(t), c.write.request(t))
}

// SetReadDeadline implements net.Conn. A deadline to come, set by a handler through
// http.ResponseController, replaces the limit on slow bodies until its request ends.
func (c *conn) SetReadDeadline(t time.Time) error { return c.read.request(t) }

// SetWriteDeadline implements net.Conn, in the same way.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.write.request(t) }
