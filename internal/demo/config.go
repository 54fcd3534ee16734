package demo

import "fmt"

// providerConfiguration is that of the second provider, which does nothing but sign people in.
func providerConfiguration(listen, issuer string) []byte {
	return fmt.Appendf(nil, `# The demo's second provider: the authorization server of another installation.
listen: {https: %q}
hosts: {localhost: {certificate: local}}
oauth: {issuer: %q}
apis:
  health:
    host: localhost
    upstream: http://127.0.0.1:9
    shield: {public: "a provider guards nothing but itself"}
    endpoints: {GET /health: {scopes: any}}
scopes: {profile: Your name}
`, listen, issuer)
}

// configuration is the demo's pavise.yaml.
func configuration(listen, upstream, provider string) []byte {
	return fmt.Appendf(nil, `# The demo's configuration. Change it while the demo runs: `+"`pavise serve`"+` reads it the same way.
listen: {https: %[1]q}

hosts:
  127.0.0.1: {certificate: local, client_certificates: ask}

# Tokens of this issuer are trusted, as far as may_grant says. A real one is
# named by its URL alone; the demo's keys are in a file.
issuers:
  demo: {url: %[2]q, jwks: issuer.json, may_grant: ["orders:*"]}

# People sign in here, or at the second provider, and allow other people's apps what
# they ask for. Tokens of this server are trusted as "pavise".
oauth:
  issuer: "https://%[1]s"
  sign_in:
    providers:
      staff:
        title: the other provider
        issuer: %[4]q
        client_id: orders-shop
        client_secret_file: provider.secret
        accounts: create
        ca: provider/pavise-data/local-ca/ca.pem
fetch: {allow: [localhost, 127.0.0.1]}

apis:
  orders:
    host: 127.0.0.1
    upstream: %[3]s
    identity: {headers: {Pavise-Client: client}}
    limit: 600/minute per client
    endpoints:
      GET /health:         {shield: {public: load balancers ask whether we live}}
      GET /v1/catalog:     {shield: api_key, scopes: [catalog:read]}
      GET /v1/orders/{id}: {shield: {any: [{jwt: {issuer: [pavise, demo]}}, api_key]}, scopes: [orders:read]}
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
`, listen, issuerURL, upstream, provider)
}
