package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/secret"
)

// Authority is the installation's certificate authority, as it is shown.
type Authority struct {
	Setup   pki.Setup         `json:"setup"`
	Members []AuthorityMember `json:"members"`
	Roots   string            `json:"roots"` // PEM
}

// AuthorityMember is one of the authority's own certificates.
type AuthorityMember struct {
	ID          string    `json:"id"`
	Role        string    `json:"role"`  // root, issuing
	State       string    `json:"state"` // active, retired, revoked, ended
	Subject     string    `json:"subject"`
	Serial      string    `json:"serial"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"sha256"`
	Pin         string    `json:"pin"`
	Offline     bool      `json:"offline,omitempty"` // its key is kept elsewhere
	Listed      bool      `json:"listed,omitempty"`  // there is a revocation list of it
	Certificate string    `json:"certificate"`       // PEM
}

// InitAuthority asks for an authority.
type InitAuthority struct {
	pki.Setup
	RootKey PrivateKey `json:"root_key,omitzero"` // of a root that is kept elsewhere; none: one is made and kept here
}

// PrivateKey is a key in PEM on its way to the authority. It is printed as stars.
type PrivateKey struct{ secret.Value }

// MarshalText implements encoding.TextMarshaler: this is the one place where it is written.
func (k PrivateKey) MarshalText() ([]byte, error) { return k.Reveal(), nil }

// RotateAuthority asks for the next issuing authority, or the next root too.
type RotateAuthority struct {
	Root        bool       `json:"root,omitempty"`
	RootKey     PrivateKey `json:"root_key,omitzero"` // of the root that signs now, if it is kept elsewhere
	NextKey     PrivateKey `json:"next_key,omitzero"` // of the next root, if it is to be kept elsewhere
	Compromised bool       `json:"compromised,omitempty"`
	Reason      string     `json:"reason,omitempty"`
}

// NewCertificate asks for a certificate.
type NewCertificate struct {
	Client   string         `json:"client"`
	Create   bool           `json:"create,omitempty"` // make the client, without scopes, if there is none
	Profile  string         `json:"profile,omitempty"`
	Names    []string       `json:"names,omitempty"`
	Life     time.Duration  `json:"life,omitempty"` // nanoseconds
	Scopes   []string       `json:"scopes,omitempty"`
	Networks []netip.Prefix `json:"networks,omitempty"`
	Request  string         `json:"request"` // PKCS #10, PEM
}

// RenewCertificate asks for the successor of a certificate.
type RenewCertificate struct {
	ID      string `json:"id"`
	Request string `json:"request"`
}

// MadeCertificate is a certificate that was issued.
type MadeCertificate struct {
	Credential client.Credential `json:"credential"`
	Chain      string            `json:"chain"` // PEM: the certificate, then what stands between it and a root
	Created    bool              `json:"created,omitempty"`
}

func (s *Service) authority(*http.Request) (any, error) {
	if s.Authority == nil {
		return nil, pki.ErrNone
	}
	return s.shownAuthority()
}

func (s *Service) shownAuthority() (Authority, error) {
	setup, err := s.Authority.Setup()
	if err != nil {
		return Authority{}, err
	}
	members, err := s.Authority.Members()
	if err != nil {
		return Authority{}, err
	}
	roots, err := s.Authority.Roots()
	if err != nil {
		return Authority{}, err
	}
	shown := Authority{Setup: setup, Roots: string(pki.EncodePEM(roots...))}
	for _, m := range members {
		digest := sha256.Sum256(m.Certificate.Raw)
		shown.Members = append(shown.Members, AuthorityMember{
			ID: m.ID, Role: string(m.Role), State: m.State, Subject: m.Certificate.Subject.String(), Serial: m.Serial,
			NotBefore: m.Certificate.NotBefore, NotAfter: m.Certificate.NotAfter, Fingerprint: hex.EncodeToString(digest[:]),
			Pin: pki.Pin(m.Certificate), Offline: m.Offline, Listed: m.Listed, Certificate: string(pki.EncodePEM(m.Certificate)),
		})
	}
	return shown, nil
}

// RevocationList is a revocation list (RFC 5280 §5).
type RevocationList struct {
	PEM string `json:"pem"`
}

func (s *Service) crl(r *http.Request) (any, error) {
	if _, err := s.Authority.Setup(); err != nil {
		return nil, err
	}
	der, err := s.CRL(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return RevocationList{string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))}, nil
}

