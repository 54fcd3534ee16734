package alert

import "slices"

// Codes are the codes that events may have, and the actions of grants: so that a rule with a
// misspelled one can be refused. Shields and layers of others may have more; actions of
// administrators are as many as there are commands.
func Codes() []string {
	return slices.Concat(Refusals(), Connections(), systems(), grants())
}

// Refusals are the codes of the guard.
func Refusals() []string {
	return []string{
		"missing_credential", "invalid_credential", "expired_credential", "revoked_credential", "suspended_credential", "malformed_credential", "exposed_credential",
		"invalid_signature", "invalid_digest", "stale_request", "replayed_request", "step_up", "nonce_required", "unbound_credential",
		"mixed_identities", "forbidden_network", "disabled_client", "unknown_host", "misdirected", "invalid_path", "invalid_query", "invalid_header",
		"invalid_method", "tls_required", "unknown_endpoint", "method_not_allowed", "endpoint_sunset", "blocked_network", "invalid_input",
		"graphql_refused", "injection", "too_large", "path_too_long", "unsupported_media", "headers_too_large", "rate_limited", "quota_exceeded",
		"locked_out", "busy", "insufficient_scope", "denied", "foreign_origin", "idempotency_key_required", "idempotency_key_reused",
		"request_in_progress", "outcome_unknown", "answer_not_kept", "out_of_order", "too_fast", "undecided", "stale_state", "unrecorded",
		"internal_error", "invalid_answer", "upstream_failed", "upstream_timeout", "upstream_down", "honeypot",
	}
}

// Connections are the codes of faults below a request.
func Connections() []string {
	return []string{
		"tls_handshake", "tls_version", "tls_alert", "client_hello", "bad_request_line", "bad_header", "bad_host", "bad_framing", "refused_upgrade",
		"incomplete_request", "bad_version", "bad_coding", "bad_expectation", "h2_stream", "h2_connection", "h2_flood", "timeout",
		"too_many_connections", "too_many_handshakes",
	}
}

func systems() []string {
	return []string{
		"started", "stopped", "restored", "issuer_warning", "state_unconfirmed", "certificate_warning", "certificate_expiring", "honeypot_block_failed",
		"segments_removed", "sink_failing", "sink_recovered", "sink_lost", "sink_rejected", "sink_full", "log_repaired", "log_tail_lost", "log_begun_anew",
		"ring_missing", "slot_damaged", "records_expired", "tree_rebuilt", "retention_held", "retention_resumed",
		"schedule_failed", "schedule_missed", "schedule_clock", "schedule_findings",
	}
}

func grants() []string {
	return []string{
		"grant.create", "grant.revoke", "grant.reuse", "token.issue", "token.refresh", "token.revoke", "person.sign_in", "person.sign_in_failed",
		"person.sign_out", "person.sign_out_everywhere", "person.consent", "person.consent_refused", "person.consent_withdrawn", "person.held",
		"person.password_changed", "person.totp_set", "person.recovery_code", "person.account_created", "person.identity_joined",
		"person.identity_parted", "person.forged_form", "person.provider_failed", "person.hand_over_rejected",
	}
}
