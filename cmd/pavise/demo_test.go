package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoCommandsDoWhatTheDemoSays builds the program, starts the demo, takes every
// command that it prints, runs it in a shell, and ends the demo with Ctrl-C.
func TestDemoCommandsDoWhatTheDemoSays(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and runs every command of the demo")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "pavise")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, program, "demo", "--folder", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0")
	demo.Dir = dir
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	attempts, explain := readAttempts(t, out)
	if len(attempts) < 14 {
		t.Errorf("the demo printed %d commands, want two for each of seven endpoints", len(attempts))
	}
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) { a.run(ctx, t) })
	}
	t.Run("explain", func(t *testing.T) { askDemo(ctx, t, program, explain, attempts[0].command) })
	if err := demo.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries beside program and folder: %v", len(entries), entries)
	}
}

// attempt is a command that was printed, with what it said would come back.
type attempt struct{ name, command, want string }

var refusedLine = regexp.MustCompile(`^ +(\d{3} [a-z_]+)$`)

// readAttempts parses what the demo prints, up to its last line, which explains a request.
func readAttempts(t *testing.T, out io.Reader) (attempts []attempt, explain string) {
	t.Helper()
	var endpoint string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if name, _, ok := strings.Cut(line, "   shield: "); ok {
			endpoint = name
		}
		if command, ok := strings.CutPrefix(line, "  passes   $ "); ok {
			attempts = append(attempts, attempt{endpoint + " passes", command, ""})
		}
		if command, ok := strings.CutPrefix(line, "  refused  $ "); ok {
			attempts = append(attempts, attempt{endpoint + " is refused", command, ""})
		}
		if m := refusedLine.FindStringSubmatch(line); m != nil && len(attempts) > 0 {
			attempts[len(attempts)-1].want = m[1]
		}
		if command, ok := strings.CutPrefix(line, "  $ "); ok && strings.Contains(line, " explain ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return attempts, command
		}
	}
	t.Fatalf("the demo ended after %d commands: %v", len(attempts), lines.Err())
	return nil, ""
}

var requestID = regexp.MustCompile(`(?i)x-request-id: (\S+)`)

// askDemo runs the demo's last command, for a request that passed, and what else asks a
// gateway that runs.
func askDemo(ctx context.Context, t *testing.T, program, explain, passes string) {
	out, err := exec.CommandContext(ctx, "sh", "-c", strings.Replace(passes, "curl ", "curl -i ", 1)).CombinedOutput()
	m := requestID.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%s: %v\n%s", passes, err, out)
	}
	_, rest, _ := strings.Cut(explain, " -c ")
	configuration, _, _ := strings.Cut(rest, " ")
	for command, want := range map[string]string{
		strings.Replace(explain, "REQUEST-ID", string(m[1]), 1):     "decision    accepted",
		program + " status -c " + configuration:                     "",
		program + " log search -c " + configuration + " --limit 50": string(m[1]),
		program + " client list -c " + configuration:                "shop",
	} {
		if out, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s\n%v\n%s\nwant %q", command, err, out, want)
		}
	}
}

func (a attempt) run(ctx context.Context, t *testing.T) {
	out, err := exec.CommandContext(ctx, "sh", "-c", a.command).CombinedOutput()
	if a.want == "" {
		if err != nil || !regexp.MustCompile(`20[0-2]`).Match(out) && !bytes.Contains(out, []byte(`"for":"shop"`)) || bytes.Contains(out, []byte(`"code"`)) {
			t.Errorf("%s\n%v\n%s", a.command, err, out)
		}
		return
	}
	status, code, _ := strings.Cut(a.want, " ")
	if !bytes.Contains(out, []byte(status)) || !bytes.Contains(out, []byte(`"code":"`+code+`"`)) {
		t.Errorf("%s\n%v\n%s\nwant %s", a.command, err, out, a.want)
	}
}
