package shieldtest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

// World is what surrounds a shield under test: a clock that stands still until
// it is moved, randomness that repeats from run to run, and everything that an
// [shield.Env] offers, in memory. It is safe for concurrent use. Make one with
// [NewWorld].
type World struct {
	mu       sync.Mutex
	now      time.Time
	random   *rand.ChaCha8
	records  map[string]*shield.Record // by kind and id
	pages    map[string][]byte
	files    map[string][]byte
	watchers map[string][]func()
	issuers  map[string]*shield.Issuer
	revoked  map[string]bool
	changes  uint64
	stale    bool
	lookups  int
	used     map[used]bool
}

// used is a once-claim that was consumed.
type used struct {
	space  string
	digest [32]byte
}

// NewWorld returns an empty world, at noon of a day in November 2026.
func NewWorld() *World {
	return &World{
		now:      time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		random:   rand.NewChaCha8([32]byte{'p', 'a', 'v', 'i', 's', 'e'}),
		records:  map[string]*shield.Record{},
		pages:    map[string][]byte{},
		files:    map[string][]byte{},
		watchers: map[string][]func(){},
		issuers:  map[string]*shield.Issuer{},
		revoked:  map[string]bool{},
		used:     map[used]bool{},
	}
}

// Env returns the world as a shield sees it.
func (w *World) Env() shield.Env {
	return shield.Env{
		Now: w.Now, Rand: w.Rand(), Credentials: w, Revoked: w, Fetch: w, Issuers: w, Files: files{w},
		Key: func(purpose string) ([]byte, error) { return []byte("a key of the test's own for " + purpose), nil },
	}
}

// Now returns the time of the world's clock.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Set puts the clock to a moment.
func (w *World) Set(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// Advance moves the clock; a negative d moves it back.
func (w *World) Advance(d time.Duration) { w.Set(w.Now().Add(d)) }

// Rand returns a source of bytes that are the same in every run.
func (w *World) Rand() io.Reader { return random{w} }

type random struct{ w *World }

func (r random) Read(p []byte) (int, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.w.random.Read(p)
}

// Add makes a credential known, in place of one with the same kind and id.
func (w *World) Add(r *shield.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[r.Kind+"\x00"+r.ID] = r
	w.changes++
}

// Client returns a client with scopes for orders.
func (w *World) Client(id string) *shield.Client {
	return &shield.Client{
		ID: id, Tenant: "acme", Contact: "ops@example.com",
		Scopes:     shield.Scopes{"orders:read", "orders:write"},
		Attributes: map[string]any{"tier": "gold"},
	}
}

// Issue makes a credential of the kind for a client and makes it known. It
// returns the record, and the caller's half.
func (w *World) Issue(t testing.TB, kind shield.Kind, client string) (*shield.Record, shield.Credential) {
	t.Helper()
	issued, credential := w.issue(t, kind, client)
	record := w.keep(kind, issued, w.Client(client), func(*shield.Record) {})
	w.Add(record)
	return record, credential
}

// issue makes a credential that the world does not know.
func (w *World) issue(t testing.TB, kind shield.Kind, client string) (shield.Issued, shield.Credential) {
	t.Helper()
	if kind.Issue == nil {
		t.Fatalf("kind %s issues no credentials", kind.Name)
	}
	issued, err := kind.Issue(w.Env(), shield.IssueRequest{Client: client, Environment: "live"})
	if err != nil {
		t.Fatalf("issue a credential: %v", err)
	}
	return issued, shield.Credential{Kind: kind.Name, ID: issued.ID, Secret: issued.Secret}
}

// keep returns the record of an issued credential, kept as Issued.Keep says.
func (w *World) keep(kind shield.Kind, issued shield.Issued, client *shield.Client, change func(*shield.Record)) *shield.Record {
	record := shield.Record{
		Kind: kind.Name, ID: issued.ID, Client: client, Scopes: client.Scopes, Attributes: client.Attributes,
		Created: w.Now(), Settings: map[string]string{"environment": "live"},
	}
	change(&record)
	var match func([]byte) bool
	var sealed []byte
	switch issued.Keep {
	case shield.KeepHash:
		match = func(material []byte) bool { return string(material) == string(issued.Material) }
	case shield.KeepSealed:
		sealed = issued.Material
	}
	return record.Keep(match, sealed, nil)
}

// complete fills in what a caller's half gets of the world.
func (w *World) complete(c shield.Credential, kind shield.Kind) shield.Credential {
	if c.Kind == "" {
		c.Kind = kind.Name
	}
	if c.Now == nil {
		c.Now = w.Now
	}
	if c.Rand == nil {
		c.Rand = w.Rand()
	}
	return c
}

// Credential implements [shield.Lookup].
func (w *World) Credential(kind, id string) (*shield.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.stale {
		return nil, shield.ErrStale
	}
	if record := w.records[kind+"\x00"+id]; record != nil {
		return record, nil
	}
	return nil, shield.ErrUnknown
}

// Holder implements [shield.Lookup].
func (w *World) Holder(kind string, material []byte) (*shield.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.stale {
		return nil, shield.ErrStale
	}
	for _, record := range w.records {
		if record.Kind == kind && record.Match(material) {
			return record, nil
		}
	}
	return nil, shield.ErrUnknown
}

// SetStale says whether the snapshot of credentials and revocations is too old.
func (w *World) SetStale(stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = stale
	w.changes++
}

// RevokeToken withdraws a token of an issuer; RevokeSubject all that were issued
// to the subject until now.
func (w *World) RevokeToken(issuer, tokenID string) {
	w.revoke("token\x00" + issuer + "\x00" + tokenID)
}

// RevokeSubject withdraws all tokens of a subject.
func (w *World) RevokeSubject(issuer, subject string) {
	w.revoke("subject\x00" + issuer + "\x00" + subject)
}

func (w *World) revoke(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked[key] = true
	w.changes++
}

// Token implements [shield.Revoked].
func (w *World) Token(issuer, subject, tokenID string, _ time.Time) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.stale {
		return false, shield.ErrStale
	}
	return w.revoked["token\x00"+issuer+"\x00"+tokenID] || w.revoked["subject\x00"+issuer+"\x00"+subject], nil
}

