package oauthclient

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

const (
	callbackPath = "/callback"
	maxQuery     = 16 << 10        // bytes of the address that the browser comes back to
	closeIn      = 2 * time.Second // for the page to be sent before the program goes on
)

// page is all that the person sees of us. Its script takes the code out of the browser's
// history and closes the window where the browser lets it.
const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Pavise</title>
<p>%s</p><script>history.replaceState(null,"","/");window.close()</script></html>
`

// pagePolicy lets nothing run but that script, by its digest.
const pagePolicy = "default-src 'none'; script-src 'sha256-756gkIbiUnb8obE15kOkUyNj4a1ZPwwlfzIPcXtYld4='; frame-ancestors 'none'; base-uri 'none'"

// byBrowser sends a person to the server and waits on this machine for the way back
// (RFC 8252 §7.3, RFC 7636).
func (c *Client) byBrowser(ctx context.Context, p Person) (*Token, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	back, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	defer back.close()
	back.issuer, back.named = c.settings.Issuer, m.names
	verifier := oauth2.GenerateVerifier()
	address, err := c.authorizeAt(ctx, m, back, verifier)
	if err != nil {
		return nil, err
	}
	if err := p.Show(Prompt{Address: address}); err != nil {
		return nil, err
	}
	if p.Open != nil {
		_ = p.Open(address) // it was shown: the person can open it
	}
	code, err := back.wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign in with the browser: %w", err)
	}
	return c.ask(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back.address}, "code_verifier": {verifier},
	})
}

// authorizeAt is the address at which the person signs in. Where the server takes pushed
// requests (RFC 9126), what is asked for goes there first, and nobody on the way can
// change it.
func (c *Client) authorizeAt(ctx context.Context, m *metadata, back *way, verifier string) (string, error) {
	address, err := m.endpoint(authorizeEndpoint)
	if err != nil {
		return "", err
	}
	form := url.Values{
		"response_type": {"code"}, "redirect_uri": {back.address}, "state": {back.state},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	c.addScope(form)
	for _, resource := range c.settings.Resources {
		form.Add("resource", resource)
	}
	if c.settings.DPoP {
		c.mu.Lock()
		form.Set("dpop_jkt", c.thumbprint)
		c.mu.Unlock()
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	query := u.Query()
	if push := m.endpoints[pushEndpoint]; push != "" {
		object, err := c.post(ctx, m, push, form, c.settings.DPoP)
		if err != nil {
			return "", fmt.Errorf("push the request: %w", err)
		}
		request, _ := object["request_uri"].(string)
		if request == "" || len(request) > 1024 || !isPlain(request) {
			return "", errors.New("push the request: the answer names no request_uri")
		}
		form = url.Values{"request_uri": {request}}
	}
	form.Set("client_id", c.settings.ID)
	for name, values := range form {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// way is the way back from the browser: a listener on this machine, for one answer.
type way struct {
	address, host string // redirect_uri, and its host
	state         string // that only the answer to our request can carry
	issuer        string // RFC 9207 §2.4: who has to have answered
	named         bool   // the server always says so
	server        *http.Server
	done          chan struct{} // the server has stopped
	answers       chan result   // one
	strange       chan struct{} // somebody knocked who is not it
}

type result struct {
	code string
	err  error
}

func listen(ctx context.Context) (*way, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wait for the browser: %w", err)
	}
	b := &way{
		host: l.Addr().String(), state: random(),
		done: make(chan struct{}), answers: make(chan result, 1), strange: make(chan struct{}, 1),
	}
	b.address = "http://" + b.host + callbackPath
	b.server = &http.Server{
		Handler: b, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: maxQuery + 16<<10, ErrorLog: log.New(io.Discard, "", 0), // whoever knocks could write into the terminal
	}
	go func() {
		defer close(b.done)
		_ = b.server.Serve(l) // it ends when close is called; earlier, nobody comes and the wait ends
	}()
	return b, nil
}

func (b *way) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeIn)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		_ = b.server.Close() // whoever is still there is cut off
	}
	<-b.done
}

func (b *way) wait(ctx context.Context) (string, error) {
	select {
	case r := <-b.answers:
		return r.code, r.err
	case <-ctx.Done():
		select {
		case <-b.strange:
			return "", fmt.Errorf("no answer to our request came, but one with another state: %w", context.Cause(ctx))
		default:
			return "", fmt.Errorf("no answer came: %w", context.Cause(ctx))
		}
	}
}

// ServeHTTP takes the one answer to our request. Any page and any program of this machine
// can send requests here: those that do not carry the state change nothing.
func (b *way) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	known := subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(b.state)) == 1
	switch {
	case r.URL.Path != callbackPath || r.Host != b.host: // another name for this machine is an attack (DNS rebinding)
		b.say(w, http.StatusNotFound, "There is nothing here.")
		return
	case r.Method != http.MethodGet:
		b.say(w, http.StatusMethodNotAllowed, "There is nothing here.")
		return
	case err != nil || !known || len(query["state"]) != 1:
		select {
		case b.strange <- struct{}{}:
		default:
		}
		b.say(w, http.StatusBadRequest, "This is not the answer to the request of this program. Nothing was done.")
		return
	}
	code, err := b.judge(query)
	text := "You are signed in. You can close this page and go back."
	if err != nil {
		text = "That did not work. The program that sent you says why; you can close this page."
	}
	b.say(w, http.StatusOK, text)
	select {
	case b.answers <- result{code, err}:
	default: // it came already
	}
}

// judge reads an answer that carries our state.
func (b *way) judge(query url.Values) (string, error) {
	for _, name := range []string{"iss", "code", "error"} {
		if len(query[name]) > 1 {
			return "", errors.New("the answer says something twice")
		}
	}
	iss := query.Get("iss")
	switch {
	case query.Has("iss") && iss != b.issuer, !query.Has("iss") && b.named:
		return "", errors.New("the answer came from another authorization server (iss); nothing was sent to it")
	case query.Has("error"):
		fields := map[string]any{"error": query.Get("error"), "error_description": query.Get("error_description")}
		return "", refusal(&answer{object: fields}, []string{b.state})
	case query.Get("code") == "" || len(query.Get("code")) > maxToken:
		return "", errors.New("the answer holds no code")
	}
	return query.Get("code"), nil
}

func (b *way) say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, page, text) // the browser may be gone
}
