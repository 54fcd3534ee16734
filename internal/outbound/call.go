package outbound

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// call is a destination that is carried to.
type call struct {
	Call
	authority string // of the destination: the Host of every request
	hosts     hosts
	carriers  []string // header names that signers set: what a service sends in them is removed
	signsBody bool
	upstream  *gateway.Upstream
	log       func(string)
	active    sync.WaitGroup // requests under way
}

// open readies a destination.
func (c *Carrier) open(one Call) (*call, error) {
	to, err := url.Parse(one.To)
	if err != nil || to.Scheme != "https" || to.Host == "" {
		return nil, fmt.Errorf("%.100q is no destination: write https://orders.internal:8443", one.To)
	}
	x := &call{Call: one, authority: strings.ToLower(to.Host), log: c.options.Log}
	if err := x.probe(); err != nil {
		return nil, err
	}
	x.upstream, err = gateway.New(gateway.Settings{
		Name: one.Name, Addresses: []string{x.destination()}, TLS: gateway.TLS{Config: one.TLS},
		Timeouts: gateway.Timeouts{ResponseHeader: one.Timeout}, Verbatim: true, KeepBanners: true,
		Now: c.options.Now, Fail: x.fail, Report: x.report, Discard: x.discard,
	})
	return x, err
}

func (c *call) destination() string { return "https://" + c.authority }

// probe finds out by a request that is not sent which headers the signers set, and whether
// they read the body. Two that set the same one cannot both be heard.
func (c *call) probe() error {
	if c.Token != nil {
		c.carriers = []string{"Authorization", "Dpop"}
	}
	for _, signer := range c.Signers {
		body := &noticed{Reader: bytes.NewReader([]byte("{}"))}
		r, err := http.NewRequest(http.MethodPost, c.destination()+"/", body)
		if err != nil {
			return err
		}
		r.ContentLength = 2
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", "identity")
		before := r.Header.Clone()
		if err := signer.Sign(r); err != nil {
			return fmt.Errorf("sign a request: %w", err)
		}
		c.signsBody = c.signsBody || body.read
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			if slices.Equal(before[name], r.Header[name]) {
				continue
			}
			if slices.Contains(c.carriers, name) {
				return fmt.Errorf("two of the profiles set the header %s, and there is room for one", name)
			}
			c.carriers = append(c.carriers, name)
		}
	}
	return nil
}

// noticed is a body that knows whether it was read.
type noticed struct {
	io.Reader
	read bool
}

func (n *noticed) Read(p []byte) (int, error) {
	n.read = true
	return n.Reader.Read(p)
}

// idKey finds the ID of a request in its context.
type idKey struct{}

func idOf(r *http.Request) string {
	id, _ := r.Context().Value(idKey{}).(string)
	return id
}

// maxTries is how often a request is sent: once more for a nonce of the API's, once more for
// a new token.
const maxTries = 3

// ServeHTTP carries one request.
func (c *call) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(context.WithValue(r.Context(), idKey{}, rand.Text()))
	if refusal := c.admit(r); refusal != nil {
		c.fail(w, r, refusal)
		return
	}
	body, refusal := c.body(r)
	if refusal != nil {
		c.fail(w, r, refusal)
		return
	}
	for try := 1; ; try++ {
		out, refusal := c.signed(r, body)
		if refusal != nil {
			c.fail(w, r, refusal)
			return
		}
		a := &answer{ResponseWriter: w, last: try == maxTries || body == nil && hasBody(r)}
		c.upstream.ServeHTTP(a, out)
		if !a.dropped {
			c.tell(r, a.status)
			return
		}
	}
}

