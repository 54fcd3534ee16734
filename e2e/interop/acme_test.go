package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/tlsconf"
)

const acmeYAML = `
listen: {https: "127.0.0.1:0", http: "{{plain}}"}
limits: {wrong_tries: 100000}
hosts:
  127.0.0.1: {certificate: local}
  api.example.com: {certificate: {source: acme, email: ops@example.com, directory: "https://{{directory}}/dir", roots: peer-ca.pem}}
apis:
  orders:
    host: [127.0.0.1, api.example.com]
    upstream: "{{upstream}}"
    shield: api_key
    endpoints:
      GET /v1/catalog: {scopes: [orders:read]}
scopes: {orders:read: See orders}
`

// free reserves addresses for programs that cannot choose ports themselves.
func free(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at the end, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// pebble is Let's Encrypt's small ACME server, with a name server that leads every
// name to 127.0.0.1. It checks challenges at the port of the plain listener.
type pebble struct {
	t      *testing.T
	orders atomic.Int64 // how many certificates were asked for
	proofs atomic.Int64 // how many challenges were looked at by HTTP
	roots  *x509.CertPool
}

func startPebble(t *testing.T, ca *tlsconf.Local, cert, key, directory, plain string) *pebble {
	t.Helper()
	bin := t.TempDir()
	const module = "github.com/letsencrypt/pebble/v2/cmd/"
	build, err := command(t.Context(), nil, "go", "-C", "../..", "build", "-modfile=tools/go.mod", "-o", bin+"/", module+"pebble", module+"pebble-challtestsrv")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := build.CombinedOutput(); err != nil { // the first time takes longer than patience
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	ports := free(t, 3)
	names, management := ports[0], ports[1]
	dns := beside(t, nil, filepath.Join(bin, "pebble-challtestsrv"), "-dnsserver", names, "-management", ports[2],
		"-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	dns.until("pebble-challtestsrv")

	_, port, err := net.SplitHostPort(plain)
	if err != nil {
		t.Fatal(err)
	}
	httpPort, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": directory, "managementListenAddress": management, "certificate": cert, "privateKey": key,
		"httpPort": httpPort, "tlsPort": 1, "keyAlgorithm": "ecdsa",
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(bin, "pebble.json")
	if err := os.WriteFile(config, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	server := beside(t, []string{"PEBBLE_VA_NOSLEEP=1"}, filepath.Join(bin, "pebble"), "-config", config, "-dnsserver", names)
	p := &pebble{t: t}
	go p.count(server.lines) // ends with the program
	p.roots = p.root(ca, management)
	return p
}

// count reads what pebble says of itself.
func (p *pebble) count(lines <-chan string) {
	for line := range lines {
		if strings.Contains(line, "Issued certificate serial") {
			p.orders.Add(1)
		}
		if strings.Contains(line, "Attempting to validate w/ HTTP") {
			p.proofs.Add(1)
		}
	}
}

// root waits until pebble serves, and returns the root of what it issues.
func (p *pebble) root(ca *tlsconf.Local, management string) *x509.CertPool {
	p.t.Helper()
	client := trusting(p.t, ca.Pool())
	var text []byte
	eventually(p.t, "pebble serves", func() bool {
		response, err := client.Get("https://" + management + "/roots/0")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		text, err = io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusOK
	})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		p.t.Fatalf("pebble's root is %q", text)
	}
	return pool
}

// eventually asks again and again until a condition of another process holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("in %s it did not come about that %s", patience, what)
		}
	}
}

// certificateOf returns the certificate that a handshake for api.example.com shows,
// if it succeeds.
func (p *pebble) certificateOf(g *harness.Gateway) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: "api.example.com", RootCAs: p.roots})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// shows holds that a handshake shows this very certificate, without delay.
func (p *pebble) shows(g *harness.Gateway, want *x509.Certificate, when string) {
	p.t.Helper()
	got, err := p.certificateOf(g)
	if err != nil || !got.Equal(want) {
		p.t.Errorf("%s: another certificate, or none (%v)", when, err)
	}
}

