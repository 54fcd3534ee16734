package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

// ownAuthority is the installation's own, as the shield sees it.
type ownAuthority struct {
	issuers  []*authority
	others   []*authority // roots, and those that are trusted no more
	err      error
	watchers []func()
}

func (o *ownAuthority) Issuers() (text []byte, err error) {
	for _, a := range o.issuers {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return text, o.err
}

func (o *ownAuthority) Pins() (all []string) {
	for _, a := range append(slices.Clone(o.issuers), o.others...) {
		all = append(all, pinOf(a.cert))
	}
	return all
}

func (o *ownAuthority) Watch(changed func()) { o.watchers = append(o.watchers, changed) }

func (o *ownAuthority) change(issuers ...*authority) {
	o.issuers = issuers
	for _, changed := range o.watchers {
		changed()
	}
}

// ownScene is a shield that trusts the own authority.
type ownScene struct {
	*scene
	own     *ownAuthority
	shop    *shield.Client
	partner *authority // of the file that newOwnScene wrote
}

func newOwnScene(t *testing.T, c *Config, files ...string) *ownScene {
	t.Helper()
	world := shieldtest.NewWorld()
	s := &ownScene{own: &ownAuthority{}, shop: &shield.Client{ID: "shop", Scopes: shield.Scopes{"orders:read"}}}
	root := newAuthority(t, world.Now(), "Root")
	ca := root.below("Issuing")
	s.own.issuers = []*authority{ca}
	s.partner = newAuthority(t, world.Now(), "Partner")
	for _, name := range files {
		world.WriteFile(name, bundle(s.partner.cert))
	}
	env := world.Env()
	env.Authority = s.own
	opened, err := c.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	s.scene = &scene{TB: t, world: world, ca: ca, shield: opened}
	return s
}

// record makes a certificate known.
func (s *ownScene) record(c *x509.Certificate, change ...func(*shield.Record)) *shield.Record {
	digest := sha256.Sum256(c.Raw)
	r := &shield.Record{
		Kind: kind, ID: serialID(c), Client: s.shop, Scopes: s.shop.Scopes, Expires: c.NotAfter,
		Settings: map[string]string{"ca": pinOf(s.ca.cert), "sha256": hex.EncodeToString(digest[:]), "profile": "service"},
	}
	for _, f := range change {
		f(r)
	}
	s.world.Add(r.Keep(nil, nil, func() bool {
		now, err := s.world.Credential(kind, r.ID)
		return err != nil || !now.Revoked.IsZero()
	}))
	return r
}

func TestOwnAuthorityVouchesOnlyForWhatIsRecorded(t *testing.T) {
	attacktest.Rows(t, 80)
	s := newOwnScene(t, &Config{})
	leaf := s.ca.leaf()
	s.refused("made with the authority's key, but not by it", shield.InvalidCredential, leaf)
	s.record(leaf)
	id := s.accepted("recorded", leaf)
	if id.Client != "shop" || id.CredentialID != serialID(leaf) || !slices.Equal(id.Scopes, s.shop.Scopes) || !id.Expires.Equal(leaf.NotAfter) {
		t.Errorf("%+v", id)
	}
	twin := s.ca.leaf(func(c *x509.Certificate) { c.SerialNumber = leaf.SerialNumber })
	s.refused("another one of the same serial number", shield.InvalidCredential, twin)
	s.record(leaf, func(r *shield.Record) { r.Revoked = s.world.Now() })
	s.refused("revoked", shield.RevokedCredential, leaf)
	if !id.Revocation() {
		t.Error("a stream that began before goes on")
	}
	s.record(leaf, func(r *shield.Record) { r.Client = &shield.Client{ID: "shop", Disabled: true} })
	s.refused("its client is disabled", shield.DisabledClient, leaf)
	s.record(leaf)
	s.accepted("in force again", leaf)
	s.world.Set(leaf.NotAfter)
	s.refused("ended", shield.ExpiredCredential, leaf)
}

// A name in the registry is for authorities of others: nobody borrows it by a name that
// our own authority wrote.
func TestOwnCertificatesAreNotKnownByTheirNames(t *testing.T) {
	s := newOwnScene(t, &Config{})
	leaf := s.ca.leaf()
	s.world.Add(&shield.Record{Kind: kind, ID: "dns:pay.internal", Client: s.shop})
	s.refused("known by its name only", shield.InvalidCredential, leaf)
	elsewhere := newAuthority(t, s.world.Now(), "Elsewhere")
	foreign := elsewhere.leaf(func(c *x509.Certificate) { c.SerialNumber = leaf.SerialNumber })
	s.record(leaf)
	s.refused("the same number of another authority", shield.Foreign, foreign)
}

func TestOwnAuthorityRotatesWhileTheShieldIsOpen(t *testing.T) {
	s := newOwnScene(t, &Config{})
	old := s.ca.leaf()
	s.record(old)
	s.accepted("before", old)
	next := newAuthority(t, s.world.Now(), "Next")
	next.next = 500 // other serial numbers, as random ones are
	fresh := next.leaf()
	s.refused("of an authority that is none yet", shield.Foreign, fresh)
	s.own.change(next, s.ca)
	s.record(fresh, func(r *shield.Record) { r.Settings["ca"] = pinOf(next.cert) })
	s.accepted("of the next", fresh)
	id := s.accepted("of the old one", old)
	s.own.change(next)
	s.refused("of the old one, when it is no longer trusted", shield.Foreign, old)
	if !id.Revocation() {
		t.Error("a stream of the old authority goes on")
	}
}

func TestWithoutAnAuthorityNothingIsOpened(t *testing.T) {
	env := shieldtest.NewWorld().Env()
	if _, err := (&Config{}).Open(env); err == nil {
		t.Error("opened where there is never an authority")
	}
	missing := errors.New("make one")
	env.Authority = &ownAuthority{err: missing}
	if _, err := (&Config{}).Open(env); !errors.Is(err, missing) {
		t.Errorf("opened before there is one: %v", err)
	}
}

func TestOwnAndForeignAuthoritiesStandSideBySide(t *testing.T) {
	world := shieldtest.NewWorld()
	partner := newAuthority(t, world.Now(), "Partner")
	world.WriteFile("partner.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: partner.cert.Raw}))
	ours := newAuthority(t, world.Now(), "Ours")
	s := &ownScene{own: &ownAuthority{issuers: []*authority{ours}}, shop: &shield.Client{ID: "shop"}}
	env := world.Env()
	env.Authority = s.own
	opened, err := (&Config{Trust: []string{own, "partner.pem"}}).Open(env)
	if err != nil {
		t.Fatal(err)
	}
	s.scene = &scene{TB: t, world: world, ca: ours, shield: opened}
	s.accepted("a partner's, whom nobody has recorded", partner.leaf())
	s.refused("ours, whom nobody has recorded", shield.InvalidCredential, s.ca.leaf())
	leaf := s.ca.leaf()
	s.record(leaf)
	s.accepted("ours, recorded", leaf)
}

func TestRulesByClientAndProfile(t *testing.T) {
	s := newOwnScene(t, &Config{Allow: []Rule{{Client: "shop", Profile: "service"}, {Client: "depot", DNS: "depot.internal"}}})
	leaf := s.ca.leaf()
	s.record(leaf)
	s.accepted("client and profile", leaf)
	s.record(leaf, func(r *shield.Record) { r.Settings["profile"] = "device" })
	s.refused("another profile", shield.InvalidCredential, leaf)
	s.record(leaf, func(r *shield.Record) { r.Client = &shield.Client{ID: "depot"} })
	s.refused("another client without its name", shield.InvalidCredential, leaf)
	named := s.ca.leaf(func(c *x509.Certificate) { c.DNSNames = []string{"depot.internal"} })
	s.record(named, func(r *shield.Record) { r.Client = &shield.Client{ID: "depot"} })
	s.accepted("another client with its name", named)
	if problems := (&Config{Allow: []Rule{{Profile: "root"}}}).Validate(); len(problems) == 0 {
		t.Error("a profile that is none was taken")
	}
}

// `pavise ca export > ca.pem` makes this mistake natural: our own authority in a bundle of
// others would let in what it has signed, recorded or revoked or neither.
func TestOwnAuthorityIsNoPartner(t *testing.T) {
	attacktest.Rows(t, 80)
	world := shieldtest.NewWorld()
	root := newAuthority(t, world.Now(), "Root")
	issuing, stolen := root.below("Issuing"), root.below("Stolen")
	partner := newAuthority(t, world.Now(), "Partner")
	env := world.Env()
	env.Authority = &ownAuthority{issuers: []*authority{issuing}, others: []*authority{root, stolen}}
	for name, ca := range map[string]*authority{"root.pem": root, "issuing.pem": issuing, "stolen.pem": stolen} {
		world.WriteFile(name, bundle(partner.cert, ca.cert))
		for _, trust := range [][]string{{name}, {own, name}} {
			if _, err := (&Config{Trust: trust}).Open(env); err == nil || !strings.Contains(err.Error(), "write own instead") {
				t.Errorf("%v: %v", trust, err)
			}
		}
	}
}

// A partner who has signed our issuing authority makes our certificates no partner's.
func TestOwnCertificatesAreOwnByEveryPath(t *testing.T) {
	s := newOwnScene(t, &Config{Trust: []string{own, "partner.pem"}}, "partner.pem")
	cross := s.partner.sign(&x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: s.ca.cert.Subject, NotBefore: s.ca.cert.NotBefore, NotAfter: s.ca.cert.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: s.ca.cert.SubjectKeyId,
	}, s.partner.cert, s.ca.key.Public(), s.partner.key)
	leaf := s.ca.leaf()
	s.refused("unrecorded", shield.InvalidCredential, leaf, cross)
	s.own.others = append(s.own.others, s.ca)
	s.own.change() // the issuing authority is trusted no more
	s.refused("unrecorded, by the partner's path alone", shield.InvalidCredential, leaf, cross)
	s.record(leaf, func(r *shield.Record) { r.Revoked = s.world.Now() })
	s.refused("revoked, by the partner's path alone", shield.RevokedCredential, leaf, cross)
	s.accepted("the partner's own", s.partner.leaf())
}

func TestRulesByAuthority(t *testing.T) {
	world := shieldtest.NewWorld()
	root := newAuthority(t, world.Now(), "Root")
	red, blue := root.below("Red"), root.below("Blue")
	world.WriteFile("root.pem", bundle(root.cert))
	opened, err := (&Config{Trust: []string{"root.pem"}, Allow: []Rule{{Above: pinOf(red.cert)}}}).Open(world.Env())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{TB: t, world: world, ca: root, shield: opened}
	s.accepted("below the one that is named", red.leaf(), red.cert)
	s.refused("below another", shield.InvalidCredential, blue.leaf(), blue.cert)
	s.refused("directly below the root", shield.InvalidCredential, root.leaf())
	if problems := (&Config{Allow: []Rule{{Above: "red"}}}).Validate(); len(problems) != 1 {
		t.Errorf("%+v", problems)
	}
}
