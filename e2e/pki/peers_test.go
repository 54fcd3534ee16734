package pki

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/certfile"
)

// site is a folder with certificates of the authority, for programs that nobody here wrote.
type site struct {
	t   *testing.T
	g   *harness.Gateway
	dir string
}

func newSite(t *testing.T, g *harness.Gateway) *site {
	t.Helper()
	s := &site{t, g, t.TempDir()}
	must(t, os.Chmod(s.dir, 0o755)) // nginx's workers read it
	s.roots()
	s.lists()
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name string, text []byte) {
	s.t.Helper()
	must(s.t, certfile.Replace(s.path(name), text, 0o644))
}

// roots writes what `pavise ca export` does.
func (s *site) roots() {
	s.t.Helper()
	s.write("ca.pem", pki.EncodePEM(s.g.Roots()...))
}

// lists writes what `pavise ca export --crl` does.
func (s *site) lists() {
	s.t.Helper()
	members, err := s.g.App.State.Authority.Members()
	must(s.t, err)
	var text []byte
	for _, m := range members {
		if !m.Listed {
			continue
		}
		der, err := s.g.App.State.Status.List(s.t.Context(), m.ID)
		must(s.t, err)
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	s.write("crl.pem", text)
}

// save writes a certificate with its key, each in its file and both in one.
func (s *site) save(name string, c *tls.Certificate) {
	s.t.Helper()
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		s.t.Fatalf("a %T", c.PrivateKey)
	}
	var chain []*x509.Certificate
	for _, der := range c.Certificate {
		one, err := x509.ParseCertificate(der)
		must(s.t, err)
		chain = append(chain, one)
	}
	must(s.t, certfile.Files{Chain: s.path(name + ".pem"), Key: s.path(name + "-key.pem")}.Save(chain, key))
	must(s.t, certfile.Files{Chain: s.path(name + "-both.pem"), Key: s.path(name + "-both.pem")}.Save(chain, key))
}

// free is an address where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	return address
}

// program runs until the test ends.
func (s *site) program(name string, args ...string) *os.Process {
	s.t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		s.t.Fatalf("start %s (tools/install.sh installs it): %v", name, err)
	}
	s.t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt) // it may have ended
		_ = command.Wait()
	})
	return command.Process
}

// answers waits until somebody listens.
func answers(t *testing.T, address string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("nobody listens at %s", address)
}

const nginxConfig = `
user root; daemon off; worker_processes 1; pid {{dir}}/nginx.pid; error_log {{dir}}/nginx.log error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000; keepalive_timeout 1h;
  client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy; fastcgi_temp_path {{dir}}/f; uwsgi_temp_path {{dir}}/u; scgi_temp_path {{dir}}/s;
  server {
    listen {{mutual}} ssl;
    ssl_certificate {{dir}}/server.pem; ssl_certificate_key {{dir}}/server-key.pem; ssl_session_cache off; ssl_session_tickets off;
    ssl_client_certificate {{dir}}/ca.pem; ssl_verify_client on; ssl_verify_depth 4; {{crl}}
    location / { return 200 "$ssl_client_verify $ssl_client_s_dn"; }
  }
  server {
    listen {{plain}};
    location / {
      proxy_pass https://{{gateway}}; proxy_http_version 1.1; proxy_set_header Host gateway.internal; proxy_ssl_session_reuse off;
      proxy_ssl_certificate {{dir}}/web.pem; proxy_ssl_certificate_key {{dir}}/web-key.pem;
      proxy_ssl_verify on; proxy_ssl_verify_depth 4; proxy_ssl_trusted_certificate {{dir}}/ca.pem; proxy_ssl_name gateway.internal; proxy_ssl_server_name on;
    }
  }
}`

