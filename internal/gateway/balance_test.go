package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

const simpleGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// deadAddress is an address where nobody listens.
func deadAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return "http://" + listener.Addr().String()
}

func TestTheLeastLoadedAddressGetsTheRequest(t *testing.T) {
	release := make(chan struct{})
	var counts [2]atomic.Int64
	var addresses []string
	for i := range 2 {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			counts[i].Add(1)
			if r.URL.Path == "/slow" {
				<-release
			}
		}))
		t.Cleanup(service.Close)
		addresses = append(addresses, service.URL)
	}
	f := guardless(t, gateway.Settings{Addresses: addresses}, false)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { get(t, f.server.Client(), f.server.URL+"/slow") })
	}
	waitFor(t, "ten slow requests", func() bool { return counts[0].Load()+counts[1].Load() == 10 })
	if a, b := counts[0].Load(), counts[1].Load(); a != 5 || b != 5 {
		t.Errorf("%d and %d of ten at once", a, b)
	}
	close(release)
	wg.Wait()
	for range 10 {
		get(t, f.server.Client(), f.server.URL+"/quick")
	}
	if a, b := counts[0].Load(), counts[1].Load(); a != 10 || b != 10 {
		t.Errorf("%d and %d after ten in turn", a, b)
	}
}

func TestAFullUpstreamSaysSo(t *testing.T) {
	release, began := make(chan struct{}), make(chan struct{}, 2)
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- struct{}{}
		<-release
	}))
	t.Cleanup(service.Close)
	f := guardless(t, gateway.Settings{Addresses: []string{service.URL}, MaxConns: 2}, false)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { get(t, f.server.Client(), f.server.URL) })
	}
	<-began
	<-began
	response, _ := f.ask(simpleGet)
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || f.refusal().Code != shield.UpstreamDown {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
	close(release)
	wg.Wait()
	go func() { <-began }()
	if response, _ := f.ask(simpleGet); response.StatusCode != 200 {
		t.Errorf("%d after room was made", response.StatusCode)
	}
}

func TestARequestThatWasNotSentIsSentElsewhere(t *testing.T) {
	for _, request := range []string{simpleGet, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		up := scripted(t, hello)
		f := guardless(t, gateway.Settings{Addresses: []string{deadAddress(t), up.url}}, false)
		for range 3 {
			if response, _ := f.ask(request); response.StatusCode != 200 {
				t.Errorf("%d for %q", response.StatusCode, request)
			}
		}
		if len(up.requests()) != 3 {
			t.Errorf("%d requests", len(up.requests()))
		}
	}
}

func TestNothingIsSentTwiceThatMayHaveBeenActedUpon(t *testing.T) {
	for _, c := range []struct {
		request string
		times   int // that an upstream may see it
	}{
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 1},
		{"POST / HTTP/1.1\r\nHost: h\r\n\r\n", 1},
		{"POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\n\r\n", 1},
		{"PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 1},
		{"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 2},
		{"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1}, // its body is gone
		{simpleGet, 2},
		{"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", 2},
	} {
		t.Run(c.request[:7], func(t *testing.T) {
			a, b := scripted(t, ""), scripted(t, "") // read the request and close
			f := guardless(t, gateway.Settings{Addresses: []string{a.url, b.url}}, false)
			response, _ := f.ask(c.request)
			if n := len(a.requests()) + len(b.requests()); n != c.times || response.StatusCode != 502 {
				t.Errorf("sent %d times, %d", n, response.StatusCode)
			}
		})
	}
}

func TestNothingIsSentTwiceAfterAnAnswerBegan(t *testing.T) {
	a := scripted(t, "HTTP/1.1 200 OK\r\nContent-Le")
	f := guardless(t, gateway.Settings{Addresses: []string{a.url}, Timeouts: gateway.Timeouts{ResponseHeader: 50 * time.Millisecond}}, false)
	if response, _ := f.ask(simpleGet); response.StatusCode != 504 || len(a.requests()) != 1 {
		t.Errorf("%d, sent %d times", response.StatusCode, len(a.requests()))
	}
}

func TestARewindableBodyIsSentAgain(t *testing.T) {
	a := scripted(t, "", hello)
	b := scripted(t, "", hello)
	up, err := gateway.New(gateway.Settings{Name: "orders", Addresses: []string{a.url, b.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	r := httptest.NewRequest(http.MethodPut, "/x", strings.NewReader("signed body"))
	body := shield.NewBody(r.Body, 100)
	if _, err := body.Bytes(); err != nil {
		t.Fatal(err)
	}
	r.Body = body
	w := &sink{h: http.Header{}}
	up.ServeHTTP(w, r)
	all := append(a.requests(), b.requests()...)
	if len(all) != 2 || !strings.HasSuffix(all[0], "\r\n\r\nsigned body") || !strings.HasSuffix(all[1], "\r\n\r\nsigned body") {
		t.Errorf("%q", all)
	}
}

// closing answers once per connection and closes it, without a word, when told.
func TestAConnectionThatTheUpstreamClosedIsNotUsed(t *testing.T) {
	for _, request := range []string{simpleGet, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"} {
		closeNow := make(chan struct{})
		closed := make(chan struct{}, 100)
		var served atomic.Int64
		up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
			if _, err := readRequest(br); err != nil {
				return
			}
			served.Add(1)
			_, _ = io.WriteString(conn, hello)
			<-closeNow
			_ = conn.Close()
			closed <- struct{}{}
		})
		f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Retry: gateway.Retry{Max: -1}}, false)
		f.ask(request)
		close(closeNow)
		<-closed
		f.waitIdle(20 * time.Millisecond)
		if response, _ := f.ask(request); response.StatusCode != 200 || served.Load() != 2 {
			t.Errorf("%d, served %d", response.StatusCode, served.Load())
		}
	}
}

// waitIdle lets a connection rest for as long as it is trusted blindly.
func (f *front) waitIdle(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func TestAStaleConnectionIsReplacedForIdempotentRequests(t *testing.T) {
	// The connection is closed at the very moment of its second request: nobody can see that before.
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		if _, err := readRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(conn, hello)
		_, _ = readRequest(br)
	})
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	for i := range 4 {
		if response, _ := f.ask(simpleGet); response.StatusCode != 200 {
			t.Errorf("request %d: %d", i, response.StatusCode)
		}
	}
	post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"
	f.ask(simpleGet) // leaves a kept connection, perhaps
	codes := map[int]int{}
	for range 4 {
		response, _ := f.ask(post)
		codes[response.StatusCode]++
	}
	if codes[502] == 0 {
		t.Errorf("a POST on a connection that was closed under it was sent again: %v", codes)
	}
}

