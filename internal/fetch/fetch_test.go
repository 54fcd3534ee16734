package fetch_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/fetch"
)

func server(t testing.TB, answer http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, roots
}

func client(t testing.TB, s fetch.Settings) *fetch.Client {
	t.Helper()
	c, err := fetch.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGetsADocument(t *testing.T) {
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q", got)
		}
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "hello")
	})
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots})
	body, header, err := c.Get(t.Context(), s.URL, 5)
	if err != nil || string(body) != "hello" || header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("got %q, %v, %v", body, header, err)
	}
	if _, _, err := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}}).WithRoots(roots).Get(t.Context(), s.URL, 5); err != nil {
		t.Errorf("with roots of its own: %v", err)
	}
}

func TestRefusesAnswers(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 101))
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"says it is long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			_, _ = w.Write(make([]byte, 10))
		},
		"shorter than it says": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			_, _ = w.Write(make([]byte, 10))
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte("hello"))
			_ = z.Close()
		},
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"not found": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		},
		"partial": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) },
		"huge header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("followed a redirect")
				}
				answer(w, r)
			})
			c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots})
			if body, _, err := c.Get(t.Context(), s.URL, 100); err == nil {
				t.Errorf("accepted %d bytes", len(body))
			}
		})
	}
}

func TestRefusesAddressesItMustNotReach(t *testing.T) {
	attacktest.Rows(t, 67)
	c := client(t, fetch.Settings{})
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "[::1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"0.0.0.0", "[::]", "[fe80::1]", "[fc00::1]", "[fd00::1]", "[ff02::1]", "224.0.0.1", "255.255.255.255",
		"[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
		"[2001::1]", "[2001:db8::1]", "[::127.0.0.1]", "[100::1]", "[fec0::1]", "192.0.2.1", "198.18.0.1", "240.0.0.1",
	} {
		_, _, err := c.Get(t.Context(), "https://"+host+":9/keys", 100)
		if !errors.Is(err, fetch.ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAllowsOnlyWhatTheOperatorNamed(t *testing.T) {
	for _, tc := range []struct {
		allow   string
		refused []string
	}{
		{"10.1.0.0/16", []string{"10.2.0.1", "127.0.0.1"}},
		{"127.0.0.2", []string{"127.0.0.1", "127.0.0.3"}},
		{"login.internal", []string{"127.0.0.1", "10.0.0.1"}},
		{"::1", []string{"127.0.0.1", "[fc00::1]"}},
	} {
		c := client(t, fetch.Settings{Allow: []string{tc.allow}})
		for _, host := range tc.refused {
			if _, _, err := c.Get(t.Context(), "https://"+host+":9/", 1); !errors.Is(err, fetch.ErrAddress) {
				t.Errorf("allow %s: %s: %v", tc.allow, host, err)
			}
		}
	}
}

func TestRefusesUnreadableAllowances(t *testing.T) {
	for _, entry := range []string{"", "10.1.0.1/16", "https://a.example", "a b", "http://", "http://a/b", "http://u@a", "10.0.0.0/33", "*", "http://10.0.0.0/8"} {
		if _, err := fetch.New(fetch.Settings{Allow: []string{entry}}); err == nil {
			t.Errorf("accepted %q", entry)
		}
	}
}

func TestSpeaksPlainHTTPOnlyWhereAllowed(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(plain.Close)
	host := strings.TrimPrefix(plain.URL, "http://")
	for allow, ok := range map[string]bool{
		"127.0.0.1":           false,
		"127.0.0.0/8":         false,
		"http://127.0.0.1":    true,
		"http://" + host:      true,
		"http://127.0.0.1:1":  false,
		"http://localhost":    false,
		"http://login.intern": false,
	} {
		_, _, err := client(t, fetch.Settings{Allow: []string{allow}}).Get(t.Context(), plain.URL, 10)
		if (err == nil) != ok {
			t.Errorf("allow %s: %v", allow, err)
		}
	}
}

func TestRefusesOtherAddresses(t *testing.T) {
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}})
	for _, address := range []string{
		"", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "https:///x", "https:opaque", "//127.0.0.1/", "data:,x",
		"https://user:canary@127.0.0.1/?q=canary", "https://127.0.0.1/#canary", "https://127.0.0.1:x/canary", "unix:///run/x", "HTTPS://\x00",
	} {
		_, _, err := c.Get(t.Context(), address, 1)
		if err == nil {
			t.Errorf("accepted %q", address)
		} else if strings.Contains(err.Error(), "user") && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestErrorsShowNoQuery(t *testing.T) {
	c := client(t, fetch.Settings{})
	_, _, err := c.Get(t.Context(), "https://127.0.0.1:9/keys?token=canary", 1)
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "https://127.0.0.1:9/keys") {
		t.Errorf("error %v", err)
	}
}

