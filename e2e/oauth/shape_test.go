package oauth

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/harness"
)

// registered are the codes of the IANA registry "OAuth Extensions Error" and of the
// documents that this server follows.
var registered = strings.Fields(`
	invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope
	access_denied unsupported_response_type server_error temporarily_unavailable
	invalid_token insufficient_scope invalid_target
	interaction_required login_required account_selection_required consent_required invalid_request_uri invalid_request_object
	request_not_supported request_uri_not_supported registration_not_supported
	authorization_pending slow_down expired_token unsupported_token_type
	invalid_dpop_proof use_dpop_nonce invalid_redirect_uri invalid_client_metadata invalid_software_statement`)

// errorOf is the code of an answer in JSON: of OAuth, or of a problem document.
func errorOf(a harness.Answer) string {
	var answer struct{ Error, Code string }
	if !strings.Contains(a.Header.Get("Content-Type"), "json") || json.Unmarshal(a.Body, &answer) != nil {
		return ""
	}
	if answer.Error != "" {
		return answer.Error
	}
	return answer.Code
}

// cookies are those that an answer sets.
func cookies(a harness.Answer) []*http.Cookie {
	return (&http.Response{Header: a.Header}).Cookies()
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
