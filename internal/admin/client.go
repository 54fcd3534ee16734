package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
)

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 64 << 20

// Client calls a [Service]: over the socket of a gateway, or in this process. It
// is safe for concurrent use. Refusals are errors of type *[Problem].
type Client struct{ http http.Client }

// Connect returns a client over a transport: [Dial]'s or [InProcess].
func Connect(transport http.RoundTripper) *Client {
	return &Client{http.Client{Transport: transport, Timeout: callTime}}
}

// ErrNoGateway says that nobody answers on the socket.
var ErrNoGateway = errors.New("no gateway runs here")

// Dial returns the transport to the gateway that answers on a socket, or
// [ErrNoGateway]. Calls go to the socket and nowhere else, whatever the
// environment says of proxies.
func Dial(ctx context.Context, path string) (http.RoundTripper, error) {
	var dialer net.Dialer
	probe, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return nil, ErrNoGateway
	case err != nil:
		return nil, fmt.Errorf("administration socket: %w", err)
	}
	_ = probe.Close() // it was only opened to see whether somebody answers
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
		DisableKeepAlives: true,
	}, nil
}

// InProcess returns the transport to a service of this process, as the user that
// runs it.
func InProcess(s *Service) http.RoundTripper { return inProcess{s} }

type inProcess struct{ service *Service }

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(WithActor(r.Context(), CurrentUser()))
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	p.service.ServeHTTP(w, in)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}, nil
}

// answer is a response writer that keeps what it is given.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answer) Header() http.Header         { return w.header }
func (w *answer) WriteHeader(status int)      { w.status = status }
func (w *answer) Write(p []byte) (int, error) { return w.body.Write(p) }

// call sends one call and reads its answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if method != http.MethodGet {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the call: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+Host+path, body)
	if err != nil {
		return fmt.Errorf("write the call: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		p := &Problem{}
		if err := json.Unmarshal(text, p); err != nil || p.Code == "" {
			return fmt.Errorf("the gateway answered %s and did not say why", answer.Status)
		}
		return p
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}

// Status asks how the installation is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Reload puts the configuration file in force.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/reload", struct{}{}, &r)
	return r, err
}

// Clients lists clients by id.
func (c *Client) Clients(ctx context.Context) (list []client.Client, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/clients", nil, &list)
	return list, err
}

// Client shows one client with its credentials.
func (c *Client) Client(ctx context.Context, id string) (o Owner, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/clients/"+url.PathEscape(id), nil, &o)
	return o, err
}

// CreateClient adds a client.
func (c *Client) CreateClient(ctx context.Context, n NewClient) (made client.Client, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/clients", n, &made)
	return made, err
}

// UpdateClient changes scopes, tenant or contact of a client.
func (c *Client) UpdateClient(ctx context.Context, id string, u ClientUpdate) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/clients/"+url.PathEscape(id)+"/update", u, &d)
	return d, err
}

// DisableClient refuses all credentials of a client.
func (c *Client) DisableClient(ctx context.Context, id string) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/clients/"+url.PathEscape(id)+"/disable", struct{}{}, &d)
	return d, err
}

// EnableClient ends what [Client.DisableClient] began.
func (c *Client) EnableClient(ctx context.Context, id string) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/clients/"+url.PathEscape(id)+"/enable", struct{}{}, &d)
	return d, err
}

// Credentials lists credentials, of a client and of a kind where they are named.
func (c *Client) Credentials(ctx context.Context, clientID, kind string) (list []client.Credential, err error) {
	q := url.Values{"client": {clientID}, "kind": {kind}}
	err = c.call(ctx, http.MethodGet, "/v1/credentials?"+q.Encode(), nil, &list)
	return list, err
}

// CreateCredential makes a credential, or takes one over.
func (c *Client) CreateCredential(ctx context.Context, n NewCredential) (made Made, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials", n, &made)
	return made, err
}

// Rotate makes a successor of a credential.
func (c *Client) Rotate(ctx context.Context, n Rotation) (made Made, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/rotate", n, &made)
	return made, err
}

// Revoke ends a credential, all of a client, or tokens.
func (c *Client) Revoke(ctx context.Context, n Revoke) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/revoke", n, &d)
	return d, err
}

// Events searches the log, oldest first.
func (c *Client) Events(ctx context.Context, q audit.Query) (found Records, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/events?"+QueryValues(q).Encode(), nil, &found)
	return found, err
}

// Verify checks the log.
func (c *Client) Verify(ctx context.Context) (v Verified, err error) {
	err = c.patient().call(ctx, http.MethodGet, "/v1/events/verify", nil, &v)
	return v, err
}

// Explain says what happened to a request.
func (c *Client) Explain(ctx context.Context, id string) (x Explanation, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/explain/"+url.PathEscape(id), nil, &x)
	return x, err
}

// WhatIf says what would happen to a request.
func (c *Client) WhatIf(ctx context.Context, q WhatIf) (a Answer, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/explain", q, &a)
	return a, err
}

// PublicKeys returns what others need to verify what the installation says.
func (c *Client) PublicKeys(ctx context.Context) (k PublicKeys, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/keys", nil, &k)
	return k, err
}

// ChainKey returns the secret key of the event log's chain; that leaves an event.
func (c *Client) ChainKey(ctx context.Context) (k ChainKey, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/keys/chain", struct{}{}, &k)
	return k, err
}

// RotateStore seals everything in the store again under new data keys.
func (c *Client) RotateStore(ctx context.Context) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/store/rotate", struct{}{}, &d)
	return d, err
}

// Users lists the accounts of people.
func (c *Client) Users(ctx context.Context) (all []User, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/users", nil, &all)
	return all, err
}

// User shows an account.
func (c *Client) User(ctx context.Context, name string) (u User, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/users/"+url.PathEscape(name), nil, &u)
	return u, err
}

// Sessions lists where an account is signed in, newest first.
func (c *Client) Sessions(ctx context.Context, name string) (all []Session, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/users/"+url.PathEscape(name)+"/sessions", nil, &all)
	return all, err
}

// CreateUser adds an account.
func (c *Client) CreateUser(ctx context.Context, n NewUser) (made MadeUser, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/users", n, &made)
	return made, err
}

// ChangeUser does to an account what act says: disable, enable, reset-password, reset-totp,
// sign-out or delete.
func (c *Client) ChangeUser(ctx context.Context, name, act string) (made MadeUser, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/users/"+url.PathEscape(name)+"/"+act, struct{}{}, &made)
	return made, err
}
