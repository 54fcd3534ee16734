package gateway_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// way is one combination of protocols before and behind the gateway.
type way struct {
	name  string
	front bool   // HTTP/2 before the gateway
	back  string // http1, https1, https2, h2c
}

func (w way) oneBehind() bool { return w.back == "http1" || w.back == "https1" }

// everyWay runs a story over each combination of protocols.
func everyWay(t *testing.T, service http.HandlerFunc, story func(t *testing.T, w way, f *front, client *http.Client)) {
	everyWayWith(t, gateway.Settings{}, service, story)
}

func everyWayWith(t *testing.T, s gateway.Settings, service http.HandlerFunc, story func(t *testing.T, w way, f *front, client *http.Client)) {
	t.Helper()
	for _, http2 := range []bool{false, true} {
		for _, back := range []string{"http1", "https1", "https2", "h2c"} {
			w := way{fmt.Sprintf("http2=%v to %s", http2, back), http2, back}
			t.Run(w.name, func(t *testing.T) {
				settings := s
				startService(t, back, service, &settings)
				f := guardless(t, settings, http2)
				client := f.server.Client()
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				client.Timeout = patience
				story(t, w, f, client)
			})
		}
	}
}

func startService(t testing.TB, back string, service http.Handler, s *gateway.Settings) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(service)
	server.Config.ErrorLog = quietLog()
	switch back {
	case "http1":
		server.Start()
	case "https1":
		server.StartTLS()
	case "https2":
		server.EnableHTTP2 = true
		server.StartTLS()
	case "h2c":
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		s.Protocol = "h2c"
	}
	if server.Certificate() != nil {
		s.TLS.Roots = roots(server.Certificate())
	}
	s.Addresses = []string{server.URL}
	t.Cleanup(server.Close)
	return server
}

func TestEveryWayCarriesMethodTargetHeadersAndBodies(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("X-Saw", fmt.Sprintf("%s %s %q %s", r.Method, r.RequestURI, r.Header["X-Two"], r.Header.Get("Accept-Encoding")))
		w.Header().Set("X-Forwarded", r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Proto"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%x", sha256.Sum256(body))
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		for _, size := range []int{0, 1, 3000, 64 << 10, 64<<10 + 1, 3 << 20} {
			for _, chunked := range []bool{false, true} {
				body := strings.Repeat("x", size)
				var reader io.Reader = strings.NewReader(body)
				if chunked {
					reader = io.MultiReader(reader)
				}
				base := serverURL(client, w)
				r, err := http.NewRequest(http.MethodPut, base+"/a%20b/%7Ec?x=%2F&y", reader)
				if err != nil {
					t.Fatal(err)
				}
				r.Header["X-Two"] = []string{"a", "b"}
				r.Header.Set("Accept-Encoding", "br;q=0.5")
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				want := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
				if err != nil || response.StatusCode != http.StatusTeapot || string(got) != want {
					t.Errorf("%d bytes: %d, %v", size, response.StatusCode, err)
				}
				if saw := response.Header.Get("X-Saw"); saw != `PUT /a%20b/%7Ec?x=%2F&y ["a" "b"] br;q=0.5` {
					t.Errorf("saw %s", saw)
				}
				proto := "http"
				if w.front {
					proto = "https"
				}
				if got := response.Header.Get("X-Forwarded"); got != "127.0.0.1 "+proto {
					t.Errorf("forwarded %q", got)
				}
				if (response.Header.Get("X-Proto") == "HTTP/1.1") != w.oneBehind() {
					t.Errorf("the upstream was spoken to in %s", response.Header.Get("X-Proto"))
				}
			}
		}
	})
}

// serverURL finds the server that a test client belongs to.
func serverURL(client *http.Client, _ way) string { return client.Transport.(*baseURL).base }

// baseURL remembers where its server is.
type baseURL struct {
	http.RoundTripper
	base string
}

func (b *baseURL) CloseIdleConnections() {
	if closer, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

func TestStreamsAreFlushedAtOnce(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "application/grpc", "application/octet-stream"} {
		t.Run(kind, func(t *testing.T) {
			heard := make(chan struct{}, 1)
			service := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				for i := range 3 {
					select {
					case <-heard:
					case <-r.Context().Done():
						return
					}
					_, _ = fmt.Fprintf(w, "data: %d\n", i)
					_ = http.NewResponseController(w).Flush()
				}
			}
			everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
				response, err := client.Get(serverURL(client, w))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				lines := bufio.NewReader(response.Body)
				for i := range 3 {
					heard <- struct{}{}
					if text, err := lines.ReadString('\n'); err != nil || text != fmt.Sprintf("data: %d\n", i) {
						t.Fatalf("%q, %v", text, err)
					}
				}
				if _, err := lines.ReadString('\n'); err != io.EOF {
					t.Errorf("%v at the end", err)
				}
			})
		})
	}
}

