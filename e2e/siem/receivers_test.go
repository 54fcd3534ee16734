package siem

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

func TestRsyslogGetsEveryEventOverTLS(t *testing.T) {
	attacktest.Requirements(t, "16.4.3")
	attacktest.Rows(t, 146)
	r := newRsyslog(t)
	g := install(t, r.sink(filepath.Join(r.dir, "ca.pem")), "")
	r.start()
	g.start()
	g.get(50)
	g.wait("the first events are there", func() bool { return len(r.ids()) >= 50 })

	r.kill() // the receiver dies in the middle
	g.get(50)
	g.wait("it is told", func() bool { return g.status("siem").Failing != "" })
	r.start()
	g.get(10)
	g.wait("it is caught up", func() bool { s := g.status("siem"); return s.Lag == 0 && s.Failing == "" })

	g.get(20)
	g.kill() // the gateway dies in the middle
	g.start()
	g.get(5)
	g.stop()
	g.arrived(r.ids)
	for _, line := range r.received() {
		var e struct {
			Class    int `json:"class_uid"`
			Metadata struct {
				UID      string
				Sequence json.Number
			}
		}
		if err := json.Unmarshal([]byte(line[6]), &e); err != nil || e.Metadata.UID != line[4] || e.Metadata.Sequence.String() != line[5] {
			t.Fatalf("%v: %q", err, line)
		}
		if line[1] != "pavise" || line[3] != "authpriv" || line[2] == "request" && e.Class != 6003 {
			t.Fatalf("%q", line)
		}
	}
	if s := g.status("siem"); s.Lost != 0 || s.Rejected != 0 || s.Lag != 0 {
		t.Errorf("%+v", s)
	}
}

func TestNothingGoesToAReceiverWithTheWrongCertificate(t *testing.T) {
	attacktest.Rows(t, 147)
	r := newRsyslog(t)
	other := t.TempDir()
	certify(t, other)
	g := install(t, r.sink(filepath.Join(other, "ca.pem")), "")
	r.start()
	g.start()
	g.get(5)
	g.wait("it is told", func() bool { return strings.Contains(g.status("siem").Failing, "certificate") })
	g.stop()
	if got := r.received(); len(got) > 0 {
		t.Errorf("it got %q", got)
	}
}

// A receiver without TLS gets a greeting, and no event.
func TestNothingGoesOutInTheClear(t *testing.T) {
	attacktest.Requirements(t, "16.2.3", "16.4.3")
	attacktest.Rows(t, 147)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got bytes.Buffer
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			part := make([]byte, 64<<10)
			n, _ := conn.Read(part)
			_ = conn.Close()
			mu.Lock()
			got.Write(part[:n])
			mu.Unlock()
		}
	}()
	defer func() { _ = l.Close() }()
	g := install(t, `    siem: {syslog: {address: "tls://`+l.Addr().String()+`"}}`, "")
	g.start()
	g.get(5)
	g.wait("it is told", func() bool { return g.status("siem").Failing != "" })
	g.stop()
	mu.Lock()
	defer mu.Unlock()
	if got.Len() == 0 || got.Bytes()[0] != 22 || strings.Contains(got.String(), "orders") {
		t.Errorf("%.200q", got.String())
	}
}

func TestAnAPIWithRequiredAuditRefusesWhileASinkIsFull(t *testing.T) {
	attacktest.Rows(t, 146)
	var mu sync.Mutex
	away, ids := true, []string(nil)
	receiver := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for line := range bytes.Lines(body) {
			var e struct{ ID string }
			if json.Unmarshal(line, &e) == nil {
				ids = append(ids, e.ID)
			}
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = receiver.Serve(l) }()
	defer func() { _ = receiver.Close() }()
	g := install(t, `    siem: {webhook: {url: "http://`+l.Addr().String()+`/in"}, spool: 5}`, "    audit: required")
	g.start()
	if status := g.get(6); status != http.StatusOK {
		t.Fatalf("%d before the spool is full", status)
	}
	g.wait("it refuses", func() bool { return g.get(1) == http.StatusServiceUnavailable })
	if s := g.status("siem"); !s.Full {
		t.Errorf("%+v", s)
	}
	before := g.served
	if g.get(3) != http.StatusServiceUnavailable || g.served != before {
		t.Errorf("the upstream saw %d requests that were refused", g.served-before)
	}
	mu.Lock()
	away = false
	mu.Unlock()
	g.wait("it serves again", func() bool { return g.get(1) == http.StatusOK })
	g.stop()
	g.arrived(func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), ids...)
	})
}

func TestAFileSinkSurvivesKill9(t *testing.T) {
	attacktest.Rows(t, 146)
	g := install(t, `    archive: {file: {path: out/events.jsonl, compress: false, rotate_size: 64KiB}}`, "")
	for range 3 {
		g.start()
		g.get(30)
		g.kill()
	}
	g.start()
	g.wait("it is caught up", func() bool { return g.status("archive").Lag == 0 })
	g.stop()
	g.arrived(func() (ids []string) {
		names, err := filepath.Glob(filepath.Join(g.dir, "out", "events.jsonl.*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(names, filepath.Join(g.dir, "out", "events.jsonl")) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(text) {
				var e struct{ ID string }
				if err := json.Unmarshal(line, &e); err != nil {
					t.Fatalf("%s: %v: %.80q", name, err, line)
				}
				ids = append(ids, e.ID)
			}
		}
		return ids
	})
}
