// Package problem turns a refusal into what the caller is told: a problem
// document (RFC 9457) with the stable code and the request ID, and nothing of
// the operator's detail.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"pavise.dev/pavise/shield"
)

// ContentType is the media type of the answer (RFC 9457 §3).
const ContentType = "application/problem+json"

// Classify returns the refusal in err. Anything that is no refusal could not
// be decided, and is denied: the caller learns only that.
func Classify(err error) *shield.Refusal {
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return visible(refusal)
	}
	if errors.Is(err, shield.ErrStale) {
		return shield.Refuse(shield.StalePolicy, "%v", err)
	}
	if errors.Is(err, context.Canceled) {
		return shield.Refuse(shield.Undecided, "the caller went away: %v", err)
	}
	return shield.Refuse(shield.Undecided, "%v", err)
}

// visible replaces the two codes that only steer an Any.
func visible(refusal *shield.Refusal) *shield.Refusal {
	shown := *refusal
	switch refusal.Code {
	case shield.Absent:
		shown.Code = shield.MissingCredential
	case shield.Foreign:
		shown.Code = shield.InvalidCredential
	}
	return &shown
}

// Append writes the document for a refusal to dst. Codes and IDs are words of
// our own making and need no escaping.
func Append(dst []byte, code shield.Code, status int, requestID string) []byte {
	dst = append(dst, `{"type":"https://pavise.dev/problems/`...)
	dst = append(dst, code...)
	dst = append(dst, `","title":"`...)
	dst = append(dst, Title(code)...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, code...)
	dst = append(dst, `","request_id":"`...)
	dst = append(dst, requestID...)
	return append(dst, '"', '}', '\n')
}

// Write sends the refusal: status, challenges, further headers, document.
func Write(w http.ResponseWriter, refusal *shield.Refusal, requestID string) {
	h := w.Header()
	for name, values := range refusal.Header {
		h[name] = values
	}
	if len(refusal.Challenge) > 0 {
		h["Www-Authenticate"] = refusal.Challenge
	}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	body := appendFields(Append(nil, refusal.Code, refusal.HTTPStatus(), requestID), refusal.Fields)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(refusal.HTTPStatus())
	_, _ = w.Write(body) // the caller may be gone; the event already tells what he was to get
}

// appendFields adds what of the input is wrong (RFC 9457 §3.2: a member of our own). Names
// in it are the caller's, so that they are escaped.
func appendFields(document []byte, fields []shield.Field) []byte {
	if len(fields) == 0 {
		return document
	}
	type field struct {
		In      string `json:"in"`
		Pointer string `json:"pointer"`
		Rule    string `json:"rule"`
	}
	all := make([]field, 0, len(fields))
	for _, f := range fields {
		all = append(all, field(f))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return document // the code says enough
	}
	document = append(document[:len(document)-len("}\n")], `,"errors":`...)
	return append(append(document, text...), '}', '\n')
}

// Title returns the sentence that goes with a code, the same at every time
// (RFC 9457 §3.1.4).
func Title(code shield.Code) string {
	if title, ok := title(code); ok {
		return title
	}
	return "The request was refused"
}

func title(code shield.Code) (string, bool) {
	switch code {
	case shield.MissingCredential:
		return "This endpoint needs a credential", true
	case shield.InvalidCredential, shield.BadSignature:
		return "The credential is not accepted", true
	case shield.ExpiredCredential:
		return "The credential is not valid at this time", true
	case shield.RevokedCredential:
		return "The credential was revoked", true
	case shield.MalformedCredential:
		return "The credential is malformed or was sent twice", true
	case shield.ExposedCredential:
		return "The credential was sent where others can read it; replace it", true
	case shield.BadDigest:
		return "The body is not the one that was signed", true
	case shield.StaleRequest:
		return "The signature's time is outside the accepted window", true
	case shield.ReplayedRequest:
		return "This request was sent before", true
	case shield.UnboundCredential:
		return "The credential is bound to another certificate or key", true
	case shield.StepUp:
		return "The person has to sign in again, or in a stronger way", true
	case shield.NonceRequired:
		return "The proof has to hold the nonce of this answer", true
	case shield.MixedIdentities:
		return "The credentials belong to different clients", true
	case shield.ForbiddenNetwork:
		return "The credential is not usable from this address", true
	case shield.DisabledClient:
		return "The client is disabled", true
	case shield.SuspendedCredential:
		return "The credential is suspended for a time", true
	case shield.UnknownHost, shield.Misdirected:
		return "This connection does not serve that host", true
	case shield.BadPath:
		return "The path is not in canonical form", true
	case shield.BadQuery:
		return "The query is not in canonical form", true
	case shield.BadHeader:
		return "A header or the framing is not acceptable", true
	case shield.BadMethod:
		return "The method is not acceptable", true
	case shield.PlainHTTP:
		return "Use HTTPS; a credential sent here must be replaced", true
	case shield.UnknownEndpoint, shield.Honeypot:
		return "There is no such endpoint", true
	case shield.MethodNotAllowed:
		return "The endpoint does not have this method", true
	case shield.Sunset:
		return "The endpoint is gone", true
	case shield.BlockedNetwork:
		return "Requests from this network are not accepted at the moment", true
	case shield.Injection:
		return "A value could become code where the service uses it", true
	case shield.InvalidInput:
		return "The request is not what the API's description allows", true
	case shield.GraphQLRefused:
		return "The GraphQL request asks for more than it may", true
	case shield.TooLarge:
		return "The body is too large", true
	case shield.PathTooLong:
		return "The path is too long", true
	case shield.UnsupportedMedia:
		return "The content type is not accepted", true
	case shield.HeadersTooLarge:
		return "The headers are too large", true
	case shield.RateLimited:
		return "Too many requests", true
	case shield.QuotaExceeded:
		return "The quota of this day or month is used up", true
	case shield.LockedOut:
		return "Too many wrong tries; wait", true
	case shield.Busy:
		return "Too many requests at once", true
	case shield.InsufficientScope:
		return "The credential lacks a scope", true
	case shield.Denied:
		return "A policy denies this", true
	case shield.ForeignOrigin:
		return "This origin may not call the API", true
	case shield.KeyRequired:
		return "This endpoint needs an Idempotency-Key", true
	case shield.KeyReused:
		return "The Idempotency-Key was used for another request", true
	case shield.InProgress:
		return "The same request is under way", true
	case shield.OutcomeUnknown:
		return "What came of the first request with this key is not known", true
	case shield.AnswerNotKept:
		return "The request with this key was carried out before", true
	case shield.OutOfOrder:
		return "The step before was not completed, or this one was used up", true
	case shield.TooFast:
		return "This step comes too soon after the one before", true
	case shield.Undecided:
		return "Access could not be decided; try again", true
	case shield.StalePolicy:
		return "Access data is too old to decide; try again", true
	case shield.Unrecorded:
		return "The request could not be recorded; try again", true
	case shield.Internal:
		return "Something went wrong here", true
	case shield.BadAnswer:
		return "The service's answer may not leave", true
	case shield.UpstreamFailed:
		return "The service behind gave no usable answer", true
	case shield.UpstreamTimeout:
		return "The service behind did not answer in time", true
	case shield.UpstreamDown:
		return "The service behind is not available", true
	}
	return "", false
}
