// Package pki is the certificate authority of an installation: it makes mutual TLS as easy
// as an API key.
//
// An [Authority] has roots, whose keys may be kept elsewhere, and issuing authorities,
// whose keys sign certificates (hierarchy.go). It issues by a [Profile] to a client of the
// registry (issue.go), what a [Request] or a signing request (request.go) asks for.
//
// Every certificate is a credential: its record is written before it is handed out, and
// the gateway accepts none of this authority without its record. So it has scopes, is
// listed, revoked and watched like any other credential; who steals the key of the
// authority can make certificates, but none that the gateway accepts; and a kill -9 loses
// no serial number that anybody has.
//
// The authority knows no HTTP: package est hands certificates out, package status says
// which are revoked.
package pki

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/shield"
)

// Errors that callers decide by.
var (
	// ErrNone says that the installation has no authority yet.
	ErrNone = errors.New("this installation has no certificate authority yet: `pavise ca init` makes one")
	// ErrThere says that it has one.
	ErrThere = errors.New("this installation has a certificate authority already")
	// ErrOffline says that a root's key is not here.
	ErrOffline = errors.New("the root's key is kept elsewhere")
)

// Records are where the authority is kept; a [client.Records] is one.
type Records = rows.Records

// Registry keeps the certificates; a [client.Registry] is one.
type Registry interface {
	AddCredential(ctx context.Context, c client.Credential, issued shield.Issued) (client.Credential, client.Change, error)
	Credential(ctx context.Context, kind, id string) (client.Credential, error)
	Client(ctx context.Context, id string) (client.Client, error)
	Revoke(ctx context.Context, id, reason string) (client.Change, error)
	RevokeIssuedBy(ctx context.Context, ca, reason string) (client.Change, error)
}

// Options are what an [Authority] needs. All but InForce, MaxPerClient and Changed are required.
type Options struct {
	Records  Records
	Registry Registry
	Refresh  func(context.Context) error // makes a change of the registry bite at once
	Now      func() time.Time
	Rand     io.Reader

	// InForce counts the certificates of a client that are in force, and those among them that
	// replaced another one; a [client.View] does. nil: nothing is bounded.
	InForce      func(client, replaced string, at time.Time) (all, successors int)
	MaxPerClient int // certificates in force of one client; 0: 10,000

	// Changed is told what the authority did by itself, for the event log.
	Changed func(action, target, text string)
}

// Authority issues certificates. It is safe for concurrent use. It may not have been made
// yet: then everything but [Authority.Init] returns [ErrNone].
type Authority struct {
	options Options
	table   rows.Table[kept]
	setup   rows.Table[Setup]
	policy  atomic.Pointer[Policy]

	clock    steadiness
	changing sync.Mutex // one change of the hierarchy at a time
	state    atomic.Pointer[hierarchy]
	pending  pending

	changes atomic.Uint64
	told    atomic.Pointer[func()]
}

// Open reads the authority, if there is one.
func Open(ctx context.Context, o Options) (*Authority, error) {
	if o.Records == nil || o.Registry == nil || o.Refresh == nil || o.Now == nil || o.Rand == nil {
		return nil, errors.New("an authority needs records, a registry, a clock and randomness")
	}
	if o.MaxPerClient == 0 {
		o.MaxPerClient = maxPerClient
	}
	if o.Changed == nil {
		o.Changed = func(string, string, string) {}
	}
	a := &Authority{options: o, table: rows.NewTable[kept](o.Records, "authority"), setup: rows.NewTable[Setup](o.Records, "setup")}
	a.clock.table = rows.NewTable[sighting](o.Records, "clock")
	a.SetPolicy(Policy{})
	return a, a.read(ctx)
}

// Setup is what an authority was made with.
type Setup struct {
	Name      string   `json:"name"`             // in the subjects of its own certificates
	Domain    string   `json:"domain"`           // the SPIFFE trust domain, and the last part of names that nobody gave
	Algorithm string   `json:"algorithm"`        // of its own keys: ES256, ES384, EdDSA
	Permit    []string `json:"permit,omitempty"` // name constraints: dns:internal, uri:example.org, ip:10.0.0.0/8, email:example.org
}

