package pki_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/shield"
)

func TestNothingIsIssuedBeforeThereIsAnAuthority(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "web"}, w.csr())
	_, rotated := w.pki.Rotate(t.Context(), pki.Rotation{})
	_, issuers := w.pki.Issuers()
	for name, err := range map[string]error{"issue": err, "rotate": rotated, "issuers": issuers} {
		if !errors.Is(err, pki.ErrNone) || !strings.Contains(err.Error(), "pavise ca init") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.pki.Keep(t.Context()); err != nil || w.pki.Generation() != 0 {
		t.Errorf("upkeep: %v, generation %d", err, w.pki.Generation())
	}
}

func TestAuthorityIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	var made, there int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := w.pki.Init(context.Background(), pki.Init{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, pki.ErrThere):
				there++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1 || there != 7 {
		t.Errorf("made %d times, refused %d times", made, there)
	}
	before, err := w.pki.Roots()
	must(t, err)
	w.start()
	if after, err := w.pki.Roots(); err != nil || len(after) != 1 || !same(after[0], before[0]) {
		t.Errorf("after a restart: %d roots, %v", len(after), err)
	}
}

func TestCertificateIsWhatItsProfileSays(t *testing.T) {
	for _, algorithm := range pki.Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorld(t)
			root := w.init(pki.Init{Setup: pki.Setup{Algorithm: algorithm, Domain: "example.org"}})
			if !root.IsCA || root.MaxPathLen != 2 || root.KeyUsage&x509.KeyUsageCertSign == 0 {
				t.Errorf("root %+v", root.Subject)
			}
			for _, c := range []struct {
				request pki.Request
				life    time.Duration
				usage   x509.ExtKeyUsage
				refused x509.ExtKeyUsage
				name    string
			}{
				{pki.Request{}, 24 * time.Hour, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageCodeSigning, "uri:spiffe://example.org/web"},
				{pki.Request{Profile: "server", Names: pki.Names{"dns:web.internal", "ip:10.0.0.1"}}, 24 * time.Hour, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, "dns:web.internal"},
				{pki.Request{Profile: "person", Names: pki.Names{"email:ann@example.org"}}, 24 * time.Hour, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth, "email:ann@example.org"},
				{pki.Request{Profile: "device"}, 365 * 24 * time.Hour, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth, "uri:spiffe://example.org/device/web"},
				{pki.Request{Life: time.Hour}, time.Hour, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning, "uri:spiffe://example.org/web"},
			} {
				c.request.Client = "web"
				issued := w.issue(c.request)
				leaf := issued.Leaf()
				if err := w.verify(issued.Chain, c.usage, root); err != nil {
					t.Errorf("%+v: %v", c.request, err)
				}
				if err := w.verify(issued.Chain, c.refused, root); err == nil {
					t.Errorf("%+v is good for usage %d too", c.request, c.refused)
				}
				if got := leaf.NotAfter.Sub(w.Now()).Round(time.Second); got != c.life {
					t.Errorf("%+v lives for %s", c.request, got)
				}
				if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.Subject.CommonName != "web" {
					t.Errorf("%+v: authority %v, usage %d, subject %s", c.request, leaf.IsCA, leaf.KeyUsage, leaf.Subject)
				}
				if names := strings.Fields(issued.Credential.Settings[pki.SettingNames]); !slices.Contains(names, c.name) {
					t.Errorf("%+v is named %v", c.request, names)
				}
			}
		})
	}
}

func TestCertificateIsACredential(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	issued := w.issue(pki.Request{Client: "web", Scopes: []string{"orders:read"}})
	kept, err := w.registry.Credential(t.Context(), "mtls", issued.Credential.ID)
	must(t, err)
	if kept.ID != "serial:"+hex.EncodeToString(issued.Leaf().SerialNumber.Bytes()) || kept.Client != "web" || !slices.Equal(kept.Scopes, []string{"orders:read"}) ||
		!kept.Expires.Equal(issued.Leaf().NotAfter) || kept.Settings[pki.SettingProfile] != "service" || kept.Settings[pki.SettingCA] != pki.Pin(issued.Chain[1]) {
		t.Errorf("%+v", kept)
	}
	if _, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "web", Scopes: []string{"admin"}}, w.csr()); err == nil {
		t.Error("a scope that the client has not was given")
	}
	if _, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "nobody"}, w.csr()); !errors.Is(err, client.ErrMissing) {
		t.Errorf("for nobody: %v", err)
	}
	_, err = w.registry.DisableClient(t.Context(), "pay")
	must(t, err)
	if _, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "pay"}, w.csr()); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("for a client that is disabled: %v", err)
	}
}

// Row 85: at least 64 random bits, and none twice.
func TestSerialNumbersAreRandomAndNotReused(t *testing.T) {
	attacktest.Rows(t, 85)
	w := newWorld(t)
	w.init(pki.Init{})
	seen := map[string]bool{}
	all := new(big.Int)
	same := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	for range 200 {
		n := w.issue(pki.Request{Client: "web"}).Leaf().SerialNumber
		if n.Sign() <= 0 || n.BitLen() <= 120 || n.BitLen() > 128 || seen[n.String()] {
			t.Fatalf("serial number %x", n)
		}
		seen[n.String()] = true
		all.Or(all, n)
		same.And(same, n)
	}
	if set := all.BitLen(); set != 128 || same.Sign() != 0 {
		t.Errorf("bits that never change: %x always set, %d ever set", same, set)
	}
}

