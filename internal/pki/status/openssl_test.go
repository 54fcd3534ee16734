package status_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
)

// openssl is a program that nobody here wrote, with a folder of files.
type openssl struct {
	*testing.T
	w   *world
	dir string
}

func newOpenSSL(t *testing.T, w *world) *openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	return &openssl{t, w, t.TempDir()}
}

func (o *openssl) write(name string, text []byte) string {
	o.Helper()
	path := filepath.Join(o.dir, name)
	must(o.T, os.WriteFile(path, text, 0o600))
	return path
}

func (o *openssl) run(want bool, contains string, args ...string) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "openssl", args...).CombinedOutput()
	if (err == nil) != want || !strings.Contains(string(out), contains) {
		o.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// lists writes what `pavise ca export --crl` does: of every authority.
func (o *openssl) lists(name string) string {
	o.Helper()
	signers, err := o.w.pki.Signers()
	must(o.T, err)
	var text []byte
	for _, s := range signers {
		der, err := o.w.status.List(o.Context(), s.ID)
		must(o.T, err)
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return o.write(name, text)
}

func (o *openssl) roots(name string) string {
	o.Helper()
	roots, err := o.w.pki.Roots()
	must(o.T, err)
	return o.write(name, pki.EncodePEM(roots...))
}

// openssl verifies chain, list and answers, whatever the authority's keys are.
func TestOpenSSLAgrees(t *testing.T) {
	for _, algorithm := range pki.Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorldOf(t, pki.Init{Setup: pki.Setup{Algorithm: algorithm}})
			o := newOpenSSL(t, w)
			good, lost := w.issue("web"), w.issue("pay")
			w.revoke(lost)
			root, issuing := o.roots("root.pem"), o.write("issuing.pem", pki.EncodePEM(good.Chain[1]))
			goodFile, lostFile := o.write("good.pem", pki.EncodePEM(good.Leaf())), o.write("lost.pem", pki.EncodePEM(lost.Leaf()))
			_, _, der := w.get(good.Leaf().CRLDistributionPoints[0])
			crl := o.write("list.pem", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
			o.run(true, "OK", "verify", "-CAfile", root, "-untrusted", issuing, goodFile)
			o.run(true, "OK", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root, "-untrusted", issuing, goodFile)
			o.run(true, "OK", "verify", "-crl_check", "-CRLfile", crl, "-CAfile", root, "-untrusted", issuing, goodFile)
			o.run(false, "certificate revoked", "verify", "-crl_check", "-CRLfile", crl, "-CAfile", root, "-untrusted", issuing, lostFile)
			o.run(true, "verify OK", "crl", "-in", crl, "-CAfile", issuing, "-noout")
			ask := func(file string, more ...string) []string {
				return append([]string{"ocsp", "-issuer", issuing, "-cert", file, "-url", w.server.URL + pki.PathOCSP, "-CAfile", root, "-no_nonce"}, more...)
			}
			o.run(true, "good.pem: good", ask(goodFile)...)
			o.run(true, "lost.pem: revoked", ask(lostFile)...)
			o.run(true, "good.pem: good", append([]string{"ocsp", "-sha256"}, ask(goodFile)[1:]...)...)
			o.run(true, "Response verify OK", ask(goodFile)...)
		})
	}
}

// Whoever checks the whole chain needs a list of the root, also of one whose key is kept
// elsewhere, and learns from it that an issuing authority was stolen.
func TestEveryAuthorityOfAChainHasAList(t *testing.T) {
	for name, elsewhere := range map[string]bool{"key of the root here": false, "key of the root elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			var n pki.Init
			if elsewhere {
				key, err := pki.NewKey("ES256", rand.Reader)
				must(t, err)
				n.RootKey = key
			}
			w := newWorldOf(t, n)
			o := newOpenSSL(t, w)
			old := w.issue("web")
			root, issuing := o.roots("root.pem"), o.write("issuing.pem", pki.EncodePEM(old.Chain[1:]...))
			verify := func(want bool, contains, list string, c *pki.Issued) {
				t.Helper()
				chain, leaf := o.write("chain.pem", pki.EncodePEM(c.Chain[1:]...)), o.write("leaf.pem", pki.EncodePEM(c.Leaf()))
				o.run(want, contains, "verify", "-crl_check_all", "-CRLfile", list, "-CAfile", root, "-untrusted", chain, leaf)
			}
			verify(true, "OK", o.lists("before.pem"), old)
			points := old.Chain[1].CRLDistributionPoints
			if len(points) != 1 {
				t.Fatalf("the issuing authority's certificate names %v", points)
			}
			list := func() *x509.RevocationList {
				t.Helper()
				_, _, der := w.get(points[0])
				l, err := x509.ParseRevocationList(der)
				must(t, err)
				return l
			}
			first := list()
			if elsewhere && first.NextUpdate.Before(old.Chain[1].NotAfter) {
				t.Errorf("the list of the root ends at %s, and nobody could sign the next one", first.NextUpdate)
			}
			w.forward(time.Minute)
			_, err := w.pki.Rotate(t.Context(), pki.Rotation{RootKey: n.RootKey, Compromised: true})
			must(t, err)
			w.keep()
			if second := list(); second.Number.Cmp(first.Number) <= 0 || len(second.RevokedCertificateEntries) != 1 {
				t.Errorf("the next list of the root: number %s after %s, %d revoked", second.Number, first.Number, len(second.RevokedCertificateEntries))
			}
			after := o.lists("after.pem")
			verify(false, "certificate revoked", after, old)
			verify(true, "OK", after, w.issue("web"))
			o.run(false, "certificate revoked", "verify", "-crl_check_all", "-CRLfile", after, "-CAfile", root, issuing)
		})
	}
}

// The root's successor is signed by it: that certificate too must be found on no list.
func TestChainOverTheOldRootHasLists(t *testing.T) {
	first, err := pki.NewKey("ES256", rand.Reader)
	must(t, err)
	second, err := pki.NewKey("ES256", rand.Reader)
	must(t, err)
	w := newWorldOf(t, pki.Init{RootKey: first})
	o := newOpenSSL(t, w)
	root := o.roots("old-root.pem")
	_, err = w.pki.Rotate(t.Context(), pki.Rotation{Root: true, RootKey: first, NextKey: second})
	must(t, err)
	c := w.issue("web")
	if len(c.Chain) != 3 || len(c.Chain[2].CRLDistributionPoints) != 1 {
		t.Fatalf("a chain of %d", len(c.Chain))
	}
	o.run(true, "OK", "verify", "-crl_check_all", "-CRLfile", o.lists("lists.pem"), "-CAfile", root,
		"-untrusted", o.write("chain.pem", pki.EncodePEM(c.Chain[1:]...)), o.write("leaf.pem", pki.EncodePEM(c.Leaf())))
}

// A list that a clock signed ahead of its time is replaced when the clock is right again.
func TestListOfTheFutureIsReplaced(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	w.forward(5 * time.Hour)
	w.keep()
	w.forward(2 * time.Hour)
	w.keep()
	ahead := w.list(c)
	w.forward(-7 * time.Hour)
	w.keep()
	if l := w.list(c); l.ThisUpdate.After(w.Now()) || l.Number.Cmp(ahead.Number) <= 0 {
		t.Errorf("number %s after %s, from %s at %s", l.Number, ahead.Number, l.ThisUpdate, w.Now())
	}
	if l := w.list(c); !l.ThisUpdate.Equal(w.Now().Add(-skew)) {
		t.Errorf("from %s at %s: who is a little behind would refuse it", l.ThisUpdate, w.Now())
	}
}
