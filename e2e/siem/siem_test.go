// Package siem sends events of the running program to real receivers: Debian's rsyslog over
// TLS, and places that are away, full, or die.
package siem

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/program"
)

const yaml = `
listen: {https: "127.0.0.1:0"}
limits: {wrong_tries: 100000, address: 100000000/minute}
hosts: {127.0.0.1: {certificate: local}}
log:
  sinks:
%s
apis:
  orders:
    host: 127.0.0.1
    upstream: %s
    shield: {public: what is asked for does not matter here}
    scopes: any
%s
    endpoints:
      GET /v1/orders/{id}: {}
scopes: {}
`

// gateway is the program with a configuration of its own.
type gateway struct {
	t       *testing.T
	dir     string
	program string
	serving *exec.Cmd
	client  *http.Client
	address string
	served  int // by the upstream
}

func install(t *testing.T, sinks, api string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), program: program.Built(t)}
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { g.served++ }))
	t.Cleanup(upstream.Close)
	g.write("pavise.yaml", fmt.Sprintf(yaml, sinks, upstream.URL, api))
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) start() {
	g.t.Helper()
	g.serving = exec.Command(g.program, "serve")
	g.serving.Dir = g.dir
	out, err := g.serving.StderrPipe()
	if err == nil {
		err = g.serving.Start()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if address, ok := strings.CutPrefix(lines.Text(), "pavise serves https://"); ok {
			g.address = address
			go func() { _, _ = io.Copy(io.Discard, out) }()
			g.trust()
			return
		}
	}
	g.t.Fatalf("the gateway did not start: %s", said.String())
}

func (g *gateway) trust() {
	g.t.Helper()
	ca, err := os.ReadFile(filepath.Join(g.dir, "pavise-data", "local-ca", "ca.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
}

func (g *gateway) kill() {
	if g.serving == nil {
		return
	}
	_ = g.serving.Process.Kill()
	_ = g.serving.Wait() // killed
	g.serving = nil
}

func (g *gateway) stop() {
	g.t.Helper()
	_ = g.serving.Process.Signal(syscall.SIGTERM)
	if err := g.serving.Wait(); err != nil {
		g.t.Errorf("it ends with %v", err)
	}
	g.serving = nil
}

// get sends requests; it returns the status of the last.
func (g *gateway) get(n int) (status int) {
	g.t.Helper()
	for range n {
		answer, err := g.client.Get("https://" + g.address + "/v1/orders/7")
		if err != nil {
			g.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		status = answer.StatusCode
	}
	return status
}

// recorded are the ids of the log's events, in their order.
func (g *gateway) recorded() (ids []string) {
	g.t.Helper()
	found, err := audit.Search(context.Background(), filepath.Join(g.dir, "pavise-data", "log"), audit.Query{})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range found {
		ids = append(ids, f.Event.ID)
	}
	return ids
}

type status struct {
	Delivered, Lag, Lost, Rejected uint64
	Failing                        string
	Full                           bool
}

func (g *gateway) status(name string) status {
	g.t.Helper()
	command := exec.Command(g.program, "log", "sinks", "--json")
	command.Dir = g.dir
	out, err := command.Output()
	if err != nil {
		g.t.Fatalf("log sinks: %v %s", err, out)
	}
	var all []struct {
		Name string
		status
	}
	if err := json.Unmarshal(out, &all); err != nil {
		g.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s.status
		}
	}
	g.t.Fatalf("no sink %s: %s", name, out)
	return status{}
}

func (g *gateway) wait(what string, is func() bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			g.t.Fatalf("it does not happen: %s", what)
		case <-tick.C:
		}
	}
}

// arrived fails unless everything that is recorded arrived: each at least once, in order.
func (g *gateway) arrived(got func() []string) {
	g.t.Helper()
	want := g.recorded()
	last := []string(nil)
	defer func() {
		if g.t.Failed() {
			g.t.Logf("%d of %d arrived", len(last), len(want))
		}
	}()
	g.wait("every event arrives, in order", func() bool {
		last = firsts(got())
		return slices.Equal(last, want)
	})
}

func firsts(all []string) (once []string) {
	seen := map[string]bool{}
	for _, id := range all {
		if !seen[id] {
			once = append(once, id)
		}
		seen[id] = true
	}
	return once
}

// rsyslog is Debian's, as a child with a configuration of its own.
type rsyslog struct {
	t       *testing.T
	dir     string
	port    int
	running *exec.Cmd
}

const rsyslogConf = `
global(workDirectory="%[1]s" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="%[1]s/ca.pem" defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="%[2]d" address="127.0.0.1")
module(load="mmpstrucdata")
action(type="mmpstrucdata")
template(name="parsed" type="list") {
  property(name="hostname") constant(value=" ") property(name="app-name") constant(value=" ") property(name="msgid") constant(value=" ")
  property(name="syslogfacility-text") constant(value=" ") property(name="$!rfc5424-sd!pavise@32473!id") constant(value=" ")
  property(name="$!rfc5424-sd!pavise@32473!seq") constant(value=" ") property(name="msg") constant(value="\n")
}
action(type="omfile" file="%[1]s/received" template="parsed" asyncWriting="off" flushOnTXEnd="on")
`

func newRsyslog(t *testing.T) *rsyslog {
	t.Helper()
	path := "/usr/sbin/rsyslogd"
	if _, err := os.Stat(path); err != nil {
		t.Skip("no rsyslogd here; tools/install.sh installs it")
	}
	r := &rsyslog{t: t, dir: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r.port, _ = strconv.Atoi(port)
	_ = l.Close()
	certify(t, r.dir)
	conf := fmt.Sprintf(rsyslogConf, r.dir, r.port)
	if err := os.WriteFile(filepath.Join(r.dir, "rsyslog.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	return r
}

func (r *rsyslog) start() {
	r.t.Helper()
	r.running = exec.Command("/usr/sbin/rsyslogd", "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	if err := r.running.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rsyslog) kill() {
	if r.running != nil {
		_ = r.running.Process.Kill()
		_ = r.running.Wait() // killed
		r.running = nil
		_ = os.Remove(filepath.Join(r.dir, "pid"))
	}
}

// received are the lines that it wrote: host, app, msgid, facility, id, seq, message.
func (r *rsyslog) received() (lines [][]string) {
	text, err := os.ReadFile(filepath.Join(r.dir, "received"))
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		if parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 7); len(parts) == 7 {
			lines = append(lines, parts)
		}
	}
	return lines
}

func (r *rsyslog) ids() (ids []string) {
	for _, line := range r.received() {
		ids = append(ids, line[4])
	}
	return ids
}

func (r *rsyslog) sink(ca string) string {
	return fmt.Sprintf("    siem: {syslog: {address: \"tls://127.0.0.1:%d\", ca: %q}, format: ocsf}", r.port, ca)
}

// certify makes a certificate for 127.0.0.1 that is its own CA.
func certify(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: der}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
