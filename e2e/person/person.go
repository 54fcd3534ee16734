// Package person walks through pages as somebody with a browser does, without a browser:
// it keeps cookies, follows redirects, and sends the forms that it is shown.
//
//	p := person.New(transport)
//	err := p.Open(issuer + "/authorize?" + person.Asking("web", "openid").Encode())
//	err = p.SignIn("ann", password)
//	err = p.Allow()
//	code := p.Sent.Get("code")
//
// It stops where it is sent to an application, which is any address of [Host]: nobody
// listens there.
package person

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What an application asks with, and redeems with.
const (
	Host     = "web.example"
	Back     = "https://" + Host + "/cb"
	Verifier = "a-verifier-of-forty-three-characters-or-more-2" // RFC 7636 §4.1
)

// Asking returns the query of an authorization request for a code.
func Asking(client, scope string) url.Values {
	sum := sha256.Sum256([]byte(Verifier))
	return url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {Back}, "scope": {scope}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
}

// Redeeming returns the form with which the application asks for tokens.
func Redeeming(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {Back}, "code_verifier": {Verifier}, "code": {code}}
}

// Person is somebody with a browser, for one goroutine.
type Person struct {
	HTTP *http.Client

	At     *url.URL // the page that is shown
	Status int
	Header http.Header
	Page   string
	Sent   url.Values // the query with which it was sent to the application; nil: it was not
}

// New returns a person without cookies.
func New(transport http.RoundTripper) *Person {
	jar, _ := cookiejar.New(nil) // it never fails
	return &Person{HTTP: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: transport, CheckRedirect: stayAway}}
}

func stayAway(r *http.Request, via []*http.Request) error {
	if r.URL.Host == Host || len(via) > 10 {
		return http.ErrUseLastResponse
	}
	return nil
}

// Open goes to an address.
func (p *Person) Open(address string) error { return p.take(p.HTTP.Get(address)) }

func (p *Person) take(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	p.Sent, p.Status, p.Header = nil, answer.StatusCode, answer.Header
	if location, err := answer.Location(); err == nil && location.Host == Host {
		p.Sent = location.Query()
		return nil
	}
	text, err := io.ReadAll(answer.Body)
	p.At, p.Page = answer.Request.URL, string(text)
	return err
}

var (
	link       = regexp.MustCompile(`href="([^"]*)"`)
	formAction = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	scopeBox   = regexp.MustCompile(`name="scope" value="([^"]*)"`)
)

// Follow takes the link whose address holds a text.
func (p *Person) Follow(holds string) error {
	for _, m := range link.FindAllStringSubmatch(p.Page, -1) {
		address := html.UnescapeString(m[1])
		if !strings.Contains(address, holds) {
			continue
		}
		next, err := p.At.Parse(address)
		if err != nil {
			return err
		}
		return p.Open(next.String())
	}
	return fmt.Errorf("no link at %s holds %q: %s", p.At, holds, p.Page)
}

// Form returns the address and the values of the first form that is shown, with all of its scopes.
func (p *Person) Form() (action *url.URL, form url.Values, err error) {
	form = url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.Page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	for _, m := range scopeBox.FindAllStringSubmatch(p.Page, -1) {
		form.Add("scope", m[1])
	}
	action = p.At
	if found := formAction.FindStringSubmatch(p.Page); found != nil {
		action, err = p.At.Parse(html.UnescapeString(found[1]))
	}
	return action, form, err
}

// Submit sends the form of the page, with fields that were filled in.
func (p *Person) Submit(filled url.Values) error {
	action, form, err := p.Form()
	if err != nil {
		return err
	}
	for name, values := range filled {
		form[name] = values
	}
	return p.Send(action, form)
}

// Send sends a form as a browser sends one of the page that it shows.
func (p *Person) Send(action *url.URL, form url.Values) error {
	r, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", p.At.Scheme+"://"+p.At.Host)
	return p.take(p.HTTP.Do(r))
}

// SignIn fills in name and password.
func (p *Person) SignIn(login, password string) error {
	return p.Submit(url.Values{"do": {"sign-in"}, "username": {login}, "password": {password}})
}

// Allow allows the application what it asks for.
func (p *Person) Allow() error { return p.Submit(url.Values{"do": {"allow"}}) }

// Code asks for a code, and signs in and allows as far as it is asked to.
func (p *Person) Code(address, login, password string) (string, error) {
	if err := p.Open(address); err != nil {
		return "", err
	}
	for range 2 {
		if p.Sent != nil {
			break
		}
		step := p.Allow
		if strings.Contains(p.Page, `name="password"`) {
			step = func() error { return p.SignIn(login, password) }
		}
		if err := step(); err != nil {
			return "", err
		}
	}
	if p.Sent.Get("code") == "" {
		return "", fmt.Errorf("no code: %v; %d at %s: %s", p.Sent, p.Status, p.At, p.Page)
	}
	return p.Sent.Get("code"), nil
}

// TOTP returns what an authenticator app shows for a key (RFC 6238, with SHA-1 and six
// digits in 30 seconds).
func TOTP(key string, now time.Time) (string, error) {
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	if err != nil {
		return "", fmt.Errorf("the key %q: %w", key, err)
	}
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/30)))
	sum := mac.Sum(nil)
	number := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & (1<<31 - 1)
	return fmt.Sprintf("%06d", number%1_000_000), nil
}
