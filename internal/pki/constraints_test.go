package pki_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
)

// What is issued under name constraints openssl accepts, and what it would refuse is not
// issued: it is stricter than Go about hosts of URIs, and reads common names.
func TestOpenSSLAgreesAboutNameConstraints(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	for name, c := range map[string]struct {
		permit []string
		client string
		names  pki.Names
		issued bool
	}{
		"a name within":                   {[]string{"dns:internal"}, "web", pki.Names{"dns:web.internal"}, true},
		"the domain itself":               {[]string{"dns:internal"}, "web", pki.Names{"dns:internal"}, true},
		"a name elsewhere":                {[]string{"dns:internal"}, "web", pki.Names{"dns:web.example.com"}, false},
		"another domain of that end":      {[]string{"dns:internal"}, "web", pki.Names{"dns:notinternal"}, false},
		"below a dot":                     {[]string{"dns:.internal"}, "web", pki.Names{"dns:web.internal"}, true},
		"the domain below a dot":          {[]string{"dns:.internal"}, "web", pki.Names{"dns:internal"}, false},
		"a client that looks like a name": {[]string{"dns:internal"}, "pay.example.com", pki.Names{"uri:spiffe://acme.example/pay"}, true},
		"a client within":                 {[]string{"dns:internal"}, "pay.internal", pki.Names{"uri:spiffe://acme.example/pay"}, true},
		"the host":                        {[]string{"uri:acme.example"}, "web", pki.Names{"uri:spiffe://acme.example/web"}, true},
		"a host below":                    {[]string{"uri:acme.example"}, "web", pki.Names{"uri:spiffe://sub.acme.example/web"}, false},
		"a host below a dot":              {[]string{"uri:.acme.example"}, "web", pki.Names{"uri:spiffe://sub.acme.example/web"}, true},
		"the host below a dot":            {[]string{"uri:.acme.example"}, "web", pki.Names{"uri:spiffe://acme.example/web"}, false},
		"a mailbox":                       {[]string{"email:acme.example"}, "web", pki.Names{"dns:a", "email:ann@acme.example"}, true},
		"a mailbox below":                 {[]string{"email:acme.example"}, "web", pki.Names{"dns:a", "email:ann@sub.acme.example"}, false},
		"an address":                      {[]string{"ip:10.0.0.0/8"}, "web", pki.Names{"dns:a", "ip:10.1.2.3"}, true},
		"an address elsewhere":            {[]string{"ip:10.0.0.0/8"}, "web", pki.Names{"dns:a", "ip:192.0.2.1"}, false},
		"an address of the other family":  {[]string{"ip:10.0.0.0/8"}, "web", pki.Names{"dns:a", "ip:2001:db8::1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now = time.Now() // openssl looks at the real clock
			root := w.init(pki.Init{Setup: pki.Setup{Permit: c.permit}})
			if c.client != "web" {
				_, err := w.registry.CreateClient(t.Context(), client.Client{ID: c.client})
				must(t, err)
			}
			issued, _, err := w.pki.Issue(t.Context(), pki.Request{Client: c.client, Names: c.names}, w.csr())
			if (err == nil) != c.issued {
				t.Fatalf("issued: %v", err)
			}
			if err != nil {
				return
			}
			dir := t.TempDir()
			write := func(name string, text []byte) string {
				path := filepath.Join(dir, name)
				must(t, os.WriteFile(path, text, 0o600))
				return path
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, "openssl", "verify", "-x509_strict", "-CAfile", write("root.pem", pki.EncodePEM(root)),
				"-untrusted", write("issuing.pem", pki.EncodePEM(issued.Chain[1:]...)), write("leaf.pem", pki.EncodePEM(issued.Leaf()))).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "OK") {
				t.Errorf("openssl: %v\n%s", err, out)
			}
		})
	}
}

// What could never be issued is refused when it is asked about, before a token is spent.
func TestWhatCouldNotBeKeptIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{Setup: pki.Setup{Permit: []string{"dns:internal"}}})
	for name, n := range map[string]pki.Request{
		"scopes that the client has not": {Client: "web", Scopes: []string{"admin:all"}},
		"names that are forbidden":       {Client: "web", Names: pki.Names{"dns:web.example.com"}},
	} {
		if err := w.pki.Check(t.Context(), n, w.csr()); !isFault(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.pki.CheckFor(client.Client{ID: "web", Scopes: []string{"orders:read"}}, n, nil); !isFault(err) {
			t.Errorf("%s, for a token: %v", name, err)
		}
	}
}

func isFault(err error) bool {
	_, ok := errors.AsType[*pki.Fault](err)
	return ok
}