func TestUsesNoProxyOfTheEnvironment(t *testing.T) {
	s, roots := server(t, func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots})
	if _, _, err := c.Get(t.Context(), s.URL, 1); err != nil {
		t.Error(err)
	}
}

func TestVerifiesTheCertificate(t *testing.T) {
	s, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("sent a request to an unverified server") })
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: x509.NewCertPool()})
	if _, _, err := c.Get(t.Context(), s.URL, 1); err == nil {
		t.Error("accepted an unknown CA")
	}
}

func TestGivesUp(t *testing.T) {
	done := make(chan struct{})
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	defer close(done)
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots, Timeout: 50 * time.Millisecond, Concurrent: 1})
	if _, _, err := c.Get(t.Context(), s.URL, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow body: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Get(cancelled, s.URL, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBoundsRequestsUnderWay(t *testing.T) {
	var now, most atomic.Int32
	s, roots := server(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		now.Add(-1)
	})
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots, Concurrent: 1})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := c.WithRoots(roots).Get(t.Context(), s.URL, 1); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d requests at once", most.Load())
	}
}

// An allowed name may lie in a private network; it may not lead to the metadata
// service of a cloud.
func TestAnAllowedNameDoesNotLeadEverywhere(t *testing.T) {
	attacktest.Rows(t, 67)
	c := client(t, fetch.Settings{Allow: []string{"http://keys.example"}, Resolver: newDNS(t, [4]byte{169, 254, 169, 254})})
	if _, _, err := c.Get(t.Context(), "http://keys.example/", 1); !errors.Is(err, fetch.ErrAddress) {
		t.Errorf("metadata service: %v", err)
	}
}

// TestJudgesTheAddressThatItDials answers a name with an allowed address first
// and a forbidden one after: what counts is what is dialled.
func TestJudgesTheAddressThatItDials(t *testing.T) {
	attacktest.Rows(t, 67)
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	_ = s.Listener.Close()
	s.Listener = listener
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate()) // for example.com
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	dns := newDNS(t, [4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1})
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.2"}, Roots: roots, Resolver: dns})
	if _, _, err := c.Get(t.Context(), "https://example.com:"+port+"/", 1); err != nil {
		t.Fatalf("first answer, allowed: %v", err)
	}
	if _, _, err := c.Get(t.Context(), "https://example.com:"+port+"/", 1); !errors.Is(err, fetch.ErrAddress) {
		t.Errorf("second answer, forbidden: %v", err)
	}
}

// newDNS returns a resolver that answers every A question with the next of
// addresses, and stays at the last.
func newDNS(t testing.TB, addresses ...[4]byte) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var stopped sync.WaitGroup
	t.Cleanup(func() { _ = socket.Close(); stopped.Wait() })
	stopped.Go(func() {
		asked := 0
		buffer := make([]byte, 512)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			answer, isA := dnsAnswer(buffer[:n], addresses[min(asked, len(addresses)-1)])
			if isA {
				asked++
			}
			_, _ = socket.WriteTo(answer, from)
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

func dnsAnswer(question []byte, address [4]byte) ([]byte, bool) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, false
	}
	m.Response, m.RecursionAvailable = true, true
	m.Additionals = nil
	q := m.Questions[0]
	isA := q.Type == dnsmessage.TypeA
	if isA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: address},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, false
	}
	return packed, isA
}

func FuzzGetRefusesWithoutLeaking(f *testing.F) {
	for _, seed := range []string{"https://user:pw@127.0.0.1/", "http://[::ffff:127.0.0.1]/", "https://0x7f.1/", "https://2130706433/"} {
		f.Add(seed)
	}
	refuseNames := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("no names here")
	}}
	c, err := fetch.New(fetch.Settings{Resolver: refuseNames, Timeout: time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := url.Parse(address)
		if err == nil && isPublicLiteral(u.Hostname()) {
			t.Skip("only loopback traffic in tests")
		}
		if _, _, err := c.Get(t.Context(), address, 1); err == nil {
			t.Fatalf("fetched %q", address)
		}
	})
}

func isPublicLiteral(host string) bool {
	ip := net.ParseIP(strings.SplitN(host, "%", 2)[0])
	return ip != nil && ip.IsGlobalUnicast() && !ip.IsPrivate()
}
