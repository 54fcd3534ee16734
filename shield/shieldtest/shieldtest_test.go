package shieldtest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

// The suite is shown by a toy kind that keeps every promise, and by toys that
// each break one: the suite has to say so, for the promise that was broken.

// toy is a shield for "Authorization: Toy id.secret.nonce". Its faults are
// switched on one at a time.
type toy struct {
	env    shield.Env
	fault  string
	mu     sync.Mutex
	needed int
}

type toyConfig struct {
	Unused string `yaml:"unused" doc:"Nothing."`
	fault  string
}

func (c *toyConfig) Validate() []shield.Problem { return nil }

func (c *toyConfig) Open(env shield.Env) (shield.Shield, error) {
	if c.fault == "panics without a world" {
		_ = env.Now()
	}
	if env.Credentials == nil {
		return nil, errors.New("toy needs credentials")
	}
	return &toy{env: env, fault: c.fault}, nil
}

const toyReadme = "# toy\n\n## What it protects\n\n## Settings\n\n## Example\n\n## Attacks\n\n## Limits\n"

func toyKind(fault string) shield.Kind {
	k := shield.Kind{
		Name: "toy", Summary: "for the suite's own tests", README: toyReadme,
		Config: func() shield.Config { return &toyConfig{fault: fault} },
		Client: func(c shield.Credential) (shield.Signer, error) { return toySigner{c, fault}, nil },
		Issue: func(env shield.Env, r shield.IssueRequest) (shield.Issued, error) {
			random := make([]byte, 12)
			if _, err := io.ReadFull(env.Rand, random); err != nil {
				return shield.Issued{}, err
			}
			secret := fmt.Sprintf("toy-secret-%x", random[4:])
			return shield.Issued{ID: fmt.Sprintf("%x", random[:4]), Secret: secret, Material: []byte(secret), Keep: shield.KeepSealed}, nil
		},
		Attacks: []shield.Attack{
			{Row: 86, Name: "again", Repeat: 1, Code: shield.ReplayedRequest},
			{Name: "cut off", Change: func(r *http.Request) error {
				r.Header.Set("Authorization", r.Header.Get("Authorization")[:9])
				return nil
			}, Code: shield.InvalidCredential},
		},
	}
	switch fault {
	case "a thin README":
		k.README = "# toy\n"
	case "an attack that succeeds":
		k.Attacks = append(k.Attacks, shield.Attack{Name: "nothing", Code: shield.InvalidCredential})
	case "an attack with another code":
		k.Attacks[1].Code = shield.BadSignature
	}
	return k
}

type toySigner struct {
	shield.Credential
	fault string
}

func (s toySigner) Sign(r *http.Request) error {
	nonce := make([]byte, 8)
	if _, err := io.ReadFull(s.Rand, nonce); err != nil {
		return err
	}
	r.Header.Set("Authorization", fmt.Sprintf("Toy %s.%s.%x", s.ID, s.Secret, nonce))
	if s.fault == "an undeclared header" {
		r.Header.Set("X-Toy", s.ID)
	}
	return nil
}

func (t *toy) Needs() shield.Needs {
	n := shield.Needs{Carries: []string{"Authorization"}, Accepts: []string{"Authorization: Toy"}}
	switch t.fault {
	case "nothing told apart":
		n.Accepts = nil
	case "needs that change":
		t.mu.Lock()
		defer t.mu.Unlock()
		t.needed++
		n.Body = int64(t.needed)
	case "an endless body kept":
		n.Body = 1000
	}
	return n
}

