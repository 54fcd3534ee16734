package oauthclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"pavise.dev/pavise/internal/strictjson"
)

// Bounds of what an authorization server may take.
const (
	maxAnswer = 256 << 10        // bytes
	answerIn  = 20 * time.Second // one request, to the last byte of its answer
)

// newHTTP returns the one way out: https is checked by [secure], redirects are answers, no
// proxy sees a secret.
func newHTTP(roots *x509.CertPool, certificate *tls.Certificate) *http.Client {
	settings := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		// Sent whichever authorities the server names: self-signed ones may be registered.
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return &http.Client{
		Timeout:       answerIn,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: settings, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxResponseHeaderBytes: 32 << 10, TLSHandshakeTimeout: answerIn, IdleConnTimeout: time.Minute,
		},
	}
}

// secure refuses addresses to which nothing secret is sent.
func secure(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("no https address")
	}
	return u, nil
}

// answer is what came back, read within its bound.
type answer struct {
	status int
	header http.Header
	object map[string]any
}

// do sends a request and reads a JSON object. Only the status decides what it means.
func (c *Client) do(r *http.Request) (*answer, error) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "pavise")
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or given up
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return nil, fmt.Errorf("%s answered with a redirect (%d), which is not followed", r.URL.Redacted(), response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", r.URL.Redacted(), err)
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", r.URL.Redacted(), maxAnswer)
	}
	a := &answer{status: response.StatusCode, header: response.Header}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // what cannot be read is not JSON
	if kind != "application/json" {
		return a, fmt.Errorf("%s answered %d with %.40q, not JSON", r.URL.Redacted(), response.StatusCode, kind)
	}
	if a.object, err = strictjson.Object(text); err != nil {
		return a, fmt.Errorf("the answer of %s: %w", r.URL.Redacted(), err)
	}
	return a, nil
}
