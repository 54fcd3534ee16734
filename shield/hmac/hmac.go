// Package hmac is the shield for signed requests: the caller proves that he
// holds a shared secret by signing each request with it, and never sends it.
//
// A signature covers the method, the host, the path, the query, chosen headers
// and the digest of the body, a timestamp and a nonce. So what arrives is what
// was sent, and it arrives once: who reads or records a request can neither
// change it nor send it again. docs/guide/hmac-specification.md is all that
// somebody needs who writes a client in another language, README.md says what
// the shield protects, its settings and its limits.
//
// The two halves share [parts]: the bytes that [Kind]'s Client signs and those
// that Verify checks come out of one function. Verify asks in this order: is the
// header well formed, is the timestamp in the window, are the headers covered
// that have to be, does the signature match, may the credential be used, and
// only then does it read the body and compare its digest.
package hmac

import (
	mac "crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

const (
	kind    = "hmac"
	scheme  = "HMAC"
	version = "pavise-hmac-v1"

	defaultWindow  = 60 * time.Second
	maxWindow      = 15 * time.Minute
	defaultFuture  = 5 * time.Second
	maxFuture      = shield.MaxSkew
	defaultMaxBody = 1 << 20  // bytes
	maxMaxBody     = 64 << 20 // bytes
	minSecret      = 16       // bytes; a record with a shorter one verifies nothing

	// remembered is how many seconds, at least, any configuration keeps a nonce.
	remembered = int64(defaultWindow / time.Second)
)

//go:embed README.md
var readme string

// Kind describes signed requests to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "each request is signed with a shared secret that is never sent",
		Config: func() shield.Config {
			return &Config{Window: defaultWindow, Future: defaultFuture, MaxBody: defaultMaxBody}
		},
		Client:  client,
		Issue:   issue,
		Attacks: attacks(),
		README:  readme,
	}
}

// Config is the settings of the shield. Written as one word, `hmac` takes the
// defaults.
type Config struct {
	Window  time.Duration `yaml:"window" doc:"How old a signature may be, whole seconds, 1s to 15m. Default 60s."`
	Future  time.Duration `yaml:"future" doc:"How far ahead the caller's clock may be, whole seconds, 0s to 1m. Default 5s."`
	Headers []string      `yaml:"headers" doc:"Headers that every request must carry and cover, at most 16. Content-Type and Content-Encoding must always be covered where they are sent. Default: no others."`
	MaxBody int64         `yaml:"max_body" doc:"Longest body that may be signed, in bytes, 0 to 67108864. It is held in memory until its digest is checked. Default 1048576." unit:"bytes"`
}

// Calling says what a caller's signature must cover.
func (c *Config) Calling() map[string]string {
	return map[string]string{"headers": strings.Join(c.Headers, " ")}
}

// Validate returns what cannot work.
func (c *Config) Validate() []shield.Problem {
	var problems []shield.Problem
	wrong := func(path, hint, format string, args ...any) {
		problems = append(problems, shield.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if c.Window < time.Second || c.Window > maxWindow || c.Window%time.Second != 0 {
		wrong("window", "60s is common; a longer window keeps every nonce longer", "%s is not whole seconds from 1s to %s", c.Window, maxWindow)
	}
	if c.Future < 0 || c.Future > maxFuture || c.Future%time.Second != 0 {
		wrong("future", "5s is common", "%s is not whole seconds from 0s to %s", c.Future, maxFuture)
	}
	if c.MaxBody < 0 || c.MaxBody > maxMaxBody {
		wrong("max_body", "sign a digest of the file and send the file elsewhere, or raise it to at most 67108864", "%d is not within 0 and %d bytes", c.MaxBody, maxMaxBody)
	}
	if len(c.Headers) > maxCovered {
		wrong("headers", "", "%d headers, at most %d can be covered", len(c.Headers), maxCovered)
	}
	seen := map[string]bool{}
	for i, name := range c.Headers {
		path, lower := fmt.Sprintf("headers.%d", i), strings.ToLower(name)
		if err := checkName(lower); err != nil {
			wrong(path, "name a header such as idempotency-key", "%q %v", name, err)
		}
		if seen[lower] {
			wrong(path, "", "%q stands twice", name)
		}
		seen[lower] = true
	}
	return problems
}

// Open returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	if env.Credentials == nil || env.Now == nil || env.Rand == nil {
		return nil, fmt.Errorf("hmac needs credentials, a clock and randomness")
	}
	if problems := c.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("hmac: %s: %s", problems[0].Path, problems[0].Message)
	}
	decoy, _, err := generate(env.Rand)
	if err != nil {
		return nil, fmt.Errorf("make a decoy secret: %w", err)
	}
	s := &signed{
		window: int64(c.Window / time.Second), future: int64(c.Future / time.Second), maxBody: c.MaxBody,
		credentials: env.Credentials, now: env.Now, decoy: []byte(decoy),
		known: env.Now().Add(maxFuture).Unix() + 1,
	}
	for _, name := range c.Headers {
		s.required = append(s.required, strings.ToLower(name))
	}
	s.challenge = fmt.Sprintf(`%s realm="pavise", version=%q, algorithms="%s %s", headers=%q`,
		scheme, version, sha256Name, sha512Name, strings.Join(s.required, ";"))
	return s, nil
}

