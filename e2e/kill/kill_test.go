// Package kill ends the running program with SIGKILL at odd moments, under load and
// while credentials are made and revoked, and looks for anything that was answered
// for and is lost.
package kill

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/program"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/hmac"
)

const yaml = `
listen: {https: "127.0.0.1:0"}
limits: {wrong_tries: 100000, address: 100000000/minute}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: %s
    shield: {any: [api_key, hmac]}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See orders}
`

// installation is a data folder and the program that serves it.
type installation struct {
	t       *testing.T
	dir     string
	program string
	serving *exec.Cmd
	address string
	tls     *tls.Config
}

func install(t *testing.T) *installation {
	t.Helper()
	i := installWith(t, yaml)
	i.must("client", "create", "shop", "--scope", "orders:read")
	return i
}

// installWith makes an installation of a configuration that names its upstream once.
func installWith(t *testing.T, yaml string) *installation {
	t.Helper()
	i := &installation{t: t, dir: t.TempDir(), program: program.Built(t)}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	t.Cleanup(upstream.Close)
	if err := os.WriteFile(filepath.Join(i.dir, "pavise.yaml"), fmt.Appendf(nil, yaml, upstream.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// run runs a command of the program in the installation.
func (i *installation) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.program, args...)
	cmd.Dir = i.dir
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (i *installation) must(args ...string) string {
	i.t.Helper()
	out, err := i.run(args...)
	if err != nil {
		i.t.Fatalf("pavise %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (i *installation) start() {
	i.t.Helper()
	i.serving = exec.Command(i.program, "serve")
	i.serving.Dir = i.dir
	out, err := i.serving.StderrPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := i.serving.Start(); err != nil {
		i.t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if address, ok := strings.CutPrefix(lines.Text(), "pavise serves https://"); ok {
			i.address = address
			go func() { _, _ = io.Copy(io.Discard, out) }()
			i.trust()
			return
		}
	}
	i.t.Fatalf("the gateway did not start: %s", said.String())
}

func (i *installation) trust() {
	i.t.Helper()
	ca, err := os.ReadFile(filepath.Join(i.dir, "pavise-data", "local-ca", "ca.pem"))
	if err != nil {
		i.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	i.tls = &tls.Config{RootCAs: pool}
}

func (i *installation) kill() {
	_ = i.serving.Process.Kill()
	_ = i.serving.Wait() // killed
}

// request is a GET with a credential.
func (i *installation) request(sign func(*http.Request) error) *http.Request {
	i.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://"+i.address+"/v1/orders/7", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := sign(r); err != nil {
		i.t.Fatal(err)
	}
	return r
}

// send returns the status; 0 if there was no answer.
func (i *installation) send(r *http.Request) int {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: i.tls, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0
	}
	return response.StatusCode
}

func withKey(key string) func(*http.Request) error {
	return func(r *http.Request) error { r.Header.Set("X-API-Key", key); return nil }
}

// promised is what the program answered for.
type promised struct {
	mu      sync.Mutex
	good    map[string]string // keys in force, by id
	revoked map[string]string
	used    []*http.Request // signed requests that were accepted
}

func TestNothingAnsweredForIsLostByKill9(t *testing.T) {
	attacktest.Rows(t, 86)
	enough, most := 6, 30
	if testing.Short() {
		enough = 2
	}
	i := install(t)
	id, secret := hmacKey(t, i)
	p := &promised{good: map[string]string{}, revoked: map[string]string{}}
	little := func() bool { return len(p.good) == 0 || len(p.revoked) == 0 || len(p.used) == 0 }
	kills := 0
	for ; kills < enough || kills < most && little(); kills++ { // a busy machine does little in a round
		i.start()
		work(i, p, id, secret, time.Duration(300+kills*217%900)*time.Millisecond)
		checkAfter(t, i, p)
	}
	if little() {
		t.Errorf("too little was done: %d keys, %d revoked, %d signed requests", len(p.good), len(p.revoked), len(p.used))
	}
	t.Logf("%d keys, %d revoked, %d signed requests over %d kills", len(p.good), len(p.revoked), len(p.used), kills)
}

func hmacKey(t *testing.T, i *installation) (id, secret string) {
	t.Helper()
	secret = i.must("key", "create", "--client", "shop", "--kind", "hmac", "--quiet")
	for _, line := range strings.Split(i.must("key", "list", "--kind", "hmac"), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], "hk_") {
			return fields[0], secret
		}
	}
	t.Fatal("the key is not listed")
	return "", ""
}

// work makes and revokes keys and sends requests until the kill.
func work(i *installation, p *promised, id, secret string, life time.Duration) {
	stop := make(chan struct{})
	time.AfterFunc(life, func() { i.kill(); close(stop) })
	var all sync.WaitGroup
	all.Go(func() { // administration
		for n := 0; running(stop); n++ {
			key, err := i.run("key", "create", "--client", "shop", "--quiet")
			if err != nil {
				return
			}
			keyID := key[len("pvs_live_") : len("pvs_live_")+12]
			p.note(p.good, keyID, key)
			if n%2 == 1 {
				if _, err := i.run("revoke", keyID, "--reason", "test"); err == nil {
					p.revoke(keyID)
				} else {
					p.forget(keyID) // nobody answered for either
				}
			}
		}
	})
	signer, err := hmac.Kind().Client(shield.Credential{Kind: "hmac", ID: id, Secret: secret})
	if err != nil {
		i.t.Error(err)
	}
	all.Go(func() { // load
		for running(stop) {
			r := i.request(signer.Sign)
			if i.send(r.Clone(context.Background())) == http.StatusOK {
				p.mu.Lock()
				p.used = append(p.used, r)
				p.mu.Unlock()
			}
		}
	})
	all.Wait()
	<-stop
}

func running(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

func (p *promised) note(into map[string]string, id, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	into[id] = key
}

func (p *promised) revoke(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked[id] = p.good[id]
	delete(p.good, id)
}

func (p *promised) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.good, id)
}

// checkAfter starts the program again and holds it to what it had answered for.
func checkAfter(t *testing.T, i *installation, p *promised) {
	t.Helper()
	address := i.address
	i.start()
	defer i.kill()
	for id, key := range p.good {
		if status := i.send(i.request(withKey(key))); status != http.StatusOK {
			t.Errorf("key %s was shown and is answered %d", id, status)
		}
	}
	for id, key := range p.revoked {
		if status := i.send(i.request(withKey(key))); status != http.StatusUnauthorized {
			t.Errorf("key %s was revoked and is answered %d", id, status)
		}
	}
	for _, used := range p.used[max(0, len(p.used)-20):] {
		again := used.Clone(context.Background())
		again.Host = used.URL.Host // as it was signed
		again.URL.Host = i.address
		if status := i.send(again); status != http.StatusUnauthorized {
			t.Errorf("a signed request that was used on %s is answered %d", address, status)
		}
	}
	if out, err := i.run("log", "verify"); err != nil {
		t.Errorf("log verify: %v\n%s", err, out)
	}
}