// Generation implements [shield.Revoked].
func (w *World) Generation() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes
}

// AddPage makes the world's Fetcher answer url with body.
func (w *World) AddPage(url string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = body
}

// Get implements [shield.Fetcher]; it knows only the pages that were added.
func (w *World) Get(ctx context.Context, url string, limit int64) ([]byte, http.Header, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	body, ok := w.pages[url]
	if !ok || int64(len(body)) > limit {
		return nil, nil, fmt.Errorf("get %s: no such page in this world, or longer than %d bytes", url, limit)
	}
	return body, http.Header{}, nil
}

// AddIssuer makes an issuer known under its Name.
func (w *World) AddIssuer(issuer *shield.Issuer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.issuers[issuer.Name] = issuer
}

// Issuer implements [shield.Issuers].
func (w *World) Issuer(name string) (*shield.Issuer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if issuer := w.issuers[name]; issuer != nil {
		return issuer, nil
	}
	return nil, fmt.Errorf("no issuer is called %q", name)
}

// WriteFile puts content into a file and tells whoever watches it.
func (w *World) WriteFile(name string, content []byte) {
	w.mu.Lock()
	w.files[name] = content
	watchers := slices.Clone(w.watchers[name])
	w.mu.Unlock()
	for _, changed := range watchers {
		changed()
	}
}

// files is the world as [shield.Files].
type files struct{ w *World }

func (f files) Read(name string) ([]byte, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	content, ok := f.w.files[name]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(content), nil
}

func (f files) Watch(name string, changed func()) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.watchers[name] = append(f.w.watchers[name], changed)
}

// Consume uses up the once-claims of an identity as the guard does: all or none.
func (w *World) Consume(id *shield.Identity) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var claims []used
	id.All(func(proof *shield.Identity) {
		for _, once := range proof.Once {
			claims = append(claims, used{once.Space, once.Digest})
		}
	})
	for _, claim := range claims {
		if w.used[claim] {
			return shield.Refuse(shield.ReplayedRequest, "a once-claim was used before").Of(id.CredentialID, id.Client, true)
		}
	}
	for _, claim := range claims {
		w.used[claim] = true
	}
	return nil
}

// secrets returns every form of every secret that must not be shown.
func (w *World) secrets(more []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, record := range w.records {
		more = append(more, string(record.Secret()))
	}
	forms := map[string]bool{}
	for _, s := range more {
		if len(s) < 8 {
			continue // too short to be found by accident only
		}
		forms[s] = true
		forms[hex.EncodeToString([]byte(s))] = true
		forms[base64.RawStdEncoding.EncodeToString([]byte(s))] = true
		forms[base64.RawURLEncoding.EncodeToString([]byte(s))] = true
		forms[fmt.Sprint([]byte(s))] = true
	}
	return slices.Sorted(maps.Keys(forms))
}
