package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/gateway"
)

// Callers and upstreams misbehave at random. Nobody may ever get the answer to
// another's request, and no place, connection or goroutine may be lost.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	var sent atomic.Int64
	serve := func(conn net.Conn, br *bufio.Reader) {
		for {
			request, err := readRequest(br)
			if err != nil {
				return
			}
			id := fieldsOf(request).Get("X-Id")
			body := "answer to " + id + strings.Repeat(".", rand.IntN(3)*3000)
			switch rand.IntN(10) {
			case 0:
				return // no answer
			case 1:
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body)+10, body)
				return // not whole
			case 2:
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(body), body, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			case 3:
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
				if rand.IntN(2) == 0 {
					return
				}
				_, _ = io.WriteString(conn, "0\r\n\r\n")
			case 4:
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
				_, _ = io.WriteString(conn, body)
			case 5:
				_ = conn.(*net.TCPConn).SetLinger(0)
				return // reset
			default:
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
		}
	}
	a, b := serveRaw(t, serve), serveRaw(t, serve)
	f := guardless(t, gateway.Settings{Addresses: []string{a.url, b.url}, MaxConns: 8, Breaker: gateway.Breaker{Failures: 1 << 30}}, false)
	var wg sync.WaitGroup
	end, most := time.Now().Add(time.Second), time.Now().Add(20*time.Second)
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(end) || sent.Load() < 100 && time.Now().Before(most) { // a busy machine does little in a second
				misbehave(t, f.server.Listener.Addr().String(), &sent)
			}
		})
	}
	wg.Wait()
	waitFor(t, "all places to be given back", func() bool { return gateway.InFlight(f.up) == 0 })
	if sent.Load() < 100 {
		t.Errorf("only %d requests", sent.Load())
	}
}

// misbehave sends some requests on one connection, perhaps not to their end.
func misbehave(t *testing.T, addr string, sent *atomic.Int64) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	br := bufio.NewReader(conn)
	for range 1 + rand.IntN(5) {
		id := fmt.Sprintf("request-%d", sent.Add(1))
		size := []int{0, 10, 2000, 70_000, 300_000}[rand.IntN(5)]
		method := []string{"GET", "POST", "PUT"}[rand.IntN(3)]
		head := fmt.Sprintf("%s / HTTP/1.1\r\nHost: h\r\nX-Id: %s\r\n", method, id)
		body := strings.Repeat("x", size)
		whole := head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body)
		if rand.IntN(3) == 0 {
			whole = head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size+1, body+"x")
		}
		if rand.IntN(12) == 0 {
			_, _ = io.WriteString(conn, whole[:len(whole)/2])
			return
		}
		go func() { _, _ = io.WriteString(conn, whole) }()
		if rand.IntN(12) == 0 {
			return
		}
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		for err == nil && response.StatusCode == 103 {
			response, err = http.ReadResponse(br, &http.Request{Method: method})
		}
		if err != nil {
			return
		}
		got, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode == 200 && strings.TrimRight(string(got), ".") != "answer to "+id {
			t.Errorf("%s got %.60q", id, got)
		}
		if err != nil || response.Close {
			return
		}
	}
}
