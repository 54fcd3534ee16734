// Package upstream lets people sign in through others: providers of OpenID Connect, and
// services that speak plain OAuth 2.0 and say at an address of theirs who somebody is.
//
// [Provider.Start] says where to send a person, and what has to be remembered until they
// come back; [Provider.Finish] says who they are. Who somebody is, is the pair of issuer
// and subject, never an e-mail address: those change hands. In between everything is
// judged that the standards let a client judge (OpenID Connect Core §3.1.3.7, RFC 9700
// §4): PKCE with S256 always, a nonce, signature, issuer, audience, authorized party,
// expiry, the hash of the access token, and the issuer of the answer (RFC 9207) where it
// is said. Each provider has a redirect address of its own, so that one provider's answer
// is never taken for another's (RFC 9700 §4.4.2).
//
// A provider that is away, slow, or answers nonsense is an error in bounded time and
// memory; the caller gives the bounded HTTP client.
package upstream

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"pavise.dev/pavise/internal/secret"
)

// Kind is what a provider speaks.
type Kind string

// The kinds of providers.
const (
	OpenIDConnect Kind = "oidc"
	OAuth2        Kind = "oauth2"
)

// Accounts says who may come in through a provider.
type Accounts string

// The policies of [Settings.Accounts].
const (
	Existing Accounts = "existing" // whose account was connected before, by themselves or an administrator
	Create   Accounts = "create"   // everybody: who comes for the first time gets an account
)

// Settings of one provider.
type Settings struct {
	Name         string // in addresses and events: a-z, 0-9 and single hyphens
	Title        string // on buttons: "Google"
	Kind         Kind
	Issuer       string // OpenID Connect: the provider's address. OAuth 2.0: a name for where subjects come from, for good
	ClientID     string
	ClientSecret secret.Value // empty: a public client
	Scopes       []string     // nil: openid profile email; OAuth 2.0: none
	Accounts     Accounts     // empty: Existing

	// Require names claims, or fields of the userinfo document, that have to have one of
	// the values: hd: [example.com] keeps strangers with a Google account out.
	Require map[string][]string

	// Fetch is a bounded client of its own, for a provider with a CA of its own; nil: that
	// of the Options.
	Fetch func() *http.Client

	// Of OAuth 2.0 only.
	AuthorizeURL, TokenURL, UserinfoURL string
	SubjectField                        string // "id"; a path of fields is written with dots; empty: sub
	NameField, EmailField               string // empty: name, email
	VerifiedField                       string // a boolean that says whether the e-mail address is verified; empty: it is not
}

// Identity is who somebody is at a provider.
type Identity struct {
	Issuer, Subject string
	Name, Email     string
	EmailVerified   bool
	AuthTime        time.Time // when they signed in there; zero: it does not say
}

