package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
)

// clock is a time that moves when it is told to.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

func openLocal(t *testing.T, dir string, c *clock) *Local {
	t.Helper()
	l, err := OpenLocal(dir, c.Now)
	if err != nil {
		t.Fatalf("open the local CA: %v", err)
	}
	return l
}

func TestLocalCAIsMadeOnceAndKeptPrivate(t *testing.T) {
	attacktest.Rows(t, 85)
	dir := filepath.Join(t.TempDir(), "ca")
	c := newClock()
	first := openLocal(t, dir, c)
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v; want mode 600", info, err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v; want mode 700", info, err)
	}
	if again := openLocal(t, dir, c); string(again.PEM()) != string(first.PEM()) {
		t.Error("opened again, it is another CA")
	}
	if !first.cert.IsCA || !first.cert.MaxPathLenZero || first.cert.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		t.Errorf("the CA may do more than sign leaves: %+v", first.cert.KeyUsage)
	}
}

func TestLocalCARefusesWhatIsNotItsOwn(t *testing.T) {
	attacktest.Rows(t, 85)
	for name, test := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"untouched":                     {func(string) error { return nil }, ""},
		"a key that the group can read": {func(dir string) error { return os.Chmod(filepath.Join(dir, keyFile), 0o640) }, "chmod 600"},
		"a key that all can read":       {func(dir string) error { return os.Chmod(filepath.Join(dir, keyFile), 0o604) }, "chmod 600"},
		"no key":                        {func(dir string) error { return os.Remove(filepath.Join(dir, keyFile)) }, "belong together"},
		"no certificate":                {func(dir string) error { return os.Remove(filepath.Join(dir, caFile)) }, "belong together"},
		"half a key":                    {func(dir string) error { return os.WriteFile(filepath.Join(dir, keyFile), []byte("-----BEGIN"), 0o600) }, "certificate and key"},
		"another CA's key": {func(dir string) error {
			other := filepath.Join(dir, "other")
			if _, err := OpenLocal(other, newClock().Now); err != nil {
				return err
			}
			return os.Rename(filepath.Join(other, keyFile), filepath.Join(dir, keyFile))
		}, "certificate and key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := openLocal(t, dir, newClock()).PEM()
			if err := test.spoil(dir); err != nil {
				t.Fatal(err)
			}
			l, err := OpenLocal(dir, newClock().Now)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if err == nil && string(l.PEM()) != string(before) {
				t.Error("it made another CA")
			}
		})
	}
}

func TestLocalCARefusesALeafInItsPlace(t *testing.T) {
	dir := t.TempDir()
	leaf, err := openLocal(t, dir, newClock()).Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	leaf.Certificate = leaf.Certificate[:1]
	writePair(t, leaf, filepath.Join(dir, caFile), filepath.Join(dir, keyFile))
	if _, err := OpenLocal(dir, newClock().Now); err == nil || !strings.Contains(err.Error(), "not a CA") {
		t.Errorf("a leaf in the CA's place: %v", err)
	}
}

func TestLocalCARefusesToGoOnAfterItsEnd(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	openLocal(t, dir, c)
	c.now = c.now.Add(caLife)
	openLocal(t, dir, c)
	c.now = c.now.Add(time.Second)
	if _, err := OpenLocal(dir, c.Now); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA: %v", err)
	}
}

