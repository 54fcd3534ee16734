package pavise

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// cheapLimit counts the address before any work is done for it.
func (x *exchange) cheapLimit() error {
	g := x.guard
	addr := x.event.Remote.Addr()
	if g.blocks != nil {
		if until, blocked := g.blocks.Blocked(addr); blocked {
			return shield.Refuse(shield.BlockedNetwork, "an operator keeps the network out until %s", until.UTC().Format(time.RFC3339))
		}
	}
	if g.tries != nil {
		if wait := g.tries.Blocked("", addr); wait > 0 {
			return lockedOut(wait, "too many wrong credentials from this network")
		}
	}
	if g.perAddress == nil {
		return nil
	}
	state, err := g.limiter.Take("address\x00"+limit.AddressKey(addr), g.perAddress.Rate, 1)
	if err != nil {
		return fmt.Errorf("count the requests of the address: %w", err)
	}
	if !state.Allowed {
		return rateLimited(x.writer().Header(), limit.Applied{Limit: *g.perAddress, State: state})
	}
	return nil
}

// route finds the endpoint and readies the body for those who read it.
func (x *exchange) route() error {
	e, err := x.host.table.Match(x.request)
	if method, ok := errors.AsType[*route.MethodError](err); ok {
		if x.isPreflight() {
			return x.preflight()
		}
		refusal := shield.Refuse(shield.MethodNotAllowed, "%s; %v", x.request.Method, method)
		refusal.Header = http.Header{"Allow": {method.Allow}}
		return refusal
	}
	if err != nil {
		x.lookIntoHoneypots()
		return shield.Refuse(shield.UnknownEndpoint, "%v", err)
	}
	x.endpoint = e
	x.event.API, x.event.Endpoint = e.api.Name, e.name
	if x.host.literals != nil {
		x.event.Path = x.routedPath()
	}
	if show := e.api.Recorded.ShowQuery; len(show) > 0 {
		x.event.Query = maskQuery(x.request.URL.RawQuery, show)
	}
	if !e.pattern.isSpelled(x.path) {
		return shield.Refuse(shield.BadPath, "the path spells %s with needless or lower-case escapes", e.name)
	}
	if x.host.lenient != e.api.Lenient {
		if err := x.checkLenient(e.api.Lenient); err != nil {
			return err
		}
	}
	return x.readyBody()
}

// readyBody bounds the body and makes it readable for shield and layers.
func (x *exchange) readyBody() error {
	r, e := x.request, x.endpoint
	if r.ContentLength > e.MaxBody {
		return shield.Refuse(shield.TooLarge, "Content-Length %d is over the endpoint's %d bytes", r.ContentLength, e.MaxBody)
	}
	if r.Body == nil || r.Body == http.NoBody {
		if e.body > 0 {
			r.Body = shield.NewBody(http.NoBody, e.body)
		}
		return nil
	}
	if r.ContentLength < 0 || r.ContentLength > 0 {
		r.Body = http.MaxBytesReader(x.passage.answer.under, r.Body, e.MaxBody)
	}
	if e.body > 0 {
		r.Body = shield.NewBody(r.Body, min(e.body, e.MaxBody))
	}
	return nil
}

// shield asks who is calling.
func (x *exchange) shield() error {
	r := x.request
	addr := x.event.Remote.Addr()
	id, err := x.endpoint.Shield.Verify(r)
	if err != nil {
		x.countWrong(err)
		return err
	}
	x.identify(id)
	if err := x.matchBindings(id); err != nil {
		return err
	}
	if x.guard.holds != nil {
		if err := x.guard.holds.Held(id); err != nil {
			return err
		}
	}
	if x.guard.tries == nil || id.CredentialID == "" {
		return nil
	}
	if wait := x.guard.tries.Blocked(id.CredentialID, addr); wait > 0 {
		return lockedOut(wait, "too many wrong tries with this credential from this network")
	}
	x.guard.tries.Right(id.CredentialID, addr)
	return nil
}

// countWrong counts a credential that was ours and wrong; a missing or a foreign
// one is no try.
func (x *exchange) countWrong(err error) {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok || x.guard.tries == nil {
		return
	}
	switch refusal.Code {
	case shield.InvalidCredential, shield.BadSignature, shield.MalformedCredential, shield.Foreign:
		x.guard.tries.Wrong(refusal.CredentialID, x.event.Remote.Addr())
	}
}

// identify writes the identity into the event and the context.
func (x *exchange) identify(id *shield.Identity) {
	x.identity, x.passage.identity = id, id
	e := &x.event
	e.Shield, e.CredentialID, e.Issuer, e.Subject = id.Shield, id.CredentialID, id.Issuer, id.Subject
	e.Client, e.User, e.Tenant = id.Client, id.User, id.Tenant
	e.Proved = id.CredentialID != "" || id.Client != ""
	if len(id.Warnings) > 0 {
		e.Warning = strings.Join(id.Warnings, " ")
	}
	if len(id.With) > 0 {
		others := make([]string, 0, len(id.With))
		for _, other := range id.With {
			others = append(others, other.Shield+":"+other.CredentialID)
		}
		e.With = strings.Join(others, " ")
	}
}

