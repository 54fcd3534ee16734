package pavise_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pavise.dev/pavise/internal/attacktest"
)

// statusOverHTTP2 sends GET /t with a :scheme that no client library would send.
func statusOverHTTP2(t *testing.T, conn net.Conn, authority, scheme string) string {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: scheme}, {Name: ":path", Value: "/t"}, {Name: ":authority", Value: authority}} {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if head, ok := frame.(*http2.MetaHeadersFrame); ok {
			return head.PseudoValue("status")
		}
	}
}

// net/http does not tell the :scheme. What hangs on TLS holds whatever it says.
func TestASchemeCannotDenyTheConnectionsTLS(t *testing.T) {
	attacktest.Rows(t, 82)
	server := httptest.NewUnstartedServer(serving(t, &sink{}, nil).Wrap(http.NotFoundHandler()))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, test := range []struct{ name, scheme, status string }{
		{"", "https", "404"}, // accepted, and not found by the handler
		{"", "http", "404"},
		{"other.test", "https", "421"},
		{"other.test", "http", "421"},
	} {
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, ServerName: test.name} // the certificate is not what is tested
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		if got := statusOverHTTP2(t, conn, "127.0.0.1", test.scheme); got != test.status {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
