package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// socket is one accepted connection, below TLS: what is known of its peer, and
// its place in the count of connections until it is closed.
type socket struct {
	net.Conn
	server        *Server
	remote, local netip.AddrPort
	hello         hello
	tls           *tls.ConnectionState // after the handshake
	heard         bool                 // a byte has come
	closing       sync.Once
	gone          sync.Once
}

// hello is what a client offered at the start of the handshake.
type hello struct {
	seen     bool
	name     string
	versions []uint16
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.heard = true
	}
	return n, err
}

// CloseWrite ends our direction, where the transport can.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close ends the connection. It stays in the count until leave: whoever serves it
// has yet to notice.
func (s *socket) Close() (err error) {
	s.closing.Do(func() { err = s.Conn.Close() })
	return err
}

// leave closes the socket and takes it out of the count of connections.
func (s *socket) leave() {
	_ = s.Close() // it may have failed before, or been closed
	s.gone.Do(func() { s.server.forget(s) })
}

// newFault completes what the connection knows about a reject.
func (s *socket) newFault(step Step, bad *reject) Fault {
	f := Fault{
		ID: newID(s.server.rand), Time: s.server.now(), Remote: s.remote, Local: s.local,
		ServerName: s.hello.name, Step: step, Code: bad.code, Status: bad.status, Detail: bad.detail,
	}
	if s.tls != nil {
		f.TLS, f.ServerName = s.tls.Version, s.tls.ServerName
	}
	return f
}

// handshake makes TLS of the socket within the limit. A failure is reported here.
func (s *socket) handshake(ctx context.Context) (*tls.Conn, error) {
	_ = s.SetDeadline(time.Now().Add(s.server.limits.Handshake)) // on a dead socket the handshake fails as well
	secure := tls.Server(s, s.server.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		s.handshakeFailed(ctx, err)
		return nil, err
	}
	state := secure.ConnectionState()
	s.tls = &state
	if err := s.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return secure, nil
}

// handshakeFailed tells why, unless nobody ever spoke (a port scan or a health
// check that only connects) or the server is closing.
func (s *socket) handshakeFailed(ctx context.Context, err error) {
	if !s.heard && !isTimeout(err) || ctx.Err() != nil {
		return
	}
	bad := &reject{TLSHandshake, 0, err.Error()}
	record, notTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isTimeout(err):
		bad.code, bad.detail = Timeout, "the handshake took too long"
	case notTLS && looksLikeHTTP(record.RecordHeader):
		bad = &reject{TLSRequired, 403, "HTTP without TLS on a TLS port"}
	case !s.hello.seen:
		bad.code = ClientHello
	case s.outdated():
		bad.code = TLSVersion
	case strings.HasPrefix(err.Error(), "remote error: "):
		// crypto/tls has no type for an alert of the peer's; the text only chooses a word for the operator.
		bad.code = TLSAlert
	}
	f := s.newFault(StepTLS, bad)
	if f.Status != 0 {
		_, _ = s.Write(appendAnswer(nil, &f)) // within the handshake's deadline
	}
	s.server.fault(f)
}

// outdated says that the client offered no version that is accepted here.
func (s *socket) outdated() bool {
	return !slices.ContainsFunc(s.hello.versions, func(v uint16) bool { return v >= s.server.tls.MinVersion })
}

// looksLikeHTTP says that the first five bytes on a TLS port begin a method.
func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "PRI *":
		return true
	}
	return false
}

// remember is a tls.Config.GetConfigForClient that keeps what the client offered.
func remember(next func(*tls.ClientHelloInfo) (*tls.Config, error)) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		s, ok := info.Conn.(*socket)
		if !ok {
			return nil, fmt.Errorf("handshake over a %T that the edge did not open", info.Conn)
		}
		s.hello = hello{seen: true, name: info.ServerName, versions: info.SupportedVersions}
		if next == nil {
			return nil, nil
		}
		return next(info)
	}
}
