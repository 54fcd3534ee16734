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

// runningDemo is a demo, and what it printed.
type runningDemo struct {
	program, folder string
	attempts        []attempt
	attack, explain string // commands
}

// startDemo starts the demo, which ends with the test.
func startDemo(ctx context.Context, t *testing.T) *runningDemo {
	t.Helper()
	dir := t.TempDir()
	d := &runningDemo{program: commandLine(t), folder: filepath.Join(dir, "demo")}
	demo := exec.CommandContext(ctx, d.program, "demo", "--folder", d.folder, "--listen", "127.0.0.1:0")
	demo.Dir = dir
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := demo.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d entries beside its folder: %v", len(entries), entries)
		}
	})
	d.read(t, out)
	return d
}

// TestDemoCommandsDoWhatTheDemoSays starts the demo, takes every
// command that it prints, runs it in a shell, and ends the demo with Ctrl-C.
func TestDemoCommandsDoWhatTheDemoSays(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every command of the demo")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	d := startDemo(ctx, t)
	if len(d.attempts) < 14 {
		t.Errorf("the demo printed %d commands, want two for each of seven endpoints", len(d.attempts))
	}
	for _, a := range d.attempts {
		t.Run(a.name, func(t *testing.T) { a.run(ctx, t) })
	}
	t.Run("explain", func(t *testing.T) { askDemo(ctx, t, d.program, d.explain, d.attempts[0].command) })
	t.Run("check", func(t *testing.T) {
		out, err := exec.CommandContext(ctx, d.program, "check", "-c", filepath.Join(d.folder, "pavise.yaml"), "--fail-on", "low").CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("not looked at")) {
			t.Errorf("the demo's configuration: %v\n%s", err, out)
		}
	})
}

// attempt is a command that was printed, with what it said would come back.
type attempt struct{ name, command, want string }

var refusedLine = regexp.MustCompile(`^ +(\d{3} [a-z_]+)$`)

// read parses what the demo prints, up to its last line, which explains a request.
func (d *runningDemo) read(t *testing.T, out io.Reader) {
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
			d.attempts = append(d.attempts, attempt{endpoint + " passes", command, ""})
		}
		if command, ok := strings.CutPrefix(line, "  refused  $ "); ok {
			d.attempts = append(d.attempts, attempt{endpoint + " is refused", command, ""})
		}
		if m := refusedLine.FindStringSubmatch(line); m != nil && len(d.attempts) > 0 {
			d.attempts[len(d.attempts)-1].want = m[1]
		}
		if command, ok := strings.CutPrefix(line, "  attack     $ "); ok {
			d.attack = command
		}
		if command, ok := strings.CutPrefix(line, "  $ "); ok && strings.Contains(line, " explain ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			d.explain = command
			return
		}
	}
	t.Fatalf("the demo ended after %d commands: %v", len(d.attempts), lines.Err())
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
