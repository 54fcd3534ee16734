package pki

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// Settings of the credential that a certificate is.
const (
	SettingProfile     = "profile"
	SettingNames       = "names" // separated by spaces
	SettingCA          = client.SettingCA
	SettingLife        = "life"   // that was asked for, also if the authority ended sooner
	SettingFingerprint = "sha256" // of the certificate, hexadecimal: no other one of this number counts
)

// Request asks for a certificate.
type Request struct {
	Client   string
	Profile  string        // empty: service
	Names    Names         // empty: the profile's for this client
	Life     time.Duration // 0: the profile's
	Scopes   []string      // within the client's; empty: all of them
	Networks []netip.Prefix
	Replaces string // id of the credential that is renewed

	line string // id of the first certificate of which this one comes by renewal
}

// Issued is a certificate with its record.
type Issued struct {
	Credential client.Credential
	Chain      []*x509.Certificate // the certificate, then what stands between it and a root
}

// Leaf is the certificate.
func (i *Issued) Leaf() *x509.Certificate { return i.Chain[0] }

// Issue makes a certificate for a key whose holder has proved to have it, and keeps its
// record; only then is it returned.
func (a *Authority) Issue(ctx context.Context, n Request, csr *SigningRequest) (*Issued, client.Change, error) {
	change := client.Change{Action: "certificate.issue", Target: n.Client}
	h, profile, err := a.checked(ctx, &n, csr)
	if err != nil {
		return nil, change, err
	}
	release, err := a.reserve(n)
	if err != nil {
		return nil, change, err
	}
	defer release()
	now := a.options.Now().UTC()
	by, err := h.active(Issuing, now)
	if err != nil {
		return nil, change, err
	}
	now = now.Truncate(time.Second)
	leaf, err := a.certify(h.setup, n, profile, csr.Key, by, now)
	if err != nil {
		return nil, change, err
	}
	issued := &Issued{Chain: append([]*x509.Certificate{leaf, by.cert}, h.above(by, now)...)}
	if err := verify(issued.Chain, h.roots(now), profile, now); err != nil {
		return nil, change, err
	}
	issued.Credential, _, err = a.options.Registry.AddCredential(ctx, credentialOf(n, leaf, by), shield.Issued{ID: CredentialID(leaf), Keep: shield.KeepNothing})
	if err != nil {
		return nil, change, fmt.Errorf("keep the certificate: %w", err)
	}
	if err := a.confirm(ctx, by, n); err != nil {
		_, also := a.options.Registry.Revoke(ctx, issued.Credential.ID, "revoked while it was issued")
		if errors.Is(also, client.ErrMissing) {
			also = nil // whoever revoked what it rests on has found it
		}
		return nil, change, errors.Join(err, also)
	}
	_ = a.options.Refresh(ctx) // so that it is counted; whoever asked refreshes for itself, and tells
	change.Target = issued.Credential.ID
	change.Text = fmt.Sprintf("for client %s, profile %s, %s, until %s", n.Client, profile.Name, strings.Join(n.Names, " "), leaf.NotAfter.Format(time.RFC3339))
	return issued, change, nil
}

// confirm looks again at what a certificate rests on, when its record is kept: who signed
// it, and the certificate that it replaces. A revocation that came in between either finds
// the record, or is found here.
func (a *Authority) confirm(ctx context.Context, by *member, n Request) error {
	now, err := a.table.Get(ctx, by.kept.ID)
	if err != nil {
		return fmt.Errorf("look again at the issuing authority: %w", err)
	}
	if !now.Value.Revoked.IsZero() {
		return fmt.Errorf("%w: the issuing authority was revoked meanwhile; try again", client.ErrConflict)
	}
	if n.Replaces == "" {
		return nil
	}
	old, err := a.options.Registry.Credential(ctx, client.CertificateKind, n.Replaces)
	if err != nil {
		return fmt.Errorf("look again at the certificate that is renewed: %w", err)
	}
	if !old.Revoked.IsZero() {
		return fault("ask the operator for an enrolment token", "the certificate was revoked meanwhile")
	}
	return nil
}

