package pavise

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Policy is everything that a [Guard] enforces. [New] compiles it once; it must
// not be changed afterwards. Programs that use a configuration file get one from
// the package pavise.dev/pavise/file.
type Policy struct {
	Hosts []Host // names that are answered for
	APIs  []API

	Sink    audit.Sink    // where events go; required
	Limiter limit.Limiter // counts rates; required if any limit is set
	Once    OnceStore     // uses up nonces and proofs; required if a shield makes claims
	Tries   Tries         // slows down guessing; nil: does not
	Blocks  Blocks        // keeps networks out; nil: none
	Holds   Holds         // demands more of credentials and people; nil: of none
	Quotas  limit.Quotas  // counts days and months; required if any quota is set
	Load    *limit.Load   // bounds requests under way; nil: nothing is shed

	Honeypots Honeypots // paths that only intruders ask for

	PerAddress     *limit.Limit   // the rate of one address before anything else is done; nil: none
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts
	// Presented returns the certificates of a caller whose TLS ended at a
	// configured terminator (RFC 9440); ok is false for a direct connection.
	Presented func(*http.Request) (chain []*x509.Certificate, ok bool, err error)

	Traces Traces // which requests belong to a trace that is recorded

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand; request IDs are made of it
}

// Host is a name that the listener answers for.
type Host struct {
	Name               string // lower case, without port; an IP address for calls without a name
	ClientCertificates bool   // the handshake asks for one
}

// API is a set of endpoints with common settings.
type API struct {
	Name      string
	Hosts     []string // names of Policy.Hosts
	Endpoints []Endpoint
	Origins   []string // whose scripts may call (CORS), exact: "https://app.example.com"
	Lenient   Lenient  // what the door lets through
	Recorded  Recorded // what its events show
	Metadata  string   // where its metadata is (RFC 9728), for challenges: an address, or a path on the host that was asked; empty: nowhere
}

// Endpoint is a method and path pattern with its policy.
type Endpoint struct {
	Pattern     string        // "GET /v1/orders/{id}", the syntax of http.ServeMux without a host
	Shield      shield.Shield // who may call; never nil
	Scopes      shield.Scopes // all are demanded
	AnyScope    bool          // no scope is demanded; either this or Scopes is stated
	Limits      []limit.Limit
	Quotas      []limit.Quota
	Concurrency []*limit.Concurrency // each bounds one client, and all; the API's and the endpoint's own
	Priority    limit.Priority       // how long it is served while the gateway fills up; not Anonymous
	MaxBody     int64                // bytes; 0: 10 MiB
	Sanitise    Sanitiser            // cleans the input before it is judged; nil: it is judged as it came
	Validate    Layer                // is the input well formed? nil: not asked
	Policy      Layer                // further conditions; nil: none
	Harm        Layer                // injection rules; nil: none
	Candidates  []*Trial             // asked when everything else accepts
	Flow        Flow                 // retries and steps of sequences; nil: every request stands for itself
	Outgoing    Outgoing             // judges answers before they are sent; nil: they pass as they come
	Header      http.Header          // of every answer, unless the handler sets its own; names in canonical form
	Judges      []string             // headers of credentials that Handler judges itself, and gets: those of an authorization server. All others are removed
	Handler     http.Handler         // nil: the handler that was given to [Guard.Wrap]
}

// Recorded says what the events of an API show, beside or short of what is usual: values of
// queries are hidden, parts of paths are shown unless they name or look like a credential.
type Recorded struct {
	ShowQuery []string // parameters of the query whose values are shown where they are short and plain
	Hide      []string // wildcards of patterns, without braces, whose part of the path is hidden
}

// Lenient says what the door lets through for an API although intermediaries
// read it differently. Each needs a reason in the configuration. Dot segments,
// empty segments, backslashes and double escapes cannot be allowed.
type Lenient struct {
	InsecureEncodedSlash      bool
	InsecureSemicolon         bool
	InsecureUnderscoreHeaders bool
	InsecureTrailers          bool
	InsecureMethodParameter   bool // _method of a POST, which some services take for the method
}

// Layer is a check that stands behind the shield and the scopes.
type Layer interface {
	// Check returns nil, a *shield.Refusal, or another error if it cannot
	// decide (503). It reads the body only through shield.BodyOf.
	Check(r *http.Request, id *shield.Identity) error
}

// BodyReader is a [Layer], a [Sanitiser] or a [Flow] that reads up to Body bytes of the body.
type BodyReader interface {
	Body() int64
}

// Sanitiser cleans the input of a request where refusing it is not wanted. Whatever
// stands behind it on the path, the upstream too, gets the cleaned request.
type Sanitiser interface {
	// Sanitise changes query and body, by [shield.ReplaceQuery] and
	// [shield.ReplaceBody] alone. It returns what it changed and how often, for the
	// event: "trim=2 html=1"; "" for nothing. Errors are those of a [Layer].
	Sanitise(r *http.Request, id *shield.Identity) (changed string, err error)
}

