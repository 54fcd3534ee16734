package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// contender is a program that is measured.
type contender struct {
	name    string
	version func(ctx context.Context, t *track) (string, error)
	rows    []string // it can guard; nil: all
	start   func(ctx context.Context, t *track) (*running, error)
}

// track is what contenders run on.
type track struct {
	material
	self     string // this program
	upstream string // host:port
	pavise   string // the binary
	built    string // from what
	profiles string // folder for CPU profiles; empty: none
}

// running is a contender that serves.
type running struct {
	process *exec.Cmd
	out     string              // file with what it writes
	open    string              // host:port for the rows without client certificates
	mutual  string              // and with
	proofs  map[string][]secret // that it issued itself
	asked   int                 // requests that were answered to make it ready
	cookie  string              // of somebody who is signed in
	key     string              // PEM; tokens of the rows with proofs are bound to it
	setup   string              // its settings, as the page shows them
	ended   chan error
}

const (
	gatewayCore = "0"
	otherCore   = "1"
)

// launch starts a program on a core. What it writes goes into a file.
func launch(ctx context.Context, out, core, name string, args ...string) (*running, error) {
	file, err := os.Create(out)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // the program has it by then
	r := &running{out: out, ended: make(chan error, 1)}
	r.process = exec.CommandContext(ctx, "taskset", append([]string{"-c", core, name}, args...)...)
	r.process.Stdout, r.process.Stderr = file, file
	r.process.Env = append(os.Environ(), "GOMAXPROCS=1")
	r.process.Cancel = func() error { return r.process.Process.Signal(syscall.SIGTERM) }
	r.process.WaitDelay = 10 * time.Second
	if err := r.process.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { r.ended <- r.process.Wait() }()
	return r, nil
}

// pid is that of the program: taskset has become it.
func (r *running) pid() int { return r.process.Process.Pid }

// ready waits until the program listens at every address.
func (r *running) ready(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, address := range addresses {
		for {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				_ = conn.Close() // nothing was said
				break
			}
			select {
			case end := <-r.ended:
				text, _ := os.ReadFile(r.out) // better than nothing
				return fmt.Errorf("%s ended before it listened on %s (%v):\n%s", r.process.Args[3], address, end, text)
			case <-ctx.Done():
				return fmt.Errorf("%s does not listen on %s: %w", r.process.Args[3], address, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// stop ends the program and waits for it.
func (r *running) stop() error {
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.ended:
	case <-time.After(15 * time.Second):
		_ = r.process.Process.Kill() // it was asked first
		<-r.ended
	}
	return nil
}

// free returns addresses on which nobody listens.
func free(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all at the end, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// output runs a command and returns the first line that it writes.
func output(ctx context.Context, name string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line, nil
}

func contenders() []contender {
	return []contender{nginx(), haproxy(), bare(), pavise()}
}

func bare() contender {
	return contender{
		name: "net/http", rows: []string{"open", "tls-new", "mtls", "mtls-new", "mtls-again"},
		version: func(ctx context.Context, _ *track) (string, error) { return output(ctx, "go", "version") },
		start: func(ctx context.Context, t *track) (*running, error) {
			addresses, err := free(2)
			if err != nil {
				return nil, err
			}
			r, err := launch(ctx, t.path("bare.out"), gatewayCore, t.self, "bare", addresses[0], addresses[1], t.upstream, t.dir, t.profileOf("bare"))
			if err != nil {
				return nil, err
			}
			r.open, r.mutual = addresses[0], addresses[1]
			r.setup = "`bench/bare.go`: `http.Server` over TLS with one `httputil.ReverseProxy`, whose transport keeps as many connections as it likes and whose copying buffers are pooled; a line for each request goes to a file through a buffer of 64 KiB. `GOMAXPROCS=1`, else Go's defaults, as for Pavise."
			return r, r.ready(ctx, r.open, r.mutual)
		},
	}
}