func TestAFailingAddressIsEjectedAndTriedAgain(t *testing.T) {
	now := newClock()
	var broken atomic.Bool
	broken.Store(true)
	var asked atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(service.Close)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if broken.Load() {
			return nil, errors.New("planted: no way there")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	f := guardless(t, gateway.Settings{
		Addresses: []string{service.URL}, Dial: dial, Now: now.Now,
		Breaker: gateway.Breaker{Failures: 3, Open: time.Second, MaxOpen: 4 * time.Second},
	}, false)
	expect := func(status int, why string) {
		t.Helper()
		response, _ := f.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if response.StatusCode != status {
			t.Fatalf("%s: %d, want %d", why, response.StatusCode, status)
		}
		if status == 503 && response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", why)
		}
	}
	for range 3 {
		expect(502, "failing")
	}
	expect(503, "ejected")
	now.advance(999 * time.Millisecond)
	expect(503, "still ejected")
	now.advance(time.Millisecond)
	expect(502, "tried again, and failed")
	now.advance(time.Second)
	expect(503, "ejected for twice as long")
	now.advance(time.Second)
	broken.Store(false)
	expect(200, "tried again, and well")
	for range 5 {
		expect(200, "well")
	}
	if well, all := f.up.Healthy(); well != 1 || all != 1 {
		t.Errorf("%d of %d are well", well, all)
	}
}

