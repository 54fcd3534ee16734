package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

// Settings says where an upstream is and how it is spoken to. Only Name and
// Addresses are required; a zero field takes the value in parentheses.
type Settings struct {
	Name      string   // of the upstream: the audience of its identity tokens
	Addresses []string // "http://host:port" or "https://host:port", without a path

	// Protocol is "h2c" for HTTP/2 without TLS. Otherwise a TLS handshake
	// chooses between HTTP/2 and HTTP/1.1, and http:// is HTTP/1.1.
	Protocol string

	// Held reports whether more is demanded of an identity since it was accepted: what is
	// open for it ends. nil: of none.
	Held func(*shield.Identity) bool

	TLS      TLS
	Timeouts Timeouts
	MaxConns int // connections per address, for HTTP/2 concurrent requests; beyond: 503 (512)
	Health   Health
	Breaker  Breaker
	Retry    Retry

	Signer       *Signer           // signs Pavise-Identity tokens; nil: none are sent
	PlainHeaders map[string]string // header name → client, user, tenant, scopes, subject, issuer, credential or shield
	PreserveHost bool              // send the caller's Host instead of the address's
	KeepBanners  bool              // hand on Server, X-Powered-By and their like
	Via          string            // pseudonym to append to Via (RFC 9110 §7.6.3); empty: Via is left alone
	Upgrades     []string          // protocols that may be upgraded to (websocket)

	// Verbatim is for calls of our own services to others: the caller's fields pass as they
	// are, but those of the hop, and nothing is added to them.
	Verbatim bool

	// InsecureKeepHeaders names headers that callers may send although they are
	// removed by default, such as X-User-Id where it is no identity.
	InsecureKeepHeaders []string

	MaxResponseHead int // bytes of status line and header fields of an answer (65536)

	// What the guard knows of a request. Identity and RequestID may be nil: no
	// identity, no ID. Strip names headers that are removed beside the built-in ones.
	Identity  func(*http.Request) *shield.Identity
	RequestID func(*http.Request) string
	Strip     func(*http.Request) []string

	// ClientCertificate returns the certificate that a shield has verified, to be
	// handed on as Client-Cert (RFC 9440); nil, or a nil result: none.
	ClientCertificate func(*http.Request) *x509.Certificate

	// Fail answers a request that could not be served; nil: a bare status. Report
	// learns what came of a request; it is called from the handler's goroutine, once
	// before the answer begins and perhaps once more when a note is added at its end.
	Fail   func(http.ResponseWriter, *http.Request, *shield.Refusal)
	Report func(*http.Request, Result)

	// Discard is asked when the head of an answer is there, before any of it is sent on; the
	// writer's Header holds it. If it returns true, nothing is sent on, the answer's body is not
	// read, and the header is empty again: the handler may be called once more. nil: never.
	Discard func(w http.ResponseWriter, r *http.Request, status int) bool

	Now  func() time.Time                                                  // of expiries and the breaker; nil: time.Now. Socket deadlines run on the real clock
	Tick func(time.Duration) (ticks <-chan time.Time, stop func())         // nil: time.NewTicker
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer
}

// TLS says how https:// addresses prove who they are, and who we are. They are
// always verified unless InsecureSkipVerify gives a reason; TLS 1.2 is the least.
type TLS struct {
	Roots              *x509.CertPool          // nil: the system's
	ServerName         string                  // name in the certificate (the host of the address)
	Certificate        func() *tls.Certificate // our own, asked at each handshake, so it may be reloaded; nil: none
	InsecureSkipVerify string                  // why the certificate is not verified; at least ten characters

	// Config, where it is set, stands for all of the above; ServerName is added if it has
	// none. It is cloned for each connection.
	Config *tls.Config
}

// Timeouts bounds every wait. None can be unlimited but Total.
type Timeouts struct {
	Connect        time.Duration // TCP and TLS handshake (5 s)
	ResponseHeader time.Duration // from the end of the request to the head of the answer (30 s)
	Idle           time.Duration // silence within a body, a stream or an upgraded connection (5 min)
	Total          time.Duration // an exchange whose answer has a known length; negative: unlimited (15 min)
	Continue       time.Duration // wait for 100 (Continue) before the body is sent anyway (1 s)
	KeepAlive      time.Duration // an unused connection is kept this long (60 s)
	Lifetime       time.Duration // a connection is used again only within this time (15 min)
}

// Health asks each address regularly. The zero value asks nothing.
type Health struct {
	Path      string        // asked with GET; empty: no active checks
	Interval  time.Duration // (5 s)
	Timeout   time.Duration // (2 s)
	Healthy   int           // successes in a row until an address counts as well (2)
	Unhealthy int           // failures in a row until it gets nothing (3)
	Status    int           // expected; 0: any from 200 to 399
}

// Breaker ejects an address that fails, and lets single requests try it again
// after a while that doubles with each failed try.
type Breaker struct {
	Failures int           // in a row (5)
	Open     time.Duration // first ejection (1 s)
	MaxOpen  time.Duration // longest (30 s)
	Statuses []int         // answers that count as failures, e.g. 503; none by default
}

// Retry says how often a request may be tried again where that is safe: nothing
// was sent, or the method is idempotent and its body can be sent again.
type Retry struct {
	Max    int // further tries; negative: none (1)
	Budget int // per cent of requests that may be tries (20)
}