func TestBothSidesTalkAtOnce(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		lines := bufio.NewReader(r.Body)
		for {
			text, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+text)
			_ = http.NewResponseController(w).Flush()
		}
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		reader, writer := io.Pipe()
		defer func() { _ = writer.Close() }()
		response, err := client.Post(serverURL(client, w), "text/plain", reader)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewReader(response.Body)
		for i := range 3 {
			_, _ = fmt.Fprintf(writer, "%d\n", i)
			if text, err := lines.ReadString('\n'); err != nil || text != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("%q, %v", text, err)
			}
		}
		_ = writer.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
			t.Errorf("%q, %v at the end", rest, err)
		}
	})
}

func TestTrailersPassOnlyWhenTheyMay(t *testing.T) {
	got := make(chan http.Header, 1)
	service := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Clone()
		w.Header().Set("Trailer", "X-Sum, Server")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
		w.Header().Set("Server", "banner")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "late=1")
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		r, err := http.NewRequest(http.MethodPost, serverURL(client, w), io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Digest": {"abc"}, "X-User-Id": {"root"}, "Pavise-Identity": {"planted"}}
		if !w.front { // HTTP/2 of net/http refuses this one by itself
			r.Trailer["Authorization"] = []string{"planted"}
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if trailer := <-got; trailer.Get("X-Digest") != "abc" || len(trailer) != 1 {
			t.Errorf("the upstream got trailers %v", trailer)
		}
		if tr := response.Trailer; tr.Get("X-Sum") != "42" || tr.Get("Grpc-Status") != "0" || tr["Set-Cookie"] != nil || tr.Get("Server") != "" {
			t.Errorf("the caller got trailers %v", tr)
		}
	})
}

func TestUndeclaredRequestTrailersStayHere(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	f.ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Late: planted\r\n\r\n")
	got := up.requests()[0]
	if strings.Contains(got, "planted") || !strings.HasSuffix(got, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n") || !strings.Contains(got, "\r\nTrailer: X-Sum\r\n") {
		t.Errorf("%q", got)
	}
}

func TestInformationalAnswersPass(t *testing.T) {
	service := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header().Set("Server", "banner")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusCreated)
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link"), h.Get("Server")))
			return nil
		}}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, serverURL(client, w), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusCreated || !slices.Equal(hints, []string{"103</a.css>; rel=preload"}) || response.Header["Link"] != nil {
			t.Errorf("%d after %q, then %v", response.StatusCode, hints, response.Header)
		}
	})
}

func TestABrokenAnswerNeverLooksWhole(t *testing.T) {
	for _, kind := range []string{"length", "chunks"} {
		t.Run(kind, func(t *testing.T) {
			service := func(w http.ResponseWriter, _ *http.Request) {
				if kind == "length" {
					w.Header().Set("Content-Length", "1000000")
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 5000))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			everyWay(t, service, func(t *testing.T, w way, f *front, client *http.Client) {
				response, err := client.Get(serverURL(client, w))
				if err == nil {
					_, err = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				if err == nil {
					t.Error("half an answer looked whole")
				}
				f.settled("upstream_aborted")
			})
		})
	}
}

func TestACallerWhoLeavesEndsTheUpstreamsWork(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	service := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		began <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}
	everyWay(t, service, func(t *testing.T, w way, f *front, client *http.Client) {
		for _, path := range []string{"/silent", "/begun"} {
			ctx, cancel := context.WithCancel(context.Background())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, serverURL(client, w)+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan error, 1)
			go func() {
				response, err := client.Do(r)
				if err == nil {
					_, err = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				asked <- err
			}()
			<-began
			cancel()
			if err := <-asked; err == nil {
				t.Error("a cancelled request succeeded")
			}
			<-ended
			f.settled("client_gone")
			f.mu.Lock()
			f.results = nil
			f.mu.Unlock()
		}
	})
}

