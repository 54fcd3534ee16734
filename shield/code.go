package shield

import "net/http"

// Code is the stable word for why a request was refused. It is all that the
// caller learns; docs/guide/codes.md says what to do about each.
type Code string

// Two codes steer an [Any] and are never shown: the guard answers them with
// [MissingCredential] and [InvalidCredential].
const (
	Absent  Code = "absent"  // no credential of this shield's
	Foreign Code = "foreign" // the carrier is there, but by scheme, form or issuer not this shield's
)

// Honeypot stands in the event of a request for a honeypot alone: its caller is told
// [UnknownEndpoint].
const Honeypot Code = "honeypot"

// Codes of the shield step: who is calling?
const (
	MissingCredential   Code = "missing_credential"   // 401: nothing that any shield of the endpoint reads
	InvalidCredential   Code = "invalid_credential"   // 401: unknown, malformed inside, or wrong; also unproved revoked and expired ones
	ExpiredCredential   Code = "expired_credential"   // 401: proved, but its time is over (or not yet come)
	RevokedCredential   Code = "revoked_credential"   // 401: proved, but withdrawn
	MalformedCredential Code = "malformed_credential" // 400: sent twice, or in a form that no reader agrees on
	ExposedCredential   Code = "exposed_credential"   // 400: sent where others can read it (query, plain HTTP, browser)
	BadSignature        Code = "invalid_signature"    // 401: the signature does not match
	BadDigest           Code = "invalid_digest"       // 400: the body is not the one that was signed
	StaleRequest        Code = "stale_request"        // 401: signed too long ago, or in the future
	ReplayedRequest     Code = "replayed_request"     // 401: a once-claim was used before
	StepUp              Code = "step_up"              // 401: the person has to sign in again, or in a stronger way
	NonceRequired       Code = "nonce_required"       // 401: the proof has to hold the nonce that the answer offers
	UnboundCredential   Code = "unbound_credential"   // 401: the credential belongs to another certificate or key
	MixedIdentities     Code = "mixed_identities"     // 403: the proofs of an All belong to different clients
	ForbiddenNetwork    Code = "forbidden_network"    // 403: proved, but not usable from this address
	DisabledClient      Code = "disabled_client"      // 403: proved, but its client is switched off
	SuspendedCredential Code = "suspended_credential" // 403: proved, but refused for a time, because of an alert or by an operator
)

// Codes of the other steps.
const (
	UnknownHost       Code = "unknown_host"             // 421: no listener answers for this name
	Misdirected       Code = "misdirected"              // 421: the connection's name has other certificate rules
	BadPath           Code = "invalid_path"             // 400
	BadQuery          Code = "invalid_query"            // 400
	BadHeader         Code = "invalid_header"           // 400
	BadMethod         Code = "invalid_method"           // 400
	PlainHTTP         Code = "tls_required"             // 403
	UnknownEndpoint   Code = "unknown_endpoint"         // 404
	MethodNotAllowed  Code = "method_not_allowed"       // 405
	Sunset            Code = "endpoint_sunset"          // 410: the day is over until which the API's description has the endpoint
	BlockedNetwork    Code = "blocked_network"          // 403: an operator keeps the network out
	InvalidInput      Code = "invalid_input"            // 400: not what the API's description allows
	GraphQLRefused    Code = "graphql_refused"          // 400: beyond what a request in GraphQL may ask for, or none
	Injection         Code = "injection"                // 400: a value that could become code where a service uses it
	TooLarge          Code = "too_large"                // 413
	PathTooLong       Code = "path_too_long"            // 414
	UnsupportedMedia  Code = "unsupported_media"        // 415
	HeadersTooLarge   Code = "headers_too_large"        // 431
	RateLimited       Code = "rate_limited"             // 429
	QuotaExceeded     Code = "quota_exceeded"           // 429: what the day or the month allows is used up
	LockedOut         Code = "locked_out"               // 429: too many wrong tries with this credential from this network
	Busy              Code = "busy"                     // 503: too many requests at once
	InsufficientScope Code = "insufficient_scope"       // 403
	Denied            Code = "denied"                   // 403: a policy says no
	ForeignOrigin     Code = "foreign_origin"           // 403: a browser's origin that the API does not list
	KeyRequired       Code = "idempotency_key_required" // 400: the endpoint wants an Idempotency-Key
	KeyReused         Code = "idempotency_key_reused"   // 422: the key was used for another request
	InProgress        Code = "request_in_progress"      // 409: the same request, or step, is under way
	OutcomeUnknown    Code = "outcome_unknown"          // 409: the request with this key may have been carried out
	AnswerNotKept     Code = "answer_not_kept"          // 409: the request with this key was carried out; its answer is not there
	OutOfOrder        Code = "out_of_order"             // 409: the step of a flow whose turn it is not, or that is used up
	TooFast           Code = "too_fast"                 // 429: a step comes sooner after the one before than people are
	Undecided         Code = "undecided"                // 503: a step could not decide
	StalePolicy       Code = "stale_state"              // 503: revocations are too old to be trusted
	Unrecorded        Code = "unrecorded"               // 503: the event could not be kept safe
	Internal          Code = "internal_error"           // 500
	BadAnswer         Code = "invalid_answer"           // 502: the service's answer is not what the API's description allows, or may not leave
	UpstreamFailed    Code = "upstream_failed"          // 502
	UpstreamTimeout   Code = "upstream_timeout"         // 504
	UpstreamDown      Code = "upstream_down"            // 503: no healthy address, or the circuit is open
)

// Status returns the HTTP status that goes with the code; 403 for a code of a
// shield's own that is not listed here.
func (c Code) Status() int {
	switch c {
	case MalformedCredential, ExposedCredential, BadDigest, BadPath, BadQuery, BadHeader, BadMethod, InvalidInput, GraphQLRefused, Injection, KeyRequired:
		return http.StatusBadRequest
	case Absent, Foreign, MissingCredential, InvalidCredential, ExpiredCredential, RevokedCredential,
		BadSignature, StaleRequest, ReplayedRequest, UnboundCredential, NonceRequired, StepUp:
		return http.StatusUnauthorized
	case UnknownEndpoint, Honeypot:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case Sunset:
		return http.StatusGone
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case PathTooLong:
		return http.StatusRequestURITooLong
	case UnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case UnknownHost, Misdirected:
		return http.StatusMisdirectedRequest
	case HeadersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case InProgress, OutcomeUnknown, AnswerNotKept, OutOfOrder:
		return http.StatusConflict
	case KeyReused:
		return http.StatusUnprocessableEntity
	case RateLimited, QuotaExceeded, LockedOut, TooFast:
		return http.StatusTooManyRequests
	case Undecided, StalePolicy, Unrecorded, Busy, UpstreamDown:
		return http.StatusServiceUnavailable
	case Internal:
		return http.StatusInternalServerError
	case UpstreamFailed, BadAnswer:
		return http.StatusBadGateway
	case UpstreamTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusForbidden
}
