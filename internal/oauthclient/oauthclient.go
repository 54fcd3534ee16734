// Package oauthclient is the caller's half of OAuth 2.0: it gets access tokens, keeps them,
// renews them, and sends them with requests.
//
// A [Client] is one registration at one authorization server, asking for one thing. Where
// the server's addresses are it learns from the server's metadata, whose issuer must be the
// one that was asked for (RFC 8414 §3.3). Then it gets a token in one of three ways:
//
//	client_credentials  a program for itself        RFC 6749 §4.4   token.go
//	browser             a person, on this machine   RFC 8252        browser.go
//	device              a person, on any machine    RFC 8628        device.go
//
// [Client.Token] never bothers a person: it takes the kept token, refreshes it, or gets one
// for the client itself. Where only a person can help it returns [ErrSignIn], and the caller
// decides whether somebody is there for [Client.SignIn].
//
// What was got is kept in a folder that only its owner can read (keep.go), under a lock, so
// that two programs do not both spend a refresh token that is good once. Requests are sent
// by [Client.Transport], which binds them to the client's key where the token is bound to one
// (DPoP, RFC 9449), gives the server the nonce that it asks for, and renews a token that is
// no longer taken, each once.
//
// Every way out is https, bounded in size and time, and follows no redirect. No error and
// nothing printed holds a secret, a token or a code, not even where a server sends one back
// as its explanation.
//
// It does not read what stands in tokens: access tokens are the API's to read, and ID
// tokens are ignored, because nobody is signed in to this program.
package oauthclient

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/secret"
)

// Grant is a way to get a token.
type Grant string

// The ways.
const (
	ForItself Grant = "client_credentials"
	Browser   Grant = "browser"
	Device    Grant = "device"
)

// ErrSignIn says that a person has to sign in: see [Client.SignIn].
var ErrSignIn = errors.New("somebody has to sign in")

// Settings of a [Client]. Issuer, ID and Folder are required.
type Settings struct {
	Issuer string // exactly as the server's metadata name it: https, no query
	ID     string // client_id
	Grant  Grant  // empty: [ForItself] with a Secret, Key or Certificate, otherwise [Browser]

	Secret      secret.Value     // for client_secret_basic, or _post where Post says so
	Post        bool             // send the secret in the form, although the server takes it in the header too
	Key         crypto.Signer    // for private_key_jwt (RFC 7523): ECDSA, Ed25519 or RSA
	KeyID       string           // "kid" of Key; may be empty
	Certificate *tls.Certificate // of the connection: mutual TLS, certificate-bound tokens (RFC 8705)

	Scopes    []string // to ask for; none: what the server gives by itself
	Resources []string // RFC 8707: the APIs that the token is for
	DPoP      bool     // bind the tokens to a key that is kept beside them (RFC 9449)

	Folder string         // where tokens of all clients are kept; made with mode 0700
	Roots  *x509.CertPool // nil: the system's CAs

	Now  func() time.Time                           // nil: time.Now
	Wait func(context.Context, time.Duration) error // nil: by the clock. Between polls of [Device]
}

// Client gets, keeps and sends the tokens of one registration. It is safe for concurrent
// use, in one process and in several.
type Client struct {
	settings Settings
	http     *http.Client

	mu         sync.Mutex // held while metadata and prover are set
	meta       *metadata
	prover     *dpop.Prover
	thumbprint string            // of the prover's key
	nonces     map[string]string // learned, by origin, to be kept
}

// New returns a client; nothing is asked or read yet. It is an error if the settings
// cannot work.
func New(s Settings) (*Client, error) {
	if s.Grant == "" {
		s.Grant = Browser
		if !s.Secret.Empty() || s.Key != nil || s.Certificate != nil {
			s.Grant = ForItself
		}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Wait == nil {
		s.Wait = wait
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return &Client{settings: s, http: newHTTP(s.Roots, s.Certificate), nonces: map[string]string{}}, nil
}

func (s *Settings) check() error {
	issuer, err := url.Parse(s.Issuer)
	switch {
	case err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.Opaque != "":
		return errors.New("issuer is no https address without query; write https://login.example.com")
	case s.ID == "":
		return errors.New("id is missing: the client_id of the registration")
	case s.Folder == "":
		return errors.New("there is no folder to keep tokens in")
	case !slices.Contains([]Grant{ForItself, Browser, Device}, s.Grant):
		return fmt.Errorf("grant %q is none; there are client_credentials, browser and device", s.Grant)
	case !s.Secret.Empty() && s.Key != nil:
		return errors.New("a secret and a private key are two ways to say who asks; keep one")
	case s.Grant == ForItself && s.Secret.Empty() && s.Key == nil && s.Certificate == nil:
		return errors.New("client_credentials need a secret, a private key or a certificate")
	}
	for _, scope := range s.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("scope %q holds a character that no scope has", scope)
		}
	}
	for _, resource := range s.Resources {
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || u.Fragment != "" {
			return fmt.Errorf("resource %q is no absolute address without fragment", resource)
		}
	}
	return nil
}

// isScope reports whether text is a scope-token (RFC 6749 §3.3).
func isScope(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7E || r == '"' || r == '\\' })
}

func wait(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
