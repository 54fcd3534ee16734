package demo

import (
	"fmt"
	"strings"
)

// Attempt is one endpoint of the demo with what to try on it.
type Attempt struct {
	Endpoint, Shield, Why string
	Passes, Refused       string // commands
	Status, Code          string // of the refusal
}

// print shows every endpoint with one command that passes and one that does not.
func (s *Settings) print(h *held) {
	_, _ = fmt.Fprintf(s.Out, `Pavise guards an orders API at https://%s (everything is in %s).
For each endpoint: which shield guards it and why, a command that passes, and one that is refused.
Paste them into another terminal. Ctrl-C ends the demo.
`, h.address, s.Folder)
	for _, a := range s.attempts(h) {
		_, _ = fmt.Fprintf(s.Out, "\n%s   shield: %s\n  %s\n  passes   $ %s\n  refused  $ %s\n           %s %s\n",
			a.Endpoint, a.Shield, a.Why, a.Passes, a.Refused, a.Status, a.Code)
	}
	_, _ = fmt.Fprintf(s.Out, `
In a browser   people, and an app of somebody else
  Parcel Pal is an app that wants to read orders. It sends you to the authorization server of this demo, which asks who you are and
  what you allow; then it calls GET /v1/orders/{id} for you. Your browser warns: the certificates are of the demo's own CA, %s.
  app        %s
  sign in    %s with the password %s
             or "the other provider", where %s has the password %s
  your page  https://%s/account: take back what you allowed, and look at the app again
`, h.ca, h.app, h.ann.login, h.ann.password, h.ben.login, h.ben.password, h.address)
	_, _ = fmt.Fprintf(s.Out, `
Attack it      as an insider: two people who may place orders, each trying to get at what is the other's
  attack     $ %s attack https://%s --ca %s --openapi %s --as ann=%s --as bea=%s --allow writes,destroys
`, s.Program, h.address, h.ca, s.path(contractFile), s.path("ann.headers"), s.path("bea.headers"))
	_, _ = fmt.Fprintf(s.Out, "\nEvery answer has an X-Request-Id. What happened to a request, and why:\n  $ %s explain -c %s REQUEST-ID\n", s.Program, s.path("pavise.yaml"))
}

// attempts are the endpoints in the order of what their shields stop.
func (s *Settings) attempts(h *held) []Attempt {
	curl := fmt.Sprintf(`curl -sS -w '%%{http_code}\n' --cacert %s`, h.ca)
	url := "https://" + h.address
	call := fmt.Sprintf("%s call --ca %s", s.Program, h.ca)
	signed := fmt.Sprintf("PAVISE_HMAC_ID=%s PAVISE_HMAC_SECRET=%s %s", h.hmacID, h.hmacSecret, call)
	certificate := fmt.Sprintf("--cert %s --key %s", h.cert, h.certKey)
	const order, payment = `-H 'Content-Type: application/json' -d '{"item":"coat","count":1}'`, `--data '{"amount":20}' --header 'Content-Type: application/json'`
	return []Attempt{
		{
			"GET /health", "public", "a load balancer has no credential, and there is nothing to protect",
			curl + " " + url + "/health", curl + " -X DELETE " + url + "/health", "405", "method_not_allowed",
		},
		{
			"GET /v1/catalog", "api_key", "applications are to be told apart, metered and switched off; the data is nobody's in particular",
			fmt.Sprintf("%s -H 'X-API-Key: %s' %s/v1/catalog", curl, h.key, url), curl + " " + url + "/v1/catalog", "401", "missing_credential",
		},
		{
			"GET /v1/orders/{id}", "any of jwt, api_key", "people come with a token of their sign-in, the shop's own back office with a key; either must have the scope",
			fmt.Sprintf("%s -H 'Authorization: Bearer %s' %s/v1/orders/7", curl, h.token, url),
			fmt.Sprintf("%s -H 'X-API-Key: %s' %s/v1/orders/7", curl, h.readOnlyKey, url), "403", "insufficient_scope",
		},
		{
			"POST /v1/orders", "jwt", "an order is placed for a person, so a token must say for whom, and that she agreed",
			fmt.Sprintf("%s -H 'Authorization: Bearer %s' %s %s/v1/orders", curl, h.token, order, url),
			fmt.Sprintf("%s -H 'Authorization: Bearer %s' %s %s/v1/orders", curl, tampered(h.token), order, url), "401", "invalid_credential",
		},
		{
			"POST /v1/payments", "hmac", "a payment must not be changed on its way, nor sent twice",
			fmt.Sprintf("%s POST %s/v1/payments %s", signed, url, payment),
			fmt.Sprintf("%s POST %s/v1/payments %s", call, url, payment), "401", "missing_credential",
		},
		{
			"GET /v1/reports", "mtls", "a service calls another: no secret is ever sent, and the certificate ends by itself",
			fmt.Sprintf("%s %s %s/v1/reports", curl, certificate, url), curl + " " + url + "/v1/reports", "401", "missing_credential",
		},
		{
			"POST /v1/transfers", "all of mtls, hmac", "where most is at stake: the right machine, and the right request, of one client",
			fmt.Sprintf("%s %s POST %s/v1/transfers %s", signed, certificate, url, payment),
			fmt.Sprintf("%s POST %s/v1/transfers %s", signed, url, payment), "401", "missing_credential",
		},
	}
}

// tampered changes the claims of a token and keeps its signature.
func tampered(token string) string {
	parts := strings.Split(token, ".")
	claims := []byte(parts[1])
	claims[len(claims)/2] ^= 1 << 1
	if c := claims[len(claims)/2]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
		claims[len(claims)/2] = 'A'
	}
	return parts[0] + "." + string(claims) + "." + parts[2]
}