func TestCertificateOfAnAuthorityThatNobodyHereWrote(t *testing.T) {
	ca, cert, key := identify(t)
	ports := free(t, 2)
	p := startPebble(t, ca, cert, key, ports[0], ports[1])
	yaml := strings.NewReplacer("{{directory}}", ports[0], "{{plain}}", ports[1]).Replace(acmeYAML)
	g := harness.Start(t, harness.Config{YAML: yaml, Files: map[string]string{"peer-ca.pem": string(ca.PEM())}})

	var first *x509.Certificate
	eventually(t, "the authority issues a certificate", func() bool {
		var err error
		first, err = p.certificateOf(g)
		return err == nil
	})
	if first.DNSNames[0] != "api.example.com" || p.proofs.Load() == 0 {
		t.Errorf("a certificate for %v after %d proofs by HTTP", first.DNSNames, p.proofs.Load())
	}
	request := g.Request("GET", "/v1/catalog", "")
	request.Host = "api.example.com"
	request.Header.Set("X-API-Key", g.Issue("api_key", "shop").Secret)
	client := trusting(t, p.roots)
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "api.example.com"
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("a call under that certificate: %d", response.StatusCode)
	}
	p.plainServesNothingElse(g)

	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	p.shows(g, first, "after a reload")
	g.Restart()
	p.shows(g, first, "after a restart")
	if n := p.orders.Load(); n != 1 {
		t.Errorf("%d certificates were asked for, want one", n)
	}
	p.renews(g, first)
}

func (p *pebble) plainServesNothingElse(g *harness.Gateway) {
	p.t.Helper()
	for target, want := range map[string]string{
		"/.well-known/acme-challenge/unknown":   "HTTP/1.1 404 ",
		"/.well-known/acme-challenge/../orders": "HTTP/1.1 4",
		"/":                                     "HTTP/1.1 403 ",
		"/v1/catalog":                           "HTTP/1.1 403 ",
	} {
		if answer := g.RawPlain("GET " + target + " HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(answer, want) {
			p.t.Errorf("%s without TLS: %.100q", target, answer)
		}
	}
	if n := len(g.Events(audit.Query{Code: "tls_required"})); n < 2 {
		p.t.Errorf("%d events of requests without TLS", n)
	}
}

// renews puts a certificate that is about to end into the data folder, and holds
// that it serves after a restart until a new one has taken its place.
func (p *pebble) renews(g *harness.Gateway, first *x509.Certificate) {
	p.t.Helper()
	old, err := tlsconf.OpenLocal(filepath.Join(p.t.TempDir(), "old"), func() time.Time { return time.Now().AddDate(0, 0, -85) })
	if err != nil {
		p.t.Fatal(err)
	}
	ending, err := old.Server("api.example.com")
	if err != nil {
		p.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(g.Dir, "pavise-data/acme/certificates/*/api.example.com/api.example.com.crt"))
	if err != nil || len(files) != 1 {
		p.t.Fatalf("certificates in the data folder: %v, %v", files, err)
	}
	writePair(p.t, ending, files[0], strings.TrimSuffix(files[0], ".crt")+".key")
	p.roots.AppendCertsFromPEM(old.PEM())
	p.forgets(strings.TrimSuffix(files[0], ".crt") + ".json")
	g.Restart()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the gateway warns of %q", g.Warnings.All())
		}
	}()
	eventually(p.t, "the certificate is renewed", func() bool {
		now, err := p.certificateOf(g)
		if err != nil {
			p.t.Fatalf("during the renewal: %v", err)
		}
		return !now.Equal(ending.Leaf) && !now.Equal(first)
	})
	if n := p.orders.Load(); n != 2 {
		p.t.Errorf("%d certificates were asked for, want two", n)
	}
}

// forgets changes whose certificate a file of the data folder says it is: that
// authority would not know the one that it is said to replace.
func (p *pebble) forgets(name string) {
	p.t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, bytes.ReplaceAll(text, []byte("/dir\""), []byte("/another\"")), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
