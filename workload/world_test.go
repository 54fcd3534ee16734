package workload_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

const (
	webID = "uri:spiffe://pavise.internal/web"
	payID = "uri:spiffe://pavise.internal/pay"
)

// warnings gathers what a certificate warns of.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, err.Error())
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// member is a program with a certificate.
type member struct {
	*workload.Certificate
	options workload.Options
	warned  *warnings
}

// options of a program whose files lie in a folder of their own.
func options(w *pkitest.World, t est.Token) (workload.Options, *warnings) {
	warned := &warnings{}
	return workload.Still(workload.Options{
		Server: w.URL, Chain: filepath.Join(w.TempDir(), "own.pem"), Now: w.Clock.Now, Warn: warned.add,
		Token: func() (string, error) { return w.Token(t), nil },
	}), warned
}

// join opens a certificate with a token.
func join(w *pkitest.World, t est.Token) *member {
	w.Helper()
	o, warned := options(w, t)
	return open(w, o, warned)
}

func open(t testing.TB, o workload.Options, warned *warnings) *member {
	t.Helper()
	c, err := workload.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &member{c, o, warned}
}

// watch opens a certificate that somebody else renews.
func watch(w *pkitest.World, c *tls.Certificate) *member {
	w.Helper()
	o, warned := options(w, est.Token{})
	o.Server, o.Token = "", nil
	put(w, o.Chain, c, w.Roots())
	return open(w, o, warned)
}

// put writes the files that a program watches.
func put(t testing.TB, chain string, c *tls.Certificate, roots []*x509.Certificate) {
	t.Helper()
	base := strings.TrimSuffix(chain, ".pem")
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", c.PrivateKey)
	}
	check(t, certfile.Files{Chain: chain, Key: base + "-key.pem"}.Save(parse(t, c), key))
	check(t, certfile.Replace(base+"-roots.pem", certfile.EncodeChain(roots), 0o644))
}

func parse(t testing.TB, c *tls.Certificate) (chain []*x509.Certificate) {
	t.Helper()
	for _, der := range c.Certificate {
		one, err := x509.ParseCertificate(der)
		check(t, err)
		chain = append(chain, one)
	}
	return chain
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serial(t testing.TB, c *workload.Certificate) string {
	t.Helper()
	current, err := c.Current()
	check(t, err)
	return current.Leaf.SerialNumber.Text(16)
}

// handshake connects the two, and returns what each says of it.
func handshake(t testing.TB, client, server *tls.Config) (state tls.ConnectionState, ofClient, ofServer error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer func() { _ = l.Close() }() // it is used once
	ended := make(chan error, 1)
	go func() { ended <- echo(l, server) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second)) // a fresh connection takes it
	c := tls.Client(nc, client)
	if err = c.Handshake(); err == nil {
		state = c.ConnectionState()
		if _, err = c.Write([]byte("x")); err == nil {
			_, err = io.ReadFull(c, make([]byte, 1)) // in TLS 1.3 the client learns with the first byte whether it is accepted
		}
	}
	_ = nc.Close() // the server sees the end
	ofServer = <-ended
	if err == nil {
		ofServer = nil // it was accepted, and only saw the end
	}
	return state, err, ofServer
}

// echo serves one connection.
func echo(l net.Listener, config *tls.Config) error {
	nc, err := l.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	s := tls.Server(nc, config)
	if err := s.Handshake(); err != nil {
		return err
	}
	_, err = io.Copy(s, s)
	return err
}

// to is the client's configuration for a host.
func to(config *tls.Config, host string) *tls.Config {
	config = config.Clone()
	config.ServerName = host
	return config
}

// refused says that a connection must fail at one of the ends, for a reason.
func refused(t testing.TB, client, server *tls.Config, why string) {
	t.Helper()
	_, ofClient, ofServer := handshake(t, client, server)
	if ofClient == nil {
		t.Errorf("accepted, want %q", why)
		return
	}
	if both := errors.Join(ofClient, ofServer).Error(); !strings.Contains(both, why) {
		t.Errorf("refused with\n%s\nwant %q", both, why)
	}
}

func accepted(t testing.TB, client, server *tls.Config) tls.ConnectionState {
	t.Helper()
	state, ofClient, ofServer := handshake(t, client, server)
	if ofClient != nil || ofServer != nil {
		t.Errorf("refused: %v, %v", ofClient, ofServer)
	}
	return state
}

// serve is an HTTP server that answers with the names of whoever calls.
func serve(t testing.TB, config *tls.Config) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(workload.Names(r.TLS.PeerCertificates[0]), " ")) // the caller may be gone
	}))
	s.Listener = tls.NewListener(s.Listener, config)
	s.Start()
	t.Cleanup(s.Close)
	s.URL = strings.Replace(s.URL, "http://", "https://", 1)
	return s
}

// stranger makes a certificate below a root of its own, or below none.
func stranger(t testing.TB, now time.Time, uses ...x509.ExtKeyUsage) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), ExtKeyUsage: uses, DNSNames: []string{"web.internal"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// with is a configuration that presents a certificate, and verifies nothing.
func with(c *tls.Certificate) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert}
	if c != nil {
		config.Certificates = []tls.Certificate{*c}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	}
	return config
}

func web() est.Token {
	return est.Token{Client: "web", Names: pki.Names{"dns:web.internal", "ip:127.0.0.1", webID}}
}

// exampleServe lets a server listen on any port.
func exampleServe(s *http.Server) (address string, stop func()) {
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		panic(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeTLS(l, "", "") // always http.ErrServerClosed
	}()
	return l.Addr().String(), func() {
		_ = s.Close() // it is a test's
		<-ended
	}
}
