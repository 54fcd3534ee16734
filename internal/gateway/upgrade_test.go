package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

const upgradeRequest = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n"

// echoing upgrades and then sends back each line; "bye" ends it.
func echoing(t *testing.T) *rawUpstream {
	t.Helper()
	var up *rawUpstream
	ready := make(chan struct{})
	up = serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		<-ready
		head, err := readHeadOnly(br)
		if err != nil {
			return
		}
		up.saw(head)
		// the first word of the upstream comes in one piece with the head
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: a\r\nServer: x\r\n\r\nwelcome\n")
		for {
			text, err := br.ReadString('\n')
			if err == io.EOF {
				_, _ = io.WriteString(conn, "you ended\n")
			}
			if err != nil || text == "bye\n" {
				return
			}
			_, _ = io.WriteString(conn, "echo "+text)
		}
	})
	close(ready)
	return up
}

func readLine(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	text, err := br.ReadString('\n')
	if err != nil {
		t.Fatalf("read: %v after %q", err, text)
	}
	return strings.TrimRight(text, "\r\n")
}

func upgraded(t *testing.T, f *front) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, br := f.raw(upgradeRequest + "first\n")
	head, err := readHeadOnly(br)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 Switching Protocols\r\n") {
		t.Fatalf("%q, %v", head, err)
	}
	for _, want := range []string{"\r\nUpgrade: websocket\r\n", "\r\nConnection: Upgrade\r\n", "\r\nSec-Websocket-Accept: a\r\n", "\r\nX-Request-Id: REQUESTID0000001\r\n"} {
		if strings.Count(head, want) != 1 {
			t.Errorf("%q stands %d times in %q", want, strings.Count(head, want), head)
		}
	}
	if strings.Contains(head, "Server") {
		t.Errorf("a banner in %q", head)
	}
	if a, b := readLine(t, br), readLine(t, br); a != "welcome" || b != "echo first" {
		t.Fatalf("%q %q", a, b)
	}
	return conn, br
}

func TestWebSocketsPass(t *testing.T) {
	up := echoing(t)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	conn, br := upgraded(t, f)
	for i := range 3 {
		_, _ = fmt.Fprintf(conn, "%d\n", i)
		if got := readLine(t, br); got != fmt.Sprintf("echo %d", i) {
			t.Errorf("%q", got)
		}
	}
	_, _ = io.WriteString(conn, "bye\n")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("%v after the upstream ended", err)
	}
	_ = conn.Close()
	f.settled("upgraded")
	h := fieldsOf(up.requests()[0])
	if h.Get("Connection") != "Upgrade" || h.Get("Upgrade") != "websocket" || h["Sec-Websocket-Key"] == nil {
		t.Errorf("the upstream got %v", h)
	}
	if got := f.last(); got.Status != 101 || got.Note != "upgraded" {
		t.Errorf("%+v", got)
	}
}

func TestOneSidesEndIsPassedOn(t *testing.T) {
	up := echoing(t)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	conn, br := upgraded(t, f)
	_ = conn.(*net.TCPConn).CloseWrite()
	if got := readLine(t, br); got != "you ended" {
		t.Errorf("%q", got)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("%v", err)
	}
}

func TestIdleTunnelsEnd(t *testing.T) {
	up := echoing(t)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Timeouts: gateway.Timeouts{Idle: 100 * time.Millisecond}}, false)
	_, br := upgraded(t, f)
	if _, err := br.ReadByte(); err == nil {
		t.Error("the tunnel spoke")
	}
	f.settled("upgraded, idle")
}

func TestTunnelsEndWithTheirCredential(t *testing.T) {
	for _, how := range []string{"revoked", "expired", "shutdown"} {
		t.Run(how, func(t *testing.T) {
			up := echoing(t)
			ticks := make(chan time.Time)
			now := newClock()
			var revoked atomic.Bool
			id := &shield.Identity{Client: "shop", Revocation: revoked.Load, Expires: now.Now().Add(time.Hour)}
			f := guardless(t, gateway.Settings{
				Addresses: []string{up.url}, Now: now.Now, Identity: func(*http.Request) *shield.Identity { return id },
				Tick: func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} },
			}, false)
			conn, br := upgraded(t, f)
			ticks <- now.Now()
			ticks <- now.Now()
			_, _ = io.WriteString(conn, "still here\n")
			if got := readLine(t, br); got != "echo still here" {
				t.Fatalf("%q", got)
			}
			switch how {
			case "revoked":
				revoked.Store(true)
				ticks <- now.Now()
			case "expired":
				now.advance(time.Hour)
				ticks <- now.Now()
			case "shutdown":
				f.up.Close()
			}
			if _, err := br.ReadByte(); err == nil {
				t.Error("the tunnel spoke")
			}
			f.settled("upgraded, " + how)
		})
	}
}

func TestOnlyListedProtocolsAreUpgraded(t *testing.T) {
	attacktest.Rows(t, 117)
	for _, protocol := range []string{"h2c", "HTTP/2.0", "TLS/1.0", "custom", "websocket, h2c"} {
		up := scripted(t, hello)
		f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
		f.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + "\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
		if h := fieldsOf(up.requests()[0]); h["Upgrade"] != nil || h["Http2-Settings"] != nil || h["Connection"] != nil {
			t.Errorf("%s: the upstream got %v", protocol, h)
		}
		u, err := gateway.New(gateway.Settings{Name: "x", Addresses: []string{up.url}, Upgrades: []string{protocol}})
		if (err == nil) != (protocol == "custom") {
			t.Errorf("setting %s: %v", protocol, err)
		}
		if err == nil {
			u.Close()
		}
	}
	up := scripted(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	if response, _ := f.ask(upgradeRequest); response.StatusCode != 502 {
		t.Errorf("an upgrade to something else: %d", response.StatusCode)
	}
}

func TestARefusedUpgradeIsAnOrdinaryAnswer(t *testing.T) {
	up := scripted(t, "HTTP/1.1 426 Upgrade Required\r\nSec-Websocket-Version: 13\r\nContent-Length: 2\r\n\r\nno", hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	response, body := f.ask(upgradeRequest)
	if response.StatusCode != 426 || body != "no" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	// what follows on the caller's connection is a request, not a tunnel
	_, br := f.raw(upgradeRequest + "GET /next HTTP/1.1\r\nHost: h\r\nX-Real-Ip: planted\r\n\r\n")
	for range 2 {
		response, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	seen := up.requests()
	if last := seen[len(seen)-1]; !strings.HasPrefix(last, "GET /next ") || strings.Contains(last, "planted") {
		t.Errorf("%q", last)
	}
}

func TestAnUpgradeWithABodyIsAnOrdinaryRequest(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	response, _ := f.ask(strings.Replace(upgradeRequest, "\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody", 1))
	if got := up.requests()[0]; response.StatusCode != 200 || strings.Contains(got, "Upgrade") || !strings.HasSuffix(got, "\r\n\r\nbody") {
		t.Errorf("%d %q", response.StatusCode, got)
	}
}

func TestUpgradesWorkOverTLSToo(t *testing.T) {
	s := gateway.Settings{}
	startService(t, "https2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v (%s)", err, r.Proto)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
		text, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+text)
	}), &s)
	f := guardless(t, s, false)
	_, br := f.raw(upgradeRequest + "hello\n")
	if _, err := readHeadOnly(br); err != nil {
		t.Fatal(err)
	}
	if got := readLine(t, br); got != "echo hello" {
		t.Errorf("%q", got)
	}
}
