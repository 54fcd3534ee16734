package protocol

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/shield"
)

// call is what is known of one request besides what the library reads of it. It travels
// in the request's context, where the library's hooks find it.
type call struct {
	server     *Server
	request    *http.Request
	from       netip.Addr
	client     string       // that the caller says to be
	identified bool         // client is settled: the library can authenticate no other
	assertion  string       // the client's assertion, if it sent one, until it was used up
	asserted   time.Time    // when it was made, as it says
	proof      *shield.Once // the DPoP proof, judged, to be used up when the client has authenticated
	nonce      string       // for the answer's DPoP-Nonce
	scopes     string       // of the token that the request came with, at userinfo
	otherType  bool         // it asks for another response_type than code
	unclear    *Fault       // what is wrong with the request, for when it is known where that is said
	fault      *Fault
	ended      []Event // what was revoked, to be told of
	away       error   // of a store that could not answer: there is no other answer then
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func (s *Server) newCall(r *http.Request) (*call, *http.Request) {
	c := &call{server: s, from: shield.RemoteAddr(r)}
	c.request = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	c.request.Header.Del("OAuth-Client-Attestation") // a way to authenticate that is none here; the library reads a name in it
	return c, c.request
}

// Fault is why the server refused: a registered code for the caller, a detail for the
// operator.
type Fault struct {
	Status      int
	Code        string // of RFC 6749 §5.2 and its extensions
	Description string // for the caller's developer; says nothing of others
	Detail      string // for the operator's event; never holds a secret
	Wait        int    // seconds, for Retry-After; 0: none
}

func refuse(status int, code, description string) *Fault {
	return &Fault{Status: status, Code: code, Description: description}
}

// badRequest is the answer to a request that nobody can read.
func badRequest(description string) *Fault {
	return refuse(http.StatusBadRequest, "invalid_request", description)
}

// noteError keeps what the library says of a refusal, for the event.
func noteError(ctx context.Context, err error) {
	c := callOf(ctx)
	if c == nil {
		return
	}
	c.fault = faultOf(err)
	_, ours := errors.AsType[verdict](err)
	if c.fault.Code == "invalid_client" && !ours && c.server.options.Tries != nil && c.client != "" {
		c.server.options.Tries.Wrong(c.client, c.from)
	}
}

// faultOf reads an error of the library: a verdict of ours wherever the library has wrapped
// it, else what the library says. What it does not name is a fault of the program: 500.
func faultOf(err error) *Fault {
	if own, ok := errors.AsType[verdict](err); ok {
		f := *own.fault
		f.Detail = err.Error()
		return &f
	}
	refusal, ok := errors.AsType[goidc.Error](err)
	if !ok {
		return &Fault{Status: http.StatusInternalServerError, Code: "server_error", Detail: err.Error()}
	}
	return &Fault{
		Status: statusOf(string(refusal.Code)), Code: codeOf(string(refusal.Code)), Description: refusal.Description, Detail: err.Error(),
	}
}

// statusOf is the status that goes with a registered code at the endpoints for clients
// (RFC 6749 §5.2): 400, but for a client that did not authenticate.
func statusOf(code string) int {
	switch code {
	case "invalid_client", "invalid_token":
		return http.StatusUnauthorized
	case "internal_error", "server_error":
		return http.StatusInternalServerError
	case "temporarily_unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func codeOf(code string) string {
	if code == "internal_error" {
		return "server_error"
	}
	return code
}

// consumeJTI uses up what is good once. The library calls it with the bare jti: for the
// assertion of a client that authenticates by one, after its signature was found good, and
// for the proof that the filter has judged, after the client has authenticated.
func consumeJTI(ctx context.Context, jti string) error {
	c := callOf(ctx)
	if c == nil {
		return errors.New("an assertion outside of a request")
	}
	byAssertion, err := c.authenticatesByAssertion()
	if err != nil {
		return err
	}
	if !byAssertion {
		return c.useProof()
	}
	claim := shield.Once{
		Space: "assertion/" + c.client, Digest: digestOf(jti), Made: c.asserted, Until: c.server.options.Now().Add(assertionLife + 2*clockLeeway),
	}
	c.assertion = ""
	return c.use(claim)
}

// authenticatesByAssertion reports whether the client's assertion is still to be used up.
// One that a client sends which authenticates otherwise is none.
func (c *call) authenticatesByAssertion() (bool, error) {
	if c.assertion == "" {
		return false, nil
	}
	known, err := c.server.client(c.request.Context(), c.client)
	if err != nil {
		return false, err
	}
	return known.Auth == AuthKey, nil
}

// useProof uses up the DPoP proof (RFC 9449 §11.1).
func (c *call) useProof() error {
	if c.proof == nil {
		return goidc.ErrNotFound // the library's word for "not used before"
	}
	err := c.use(*c.proof)
	if isRefusal(err) {
		return verdict{&Fault{Status: http.StatusBadRequest, Code: "invalid_dpop_proof", Description: "the DPoP proof was used before", Detail: err.Error()}}
	}
	return err
}

func (c *call) use(claim shield.Once) error {
	ctx := c.request.Context()
	switch err := c.server.options.Once.Consume(ctx, []shield.Once{claim}); {
	case err == nil:
		return goidc.ErrNotFound // as above
	case isRefusal(err):
		return err
	default:
		return away(ctx, err)
	}
}

var errNoCertificate = errors.New("the caller presented no certificate")

// clientCertificate is what the caller presented in the handshake.
func clientCertificate(ctx context.Context) (*x509.Certificate, error) {
	c := callOf(ctx)
	if c == nil || c.request.TLS == nil || len(c.request.TLS.PeerCertificates) == 0 {
		return nil, errNoCertificate
	}
	return c.request.TLS.PeerCertificates[0], nil
}