// Result is what the event learns of one exchange with an upstream.
type Result struct {
	Addr     string        // "http://127.0.0.1:9000"
	Status   int           // of the upstream's answer; 0: there was none
	Duration time.Duration // until the head of the answer, or the failure
	Note     string        // "", "upgraded", "client_gone", "upstream_aborted", "revoked", "expired", …
	Unsent   bool          // no byte of the request reached the upstream, in any attempt
}

func (s *Settings) withDefaults() {
	setTime(&s.Timeouts.Connect, 5*time.Second)
	setTime(&s.Timeouts.ResponseHeader, 30*time.Second)
	setTime(&s.Timeouts.Idle, 5*time.Minute)
	setTime(&s.Timeouts.Total, 15*time.Minute)
	setTime(&s.Timeouts.Continue, time.Second)
	setTime(&s.Timeouts.KeepAlive, time.Minute)
	setTime(&s.Timeouts.Lifetime, 15*time.Minute)
	setTime(&s.Health.Interval, 5*time.Second)
	setTime(&s.Health.Timeout, 2*time.Second)
	setTime(&s.Breaker.Open, time.Second)
	setTime(&s.Breaker.MaxOpen, 30*time.Second)
	setInt(&s.MaxConns, 512)
	setInt(&s.Health.Healthy, 2)
	setInt(&s.Health.Unhealthy, 3)
	setInt(&s.Breaker.Failures, 5)
	setInt(&s.Retry.Max, 1)
	setInt(&s.Retry.Budget, 20)
	setInt(&s.MaxResponseHead, 64<<10)
	if s.Upgrades == nil {
		s.Upgrades = []string{"websocket"}
	}
	s.withFunctions()
}

func (s *Settings) withFunctions() {
	if s.Identity == nil {
		s.Identity = func(*http.Request) *shield.Identity { return nil }
	}
	if s.RequestID == nil {
		s.RequestID = func(*http.Request) string { return "" }
	}
	if s.Strip == nil {
		s.Strip = func(*http.Request) []string { return nil }
	}
	if s.ClientCertificate == nil {
		s.ClientCertificate = func(*http.Request) *x509.Certificate { return nil }
	}
	if s.Fail == nil {
		s.Fail = func(w http.ResponseWriter, _ *http.Request, refusal *shield.Refusal) {
			for name, values := range refusal.Header {
				w.Header()[name] = values
			}
			http.Error(w, string(refusal.Code), refusal.HTTPStatus())
		}
	}
	if s.Report == nil {
		s.Report = func(*http.Request, Result) {}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Tick == nil {
		s.Tick = func(d time.Duration) (<-chan time.Time, func()) {
			ticker := time.NewTicker(d)
			return ticker.C, ticker.Stop
		}
	}
	if s.Dial == nil {
		s.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
}

func setTime(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

func setInt(n *int, def int) {
	if *n == 0 {
		*n = def
	}
}

// validate says everything that is wrong at once.
func (s *Settings) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Name == "" {
		fault("an upstream needs a name: it is the audience of its identity tokens")
	}
	if len(s.Addresses) == 0 {
		fault("upstream %q has no address; give one like http://127.0.0.1:9000", s.Name)
	}
	if s.Protocol != "" && s.Protocol != "auto" && s.Protocol != "h2c" {
		fault("protocol %q: want auto or h2c", s.Protocol)
	}
	if why := s.TLS.InsecureSkipVerify; why != "" && len(why) < 10 {
		fault("insecure_skip_verify: the reason %q is shorter than ten characters", why)
	}
	if s.Health.Path != "" && !strings.HasPrefix(s.Health.Path, "/") {
		fault("health path %q does not begin with a slash", s.Health.Path)
	}
	for name, what := range s.PlainHeaders {
		if !isToken(name) || strings.ContainsAny(name, "_") {
			fault("identity header %q: want a name of letters, digits and -", name)
		}
		if plainValue(what) == nil {
			fault("identity header %s: %q is none of client, user, tenant, scopes, subject, issuer, credential, shield", name, what)
		}
	}
	for _, protocol := range s.Upgrades {
		if unsafeUpgrade(protocol) || !isToken(strings.Replace(protocol, "/", "", 1)) {
			fault("upgrade to %q: want the name of one protocol, and not HTTP again, whose requests nobody would check", protocol)
		}
	}
	for name, d := range map[string]time.Duration{
		"connect": s.Timeouts.Connect, "response header": s.Timeouts.ResponseHeader, "idle": s.Timeouts.Idle,
		"continue": s.Timeouts.Continue, "keep-alive": s.Timeouts.KeepAlive, "lifetime": s.Timeouts.Lifetime,
		"health interval": s.Health.Interval, "health timeout": s.Health.Timeout, "breaker": s.Breaker.Open,
	} {
		if d < 0 {
			fault("the %s timeout is negative", name)
		}
	}
	return errors.Join(faults...)
}

// parseAddress reads one address. It is a base without a path: what was checked
// is what is sent, and a path of its own would be added unseen.
func parseAddress(raw, protocol string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("upstream address: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("upstream address %q: want http:// or https://", raw)
	case u.Hostname() == "":
		return nil, fmt.Errorf("upstream address %q has no host", raw)
	case u.User != nil:
		return nil, errors.New("an upstream address holds no user name or password")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("upstream address %q: want scheme, host and port only", raw)
	case u.Scheme == "https" && protocol == "h2c":
		return nil, fmt.Errorf("upstream address %q: h2c is HTTP/2 without TLS; use http://, or leave the protocol out", raw)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
