package audit_test

import (
	"testing"

	"pavise.dev/pavise/audit"
)

func TestSecretNamesAreKnown(t *testing.T) {
	for _, name := range []string{
		"token", "access_token", "accessToken", "ACCESS-TOKEN", "apikey", "api_key", "apiKey", "x-api-key", "X.Api.Key", "password", "passwd", "pwd", "code",
		"otp", "client_secret", "clientSecret", "sig", "X-Amz-Signature", "session", "session_id", "sid", "state", "email", "userEmail", "a_p_i_k_e_y", "SAMLResponse",
	} {
		if !audit.IsSecretName(name) {
			t.Errorf("%s may be shown", name)
		}
	}
	for _, name := range []string{"page", "sort", "limit", "offset", "from", "until", "lang", "fields", "order_by", "q", "filter.status", "per_page", "monkey", ""} {
		if audit.IsSecretName(name) {
			t.Errorf("%s is hidden", name)
		}
	}
}