// Flow is what has to be remembered between Start and Finish.
type Flow struct {
	Provider string `json:"provider,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	Verifier string `json:"verifier,omitempty"`

	After time.Time `json:"after,omitzero"` // the person has to have signed in after
}

// Errors that callers decide by.
var (
	ErrAway     = errors.New("the provider cannot be reached, or its answer cannot be read")
	ErrDenied   = errors.New("the provider let the person not in, or they refused")
	ErrRejected = errors.New("the provider's answer does not hold what it must")
	ErrStranger = errors.New("the person is not among those who may come in")
	ErrNotFresh = errors.New("the provider does not show that the person signed in as recently as is wanted")
)

// Options are what providers need besides their settings; all are required.
type Options struct {
	Fetch func() *http.Client // bounded in time, size and addresses
	Now   func() time.Time
	Rand  io.Reader
}

// Provider is where people sign in. It is safe for concurrent use.
type Provider struct {
	Settings
	fetch  func() *http.Client
	now    func() time.Time
	random io.Reader

	mu       sync.Mutex
	known    *discovered
	failed   error
	failedAt time.Time
}

// discovered is what a provider says about itself.
type discovered struct {
	at         time.Time
	provider   *oidc.Provider
	keys       oidc.KeySet // keeps what it read, and asks again for a key that it does not know
	algorithms []string
	saysIssuer bool // in each answer (RFC 9207 §3)
	userinfo   string
}

const (
	discoverAgain = time.Hour       // after which metadata is read again
	coolDown      = 5 * time.Second // after a failure
	secretBytes   = 32
)

var nameForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// New returns a provider, or says which setting cannot work. It asks nobody anything.
func New(s Settings, o Options) (*Provider, error) {
	if o.Fetch == nil || o.Now == nil || o.Rand == nil {
		return nil, errors.New("a provider needs a bounded HTTP client, a clock and randomness")
	}
	s.setDefaults()
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("provider %q: %w", s.Name, err)
	}
	if s.Fetch != nil {
		o.Fetch = s.Fetch
	}
	return &Provider{Settings: s, fetch: o.Fetch, now: o.Now, random: o.Rand}, nil
}

func (s *Settings) setDefaults() {
	if s.Title == "" {
		s.Title = s.Name
	}
	if s.Accounts == "" {
		s.Accounts = Existing
	}
	if s.Scopes == nil && s.Kind == OpenIDConnect {
		s.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	for field, value := range map[*string]string{&s.SubjectField: "sub", &s.NameField: "name", &s.EmailField: "email"} {
		if *field == "" {
			*field = value
		}
	}
}

func (s *Settings) validate() error {
	switch {
	case !nameForm.MatchString(s.Name) || len(s.Name) > 32:
		return errors.New("a name has 1 to 32 of a-z, 0-9 and single hyphens")
	case s.ClientID == "":
		return errors.New("the client id that it gave you is missing")
	case s.Issuer == "":
		return errors.New("the issuer is missing: its address, or for plain OAuth 2.0 a name that never changes")
	case s.Accounts != Existing && s.Accounts != Create:
		return fmt.Errorf("accounts %q: want existing or create", s.Accounts)
	}
	switch s.Kind {
	case OpenIDConnect:
		if !slices.Contains(s.Scopes, oidc.ScopeOpenID) {
			return errors.New("the scope openid is missing")
		}
		return checkAddress("issuer", s.Issuer)
	case OAuth2:
		return errors.Join(checkAddress("authorize_url", s.AuthorizeURL), checkAddress("token_url", s.TokenURL), checkAddress("userinfo_url", s.UserinfoURL))
	}
	return fmt.Errorf("kind %q: want %s or %s", s.Kind, OpenIDConnect, OAuth2)
}

// checkAddress wants https, or http for a host that the operator lets be asked so: the
// bounded client decides that.
func checkAddress(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%s %q: want an https address", name, address)
	}
	return nil
}

// Start returns where to send a person, with the state that comes back, and what to
// remember until then. The state is a secret of the browser's. Since, if it is not zero, is
// after when the person has to have signed in there: who is remembered there from before
// is asked again (OpenID Connect Core §3.1.2.1), and [Provider.Finish] wants to be told
// when it was. [ErrNotFresh] says that the provider speaks nothing in which that could be
// asked for.
func (p *Provider) Start(ctx context.Context, redirect string, since time.Time) (address, state string, f Flow, err error) {
	if !since.IsZero() && !p.SaysWhen() {
		return "", "", f, fmt.Errorf("%w: it speaks plain OAuth 2.0", ErrNotFresh)
	}
	var random [3]string
	for i := range random {
		if random[i], err = p.secret(); err != nil {
			return "", "", f, err
		}
	}
	config, _, err := p.config(ctx, redirect)
	if err != nil {
		return "", "", f, err
	}
	state, f = random[0], Flow{Provider: p.Name, Verifier: random[1]}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier)}
	if p.Kind == OpenIDConnect {
		f.Nonce = random[2]
		options = append(options, oidc.Nonce(f.Nonce))
	}
	if !since.IsZero() {
		f.After = since.UTC()
		age := max(0, int64(p.now().Sub(since)/time.Second))
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(age, 10))) // it makes auth_time required, too
		if age == 0 {
			options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
		}
	}
	return config.AuthCodeURL(state, options...), state, f, nil
}

// SaysWhen reports whether the provider can be asked when a person signed in there.
func (p *Provider) SaysWhen() bool { return p.Kind == OpenIDConnect }

func (p *Provider) secret() (string, error) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(p.random, b); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// config is what the OAuth 2.0 library needs; known is nil for plain OAuth 2.0.
func (p *Provider) config(ctx context.Context, redirect string) (*oauth2.Config, *discovered, error) {
	c := &oauth2.Config{ClientID: p.ClientID, ClientSecret: string(p.ClientSecret.Reveal()), RedirectURL: redirect, Scopes: p.Scopes}
	if p.Kind == OAuth2 {
		c.Endpoint = oauth2.Endpoint{AuthURL: p.AuthorizeURL, TokenURL: p.TokenURL, AuthStyle: oauth2.AuthStyleInParams}
		return c, nil, nil
	}
	known, err := p.discover(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.Endpoint = known.provider.Endpoint()
	c.Endpoint.AuthStyle = oauth2.AuthStyleInParams // no trying out: a code is good once
	if p.ClientSecret.Empty() {
		return c, known, nil
	}
	var said struct {
		Ways []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := known.provider.Claims(&said); err != nil || len(said.Ways) == 0 || slices.Contains(said.Ways, "client_secret_basic") {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // what a client is registered with unless it says otherwise (OpenID Connect Registration §2)
	}
	return c, known, nil
}

// discover reads the provider's metadata, from memory if it is not too old. One request
// at a time asks, for all and to its end: whoever goes away in between does not make it
// fail. A failure is the answer for some seconds.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.known != nil && now.Sub(p.known.at) < discoverAgain {
		return p.known, nil
	}
	if p.failed != nil && now.Sub(p.failedAt) < coolDown {
		return p.orOld(p.failed)
	}
	ctx = context.WithoutCancel(ctx) // the client has a time of its own
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.fetch()), p.Issuer)
	if err == nil {
		var fresh *discovered
		if fresh, err = p.read(ctx, provider); err == nil {
			fresh.at = now
			p.known, p.failed = fresh, nil
			return fresh, nil
		}
	}
	p.failed, p.failedAt = fmt.Errorf("%w: read its metadata: %s", ErrAway, describe(err)), now
	return p.orOld(p.failed)
}

// orOld goes on with older metadata if there is some: keys are read anew in any case.
func (p *Provider) orOld(err error) (*discovered, error) {
	if p.known != nil {
		return p.known, nil
	}
	return nil, err
}

func (p *Provider) read(ctx context.Context, provider *oidc.Provider) (*discovered, error) {
	var said struct {
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
		Issuer     bool     `json:"authorization_response_iss_parameter_supported"`
		Keys       string   `json:"jwks_uri"`
		Userinfo   string   `json:"userinfo_endpoint"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, err
	}
	plain := strings.HasPrefix(p.Issuer, "http://")
	addresses := map[string]string{"authorization_endpoint": provider.Endpoint().AuthURL, "token_endpoint": provider.Endpoint().TokenURL, "jwks_uri": said.Keys}
	if said.Userinfo != "" {
		addresses["userinfo_endpoint"] = said.Userinfo
	}
	for name, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(plain && u.Scheme == "http") {
			return nil, fmt.Errorf("its %s is no https address", name)
		}
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, p.fetch()), said.Keys)
	d := &discovered{provider: provider, keys: keys, saysIssuer: said.Issuer, userinfo: said.Userinfo}
	for _, algorithm := range asymmetric() {
		if slices.Contains(said.Algorithms, algorithm) {
			d.algorithms = append(d.algorithms, algorithm)
		}
	}
	if len(d.algorithms) == 0 {
		d.algorithms = []string{oidc.RS256} // OpenID Connect Core §15.1: everybody has it
	}
	return d, nil
}