// Check returns what [Authority.Issue] would refuse at once.
func (a *Authority) Check(ctx context.Context, n Request, csr *SigningRequest) error {
	if _, _, err := a.checked(ctx, &n, csr); err != nil {
		return err
	}
	release, err := a.reserve(n)
	if err == nil {
		release()
	}
	return err
}

// CheckFor does so for a client that may not be there yet. Without a signing request
// whatever depends on the key is left out.
func (a *Authority) CheckFor(owner client.Client, n Request, csr *SigningRequest) error {
	h, err := a.hierarchy()
	if err != nil {
		return err
	}
	if csr == nil {
		csr = &SigningRequest{}
	}
	_, err = a.allowed(h, owner, &n, csr)
	return err
}

// checked completes a request, and refuses one that cannot be granted.
func (a *Authority) checked(ctx context.Context, n *Request, csr *SigningRequest) (*hierarchy, Profile, error) {
	h, err := a.hierarchy()
	if err != nil {
		return nil, Profile{}, err
	}
	owner, err := a.options.Registry.Client(ctx, n.Client)
	if err != nil {
		return nil, Profile{}, err
	}
	profile, err := a.allowed(h, owner, n, csr)
	return h, profile, err
}

// allowed refuses what its client may not have. Whatever could be refused when the record is
// kept is refused here, before a token is spent.
func (a *Authority) allowed(h *hierarchy, owner client.Client, n *Request, csr *SigningRequest) (Profile, error) {
	profile, err := a.complete(h, n, csr)
	if err != nil {
		return profile, err
	}
	if owner.Disabled {
		return profile, fault("`pavise client enable "+owner.ID+"` if it may call again", "client %s is disabled", owner.ID)
	}
	kept := client.Credential{
		Kind: client.CertificateKind, ID: client.CertificatePrefix + "00", Scopes: n.Scopes, Networks: n.Networks,
		Settings: map[string]string{SettingNames: strings.Join(n.Names, " ")},
	}
	if err := kept.Validate(&owner); err != nil {
		return profile, fault("", "%v", err)
	}
	return profile, nil
}

// CredentialID is the id of the credential that a certificate of this authority is.
func CredentialID(c *x509.Certificate) string {
	return client.CertificatePrefix + hex.EncodeToString(c.SerialNumber.Bytes())
}

// complete fills in what a request leaves to the profile, and refuses what may not be.
func (a *Authority) complete(h *hierarchy, n *Request, csr *SigningRequest) (Profile, error) {
	if n.Profile == "" {
		n.Profile = "service"
	}
	profile, err := a.profile(n.Profile)
	if err != nil {
		return profile, err
	}
	if n.Life, err = profile.life(n.Life); err != nil {
		return profile, err
	}
	if len(n.Names) == 0 {
		if n.Names, err = profile.defaultNames(n.Client, h.setup.Domain); err != nil {
			return profile, err
		}
	}
	if err := n.Names.Validate(); err != nil {
		return profile, err
	}
	if !n.Names.has(profile.Wants...) {
		return profile, fault("", "a certificate of profile %s needs a name of type %s", profile.Name, strings.Join(profile.Wants, " or "))
	}
	if err := h.setup.permits(n.Names); err != nil {
		return profile, err
	}
	for _, asked := range csr.Names {
		if !slices.Contains(n.Names, asked) {
			return profile, fault("ask for these alone, or for none: "+strings.Join(n.Names, " "), "the signing request asks for the name %.80q, which this client may not have", asked)
		}
	}
	if csr.Key == nil {
		return profile, nil // nobody has one yet
	}
	return profile, checkKey(csr.Key)
}

