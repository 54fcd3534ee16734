package mtls

import (
	"context"
	"crypto"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

const crlAddress = "http://crl.example/ca.crl"

func named(c *x509.Certificate) { c.CRLDistributionPoints = []string{crlAddress} }

// answer signs an OCSP answer about a certificate.
func (a *authority) answer(c *x509.Certificate, status int) []byte {
	a.Helper()
	der, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{
		Status: status, SerialNumber: c.SerialNumber, ThisUpdate: a.now, NextUpdate: a.now.Add(time.Hour), RevokedAt: a.now, IssuerHash: crypto.SHA1,
	}, a.key)
	if err != nil {
		a.Fatal(err)
	}
	return der
}

func TestOthersAreAskedWhetherACertificateIsRevoked(t *testing.T) {
	attacktest.Rows(t, 77)
	s := newScene(t, func(s *scene) { s.config.Revocation = &Revocation{} })
	good, lost := s.ca.leaf(named), s.ca.leaf(named)
	s.undecided("nobody says anything", good)
	s.world.AddPage(crlAddress, s.ca.list(1, s.world.Now().Add(4*time.Hour), lost))
	s.undecided("left alone after it failed", good)
	s.world.Advance(11 * time.Second)
	id := s.accepted("on no list", good)
	s.refused("on a list", shield.RevokedCredential, lost)
	s.undecided("it names nobody who could be asked", s.ca.leaf())
	s.world.Advance(2 * time.Hour)
	s.world.AddPage(crlAddress, s.ca.list(2, s.world.Now().Add(4*time.Hour), lost, good))
	if !id.Revocation() {
		t.Error("a stream goes on")
	}
	s.refused("on the next list", shield.RevokedCredential, good)
}

func TestStapledAnswersCountForTheLeafAlone(t *testing.T) {
	attacktest.Rows(t, 77)
	var between *authority
	s := newScene(t, func(s *scene) {
		s.config.Revocation = &Revocation{}
		between = s.ca.below("Between")
	})
	leaf := between.leaf()
	r := requestOf(leaf, between.cert)
	r.TLS.OCSPResponse = between.answer(leaf, ocsp.Good)
	if id, err := s.shield.Verify(r); err == nil {
		t.Errorf("nobody has said anything of the one between: %+v", id)
	}
	directly := s.ca.leaf()
	r = requestOf(directly)
	r.TLS.OCSPResponse = s.ca.answer(directly, ocsp.Good)
	if _, err := s.shield.Verify(r); err != nil {
		t.Errorf("stapled: %v", err)
	}
	lost := s.ca.leaf()
	r = requestOf(lost)
	r.TLS.OCSPResponse = s.ca.answer(lost, ocsp.Revoked)
	if _, err := s.shield.Verify(r); !isRefusal(err, shield.RevokedCredential) {
		t.Errorf("stapled, and revoked: %v", err)
	}
}

func isRefusal(err error, code shield.Code) bool {
	refusal, ok := err.(*shield.Refusal)
	return ok && refusal.Code == code
}

func TestWhatWeakensAskingIsSaid(t *testing.T) {
	var between *authority
	change := func(r *Revocation) func(*scene) {
		return func(s *scene) {
			s.config.Revocation = r
			between = s.ca.below("Between")
			s.world.AddPage(crlAddress, between.list(1, s.world.Now().Add(4*time.Hour)))
		}
	}
	strict := newScene(t, change(&Revocation{}))
	strict.undecided("nobody says anything of the one between", between.leaf(named), between.cert)
	leaf := newScene(t, change(&Revocation{LeafOnly: "the root signs no lists"}))
	if id := leaf.accepted("the leaf alone", between.leaf(named), between.cert); len(id.Warnings) != 0 {
		t.Errorf("warnings %v", id.Warnings)
	}
	leaf.undecided("and of the leaf somebody must", between.leaf(), between.cert)
	soft := newScene(t, change(&Revocation{SoftFail: "the partner's responder is slow"}))
	if id := soft.accepted("softly", between.leaf(), between.cert); !slices.Equal(id.Warnings, []string{"revocation_unknown"}) {
		t.Errorf("warnings %v", id.Warnings)
	}
	lost := between.leaf(named)
	soft.world.AddPage(crlAddress, between.list(2, soft.world.Now().Add(4*time.Hour), lost))
	soft.refused("revoked, though something else is unknown", shield.RevokedCredential, lost, between.cert)
}

