package foreign_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attacktest"
)

// plainDocument describes what a server that knows nothing of it might be thought to do.
const plainDocument = `openapi: 3.1.0
info: {title: Plain, version: "1"}
security: [{key: []}]
paths:
  /v1/orders:
    get:
      parameters: [{name: q, in: query, schema: {type: string}}, {name: limit, in: query, schema: {type: integer}}, {name: url, in: query, schema: {type: string, format: uri}}]
      responses: {"200": {description: orders, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}}
    post:
      parameters: [{name: Idempotency-Key, in: header, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {item: {type: string}, owner_id: {type: string, readOnly: true}}}}}}
      responses: {"201": {description: made}}
  /v1/orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: an order}}
  /v1/admin/users:
    get: {responses: {"200": {description: users}}}
  /index.html:
    get: {security: [], responses: {"200": {description: a page}}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Api-Key}}}
`

func plainTarget() foreign.Target {
	user := func(name string) *attack.User {
		return &attack.User{Name: name, Sign: func(r *http.Request) error { r.Header.Set("X-Api-Key", "key-of-"+name+"-0123456789"); return nil }}
	}
	return foreign.Target{Document: []byte(plainDocument), Name: "plain.yaml", Base: true, Allowed: attack.Writes | attack.Destroys, Users: []*attack.User{user("alice"), user("bob")}}
}

// TestNothingIsInvented: row 152.
func TestNothingIsInvented(t *testing.T) {
	attacktest.Rows(t, 152)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<!doctype html><p>hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/orders", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[]`)
	})
	for name, h := range map[string]http.Handler{
		"echo of the path":   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%s %s\n", r.Method, r.URL) }),
		"echo of everything": http.HandlerFunc(echoEverything),
		"echo of the body":   http.HandlerFunc(echoBody),
		"files":              http.FileServer(http.Dir(dir)),
		"an empty mux":       http.NewServeMux(),
		"a mux":              mux,
		"no to everything":   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }),
		"yes to everything":  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(h)
			defer server.Close()
			for _, f := range attackIt(t, server.URL, nil, plainTarget()).Findings {
				if name == "a mux" && f.Rule == "no-authentication" && strings.HasSuffix(f.Where.Path, "/v1/orders") {
					continue // that is true
				}
				t.Errorf("invented %s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
			}
		})
	}
}

func echoEverything(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "%s %s\n%v\n", r.Method, r.URL, r.Header)
	_, _ = io.Copy(w, r.Body)
}

func echoBody(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body, _ := io.ReadAll(r.Body)
	if len(body) == 0 {
		body = []byte(`{}`)
	}
	_, _ = w.Write(body)
}

// TestNothingIsInventedOfNginx: row 152, with Debian's nginx that serves files, and one that passes on. That it
// tells its version is true.
func TestNothingIsInventedOfNginx(t *testing.T) {
	attacktest.Rows(t, 152)
	behind := httptest.NewServer(http.HandlerFunc(echoEverything))
	defer behind.Close()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "www", "index.html"), []byte("<!doctype html><p>hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	files, proxy := freePort(t), freePort(t)
	startNginx(t, dir, proxy, fmt.Sprintf(`
  server { listen %s; root %s/www; }
  server { listen %s; location / { proxy_pass %s; proxy_http_version 1.1; } }`, files, dir, proxy, behind.URL))
	for name, address := range map[string]string{"files": files, "proxy": proxy} {
		t.Run(name, func(t *testing.T) {
			told := false
			for _, f := range attackIt(t, "http://"+address, nil, plainTarget()).Findings {
				if f.Rule == "version-told" && strings.Contains(f.What, "nginx/") {
					told = true
					continue
				}
				t.Errorf("invented %s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
			}
			if !told {
				t.Error("it does not say that nginx tells its version")
			}
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func startNginx(t *testing.T, dir, address, servers string) {
	t.Helper()
	config := strings.NewReplacer("{{dir}}", dir, "{{servers}}", servers).Replace(`
user root; daemon off; worker_processes 1; pid {{dir}}/pid; error_log {{dir}}/error.log error;
events { worker_connections 256; }
http {
  access_log off; default_type application/octet-stream; types { text/html html; }
  client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy; fastcgi_temp_path {{dir}}/f; uwsgi_temp_path {{dir}}/u; scgi_temp_path {{dir}}/s;
  {{servers}}
}`)
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command("nginx", "-c", name, "-p", dir)
	nginx.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	if err := nginx.Start(); err != nil {
		t.Fatalf("start nginx (tools/install.sh installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(os.Interrupt) // it may have ended
		_ = nginx.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}
