package demo

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// visitor is an app of somebody else: a website that shows people their orders, if they
// allow it. It is written as anybody would write it, with the usual libraries, and knows
// nothing of Pavise but the address of its issuer.
type visitor struct {
	settings visitorSettings
	client   *http.Client
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	server   *http.Server
	address  string
	done     chan error

	mu      sync.Mutex
	pending map[string]pending // by state
}

type visitorSettings struct {
	issuer, api, ca, id, secret string
}

// pending is an authorization that was begun.
type pending struct {
	verifier, nonce string
	begun           time.Time
}

// ordersScope is what the app cannot do without.
const ordersScope = "orders:read"

// bounds of the app.
const (
	maxPending  = 1000
	pendingLife = 10 * time.Minute
	maxAnswer   = 64 << 10
)

// listenVisitor takes the app's port, which is a part of its redirect address.
func listenVisitor() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the app: %w", err)
	}
	return l, nil
}

func callbackOf(l net.Listener) string { return "http://" + l.Addr().String() + "/callback" }

// startVisitor serves the app on a listener.
func startVisitor(ctx context.Context, l net.Listener, s visitorSettings) (*visitor, error) {
	ca, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	v := &visitor{
		settings: s, address: "http://" + l.Addr().String(), done: make(chan error, 1), pending: map[string]pending{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, v.client), s.issuer)
	if err != nil {
		return nil, fmt.Errorf("the app asks the issuer: %w", err)
	}
	v.verifier = found.VerifierContext(oidc.ClientContext(ctx, v.client), &oidc.Config{ClientID: s.id, SupportedSigningAlgs: []string{"ES256"}})
	v.oauth = oauth2.Config{
		ClientID: s.id, ClientSecret: s.secret, Endpoint: found.Endpoint(), RedirectURL: callbackOf(l),
		Scopes: []string{oidc.ScopeOpenID, "profile", ordersScope},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", v.home)
	mux.HandleFunc("GET /connect", v.connect)
	mux.HandleFunc("GET /callback", v.callback)
	v.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { v.done <- v.server.Serve(l) }()
	return v, nil
}

// Close ends the app and waits for it.
func (v *visitor) Close() error {
	err := v.server.Close()
	if served := <-v.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// page is what the app shows.
type page struct {
	Error, Who, Token, Order, Account string
}

// looks is the app's only page.
func looks() *template.Template {
	return template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Parcel Pal</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}pre{overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;padding:1rem;border:1px solid #8888;border-radius:.5rem}a.button{display:inline-block;padding:.6rem 1rem;border-radius:.5rem;background:#1d4ed8;color:#fff;text-decoration:none}</style></head>
<body><h1>Parcel Pal</h1>
{{if .Error}}<p role="alert">{{.Error}}</p><p><a href="/connect">Begin again</a> · <a href="/">Back</a></p>
{{else if .Who}}<p>Hello {{.Who}}. You allowed it, so the orders API was asked, and said:</p><pre>{{.Order}}</pre>
<p>What it was asked with: an access token, for your orders only, that ends in minutes.</p><pre>{{.Token}}</pre>
<p><a href="{{.Account}}">Withdraw</a> · <a href="/">Back</a></p>
{{else}}<p>An app of somebody else, which tracks your parcels. It wants to read your orders, and asks you first.</p>
<p><a class="button" href="/connect">Connect the Orders Shop</a></p>{{end}}
</body></html>
`))
}

func show(w http.ResponseWriter, status int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = looks().Execute(w, p) // who left does not want it
}

func (v *visitor) home(w http.ResponseWriter, _ *http.Request) { show(w, http.StatusOK, page{}) }

// cookieName holds the state in the browser that began, so that only it may come back.
const cookieName = "parcel-pal-state"

// connect sends the person to the issuer: authorization code with PKCE (RFC 7636).
func (v *visitor) connect(w http.ResponseWriter, r *http.Request) {
	state, p := oauth2.GenerateVerifier(), pending{oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), time.Now()}
	v.mu.Lock()
	for old, other := range v.pending {
		if time.Since(other.begun) > pendingLife || len(v.pending) >= maxPending {
			delete(v.pending, old)
		}
	}
	v.pending[state] = p
	v.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: state, Path: "/callback", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(pendingLife.Seconds())})
	http.Redirect(w, r, v.oauth.AuthCodeURL(state, oauth2.S256ChallengeOption(p.verifier), oidc.Nonce(p.nonce)), http.StatusSeeOther)
}

// callback takes the code, and asks the orders API on the person's behalf.
func (v *visitor) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	cookie, err := r.Cookie(cookieName)
	v.mu.Lock()
	p, known := v.pending[q.Get("state")]
	delete(v.pending, q.Get("state"))
	v.mu.Unlock()
	switch {
	case err != nil || !known || cookie.Value != q.Get("state"):
		show(w, http.StatusBadRequest, page{Error: "This page shows an answer once, and in the browser that asked. It was loaded again, or another tab has begun since."})
		return
	case q.Get("iss") != v.settings.issuer: // RFC 9207
		show(w, http.StatusBadRequest, page{Error: "Somebody else answered."})
		return
	case q.Get("error") != "":
		show(w, http.StatusOK, page{Error: "You did not allow it (" + q.Get("error") + "). Nothing was read."})
		return
	}
	result, err := v.fetch(r.Context(), q.Get("code"), p)
	if err != nil {
		show(w, http.StatusBadGateway, page{Error: "That did not work: " + err.Error()})
		return
	}
	show(w, http.StatusOK, result)
}

func (v *visitor) fetch(ctx context.Context, code string, p pending) (page, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, v.client)
	token, err := v.oauth.Exchange(ctx, code, oauth2.VerifierOption(p.verifier))
	if err != nil {
		return page{}, errors.New("the code was not taken")
	}
	if scope, ok := token.Extra("scope").(string); ok && !slices.Contains(strings.Fields(scope), ordersScope) { // RFC 6749 §5.1
		return page{Error: "You did not allow Parcel Pal to see your orders. Nothing was read."}, nil
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := v.verifier.Verify(ctx, raw)
	if err != nil || id.Nonce != p.nonce {
		return page{}, errors.New("the ID token is not for this app and this sign-in")
	}
	var claims struct {
		Name string `json:"name"`
	}
	if err := id.Claims(&claims); err != nil {
		return page{}, err
	}
	answer, err := v.oauth.Client(ctx, token).Get(v.settings.api + "/v1/orders/7")
	if err != nil {
		return page{}, errors.New("the orders API does not answer")
	}
	defer func() { _ = answer.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return page{}, err
	}
	return page{Who: cmp.Or(claims.Name, "there"), Order: fmt.Sprintf("%s\n%s", answer.Status, text), Token: token.AccessToken[:24] + "…", Account: v.settings.issuer + "/account"}, nil
}
