package interop

import (
	"net/http"
	"testing"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attacktest"
)

const issuerDocument = `openapi: 3.1.0
info: {title: An OpenID provider, version: "1"}
paths:
  /.well-known/openid-configuration: {get: {responses: {"200": {description: what it can do}}}}
  /jwks: {get: {responses: {"200": {description: its keys}}}}
  /auth:
    get:
      parameters: [{name: client_id, in: query, schema: {type: string}, example: web}, {name: redirect_uri, in: query, schema: {type: string, format: uri}}, {name: state, in: query, schema: {type: string}}]
      responses: {"303": {description: a page}}
  /me:
    get: {security: [{basic: []}], responses: {"200": {description: who it is}}}
  /token:
    post:
      security: [{basic: []}]
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: {type: object, properties: {grant_type: {type: string, enum: [client_credentials]}, scope: {type: string, enum: ["orders:read"]}, resource: {type: string, enum: ["urn:orders:ES256"]}}}
      responses: {"200": {description: a token}}
components: {securitySchemes: {basic: {type: http, scheme: basic}}}
`

// TestNothingIsInventedOfAnIssuerThatNobodyHereWrote: row 152.
func TestNothingIsInventedOfAnIssuerThatNobodyHereWrote(t *testing.T) {
	attacktest.Rows(t, 152)
	ca, cert, key := identify(t)
	secret := "a-secret-of-the-client-of-the-issuer"
	_, port := ready(t, []string{"CLIENT_SECRET=" + secret, "GATEWAY_SECRET=" + gatewaySecret}, "node", "issuer.mjs", cert, key)
	p, err := attack.NewProber(t.Context(), attack.Settings{Target: "https://127.0.0.1:" + port, Roots: ca.Pool(), PerSecond: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	web := &attack.User{Name: "web", Sign: func(r *http.Request) error { r.SetBasicAuth("web", secret); return nil }}
	plan, err := foreign.Plan(foreign.Target{Document: []byte(issuerDocument), Name: "issuer.yaml", Base: true, Users: []*attack.User{web}, Allowed: attack.Writes | attack.Destroys})
	if err != nil {
		t.Fatal(err)
	}
	report, err := attack.Run(t.Context(), p, plan, attack.Options{Allowed: attack.Writes | attack.Destroys})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("invented %s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
	}
	t.Log(report.About)
}
