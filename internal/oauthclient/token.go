package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/strictjson"
)

// Bounds of a token answer.
const (
	maxToken    = 16 << 10 // bytes of one token
	maxLife     = 400 * 24 * time.Hour
	maxReason   = 200 // bytes of an explanation that are shown
	bearerType  = "Bearer"
	dpopType    = "DPoP"
	minuteEarly = 30 * time.Second // a token that ends sooner is renewed before it is sent
)

// Token is an access token, with what the server said of it.
type Token struct {
	Access  secret.Value
	Type    string    // "Bearer" or "DPoP": the scheme that it is sent with
	Expires time.Time // zero: the server did not say
	Scopes  []string  // granted; where the server did not say, those that were asked for
	Refresh secret.Value

	got time.Time
}

// fresh reports whether the token is good for a request that is sent now.
func (t *Token) fresh(now time.Time) bool {
	if t == nil || t.Access.Empty() {
		return false
	}
	if t.Expires.IsZero() {
		return true
	}
	early := min(minuteEarly, t.Expires.Sub(t.got)/4)
	return now.Before(t.Expires.Add(-early))
}

// Error is the authorization server's refusal (RFC 6749 §5.2).
type Error struct {
	Code   string // "invalid_client", "invalid_scope", …
	Reason string // the server's words; may be empty. It holds no secret of ours
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return "the authorization server refused: " + e.Code
	}
	return "the authorization server refused: " + e.Code + ": " + e.Reason
}

// post sends a form to an endpoint, as this client, and returns the answer that says yes.
// A nonce that the server asks for is given to it once (RFC 9449 §8).
func (c *Client) post(ctx context.Context, m *metadata, address string, form url.Values, proof bool) (map[string]any, error) {
	for try := 0; ; try++ {
		a, err := c.postOnce(ctx, m, address, form, proof)
		if err == nil && (a.status == http.StatusOK || a.status == http.StatusCreated) { // 201: RFC 9126 §2.2
			return a.object, nil
		}
		if a == nil || a.object == nil {
			return nil, err
		}
		refused := refusal(a, c.secretsOf(form))
		if proof && try == 0 && refused.Code == "use_dpop_nonce" && a.header.Get("DPoP-Nonce") != "" {
			continue
		}
		return nil, refused
	}
}

func (c *Client) postOnce(ctx context.Context, m *metadata, address string, form url.Values, proof bool) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(r, form, m); err != nil {
		return nil, err
	}
	body := form.Encode()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Body, r.GetBody, r.ContentLength = nil, nil, int64(len(body))
	r.Body = readCloser(body)
	if !proof {
		return c.do(r)
	}
	if err := c.prove(r, ""); err != nil {
		return nil, err
	}
	a, err := c.do(r)
	if a != nil {
		c.learn(r.URL, a.header)
	}
	return a, err
}

// refusal reads an answer that says no. What it quotes is cut, plain and free of secrets.
func refusal(a *answer, secrets []string) *Error {
	e := &Error{Code: fmt.Sprintf("status %d without an error code", a.status)}
	if code, ok := a.object["error"].(string); ok && len(code) <= 64 && isPlain(code) && code != "" && !holds(code, secrets) {
		e.Code = code
	}
	reason, _ := a.object["error_description"].(string)
	if isPlain(reason) && !holds(reason, secrets) {
		e.Reason = reason[:min(len(reason), maxReason)]
	}
	return e
}

func holds(text string, secrets []string) bool {
	return slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) })
}

// isPlain reports whether text holds only what RFC 6749 §5.2 lets an error hold, so that
// it steers no terminal.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7E })
}

// ask sends a token request for a grant.
func (c *Client) ask(ctx context.Context, form url.Values) (*Token, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	address, err := m.endpoint(tokenEndpoint)
	if err != nil {
		return nil, err
	}
	for _, resource := range c.settings.Resources {
		if !slices.Contains(form["resource"], resource) {
			form.Add("resource", resource)
		}
	}
	sent := c.settings.Now() // the life counts from before the answer: never longer than it is
	object, err := c.post(ctx, m, address, form, c.settings.DPoP)
	if err != nil {
		return nil, fmt.Errorf("get a token: %w", err)
	}
	token, err := c.parse(object, sent)
	if err != nil {
		return nil, fmt.Errorf("the answer of the token endpoint: %w", err)
	}
	return token, nil
}

// parse reads a token answer (RFC 6749 §5.1).
func (c *Client) parse(object map[string]any, sent time.Time) (*Token, error) {
	t := &Token{got: sent, Scopes: c.settings.Scopes}
	access, _ := object["access_token"].(string)
	if !isToken(access) {
		return nil, errors.New("it holds no access token that can be sent in a header")
	}
	t.Access = secret.New([]byte(access))
	kind, _ := object["token_type"].(string)
	switch {
	case strings.EqualFold(kind, dpopType) && c.settings.DPoP:
		t.Type = dpopType
	case strings.EqualFold(kind, bearerType) && c.settings.DPoP: // RFC 9449 §5: it was not bound
		return nil, errors.New("the token is not bound to our key, although that was asked for; is DPoP supported for this client?")
	case strings.EqualFold(kind, bearerType):
		t.Type = bearerType
	default:
		return nil, errors.New("the token is of a type that is not known, neither Bearer nor what was asked for")
	}
	if refresh, ok := object["refresh_token"]; ok {
		text, _ := refresh.(string)
		if !isToken(text) {
			return nil, errors.New("its refresh token is none")
		}
		t.Refresh = secret.New([]byte(text))
	}
	if scope, ok := object["scope"].(string); ok {
		t.Scopes = slices.DeleteFunc(strings.Fields(scope), func(s string) bool { return !isScope(s) })
	}
	life, ok := object["expires_in"]
	if !ok {
		return t, nil
	}
	long, err := seconds(life)
	if err != nil {
		return nil, fmt.Errorf("expires_in: %w", err)
	}
	t.Expires = sent.Add(long)
	return t, nil
}

// isToken reports whether text can stand behind a scheme (RFC 6750 §2.1) or in a form: it
// is taken as widely as real servers write tokens, and no wider.
func isToken(text string) bool {
	return text != "" && len(text) <= maxToken && !strings.ContainsFunc(text, func(r rune) bool { return r <= 0x20 || r > 0x7E || r == '"' || r == ',' })
}

// seconds reads a positive number of them, at most [maxLife].
func seconds(value any) (time.Duration, error) {
	number, ok := value.(strictjson.Number)
	if !ok {
		return 0, errors.New("no number")
	}
	f, err := number.Float()
	if err != nil || f < 1 {
		return 0, errors.New("not a positive number of seconds")
	}
	return time.Duration(min(f, maxLife.Seconds())) * time.Second, nil
}

// forItself gets a token for the client itself (RFC 6749 §4.4).
func (c *Client) forItself(ctx context.Context) (*Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	c.addScope(form)
	return c.ask(ctx, form)
}

// refresh spends a refresh token (RFC 6749 §6). A server that gives no new one lets the
// old one stand.
func (c *Client) refresh(ctx context.Context, old *Token) (*Token, error) {
	t, err := c.ask(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(old.Refresh.Reveal())}})
	if err == nil && t.Refresh.Empty() {
		t.Refresh = old.Refresh
	}
	return t, err
}

func (c *Client) addScope(form url.Values) {
	if len(c.settings.Scopes) > 0 {
		form.Set("scope", strings.Join(c.settings.Scopes, " "))
	}
}
