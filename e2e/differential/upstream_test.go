package differential

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sawHeader is the field of an answer in which an upstream says what it got.
const sawHeader = "X-Saw"

// upstream is a server that says what it got, and how many whole requests there were.
type upstream struct {
	url  string
	seen func(t *testing.T) int64
}

// goUpstream is net/http.
func goUpstream(t *testing.T) upstream { return recorder(t, true) }

// recorder is a service of net/http that says what it got, with or without trailers.
func recorder(t *testing.T, trailers bool) upstream {
	t.Helper()
	var seen atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			return // half a request is none
		}
		seen.Add(1)
		saw := wireReading{Method: r.Method, Target: encode(r.RequestURI), Body: hex.EncodeToString(sum.Sum(nil))}
		saw.Fields = append(encodeAll(r.Header), [2]string{"Host", encode(r.Host)})
		if trailers {
			saw.Trailers = append([][2]string{}, encodeAll(r.Trailer)...)
		}
		text, err := json.Marshal(saw)
		if err != nil {
			panic(err)
		}
		w.Header().Set(sawHeader, encode(string(text)))
	}))
	t.Cleanup(service.Close)
	return upstream{service.URL, func(*testing.T) int64 { return seen.Load() }}
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func encodeAll(h http.Header) (all [][2]string) {
	for name, values := range h {
		for _, value := range values {
			all = append(all, [2]string{name, encode(value)})
		}
	}
	return all
}

// nodeUpstream is Node's http module.
func nodeUpstream(t *testing.T) upstream {
	t.Helper()
	node := exec.Command("node", "echo.mjs")
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatalf("start node (tools/install.sh installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill() // it keeps nothing
		_ = node.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("node said nothing: %v", err)
	}
	url := "http://127.0.0.1:" + strings.TrimSpace(line)
	return upstream{url, func(t *testing.T) int64 {
		response, err := http.Get(url + "/seen")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}}
}

// nginxUpstream is nginx, with a service behind it that says what nginx passed on:
// what nginx understood. It passes no trailers on.
func nginxUpstream(t *testing.T) upstream {
	t.Helper()
	behind := recorder(t, false)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("{{dir}}", dir, "{{listen}}", addr, "{{behind}}", strings.TrimPrefix(behind.url, "http://")).Replace(`
user root; daemon off; worker_processes 1; pid {{dir}}/pid; error_log {{dir}}/error.log error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h; proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
  client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy; fastcgi_temp_path {{dir}}/f; uwsgi_temp_path {{dir}}/u; scgi_temp_path {{dir}}/s;
  upstream behind { server {{behind}}; keepalive 64; keepalive_requests 100000000; }
  server {
    listen {{listen}};
    location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; }
  }
}`)
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command("nginx", "-c", name, "-p", dir)
	nginx.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	nginx.Stderr = os.Stderr
	if err := nginx.Start(); err != nil {
		t.Fatalf("start nginx (tools/install.sh installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(os.Interrupt)
		_ = nginx.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return upstream{"http://" + addr, behind.seen}
		}
		if time.Now().After(end) {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}
