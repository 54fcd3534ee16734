package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/internal/gateway"
)

// An upstream that says more than it was asked for must not reach the next caller
// with it: the bytes are an attacker's if he could make the upstream send them.
const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

// asked is an upstream that answers its very first request with one answer, says
// more when it is told to, and answers every other request politely.
type asked struct {
	first string
	late  string
	send  chan struct{} // the test says: now
	sent  chan struct{} // the bytes have arrived in the gateway's socket
	begun atomic.Bool
}

func (a *asked) serve(conn net.Conn, br *bufio.Reader) {
	for {
		if _, err := readRequest(br); err != nil {
			return
		}
		if !a.begun.CompareAndSwap(false, true) {
			_, _ = io.WriteString(conn, hello)
			continue
		}
		_, _ = io.WriteString(conn, a.first)
		if a.late != "" {
			<-a.send
			_, _ = io.WriteString(conn, a.late)
			close(a.sent)
		}
	}
}

func TestAnAnswerToNothingIsNeverRead(t *testing.T) {
	padded := func(size int) string { // an answer whose bytes are as many
		head := "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
		length := size - len(fmt.Sprintf(head, size))
		return fmt.Sprintf(head, length) + strings.Repeat("x", length)
	}
	for name, c := range map[string]struct{ first, late string }{
		"in one write":                  {first: hello + poison},
		"behind a full buffer":          {first: padded(8<<10) + poison},
		"after the answer":              {first: hello, late: poison},
		"HEAD that is answered in full": {first: "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n", late: poison},
		"no content, in chunks":         {first: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", late: poison},
		"half a farewell":               {first: hello, late: "HTTP/1.1 408"},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, secure %v", name, secure), func(t *testing.T) {
				method := "GET"
				if strings.HasPrefix(name, "HEAD") {
					method = "HEAD"
				}
				for range 10 { // a connection is handed back a moment after the caller has his answer
					askTwice(t, &asked{first: c.first, late: c.late, send: make(chan struct{}), sent: make(chan struct{})}, method, secure)
				}
			})
		}
	}
}

func askTwice(t *testing.T, a *asked, method string, secure bool) {
	t.Helper()
	serve, s := a.serve, gateway.Settings{}
	if secure {
		cert := selfSigned(t, "pay.internal")
		s.TLS = gateway.TLS{Roots: roots(cert.Leaf), ServerName: "pay.internal"}
		serve = func(conn net.Conn, _ *bufio.Reader) {
			inner := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}, DynamicRecordSizingDisabled: true})
			a.serve(inner, bufio.NewReader(inner))
		}
	}
	up := serveRaw(t, serve)
	s.Addresses = []string{up.url}
	if secure {
		s.Addresses = []string{strings.Replace(up.url, "http:", "https:", 1)}
	}
	f := guardless(t, s, false)
	f.ask(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
	waitFor(t, "the end of the first exchange", func() bool { return gateway.InFlight(f.up) == 0 })
	if a.late != "" {
		close(a.send)
		<-a.sent
	}
	if response, body := f.ask(simpleGet); body == "poison" || response.StatusCode != 200 {
		t.Errorf("%d %q", response.StatusCode, body)
	}
}