// asymmetric are the algorithms that ID tokens may be signed with. Those with the client's
// secret are not among them: it is no key.
func asymmetric() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// Finish returns who came back, after every check.
func (p *Provider) Finish(ctx context.Context, redirect string, f Flow, back Callback) (Identity, error) {
	if f.Provider != p.Name {
		return Identity{}, fmt.Errorf("%w: it answers what another was asked", ErrRejected)
	}
	if back.Error != "" {
		return Identity{}, fmt.Errorf("%w: %s", ErrDenied, back.Error)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, p.fetch()), finishTime)
	defer cancel()
	config, known, err := p.config(ctx, redirect)
	if err != nil {
		return Identity{}, err
	}
	if err := p.checkIssuer(known, back); err != nil {
		return Identity{}, err
	}
	token, err := config.Exchange(ctx, back.Code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return Identity{}, fmt.Errorf("redeem the code: %w", exchangeError(err))
	}
	if known == nil {
		return p.ask(ctx, token)
	}
	return p.verify(ctx, known, token, f)
}

// finishTime bounds all requests of one Finish together.
const finishTime = 15 * time.Second

// checkIssuer compares the issuer of the answer (RFC 9207 §2.4).
func (p *Provider) checkIssuer(known *discovered, back Callback) error {
	switch {
	case back.Issuer == "" && known != nil && known.saysIssuer:
		return fmt.Errorf("%w: the answer does not name its issuer, although this provider always does", ErrRejected)
	case back.Issuer != "" && known != nil && subtle.ConstantTimeCompare([]byte(back.Issuer), []byte(p.Issuer)) != 1:
		return fmt.Errorf("%w: the answer is another issuer's", ErrRejected)
	}
	return nil
}

// exchangeError keeps the body of an answer out of errors: it may hold anything.
func exchangeError(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if refused.Response != nil && refused.Response.StatusCode < 500 && refused.ErrorCode != "" {
			return fmt.Errorf("%w: status %d, error %q", ErrRejected, refused.Response.StatusCode, short(refused.ErrorCode))
		}
		status := 0
		if refused.Response != nil {
			status = refused.Response.StatusCode
		}
		return fmt.Errorf("%w: status %d", ErrAway, status)
	}
	return fmt.Errorf("%w: %s", ErrAway, describe(err))
}

// describe is an error in one short line.
func describe(err error) string { return short(err.Error()) }

const maxDescription = 200

func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxDescription {
		text = strings.ToValidUTF8(text[:maxDescription], "") + "…"
	}
	return text
}
