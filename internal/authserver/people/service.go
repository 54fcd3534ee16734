package people

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/handover"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/authserver/people/upstream"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/limit"
)

// Records are where everything is kept; a client.Records is one.
type Records = rows.Records

// Grant is what a person has allowed an application, as they see it.
type Grant struct {
	ID          string
	Client      string
	Application string // its name
	Host        string
	Scopes      []string
	Created     time.Time
	Used        time.Time // zero: never
	Ends        time.Time
}

// Grants are what the protocol has issued on behalf of people.
type Grants interface {
	OfPerson(ctx context.Context, subject string) ([]Grant, error)
	Revoke(ctx context.Context, subject, id string) error
	RevokeAll(ctx context.Context, subject string) error
}

// Event is something that a person did, or that was tried in their name. None of its
// fields holds a secret.
type Event struct {
	Action  string // one of the constants below
	Subject string // empty: nobody who is known
	Client  string // application for which it happened
	Method  string // password, totp, recovery_code, or the name of a provider
	Remote  netip.Addr
	Detail  string // for the operator
}

// What people do.
const (
	EventSignIn           = "person.sign_in"
	EventSignInFailed     = "person.sign_in_failed"
	EventSignOut          = "person.sign_out"
	EventSignOutAll       = "person.sign_out_everywhere"
	EventConsent          = "person.consent"
	EventRefused          = "person.consent_refused"
	EventWithdrawn        = "person.consent_withdrawn"
	EventHeld             = "person.held" // too many wrong tries
	EventPasswordChanged  = "person.password_changed"
	EventTOTPSet          = "person.totp_set"
	EventRecoveryCode     = "person.recovery_code"
	EventAccountCreated   = "person.account_created"
	EventIdentityJoined   = "person.identity_joined"
	EventIdentityParted   = "person.identity_parted"
	EventForged           = "person.forged_form"
	EventProviderFailed   = "person.provider_failed"
	EventHandOverRejected = "person.hand_over_rejected"
)

// Tries slows guessing down; a limit.Lockout is one.
type Tries interface {
	Blocked(credentialID string, addr netip.Addr) time.Duration
	Wrong(credentialID string, addr netip.Addr)
	Right(credentialID string, addr netip.Addr)
}

// SignIn are the settings of signing in. The zero value lets accounts of our own sign in.
type SignIn struct {
	NoPasswords bool          // accounts have no passwords: people sign in through others only
	MinPassword int           // characters; 0: 12
	Idle        time.Duration // a session ends when nobody was there for so long; 0: 8 hours
	Longest     time.Duration // a session is never longer; 0: 24 hours
	Providers   []upstream.Settings
	Page        *handover.Settings // takes the place of our sign-in page; nil: ours
}

// Options are what a [Service] needs. Templates, Tries and the settings may be empty.
type Options struct {
	Issuer    string // https://host, with a path or without
	Records   Records
	Now       func() time.Time
	Rand      io.Reader
	Fetch     func() *http.Client // bounded, for providers
	Grants    Grants
	Key       func() (id, algorithm string, key crypto.Signer) // signs requests to a page of the operator's own
	ScopeText func(scope string) string                        // what people read of it; nil: words of ours
	Record    func(Event)
	Fault     func(r *http.Request, err error) (requestID string) // hears of what went wrong on our own pages; may be nil
	Templates fs.FS                                               // a theme
	SignIn    SignIn
	Tries     Tries // nil: one of its own
}

// Service is what people meet. It is safe for concurrent use.
type Service struct {
	issuer    string
	origin    string
	base      string // path before our own addresses
	records   Records
	accounts  *account.Store
	sessions  *sessions.Store
	consents  rows.Table[consent]
	flows     rows.Table[flow]
	providers []*upstream.Provider
	page      *handover.Page // the operator's own; nil: ours
	pages     *pages.Set
	grants    Grants
	scopeText func(string) string
	record    func(Event)
	fault     func(*http.Request, error) string
	tries     Tries
	seconds   Tries // of second factors, for an account from everywhere: a password was proved before
	now       func() time.Time
	random    io.Reader
	settings  SignIn
}

// Defaults of [SignIn].
const (
	DefaultIdle    = 8 * time.Hour
	DefaultLongest = 24 * time.Hour
)

