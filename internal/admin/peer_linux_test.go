package admin_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attacktest"
)

// otherUser is nobody on every Linux.
const otherUser = 65534

const socketVariable = "PAVISE_TEST_SOCKET"

// TestTheKernelNamesThePeer runs this test program a second time as another local
// user, who calls the socket although its mode would let him.
func TestTheKernelNamesThePeer(t *testing.T) {
	if path := os.Getenv(socketVariable); path != "" {
		callAsStranger(t, path)
		return
	}
	attacktest.Rows(t, 168)
	if os.Getuid() != 0 {
		t.Skip("only root can run a program as another user")
	}
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "pavise-peer-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "s", "admin.sock")
	serveSocket(t, w, path)
	for _, open := range []string{dir, filepath.Dir(path), path} {
		must(t, os.Chmod(open, 0o777)) // the modes alone would let everybody in
	}
	program := filepath.Join(dir, "stranger")
	text, err := os.ReadFile(os.Args[0])
	must(t, err)
	must(t, os.WriteFile(program, text, 0o755))
	command := exec.Command(program, "-test.run=^TestTheKernelNamesThePeer$", "-test.v")
	command.Dir = dir
	command.Env = []string{socketVariable + "=" + path}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "answered 403 forbidden_peer") {
		t.Fatalf("the stranger: %v\n%s", err, out)
	}
	events := w.events(t)
	if len(events) != 1 || events[0].Decision != audit.Refused || events[0].Code != "forbidden_peer" || events[0].Actor == admin.CurrentUser().Name {
		t.Errorf("events %+v", events)
	}
	if list, err := w.client().Clients(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("clients %v, %v", list, err)
	}
}

func callAsStranger(t *testing.T, path string) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest("POST", "http://"+admin.Host+"/v1/clients", strings.NewReader(`{"id":"evil"}`))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := transport.RoundTrip(r)
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	t.Logf("answered %d %s", answer.StatusCode, code(t, body))
}
