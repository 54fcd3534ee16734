package harness

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/renewed"
)

// makeAuthority does what `pavise ca init` does while no gateway runs.
func (g *Gateway) makeAuthority(n pki.Init) {
	g.T.Helper()
	file, err := app.Load(g.path("pavise.yaml"))
	if err != nil {
		g.T.Fatalf("load the configuration:\n%v", err)
	}
	state, err := app.OpenState(context.Background(), file, app.StateOptions{Now: g.Clock.Now})
	if err != nil {
		g.T.Fatalf("open the state: %v", err)
	}
	if _, err := state.Authority.Init(context.Background(), n); err != nil {
		g.T.Errorf("make the authority: %v", err)
	}
	if err := state.Close(); err != nil {
		g.T.Fatalf("close the state: %v", err)
	}
}

// Certificate issues a certificate of the gateway's authority.
func (g *Gateway) Certificate(n pki.Request) *tls.Certificate {
	g.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.T.Fatal(err)
	}
	return g.Certify(n, key)
}

// Certify issues a certificate for a key.
func (g *Gateway) Certify(n pki.Request, key crypto.Signer) *tls.Certificate {
	g.T.Helper()
	issued, _, err := g.App.State.Authority.Issue(g.T.Context(), n, &pki.SigningRequest{Key: key.Public()})
	if err != nil {
		g.T.Fatalf("issue a certificate: %v", err)
	}
	g.refresh()
	pair, err := renewed.Pair(issued.Chain, key)
	if err != nil {
		g.T.Fatal(err)
	}
	return pair
}

// Roots are those of the gateway's authority.
func (g *Gateway) Roots() []*x509.Certificate {
	g.T.Helper()
	roots, err := g.App.State.Authority.Roots()
	if err != nil {
		g.T.Fatal(err)
	}
	return roots
}

// Mutual is a client's TLS configuration: it trusts the authority, and presents a
// certificate (nil: none).
func (g *Gateway) Mutual(c *tls.Certificate) *tls.Config {
	g.T.Helper()
	pool := x509.NewCertPool()
	for _, root := range g.Roots() {
		pool.AddCert(root)
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if c != nil {
		config.Certificates = []tls.Certificate{*c}
	}
	return config
}
