package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func pavise() contender {
	return contender{
		name:    "Pavise",
		version: func(_ context.Context, t *track) (string, error) { return t.built, nil },
		start:   startPavise,
	}
}

// paviseConfig leaves everything on that is on by itself: events in the chained log,
// the token that tells the upstream who calls, limits, headers. Only the bounds of one
// address are raised, because all callers here have the same.
const paviseConfig = `listen: {https: "{{open}}"}
hosts:
  api.example.com: {certificate: {cert: api.example.com.pem, key: api.example.com.key}}
  partners.example.com:
    certificate: {cert: partners.example.com.pem, key: partners.example.com.key}
    client_certificates: ask
issuers:
  corp: {url: "https://login.example.com", jwks: keys.json, audience: orders, may_grant: ["orders:*"]}
limits: {address: 100000000/minute, connections_per_address: 4096, handshakes: 100000000/minute}
oauth: {issuer: "https://api.example.com", access_token: 12h, limit: 10000000/second}
apis:
  own:
    host: api.example.com
    upstream: "http://{{upstream}}"
    shield: {any: [jwt: {}, introspect: {}]}
    endpoints: {GET /own: {scopes: [orders:read]}}
  open:
    host: api.example.com
    upstream: "http://{{upstream}}"
    shield: {public: "the benchmark's row without a shield"}
    endpoints: {GET /open: {scopes: any}}
  key:
    host: api.example.com
    upstream: "http://{{upstream}}"
    shield: api_key
    endpoints: {GET /key: {scopes: [orders:read]}}
  jwt:
    host: api.example.com
    upstream: "http://{{upstream}}"
    shield: {jwt: corp}
    endpoints:
      GET /rs256: {scopes: [orders:read]}
      GET /es256: {scopes: [orders:read]}
  hmac:
    host: api.example.com
    upstream: "http://{{upstream}}"
    shield: hmac
    endpoints: {POST /hmac: {scopes: [orders:read]}}
  mtls:
    host: partners.example.com
    upstream: "http://{{upstream}}"
    shield: {mtls: ca.pem}
    endpoints: {GET /mtls: {scopes: [orders:read]}}
  mine:
    host: partners.example.com
    upstream: "http://{{upstream}}"
    shield: mtls
    endpoints: {GET /mine: {scopes: [orders:read]}}
pki: {host: partners.example.com, enrol_per_minute: 1000000, renew_per_minute: 1000000}
scopes: {orders:read: See orders}
`

func startPavise(ctx context.Context, t *track) (*running, error) {
	addresses, err := free(1)
	if err != nil {
		return nil, err
	}
	config := t.fill(paviseConfig, append(addresses, addresses...))
	file := t.path("pavise.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	if _, err := t.pv(ctx, file, "ca", "init"); err != nil {
		return nil, err
	}
	command := []string{t.pavise, "serve", "-c", file}
	if profile := t.profileOf("pavise"); profile != "" {
		command = []string{t.self, "profiled", file, profile}
	}
	r, err := launch(ctx, t.path("pavise.out"), gatewayCore, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	r.open, r.mutual, r.setup = addresses[0], addresses[0], fenced("yaml", paviseConfig)
	if err := r.ready(ctx, addresses...); err != nil {
		return nil, err
	}
	if r.proofs, err = t.credentials(ctx, file); err != nil {
		return r, err
	}
	if _, err := t.pv(ctx, file, "cert", "issue", "shop", "--out", t.path("mine.pem")); err != nil {
		return r, err
	}
	return r, t.registrations(ctx, file, r)
}

// credentials makes a client with its credentials, as an operator would.
func (t *track) credentials(ctx context.Context, file string) (map[string][]secret, error) {
	if _, err := t.pv(ctx, file, "client", "create", "shop", "--scope", "orders:read"); err != nil {
		return nil, err
	}
	if _, err := t.pv(ctx, file, "key", "create", "--client", "shop", "--kind", "mtls", "--set", "name=uri:spiffe://example.com/bench"); err != nil {
		return nil, err
	}
	proofs := map[string][]secret{"rs256": t.tokens["rs256"], "es256": t.tokens["es256"]}
	for proof, kind := range map[string]struct {
		name string
		many int
	}{"key": {"api_key", 100}, "hmac": {"hmac", 100}} {
		for range kind.many {
			text, err := t.pv(ctx, file, "key", "create", "--client", "shop", "--kind", kind.name, "--json")
			if err != nil {
				return nil, err
			}
			var made struct {
				Credential struct{ ID string }
				Secret     string
			}
			if err := json.Unmarshal(text, &made); err != nil || made.Secret == "" {
				return nil, fmt.Errorf("pavise key create wrote no secret: %w", err)
			}
			proofs[proof] = append(proofs[proof], secret{made.Credential.ID, made.Secret})
		}
	}
	return proofs, nil
}

func (t *track) pv(ctx context.Context, file string, args ...string) ([]byte, error) {
	return t.pvReads(ctx, file, "", args...)
}

// pvReads runs a command that reads a text.
func (t *track) pvReads(ctx context.Context, file, stdin string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, t.pavise, append(args, "-c", file)...)
	command.Stdin = strings.NewReader(stdin)
	text, err := command.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		return nil, fmt.Errorf("pavise %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	return text, err
}
