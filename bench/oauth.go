package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/dpop"
)

// registrations makes clients of the authorization server as an operator would, and gets
// the tokens that the callers carry.
func (t *track) registrations(ctx context.Context, file string, r *running) error {
	for id, more := range map[string][]string{
		"machine": nil, "opaque": {"--tokens", "opaque"}, "service": {"--serves", "own"}, "web": {"--redirect", person.Back},
	} {
		text, err := t.pv(ctx, file, append([]string{"client", "create", id, "--scope", "orders:read", "--oauth", "-q"}, more...)...)
		if err != nil {
			return err
		}
		r.proofs[id] = []secret{{id, strings.TrimSpace(string(text))}}
	}
	var err error
	if r.cookie, err = t.person(ctx, file, r); err != nil {
		return fmt.Errorf("sign somebody in: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	r.key = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	prover, err := dpop.NewProver(key, "ES256", time.Now)
	if err != nil {
		return err
	}
	for proof, of := range map[string]struct {
		client string
		prover *dpop.Prover
	}{"own": {"machine", nil}, "own-opaque": {"opaque", nil}, proofDPoP: {"machine", prover}} {
		token, err := t.token(ctx, r.open, r.proofs[of.client][0], of.prover)
		if err != nil {
			return err
		}
		r.asked++
		r.proofs[proof] = []secret{{proof, token}}
	}
	return nil
}

// transport trusts the program at an address.
func (t *track) transport(address string) (*http.Transport, error) {
	ca, err := os.ReadFile(t.path("ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: openHost, MinVersion: tls.VersionTLS13},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}, nil
}

// token asks for an access token of a client's own.
func (t *track) token(ctx context.Context, address string, of secret, prover *dpop.Prover) (string, error) {
	transport, err := t.transport(address)
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	form := url.Values{"grant_type": {"client_credentials"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+openHost+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(of.ID, of.Secret)
	if prover != nil {
		if err := prover.Sign(r, ""); err != nil {
			return "", err
		}
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // only read
	var made struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || made.Token == "" {
		return "", fmt.Errorf("ask for a token: status %d (%v)", answer.StatusCode, err)
	}
	return made.Token, nil
}
