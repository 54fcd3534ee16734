package pki

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
)

const foreignYAML = `
limits: {wrong_tries: 100000}
fetch: {allow: [127.0.0.1]}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
apis:
  partners:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    scopes: any
    endpoints:
      GET /ocsp: {shield: {mtls: {trust: partners.pem, revocation: {ask: ocsp, refresh: 1m}}}}
      GET /crl:  {shield: {mtls: {trust: partners.pem, revocation: {ask: crl, refresh: 1m}}}}
      GET /both: {shield: {mtls: {trust: partners.pem, revocation: {refresh: 1m}}}}
      GET /soft: {shield: {mtls: {trust: partners.pem, revocation: {ask: ocsp, refresh: 1m, insecure_soft_fail: the responder of the partner is often away}}}}
      GET /none: {shield: {mtls: {trust: partners.pem}}}
scopes: {}
`

const caConfig = `
[ca]
default_ca = partners
[partners]
database = index.txt
serial = serial
new_certs_dir = .
certificate = partners.pem
private_key = ca.key
crlnumber = crlnumber
default_md = sha256
default_crl_hours = 6
default_days = 9
policy = any
x509_extensions = client
copy_extensions = none
[any]
commonName = supplied
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = DNS:pay.internal
authorityInfoAccess = OCSP;URI:http://{{ocsp}}
crlDistributionPoints = URI:http://{{crl}}/partners.crl
[responder]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = OCSPSigning
`

// partners is an authority that openssl runs.
type partners struct {
	t    *testing.T
	dir  string
	ocsp string
}

func newPartners(t *testing.T) *partners {
	t.Helper()
	p := &partners{t: t, dir: t.TempDir(), ocsp: free(t)}
	lists := &http.Server{Handler: http.FileServer(http.Dir(p.dir))}
	crl := free(t)
	lists.Addr = crl
	go func() { _ = lists.ListenAndServe() }() // it ends with the test
	t.Cleanup(func() { _ = lists.Close() })
	for name, text := range map[string]string{
		"ca.cnf": strings.NewReplacer("{{ocsp}}", p.ocsp, "{{crl}}", crl).Replace(caConfig), "index.txt": "", "serial": "1000\n", "crlnumber": "01\n",
	} {
		must(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600))
	}
	p.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=Partners",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "ca.key", "-out", "partners.pem")
	p.certificate("responder", "-extensions", "responder")
	p.list()
	answers(t, crl)
	return p
}

func (p *partners) openssl(args ...string) {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), "openssl", args...)
	command.Dir = p.dir
	if out, err := command.CombinedOutput(); err != nil {
		p.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (p *partners) certificate(name string, more ...string) *tls.Certificate {
	p.t.Helper()
	p.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN="+name, "-keyout", name+".key", "-out", name+".csr")
	p.openssl(append([]string{"ca", "-config", "ca.cnf", "-batch", "-notext", "-in", name + ".csr", "-out", name + ".pem"}, more...)...)
	pair, err := tls.LoadX509KeyPair(filepath.Join(p.dir, name+".pem"), filepath.Join(p.dir, name+".key"))
	must(p.t, err)
	return &pair
}

// list signs the next list.
func (p *partners) list() {
	p.t.Helper()
	p.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
	p.openssl("crl", "-in", "crl.pem", "-outform", "der", "-out", "partners.crl")
}

// respond starts a responder, which knows the index of now.
func (p *partners) respond() (end func()) {
	p.t.Helper()
	command := exec.Command("openssl", "ocsp", "-port", p.ocsp[strings.LastIndexByte(p.ocsp, ':')+1:], "-index", "index.txt", "-CA", "partners.pem",
		"-rsigner", "responder.pem", "-rkey", "responder.key", "-nmin", "60", "-ignore_err")
	command.Dir = p.dir
	said, err := command.StderrPipe()
	must(p.t, err)
	must(p.t, command.Start())
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "waiting for") { // a connection that asks nothing would stop it
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // until it ends
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = command.Process.Kill() // it is ours
			_ = command.Wait()
		}
	}
	p.t.Cleanup(end)
	return end
}

func (p *partners) revoke(name string) {
	p.t.Helper()
	p.openssl("ca", "-config", "ca.cnf", "-revoke", name+".pem")
	p.list()
}

// A partner's authority revokes: openssl is authority, responder and signer of lists.
func TestPartnersRevocationIsFelt(t *testing.T) {
	attacktest.Rows(t, 77)
	p := newPartners(t)
	g := harness.Start(t, harness.Config{YAML: foreignYAML, Files: map[string]string{"partners.pem": read(t, p.dir, "partners.pem")}})
	good, lost := p.certificate("good"), p.certificate("lost")
	end := p.respond()
	with := func(c *tls.Certificate) *caller {
		config := &tls.Config{RootCAs: g.CA.Pool(), Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12}
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, IdleConnTimeout: time.Hour}
		t.Cleanup(transport.CloseIdleConnections)
		return &caller{t, g, &http.Client{Transport: transport, Timeout: 20 * time.Second}}
	}
	a, b := with(good), with(lost)
	paths := []string{"/ocsp", "/crl", "/both", "/soft", "/none"}
	for _, path := range paths {
		a.want("good, at "+path, path, 200, "")
		b.want("not lost yet, at "+path, path, 200, "")
	}

	end()
	p.revoke("lost")
	end = p.respond()
	g.Advance(61 * time.Second)
	for _, path := range []string{"/ocsp", "/crl", "/both", "/soft"} {
		for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) { // it is asked beside the request
			if status, _ := b.get(path); status != 200 {
				break
			}
		}
		b.want("revoked, on a kept connection, at "+path, path, 401, "revoked_credential")
		a.want("good still, at "+path, path, 200, "")
	}
	b.want("where nobody is asked", "/none", 200, "")

	end()
	g.Advance(2 * time.Hour)
	a.want("the responder is away, and what it said has ended", "/ocsp", 503, "undecided")
	a.want("soft", "/soft", 200, "")
	a.want("the list is there", "/both", 200, "")
	b.want("what was revoked is", "/soft", 401, "revoked_credential")
	if !hasWarning(g, "revocation_unknown") {
		t.Error("it was accepted in silence")
	}
}

// Whoever signs certificates does not choose where the gateway connects to.
func TestAddressesInsideAreNotAsked(t *testing.T) {
	p := newPartners(t)
	g := harness.Start(t, harness.Config{
		YAML: strings.Replace(foreignYAML, "fetch: {allow: [127.0.0.1]}\n", "", 1), Files: map[string]string{"partners.pem": read(t, p.dir, "partners.pem")},
	})
	c := p.certificate("good")
	config := &tls.Config{RootCAs: g.CA.Pool(), Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12}
	a := &caller{t, g, &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 20 * time.Second}}
	a.want("a list inside", "/crl", 503, "undecided")
	a.want("a responder inside", "/ocsp", 503, "undecided")
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return string(text)
}

func hasWarning(g *harness.Gateway, warning string) bool {
	for _, e := range g.Events(audit.Query{}) {
		if e.Warning == warning {
			return true
		}
	}
	return false
}
