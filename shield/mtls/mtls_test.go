package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

func fixture() shieldtest.Fixture {
	return shieldtest.Fixture{
		Prepare: func(t testing.TB, w *shieldtest.World) (shield.Config, shield.Credential) {
			ca := newAuthority(t, w.Now(), "Clients")
			w.WriteFile("ca.pem", bundle(ca.cert))
			key := newKey(t)
			leaf := ca.leafFor(key.Public())
			return &Config{Trust: []string{"ca.pem"}, Allow: []Rule{{DNS: "pay.internal"}}},
				shield.Credential{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}}}
		},
		Wrong: []shieldtest.Wrong{
			{Name: "the good certificate eleven times", Code: shield.InvalidCredential, Change: func(r *http.Request) error {
				for len(r.TLS.PeerCertificates) <= maxChain {
					r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, r.TLS.PeerCertificates[0])
				}
				return nil
			}},
		},
	}
}

func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), fixture()) }

func FuzzVerify(f *testing.F) { shieldtest.Fuzz(f, Kind(), fixture()) }

func serialOf(n int64) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) }
}

func lasting(from, until time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, until }
}