// signed is the opened shield.
type signed struct {
	window, future int64 // seconds
	known          int64 // seconds since 1970: a signature of then or later was judged by no shield before this one
	maxBody        int64 // bytes
	required       []string
	credentials    shield.Lookup
	now            func() time.Time
	decoy          []byte // secret of every id that nobody has, of the form of a real one, so that it takes the same work
	challenge      string
	examined       allowance
	scratch        sync.Pool // of *[]byte, for the signed bytes
}

// Needs says that the body is read and the signature removed before the
// upstream. Content-Digest stays: it was checked, and is true of what arrives.
func (s *signed) Needs() shield.Needs {
	return shield.Needs{
		Body:    max(s.maxBody, 1), // a body that may not be signed must still be noticed
		Carries: []string{"Authorization"},
		Accepts: []string{"Authorization: " + scheme},
	}
}

// Verify checks the signature, then the credential, then the body.
func (s *signed) Verify(r *http.Request) (*shield.Identity, error) {
	value, err := s.carried(r)
	if err != nil {
		return nil, err
	}
	claim, err := parse(value)
	if err != nil {
		return nil, s.refuse(shield.Refuse(shield.InvalidCredential, "%v", err), claim.id)
	}
	now := s.now()
	if err := s.timely(claim, now); err != nil {
		return nil, s.refuse(err, claim.id)
	}
	if err := s.covers(claim, r.Header); err != nil {
		return nil, s.refuse(err, claim.id)
	}
	digest, err := digestOf(r.Header)
	if err != nil {
		return nil, s.refuse(shield.Refuse(shield.BadDigest, "%v", err), claim.id)
	}
	record, err := s.prove(r, claim, digest)
	if err != nil {
		return nil, err
	}
	if err := record.Usable(now, r); err != nil {
		return nil, s.challenged(err)
	}
	if err := s.matchBody(r, digest); err != nil {
		if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
			return nil, refusal.Of(record.ID, record.Client.ID, true)
		}
		return nil, err
	}
	return s.identity(record, claim, now), nil
}

// carried returns the value of Authorization if it is of our scheme.
func (s *signed) carried(r *http.Request) (string, error) {
	switch values := r.Header["Authorization"]; len(values) {
	case 0:
		return "", &shield.Refusal{Code: shield.Absent, Challenge: []string{s.challenge}}
	case 1:
		if !isOurs(values[0]) {
			return "", &shield.Refusal{Code: shield.Foreign, Challenge: []string{s.challenge}, Detail: "Authorization is of another scheme than " + scheme}
		}
		return values[0], nil
	default:
		return "", shield.Refuse(shield.MalformedCredential, "header Authorization stands %d times", len(values))
	}
}

// timely refuses a signature that was not made just now. Only the request
// decides, so the answer tells nothing about the key.
func (s *signed) timely(c claim, now time.Time) *shield.Refusal {
	age := now.Unix() - c.seconds
	switch {
	case age > s.window:
		return shield.Refuse(shield.StaleRequest, "signed %d s ago, at most %d are allowed%s", age, s.window, clockHint(age))
	case age > remembered && c.seconds < s.known:
		// The configuration before may have had a shorter window: it has forgotten
		// the nonce by now.
		return shield.Refuse(shield.StaleRequest, "signed %d s ago, before the configuration was loaded; of then, at most %d are allowed", age, remembered)
	case -age > s.future:
		return shield.Refuse(shield.StaleRequest, "signed %d s in the future, at most %d are allowed%s", -age, s.future, clockHint(-age))
	}
	return nil
}

// covers refuses a signature that leaves out what the operator demands, or what
// says how the body is to be read.
func (s *signed) covers(c claim, h http.Header) *shield.Refusal {
	for _, name := range s.required {
		if !c.covers(name) {
			return shield.Refuse(shield.InvalidCredential, "the signature does not cover %s, which the configuration demands", name)
		}
	}
	for _, name := range bodyHeaders() {
		if len(h[name]) > 0 && !c.covers(strings.ToLower(name)) {
			return shield.Refuse(shield.InvalidCredential, "the signature does not cover %s, which the request carries", name)
		}
	}
	return nil
}

