package shieldtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"

	"pavise.dev/pavise/shield"
)

// maxKept is the longest body, in bytes, that the suite keeps to send it again.
const maxKept = 32 << 20

// present puts a presenter's certificates where the handshake would leave them.
func present(r *http.Request, signer shield.Signer) {
	presenter, ok := signer.(shield.Presenter)
	if !ok {
		return
	}
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: r.URL.Hostname()}
	certificate := presenter.Certificate()
	if certificate == nil {
		return
	}
	for _, der := range certificate.Certificate {
		if parsed, err := x509.ParseCertificate(der); err == nil {
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, parsed)
		}
	}
}

// arrive turns a request as a client sends it into what a server's handler gets,
// with the body wrapped as the guard does it for these needs.
func arrive(sent *http.Request, needs shield.Needs) *http.Request {
	path := sent.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	got := &http.Request{
		Method: sent.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:    &url.URL{Path: sent.URL.Path, RawPath: sent.URL.RawPath, RawQuery: sent.URL.RawQuery, ForceQuery: sent.URL.ForceQuery},
		Header: http.Header{}, Host: sent.Host, ContentLength: sent.ContentLength, Trailer: sent.Trailer,
		RemoteAddr: "192.0.2.7:40000", RequestURI: path, TLS: sent.TLS, Body: sent.Body,
	}
	if got.URL.Path == "" {
		got.URL.Path = "/"
	}
	if got.Host == "" {
		got.Host = sent.URL.Host
	}
	if sent.URL.RawQuery != "" || sent.URL.ForceQuery {
		got.RequestURI += "?" + sent.URL.RawQuery
	}
	if got.TLS == nil {
		got.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: sent.URL.Hostname()}
	}
	for name, values := range sent.Header {
		name = textproto.CanonicalMIMEHeaderKey(name)
		for _, value := range values {
			got.Header[name] = append(got.Header[name], strings.Trim(value, " \t"))
		}
	}
	if got.Body == nil {
		got.Body = http.NoBody
	}
	if needs.Body > 0 {
		got.Body = shield.NewBody(got.Body, needs.Body)
	}
	return got.WithContext(sent.Context())
}

// verify lets the request arrive, asks the shield, and holds every answer to
// what is promised of all: one of identity and error, no secret in either, and
// the request as it was.
func (c *testCase) verify(sent *http.Request) (*shield.Identity, error) {
	c.Helper()
	return c.ask(arrive(sent, c.needs))
}

// ask is verify for a request that has arrived.
func (c *testCase) ask(r *http.Request) (*shield.Identity, error) {
	c.Helper()
	before := pictureOf(r)
	id, err := c.shield.Verify(r)
	before.compare(c, pictureOf(r))
	switch {
	case id == nil && err == nil:
		c.Fatalf("Verify returned neither an identity nor an error")
	case id != nil && err != nil:
		c.Errorf("Verify returned an identity beside the error %v", err)
	}
	c.searchSecrets(id, err)
	return id, err
}

// seen is the code and status that the caller gets for err, as the guard turns
// them: nobody outside learns Absent or Foreign.
func seen(err error) (shield.Code, int) {
	if errors.Is(err, shield.ErrStale) {
		return shield.StalePolicy, shield.StalePolicy.Status()
	}
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return shield.Undecided, shield.Undecided.Status()
	}
	switch refusal.Code {
	case shield.Absent:
		return shield.MissingCredential, refusal.HTTPStatus()
	case shield.Foreign:
		return shield.InvalidCredential, refusal.HTTPStatus()
	}
	return refusal.Code, refusal.HTTPStatus()
}

// passes reports whether err would let another shield of an any try.
func passes(err error) bool {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	return ok && (refusal.Code == shield.Absent || refusal.Code == shield.Foreign)
}

// picture is all of a request that a shield must leave alone but the body's bytes.
type picture struct {
	method, uri, host, remote string
	url                       url.URL
	header                    http.Header
	length                    int64
	body                      io.ReadCloser
	tls                       *tls.ConnectionState
	certificates              int
	form                      bool
	context                   context.Context
}

func pictureOf(r *http.Request) picture {
	return picture{
		method: r.Method, uri: r.RequestURI, host: r.Host, remote: r.RemoteAddr, url: *r.URL, header: r.Header.Clone(),
		length: r.ContentLength, body: r.Body, tls: r.TLS, certificates: len(r.TLS.PeerCertificates),
		form: r.Form != nil || r.PostForm != nil || r.MultipartForm != nil, context: r.Context(),
	}
}

func (p picture) compare(c *testCase, after picture) {
	c.Helper()
	if !reflect.DeepEqual(p.header, after.header) {
		c.Errorf("Verify changed the headers from %v to %v", names(p.header), names(after.header))
	}
	if p.url != after.url || p.uri != after.uri || p.method != after.method || p.host != after.host {
		c.Errorf("Verify changed the request's line or host")
	}
	if p.length != after.length || p.body != after.body {
		c.Errorf("Verify replaced the body or changed its length")
	}
	if p.tls != after.tls || p.certificates != after.certificates || p.remote != after.remote || p.context != after.context {
		c.Errorf("Verify changed what is known of the connection")
	}
	if p.form != after.form {
		c.Errorf("Verify parsed a form, which reads the body")
	}
}

func names(h http.Header) []string {
	var all []string
	for name, values := range h {
		all = append(all, fmt.Sprintf("%s×%d", name, len(values)))
	}
	return all
}

// searchSecrets looks for secrets in everything that an answer can show.
func (c *testCase) searchSecrets(id *shield.Identity, err error) {
	c.Helper()
	var shown strings.Builder
	if id != nil {
		id.All(func(proof *shield.Identity) { fmt.Fprintf(&shown, "%v %+v %#v\n", *proof, *proof, *proof) })
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(&shown, "%v %+v %#v %q\n", e, e, e, e)
		if refusal, ok := e.(*shield.Refusal); ok {
			fmt.Fprintf(&shown, "%+v\n", *refusal)
		}
	}
	for _, secret := range c.secrets {
		if strings.Contains(shown.String(), secret) {
			c.Errorf("the answer shows a secret (one of %d bytes)", len(secret))
		}
	}
}

// rewindable keeps the body of a request that is sent more than once.
func (c *testCase) rewindable(r *http.Request) func() *http.Request {
	c.Helper()
	if r.Body == nil {
		return func() *http.Request { return r }
	}
	kept, err := io.ReadAll(io.LimitReader(r.Body, maxKept))
	if err != nil {
		c.Fatalf("read the request's body: %v", err)
	}
	return func() *http.Request {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(kept))
		return again
	}
}
