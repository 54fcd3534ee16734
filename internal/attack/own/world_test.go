package own_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

// installation is a gateway that runs in this process.
type installation struct {
	dir     string
	running *app.Running
	admin   *admin.Client
	asked   func() []string // what the service was asked, but for what goes around the gateway
}

// shortDir is a folder whose path has room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "own")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// service answers everything, and remembers what it was asked.
func service(t *testing.T) (address string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/" {
			all = append(all, r.Method+" "+r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"1"}`))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// install starts a gateway with a policy.
func install(t *testing.T, yaml string, files map[string]string) *installation {
	t.Helper()
	return installWith(t, yaml, files, app.Options{})
}

// installWith starts one with more to say.
func installWith(t *testing.T, yaml string, files map[string]string, o app.Options) *installation {
	t.Helper()
	i := &installation{dir: shortDir(t)}
	address, asked := service(t)
	i.asked = asked
	for name, text := range files {
		i.write(t, name, text)
	}
	yaml = strings.NewReplacer("{{upstream}}", address, "{{port}}", freePort(t)).Replace(yaml)
	i.write(t, "pavise.yaml", yaml)
	var err error
	if i.running, err = app.Start(t.Context(), i.load(t, "pavise.yaml"), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.running.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
	i.admin = connect(t, i.load(t, "pavise.yaml"))
	return i
}

func connect(t *testing.T, f *config.File) *admin.Client {
	t.Helper()
	transport, err := admin.Dial(t.Context(), f.State.Socket)
	if err != nil {
		t.Fatal(err)
	}
	return admin.Connect(transport)
}

func (i *installation) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (i *installation) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (i *installation) load(t *testing.T, name string) *config.File {
	t.Helper()
	f, err := app.Load(filepath.Join(i.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// attack attacks the gateway with the policy of a file, which may be another one than is in force.
func (i *installation) attack(t *testing.T, file string, allowed attack.Demand, change func(*own.Gateway)) (*finding.Report, map[string]attack.Outcome) {
	t.Helper()
	f := i.load(t, file)
	g := own.Gateway{File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), PerSecond: 5000}
	if change != nil {
		change(&g)
	}
	return attackWith(t, g, allowed, nil)
}

func localCA(t *testing.T, f *config.File) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.State.Folder, "local-ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots
}

// attackWith runs the cases that are wanted; nil: all.
func attackWith(t *testing.T, g own.Gateway, allowed attack.Demand, wanted func(*attack.Case) bool) (*finding.Report, map[string]attack.Outcome) {
	t.Helper()
	run, err := own.Open(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if wanted != nil {
		plan := run.Plan()
		plan.Cases = slices.DeleteFunc(plan.Cases, func(c attack.Case) bool { return !wanted(&c) })
	}
	outcomes := map[string]attack.Outcome{}
	report, err := attack.Run(t.Context(), run.Prober(), run.Plan(), attack.Options{
		Allowed: allowed, Progress: func(p attack.Progress) { outcomes[p.Case] = p.Outcome },
	})
	if err = errors.Join(err, run.Close(context.WithoutCancel(t.Context()))); err != nil {
		t.Fatal(err)
	}
	run.Complete(report)
	return report, outcomes
}

// show writes what was found into the test's log.
func show(t *testing.T, report *finding.Report) {
	t.Helper()
	var text bytes.Buffer
	if err := finding.Write(&text, "table", finding.Style{All: true}, report); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
}

func rulesOf(report *finding.Report) map[string]bool {
	all := map[string]bool{}
	for _, f := range report.Findings {
		all[f.Rule] = true
	}
	return all
}
