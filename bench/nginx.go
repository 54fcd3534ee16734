package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

func nginx() contender {
	return contender{
		name: "nginx", rows: []string{"open", "key", "tls-new", "mtls", "mtls-new", "mtls-again"},
		version: func(ctx context.Context, _ *track) (string, error) { return output(ctx, "nginx", "-v") },
		start:   startNginx,
	}
}

const nginxConfig = `user root;
daemon off;
worker_processes 1;
pid {{dir}}/nginx.pid;
error_log {{dir}}/nginx.err warn;
events { worker_connections 4096; }
http {
  access_log {{dir}}/nginx.log combined buffer=64k flush=1s;
  keepalive_requests 100000000;
  ssl_protocols TLSv1.2 TLSv1.3;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $remote_addr;
  upstream behind { server {{upstream}}; keepalive 256; keepalive_requests 100000000; }
  map_hash_bucket_size 256;
  map $http_x_api_key $client { default ""; include {{dir}}/nginx.keys; }
  server {
    listen {{open}} ssl;
    ssl_certificate {{dir}}/api.example.com.pem;
    ssl_certificate_key {{dir}}/api.example.com.key;
    location /open { proxy_pass http://behind; }
    location /key {
      if ($client = "") { return 401; }
      proxy_set_header X-API-Key "";
      proxy_set_header X-Client $client;
      proxy_pass http://behind;
    }
  }
  server {
    listen {{mutual}} ssl;
    ssl_certificate {{dir}}/partners.example.com.pem;
    ssl_certificate_key {{dir}}/partners.example.com.key;
    ssl_client_certificate {{dir}}/ca.pem;
    ssl_verify_client on;
    location / { proxy_pass http://behind; }
  }
}
`

func startNginx(ctx context.Context, t *track) (*running, error) {
	addresses, err := free(2)
	if err != nil {
		return nil, err
	}
	keys := plainKeys(100)
	if err := os.WriteFile(t.path("nginx.keys"), []byte(lines(keys, `"%s" "client-%d";`)), 0o600); err != nil {
		return nil, err
	}
	config := t.fill(nginxConfig, addresses)
	if err := os.WriteFile(t.path("nginx.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	r, err := launch(ctx, t.path("nginx.out"), gatewayCore, "nginx", "-c", t.path("nginx.conf"), "-p", t.dir)
	if err != nil {
		return nil, err
	}
	r.open, r.mutual = addresses[0], addresses[1]
	r.proofs, r.setup = map[string][]secret{"key": keys}, fenced("nginx", nginxConfig)
	return r, r.ready(ctx, addresses...)
}

// fill puts addresses and folders into a configuration.
func (t *track) fill(config string, addresses []string) string {
	return strings.NewReplacer("{{dir}}", t.dir, "{{upstream}}", t.upstream, "{{open}}", addresses[0], "{{mutual}}", addresses[1]).Replace(config)
}

func fenced(language, text string) string { return "```" + language + "\n" + text + "```" }

// lines writes one line for each key and its number.
func lines(keys []secret, format string) string {
	var b strings.Builder
	for i, k := range keys {
		_, _ = fmt.Fprintf(&b, format+"\n", k.Secret, i) // a Builder takes everything
	}
	return b.String()
}
