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
	"slices"
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
	Known  *tls.Certificate // the certificate in force, if there is one
	// Roots are what the server's certificate may chain to, beside the authority's own root,
	// which is known by Token or Known. Nil: to nothing else; without token and certificate,
	// to what the system trusts.
	Roots *x509.CertPool
	Now   func() time.Time // nil: time.Now
}

// Client gets certificates from a [Server]. It implements renewed.Source. It is safe for
// concurrent use.
type Client struct {
	base   string
	secret string
	trust  *x509.CertPool

	roots   []*x509.Certificate // the authority's
	between []*x509.Certificate // what stands between certificates and them
	now     func() time.Time    // nil: time.Now
}

// NewClient finds out which roots the authority has. The server must prove who it is before
// anything that it says is believed: by the root that the token names or that signed the
// certificate in force, or by Roots.
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
	pinned, err := c.firstTrust(ctx, o, named)
	if err != nil {
		return nil, err
	}
	sent, err := c.call(ctx, c.config(nil), http.MethodGet, "/cacerts", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its roots: %w", c.base, err)
	}
	if pinned != nil && !slices.ContainsFunc(sent, pinned.Equal) {
		return nil, errors.New("the server, which has proved who it is, has another authority than the one that is known: somebody may be in between")
	}
	c.sort(sent)
	return c, nil
}

// sort tells roots from what stands below them. Only roots are trusted.
func (c *Client) sort(sent []*x509.Certificate) {
	c.trust = c.trust.Clone()
	for _, one := range sent {
		if !bytes.Equal(one.RawSubject, one.RawIssuer) || one.CheckSignatureFrom(one) != nil {
			c.between = append(c.between, one)
			continue
		}
		c.roots = append(c.roots, one)
		c.trust.AddCert(one)
	}
}

// config is how the server is verified, and what is presented to it.
func (c *Client) config(current *tls.Certificate) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.trust, Time: c.now}
	if current != nil {
		config.Certificates = []tls.Certificate{*current}
	}
	return config
}

// firstTrust sets what the server's certificate must chain to before anything that it says is
// believed: the authority's own root, if it is known by the token or the certificate in
// force, which it returns; and the roots that were given. What the system trusts is not
// believed beside a known root: some public authority may have certified somebody in between.
//
// To find that root the server is asked without knowing who it is. Of what it sends only
// that very root is taken: a stranger may send it too, beside one of its own.
func (c *Client) firstTrust(ctx context.Context, o ClientOptions, named []byte) (pinned *x509.Certificate, err error) {
	c.trust = o.Roots
	if named == nil && o.Known == nil {
		if c.trust == nil {
			c.trust, err = x509.SystemCertPool()
		}
		return nil, err
	}
	nobody := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} // nothing secret is sent, and one certificate is taken by its digest
	sent, err := c.call(ctx, nobody, http.MethodGet, "/cacerts", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its roots: %w", c.base, err)
	}
	if pinned, err = known(sent, named, o.Known); err != nil {
		return nil, err
	}
	if c.trust == nil {
		c.trust = x509.NewCertPool()
	}
	c.trust = c.trust.Clone()
	c.trust.AddCert(pinned)
	return pinned, nil
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
	csr, err := x509.CreateCertificateRequest(rand.Reader, requestFor(current), key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request: %w", err)
	}
	var sent []*x509.Certificate
	switch {
	case current != nil:
		sent, err = c.call(ctx, c.config(current), http.MethodPost, "/simplereenroll", csr, nil)
	case c.secret == "":
		err = errors.New("there is no certificate that could be renewed, and no enrolment token")
	default:
		sent, err = c.call(ctx, c.config(nil), http.MethodPost, "/simpleenroll", csr, func(r *http.Request) { r.SetBasicAuth("", c.secret) })
	}
	if err != nil {
		return nil, err
	}
	return c.chain(sent, key)
}

// requestFor asks for the names that the certificate before has (RFC 7030 §4.2.2).
func requestFor(current *tls.Certificate) *x509.CertificateRequest {
	if current == nil {
		return &x509.CertificateRequest{Subject: pkix.Name{CommonName: "enrolment"}}
	}
	leaf := current.Leaf
	return &x509.CertificateRequest{
		RawSubject: leaf.RawSubject, DNSNames: leaf.DNSNames, URIs: leaf.URIs, IPAddresses: leaf.IPAddresses, EmailAddresses: leaf.EmailAddresses,
	}
}

// maxChain is the longest chain that is put together.
const maxChain = 6

// chain puts together what leads from the certificate that was sent to a root: it comes alone
// (RFC 7030 §4.2.3), and what stands in between came with the roots (§4.1.3).
func (c *Client) chain(sent []*x509.Certificate, key crypto.Signer) ([]*x509.Certificate, error) {
	isOurs := func(one *x509.Certificate) bool {
		public, ok := one.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(key.Public())
	}
	i := slices.IndexFunc(sent, isOurs)
	if i < 0 {
		return nil, errors.New("the server sent no certificate for this key")
	}
	chain := []*x509.Certificate{sent[i]}
	known := append(slices.Delete(slices.Clone(sent), i, i+1), c.between...)
	for len(chain) < maxChain {
		last := chain[len(chain)-1]
		i := slices.IndexFunc(known, func(ca *x509.Certificate) bool {
			return bytes.Equal(ca.RawSubject, last.RawIssuer) && !slices.ContainsFunc(chain, ca.Equal) && last.CheckSignatureFrom(ca) == nil
		})
		if i < 0 {
			break
		}
		chain = append(chain, known[i])
	}
	return chain, c.verify(chain)
}

// verify refuses a certificate that leads to none of the authority's roots.
func (c *Client) verify(chain []*x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range c.roots {
		roots.AddCert(root)
	}
	for _, ca := range chain[1:] {
		between.AddCert(ca)
	}
	at := chain[0].NotBefore.Add(time.Second) // whose it is does not depend on this clock
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the certificate that was sent is not of the authority: %w", err)
	}
	return nil
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