// nginx is a server that demands certificates of the authority, and a client that has one.
func (s *site) nginx(crl bool) (mutual, plain string, reload func()) {
	s.t.Helper()
	mutual, plain = free(s.t), free(s.t)
	list := ""
	if crl {
		list = "ssl_crl " + s.path("crl.pem") + ";"
	}
	s.write("nginx.conf", []byte(strings.NewReplacer(
		"{{dir}}", s.dir, "{{mutual}}", mutual, "{{plain}}", plain, "{{gateway}}", s.g.Address, "{{crl}}", list,
	).Replace(nginxConfig)))
	process := s.program("nginx", "-c", s.path("nginx.conf"), "-p", s.dir)
	answers(s.t, mutual)
	answers(s.t, plain)
	return mutual, plain, func() { must(s.t, process.Signal(syscall.SIGHUP)) }
}

const haproxyConfig = `global
  nbthread 1
  stats socket {{dir}}/haproxy.sock level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend mutual
  bind {{mutual}} ssl crt {{dir}}/server-both.pem ca-file {{dir}}/ca.pem crl-file {{dir}}/crl.pem verify required
  http-request return status 200 content-type text/plain lf-string "%[ssl_c_verify] %[ssl_c_s_dn]"
`

func (s *site) haproxy() string {
	s.t.Helper()
	mutual := free(s.t)
	s.write("haproxy.cfg", []byte(strings.NewReplacer("{{dir}}", s.dir, "{{mutual}}", mutual).Replace(haproxyConfig)))
	s.program("haproxy", "-db", "-f", s.path("haproxy.cfg"))
	answers(s.t, mutual)
	return mutual
}

// fetch asks once, over a connection of its own.
func fetch(config *tls.Config, address string) (int, string, error) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := c.Get(address)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	return r.StatusCode, string(text), err
}

const peersYAML = `
limits: {wrong_tries: 100000, address: 1000000/second, connections_per_address: 10000}
hosts:
  127.0.0.1: {certificate: own, client_certificates: ask}
  gateway.internal: {certificate: own, client_certificates: ask}
apis:
  orders:
    host: [127.0.0.1, gateway.internal]
    upstream: "{{upstream}}"
    shield: mtls
    scopes: any
    endpoints:
      GET /v1/web: {}
  behind:
    host: 127.0.0.1
    upstream: {url: "https://{{nginx}}", client_certificate: own, ca: ca.pem, server_name: 127.0.0.1}
    shield: {public: the test looks at what stands behind}
    scopes: any
    endpoints:
      GET /behind: {}
scopes: {orders:read: Read orders}
`

func TestNginxAndHAProxyBelieveTheAuthority(t *testing.T) {
	attacktest.Rows(t, 77)
	g := start(t)
	s := newSite(t, g)
	s.save("server", g.Certificate(pki.Request{Client: "pay", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}}))
	web, lost := g.Certificate(pki.Request{Client: "web"}), g.Certificate(pki.Request{Client: "web"})
	s.save("web", web)
	nginx, plain, reload := s.nginx(true)
	haproxy := s.haproxy()
	g.WriteFile("ca.pem", string(pki.EncodePEM(g.Roots()...)))
	g.Configure(strings.Replace(peersYAML, "{{nginx}}", nginx, 1))
	must(t, g.Reload())

	for name, address := range map[string]string{"nginx": nginx, "HAProxy": haproxy} {
		for _, c := range []*tls.Certificate{web, lost} {
			if status, text, err := fetch(g.Mutual(c), "https://"+address+"/"); err != nil || status != 200 || !strings.Contains(text, "CN=web") {
				t.Errorf("%s: %d %q, %v", name, status, text, err)
			}
		}
		if status, _, err := fetch(g.Mutual(nil), "https://"+address+"/"); err == nil && status == 200 {
			t.Errorf("%s lets nobody in", name)
		}
		if status, _, err := fetch(g.Mutual(g.Certificate(pki.Request{Client: "pay", Profile: "server", Names: pki.Names{"dns:a.b"}})), "https://"+address+"/"); err == nil && status == 200 {
			t.Errorf("%s takes a server's certificate for a client's", name)
		}
	}
	if status, text, err := fetch(nil, "http://"+plain+"/v1/web"); err != nil || status != 200 {
		t.Errorf("nginx as a client: %d %q, %v", status, text, err)
	}
	if status, text, err := fetch(g.Mutual(nil), "https://"+g.Address+"/behind"); err != nil || status != 200 || !strings.Contains(text, "CN=pavise-gateway") {
		t.Errorf("the gateway before nginx: %d %q, %v", status, text, err)
	}

	g.Revoke(pki.CredentialID(lost.Leaf))
	s.lists()
	reload()
	again := s.haproxy() // it reads its list when it starts
	for name, address := range map[string]string{"nginx": nginx, "HAProxy": again} {
		refused := false
		for begin := time.Now(); !refused && time.Since(begin) < 10*time.Second; time.Sleep(20 * time.Millisecond) { // nginx reloads by itself
			status, _, err := fetch(g.Mutual(lost), "https://"+address+"/")
			refused = err != nil || status != 200
		}
		if !refused {
			t.Errorf("%s takes a revoked certificate", name)
		}
		if status, text, err := fetch(g.Mutual(web), "https://"+address+"/"); err != nil || status != 200 {
			t.Errorf("%s refuses a good one: %d %q, %v", name, status, text, err)
		}
	}
}