// matchBindings compares what each credential is bound to with the certificate
// that the caller presented (RFC 8705 §3).
func (x *exchange) matchBindings(id *shield.Identity) error {
	var fault error
	id.All(func(proof *shield.Identity) {
		want := proof.Confirm.Certificate
		if want == "" || fault != nil {
			return
		}
		got := certificateThumbprint(x.request)
		if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			fault = shield.Refuse(shield.UnboundCredential, "the credential is bound to certificate %s, the caller presented %q", want, got).
				Of(proof.CredentialID, proof.Client, false).
				With(challenge(proof, "invalid_token", "bound to another certificate")...)
		}
	})
	return fault
}

// longRead is how long a body may take that is read on the path before the caller's credential is
// asked about again: a revocation takes effect within a second (invariant 7).
const longRead = 500 * time.Millisecond

// stillMay refuses a request whose credential has ended while its body was read.
func (x *exchange) stillMay() error {
	if x.endpoint.body == 0 || x.identity == nil {
		return nil
	}
	now := x.guard.now()
	if now.Sub(x.started) < longRead {
		return nil
	}
	var fault error
	x.identity.All(func(proof *shield.Identity) {
		code := shield.RevokedCredential
		switch {
		case fault != nil:
			return
		case !proof.Expires.IsZero() && !now.Before(proof.Expires):
			code = shield.ExpiredCredential
		case proof.Revocation == nil || !proof.Revocation():
			return
		}
		fault = shield.Refuse(code, "it ended while the body came").Of(proof.CredentialID, proof.Client, true).
			With(challenge(proof, "invalid_token", "the credential has ended")...)
	})
	if fault == nil && x.guard.holds != nil {
		fault = x.guard.holds.Held(x.identity)
	}
	return fault
}

func certificateThumbprint(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// access asks whether the identity has the endpoint's scopes.
func (x *exchange) access() error {
	e, id := x.endpoint, x.identity
	if e.AnyScope {
		return nil
	}
	for _, scope := range e.Scopes {
		if !id.Scopes.Has(scope) {
			return x.lacks(id.Scopes.Missing(e.Scopes))
		}
	}
	return nil
}

func (x *exchange) lacks(missing shield.Scopes) error {
	refusal := shield.Refuse(shield.InsufficientScope, "missing %s; has %s",
		strings.Join(missing, " "), strings.Join(x.identity.Scopes, " ")).Of(x.identity.CredentialID, x.identity.Client, true)
	if x.identity.Scheme != "" {
		refusal.Challenge = []string{fmt.Sprintf(`%s error="insufficient_scope", scope=%q`,
			x.identity.Scheme, strings.Join(x.endpoint.Scopes, " "))}
	}
	return refusal
}

// sanitise cleans the input before anybody judges it.
func (x *exchange) sanitise() error {
	if x.endpoint.Sanitise == nil {
		return nil
	}
	changed, err := x.endpoint.Sanitise.Sanitise(x.request, x.identity)
	x.event.Changed = changed
	return err
}

func (x *exchange) validate() error {
	if err := x.layer(x.endpoint.Validate); err != nil {
		return err
	}
	return x.checkBody()
}
func (x *exchange) policy() error { return x.layer(x.endpoint.Policy) }

func (x *exchange) harm() error {
	if err := x.layer(x.endpoint.Harm); err != nil {
		return err
	}
	return x.checkBody() // a layer may have read it by now
}

// consume uses up what the credentials of this request allow only once, all in
// one step. Whatever was read of the body is handed on from its start.
func (x *exchange) consume() error {
	if body, ok := x.request.Body.(*shield.Body); ok {
		body.Rewind()
	}
	claims := x.identity.Once
	for _, other := range x.identity.With {
		other.All(func(proof *shield.Identity) { claims = append(claims[:len(claims):len(claims)], proof.Once...) })
	}
	if len(claims) == 0 {
		return nil
	}
	if x.guard.once == nil {
		return fmt.Errorf("the credential may be used once, but the policy has no OnceStore")
	}
	err := x.guard.once.Consume(x.request.Context(), claims)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return refusal.Of(x.identity.CredentialID, x.identity.Client, true).With(replayed(x.identity)...)
	}
	return err
}

func lockedOut(wait time.Duration, why string) error {
	refusal := shield.Refuse(shield.LockedOut, "%s; %s left", why, wait)
	refusal.Header = http.Header{"Retry-After": {limit.RetryAfter(wait)}}
	return refusal
}