func (s *Service) initAuthority(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "authority.init", Target: "certificate authority"}
	var n InitAuthority
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	root, err := s.Authority.Init(r.Context(), pki.Init{Setup: n.Setup, RootKey: n.RootKey.Value})
	if err != nil {
		return nil, change, err
	}
	change.Target, change.Text = root.Subject.CommonName, "a root until "+root.NotAfter.Format(time.RFC3339)+", and an issuing authority below it"
	if !n.RootKey.Empty() {
		change.Text += "; the root's key is kept elsewhere"
	}
	shown, err := s.shownAuthority()
	return shown, change, err
}

func (s *Service) rotateAuthority(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "authority.rotate", Target: "certificate authority"}
	var n RotateAuthority
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	if len(n.Reason) > maxReason {
		return nil, change, problem(http.StatusBadRequest, "malformed", "the reason has more than %d bytes", maxReason)
	}
	change, err := s.Authority.Rotate(r.Context(), pki.Rotation{
		Root: n.Root, RootKey: n.RootKey.Value, NextKey: n.NextKey.Value, Compromised: n.Compromised, Reason: n.Reason,
	})
	if err != nil {
		return nil, change, err
	}
	shown, err := s.shownAuthority()
	return shown, change, err
}

func (s *Service) issueCertificate(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "certificate.issue"}
	var n NewCertificate
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.Client
	request, err := pki.ParseSigningRequest([]byte(n.Request))
	if err != nil {
		return nil, change, err
	}
	asked := pki.Request{Client: n.Client, Profile: n.Profile, Names: n.Names, Life: n.Life, Scopes: n.Scopes, Networks: n.Networks}
	created, err := s.clientFor(r, asked, n.Create, request)
	if err != nil {
		return nil, change, err
	}
	issued, change, err := s.Authority.Issue(r.Context(), asked, request)
	if err != nil {
		return nil, change, err
	}
	return MadeCertificate{issued.Credential, string(pki.EncodePEM(issued.Chain...)), created}, change, nil
}

// clientFor refuses what could not be issued, and then makes the client of a certificate, if
// that is asked for and there is none: nothing is left behind by what is refused.
func (s *Service) clientFor(r *http.Request, n pki.Request, create bool, csr *pki.SigningRequest) (created bool, err error) {
	owner, err := s.Registry.Client(r.Context(), n.Client)
	if missing := errors.Is(err, client.ErrMissing); missing && create {
		owner, created = client.Client{ID: n.Client, Scopes: n.Scopes}, true
		err = owner.Validate()
	}
	if err == nil {
		err = s.Authority.CheckFor(owner, n, csr)
	}
	if err != nil || !created {
		return false, err
	}
	change, err := s.Registry.CreateClient(r.Context(), owner)
	if err != nil {
		return false, err
	}
	return true, s.note(r, change.Action, change.Target, change.Text, nil)
}

func (s *Service) renewCertificate(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "certificate.renew"}
	var n RenewCertificate
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.ID
	request, err := pki.ParseSigningRequest([]byte(n.Request))
	if err != nil {
		return nil, change, err
	}
	issued, change, err := s.Authority.Renew(r.Context(), n.ID, request)
	if err != nil {
		return nil, change, err
	}
	return MadeCertificate{Credential: issued.Credential, Chain: string(pki.EncodePEM(issued.Chain...))}, change, nil
}

// Authority returns the certificate authority.
func (c *Client) Authority(ctx context.Context) (shown Authority, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/authority", nil, &shown)
	return shown, err
}

// RevocationList returns the revocation list of one of the authority's own certificates.
func (c *Client) RevocationList(ctx context.Context, id string) (l RevocationList, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/authority/"+url.PathEscape(id)+"/crl", nil, &l)
	return l, err
}

// InitAuthority makes the certificate authority.
func (c *Client) InitAuthority(ctx context.Context, n InitAuthority) (made Authority, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/authority", n, &made)
	return made, err
}

// RotateAuthority makes the next issuing authority.
func (c *Client) RotateAuthority(ctx context.Context, n RotateAuthority) (made Authority, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/authority/rotate", n, &made)
	return made, err
}

// IssueCertificate makes a certificate.
func (c *Client) IssueCertificate(ctx context.Context, n NewCertificate) (made MadeCertificate, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/certificates", n, &made)
	return made, err
}

// RenewCertificate makes the successor of a certificate.
func (c *Client) RenewCertificate(ctx context.Context, n RenewCertificate) (made MadeCertificate, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/certificates/renew", n, &made)
	return made, err
}