// nginx wants a list of every authority of a chain, the root too, whose key is elsewhere.
func TestNginxChecksListsOfARootThatIsKeptElsewhere(t *testing.T) {
	attacktest.Rows(t, 77)
	key, err := pki.NewKey("ES256", rand.Reader)
	must(t, err)
	g := startWith(t, pki.Init{RootKey: key})
	s := newSite(t, g)
	s.save("server", g.Certificate(pki.Request{Client: "pay", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}}))
	web, lost := g.Certificate(pki.Request{Client: "web"}), g.Certificate(pki.Request{Client: "web"})
	s.save("web", web)
	nginx, _, reload := s.nginx(true)
	if status, text, err := fetch(g.Mutual(web), "https://"+nginx+"/"); err != nil || status != 200 || !strings.Contains(text, "CN=web") {
		t.Errorf("a good one: %d %q, %v", status, text, err)
	}
	within := func(what string, c *tls.Certificate, want bool) {
		t.Helper()
		s.lists()
		reload()
		good := !want
		for begin := time.Now(); good != want && time.Since(begin) < 10*time.Second; time.Sleep(20 * time.Millisecond) { // nginx reloads by itself
			status, _, err := fetch(g.Mutual(c), "https://"+nginx+"/")
			good = err == nil && status == 200
		}
		if good != want {
			t.Errorf("%s is let in: %v", what, good)
		}
	}
	g.Revoke(pki.CredentialID(lost.Leaf))
	within("a revoked one", lost, false)
	within("a good one", web, true)
	_, err = g.App.State.Authority.Rotate(t.Context(), pki.Rotation{RootKey: key, Compromised: true})
	must(t, err)
	within("one of a stolen authority", web, false)
	next := g.Certificate(pki.Request{Client: "web"})
	s.save("server", g.Certificate(pki.Request{Client: "pay", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}}))
	within("one of the next", next, true)
}

// openssl asks the gateway's plain listener, in HTTP/1.0 as it does.
func TestOpenSSLAsksTheGateway(t *testing.T) {
	attacktest.Rows(t, 77)
	g := start(t)
	s := newSite(t, g)
	good, lost := g.Certificate(pki.Request{Client: "web"}), g.Certificate(pki.Request{Client: "web"})
	s.save("good", good)
	s.save("lost", lost)
	issuing, err := x509.ParseCertificate(good.Certificate[1])
	must(t, err)
	s.write("issuing.pem", pki.EncodePEM(issuing))
	g.Revoke(pki.CredentialID(lost.Leaf))
	ask := func(name string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "openssl", "ocsp", "-issuer", s.path("issuing.pem"), "-cert", s.path(name+".pem"),
			"-url", "http://"+g.Plain+"/ocsp", "-CAfile", s.path("ca.pem"), "-no_nonce").CombinedOutput()
		if err != nil {
			t.Errorf("openssl: %v\n%s", err, out)
		}
		return string(out)
	}
	if out := ask("good"); !strings.Contains(out, "good.pem: good") || !strings.Contains(out, "Response verify OK") {
		t.Error(out)
	}
	if out := ask("lost"); !strings.Contains(out, "lost.pem: revoked") {
		t.Error(out)
	}
	if points := good.Leaf.CRLDistributionPoints; len(points) != 1 || !strings.HasPrefix(points[0], "http://pki.example.com/crl/") {
		t.Errorf("distribution points %v", points)
	}
	if points := issuing.CRLDistributionPoints; len(points) != 1 || !strings.HasPrefix(points[0], "http://pki.example.com/crl/") {
		t.Errorf("the authority, made while no gateway ran, names %v", points)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) { // the list is signed within a second
		status, text, err := fetch(nil, strings.Replace(good.Leaf.CRLDistributionPoints[0], "pki.example.com", g.Plain, 1))
		must(t, err)
		if list, err := x509.ParseRevocationList([]byte(text)); status == 200 && err == nil && len(list.RevokedCertificateEntries) == 1 {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("no list with the certificate: %d", status)
		}
	}
	if status, text, err := fetch(nil, "http://"+g.Plain+"/v1/orders"); err != nil || status != 403 || !strings.Contains(text, "tls_required") {
		t.Errorf("anything else without TLS: %d %q, %v", status, text, err)
	}
}