func TestAnUploadThatBreaksOffNeverLooksWhole(t *testing.T) {
	for _, head := range []string{"Content-Length: 100000", "Content-Length: 100", "Transfer-Encoding: chunked"} {
		t.Run(head, func(t *testing.T) {
			result := make(chan error, 1)
			s := gateway.Settings{}
			startService(t, "http1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				result <- err
			}), &s)
			f := guardless(t, s, false)
			conn, _ := f.raw("POST / HTTP/1.1\r\nHost: h\r\n" + head + "\r\n\r\n5\r\nhello\r\n")
			if head == "Content-Length: 100" { // too short to be sent before it is whole
				_ = conn.Close()
				f.settled("client_gone")
				return
			}
			_ = conn.Close()
			if err := <-result; err == nil {
				t.Error("half a body looked whole")
			}
			f.settled("client_gone")
		})
	}
}

func TestExpectationsAreTheUpstreams(t *testing.T) {
	for _, agree := range []bool{true, false} {
		t.Run(fmt.Sprintf("agrees %v", agree), func(t *testing.T) {
			asked := make(chan struct{})
			up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
				head, err := readHeadOnly(br)
				if err != nil {
					return
				}
				if !strings.Contains(head, "\r\nExpect: 100-continue\r\n") {
					t.Errorf("the expectation did not arrive: %q", head)
				}
				<-asked
				if !agree {
					_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
					if n, _ := br.Read(make([]byte, 1)); n > 0 {
						t.Error("the body came although it was refused")
					}
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
				body := make([]byte, 4)
				_, _ = io.ReadFull(br, body)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s", body)
			})
			f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Timeouts: gateway.Timeouts{Continue: patience}}, false)
			conn, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := br.Peek(1); err == nil {
				t.Fatal("the caller was told to go on before the upstream agreed")
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			close(asked)
			status, err := br.ReadString('\n')
			if !agree {
				if err != nil || !strings.HasPrefix(status, "HTTP/1.1 413") {
					t.Errorf("%q, %v", status, err)
				}
				return
			}
			if err != nil || status != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%q, %v", status, err)
			}
			_, _ = br.ReadString('\n')
			_, _ = io.WriteString(conn, "body")
			response, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(response.Body); string(got) != "body" || response.StatusCode != 200 {
				t.Errorf("%d %q", response.StatusCode, got)
			}
		})
	}
}

func TestAnUpstreamThatIgnoresExpectationsGetsTheBodyAnyway(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Timeouts: gateway.Timeouts{Continue: time.Millisecond}}, false)
	_, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
	for {
		response, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == 200 {
			break
		}
	}
	if got := up.requests()[0]; !strings.HasSuffix(got, "\r\n\r\nbody") {
		t.Errorf("%q", got)
	}
}

func readHeadOnly(br *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		if text == "\r\n" {
			return b.String(), nil
		}
	}
}

func TestAnEarlyAnswerIsHandedOnAndTheRestOfTheBodyIsNoRequest(t *testing.T) {
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		if _, err := readHeadOnly(br); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	conn, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100))
	response, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != 413 || string(body) != "no" || err != nil || !response.Close {
		t.Errorf("%d %q %v close=%v", response.StatusCode, body, err, response.Close)
	}
	_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("the rest of the body was answered: %q", rest)
	}
}

func TestABodyThatAShieldReadArrivesWhole(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}
	for _, back := range []string{"http1", "h2c"} {
		s := gateway.Settings{Name: "orders"}
		startService(t, back, http.HandlerFunc(service), &s)
		up, err := gateway.New(s)
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := shield.NewBody(r.Body, 1<<20)
			if _, err := b.Bytes(); err != nil {
				t.Error(err)
			}
			r.Body = b
			up.ServeHTTP(w, r)
		}))
		defer server.Close()
		for _, size := range []int{0, 5, 200_000} {
			response, err := http.Post(server.URL, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("y", size))))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if len(got) != size {
				t.Errorf("%s: %d of %d bytes", back, len(got), size)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestABodyOverItsLimitIs413(t *testing.T) {
	everyBack := []string{"http1", "https2", "h2c"}
	for _, back := range everyBack {
		s := gateway.Settings{Name: "orders", Fail: func(w http.ResponseWriter, _ *http.Request, r *shield.Refusal) { w.WriteHeader(r.HTTPStatus()) }}
		startService(t, back, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), &s)
		up, err := gateway.New(s)
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			up.ServeHTTP(w, r)
		}))
		defer server.Close()
		response, err := http.Post(server.URL, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("y", 5000))))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 413 {
			t.Errorf("%s: %d", back, response.StatusCode)
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestSilenceAndSlownessEnd(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/head" {
			if r.URL.Path == "/total" {
				w.Header().Set("Content-Length", "1000000")
			}
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		for r.URL.Path == "/total" {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
			}
		}
		<-r.Context().Done()
	}
	slow := gateway.Settings{Timeouts: gateway.Timeouts{ResponseHeader: 100 * time.Millisecond}}
	everyWayWith(t, slow, service, func(t *testing.T, w way, f *front, client *http.Client) {
		response, err := client.Get(serverURL(client, w) + "/head")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 504 || f.refusal().Code != shield.UpstreamTimeout {
			t.Errorf("no head in time: %d %v", response.StatusCode, f.refusal())
		}
	})
	silent := gateway.Settings{Timeouts: gateway.Timeouts{Idle: 100 * time.Millisecond, Total: 300 * time.Millisecond}}
	everyWayWith(t, silent, service, func(t *testing.T, w way, f *front, client *http.Client) {
		for _, path := range []string{"/idle", "/total"} {
			response, err := client.Get(serverURL(client, w) + path)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			if err == nil {
				t.Errorf("%s: an unfinished answer looked whole", path)
			}
			f.settled("upstream_timeout")
			f.mu.Lock()
			f.results = nil
			f.mu.Unlock()
		}
	})
}

