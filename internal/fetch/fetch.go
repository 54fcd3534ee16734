// Package fetch is the one way out of the program: it gets documents such as an
// issuer's keys, and cannot be talked into anything else.
//
// A gateway stands where others cannot reach: in front of databases, metadata
// services and its own administration. Whoever can make it fetch an address of
// their choice, by a discovery document, a redirect or a DNS answer that changes
// between two look-ups, borrows that position. So a [Client]
//
//   - speaks https only, unless the operator allowed a host without TLS, or what is
//     fetched is signed by itself;
//   - judges the address itself at the moment of dialling, after every name
//     look-up, and dials none but public ones and those the operator allowed;
//   - follows no redirect, uses no proxy, sends no cookie and no credential;
//   - takes nothing but a 200 answer, uncompressed, of at most the bytes asked for;
//   - gives up after a few seconds, and never has more than a few requests under way.
//
// Ports are not restricted: issuers live on odd ones, every address comes from
// the operator or from a document of an issuer that he named, and what is not TLS
// learns nothing but a TLS greeting. Errors name scheme, host and path of an
// address, never its query or user part.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"pavise.dev/pavise/shield"
)

// ErrAddress says that a name resolved to an address that is not public and that
// the operator did not allow.
var ErrAddress = errors.New("not a public address, and not in fetch.allow")

// ErrTooLong says that there is an answer, and that it is longer than what is read.
var ErrTooLong = errors.New("the answer is longer than what is read")

// Defaults of [Settings].
const (
	DefaultTimeout    = 5 * time.Second
	DefaultConcurrent = 16
)

// idle is how long a connection is kept that nobody uses.
const idle = 30 * time.Second

// Settings of a [Client]. The zero value works.
type Settings struct {
	// Allow lists what may be reached although it is not public: networks
	// (10.1.0.0/16), addresses (127.0.0.1) and host names (login.internal). A
	// host or address behind http:// may be asked without TLS, too.
	Allow      []string
	Roots      *x509.CertPool // instead of the system's CAs
	Timeout    time.Duration  // of one Get, from the wait for its turn to the last byte; 0: [DefaultTimeout]
	Concurrent int            // requests under way at once; 0: [DefaultConcurrent]
	Resolver   *net.Resolver  // nil: the system's

	// KeepAlive keeps connections for the next request to the same address, for places
	// that are asked often. The CloseIdleConnections of what [Client.HTTP] returns ends them.
	KeepAlive bool

	// Signed says that what is fetched is signed by itself, such as revocation lists: it may
	// be had without TLS from everywhere (RFC 5280 §8 advises against https there). Which
	// addresses may be dialled is the same.
	Signed bool
}

// Client implements [shield.Fetcher]. It is safe for concurrent use and keeps no
// connection between requests unless it was told to.
type Client struct {
	keepAlive bool
	signed    bool
	allow     *allowance
	timeout   time.Duration
	turns     chan struct{}
	resolver  *net.Resolver
	transport *http.Transport
}

var _ shield.Fetcher = (*Client)(nil)

// New returns a client. It is an error if an entry of Allow cannot be read.
func New(s Settings) (*Client, error) {
	allow, err := newAllowance(s.Allow)
	if err != nil {
		return nil, err
	}
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Concurrent <= 0 {
		s.Concurrent = DefaultConcurrent
	}
	c := &Client{allow: allow, timeout: s.Timeout, turns: make(chan struct{}, s.Concurrent), resolver: s.Resolver, keepAlive: s.KeepAlive, signed: s.Signed}
	c.transport = c.newTransport(s.Roots)
	return c, nil
}

// WithRoots returns a client that trusts the CAs in roots instead, and shares
// everything else with c, its bound on requests under way included.
func (c *Client) WithRoots(roots *x509.CertPool) *Client {
	other := *c
	other.transport = other.newTransport(roots)
	return &other
}

func (c *Client) newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // a proxy would do the look-up and the dialling for us
		DialContext:            c.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      !c.keepAlive, // otherwise every request resolves and judges anew
		MaxIdleConnsPerHost:    cap(c.turns),
		IdleConnTimeout:        idle,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 32 << 10,
		TLSHandshakeTimeout:    c.timeout,
		ResponseHeaderTimeout:  c.timeout,
	}
}

// dial connects to one of the addresses of a name. Control runs for each of
// them, after the look-up and before the connection.
func (c *Client) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("read the address: %w", err)
	}
	dialer := net.Dialer{
		Resolver: c.resolver,
		Control: func(_, address string, _ syscall.RawConn) error {
			target, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("read the address: %w", err)
			}
			return c.allow.dial(host, target.Addr())
		},
	}
	return dialer.DialContext(ctx, network, hostport)
}

// Get returns the body of a 200 answer of at most limit bytes.
func (c *Client) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	u, err := c.check(address)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch %s: %w", Printable(address), err)
	}
	body, header, err := c.get(ctx, u, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch %s: %w", Printable(address), err)
	}
	return body, header, nil
}

func (c *Client) check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("not an address") // url.Error would quote it
	}
	switch {
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("an address needs a scheme and a host")
	case u.User != nil:
		return nil, errors.New("an address must hold no user or password")
	case u.Fragment != "":
		return nil, errors.New("an address must hold no fragment")
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && (c.signed || c.allow.withoutTLS(u.Hostname(), u.Host)):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("https only; to do without TLS, add http://%s to fetch.allow", u.Host)
	}
	return nil, errors.New("https only")
}

func (c *Client) get(ctx context.Context, u *url.URL, limit int64) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
	r := (&http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":          {c.accept()},
			"Accept-Encoding": {"identity"},
			"User-Agent":      {"pavise"},
		},
	}).WithContext(ctx)
	// The transport itself: an http.Client would follow redirects.
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read to the end or given up; nothing is left to learn
	body, header, err := read(answer, limit)
	if err == nil && ctx.Err() != nil {
		// The transport hangs up politely when the time is over, and a server may
		// answer that with a proper end of what it had sent so far.
		return nil, nil, fmt.Errorf("read the answer: %w", ctx.Err())
	}
	return body, header, err
}

// accept says what is wanted: JSON, or what the address is known to give.
func (c *Client) accept() string {
	if c.signed {
		return "*/*"
	}
	return "application/json, application/jwk-set+json"
}

func read(answer *http.Response, limit int64) ([]byte, http.Header, error) {
	if answer.StatusCode != http.StatusOK {
		return nil, nil, &StatusError{Status: answer.StatusCode}
	}
	if coding := answer.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, nil, errors.New("the answer is compressed although identity was asked for")
	}
	if answer.ContentLength > limit {
		return nil, nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrTooLong, answer.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrTooLong, limit)
	}
	return body, answer.Header, nil
}

// StatusError is an answer other than 200. Redirects are among them: none is
// followed.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	if e.Status >= 300 && e.Status < 400 {
		return fmt.Sprintf("the answer is a redirect (%d), which is not followed; write the final address", e.Status)
	}
	return fmt.Sprintf("the answer has status %d, not 200", e.Status)
}

// Printable returns scheme, host and path of an address, for errors and events.
func Printable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not an address)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
