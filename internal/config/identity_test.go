package config_test

import (
	"strings"
	"testing"
)

// Beside every refusal an acceptance: names that are told apart, or come from one place.
func TestPlainNamesThatAreToldApartAreAccepted(t *testing.T) {
	for name, lines := range map[string]string{
		"with the issuer beside":       "    identity: {headers: {X-User: user, X-Issuer: issuer}}\n    shield: {any: [{jwt: {issuer: corp}}, {jwt: {issuer: other}}]}\n",
		"of one issuer":                "    identity: {headers: {X-User: user, X-Sub: subject}}\n    shield: {jwt: {issuer: corp}}\n",
		"of an issuer, beside keys":    "    identity: {headers: {X-User: user}}\n    shield: {any: [{jwt: {issuer: corp}}, api_key]}\n",
		"of keys alone":                "    identity: {headers: {X-Sub: subject}}\n    shield: api_key\n",
		"clients, who have full names": "    identity: {headers: {X-Client: client}}\n    shield: {any: [{jwt: {issuer: corp}}, {jwt: {issuer: other}}]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(base, "apis:\n", "  other: {url: https://login.example.net}\napis:\n", 1)
			mustParse(t, strings.Replace(text, "    shield: api_key\n", lines, 1))
		})
	}
}
