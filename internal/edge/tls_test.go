package edge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

func tlsPolicy() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// client speaks one protocol to the server.
func (s *served) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	only := new(http.Protocols)
	only.SetHTTP1(proto == "http/1.1")
	only.SetHTTP2(proto == "h2")
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.Roots}, Protocols: only,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", s.Addr)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestBothProtocolsOverTLS(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			s := start(t, edge.Config{TLS: tlsPolicy(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.TLS == nil || !r.TLS.HandshakeComplete || r.TLS.ServerName != "edge.test" || (r.TLS.NegotiatedProtocol == "h2") != (proto == "h2") {
					t.Errorf("r.TLS is %+v", r.TLS)
				}
				if _, _, err := net.SplitHostPort(r.RemoteAddr); err != nil {
					t.Errorf("RemoteAddr: %v", err)
				}
				if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); !ok {
					t.Error("no local address")
				}
				_, _ = io.Copy(w, r.Body)
			})})
			client := s.client(t, proto)
			large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			for range 3 {
				r, err := client.Post("https://edge.test/", "text/plain", bytes.NewReader(large))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !bytes.Equal(got, large) {
					t.Errorf("%d bytes came back, %v", len(got), err)
				}
			}
			if f := s.Faults.list(); len(f) != 0 {
				t.Errorf("faults: %+v", f)
			}
		})
	}
}

func TestHandshakeFaults(t *testing.T) {
	attacktest.Rows(t, 123)
	// Long enough for a handshake on a busy machine; two cases wait for it.
	s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy(), Limits: edge.Limits{Handshake: 3 * time.Second}})
	handshake := func(c *tls.Config) func(*testing.T) {
		return func(t *testing.T) {
			c.ServerName = "edge.test"
			conn, err := tls.Dial("tcp", s.Addr, c)
			if err == nil {
				// In TLS 1.3 the client is done before the server has judged.
				_, err = conn.Read(make([]byte, 1))
				conn.Close()
			}
			if err == nil {
				t.Error("the handshake succeeded")
			}
		}
	}
	bytes := func(b string) func(*testing.T) {
		return func(t *testing.T) {
			p := dial(t, s.Addr)
			p.send(b)
			_, _ = io.ReadAll(p.in) // an alert, or nothing
		}
	}
	for name, c := range map[string]struct {
		do   func(*testing.T)
		code edge.Code
		sni  string
	}{
		"TLS 1.1":              {handshake(&tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), edge.TLSVersion, "edge.test"},
		"CBC only":             {handshake(&tls.Config{RootCAs: s.Roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}), edge.TLSHandshake, "edge.test"},
		"our name not trusted": {handshake(&tls.Config{}), edge.TLSAlert, "edge.test"},
		"no common protocol":   {handshake(&tls.Config{RootCAs: s.Roots, NextProtos: []string{"spdy/1"}}), edge.TLSHandshake, "edge.test"},
		"no TLS":               {bytes("hello, server\r\n"), edge.ClientHello, ""},
		"HTTP":                 {bytes("GET / HTTP/1.1\r\n" + host + "\r\n"), edge.TLSRequired, ""},
		"a torn client hello":  {bytes("\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03AAAAAAAAAA"), edge.ClientHello, ""},
		"half a client hello":  {bytes("\x16\x03\x01\x02\x00\x01"), edge.Timeout, ""},
		"silence":              {bytes(""), edge.Timeout, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.do(t)
			f := s.Faults.next(t)
			if f.Code != c.code || f.Step != edge.StepTLS || f.ServerName != c.sni || f.Detail == "" || !f.Remote.IsValid() {
				t.Errorf("fault %+v, want %s", f, c.code)
			}
		})
	}
	t.Run("a port scan is no fault", func(t *testing.T) {
		dial(t, s.Addr).Close()
		handshake(&tls.Config{})(t)
		if f := s.Faults.next(t); f.Code != edge.TLSAlert {
			t.Errorf("fault %+v", f)
		}
	})
}

// Rows 114 and 119 hold over TLS as they do without.
func TestRefusedHeadOverTLS(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy()})
	p := s.dialTLS(t)
	p.send("GET / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na" + second)
	if r, body := p.answer(); r.StatusCode != 400 || problemOf(t, r, body).Code != "bad_framing" {
		t.Errorf("answered %d %q", r.StatusCode, body)
	}
	p.ended()
	if f := s.Faults.next(t); f.TLS != tls.VersionTLS13 || f.ServerName != "edge.test" {
		t.Errorf("fault %+v", f)
	}
}