// Flow knows which requests belong together: the retries of one, the steps of a sequence.
// It is asked last, of requests that everything else accepts.
type Flow interface {
	// Begin claims for a request what only one may have. Errors are those of a [Layer]; it
	// has claimed nothing then. It reads the body only through shield.BodyOf.
	Begin(r *http.Request, id *shield.Identity) (Turn, error)
}

// Turn is a request that a [Flow] let pass. The zero Turn is one of which nothing is told.
type Turn struct {
	Earlier *Answer // the answer that the request had already: it is sent, and the handler is not asked
	// Keep is the longest body of an answer that End gets; 0: it gets none. Such an answer
	// leaves when End has returned; a longer one, a stream, and one with trailers leave as
	// they come. The handler is asked without Accept-Encoding, Range and If-Range.
	Keep int64
	// Finish says that the request is carried out to its end, even if its caller leaves.
	Finish bool
	// End is told what came of the request, once. An error goes into the event as a warning.
	// nil: nobody is told.
	End func(Ended) error
}

// Answer is what a handler answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Ended is what came of a request.
type Ended struct {
	Status int     // of the handler's answer; 0: it gave none, the guard may have
	Whole  bool    // the answer came to its end
	Answer *Answer // if it is whole and no longer than Turn.Keep; else nil
	Unsent bool    // the service got no byte of the request: nothing has happened
}

// Outgoing judges the answers of an endpoint's handler. It is safe for concurrent use.
//
// Requests of such an endpoint reach the handler without Accept-Encoding, Range and
// If-Range: a piece, or what cannot be read, cannot be judged. Trailers of an answer
// that was held back are dropped.
type Outgoing interface {
	// Hold returns how many bytes of an answer's body are held back at most, to be
	// judged as a whole; 0: the answer passes as it comes; less: nobody can judge such a
	// body, and Judge, which then says so, is asked without it. A longer body is not sent,
	// unless the Outgoing is a [Trying]: the caller gets 502 [shield.BadAnswer].
	Hold(r *http.Request, status int, h http.Header) int64
	// Judge returns the body to send, which may be the one it was given, and what it
	// changed or found, for the event. It may change the header. A *shield.Refusal
	// is sent instead of the answer; after any other error the caller gets 503.
	Judge(r *http.Request, id *shield.Identity, status int, h http.Header, body []byte) (Judged, error)
}

// Trying is an [Outgoing] that may be on trial.
type Trying interface {
	// TooLong is asked of an answer whose body is longer than what is held. If it is to
	// pass as it comes all the same, would says for the event what would have been.
	TooLong(r *http.Request, status int, h http.Header) (would string, pass bool)
}

// Judged is what became of an answer.
type Judged struct {
	Body    []byte
	Changed string // what was changed, and how often: "card=2 email=1"; "" for nothing
	Would   string // why it would have been refused if the rule were not on trial; "" for nothing
}

// OnceStore uses up what may be used once.
type OnceStore interface {
	// Consume uses up all claims or none, in one step. A claim that was used
	// before is a *shield.Refusal with the code ReplayedRequest, one made
	// before a cold start StaleRequest; any other error means that it could not
	// be decided.
	Consume(ctx context.Context, claims []shield.Once) error
}

// Blocks are networks that an operator keeps out for a time.
type Blocks interface {
	// Blocked reports whether requests from addr are refused, and until when.
	Blocked(addr netip.Addr) (until time.Time, blocked bool)
}

// Holds demand more of some for a time: a credential is suspended, a person has to sign in
// again. They are asked about what a shield has proved alone: who knows a public id cannot hold
// up its owner (invariant 10).
type Holds interface {
	// Held returns nil, or a *shield.Refusal.
	Held(id *shield.Identity) error
}

// Honeypots are paths that no endpoint serves and no honest caller knows. Who asks for one gets
// the answer of any unknown endpoint; the event has the code [shield.Honeypot].
type Honeypots struct {
	Paths []string // exact and in canonical form: "/.env"

	// Caught is told of each request whose network may answer for it: not where a trusted proxy
	// itself called, nor where the page of another site made a browser call. It must not block.
	// nil: nobody is told.
	Caught func(path string, addr netip.Addr)
}

// Tries counts wrong credentials. It acts on pairs of credential and network,
// and on networks, never on a credential as such: who knows a public id cannot
// shut out its owner (invariant 10).
type Tries interface {
	// Blocked returns how long callers from addr, or callers from addr with
	// this credential if the id is not empty, have to wait; 0: not at all.
	Blocked(credentialID string, addr netip.Addr) time.Duration
	Wrong(credentialID string, addr netip.Addr)
	Right(credentialID string, addr netip.Addr)
}
