package metrics

import (
	"slices"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// Other stands for every value that is not known in advance: what callers send makes no series.
const Other = "other"

// words are the values that a label may have, each as the string that is kept.
type words map[string]string

func wordsOf(all ...string) words {
	w := words{Other: Other, "": ""}
	for _, word := range all {
		w[word] = word
	}
	return w
}

// of returns the word itself, which outlives the event, or Other.
func (w words) of(word string) string {
	if known, ok := w[word]; ok {
		return known
	}
	return Other
}

// methods are those that endpoints can name.
func methods() words {
	return wordsOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
}

func decisions() words {
	return wordsOf(string(audit.Accepted), string(audit.Refused), string(audit.Failed), string(audit.Noted))
}

func severities() words { return wordsOf("info", "low", "medium", "high", "critical") }

// steps are those of faults below a request.
func steps() words { return wordsOf("limit", "tls", "http1", "http2", "plain", "metrics") }

// codes are those of refusals: of the guard, of faults below a request, and of the
// authorization server and the enrolment of certificates.
func codes() words {
	return wordsOf(slices.Concat(alert.Refusals(), alert.Connections(), []string{
		// the authorization server: RFC 6749, 6750, 7591, 8628, 8707, 9101, 9449, 9470, OpenID Connect; people who sign in
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable", "invalid_token", "authorization_pending",
		"slow_down", "expired_token", "invalid_target", "invalid_request_object", "invalid_request_uri", "request_not_supported",
		"request_uri_not_supported", "registration_not_supported", "invalid_dpop_proof", "use_dpop_nonce", "login_required", "consent_required",
		"interaction_required", "account_selection_required", "unsupported_token_type", "invalid_redirect_uri", "invalid_client_metadata",
		"insufficient_user_authentication", "unmet_authentication_requirements", "forged_form", "lost_sign_in", "provider_failed",
		"unknown_account", "identity_taken", "no_authority", "malformed", "bad_certificate_request", "unknown_client",
	})...)
}

// acts are those that an administrator, or a reload, can do.
func acts() words {
	return wordsOf(
		"alert.silence", "alert.test", "alert.unsilence", "authority.init", "authority.revoke", "authority.rotate", "certificate.enrolment", "certificate.enrolment_withdraw", "certificate.issue",
		"certificate.renew", "client.create", "client.update", "client.disable", "client.enable", "client.invite", "client.invite_withdraw",
		"client.register", "client.revoke", "client.test", "client.test_end", "configuration.reload", "credential.create", "credential.end", "credential.narrow", "credential.revoke", "credential.rotate", "credential.suspend", "credential.unsuspend", "log.erasure", "log.retention", "review.seal", "revoke", "schedule.run",
		"grant.revoke", "keys.rewrap", "keys.rotate", "log.export_chain_key", "network.block", "network.unblock", "quota.reset", "reload",
		"reload_refused", "request", "signing_key.create", "signing_key.remove", "signing_key.rotate", "token.inspect", "token.revoke",
		"user.change", "user.create", "user.delete", "user.disable", "user.enable", "user.end_sessions", "user.join", "user.part",
		"user.reset_password", "user.reset-password", "user.reset_totp", "user.reset-totp", "user.sign_out", "user.sign-out", "user.update",
	)
}

// grants are what the authorization server does.
func grants() words {
	return wordsOf(
		"client.self_register", "client.self_delete", "grant.create", "grant.reuse", "grant.revoke", "token.issue", "token.refresh", "token.revoke",
		"person.sign_in", "person.sign_in_failed", "person.sign_out", "person.sign_out_everywhere", "person.consent", "person.consent_refused",
		"person.consent_withdrawn", "person.held", "person.password_changed", "person.totp_set", "person.recovery_code", "person.account_created",
		"person.identity_joined", "person.identity_parted", "person.forged_form", "person.provider_failed", "person.hand_over_rejected",
		"signing_key.create", "signing_key.remove", "signing_key.rotate",
	)
}

// classOf writes a status as 2xx; what has none has "".
func classOf(status int) string {
	if status < 100 || status > 599 {
		return ""
	}
	return [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}[status/100-1]
}
