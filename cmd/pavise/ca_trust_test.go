package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/certfile"
)

func newRoot(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// store is a trust store whose program writes down what it found.
func store(t *testing.T) (trustStore, func() string) {
	t.Helper()
	dir := t.TempDir()
	folder, seen := filepath.Join(dir, "anchors"), filepath.Join(dir, "seen")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "others.crt"), []byte("others"), 0o600); err != nil {
		t.Fatal(err)
	}
	return trustStore{"test", folder, []string{"sh", "-c", "ls " + folder + " > " + seen}}, func() string {
		text, err := os.ReadFile(seen)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
}

// Each root is a file of its own, those that are trusted no more are taken out, and --undo
// takes all of them.
func TestRootsAreTrustedAndTakenBack(t *testing.T) {
	s, seen := store(t)
	first, second := newRoot(t), newRoot(t)
	shown := func(roots ...*x509.Certificate) admin.Authority {
		return admin.Authority{Setup: pki.Setup{Name: "Acme Inc", Domain: "acme.example"}, Roots: string(certfile.EncodeChain(roots))}
	}
	change := func(a admin.Authority, undo bool) {
		t.Helper()
		if err := s.change(t.Context(), io.Discard, a, undo); err != nil {
			t.Error(err)
		}
	}
	other := shown(first)
	other.Setup.Domain = "acme.example.org"
	change(other, false) // of another authority whose name begins like ours
	change(shown(first), false)
	change(shown(second, first), false)
	if got := strings.Count(seen(), "pavise-acme-inc-acme-example."); got != 2 {
		t.Errorf("after a rotation: %s", seen())
	}
	for _, root := range []*x509.Certificate{first, second} {
		text, err := os.ReadFile(s.file(shown(), root))
		if err != nil || strings.Count(string(text), "BEGIN") != 1 {
			t.Errorf("a file with %d certificates, %v", strings.Count(string(text), "BEGIN"), err)
		}
	}
	change(shown(second), false) // the first is trusted no more
	if got := strings.Count(seen(), "pavise-acme-inc-acme-example."); got != 1 {
		t.Errorf("after it was distrusted: %s", seen())
	}
	change(shown(second, first), false)
	change(shown(second, first), true)
	if got := seen(); strings.Contains(got, "pavise-acme-inc-acme-example.") || !strings.Contains(got, "others.crt") || !strings.Contains(got, "pavise-acme-inc-acme-example-org.") {
		t.Errorf("after it was undone: %s", got)
	}
	if err := s.change(t.Context(), io.Discard, shown(second), true); err == nil || !strings.Contains(err.Error(), "by our doing") {
		t.Errorf("undone twice: %v", err)
	}
}

func TestTrustStoreThatCannotBeChangedSaysSo(t *testing.T) {
	s, _ := store(t)
	a := admin.Authority{Setup: pki.Setup{Name: "Acme", Domain: "acme.example"}, Roots: string(certfile.EncodeChain([]*x509.Certificate{newRoot(t)}))}
	s.update = []string{"sh", "-c", "echo no such luck; exit 1"}
	if err := s.change(t.Context(), io.Discard, a, false); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("%v", err)
	}
	if _, err := findTrustStore([]trustStore{{"none", filepath.Join(s.folder, "none"), []string{"sh"}}, {"no program", s.folder, []string{"pavise-no-such-program"}}}); err == nil {
		t.Error("a store was found")
	}
	if found, err := findTrustStore([]trustStore{{"no program", s.folder, []string{"pavise-no-such-program"}}, s}); err != nil || found.name != "test" {
		t.Errorf("%v, %v", found, err)
	}
}
