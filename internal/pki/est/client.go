package est

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of what a client takes.
const (
	maxAnswer = 256 << 10 // bytes
	callTime  = 30 * time.Second
)

// ClientOptions are what a [Client] needs.
type ClientOptions struct {
	Server string           // https://pki.example.com
	Token  string           // for the first certificate; empty: there is one already
	Roots  *x509.CertPool   // that the server's certificate may chain to; nil: the system's
	Known  *tls.Certificate // the certificate in force, if there is one: its root is trusted too
	Now    func() time.Time // nil: time.Now
}

// Client gets certificates from a [Server]. It implements renewed.Source. It is safe for
// concurrent use.
type Client struct {
	base   string
	secret string
	trust  *x509.CertPool
	roots  []*x509.Certificate
	now    func() time.Time // nil: time.Now
}

// NewClient finds out which roots the authority has. The server must prove who it is before
// anything that it says is believed: by Roots or the system's, or by the root that the token
// names or that signed the certificate in force.
func NewClient(ctx context.Context, o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("the server %.100q is no address: write https://pki.example.com", o.Server)
	}
	c := &Client{base: "https://" + u.Host + Path, now: o.Now}
	var named []byte
	if o.Token != "" {
		if c.secret, named, err = split(o.Token); err != nil {
			return nil, err
		}
	}
	if c.trust, err = c.firstTrust(ctx, o, named); err != nil {
		return nil, err
	}
	if c.roots, err = c.call(ctx, c.config(nil), http.MethodGet, "/cacerts", nil, nil); err != nil {
		return nil, fmt.Errorf("ask %s for its roots: %w", c.base, err)
	}
	c.trust = c.trust.Clone()
	for _, root := range c.roots {
		c.trust.AddCert(root)
	}
	return c, nil
}

// config is how the server is verified, and what is presented to it.
func (c *Client) config(current *tls.Certificate) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.trust, Time: c.now}
	if current != nil {
		config.Certificates = []tls.Certificate{*current}
	}
	return config
}

// firstTrust is what the server's certificate must chain to before anything that it says is
// believed: the roots that were given, or else the system's, and the authority's own root if
// it is known by the token or the certificate in force.
//
// To find that root the server is asked without knowing who it is. Of what it sends only
// that very root is taken: a stranger may send it too, beside one of its own.
func (c *Client) firstTrust(ctx context.Context, o ClientOptions, named []byte) (*x509.CertPool, error) {
	trust := o.Roots
	if trust == nil {
		var err error
		if trust, err = x509.SystemCertPool(); err != nil {
			trust = x509.NewCertPool()
		}
	}
	if named == nil && o.Known == nil {
		return trust, nil
	}
	nobody := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} // nothing secret is sent, and one certificate is taken by its digest
	sent, err := c.call(ctx, nobody, http.MethodGet, "/cacerts", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its roots: %w", c.base, err)
	}
	root, err := known(sent, named, o.Known)
	if err != nil {
		return nil, err
	}
	trust = trust.Clone()
	trust.AddCert(root)
	return trust, nil
}

// known finds the root that the token names, or below which the certificate in force was
// signed.
func known(sent []*x509.Certificate, named []byte, current *tls.Certificate) (*x509.Certificate, error) {
	for _, root := range sent {
		digest := sha256.Sum256(root.Raw)
		if named != nil && subtle.ConstantTimeCompare(digest[:], named) == 1 || named == nil && hasSigned(root, current) {
			return root, nil
		}
	}
	if named != nil {
		return nil, errors.New("the server's authority is not the one that the token is of: somebody may be in between, or the root was replaced; ask for a new token")
	}
	return nil, errors.New("the server's authority has not signed the certificate that is to be renewed: is it another one?")
}

func hasSigned(root *x509.Certificate, current *tls.Certificate) bool {
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	trusted.AddCert(root)
	for _, der := range current.Certificate[1:] {
		if ca, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(ca)
		}
	}
	at := current.Leaf.NotBefore.Add(time.Second) // whose it is does not depend on the time
	_, err := current.Leaf.Verify(x509.VerifyOptions{Roots: trusted, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// Roots are the authority's.
func (c *Client) Roots() []*x509.Certificate { return c.roots }

// Obtain implements renewed.Source: the first certificate by the token, the next ones by the
// one before.
func (c *Client) Obtain(ctx context.Context, key crypto.Signer, current *tls.Certificate) ([]*x509.Certificate, error) {
	name := "enrolment"
	if current != nil {
		name = current.Leaf.Subject.CommonName
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request: %w", err)
	}
	if current == nil {
		if c.secret == "" {
			return nil, errors.New("there is no certificate that could be renewed, and no enrolment token")
		}
		return c.call(ctx, c.config(nil), http.MethodPost, "/simpleenroll", csr, func(r *http.Request) { r.SetBasicAuth("", c.secret) })
	}
	return c.call(ctx, c.config(current), http.MethodPost, "/simplereenroll", csr, nil)
}

// call asks once, over a connection of its own: each has its own certificate.
func (c *Client) call(ctx context.Context, config *tls.Config, method, path string, csr []byte, change func(*http.Request)) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var body io.Reader
	if csr != nil {
		body = bytes.NewReader(encode64(csr))
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base+path, err)
	}
	if csr != nil {
		r.Header.Set("Content-Type", "application/pkcs10")
		r.Header.Set("Content-Transfer-Encoding", "base64")
	}
	if change != nil {
		change(r)
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: false, Proxy: http.ProxyFromEnvironment}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the server sends elsewhere, and is not followed")
	}}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil || len(text) > maxAnswer {
		return nil, fmt.Errorf("the answer could not be read, or has more than %d bytes: %v", maxAnswer, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, &RefusedError{answer.StatusCode, firstLine(text)}
	}
	der, err := decode64(text)
	if err != nil {
		return nil, err
	}
	return decodeCerts(der)
}

// RefusedError says that the server said no.
type RefusedError struct {
	Status int
	Text   string
}

// Error is what the server said.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused with %d: %s", e.Status, e.Text) }

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	if len(line) > 300 {
		line = line[:300]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
}