const setupID = "authority"

// read takes in what is kept.
func (a *Authority) read(ctx context.Context) error {
	row, err := a.setup.Get(ctx, setupID)
	if errors.Is(err, rows.ErrMissing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the certificate authority: %w", err)
	}
	all, err := a.table.All(ctx)
	if err != nil {
		return fmt.Errorf("read the certificate authority: %w", err)
	}
	h := &hierarchy{setup: row.Value}
	for _, r := range all {
		m, err := opened(r)
		if err != nil {
			return err
		}
		h.members = append(h.members, m)
	}
	slices.SortFunc(h.members, func(x, y *member) int { return y.kept.Created.Compare(x.kept.Created) })
	a.state.Store(h)
	a.changes.Add(1)
	if told := a.told.Load(); told != nil {
		(*told)()
	}
	return nil
}

// OnChange has told called after each change of the hierarchy. It replaces what was given
// before.
func (a *Authority) OnChange(told func()) { a.told.Store(&told) }

// Reload takes in what another node changed.
func (a *Authority) Reload(ctx context.Context) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.read(ctx)
}

// hierarchy returns the authority's own certificates, or [ErrNone].
func (a *Authority) hierarchy() (*hierarchy, error) {
	if h := a.state.Load(); h != nil {
		return h, nil
	}
	return nil, ErrNone
}

// Generation rises with every change of the hierarchy; 0: there is no authority.
func (a *Authority) Generation() uint64 { return a.changes.Load() }

// Setup returns what the authority was made with.
func (a *Authority) Setup() (Setup, error) {
	h, err := a.hierarchy()
	if err != nil {
		return Setup{}, err
	}
	return h.setup, nil
}

// Roots returns the certificates that others are to trust, newest first.
func (a *Authority) Roots() ([]*x509.Certificate, error) {
	h, err := a.hierarchy()
	if err != nil {
		return nil, err
	}
	return h.roots(a.options.Now()), nil
}

// Between returns what stands between certificates and roots, for those who build chains by
// themselves: issuing authorities that are trusted, newest first, and roots as the roots
// before them have signed them.
func (a *Authority) Between() ([]*x509.Certificate, error) {
	h, err := a.hierarchy()
	if err != nil {
		return nil, err
	}
	now := a.options.Now()
	all := h.issuers(now)
	for _, m := range h.trusted(Issuing, now) {
		for _, c := range h.above(m, now) {
			if !slices.ContainsFunc(all, c.Equal) {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// Issuers returns the certificates of the issuing authorities whose certificates are
// accepted, as PEM: the newest first. Those that were revoked are not among them.
func (a *Authority) Issuers() ([]byte, error) {
	h, err := a.hierarchy()
	if err != nil {
		return nil, err
	}
	return EncodePEM(h.issuers(a.options.Now())...), nil
}

// Trusts reports whether certificates of an issuing authority count, named by its pin as
// [SettingCA] does.
func (a *Authority) Trusts(pin string) bool {
	h, err := a.hierarchy()
	return err == nil && slices.ContainsFunc(h.members, func(m *member) bool {
		return m.kept.Role == Issuing && m.kept.Revoked.IsZero() && Pin(m.cert) == pin
	})
}

// EncodePEM writes certificates as files hold them.
func EncodePEM(certificates ...*x509.Certificate) []byte { return certfile.EncodeChain(certificates) }

// record is the next version of a member's row.
func (a *Authority) record(m *member) (client.Record, error) {
	body, err := json.Marshal(m.kept)
	if err != nil {
		return client.Record{}, fmt.Errorf("encode authority %s: %w", m.kept.ID, err)
	}
	return client.Record{Table: "authority", ID: m.kept.ID, Version: m.version, Body: body}, nil
}

// keep writes members, all or none.
func (a *Authority) keep(ctx context.Context, more []client.Record, members ...*member) error {
	for _, m := range members {
		record, err := a.record(m)
		if err != nil {
			return err
		}
		more = append(more, record)
	}
	if err := a.options.Records.Write(ctx, more...); err != nil {
		return fmt.Errorf("keep the certificate authority: %w", err)
	}
	return nil
}