func TestStreamsEndWithTheirCredential(t *testing.T) {
	ticks := make(chan time.Time)
	time1 := newClock()
	var id shield.Identity
	service := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for _, how := range []string{"expired", "revoked"} {
		t.Run(how, func(t *testing.T) {
			withdrawn := make(chan struct{})
			id = shield.Identity{Shield: "jwt", Client: "shop"}
			if how == "expired" {
				id.With = []*shield.Identity{{Expires: time1.Now().Add(time.Hour)}}
			} else {
				id.Revocation = func() bool {
					select {
					case <-withdrawn:
						return true
					default:
						return false
					}
				}
			}
			s := gateway.Settings{
				Identity: func(*http.Request) *shield.Identity { copied := id; return &copied }, Now: time1.Now,
				Tick: func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} },
			}
			everyWayWith(t, s, service, func(t *testing.T, w way, f *front, client *http.Client) {
				if how == "revoked" {
					withdrawn = make(chan struct{})
				} else {
					id.With = []*shield.Identity{{Expires: time1.Now().Add(time.Hour)}}
				}
				response, err := client.Get(serverURL(client, w))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				if _, err := response.Body.Read(make([]byte, 1)); err != nil {
					t.Fatalf("before the end: %v", err)
				}
				ticks <- time1.Now()
				ticks <- time1.Now() // the first tick was wholly worked off
				if note := f.last().Note; note != "" {
					t.Fatalf("a good stream ended: %s", note)
				}
				if how == "expired" {
					time1.advance(time.Hour)
				} else {
					close(withdrawn)
				}
				// The stream is watched once its handler waits: at the latest now, or a moment later.
				ended := make(chan error, 1)
				go func() {
					_, err := io.Copy(io.Discard, response.Body)
					ended <- err
				}()
				for end := time.Now().Add(patience); ; {
					select {
					case err := <-ended:
						if err == nil {
							t.Error("the stream looked whole")
						}
						f.settled(how)
						return
					case ticks <- time1.Now():
					}
					if time.Now().After(end) {
						t.Fatal("the stream went on")
					}
				}
			})
		})
	}
}

var errPlanted = errors.New("planted")

func TestARequestThatFailsMidBodyIsNoAnswer(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "done")
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		body := io.MultiReader(strings.NewReader("some"), failing{})
		r, err := http.NewRequest(http.MethodPost, serverURL(client, w), body)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(r); err == nil {
			_ = response.Body.Close()
			t.Errorf("%d for half a body", response.StatusCode)
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errPlanted }