// New returns a service that works, or says which setting cannot.
func New(o Options) (*Service, error) {
	if o.Records == nil || o.Now == nil || o.Rand == nil || o.Grants == nil || o.Record == nil {
		return nil, errors.New("people need records, a clock, randomness, grants and somebody who records events")
	}
	at, err := url.Parse(o.Issuer)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.RawQuery != "" || at.Fragment != "" || at.User != nil {
		return nil, fmt.Errorf("issuer %q: want https://host, with a path or without", o.Issuer)
	}
	s := &Service{
		issuer: o.Issuer, origin: at.Scheme + "://" + at.Host, base: strings.TrimSuffix(at.EscapedPath(), "/"),
		records: o.Records, grants: o.Grants, record: o.Record, now: o.Now, random: o.Rand, settings: o.SignIn,
		fault: o.Fault, consents: rows.NewTable[consent](o.Records, "consent"), flows: rows.NewTable[flow](o.Records, "handover"),
	}
	if s.scopeText = o.ScopeText; s.scopeText == nil {
		s.scopeText = func(string) string { return "" }
	}
	if s.fault == nil {
		s.fault = func(*http.Request, error) string { return "" }
	}
	if err := s.openStores(o); err != nil {
		return nil, err
	}
	if err := s.openTries(o); err != nil {
		return nil, err
	}
	if err := s.openPage(o); err != nil {
		return nil, err
	}
	if err := s.openProviders(o); err != nil {
		return nil, err
	}
	s.pages, err = pages.New(pages.Options{Theme: o.Templates, Service: at.Host, Base: s.base})
	return s, err
}

func (s *Service) openStores(o Options) (err error) {
	s.accounts, err = account.New(account.Options{
		Records: o.Records, Now: o.Now, Rand: o.Rand, Rules: account.Rules{Minimum: o.SignIn.MinPassword}, Issuer: s.origin,
	})
	if err != nil {
		return err
	}
	if s.settings.Idle == 0 {
		s.settings.Idle = DefaultIdle
	}
	if s.settings.Longest == 0 {
		s.settings.Longest = max(DefaultLongest, s.settings.Idle)
	}
	s.sessions, err = sessions.New(sessions.Options{
		Records: o.Records, Now: o.Now, Rand: o.Rand, Idle: s.settings.Idle, Longest: s.settings.Longest,
	})
	return err
}

func (s *Service) openTries(o Options) (err error) {
	if s.tries = o.Tries; s.tries == nil {
		if s.tries, err = limit.NewLockout(limit.LockoutOptions{Now: o.Now}); err != nil {
			return err
		}
	}
	s.seconds, err = limit.NewLockout(limit.LockoutOptions{
		Pair: limit.Rate{Count: 20, Per: time.Hour}, Network: limit.Rate{Count: 1_000_000, Per: time.Hour},
		First: time.Minute, Longest: time.Hour, Now: o.Now,
	})
	return err
}

// Page is one of the service's own addresses.
type Page struct {
	Pattern   string // method and path, as http.ServeMux reads them
	Handler   http.Handler
	PerMinute int // requests of one address that are plenty
}

// Pages returns the service's own addresses.
func (s *Service) Pages() []Page {
	all := []Page{{"GET " + s.base + "/account/assets/{name}", http.HandlerFunc(s.pages.ServeAsset), 600}}
	if s.page != nil {
		all = append(all, Page{"GET " + s.base + returnPath, http.HandlerFunc(s.serveReturn), 60})
	}
	if len(s.providers) > 0 {
		all = append(all, Page{"GET " + s.base + "/sign-in/{provider}/callback", http.HandlerFunc(s.serveCallback), 60})
	}
	for _, own := range s.ownPages() {
		all = append(all,
			Page{"GET " + s.base + own.path, s.own(own), 120},
			Page{"POST " + s.base + own.path, s.own(own), 30})
	}
	return all
}

// Collect removes what has ended, and returns how much it was.
func (s *Service) Collect(ctx context.Context) (int, error) {
	ended, err := s.sessions.Collect(ctx)
	if err != nil {
		return ended, err
	}
	now := s.now()
	left, err := s.flows.RemoveIf(ctx, func(f flow) bool { return !now.Before(f.Ends) })
	return ended + left, err
}
