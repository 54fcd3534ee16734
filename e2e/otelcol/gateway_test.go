package otelcol

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const gatewayYAML = `
listen: {https: "127.0.0.1:0"}
hosts: {127.0.0.1: {certificate: local}}
log:
  sinks:
    spans: {otlp_traces: {url: "https://%[1]s/v1/traces", ca: %[2]s, compress: true}}
    records: {otlp: {url: "https://%[1]s/v1/logs", ca: %[2]s}, format: ocsf, only: {classes: [request]}}
apis:
  orders:
    host: 127.0.0.1
    upstream: %[3]s
    shield: {public: what is asked for does not matter here}
    scopes: any
    endpoints:
      GET /v1/orders/{id}: {}
      GET /v1/secrets: {when: "false"}
scopes: {}
`

// gateway is the program with a configuration of its own.
type gateway struct {
	t       *testing.T
	dir     string
	url     string
	serving *exec.Cmd
}

func install(t *testing.T, collector, ca, upstream string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir()}
	program := filepath.Join(t.TempDir(), "pavise")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, "./cmd/pavise").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "pavise.yaml"), fmt.Appendf(nil, gatewayYAML, collector, ca, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	g.serving = exec.Command(program, "serve")
	g.serving.Dir = g.dir
	out, err := g.serving.StderrPipe()
	if err == nil {
		err = g.serving.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if address, ok := strings.CutPrefix(lines.Text(), "pavise serves https://"); ok {
			g.url = "https://" + address
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return g
		}
	}
	t.Fatalf("the gateway did not start: %s", said.String())
	return nil
}

// transport trusts the gateway.
func (g *gateway) transport() http.RoundTripper {
	g.t.Helper()
	ca, err := os.ReadFile(filepath.Join(g.dir, "pavise-data", "local-ca", "ca.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}

func (g *gateway) stop() {
	if g.serving == nil {
		return
	}
	_ = g.serving.Process.Signal(syscall.SIGTERM)
	if err := g.serving.Wait(); err != nil {
		g.t.Errorf("it ends with %v", err)
	}
	g.serving = nil
}

// certify writes a certificate for 127.0.0.1, which is its own CA, and its key.
func certify(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
