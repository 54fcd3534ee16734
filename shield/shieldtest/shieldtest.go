// Package shieldtest holds the promises that every kind of shield keeps, as a
// suite that each kind runs in its own tests:
//
//	func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), shieldtest.Fixture{}) }
//	func FuzzVerify(f *testing.F)      { shieldtest.Fuzz(f, Kind(), shieldtest.Fixture{}) }
//
// A kind whose credentials are made by its own Issue and whose settings have
// defaults needs nothing else. Others say in a [Fixture] how a shield is
// configured and what a good caller holds. The world around the shield (clock,
// randomness, credentials, revocations, files, issuers) is a [World].
//
// The suite promises, for every kind: a good credential is accepted; a missing
// one is Absent; a wrong one never is, nor Foreign; one sent twice is refused
// with 400; unknown, revoked and expired look the same until the secret is
// proved; every attack of the kind gets its code and status; the request is
// afterwards as before; no secret stands in an error or identity; many callers
// may use it at once; a cancelled context ends it; memory is bounded; old
// snapshots are no refusal but an error; Needs is stable and names every header
// of the credential.
//
// It does not know the guard: it wraps bodies, consumes once-claims, and turns
// Absent and Foreign into what the caller sees, in the few lines that the guard
// has for these.
package shieldtest

import (
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
)

// Fixture says how a kind is set up for the suite. The zero Fixture takes the
// kind's default settings and a credential of its own making.
type Fixture struct {
	// Prepare puts into the world what the shield needs to know, and returns its
	// settings and the good caller's half; a zero half means that the suite makes
	// one with kind.Issue. Nil: kind.Config(), and kind.Issue where there is one.
	Prepare func(t testing.TB, w *World) (shield.Config, shield.Credential)

	// Request returns an unsigned request as a client makes it. Nil: a POST of
	// JSON with a query.
	Request func() *http.Request

	// Wrong are credentials of the kind that prove nothing. For a kind with
	// Issue the suite has three of its own.
	Wrong []Wrong

	// Secrets must appear nowhere. The caller's Secret and the sealed secrets of
	// the world's records are always among them.
	Secrets []string

	// Upstream are headers that the caller's half sets although they are no
	// credential and may go on to the upstream, such as Content-Digest.
	Upstream []string

	// Equal reports whether value means the same as the good value of a carrier;
	// nil: only the same bytes do. For [Fuzz].
	Equal func(header, good, value string) bool

	// Foreign reports whether value may be taken for another shield's; nil: only
	// an Authorization of another scheme. For [Fuzz].
	Foreign func(header, value string) bool
}

// Wrong is a credential of the kind that proves nothing. Exactly one of Signer
// and Change is set.
type Wrong struct {
	Name   string
	Signer func(t testing.TB, w *World) shield.Signer // signs instead of the good caller
	Change func(*http.Request) error                  // spoils a good signed request
	Code   shield.Code                                // expected; empty: any but Absent and Foreign
}

// Run tests every promise of the kind, each in a world of its own.
func Run(t *testing.T, kind shield.Kind, fixture Fixture) {
	for _, p := range promises() {
		t.Run(p.name, func(t *testing.T) { p.check(newCase(t, kind, fixture)) })
	}
}

// promise is one sentence and the test that holds a kind to it.
type promise struct {
	name  string
	check func(*testCase)
}

func promises() []promise {
	return []promise{
		{"describes itself", describesItself},
		{"opens or says why not, and never panics", opensOrSaysWhyNot},
		{"accepts a good credential", acceptsGood},
		{"calls a missing credential absent", missingIsAbsent},
		{"never calls a wrong credential absent or foreign", wrongIsFinal},
		{"refuses a credential sent twice", twiceIsRefused},
		{"tells unknown, revoked and expired apart only for who proved the secret", onlyProvedIsTold},
		{"refuses every attack with its code", attacksAreRefused},
		{"leaves the request as it was", leavesRequest},
		{"serves many callers at once", servesMany},
		{"ends when the context is cancelled", endsWhenCancelled},
		{"bounds its memory", boundsMemory},
		{"does not decide on an old snapshot", oldSnapshotIsNoRefusal},
		{"says what it needs", needsAreStable},
	}
}

// testCase is one kind in one world: the opened shield and its good caller.
type testCase struct {
	testing.TB
	kind       shield.Kind
	fixture    Fixture
	world      *World
	config     shield.Config
	credential shield.Credential
	shield     shield.Shield
	signer     shield.Signer
	needs      shield.Needs
	issued     bool // the credential is a record made by kind.Issue
	secrets    []string
}

func newCase(t testing.TB, kind shield.Kind, fixture Fixture) *testCase {
	t.Helper()
	c := &testCase{TB: t, kind: kind, fixture: fixture, world: NewWorld()}
	c.prepare()
	if problems := c.config.Validate(); len(problems) > 0 {
		t.Fatalf("the fixture's settings are wrong: %+v", problems)
	}
	opened, err := c.config.Open(c.world.Env())
	if err != nil {
		t.Fatalf("open the shield: %v", err)
	}
	c.shield, c.needs = opened, shield.NeedsOf(opened)
	c.signer = c.signerOf(c.credential)
	c.secrets = c.world.secrets(append(c.fixture.Secrets, c.credential.Secret))
	return c
}

func (c *testCase) prepare() {
	c.Helper()
	if c.fixture.Prepare != nil {
		c.config, c.credential = c.fixture.Prepare(c.TB, c.world)
	} else {
		c.config = c.kind.Config()
	}
	none := c.credential.ID == "" && c.credential.Secret == "" && len(c.credential.Certificates) == 0
	if none && c.kind.Issue != nil {
		c.issued = true
		_, c.credential = c.world.Issue(c.TB, c.kind, "shop")
	}
	c.credential = c.world.complete(c.credential, c.kind)
}

// signerOf returns the caller's half for a credential.
func (c *testCase) signerOf(credential shield.Credential) shield.Signer {
	c.Helper()
	if c.kind.Client == nil {
		return shield.Unsigned()
	}
	signer, err := c.kind.Client(c.world.complete(credential, c.kind))
	if err != nil {
		c.Fatalf("make the caller's half: %v", err)
	}
	return signer
}

// request returns an unsigned request, as a client makes it.
func (c *testCase) request() *http.Request {
	if c.fixture.Request != nil {
		return c.fixture.Request()
	}
	r, err := http.NewRequest(http.MethodPost, "https://api.example.com/v1/orders?dry=1&note=a%20b",
		strings.NewReader(`{"item":"book","count":1}`))
	if err != nil {
		c.Fatalf("make a request: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// signed returns a request signed by the good caller.
func (c *testCase) signed() *http.Request {
	c.Helper()
	return c.signedBy(c.signer)
}

func (c *testCase) signedBy(signer shield.Signer) *http.Request {
	c.Helper()
	r := c.request()
	if err := signer.Sign(r); err != nil {
		c.Fatalf("sign the request: %v", err)
	}
	present(r, signer)
	return r
}