func (t *toy) Verify(r *http.Request) (*shield.Identity, error) {
	challenge := "Toy realm=\"toy\""
	values := r.Header["Authorization"]
	wrong := func(code shield.Code, format string, args ...any) error {
		return shield.Refuse(code, format, args...).With(challenge)
	}
	switch {
	case len(values) == 0 && t.fault == "no challenge":
		return nil, &shield.Refusal{Code: shield.Absent}
	case len(values) == 0 && t.fault == "missing is wrong":
		return nil, wrong(shield.InvalidCredential, "none")
	case len(values) == 0:
		return nil, wrong(shield.Absent, "")
	case len(values) > 1 && t.fault != "twice accepted":
		return nil, wrong(shield.MalformedCredential, "twice")
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	switch {
	case !strings.EqualFold(scheme, "Toy"):
		return nil, wrong(shield.Foreign, "")
	case !ok:
		return nil, wrong(shield.InvalidCredential, "empty")
	}
	return t.prove(r, text, wrong)
}

func (t *toy) prove(r *http.Request, text string, wrong func(shield.Code, string, ...any) error) (*shield.Identity, error) {
	switch t.fault {
	case "a changed header":
		r.Header.Del("Authorization")
	case "a changed path":
		r.URL.Path = "/"
	case "a parsed form":
		_ = r.ParseForm()
	case "a stream read":
		_, _ = io.ReadAll(r.Body)
	case "memory without bound":
		_ = make([]byte, 64*len(text))
	case "an endless body kept":
		_, _ = io.ReadAll(io.LimitReader(r.Body, 8<<20))
	}
	id, rest, _ := strings.Cut(text, ".")
	secret, nonce, ok := strings.Cut(rest, ".")
	if !ok || len(nonce) != 16 {
		return nil, wrong(shield.InvalidCredential, "three parts")
	}
	record, err := t.env.Credentials.Credential("toy", id)
	switch {
	case errors.Is(err, shield.ErrUnknown) && t.fault == "unknown is told":
		return nil, wrong(shield.BadSignature, "unknown")
	case errors.Is(err, shield.ErrUnknown) && t.fault == "wrong is foreign":
		return nil, wrong(shield.Foreign, "unknown")
	case errors.Is(err, shield.ErrUnknown), errors.Is(err, shield.ErrStale) && t.fault == "stale is a refusal":
		return nil, wrong(shield.InvalidCredential, "unknown")
	case err != nil:
		return nil, fmt.Errorf("look up: %w", err)
	}
	if t.fault == "revoked before proved" && !record.Revoked.IsZero() {
		return nil, wrong(shield.RevokedCredential, "revoked")
	}
	if subtle.ConstantTimeCompare(record.Secret(), []byte(secret)) != 1 {
		if t.fault == "a secret in the detail" {
			return nil, wrong(shield.InvalidCredential, "%s is not %s", secret, record.Secret())
		}
		if t.fault != "any secret accepted" {
			return nil, wrong(shield.InvalidCredential, "secret")
		}
	}
	if err := record.Usable(t.env.Now(), r); err != nil && t.fault != "revoked accepted" {
		return nil, err
	}
	return t.identity(record, secret, nonce), nil
}

func (t *toy) identity(record *shield.Record, secret, nonce string) *shield.Identity {
	now := t.env.Now()
	id := record.Identity(now)
	if t.fault != "replays accepted" {
		id.Once = []shield.Once{{Space: record.ID, Digest: sha256.Sum256([]byte(nonce)), Made: now, Until: now.Add(time.Minute)}}
	}
	switch t.fault {
	case "a secret in the identity":
		id.Attributes = map[string]any{"password": secret}
	case "nobody":
		id.Issuer, id.Subject = "", ""
	case "a once-claim without an end":
		id.Once[0].Until = time.Time{}
	}
	return id
}

// recorder collects the failures of a promise instead of failing the test.
type recorder struct {
	testing.TB
	mu    sync.Mutex
	fails []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = append(r.fails, fmt.Sprintf(format, args...))
}

type stopped struct{}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stopped{})
}
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Skip(...any)       { panic(stopped{}) }

// broken returns the promises that the toy with this fault breaks.
func broken(t *testing.T, fault string) map[string][]string {
	t.Helper()
	failed := map[string][]string{}
	for _, p := range promises() {
		r := &recorder{TB: t}
		func() {
			defer func() {
				if v := recover(); v != nil && v != any(stopped{}) {
					r.Errorf("panic: %v", v)
				}
			}()
			p.check(newCase(r, toyKind(fault), Fixture{}))
		}()
		if len(r.fails) > 0 {
			failed[p.name] = r.fails
		}
	}
	return failed
}

func TestSuitePassesWhoKeepsEveryPromise(t *testing.T) {
	Run(t, toyKind(""), Fixture{})
}

func TestSuiteFailsWhoBreaksAPromise(t *testing.T) {
	for fault, promise := range map[string]string{
		"a thin README":               "describes itself",
		"panics without a world":      "opens or says why not, and never panics",
		"nobody":                      "accepts a good credential",
		"a once-claim without an end": "accepts a good credential",
		"missing is wrong":            "calls a missing credential absent",
		"no challenge":                "calls a missing credential absent",
		"wrong is foreign":            "never calls a wrong credential absent or foreign",
		"any secret accepted":         "never calls a wrong credential absent or foreign",
		"a secret in the detail":      "never calls a wrong credential absent or foreign",
		"a secret in the identity":    "accepts a good credential",
		"twice accepted":              "refuses a credential sent twice",
		"unknown is told":             "tells unknown, revoked and expired apart only for who proved the secret",
		"revoked before proved":       "tells unknown, revoked and expired apart only for who proved the secret",
		"revoked accepted":            "tells unknown, revoked and expired apart only for who proved the secret",
		"replays accepted":            "refuses every attack with its code",
		"an attack that succeeds":     "refuses every attack with its code",
		"an attack with another code": "refuses every attack with its code",
		"a changed header":            "leaves the request as it was",
		"a changed path":              "leaves the request as it was",
		"a parsed form":               "leaves the request as it was",
		"a stream read":               "leaves the request as it was",
		"memory without bound":        "bounds its memory",
		"an endless body kept":        "bounds its memory",
		"stale is a refusal":          "does not decide on an old snapshot",
		"needs that change":           "says what it needs",
		"nothing told apart":          "says what it needs",
		"an undeclared header":        "says what it needs",
	} {
		t.Run(fault, func(t *testing.T) {
			failed := broken(t, fault)
			if len(failed[promise]) == 0 {
				t.Errorf("the suite does not see it; it says %v", failed)
			}
		})
	}
}

// FuzzToy is the fuzz helper on the toy whose nonce is any 16 bytes: whoever
// accepts those has to say so.
func FuzzToy(f *testing.F) {
	Fuzz(f, toyKind(""), Fixture{Equal: func(_, good, value string) bool {
		return len(good) == len(value) && strings.EqualFold(good[:4], value[:4]) && good[4:len(good)-16] == value[4:len(value)-16]
	}})
}
