package siem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/notify/alertmanager"
)

// received is what an Alertmanager sends on (its webhook, version 4).
type received struct {
	Status string
	Alerts []struct {
		Status string
		Labels map[string]string
	}
}

// pager is whom the Alertmanager tells.
type pager struct {
	mu  sync.Mutex
	got []received
}

func (p *pager) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var m received
	body, _ := io.ReadAll(r.Body)
	if json.Unmarshal(body, &m) == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, m)
	}
}

// has reports whether some message has so many firing and so many resolved alerts.
func (p *pager) has(firing, resolved int) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range p.got {
			count := map[string]int{}
			for _, a := range m.Alerts {
				count[a.Status]++
			}
			if count["firing"] == firing && count["resolved"] == resolved {
				return true
			}
		}
		return false
	}
}

func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// startAlertmanager runs Debian's, and returns its address.
func startAlertmanager(t *testing.T, tell string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("no prometheus-alertmanager here; tools/install.sh installs it")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	text := fmt.Sprintf("route: {receiver: pager, group_by: [job], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}\nreceivers: [{name: pager, webhook_configs: [{url: %q, send_resolved: true}]}]\n", tell)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // it takes the port
	command := exec.Command(program, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--cluster.listen-address=")
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	within(t, "Alertmanager is ready", func() bool {
		answer, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return "http://" + address
}

func TestAlertmanagerGroupsWhatBeginsAndResolvesWhatEnds(t *testing.T) {
	people := &pager{}
	server := httptest.NewServer(people)
	defer server.Close()
	address := startAlertmanager(t, server.URL)
	client, err := fetch.New(fetch.Settings{Allow: []string{address}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	teller, err := alertmanager.New(alertmanager.Settings{HTTP: client.HTTP(1 << 20), URL: address, Labels: map[string]string{"team": "api"}, Node: "gw1", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := notify.New(notify.Settings{Name: "oncall", Node: "gw1", Notifier: teller, File: filepath.Join(t.TempDir(), "told.json"), Least: alert.Low, Recovery: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = desk.Close() }()
	began := time.Now().Add(-time.Minute)
	incident := func(n int, ended bool) audit.Found {
		i := alert.Incident{
			Detection: "guessing", Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: fmt.Sprint("192.0.2.", n)}, Began: began, Last: began, Count: 1,
			What: "31 wrong credentials \x00\u202e\xff", Event: fmt.Sprint("r", n), Ended: ended,
		}
		if ended {
			i.Last = time.Now()
		}
		return audit.Found{Event: i.AsEvent()}
	}
	send := func(events ...audit.Found) {
		t.Helper()
		if err := desk.Send(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	send(incident(1, false), incident(2, false), incident(3, false))
	within(t, "three in one message", people.has(3, 0))
	send(incident(1, true))
	within(t, "one is resolved, two are not", people.has(2, 1))
	send(incident(2, true), incident(3, true))
	within(t, "all are resolved", people.has(0, 2))
}