func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// body holds a body that a signer reads; nil: it passes as it comes.
func (c *call) body(r *http.Request) (*shield.Body, *shield.Refusal) {
	if !c.signsBody || !hasBody(r) {
		return nil, nil
	}
	if r.ContentLength > c.MaxSigned {
		return nil, shield.Refuse(shield.TooLarge, "the body has %d bytes, and at most %d are held to be signed: raise max_signed", r.ContentLength, c.MaxSigned)
	}
	body := shield.NewBody(r.Body, c.MaxSigned)
	if _, err := body.Bytes(); err != nil {
		return nil, problem.Classify(err)
	}
	return body, nil
}

// signed returns the request as the destination gets it, with credentials. It has the
// target as it came, and the destination's host.
func (c *call) signed(r *http.Request, body *shield.Body) (*http.Request, *shield.Refusal) {
	out := r.WithContext(r.Context())
	target := *r.URL
	target.Scheme, target.Host = "https", c.authority
	out.URL, out.Host, out.Header = &target, c.authority, r.Header.Clone()
	for name := range out.Header {
		if c.carries(name) {
			delete(out.Header, name)
		}
	}
	if body != nil {
		kept, err := body.Bytes()
		if err != nil || !body.Rewind() {
			return nil, problem.Classify(err)
		}
		out.Body, out.ContentLength, out.TransferEncoding = body, int64(len(kept)), nil
	}
	if refusal := c.sign(out); refusal != nil {
		return nil, refusal
	}
	if body != nil {
		body.Rewind() // a signer has read it, or put the same bytes in its place
		out.Body = body
	}
	return out, nil
}

// carries reports whether a header is one that signers set. Servers that speak CGI's
// language read X_Api_Key as X-Api-Key.
func (c *call) carries(name string) bool {
	return slices.Contains(c.carriers, http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")))
}

func (c *call) sign(out *http.Request) *shield.Refusal {
	if c.Token != nil {
		if err := c.Token.Sign(out); err != nil {
			return shield.Refuse(shield.UpstreamFailed, "get an access token: %v", err)
		}
	}
	for _, signer := range c.Signers {
		if err := signer.Sign(out); err != nil {
			if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
				return shield.Refuse(shield.BadHeader, "the request cannot be signed: %s", refusal.Detail)
			}
			return shield.Refuse(shield.Internal, "sign the request: %v", err)
		}
	}
	return nil
}

// answer is the way back.
type answer struct {
	http.ResponseWriter
	last    bool // the request cannot be sent again
	status  int
	dropped bool
}

// Unwrap lets http.ResponseController find what is below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// discard drops an answer that the token's owner can mend: the request is sent again. The
// answer's head says so; whatever follows it is not waited for.
func (c *call) discard(w http.ResponseWriter, r *http.Request, status int) bool {
	a, ok := w.(*answer)
	if !ok || c.Token == nil {
		return false
	}
	a.dropped = c.Token.Answered(r, status, a.Header()) && !a.last
	return a.dropped
}

// fail answers for a call that was not carried, and tells of it.
func (c *call) fail(w http.ResponseWriter, r *http.Request, refusal *shield.Refusal) {
	c.log(fmt.Sprintf("%s: %s answered with %d %s: %s; request ID %s", c.Name, r.Method, refusal.HTTPStatus(), refusal.Code, refusal.Detail, idOf(r)))
	if a, ok := w.(*answer); ok {
		w = a.ResponseWriter // our own answer says nothing of a token
	}
	problem.Write(w, refusal, idOf(r))
}

// tell tells of an answer by which the destination did not take our credentials.
func (c *call) tell(r *http.Request, status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		c.log(fmt.Sprintf("%s: %s answered with %d by %s: are the credentials good, and is what is asked for allowed?", c.Name, r.Method, status, c.destination()))
	}
}

// report tells of an answer that broke off.
func (c *call) report(r *http.Request, result gateway.Result) {
	switch note := strings.TrimPrefix(result.Note, "upgraded, "); note {
	case "", "upgraded", "client_gone":
	default:
		c.log(fmt.Sprintf("%s: %s broke off: %s; request ID %s", c.Name, r.Method, note, idOf(r)))
	}
}