func TestNothingIsHandedOutThatWasNotKept(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	o := w.options()
	o.Registry = full{w.registry}
	broken, err := pki.Open(t.Context(), o)
	must(t, err)
	issued, _, err := broken.Issue(t.Context(), pki.Request{Client: "web"}, w.csr())
	if issued != nil || !errors.Is(err, errFull) {
		t.Errorf("a certificate without its record: %v, %v", issued, err)
	}
}

func TestProfilesAreLimited(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	refused := func(name string, n pki.Request, want string) {
		t.Helper()
		n.Client = "web"
		_, _, err := w.pki.Issue(t.Context(), n, w.csr())
		if wrong, ok := errors.AsType[*pki.Fault](err); !ok || !strings.Contains(wrong.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("a profile that is none", pki.Request{Profile: "root"}, "service, server, person and device")
	refused("too long", pki.Request{Life: 31 * 24 * time.Hour}, "pki.profiles.service.max_life")
	refused("too short", pki.Request{Life: time.Minute}, "5m0s")
	refused("a server without a name", pki.Request{Profile: "server"}, "dns or ip")
	refused("a server with a URI only", pki.Request{Profile: "server", Names: pki.Names{"uri:https://a.example/"}}, "dns or ip")
	w.pki.SetPolicy(pki.Policy{Limits: map[string]pki.Limits{"service": {Max: time.Hour}, "device": {Life: 48 * time.Hour}}})
	refused("longer than is configured", pki.Request{Life: 2 * time.Hour}, "1h0m0s")
	if got := w.issue(pki.Request{Client: "web"}).Leaf().NotAfter.Sub(w.Now()).Round(time.Second); got != time.Hour {
		t.Errorf("the configured limit bounds the life too: %s", got)
	}
	if got := w.issue(pki.Request{Client: "web", Profile: "device"}).Leaf().NotAfter.Sub(w.Now()).Round(time.Second); got != 48*time.Hour {
		t.Errorf("the configured life: %s", got)
	}
}

func TestNameConstraintsHold(t *testing.T) {
	attacktest.Rows(t, 75)
	w := newWorld(t)
	root := w.init(pki.Init{Setup: pki.Setup{Permit: []string{"dns:internal", "uri:example.org", "ip:10.0.0.0/8", "email:example.org"}, Domain: "example.org"}})
	if !root.PermittedDNSDomainsCritical || len(root.PermittedURIDomains) != 1 {
		t.Errorf("the root permits %v, %v", root.PermittedDNSDomains, root.PermittedURIDomains)
	}
	for _, names := range []pki.Names{{"dns:web.internal"}, {"uri:spiffe://example.org/web"}, {"dns:web.internal", "ip:10.1.2.3"}, {"uri:spiffe://example.org/web", "email:a@example.org"}} {
		issued := w.issue(pki.Request{Client: "web", Names: names})
		if err := w.verify(issued.Chain, x509.ExtKeyUsageClientAuth, root); err != nil {
			t.Errorf("%v: %v", names, err)
		}
	}
	for _, names := range []pki.Names{{"dns:web.example.com"}, {"uri:spiffe://example.net/web"}, {"dns:web.internal", "ip:192.0.2.1"}, {"dns:web.internal", "email:a@example.net"}, {"dns:internal.example.com"}, {"uri:spiffe://sub.example.org/web"}, {"dns:web.internal", "email:a@sub.example.org"}, {"dns:web.internal", "uri:https://192.0.2.1/"}} {
		_, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "web", Names: names}, w.csr())
		if _, ok := errors.AsType[*pki.Fault](err); !ok {
			t.Errorf("%v: %v", names, err)
		}
	}
}

func TestSetupIsValidated(t *testing.T) {
	w := newWorld(t)
	for name, s := range map[string]pki.Setup{
		"algorithm":         {Algorithm: "RS256"},
		"name":              {Name: "Acme\nRoot"},
		"a long name":       {Name: strings.Repeat("a", 33)},
		"domain":            {Domain: "Example.org"},
		"constraint":        {Permit: []string{"internal"}},
		"constraint's type": {Permit: []string{"subject:internal"}},
		"network":           {Permit: []string{"ip:10.0.0.1/8"}},
		"too many":          {Permit: slices.Repeat([]string{"dns:internal"}, 65)},
	} {
		_, err := w.pki.Init(t.Context(), pki.Init{Setup: s})
		if _, ok := errors.AsType[*pki.Fault](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.init(pki.Init{})
}

// full is a registry whose disk is.
type full struct{ pki.Registry }

var errFull = errors.New("no space left on device")

func (full) AddCredential(context.Context, client.Credential, shield.Issued) (client.Credential, client.Change, error) {
	return client.Credential{}, client.Change{}, errFull
}
