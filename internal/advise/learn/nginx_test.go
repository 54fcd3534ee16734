package learn_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/advise/learn"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

func fromNginx(t *testing.T, text string) *learn.Proposal {
	t.Helper()
	p, err := learn.FromNginx(fstest.MapFS{"nginx.conf": {Data: []byte(text)}}, "/etc/nginx", "nginx.conf", func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// loaded writes a proposal and reads it as pavise check does.
func loaded(t *testing.T, p *learn.Proposal) *config.File {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"pavise.yaml": advise.Configuration("test", p.Plans), "learned.openapi.yaml": p.Contract} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := app.Load(filepath.Join(dir, "pavise.yaml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, advise.Configuration("test", p.Plans))
	}
	if err := app.Check(f); err != nil {
		t.Fatalf("%v\n%s\n%s", err, advise.Configuration("test", p.Plans), p.Contract)
	}
	for _, w := range f.Insecure() {
		if w.What != "anybody may call" {
			t.Errorf("%s is weakened: %s", w.Path, w.What)
		}
	}
	return f
}

const site = `
http {
  limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s;
  upstream orders { server 127.0.0.1:9000; server 127.0.0.2:9000; server 127.0.0.3:9000 backup; }
  server { listen 80; server_name api.example.com; return 301 https://$host$request_uri; }
  server {
    listen 443 ssl; server_name api.example.com www.example.com; server_tokens off;
    client_max_body_size 8m;
    location /v1/orders { proxy_pass http://orders; limit_req zone=one burst=20; auth_basic x; }
    location = /health { proxy_pass http://orders; limit_except GET { deny all; } }
    location /internal/ { proxy_pass http://127.0.0.1:9100; allow 10.0.0.0/8; deny all; proxy_read_timeout 5m; }
    location ~ ^/old/(\d+)$ { proxy_pass http://orders; }
  }
  server {
    listen 443 ssl; server_name partners.example.com; ssl_verify_client on; ssl_client_certificate /ca.pem;
    location /v1/parts { proxy_pass https://10.0.0.9; if ($request_method !~ ^(GET|POST)$) { return 405; } }
  }
}
`

// What nginx's files say is taken over: hosts, upstreams, paths, methods, limits, sizes, times, and
// who is asked.
func TestNginxIsTakenOver(t *testing.T) {
	p := fromNginx(t, site)
	f := loaded(t, p)
	if got := slices.Sorted(maps.Keys(f.Hosts)); !slices.Equal(got, []string{"api.example.com", "partners.example.com"}) || f.Hosts["partners.example.com"].ClientCertificates != "ask" || f.Hosts["api.example.com"].ClientCertificates != "ask" {
		t.Errorf("hosts %v: %+v", got, f.Hosts)
	}
	endpoints := map[string]config.Resolved{}
	all, err := f.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		endpoints[e.Hosts[0]+" "+e.Pattern] = e
	}
	post := endpoints["api.example.com POST /v1/orders"]
	if post.Limits[0].String() == "" || post.Limits[0].Rate.Count != 600 || post.Limits[0].Rate.Burst != 21 || post.MaxBody != 8<<20 {
		t.Errorf("POST /v1/orders: %v, %d bytes", post.Limits, post.MaxBody)
	}
	if up := f.APIs[post.API].Upstream.URL; !slices.Equal(up, []string{"http://127.0.0.1:9000", "http://127.0.0.2:9000"}) {
		t.Errorf("upstream %v", up)
	}
	if _, ok := endpoints["api.example.com DELETE /v1/orders/{path...}"]; !ok {
		t.Error("what is below a location is not taken over")
	}
	if _, ok := endpoints["api.example.com POST /health"]; ok {
		t.Error("a method that nginx refuses is served")
	}
	inside := endpoints["api.example.com GET /internal/{path...}"]
	if inside.Shield.Kind != "mtls" || inside.Timeout.Minutes() != 5 {
		t.Errorf("inside: %+v, %s", inside.Shield, inside.Timeout)
	}
	parts := endpoints["partners.example.com POST /v1/parts"]
	if parts.Shield.Kind != "mtls" || f.APIs[parts.API].Upstream.URL[0] != "https://10.0.0.9:443" {
		t.Errorf("partners: %+v", parts.Shield)
	}
	if _, ok := endpoints["partners.example.com PUT /v1/parts"]; ok {
		t.Error("a method that nginx refuses is served")
	}
	for _, rule := range []string{"more-hosts", "file-not-here", "networks", "password-basic", "not-taken-over", "upstream-unverified", "version-shown"} {
		if !tells(p, rule) {
			t.Errorf("%s is not told: %+v", rule, p.Open)
		}
	}
	if tells(p, "plain-http") {
		t.Error("a server that only redirects is told of")
	}
}

func tells(p *learn.Proposal, rule string) bool {
	return slices.ContainsFunc(p.Open, func(g learn.Gap) bool { return g.Rule == rule && g.Where != "" && g.What != "" && g.Do != "" })
}

// Each thing that nginx's files can leave open is told where it is so, and not where it is mended.
func TestWhatIsLeftOpenIsTold(t *testing.T) {
	wrap := func(server, location string) string {
		return "http { limit_req_zone $binary_remote_addr zone=one:1m rate=60r/m; server { listen 443 ssl; server_name a.example.com; server_tokens off; " + server +
			" location /x { proxy_pass http://127.0.0.1:1; limit_req zone=one; " + location + " } } }"
	}
	for _, one := range []struct{ rule, open, mended string }{
		{"nobody-asked", wrap("", ""), wrap("auth_basic x;", "")},
		{"plain-http", wrap("listen 80;", ""), wrap("", "")},
		{"certificate-optional", wrap("ssl_verify_client optional;", ""), wrap("ssl_verify_client optional; if ($ssl_client_verify != SUCCESS) { return 403; }", "")},
		{"certificate-unverified", wrap("ssl_verify_client optional_no_ca;", ""), wrap("ssl_verify_client on;", "")},
		{"password-basic", wrap("auth_basic x;", ""), wrap("auth_basic x;", "auth_basic off;")},
		{"judge-elsewhere", wrap("", "auth_request /auth;"), wrap("", "")},
		{"tokens-elsewhere", wrap("", "auth_jwt x;"), wrap("", "")},
		{"trusts-everybody", wrap("set_real_ip_from 0.0.0.0/0;", ""), wrap("set_real_ip_from 10.0.0.0/8;", "")},
		{"variable-upstream", strings.Replace(wrap("", ""), "http://127.0.0.1:1", "http://$host", 1) + wrap("", ""), wrap("", "")},
		{"decoded-path", wrap("", "proxy_set_header X $uri;"), wrap("", "proxy_set_header X $request_uri;")},
		{"alias-traversal", wrap("location /s { alias /srv/; }", ""), wrap("location /s/ { alias /srv/; }", "")},
		{"inside-shown", wrap("location /s { stub_status; }", ""), wrap("location /s { stub_status; allow 127.0.0.1; deny all; }", "")},
		{"listing-shown", wrap("location /s { root /srv; autoindex on; }", ""), wrap("location /s { root /srv; }", "")},
		{"origin-any", wrap("", "add_header Access-Control-Allow-Origin *;"), wrap("", "add_header Access-Control-Allow-Origin https://app.example.com;")},
		{"no-rate", strings.Replace(wrap("", ""), "limit_req zone=one;", "", 1), wrap("", "")},
		{"body-unbounded", wrap("", "client_max_body_size 0;"), wrap("", "client_max_body_size 1m;")},
		{"upstream-unverified", strings.Replace(wrap("", ""), "http://127", "https://127", 1), strings.Replace(wrap("", "proxy_ssl_verify on;"), "http://127", "https://127", 1)},
		{"old-tls", wrap("ssl_protocols TLSv1 TLSv1.2;", ""), wrap("ssl_protocols TLSv1.2 TLSv1.3;", "")},
		{"underscores", wrap("underscores_in_headers on;", ""), wrap("", "")},
		{"slashes-kept", wrap("merge_slashes off;", ""), wrap("", "")},
		{"headers-invalid", wrap("ignore_invalid_headers off;", ""), wrap("", "")},
		{"version-shown", strings.Replace(wrap("", ""), "server_tokens off;", "", 1), wrap("", "")},
		{"limit-key", strings.Replace(wrap("", ""), "$binary_remote_addr", "$http_x_user", 1), wrap("", "")},
		{"path-rewritten", strings.Replace(wrap("", ""), "127.0.0.1:1;", "127.0.0.1:1/y;", 1), strings.Replace(wrap("", ""), "127.0.0.1:1;", "127.0.0.1:1/x;", 1)},
		{"host-any", strings.Replace(wrap("", ""), "server_name a.example.com;", "", 1), wrap("", "")},
		{"host-pattern", strings.Replace(wrap("", ""), "a.example.com", "a.example.com *.example.com", 1), wrap("", "")},
	} {
		if p := fromNginx(t, one.open); !tells(p, one.rule) {
			t.Errorf("%s is not told of\n%s\n%+v", one.rule, one.open, p.Open)
		} else {
			loaded(t, p)
		}
		if p := fromNginx(t, one.mended); tells(p, one.rule) {
			t.Errorf("%s is told of\n%s", one.rule, one.mended)
		}
	}
}

// What cannot be taken over is left, and why is said; whatever is proposed can be read.
func TestWhatCannotBeTakenOverIsLeft(t *testing.T) {
	for text, why := range map[string]string{
		"location /x { fastcgi_pass unix:/x; }":      "no HTTP",
		"location ~ x { proxy_pass http://a; }":      "regular expression",
		"location /x { proxy_pass http://unix:/x; }": "TCP",
		"location /x { proxy_pass $y; }":             "a say in where it goes",
		"location /x;y { }":                          "",
		"location \"/a b\" { proxy_pass http://a; }": "characters that the door refuses",
		"root /srv;": "nothing in it is passed on",
	} {
		p, err := learn.FromNginx(fstest.MapFS{"n": {Data: []byte("server { server_name a.example.com; " + text + " }")}}, "/", "n", func(string) bool { return false })
		if why == "" {
			continue // nginx's own grammar refuses it
		}
		if err != nil || !slices.ContainsFunc(p.Open, func(g learn.Gap) bool { return strings.Contains(g.What, why) }) {
			t.Errorf("%s: %v, %+v", text, err, p)
		}
	}
}

// A large body and payments: what is proposed can be read all the same.
func TestLargeBodiesOfPaymentsAreBounded(t *testing.T) {
	f := loaded(t, fromNginx(t, "server { server_name a.example.com; client_max_body_size 1g; location /payments { proxy_pass http://127.0.0.1:1; } }"))
	e := f.APIs["payments"].Endpoints["POST /payments"]
	if e.Idempotency == nil || e.MaxBody != 64<<20 {
		t.Errorf("%+v", e)
	}
}

func FuzzFromNginx(f *testing.F) {
	f.Add(site)
	f.Add("server { location / { proxy_pass http://a; } }")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := learn.FromNginx(fstest.MapFS{"n": {Data: []byte(text)}}, "/etc/nginx", "n", func(string) bool { return false })
		if err == nil && len(p.Plans) > 0 {
			if _, err := config.Parse(config.Source{Name: "x", Text: advise.Configuration("fuzz", p.Plans)}, app.Kinds()...); err != nil {
				t.Fatalf("%v\n%s\n%s", err, text, advise.Configuration("fuzz", p.Plans))
			}
		}
	})
}