func TestAnUpstreamThatAnswersAndReadsNoMoreHoldsNobody(t *testing.T) {
	var written atomic.Int64
	hold := make(chan struct{})
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		if _, err := readHeadOnly(br); err != nil {
			return
		}
		for before := int64(-1); before != written.Load() || before == 0; { // until every buffer on the way is full
			before = written.Load()
			time.Sleep(50 * time.Millisecond)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-hold
	})
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	conn, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() {
		piece := []byte(strings.Repeat("x", 64<<10))
		for {
			n, err := conn.Write(piece)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	response, err := http.ReadResponse(br, nil)
	if err != nil || response.StatusCode != 413 {
		t.Fatalf("%v, %v", response, err)
	}
	waitFor(t, "the place to be given back", func() bool { return gateway.InFlight(f.up) == 0 })
	close(hold)
	_ = conn.Close()
	wg.Wait()
}

func TestAConnectionThatWaitsForABodyIsNotUsedAgain(t *testing.T) {
	up := scriptedHeads(t, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Timeouts: gateway.Timeouts{Continue: patience}}, false)
	for range 2 {
		response, _ := f.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		if response.StatusCode != 417 {
			t.Errorf("%d", response.StatusCode)
		}
	}
	if n := up.accepted(); n != 2 {
		t.Errorf("two requests whose bodies were never sent took %d connections", n)
	}
}

// scriptedHeads answers every head at once and never reads a body.
func scriptedHeads(t *testing.T, answer string) *rawUpstream {
	t.Helper()
	return serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		for {
			if _, err := readHeadOnly(br); err != nil {
				return
			}
			_, _ = io.WriteString(conn, answer)
		}
	})
}

func TestNothingIsSentTwiceAfterAHintWasGiven(t *testing.T) {
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		if _, err := readHeadOnly(br); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
		}
	})
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	_, br := f.raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	var statuses []int
	for len(statuses) == 0 || statuses[len(statuses)-1] < 200 {
		response, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, response.StatusCode)
	}
	if !slices.Equal(statuses, []int{103, 502}) || up.accepted() != 1 {
		t.Errorf("%v from %d connections", statuses, up.accepted())
	}
}

func TestASlowCallerHoldsNoAddressAndTripsNoBreaker(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, Breaker: gateway.Breaker{Failures: 1}, Timeouts: gateway.Timeouts{ResponseHeader: 30 * time.Millisecond},
	}, false)
	conn, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo")
	f.waitIdle(100 * time.Millisecond)
	if up.accepted() != 0 || gateway.InFlight(f.up) != 0 {
		t.Error("half a short body holds a connection to the upstream")
	}
	_, _ = io.WriteString(conn, "dy")
	if response, err := http.ReadResponse(br, nil); err != nil || response.StatusCode != 200 {
		t.Errorf("%v, %v", response, err)
	}
	conn, br = f.raw("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n")
	f.waitIdle(100 * time.Millisecond)
	_, _ = io.WriteString(conn, "2\r\ndy\r\n0\r\n\r\n")
	if response, err := http.ReadResponse(br, nil); err != nil || response.StatusCode != 200 {
		t.Errorf("%v, %v", response, err)
	}
	if well, _ := f.up.Healthy(); well != 1 {
		t.Error("a slow caller had the upstream ejected")
	}
}

func TestGRPCsSignsPass(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("X-Te", r.Header.Get("Te"))
		if r.URL.Path == "/only" { // trailers alone: all in the head
			w.Header().Set("Grpc-Status", "5")
			return
		}
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		_ = http.NewResponseController(w).Flush() // of unknown length: otherwise HTTP/1.1 has no trailers
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		for _, path := range []string{"/only", "/whole"} {
			r, err := http.NewRequest(http.MethodPost, serverURL(client, w)+path, io.MultiReader(strings.NewReader("\x00\x00\x00\x00\x00")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Te", "trailers")
			r.Header.Set("Content-Type", "application/grpc")
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.Header.Get("X-Te") != "trailers" {
				t.Errorf("%s: te %q, %v", path, response.Header.Get("X-Te"), err)
			}
			if path == "/only" && response.Header.Get("Grpc-Status") != "5" || path == "/whole" && (response.Trailer.Get("Grpc-Status") != "0" || len(body) != 5) {
				t.Errorf("%s: %v %v %q", path, response.Header, response.Trailer, body)
			}
		}
	})
}

// One upstream serves endpoints that wait differently long for their answers.
func TestWithinIsTheSameUpstreamWithAnotherPatience(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "ok")
	}
	everyWayWith(t, gateway.Settings{Timeouts: gateway.Timeouts{ResponseHeader: time.Hour}}, service, func(t *testing.T, _ way, f *front, _ *http.Client) {
		hasty := httptest.NewServer(f.up.Within(100 * time.Millisecond))
		defer hasty.Close()
		client := &http.Client{Timeout: patience}
		defer client.CloseIdleConnections()
		for path, want := range map[string]int{"/slow": 504, "/": 200} {
			response, err := client.Get(hasty.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
			}
		}
	})
}
