package edge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// newHTTP2 is Go's HTTP/2 server. It is given decrypted connections, so that
// frames can watch what it reads and writes; and so it serves what it takes for HTTP/2
// without TLS, which no listener offers: only open2 puts connections in.
func (s *Server) newHTTP2(c Config) *http.Server {
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: s.overHTTP2(c.Handler), Protocols: only, ErrorLog: c.Log,
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               maxHeaderList(s.limits),
		ReadHeaderTimeout:            s.limits.Header, // of the preface
		IdleTimeout:                  s.limits.Idle,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          s.limits.Streams,
			MaxReadFrameSize:              16 << 10,
			MaxDecoderHeaderTableSize:     tableSize,
			MaxEncoderHeaderTableSize:     4096,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
			SendPingTimeout:               s.limits.Idle,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              s.limits.Stall,
		},
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, nc)
		},
	}
}

// connectionKey finds the connection of an HTTP/2 request: net/http, which believes
// that there is no TLS, has no other way to say which it is.
type connectionKey struct{}

// open2 hands over a connection on which the handshake has agreed on HTTP/2.
func (s *Server) open2(sock *socket, secure *tls.Conn) {
	if sock.tls.Version == tls.VersionTLS12 && !goodForHTTP2(sock.tls.CipherSuite) {
		s.fault(sock.newFault(StepTLS, &reject{TLSHandshake, 0, "HTTP/2 over " + tls.CipherSuiteName(sock.tls.CipherSuite)}))
		_ = secure.Close() // it was never used
		sock.leave()
		return
	}
	s.opened2.put(newFrames(sock, secure))
}

// goodForHTTP2 says that a suite of TLS 1.2 is none of those that RFC 9113
// Appendix A forbids: it has ephemeral keys and authenticated encryption.
func goodForHTTP2(suite uint16) bool {
	switch suite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}

// overHTTP2 gives a request its TLS state, and bounds how long its body and its
// answer may stall.
func (s *Server) overHTTP2(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*frames)
		if !ok {
			panic("edge: an HTTP/2 request from a connection that open2 did not open")
		}
		if bad := checkFields(r, &s.limits); bad != nil {
			c.refuse(w, bad)
			return
		}
		if c.fields.strange.Load() {
			// net/http does not say which of the connection's requests it was; it
			// was one that was read before this one began, by the same peer.
			c.refuse(w, &reject{BadStream, 400, "the connection has TLS, a request's :scheme says otherwise"})
			return
		}
		delete(r.Header, "Host") // as over HTTP/1.1; it equals r.Host
		r.TLS = c.sock.tls
		st := &stream{
			ResponseWriter: w, control: http.NewResponseController(w), conn: c,
			body: newPace(&s.limits), stall: s.limits.Stall,
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &streamBody{ReadCloser: r.Body, stream: st}
		}
		next.ServeHTTP(st, r)
		st.end()
	})
}

// stream is the answer to an HTTP/2 request, and the patience with its peer. Like any
// http.ResponseWriter it is used by one goroutine at a time; its body may be read by another.
type stream struct {
	http.ResponseWriter
	control *http.ResponseController
	conn    *frames
	stall   time.Duration

	body       pace
	pending    bool        // something was written and not flushed
	readOwn    atomic.Bool // the handler has set its own deadlines
	writeOwn   atomic.Bool
	readTimer  *time.Timer // made at first use
	writeTimer *time.Timer
	stalled    atomic.Bool
}

// Unwrap is for http.ResponseController.
func (st *stream) Unwrap() http.ResponseWriter { return st.ResponseWriter }

// SetReadDeadline sets the handler's own limit on reading the body, in place of ours.
func (st *stream) SetReadDeadline(t time.Time) error {
	st.readOwn.Store(true)
	return st.control.SetReadDeadline(t)
}

// SetWriteDeadline sets the handler's own limit on writing, in place of ours.
func (st *stream) SetWriteDeadline(t time.Time) error {
	st.writeOwn.Store(true)
	return st.control.SetWriteDeadline(t)
}

// Write writes in pieces, each of which the peer must take within the limit.
func (st *stream) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+writePiece)]
		st.startWrite()
		n, err := st.ResponseWriter.Write(piece)
		st.stopWrite()
		st.pending = true
		written += n
		if err != nil || written == len(p) {
			return written, st.explain(err)
		}
	}
}

// FlushError implements what http.ResponseController asks for.
func (st *stream) FlushError() error {
	st.startWrite()
	defer st.stopWrite()
	st.pending = false
	return st.explain(st.control.Flush())
}

// Flush implements http.Flusher.
func (st *stream) Flush() { _ = st.FlushError() } // http.Flusher has no error

func (st *stream) startWrite() {
	if st.writeOwn.Load() {
		return
	}
	if st.writeTimer == nil {
		st.writeTimer = time.AfterFunc(st.stall, func() {
			st.late("the client reads the answer too slowly")
			_ = st.control.SetWriteDeadline(time.Unix(1, 0)) // resets the stream
		})
		return
	}
	st.writeTimer.Reset(st.stall)
}

func (st *stream) stopWrite() {
	if st.writeTimer != nil {
		st.writeTimer.Stop()
	}
}

// end leaves a limit to what net/http still has to write when the handler is done.
func (st *stream) end() {
	if st.pending && !st.writeOwn.Load() {
		_ = st.control.SetWriteDeadline(time.Now().Add(st.stall)) // it cannot fail
	}
}

// late reports a slow peer, once for the stream.
func (st *stream) late(detail string) {
	if !st.stalled.Swap(true) {
		st.conn.report(&reject{Timeout, 0, detail})
	}
}

// explain makes an error of ours of what our timers have caused.
func (st *stream) explain(err error) error {
	if err == nil || err == io.EOF || !st.stalled.Load() {
		return err
	}
	return &Error{Fault: st.conn.sock.newFault(StepHTTP2, &reject{Timeout, 0, "the client was too slow"})}
}

// streamBody is a request's body whose peer must send at some pace.
type streamBody struct {
	io.ReadCloser
	stream *stream
}

func (b *streamBody) Read(p []byte) (int, error) {
	st := b.stream
	if st.readOwn.Load() {
		return b.ReadCloser.Read(p)
	}
	start := time.Now()
	if st.readTimer == nil {
		st.readTimer = time.AfterFunc(st.body.left, func() {
			st.late("the body came too slowly")
			_ = st.control.SetReadDeadline(time.Unix(1, 0)) // fails this read
		})
	} else {
		st.readTimer.Reset(st.body.left)
	}
	n, err := b.ReadCloser.Read(p)
	st.readTimer.Stop()
	st.body.spent(n, time.Since(start))
	return n, st.explain(err)
}
