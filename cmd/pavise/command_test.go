package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

// pavise runs the program in this process.
func pavise(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestFollowShowsWhatHappensFromNowOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pavise.yaml")
	for _, args := range [][]string{
		{"init", "--upstream", "http://127.0.0.1:3000", "--out", file},
		{"client", "create", "before", "-c", file},
	} {
		if code, _, errs := pavise(t, args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"log", "follow", "--json", "-c", file}, strings.NewReader(""), writer, io.Discard)
		_ = writer.Close() // of a pipe: it cannot fail
	}()
	first := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(reader)
		line, err := lines.ReadString('\n')
		if err != nil {
			line = err.Error()
		}
		first <- line
		_, _ = io.Copy(io.Discard, lines) // until the command ends
	}()
	var line string
	for i := 0; line == "" && i < 1000; i++ {
		if code, _, errs := pavise(t, "client", "create", fmt.Sprintf("after-%d", i), "-c", file); code != 0 {
			t.Fatalf("%d %s", code, errs)
		}
		select {
		case line = <-first:
		default: // follow has not begun, or has not looked yet
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d", code)
	}
	if !strings.Contains(line, `"target":"after-`) {
		t.Errorf("first line %q", line)
	}
}

func TestEventsCannotSteerTheTerminal(t *testing.T) {
	e := audit.Event{
		Time: time.Unix(0, 0), Class: audit.Request, Decision: audit.Refused, Method: "GET", Host: "h", Path: "/\x1b[2J\nfake line\u202e",
		Code: "invalid_path", Step: "door", Status: 400, Detail: "\x1b]0;title\x07", ID: "id",
	}
	for _, color := range []bool{false, true} {
		line := eventLine(&e, color)
		if strings.ContainsAny(line, "\n\x07\u202e") || strings.Contains(line, "\x1b[2J") || strings.Contains(line, "\x1b]") {
			t.Errorf("color %t: %q", color, line)
		}
		if !strings.Contains(line, "door: invalid_path") {
			t.Errorf("color %t: %q lacks step and code", color, line)
		}
	}
}

