package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/tlsconf"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("the peers do not run under -short")
		return
	}
	os.Exit(m.Run())
}

// patience is how long a peer may keep a test waiting.
const patience = 6 * time.Minute

// command readies a program with more variables in its environment. What is
// missing fails the test: nothing here is skipped in silence.
func command(ctx context.Context, env []string, name string, args ...string) (*exec.Cmd, error) {
	if _, err := exec.LookPath(name); err != nil {
		return nil, fmt.Errorf("%w; hint: make test installs what the tests need", err)
	}
	if _, err := os.Stat("node_modules"); name == "node" && err != nil {
		return nil, fmt.Errorf("npm packages: %w; hint: make test installs what the tests need", err)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "NODE_NO_WARNINGS=1")
	cmd.Env = append(cmd.Env, env...)
	return cmd, nil
}

// try runs a program to its end and returns what it printed and its exit status.
// It may be called from any goroutine.
func try(ctx context.Context, env []string, name string, args ...string) (out string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd, err := command(ctx, env, name, args...)
	if err != nil {
		return "", 0, err
	}
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", 0, fmt.Errorf("%s took too long: %w", name, err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return string(text), exit.ExitCode(), nil
	}
	return string(text), 0, err
}

// run is [try] for the test's own goroutine.
func run(t *testing.T, env []string, name string, args ...string) (out string, status int) {
	t.Helper()
	out, status, err := try(t.Context(), env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out, status
}

// succeed runs a program that must end well.
func succeed(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, status := run(t, env, name, args...)
	if status != 0 {
		t.Errorf("%s %v ended with status %d:\n%s", name, args, status, out)
	}
	return out
}

// peer is a program that runs beside a test.
type peer struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string
	stop  func() // kills it and waits for its end
	name  string
	last  string
}

// beside starts a program that runs until the test ends.
func beside(t *testing.T, env []string, name string, args ...string) *peer {
	t.Helper()
	cmd, err := command(t.Context(), env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, into := io.Pipe()
	cmd.Stdout, cmd.Stderr = into, into
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &peer{t: t, name: name, in: in, lines: make(chan string, 1<<16)}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
		_ = out.Close() // a line too long for the scanner must not hold the program up
	})
	reading.Go(func() {
		_ = cmd.Wait() // how it ends is in its lines
		_ = into.Close()
	})
	p.stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		reading.Wait()
	}
	t.Cleanup(p.stop)
	return p
}

// ready starts a program, waits until it prints a line "ready WORD", and returns the word.
func ready(t *testing.T, env []string, name string, args ...string) (*peer, string) {
	t.Helper()
	p := beside(t, env, name, args...)
	return p, p.until("ready ")
}

// line returns the next line; ok is false if the program has ended.
func (p *peer) line() (line string, ok bool) {
	p.t.Helper()
	select {
	case line, ok = <-p.lines:
		p.last = line
	case <-time.After(patience):
		p.t.Fatalf("%s has nothing to say; the last it said was %q", p.name, p.last)
	}
	return line, ok
}

// until reads lines up to one that begins with the text, and returns its rest.
func (p *peer) until(start string) string {
	p.t.Helper()
	var before []string
	for {
		line, ok := p.line()
		if !ok {
			p.t.Fatalf("a peer ended without saying %q:\n%s", start, strings.Join(before, "\n"))
		}
		if rest, found := strings.CutPrefix(line, start); found {
			return rest
		}
		before = append(before, line)
	}
}

// rest returns what a program still says until it ends.
func (p *peer) rest() string {
	p.t.Helper()
	var all []string
	for {
		line, ok := p.line()
		if !ok {
			return strings.Join(all, "\n")
		}
		all = append(all, line)
	}
}

// write gives a peer text to read.
func (p *peer) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatalf("write to a peer: %v", err)
	}
}

// tell gives a peer a line and returns the line that it answers.
func (p *peer) tell(line string) string {
	p.t.Helper()
	p.write(line + "\n")
	answer, ok := p.line()
	if !ok {
		p.t.Fatalf("a peer ended when it was told %q", line)
	}
	return answer
}

// identify makes a CA and a certificate of it for 127.0.0.1, as files for a peer.
func identify(t *testing.T) (ca *tlsconf.Local, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := tlsconf.OpenLocal(filepath.Join(dir, "ca"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "peer.pem"), filepath.Join(dir, "peer-key.pem")
	writePair(t, cert, certFile, keyFile)
	return ca, certFile, keyFile
}

func writePair(t *testing.T, cert *tls.Certificate, certFile, keyFile string) {
	t.Helper()
	chain, key, err := tlsconf.EncodePEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{certFile: chain, keyFile: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trusting returns a client that trusts the CA of a peer.
func trusting(t *testing.T, pool *x509.CertPool) *http.Client {
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