func TestOnlyOneRequestProbesAnEjectedAddress(t *testing.T) {
	now := newClock()
	var broken atomic.Bool
	broken.Store(true)
	inside, release := make(chan struct{}, 100), make(chan struct{})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if broken.Load() {
			return nil, errors.New("planted")
		}
		inside <- struct{}{}
		<-release
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Dial: dial, Now: now.Now, Breaker: gateway.Breaker{Failures: 1}}, false)
	f.ask(simpleGet)
	broken.Store(false)
	now.advance(time.Second)
	first := make(chan int, 1)
	go func() {
		response, err := http.Get(f.server.URL)
		if err != nil {
			first <- 0
			return
		}
		_ = response.Body.Close()
		first <- response.StatusCode
	}()
	<-inside
	for range 5 {
		if response, _ := f.ask(simpleGet); response.StatusCode != 503 {
			t.Errorf("%d beside the probe", response.StatusCode)
		}
	}
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("the probe got %d", status)
	}
	if response, _ := f.ask(simpleGet); response.StatusCode != 200 {
		t.Errorf("%d after a good probe", response.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestStatusesEjectOnlyWhereAsked(t *testing.T) {
	bad := "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	for _, listed := range []bool{false, true} {
		up := scripted(t, bad)
		s := gateway.Settings{Addresses: []string{up.url}, Breaker: gateway.Breaker{Failures: 2}}
		if listed {
			s.Breaker.Statuses = []int{503}
		}
		f := guardless(t, s, false)
		for range 5 {
			f.ask(simpleGet)
		}
		if n := len(up.requests()); listed && n != 2 || !listed && n != 5 {
			t.Errorf("listed %v: the upstream saw %d of 5", listed, n)
		}
	}
}

func TestTheHealthCheckTakesAddressesOutAndBackIn(t *testing.T) {
	var ill atomic.Bool
	var asked, served atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			served.Add(1)
			return
		}
		asked.Add(1)
		if ill.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(service.Close)
	other := scripted(t, hello)
	_ = other
	ticks := make(chan time.Time)
	f := guardless(t, gateway.Settings{
		Addresses: []string{service.URL}, Health: gateway.Health{Path: "/healthz", Healthy: 2, Unhealthy: 3},
		Tick: func(d time.Duration) (<-chan time.Time, func()) {
			if d == 5*time.Second {
				return ticks, func() {}
			}
			return nil, func() {}
		},
	}, false)
	tick := func(n int) {
		for range n {
			before := asked.Load()
			ticks <- time.Now()
			waitFor(t, "a health check", func() bool { return asked.Load() > before })
		}
		ticks <- time.Now() // the one before was wholly worked off
	}
	status := func() int {
		response, _ := f.ask(simpleGet)
		return response.StatusCode
	}
	if status() != 200 {
		t.Error("an upstream that was just started is refused")
	}
	ill.Store(true)
	tick(3)
	if got := status(); got != 503 {
		t.Errorf("%d from an ill upstream", got)
	}
	if well, _ := f.up.Healthy(); well != 0 {
		t.Errorf("%d are well", well)
	}
	ill.Store(false)
	tick(3)
	if got := status(); got != 200 {
		t.Errorf("%d after it got well", got)
	}
}

func TestACloseLeavesNothing(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Health: gateway.Health{Path: "/healthz"}}, false)
	f.ask(simpleGet)
	f.up.Close()
	f.up.Close()
	if response, _ := f.ask(simpleGet); response.StatusCode != 503 {
		t.Errorf("%d after Close", response.StatusCode)
	}
}

func TestRetiringStopsTheHealthChecksAlone(t *testing.T) {
	asked, ticks := make(chan struct{}, 100), make(chan time.Time)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			asked <- struct{}{}
		}
	}))
	t.Cleanup(service.Close)
	f := guardless(t, gateway.Settings{
		Addresses: []string{service.URL}, Health: gateway.Health{Path: "/health"},
		Tick: func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} },
	}, false)
	<-asked
	f.up.Retire()
	if response, _ := f.ask(simpleGet); response.StatusCode != 200 {
		t.Errorf("%d from a retired upstream, want 200", response.StatusCode)
	}
	for range 3 { // what is left of the goroutines takes them without asking again
		select {
		case ticks <- time.Now():
		case <-time.After(10 * time.Millisecond):
		}
	}
	if len(asked) > 0 {
		t.Error("a retired upstream asked for the health of its address")
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	good := gateway.Settings{Name: "x", Addresses: []string{"http://127.0.0.1:1"}}
	for name, change := range map[string]func(*gateway.Settings){
		"no name": func(s *gateway.Settings) { s.Name = "" }, "no address": func(s *gateway.Settings) { s.Addresses = nil },
		"a path": func(s *gateway.Settings) { s.Addresses = []string{"http://h/path"} }, "a query": func(s *gateway.Settings) { s.Addresses = []string{"http://h?x"} },
		"another scheme": func(s *gateway.Settings) { s.Addresses = []string{"ftp://h"} }, "no host": func(s *gateway.Settings) { s.Addresses = []string{"http://:80"} },
		"a password": func(s *gateway.Settings) { s.Addresses = []string{"http://u:planted@h"} },
		"twice":      func(s *gateway.Settings) { s.Addresses = []string{"http://h", "http://h/"} },
		"h2c by TLS": func(s *gateway.Settings) { s.Protocol, s.Addresses = "h2c", []string{"https://h"} },
		"protocol":   func(s *gateway.Settings) { s.Protocol = "h3" }, "no reason": func(s *gateway.Settings) { s.TLS.InsecureSkipVerify = "because" },
		"plain header": func(s *gateway.Settings) { s.PlainHeaders = map[string]string{"X-A": "password"} },
		"header name":  func(s *gateway.Settings) { s.PlainHeaders = map[string]string{"X A": "client"} },
		"negative":     func(s *gateway.Settings) { s.Timeouts.Connect = -1 }, "health path": func(s *gateway.Settings) { s.Health.Path = "x" },
	} {
		s := good
		change(&s)
		u, err := gateway.New(s)
		if err == nil {
			u.Close()
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
	u, err := gateway.New(good)
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
	_ = fmt.Sprint(u)
}