func TestLineOfAnEventSaysWhatHappenedToWhom(t *testing.T) {
	for want, e := range map[string]audit.Event{
		"noted     token.issue  shop  person-1  grant-7  scopes orders:read  id": {
			Class: audit.Grant, Action: "token.issue", Client: "shop", Subject: "person-1", Target: "grant-7", Detail: "scopes orders:read",
		},
		"noted     ann  client.create  shop  scopes orders:read  id": {
			Class: audit.Admin, Actor: "ann", Action: "client.create", Target: "shop", Change: "scopes orders:read",
		},
		"noted     GET  h/p  200  shop  id": {Class: audit.Request, Method: "GET", Host: "h", Path: "/p", Status: 200, Client: "shop"},
	} {
		e.Time, e.Decision, e.ID = time.Unix(0, 0), audit.Noted, "id"
		if line := eventLine(&e, false); line != "1970-01-01T00:00:00.000Z  "+want {
			t.Errorf("%q, want %q", line, want)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range rootCommand().Commands() {
		if c.Short == "" {
			t.Errorf("%s has no line of help", c.Name())
		}
		if code, out, _ := pavise(t, "help", c.Name()); code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("help %s: %d %q", c.Name(), code, out)
		}
	}
}

// Help was wider than terminals, and the type of a flag was at times a whole command.
func TestHelpFitsInATerminal(t *testing.T) {
	var all func(c *cobra.Command)
	all = func(c *cobra.Command) {
		path := strings.Fields(strings.TrimPrefix(c.CommandPath(), "pavise"))
		code, out, _ := pavise(t, append([]string{"help"}, path...)...)
		if code != 0 {
			t.Errorf("help %s: %d", c.CommandPath(), code)
		}
		toCopy := false
		for line := range strings.SplitSeq(out, "\n") {
			if line != "" && line[0] != ' ' {
				toCopy = line == "Usage:" || line == "Examples:"
			}
			if !toCopy && utf8.RuneCountInString(line) > 80 {
				t.Errorf("help %s: a line of %d columns: %s", c.CommandPath(), utf8.RuneCountInString(line), line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if kind, _ := pflag.UnquoteUsage(f); strings.Contains(kind, " ") {
				t.Errorf("%s --%s takes a %q", c.CommandPath(), f.Name, kind)
			}
		})
		for _, below := range c.Commands() {
			all(below)
		}
	}
	all(rootCommand())
}

func TestLinesAreBrokenBetweenWords(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"what fits":        {"  because   it is so", "  because   it is so"},
		"a long one":       {"  because   " + strings.Repeat("abcdefg ", 11) + "end", "  because   " + strings.Repeat("abcdefg ", 7) + "abcdefg\n            " + strings.Repeat("abcdefg ", 3) + "end"},
		"a word too long":  {"  not       " + strings.Repeat("x", 100), "  not\n            " + strings.Repeat("x", 100)},
		"nothing but that": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := broken(c.line, 12); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// Each command stands in a group of the first page, but for those about the program itself.
func TestTheFirstPageSaysWhatCommandsAreFor(t *testing.T) {
	_, out, _ := pavise(t, "help")
	before := -1
	for _, want := range []string{"Put it in front of an API:", "  serve ", "Say who may call, and call:", "  key ", "Stop somebody:", "  revoke ", "See what happened, and why:", "  explain ", "Test it, and take away what is not needed:", "  attack ", "  version "} {
		at := strings.Index(out, "\n"+want)
		if at < before {
			t.Errorf("%q does not follow what stands before it:\n%s", want, out)
		}
		before = at
	}
}

// TestAsksTheGatewayThatRuns serves the administration as a gateway does, which
// holds the data folder: every command has to go through the socket.
func TestAsksTheGatewayThatRuns(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if code, _, errs := pavise(t, "init", "--upstream", "http://127.0.0.1:3000", "--out", name); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	file, err := app.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	state, err := app.OpenState(t.Context(), file, app.StateOptions{Now: time.Now, Warn: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = state.Close() }() // the test is about what was answered before
	if code, _, errs := pavise(t, "client", "list", "-c", name); code != exitFailed || !strings.Contains(errs, "another process") {
		t.Errorf("without the socket: %d %s", code, errs)
	}
	listener, err := admin.Listen(file.State.Socket)
	if err != nil {
		t.Fatal(err)
	}
	service := app.Administration(file, state, time.Now)
	reloaded := 0
	service.Running, service.Reload = true, func(context.Context) ([]config.Change, error) {
		reloaded++
		return []config.Change{{Path: "limits.connections", Old: "10000", New: "777", Restart: true}}[:reloaded-1], nil
	}
	server := admin.NewServer(service)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	defer func() {
		if err := errors.Join(server.Shutdown(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
	}()
	var secret string
	for _, c := range []struct {
		args string
		want string
	}{
		{"client create shop --scope my-api:read", "client shop is there"},
		{"key create --client shop --quiet", "pvs_live_"},
		{"key list", "in force"},
		{"status", "running     true"},
		{"reload", "the configuration is in force\n"},
		{"reload", "waits for the next start of pavise serve:\n  limits.connections: 10000 → 777\n"},
		{"explain --as shop GET /things", "accepted"},
		{"log search --class admin", "credential.create"},
		{"log verify", "the log is whole"},
	} {
		code, out, errs := pavise(t, append(strings.Fields(c.args), "-c", name)...)
		if code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %q %q", c.args, code, out, errs)
		}
		if strings.HasPrefix(c.args, "key create") {
			secret = strings.TrimSpace(out)
		} else if secret != "" && strings.Contains(out+errs, secret) {
			t.Errorf("%s shows the secret again", c.args)
		}
	}
	// A file that is half edited keeps nobody from revoking.
	if err := os.WriteFile(name, []byte("hosts: {127.0.0.1: {certif\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := pavise(t, "revoke", "--client", "shop", "-c", name); code != 0 || !strings.Contains(errs, "warning: ") {
		t.Errorf("revoke with a file that is half edited: %d %q %q", code, out, errs)
	}
	if code, out, _ := pavise(t, "key", "list", "-c", name); code != 0 || !strings.Contains(out, "revoked") {
		t.Errorf("the key is not revoked: %d %q", code, out)
	}
	if code, _, _ := pavise(t, "check", "-c", name); code != exitUsage {
		t.Errorf("check of such a file: %d", code)
	}
	if reloaded != 2 {
		t.Errorf("reloaded %d times", reloaded)
	}
	if code, _, errs := pavise(t, "client", "show", "nobody", "-c", name); code != exitRefused || !strings.Contains(errs, "hint: ") {
		t.Errorf("refused: %d %s", code, errs)
	}
}

// Commands that come at once wait for each other: a script may start them in parallel.
func TestCommandsAtOnceWaitForEachOther(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if code, _, errs := pavise(t, "init", "--upstream", "http://127.0.0.1:3000", "--out", name); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if code, _, errs := pavise(t, "client", "create", fmt.Sprint("c", i), "-c", name); code != 0 {
				t.Errorf("%d %s", code, errs)
			}
		})
	}
	all.Wait()
	if code, out, _ := pavise(t, "client", "list", "--json", "-c", name); code != 0 || strings.Count(out, `"id"`) != 6 {
		t.Errorf("%d %s", code, out)
	}
}

// Who asked for JSON gets errors as JSON too.
func TestErrorsForPrograms(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if code, _, errs := pavise(t, "init", "--upstream", "http://127.0.0.1:3000", "--out", name); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	for args, want := range map[string]struct {
		exit       int
		code, hint string
	}{
		"client show nobody --json":     {exitRefused, "missing", "show what there is"},
		"log search --class x --json":   {exitUsage, "", "request, connection"},
		"explain 0123456789 --json":     {exitRefused, "unknown_request", "X-Request-Id"},
		"key create --client x --json ": {exitRefused, "missing", "show what there is"},
	} {
		code, out, errs := pavise(t, append(strings.Fields(args), "-c", name)...)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		var told struct {
			Error, Code, Hint string
			Exit              int
		}
		err := json.Unmarshal([]byte(lines[len(lines)-1]), &told)
		if err != nil || code != want.exit || told.Exit != code || told.Code != want.code || !strings.Contains(told.Hint, want.hint) || told.Error == "" || out != "" {
			t.Errorf("%s: %d, %v, %+v, stdout %q", args, code, err, told, out)
		}
	}
}

// Completion works where it is used: in the shell.
func TestCompletionInTheShell(t *testing.T) {
	for shell, script := range map[string]string{
		"bash": "source /dev/stdin; declare -F __start_pavise >/dev/null",
		"zsh":  "autoload -U compinit; compinit -u; source /dev/stdin; whence _pavise >/dev/null",
		"fish": "source -; complete -c pavise | string length -q",
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("there is no %s here", shell)
			}
			code, text, errs := pavise(t, "completion", shell)
			if code != 0 {
				t.Fatalf("%d %s", code, errs)
			}
			run := exec.Command(shell, "-c", script)
			run.Stdin = strings.NewReader(text)
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if code, out, _ := pavise(t, "__complete", "client", "cr"); code != 0 || !strings.Contains(out, "create") {
		t.Errorf("%d %q", code, out)
	}
}

func TestNextCommandsAreAboutTheSameConfiguration(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "  pavise key list --client shop\n"},
		{"--config=edge/pavise.yaml", "  pavise -c edge/pavise.yaml key list --client shop\n"},
	} {
		var out bytes.Buffer
		command := rootCommand()
		command.SetOut(&out)
		if err := command.ParseFlags(strings.Fields(test.args)); err != nil {
			t.Fatal(err)
		}
		x := &admin.Explanation{Event: json.RawMessage(`{"id":"r1","time":"2026-11-30T12:00:00.000000Z","class":"request","decision":"refused"}`)}
		x.Next = []string{"pavise key list --client shop"}
		if err := showExplanation(command, x, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), test.want) {
			t.Errorf("%q has no %q", out.String(), test.want)
		}
	}
}
