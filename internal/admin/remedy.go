package admin

import (
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// Remedy says what would mend a refusal with this code: what the caller does, and
// where that is not his part, what the operator does. Every code of package
// shield has one; a code of a shield's own has the page of its kind.
func Remedy(code shield.Code) string {
	if text, ok := remedies()[code]; ok {
		return text
	}
	return "the page of the shield tells about its own codes: pavise help shield KIND"
}

func remedies() map[shield.Code]string {
	return map[shield.Code]string{
		shield.Absent:              "send a credential that the endpoint's shield reads; `pavise help shield KIND` says in which header",
		shield.Foreign:             "the credential is meant for another shield or comes from another issuer; send one that the endpoint takes",
		shield.MissingCredential:   missing(nil),
		shield.InvalidCredential:   "compare the credential with what was issued: a typing error, a lost end, another environment, or one that was revoked or has expired; `pavise key list` shows what is in force",
		shield.ExpiredCredential:   "make a successor with `pavise key rotate ID`; if it has not begun yet, wait or compare the clocks",
		shield.RevokedCredential:   "it was withdrawn on purpose: ask why (`pavise key list --json` has the reason), then make a new one",
		shield.MalformedCredential: "send the credential once, in one header, in exactly the form of the shield's page",
		shield.ExposedCredential:   "others could read it: revoke it now with `pavise revoke ID --reason exposed`, make a new one, and send it over HTTPS in the header only",
		shield.BadSignature:        "compare the signed text with `pavise call --debug`; the detail names the most likely mistake",
		shield.BadDigest:           "the body changed after it was signed: sign the bytes that are sent, after compression",
		shield.StaleRequest:        "set the caller's clock (NTP), and sign right before sending, not when the request is queued",
		shield.ReplayedRequest:     "sign every request anew, retries too: each needs a nonce of its own",
		shield.UnboundCredential:   "send it over a connection with the certificate, or with a proof by the key, that it is bound to; or get one that is not bound",
		shield.StepUp:              "send the person to the authorization server again, with the acr_values and max_age of the challenge",
		shield.NonceRequired:       "make a new proof with the nonce in the answer's header DPoP-Nonce",
		shield.MixedIdentities:     "use credentials of one client, or declare the other proof `actor: true` on the endpoint",
		shield.ForbiddenNetwork:    "call from one of the credential's networks, or make one with `--network`; behind a proxy, look at trusted_proxies",
		shield.SuspendedCredential: "`pavise suspend list` shows until when and why, `pavise unsuspend ID` ends it; the request that raised the alert held this credential, so look first whether somebody else has it",
		shield.DisabledClient:      "`pavise client enable NAME` puts it in force again",

		shield.UnknownHost:       "name the host under hosts, or call the one that is there",
		shield.Misdirected:       "open a connection of its own for this host; it has other rules for client certificates",
		shield.BadPath:           "send the path in canonical form: no //, no .., no encoded slash or control character",
		shield.BadQuery:          "write the query as name=value&name=value with valid percent escapes",
		shield.BadHeader:         "look at the detail: a doubled, oddly named or contradictory header; every proxy between changes headers too",
		shield.BadMethod:         "send a standard method in capital letters",
		shield.PlainHTTP:         "use https://; a credential that was sent in the clear has to be replaced",
		shield.UnknownEndpoint:   "list METHOD /path under the API's endpoints; what is not listed is refused",
		shield.MethodNotAllowed:  "use a method that the endpoint has, or list this one",
		shield.Sunset:            "move to what the API's documentation names in its place; x-sunset of the API's description says until when this was there",
		shield.BlockedNetwork:    "`pavise block list` shows until when and why; `pavise unblock NETWORK` lets it in again",
		shield.InvalidInput:      "the member errors of the answer names each part with the rule that it breaks; compare it with the API's description",
		shield.GraphQLRefused:    "the member errors of the answer names the rule: ask for less (fewer levels, fields, aliases or entries), or raise that bound under graphql of the endpoint; introspection is off unless it is switched on there",
		shield.Injection:         "the member errors of the answer names the field and the detector; if the text is harmless there, except the field (insecure_except of injection), else look at who sent it",
		shield.TooLarge:          "send less, or raise max_body of the endpoint (for signed bodies: of the shield)",
		shield.PathTooLong:       "shorten the path; send long values in the body",
		shield.UnsupportedMedia:  "send a Content-Type that the endpoint takes",
		shield.HeadersTooLarge:   "send fewer or shorter headers, or raise limits.header_bytes",
		shield.RateLimited:       "wait as long as Retry-After says and slow down, or raise the limit of the endpoint",
		shield.QuotaExceeded:     "wait as long as Retry-After says (until the day or month of UTC ends), or raise the quota; `pavise quota list` shows what is used, `pavise quota reset CLIENT` begins anew",
		shield.Honeypot:          "nobody who means well asks for this path; `pavise block list` shows whether its network is kept out, `pavise unblock NETWORK` lets it in again",
		shield.LockedOut:         "find what keeps sending wrong credentials from this network; it ends by itself",
		shield.Busy:              "try again after Retry-After, with fewer requests at once; or raise concurrency or concurrency_total, give the endpoint a higher priority, or raise limits.requests",
		shield.InsufficientScope: "give the scope to the client (`pavise client update NAME --scope …`) and, if it has scopes of its own, to the credential; `pavise client show NAME` says what they have",
		shield.Denied:            "look at the endpoint's `when` and at the policy files; the detail names what denied",
		shield.ForeignOrigin:     "list the origin under cors of the API, exactly as the browser sends it",
		shield.KeyRequired:       "send Idempotency-Key with a fresh UUID for each thing to be done, and the same one for its retries",
		shield.KeyReused:         "make a new key for each thing to be done; retry with the very method, path, query and body of the first request",
		shield.InProgress:        "wait as long as Retry-After says, then retry: there is an answer then",
		shield.OutcomeUnknown:    "ask the service whether it was done before doing it again with a new key; the first request's event says how it ended",
		shield.AnswerNotKept:     "it was done: read its result from the service; the operator may raise idempotency.max_answer",
		shield.OutOfOrder:        "begin the flow at its first step; each step follows the one before within the flow's time, and once",
		shield.TooFast:           "wait as long as Retry-After says; if people are this fast, lower pace of the flow",
		shield.Undecided:         "look at the detail: something that is needed to decide was away (an issuer's keys, the store); try again",
		shield.StalePolicy:       "the store could not be read for longer than state.max_staleness: look at the disk and at `pavise log search --class system`",
		shield.Unrecorded:        "events cannot be written: look at the free space and the permissions of the log's folder",
		shield.Internal:          "a fault of Pavise: keep the request id and the log, and report it",
		shield.BadAnswer:         "look at the event's detail: the upstream answered what the API's description does not allow, or what may not leave",
		shield.UpstreamFailed:    "look at the detail. Refused, or no such host: start the upstream, or mend its address. Else it closed the connection, or sent no usable answer: look at its log",
		shield.UpstreamTimeout:   "look at why the upstream is slow, or raise timeout of the endpoint",
		shield.UpstreamDown:      "start the upstream, or look at its health path; no address of it answers",
	}
}

// missing says how one gets a credential of one of these kinds; of any if none is named.
func missing(kinds []string) string {
	if slices.Equal(kinds, []string{"public"}) {
		kinds = nil
	}
	var ways []string
	for _, way := range []struct {
		kinds []string
		text  string
	}{
		{[]string{"api_key"}, "`pavise key create --client NAME` makes an API key"},
		{[]string{"hmac"}, "`pavise key create --kind hmac --client NAME` makes a key that signs"},
		{[]string{"jwt", "introspect"}, "`pavise token get` gets a token from its issuer"},
		{[]string{"mtls"}, "`pavise cert issue NAME` makes a certificate"},
	} {
		if kinds == nil || slices.ContainsFunc(way.kinds, func(k string) bool { return slices.Contains(kinds, k) }) {
			ways = append(ways, way.text)
		}
	}
	page := "KIND"
	if len(kinds) == 1 {
		page = kinds[0]
	}
	return strings.TrimPrefix("send a credential; "+strings.Join(ways, ", ")+"; `pavise help shield "+page+"` says where it goes", "; ")
}
