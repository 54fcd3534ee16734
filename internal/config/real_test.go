package config_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/jwt"
	"pavise.dev/pavise/shield/mtls"
	"pavise.dev/pavise/shield/public"
)

// The settings of the kinds that there are can be decoded and described.
func TestTheKindsThatThereAre(t *testing.T) {
	kinds := []shield.Kind{apikey.Kind(), jwt.Kind(), hmac.Kind(), mtls.Kind(), public.Kind()}
	schema, err := config.Schema(kinds)
	if err != nil || !strings.Contains(string(schema), "hmac.settings") {
		t.Fatalf("schema %.100s, %v", schema, err)
	}
	text := strings.Replace(base, "shield: api_key", `shield: {any: [{jwt: corp}, {hmac: {window: 30s, headers: idempotency-key}}, {api_key: {environment: live}}]}`, 1)
	text = strings.Replace(text, "shield: mtls", "shield: {mtls: {trust: partners.pem}}", 1)
	f, err := config.Parse(config.Source{Name: "pavise.yaml", Text: []byte(text)}, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	if changes := config.Diff(f, mustParse(t, base)); len(changes) == 0 {
		t.Error("no difference between different files")
	}
	for name, c := range map[string]struct{ shield, want string }{
		"an issuer that nobody names":          {"{jwt: crop}", `issuer "crop" is not named under issuers`},
		"certificates on a host without them":  {"{mtls: {trust: partners.pem}}", "never asks for one"},
		"bound tokens on a host without them":  {"{jwt: {issuer: corp, certificate_bound: true}}", "never asks for one"},
		"browsers with a key for a bad reason": {"{api_key: {insecure_allow_browsers: yes}}", "needs a reason"},
	} {
		text := strings.Replace(base, "shield: api_key", "shield: "+c.shield, 1)
		text = strings.Replace(text, "shield: mtls", "shield: {mtls: {trust: partners.pem}}", 1)
		if _, tells := mtls.Kind().Config().(config.CertificateUser); !tells && c.want == "never asks for one" {
			continue // found when the shield is opened
		}
		_, err := config.Parse(config.Source{Name: "pavise.yaml", Text: []byte(text)}, kinds...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	starter := config.Starter("http://127.0.0.1:3000", "127.0.0.1")
	if _, err := config.Parse(config.Source{Name: "pavise.yaml", Text: starter}, kinds...); err != nil {
		t.Errorf("the starter: %v", err)
	}
}