// Streams are watched over by one who must not wait: about one whose certificate nobody
// says anything any more is asked beside, for a while.
func TestStreamsAboutWhichNobodyKnowsEndAfterAWhile(t *testing.T) {
	attacktest.Rows(t, 77)
	world := shieldtest.NewWorld()
	ca := newAuthority(t, world.Now(), "Clients")
	world.WriteFile("ca.pem", bundle(ca.cert))
	env := world.Env()
	var beside []func(context.Context)
	queue := false
	env.Go = func(f func(context.Context)) {
		if queue {
			beside = append(beside, f)
			return
		}
		f(t.Context())
	}
	opened, err := (&Config{Trust: []string{"ca.pem"}, Revocation: &Revocation{}}).Open(env)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{TB: t, world: world, ca: ca, shield: opened}
	world.AddPage(crlAddress, ca.list(1, world.Now().Add(4*time.Hour)))
	id := s.accepted("on no list", ca.leaf(named))
	queue = true // from now on nobody answers
	world.Advance(5 * time.Hour)
	if id.Revocation() || len(beside) == 0 {
		t.Errorf("it ends at once, or nobody asks: %d questions", len(beside))
	}
	world.Advance(29 * time.Second)
	if id.Revocation() {
		t.Error("it ends too soon")
	}
	world.Advance(2 * time.Second)
	if !id.Revocation() {
		t.Error("it goes on for ever")
	}
	queue = false
	world.AddPage(crlAddress, ca.list(2, world.Now().Add(4*time.Hour)))
	world.Advance(time.Minute)
	if id.Revocation() {
		t.Error("there is an answer again")
	}
}

// A list in a file counts before anybody is asked, and an old one still says what was revoked.
func TestFilesAndOthers(t *testing.T) {
	var lost *x509.Certificate
	s := newScene(t, func(s *scene) {
		lost = s.ca.leaf(named)
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour), lost))
		s.config.CRL, s.config.Revocation = []string{"ca.crl"}, &Revocation{}
	})
	good := s.ca.leaf(named)
	s.accepted("by the file", good)
	s.refused("by the file", shield.RevokedCredential, lost)
	s.world.Advance(2 * time.Hour)
	s.undecided("the file has ended", good)
	s.refused("the file has ended, and says so", shield.RevokedCredential, lost)
	s.world.Advance(11 * time.Second)
	s.world.AddPage(crlAddress, s.ca.list(2, s.world.Now().Add(time.Hour)))
	s.accepted("by who was asked", good)
}

func TestSettingsOfRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		settings Revocation
		wrong    string
	}{
		"nothing":                  {Revocation{}, ""},
		"all":                      {Revocation{Ask: []string{"crl"}, Refresh: time.Minute, Responder: "http://ocsp.example", LeafOnly: "the root signs none", SoftFail: "they are often away"}, ""},
		"a refresh of a second":    {Revocation{Refresh: time.Second}, "revocation.refresh"},
		"a refresh of a week":      {Revocation{Refresh: 7 * 24 * time.Hour}, "revocation.refresh"},
		"a responder without http": {Revocation{Responder: "ocsp.example"}, "revocation.responder"},
		"no reason":                {Revocation{SoftFail: "x"}, "revocation.insecure_soft_fail"},
	} {
		problems := (&Config{Trust: []string{"ca.pem"}, Revocation: &c.settings}).Validate()
		if (len(problems) == 0) != (c.wrong == "") || len(problems) > 0 && problems[0].Path != c.wrong {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	var r Revocation
	if r.SetScalar("dns") == nil || r.SetScalar("crl") != nil || !slices.Equal(r.Ask, []string{"crl"}) {
		t.Errorf("in short: %+v", r)
	}
}