// prove returns the record whose secret made the signature. An unknown id, a
// record that cannot verify, another algorithm and a wrong signature are one
// answer to the caller and take the same work.
func (s *signed) prove(r *http.Request, c claim, digest digest) (*shield.Record, error) {
	p, err := partsOf(r, c, digest)
	if err != nil {
		return nil, s.refused(err, c.id)
	}
	record, err := s.credentials.Credential(kind, c.id)
	secret, why := s.decoy, ""
	switch {
	case errors.Is(err, shield.ErrUnknown):
		why = "no key has this id"
	case err != nil:
		return nil, fmt.Errorf("look up key %s: %w", c.id, err)
	case len(record.Secret()) < minSecret:
		why = "the key's secret is missing or too short to verify with"
	case !pinned(record, c.algorithm):
		why = fmt.Sprintf("the key is for %s, the signature says %s", pinnedName(record), c.algorithm.name)
	default:
		secret = record.Secret()
	}
	if matches := mac.Equal(s.sum(&p, secret), c.signature); matches && why == "" {
		return record, nil
	}
	mistake := s.examine(r, p, secret)
	if why == "" {
		why = "the signature does not match" + mistake
	}
	return nil, s.refuse(shield.Refuse(shield.BadSignature, "%s", why), c.id)
}

// sum is parts.sum with a buffer that serves again.
func (s *signed) sum(p *parts, secret []byte) []byte {
	room, _ := s.scratch.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	message := p.append((*room)[:0])
	sum := p.algorithm.sum(secret, message)
	if cap(message) <= maxExamined {
		*room = message
		s.scratch.Put(room)
	}
	return sum
}

// pinned reports whether the record's algorithm is a. The credential decides;
// the caller may only agree.
func pinned(record *shield.Record, a algorithm) bool { return pinnedName(record) == a.name }

func pinnedName(record *shield.Record) string {
	if name := record.Settings["algorithm"]; name != "" {
		return name
	}
	return sha256Name
}

// matchBody reads the body and compares its digest. Only who proved the secret
// gets this far.
func (s *signed) matchBody(r *http.Request, want digest) error {
	if r.ContentLength > s.maxBody {
		return shield.Refuse(shield.TooLarge, "Content-Length %d is over the %d bytes that may be signed", r.ContentLength, s.maxBody)
	}
	content, err := contentOf(r)
	if err != nil {
		return err
	}
	if int64(len(content)) > s.maxBody {
		return shield.Refuse(shield.TooLarge, "the body is longer than the %d bytes that may be signed", s.maxBody)
	}
	if len(r.Trailer) > 0 {
		return shield.Refuse(shield.BadDigest, "trailers came after the body, which no signature covers")
	}
	if !want.matches(content) {
		return shield.Refuse(shield.BadDigest, "the body of %d bytes is not the one that was signed%s", len(content), s.examineBody(content, want))
	}
	return nil
}

// contentOf returns the bytes of the body as they were received.
func contentOf(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := shield.BodyOf(r)
	if err != nil {
		return nil, err
	}
	return body.Bytes()
}

// identity says who signed, and what must not be used again: the nonce, for as
// long as its timestamp is in the window, or in what a later configuration's takes
// for its own (and a clock set back by up to future).
func (s *signed) identity(record *shield.Record, c claim, now time.Time) *shield.Identity {
	id := record.Identity(now)
	id.Scheme = scheme
	made := time.Unix(c.seconds, 0).UTC()
	id.Once = []shield.Once{{
		Space: kind + ":" + record.ID, Digest: sha256.Sum256([]byte(c.nonce)),
		Made: made, Until: made.Add(time.Duration(max(s.window, remembered)+s.future+1) * time.Second),
	}}
	return id
}

// refuse names the credential that was claimed, and challenges where the answer
// is 401.
func (s *signed) refuse(r *shield.Refusal, id string) *shield.Refusal {
	r = r.Of(id, "", false)
	if r.HTTPStatus() == http.StatusUnauthorized {
		r.Challenge = []string{s.challenge}
	}
	return r
}

// refused is refuse for an error that is a refusal.
func (s *signed) refused(err error, id string) error {
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return s.refuse(refusal, id)
	}
	return err
}

func (s *signed) challenged(err error) error {
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok && refusal.HTTPStatus() == http.StatusUnauthorized {
		return refusal.With(s.challenge)
	}
	return err
}

// bodyHeaders say how a body is to be read: they are covered wherever they are
// sent.
func bodyHeaders() [2]string { return [...]string{"Content-Type", "Content-Encoding"} }

// clockHint names the usual reasons for a clock that is off by so many seconds.
func clockHint(seconds int64) string {
	quarter := int64(15 * 60)
	switch off := seconds % quarter; {
	case seconds >= 24*3600:
		return "; a date, or milliseconds where seconds are wanted?"
	case seconds >= quarter && (off <= 10 || off >= quarter-10):
		return "; about a whole number of quarter hours: local time where UTC is wanted?"
	case seconds <= 10*60:
		return "; the caller's clock is off, or the request waited in a queue"
	}
	return ""
}
