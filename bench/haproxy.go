package main

import (
	"context"
	"crypto/rand"
	"os"
)

func haproxy() contender {
	return contender{
		name:    "HAProxy",
		rows:    []string{"open", "key", "jwt-rs256-1", "jwt-rs256-1000", "jwt-es256-1", "jwt-es256-1000", "tls-new", "mtls", "mtls-new", "mtls-again"},
		version: func(ctx context.Context, _ *track) (string, error) { return output(ctx, "haproxy", "-v") },
		start:   startHAProxy,
	}
}

const haproxyConfig = `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0 info
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend open
  bind {{open}} ssl crt {{dir}}/api.example.com.both alpn http/1.1
  acl key path /key
  acl rs256 path /rs256
  acl es256 path /es256
  acl jwt path /rs256 /es256
  http-request deny deny_status 401 if key !{ req.hdr(x-api-key),map_str({{dir}}/haproxy.keys) -m found }
  http-request del-header x-api-key if key
  http-request set-var(txn.token) http_auth_bearer if jwt
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg') if jwt
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int') if jwt
  http-request set-var(txn.now) date() if jwt
  http-request deny deny_status 401 if rs256 !{ var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 if es256 !{ var(txn.alg) -m str ES256 }
  http-request deny deny_status 401 if jwt { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 if jwt !{ var(txn.token),jwt_payload_query('$.iss') -m str https://login.example.com }
  http-request deny deny_status 401 if jwt !{ var(txn.token),jwt_payload_query('$.aud') -m str orders }
  http-request deny deny_status 401 if rs256 !{ var(txn.token),jwt_verify(txn.alg,"{{dir}}/rs256.pub") -m int 1 }
  http-request deny deny_status 401 if es256 !{ var(txn.token),jwt_verify(txn.alg,"{{dir}}/es256.pub") -m int 1 }
  http-request del-header authorization if jwt
  default_backend behind
frontend mutual
  bind {{mutual}} ssl crt {{dir}}/partners.example.com.both alpn http/1.1 ca-file {{dir}}/ca.pem verify required
  default_backend behind
backend behind
  http-reuse always
  option forwardfor
  server one {{upstream}} pool-max-conn 256
`

func startHAProxy(ctx context.Context, t *track) (*running, error) {
	addresses, err := free(2)
	if err != nil {
		return nil, err
	}
	keys := plainKeys(100)
	if err := os.WriteFile(t.path("haproxy.keys"), []byte(lines(keys, "%s client-%d")), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(t.path("haproxy.cfg"), []byte(t.fill(haproxyConfig, addresses)), 0o600); err != nil {
		return nil, err
	}
	r, err := launch(ctx, t.path("haproxy.log"), gatewayCore, "haproxy", "-db", "-f", t.path("haproxy.cfg"))
	if err != nil {
		return nil, err
	}
	r.open, r.mutual = addresses[0], addresses[1]
	r.proofs, r.setup = map[string][]secret{"key": keys}, fenced("", haproxyConfig)
	return r, r.ready(ctx, addresses...)
}

// plainKeys are keys for programs that keep them as they are, in a table.
func plainKeys(n int) []secret {
	keys := make([]secret, n)
	for i := range keys {
		keys[i] = secret{Secret: rand.Text() + rand.Text()}
	}
	return keys
}
