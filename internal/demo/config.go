package demo

import "fmt"

// configuration is the demo's pavise.yaml.
func configuration(listen, upstream string) []byte {
	return fmt.Appendf(nil, `# The demo's configuration. Change it while the demo runs: `+"`pavise serve`"+` reads it the same way.
listen: {https: %q}

hosts:
  127.0.0.1: {certificate: local, client_certificates: ask}

# Tokens of this issuer are trusted, as far as may_grant says. A real one is
# named by its URL alone; the demo's keys are in a file.
issuers:
  demo: {url: %q, jwks: issuer.json, may_grant: ["orders:*"]}

apis:
  orders:
    host: 127.0.0.1
    upstream: %s
    identity: {headers: {Pavise-Client: client}}
    limit: 600/minute per client
    endpoints:
      GET /health:         {shield: {public: load balancers ask whether we live}}
      GET /v1/catalog:     {shield: api_key, scopes: [catalog:read]}
      GET /v1/orders/{id}: {shield: {any: [{jwt: {issuer: demo}}, api_key]}, scopes: [orders:read]}
      POST /v1/orders:     {shield: {jwt: {issuer: demo}}, scopes: [orders:write]}
      POST /v1/payments:   {shield: hmac, scopes: [payments:write], limit: 60/minute per client}
      GET /v1/reports:     {shield: {mtls: {trust: pavise-data/local-ca/ca.pem}}, scopes: [reports:read]}
      POST /v1/transfers:
        shield: {all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, hmac]}
        scopes: [payments:write]

scopes:
  catalog:read: See what is for sale
  orders:read: See your orders
  orders:write: Place orders for you
  payments:write: Pay
  reports:read: Read reports
`, listen, issuerURL, upstream)
}