func TestLocalCertificatesServeTheirUseOnly(t *testing.T) {
	c := newClock()
	l := openLocal(t, t.TempDir(), c)
	server, err := l.Server("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	address, err := l.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.Client("pay", "spiffe://example.org/pay")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Client("pay", "::"); err == nil {
		t.Error("made a client certificate for a URI that is none")
	}
	for name, test := range map[string]struct {
		cert *tls.Certificate
		dns  string
		use  x509.ExtKeyUsage
		good bool
	}{
		"server":           {server, "api.example.com", x509.ExtKeyUsageServerAuth, true},
		"another name":     {server, "www.example.com", x509.ExtKeyUsageServerAuth, false},
		"address":          {address, "127.0.0.1", x509.ExtKeyUsageServerAuth, true},
		"another address":  {address, "127.0.0.2", x509.ExtKeyUsageServerAuth, false},
		"server as client": {server, "", x509.ExtKeyUsageClientAuth, false},
		"client":           {client, "", x509.ExtKeyUsageClientAuth, true},
		"client as server": {client, "", x509.ExtKeyUsageServerAuth, false},
	} {
		_, err := test.cert.Leaf.Verify(x509.VerifyOptions{Roots: l.Pool(), DNSName: test.dns, CurrentTime: c.now, KeyUsages: []x509.ExtKeyUsage{test.use}})
		if (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if client.Leaf.URIs[0].String() != "spiffe://example.org/pay" {
		t.Errorf("the client is %s", client.Leaf.URIs[0])
	}
}

func TestLocalServerIsRenewedWithAThirdOfItsLifeLeft(t *testing.T) {
	c := newClock()
	l := openLocal(t, t.TempDir(), c)
	get := func() *tls.Certificate {
		t.Helper()
		cert, err := l.Server("api.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get()
	c.now = first.Leaf.NotAfter.Add(-leafLife/3 - time.Second)
	if get() != first {
		t.Error("renewed with more than a third of its life left")
	}
	c.now = c.now.Add(time.Second)
	second := get()
	if second == first || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed with a third of its life left")
	}
	if get() != second {
		t.Error("renewed twice")
	}
}

func TestSerialsAreLongAndNeverTheSame(t *testing.T) {
	attacktest.Rows(t, 85)
	seen := map[string]bool{}
	longest := 0
	for range 1000 {
		n := serial()
		if n.Sign() <= 0 || len(n.Bytes()) > 20 || seen[n.String()] {
			t.Fatalf("serial number %s: not positive, too long, or seen before", n)
		}
		seen[n.String()], longest = true, max(longest, n.BitLen())
	}
	if longest < 64 {
		t.Errorf("serial numbers have %d bits, want at least 64", longest)
	}
}

func TestLocalServesManyAtOnce(t *testing.T) {
	l := openLocal(t, t.TempDir(), newClock())
	var wait sync.WaitGroup
	for _, name := range []string{"a.example", "b.example", "a.example", "b.example"} {
		wait.Go(func() {
			if cert, err := l.Server(name); err != nil || cert.Leaf.DNSNames[0] != name {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wait.Wait()
}

// writePair writes a certificate as its files, and says so in their times.
func writePair(t *testing.T, cert *tls.Certificate, certFile, keyFile string) {
	t.Helper()
	chain, key, err := EncodePEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, chain)
	write(t, keyFile, key)
}

// write gives each content of a file a later time than the one before.
func write(t *testing.T, name string, content []byte) {
	t.Helper()
	later := time.Now()
	if info, err := os.Stat(name); err == nil {
		later = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, later, later); err != nil {
		t.Fatal(err)
	}
}

func TestPairKeepsTheOldCertificateWhenTheNewOneIsBad(t *testing.T) {
	c := newClock()
	l := openLocal(t, t.TempDir(), c)
	dir := t.TempDir()
	certFile, key := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key")
	made := func() *tls.Certificate {
		t.Helper()
		cert, err := l.Client("a", "")
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := made()
	writePair(t, first, certFile, key)
	p, err := OpenPair(certFile, key, c.now)
	if err != nil {
		t.Fatal(err)
	}
	inForce := func(what string, want *tls.Certificate) {
		t.Helper()
		if !p.Certificate().Leaf.Equal(want.Leaf) {
			t.Errorf("%s: another certificate is in force", what)
		}
	}
	if changed, err := p.Reload(c.now); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	second := made()
	chain, _, err := EncodePEM(second)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{"half a file": []byte("-----BEGIN"), "nothing": nil, "another key's certificate": chain} {
		write(t, certFile, content)
		for range 2 { // reported until it is mended
			if changed, err := p.Reload(c.now); changed || err == nil || !strings.Contains(err.Error(), certFile) {
				t.Errorf("%s: %v, %v; want an error that names the file", what, changed, err)
			}
		}
		inForce(what, first)
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	if changed, err := p.Reload(c.now); changed || err == nil {
		t.Errorf("the key is away: %v, %v", changed, err)
	}
	inForce("the key is away", first)
	writePair(t, second, certFile, key)
	if changed, err := p.Reload(c.now); !changed || err != nil {
		t.Errorf("mended: %v, %v", changed, err)
	}
	inForce("mended", second)
	writePair(t, first, certFile, key)
	c.now = first.Leaf.NotAfter.Add(time.Second)
	if changed, err := p.Reload(c.now); changed || err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v, %v", changed, err)
	}
	inForce("expired", second)
	if _, err := OpenPair(certFile, key, c.now); err == nil {
		t.Error("an expired certificate was opened")
	}
}

// connection is one that reached an address.
type connection struct {
	net.Conn
	local net.Addr
}

func (c connection) LocalAddr() net.Addr { return c.local }

func TestCertificatesAreChosenByName(t *testing.T) {
	c := newClock()
	all, err := Open(map[string]Source{"api.example.com": {Kind: "local"}, "127.0.0.1": {Kind: "local"}}, Options{Folder: t.TempDir(), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	reached := func(addr string) net.Conn {
		return connection{local: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
	}
	for name, test := range map[string]struct {
		hello tls.ClientHelloInfo
		good  bool
	}{
		"its name":                  {tls.ClientHelloInfo{ServerName: "api.example.com"}, true},
		"in capitals":               {tls.ClientHelloInfo{ServerName: "API.example.com"}, true},
		"an unknown name":           {tls.ClientHelloInfo{ServerName: "evil.example.com"}, false},
		"an unknown name, known ip": {tls.ClientHelloInfo{ServerName: "evil.example.com", Conn: reached("127.0.0.1:443")}, false},
		"below a name":              {tls.ClientHelloInfo{ServerName: "x.api.example.com"}, false},
		"no name, known ip":         {tls.ClientHelloInfo{Conn: reached("127.0.0.1:443")}, true},
		"no name, mapped ip":        {tls.ClientHelloInfo{Conn: reached("[::ffff:127.0.0.1]:443")}, true},
		"no name, unknown ip":       {tls.ClientHelloInfo{Conn: reached("127.0.0.2:443")}, false},
		"nothing":                   {tls.ClientHelloInfo{}, false},
	} {
		cert, err := all.GetCertificate(&test.hello)
		if (err == nil) != test.good || (cert != nil) != test.good {
			t.Errorf("%s: %v, %v", name, cert != nil, err)
		}
	}
	if all.Local() == nil || len(all.Reload()) > 0 {
		t.Errorf("local CA %v, faults %v", all.Local(), all.Reload())
	}
}

func TestOpenSaysWhichHostCannotBeServed(t *testing.T) {
	for name, source := range map[string]Source{
		"unknown kind":  {Kind: "vault"},
		"no files":      {Kind: "files", Cert: "/nonexistent/a.pem", Key: "/nonexistent/a.key"},
		"no ACME roots": {Kind: "acme", Directory: "https://127.0.0.1:1/dir", Roots: "/nonexistent/roots.pem"},
	} {
		_, err := Open(map[string]Source{"api.example.com": source}, Options{Folder: t.TempDir(), Now: newClock().Now})
		if err == nil || !strings.Contains(err.Error(), "api.example.com") {
			t.Errorf("%s: %v, want an error that names the host", name, err)
		}
	}
}

func TestReadPoolWantsCertificates(t *testing.T) {
	dir := t.TempDir()
	l := openLocal(t, dir, newClock())
	pool, err := ReadPool(filepath.Join(dir, caFile))
	if err != nil || !pool.Equal(l.Pool()) {
		t.Errorf("the CA's own file: %v", err)
	}
	for _, name := range []string{keyFile, "none.pem"} {
		if _, err := ReadPool(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was read as a bundle", name)
		}
	}
}

func TestACMEThatFailsIsToldAndEndsWithClose(t *testing.T) {
	asked := make(chan struct{}, 100)
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(authority.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	write(t, roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}))
	dir := t.TempDir()
	all, err := Open(map[string]Source{"api.example.com": {Kind: "acme", Directory: authority.URL, Roots: roots}}, Options{Folder: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	var faults []error
	for deadline := time.Now().Add(20 * time.Second); len(faults) == 0 && time.Now().Before(deadline); runtime.Gosched() {
		faults = all.Reload()
	}
	if len(faults) != 1 || !strings.Contains(faults[0].Error(), "api.example.com") || !strings.Contains(faults[0].Error(), "listen.http") {
		t.Errorf("faults %v, want one that names the host and what to look at", faults)
	}
	if again := all.Reload(); len(again) != 0 {
		t.Errorf("told again: %v", again)
	}
	ours, theirs := net.Pipe()
	defer func() { _ = errors.Join(ours.Close(), theirs.Close()) }()
	if cert, err := all.GetCertificate(&tls.ClientHelloInfo{ServerName: "api.example.com", Conn: ours}); err == nil {
		t.Errorf("a certificate from nowhere: %v", cert.Leaf)
	}
	all.Close() // while it waits to try again
	if len(all.Reload()) != 0 {
		t.Error("the end of the upkeep was told as a failure")
	}
	if locks, err := filepath.Glob(filepath.Join(dir, "acme", "locks", "*")); err != nil || len(locks) > 0 {
		t.Errorf("locks were left behind: %v, %v", locks, err)
	}
}

func TestACMESaysWhatIsWrongWithAKeptCertificate(t *testing.T) {
	dir := t.TempDir()
	source := Source{Kind: "acme", Directory: "https://127.0.0.1:1/dir"}
	folder := filepath.Join(dir, "acme", "certificates", "127.0.0.1-1-dir", "api.example.com")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".crt", ".key", ".json"} {
		write(t, filepath.Join(folder, "api.example.com"+ending), []byte("{}"))
	}
	_, err := Open(map[string]Source{"api.example.com": source}, Options{Folder: dir, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v, want an error that says what to do", err)
	}
}

// The gateway's own certificate proves a client, under a name that upstreams can ask
// for, and is made anew before it ends.
func TestTheGatewaysOwnCertificate(t *testing.T) {
	now := time.Now()
	local, err := OpenLocal(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	own := func() *x509.Certificate {
		cert, err := local.Own("pavise")
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	first := own()
	if _, err := first.Verify(x509.VerifyOptions{Roots: local.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if len(first.URIs) != 1 || first.URIs[0].String() != "spiffe://pavise/gateway" || len(first.DNSNames) > 0 {
		t.Errorf("names %v %v", first.URIs, first.DNSNames)
	}
	if now = now.Add(50 * 24 * time.Hour); !own().Equal(first) {
		t.Error("made anew long before its end")
	}
	if now = now.Add(15 * 24 * time.Hour); own().Equal(first) {
		t.Error("not made anew before its end")
	}
}