// certify signs.
func (a *Authority) certify(s Setup, n Request, profile Profile, key crypto.PublicKey, by *member, now time.Time) (*x509.Certificate, error) {
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: s.subject(n.Client, n.Names),
		NotBefore: now.Add(-skew), NotAfter: earlier(now.Add(n.Life), by.cert.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: profile.Usages, BasicConstraintsValid: true,
	}
	if err := n.Names.put(t); err != nil {
		return nil, err
	}
	t.CRLDistributionPoints = a.listOf(by.cert)
	if status := a.policy.Load().Status; status != "" {
		t.OCSPServer = []string{status + PathOCSP}
	}
	der, err := x509.CreateCertificate(a.options.Rand, t, by.cert, key, by.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Paths below Policy.Status.
const (
	PathOCSP = "/ocsp"
	pathCRL  = "/crl/"
)

// PathCRL is where the revocation list of an authority is had.
func PathCRL(ca *x509.Certificate) string {
	return pathCRL + hex.EncodeToString(ca.SubjectKeyId) + ".crl"
}

// listOf is where others get the revocation list of an authority: what it signs names it.
func (a *Authority) listOf(ca *x509.Certificate) []string {
	if status := a.policy.Load().Status; status != "" {
		return []string{status + PathCRL(ca)}
	}
	return nil
}

// verify looks at a certificate as those who will be shown it do: nothing is handed out
// that nobody would accept.
func verify(chain, roots []*x509.Certificate, profile Profile, now time.Time) error {
	anchors, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		anchors.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: anchors, Intermediates: between, CurrentTime: now, KeyUsages: profile.Usages[:1]})
	if err != nil {
		return fmt.Errorf("the new certificate does not verify: %w", err)
	}
	return nil
}

func credentialOf(n Request, leaf *x509.Certificate, by *member) client.Credential {
	fingerprint := sha256.Sum256(leaf.Raw)
	c := client.Credential{
		Kind: client.CertificateKind, Client: n.Client, Scopes: n.Scopes, Networks: n.Networks, Expires: leaf.NotAfter, Replaces: n.Replaces,
		Settings: map[string]string{
			SettingProfile: n.Profile, SettingNames: strings.Join(n.Names, " "), SettingCA: Pin(by.cert),
			SettingFingerprint: hex.EncodeToString(fingerprint[:]), SettingLife: n.Life.String(),
		},
	}
	if n.line != "" {
		c.Settings[client.SettingLine] = n.line
	}
	return c
}

// Renew makes the successor of a certificate in force: for the same client, with the same
// names, profile, scopes and networks, for another key or the same.
func (a *Authority) Renew(ctx context.Context, id string, csr *SigningRequest) (*Issued, client.Change, error) {
	change := client.Change{Action: "certificate.renew", Target: id}
	old, err := a.options.Registry.Credential(ctx, client.CertificateKind, id)
	if err != nil {
		return nil, change, err
	}
	switch now := a.options.Now(); {
	case old.Settings[SettingProfile] == "":
		return nil, change, fault("", "%s is no certificate of this authority", id)
	case !old.Revoked.IsZero():
		return nil, change, fault("ask the operator for an enrolment token", "the certificate was revoked at %s", old.Revoked.UTC().Format(time.RFC3339))
	case !now.Before(old.Expires):
		return nil, change, fault("ask the operator for an enrolment token", "the certificate ended at %s", old.Expires.UTC().Format(time.RFC3339))
	case !a.Trusts(old.Settings[SettingCA]):
		return nil, change, fault("ask the operator for an enrolment token", "the authority that has signed the certificate was revoked")
	}
	life := lifeOf(old)
	if p, err := a.profile(old.Settings[SettingProfile]); err == nil {
		life = min(max(life, minLife), p.Max)
	}
	issued, done, err := a.Issue(ctx, Request{
		Client: old.Client, Profile: old.Settings[SettingProfile], Names: strings.Fields(old.Settings[SettingNames]),
		Life: life, Scopes: old.Scopes, Networks: old.Networks, Replaces: id,
		line: cmp.Or(old.Settings[client.SettingLine], id),
	}, csr)
	if err == nil {
		change.Target, change.Text = done.Target, done.Text+", instead of "+id
	}
	return issued, change, err
}

// lifeOf is how long a certificate was meant to live. It may have been cut short, because
// the authority ended before it: the next one need not be.
func lifeOf(c client.Credential) time.Duration {
	if life, err := time.ParseDuration(c.Settings[SettingLife]); err == nil && life > 0 {
		return life
	}
	return c.Expires.Sub(c.Created).Round(time.Minute)
}