// Root and issuer rotate while nginx calls the gateway, the gateway calls nginx, and others
// call nginx and HAProxy; then everybody gets certificates of the next issuer. No request is
// lost.
func TestRotationLosesNoRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("runs nginx and HAProxy for some seconds")
	}
	g := start(t)
	s := newSite(t, g)
	server := func() *tls.Certificate {
		return g.Certificate(pki.Request{Client: "pay", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}})
	}
	s.save("server", server())
	s.save("web", g.Certificate(pki.Request{Client: "web"}))
	nginx, plain, reload := s.nginx(false)
	haproxy := s.haproxy()
	g.WriteFile("ca.pem", string(pki.EncodePEM(g.Roots()...)))
	g.Configure(strings.Replace(peersYAML, "{{nginx}}", nginx, 1))
	must(t, g.Reload())

	var mu sync.Mutex
	mutual := g.Mutual(g.Certificate(pki.Request{Client: "web"}))
	current := func() *tls.Config {
		mu.Lock()
		defer mu.Unlock()
		return mutual
	}
	onlyOld := x509.NewCertPool()
	onlyOld.AddCert(g.Roots()[0])
	var stop atomic.Bool
	var asked [4]atomic.Int64
	var load sync.WaitGroup
	first := current() // HAProxy reads its lists when it starts: it is called with the certificate of the beginning
	for i, address := range []string{"http://" + plain + "/v1/web", "https://" + g.Address + "/behind", "https://" + nginx + "/", "https://" + haproxy + "/"} {
		load.Go(func() {
			for !stop.Load() {
				config := current()
				switch i {
				case 2: // somebody who never learns of the new root
					config = config.Clone()
					config.RootCAs = onlyOld
				case 3:
					config = first
				}
				if status, text, err := fetch(config, address); err != nil || status != 200 {
					t.Errorf("%s: %d %.100q, %v", address, status, text, err)
				}
				asked[i].Add(1)
			}
		})
	}
	wait := func() { // until each has asked some more
		var before [4]int64
		for i := range asked {
			before[i] = asked[i].Load()
		}
		for i := range asked {
			for begin := time.Now(); asked[i].Load() < before[i]+20 && time.Since(begin) < 20*time.Second; {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	wait()
	_, err := g.App.State.Authority.Rotate(t.Context(), pki.Rotation{})
	must(t, err)
	wait()
	_, err = g.App.State.Authority.Rotate(t.Context(), pki.Rotation{Root: true})
	must(t, err)
	wait()
	s.roots() // both roots are known everywhere now, and only then new certificates are used
	reload()
	wait()
	s.save("server", server())
	s.save("web", g.Certificate(pki.Request{Client: "web"}))
	reload()
	wait()
	s.lists()
	mu.Lock()
	mutual = g.Mutual(g.Certificate(pki.Request{Client: "web"}))
	mu.Unlock()
	wait()
	stop.Store(true)
	load.Wait()
	text := ""
	for i := range asked {
		text += fmt.Sprint(asked[i].Load(), " ")
	}
	t.Logf("requests: %s", text)
}
