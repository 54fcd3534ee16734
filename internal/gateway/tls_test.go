package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

func roots(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool
}

// selfSigned makes a certificate for a name, good as a server's and a client's.
func selfSigned(t testing.TB, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func secureService(t *testing.T, config *tls.Config) *httptest.Server {
	t.Helper()
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			w.Header().Set("X-Peer", r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	service.Config.ErrorLog = quietLog()
	service.TLS = config
	service.StartTLS()
	t.Cleanup(service.Close)
	return service
}

func TestUpstreamsProveTheirName(t *testing.T) {
	cert := selfSigned(t, "pay.internal")
	service := secureService(t, &tls.Config{Certificates: []tls.Certificate{*cert}})
	for name, c := range map[string]struct {
		tls    gateway.TLS
		status int
		detail string
	}{
		"right name":   {gateway.TLS{Roots: roots(cert.Leaf), ServerName: "pay.internal"}, 200, ""},
		"wrong name":   {gateway.TLS{Roots: roots(cert.Leaf), ServerName: "other.internal"}, 502, "pay.internal, not other.internal"},
		"address only": {gateway.TLS{Roots: roots(cert.Leaf)}, 502, "set server_name"},
		"unknown CA":   {gateway.TLS{Roots: x509.NewCertPool(), ServerName: "pay.internal"}, 502, "set ca"},
		"unverified":   {gateway.TLS{InsecureSkipVerify: "a test without a CA"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := guardless(t, gateway.Settings{Addresses: []string{service.URL}, TLS: c.tls}, false)
			for range 2 {
				response, body := f.ask(simpleGet)
				if response.StatusCode != c.status {
					t.Fatalf("%d, %v", response.StatusCode, f.refusal())
				}
				if c.status == 502 {
					if r := f.refusal(); r.Code != shield.UpstreamFailed || !strings.Contains(r.Detail, c.detail) {
						t.Errorf("%v", r)
					}
					if strings.Contains(body, "internal") {
						t.Errorf("the caller is told %q", body)
					}
				}
			}
		})
	}
}

func TestOldTLSIsNotSpoken(t *testing.T) {
	cert := selfSigned(t, "pay.internal")
	for version, status := range map[uint16]int{tls.VersionTLS11: 502, tls.VersionTLS12: 200, tls.VersionTLS13: 200} {
		service := secureService(t, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS10, MaxVersion: version})
		f := guardless(t, gateway.Settings{Addresses: []string{service.URL}, TLS: gateway.TLS{Roots: roots(cert.Leaf), ServerName: "pay.internal"}}, false)
		if response, _ := f.ask(simpleGet); response.StatusCode != status {
			t.Errorf("version %x: %d, want %d", version, response.StatusCode, status)
		}
	}
}

func TestOurOwnCertificateIsShownAndReloaded(t *testing.T) {
	server := selfSigned(t, "pay.internal")
	first, second := selfSigned(t, "gateway-1"), selfSigned(t, "gateway-2")
	service := secureService(t, &tls.Config{
		Certificates: []tls.Certificate{*server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots(first.Leaf, second.Leaf),
	})
	var current atomic.Pointer[tls.Certificate]
	current.Store(first)
	f := guardless(t, gateway.Settings{
		Addresses: []string{service.URL},
		TLS:       gateway.TLS{Roots: roots(server.Leaf), ServerName: "pay.internal", Certificate: current.Load},
	}, false)
	if response, _ := f.ask(simpleGet); response.Header.Get("X-Peer") != "gateway-1" {
		t.Errorf("%d, the upstream saw %q", response.StatusCode, response.Header.Get("X-Peer"))
	}
	current.Store(second)
	service.CloseClientConnections()
	waitFor(t, "the new certificate", func() bool {
		response, _ := f.ask(simpleGet)
		return response.Header.Get("X-Peer") == "gateway-2"
	})
	without := guardless(t, gateway.Settings{Addresses: []string{service.URL}, TLS: gateway.TLS{Roots: roots(server.Leaf), ServerName: "pay.internal"}}, false)
	if response, _ := without.ask(simpleGet); response.StatusCode != 502 {
		t.Errorf("%d without a certificate", response.StatusCode)
	}
}

func TestAPeerThatNeverAnswersTheHandshakeTimesOut(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	f := guardless(t, gateway.Settings{Addresses: []string{"https://" + silent.Addr().String()}, Timeouts: gateway.Timeouts{Connect: 50 * time.Millisecond}}, false)
	if response, _ := f.ask(simpleGet); response.StatusCode != 504 || f.refusal().Code != shield.UpstreamTimeout {
		t.Errorf("%d %v", response.StatusCode, f.refusal())
	}
}

func TestTheCallersCertificateIsHandedOnWhereAsked(t *testing.T) {
	cert := selfSigned(t, "device-7")
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, ClientCertificate: func(r *http.Request) *x509.Certificate {
		if r.URL.Path == "/with" {
			return cert.Leaf
		}
		return nil
	}}, false)
	f.ask("GET /with HTTP/1.1\r\nHost: h\r\nClient-Cert: :forged:\r\n\r\n")
	f.ask("GET /without HTTP/1.1\r\nHost: h\r\nClient-Cert: :forged:\r\n\r\n")
	seen := up.requests()
	if got := fieldsOf(seen[0])["Client-Cert"]; len(got) != 1 || !strings.HasPrefix(got[0], ":MII") || !strings.HasSuffix(got[0], ":") {
		t.Errorf("%q", got)
	}
	if got := fieldsOf(seen[1])["Client-Cert"]; got != nil {
		t.Errorf("%q", got)
	}
}
