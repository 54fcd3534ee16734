package registration_test

import (
	"errors"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/authserver/registration"
)

func TestRefusedRegistrationNamesTheSettingThatIsWrong(t *testing.T) {
	for setting, settings := range map[string]map[string]string{
		"redirects":  {"redirects": "http://shop.example/cb"},
		"grants":     {"auth": "none", "grants": "client_credentials"},
		"auth":       {"auth": "password"},
		"jwks":       {"auth": "private_key_jwt"},
		"tokens":     {"tokens": "short"},
		"native":     {"native": "yes"},
		"subject_dn": {"auth": "tls_client_auth"},
		"subject_ip": {"auth": "tls_client_auth", "subject_ip": "192.0.2.7"},
		"colour":     {"colour": "red"},
	} {
		_, err := issue(settings)
		if f, ok := errors.AsType[*registration.Fault](err); !ok || f.Setting != setting || f.Message == "" || strings.Contains(f.Message, "%!") {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestDescriptionSaysWhatHoldsWhereSettingsAreSilent(t *testing.T) {
	got, err := registration.Describe("shop", map[string]string{"redirects": "https://shop.example/cb", "dpop": "true"})
	if err != nil || got["auth"] != "client_secret_basic" || got["grants"] != "authorization_code refresh_token" || got["name"] != "shop" || got["tokens"] != "jwt" || got["dpop"] != "true" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = registration.Describe("tv", map[string]string{"auth": "none", "grants": "device_code", "tokens": "opaque"}); err != nil || got["grants"] != "device_code" || got["tokens"] != "opaque" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := registration.Describe("tv", map[string]string{"tokens": "short"}); err == nil {
		t.Error("what no registration is was described")
	}
}
