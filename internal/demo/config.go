package demo

import (
	_ "embed"
	"fmt"
	"time"
)

// contract describes the orders API; its file stands beside the configuration.
//
//go:embed orders.openapi.yaml
var contract []byte

const contractFile = "orders.openapi.yaml"

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
func configuration(listen, upstream, provider string, now time.Time) []byte {
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
    openapi: orders.openapi.yaml
    identity: {headers: {Pavise-Client: client, Pavise-User: user, Pavise-Issuer: issuer}}
    limit: 6000/minute per client
    endpoints:
      GET /health:         {shield: {public: load balancers ask whether we live}}
      GET /v1/catalog:     {shield: api_key, scopes: [catalog:read]}
      GET /v1/orders/{id}: {shield: {any: [{jwt: {issuer: [pavise, demo]}}, api_key]}, scopes: [orders:read]}
      POST /v1/orders:     {shield: {jwt: {issuer: demo}}, scopes: [orders:write]}
      POST /v1/payments:   {shield: hmac, scopes: [payments:write], limit: 600/minute per client}
      GET /v1/reports:     {shield: {mtls: {trust: pavise-data/local-ca/ca.pem}}, scopes: [reports:read]}
      POST /v1/transfers:
        shield: {all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, hmac]}
        scopes: [payments:write]

# You are going to try what is wrong, with pavise attack hundreds of times: others may 20 times a minute, before
# they are slowed down. pavise check knows why.
limits: {wrong_tries: 1000}
waivers:
  - {rule: wrong-tries-many, where: limits.wrong_tries, reason: "the demo is there to be attacked", until: %[5]q}

scopes:
  catalog:read: See what is for sale
  orders:read: See your orders
  orders:write: Place orders for you
  payments:write: Pay
  reports:read: Read reports
`, listen, issuerURL, upstream, provider, now.AddDate(0, 3, 0).Format(time.DateOnly))
}
