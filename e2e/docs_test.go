package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/program"
)

// TestPagesDoWhatTheySay carries out the blocks of the guide and of READMEs that
// are marked for it, one page in one folder, in the order of the page:
//
//	```yaml file=pavise.yaml   the block is written to that file
//	```console run             each line behind "$ " is run by bash, and prints what follows
//
// In what is printed, "…" stands for anything, and lines may be left out. A command
// that ends in " &" goes on until the page ends or says `kill %1`; "# exit 3" behind
// a command is the code that it must end with. Programs in Go are built inside this
// module, so that `go run server.go` finds it. Each address 127.0.0.1:PORT becomes
// one that is free; unless the page runs an api.go of its own, an API that answers
// METHOD PATH listens where the examples have theirs, on ports 3000 and 9000.
func TestPagesDoWhatTheySay(t *testing.T) {
	programs, told := filepath.Dir(program.Built(t)), 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		steps := stepsOf(string(text))
		if len(steps) == 0 {
			continue
		}
		told++
		name, _ := filepath.Rel("..", page)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t, programs)
			if !strings.Contains(string(text), "file=api.go") {
				s.serveAPI()
			}
			for _, one := range steps {
				one.run(s)
			}
			s.end()
		})
	}
	if told == 0 {
		t.Error("no page has a block that could be run")
	}
}

// pages are those of the guide and the READMEs.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/guide/*.md", "../*/README.md", "../*/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// step is one marked block.
type step struct {
	file string // to be written; empty: commands
	text string
}

var marked = regexp.MustCompile("(?m)^```(\\w+) (run|file=(\\S+))\n((?s:.*?))^```$")

func stepsOf(page string) []step {
	var steps []step
	for _, m := range marked.FindAllStringSubmatch(page, -1) {
		steps = append(steps, step{m[3], m[4]})
	}
	return steps
}

func (b step) run(s *story) {
	s.t.Helper()
	if b.file != "" {
		s.write(b.file, b.text)
		return
	}
	command, printed := "", []string(nil)
	flush := func() {
		if command != "" {
			s.command(command, printed)
		}
		printed = nil
	}
	for line := range strings.Lines(b.text) {
		line = strings.TrimSuffix(line, "\n")
		next, ok := strings.CutPrefix(line, "$ ")
		switch {
		case ok:
			flush()
			command = next
		case strings.HasSuffix(command, "\\") && printed == nil:
			command += "\n" + line
		case line != "":
			printed = append(printed, line)
		}
	}
	flush()
}

// story is the folder and the processes of one page.
type story struct {
	t        *testing.T
	dir      string
	programs string            // folder with the command line
	ports    map[string]string // as written → the one that is free
	jobs     []*job
}

type job struct {
	command *exec.Cmd
	output  *output
	ended   chan error
}

// output is what a process in the background has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() {
		select {
		case o.more <- struct{}{}:
		default:
		}
	}()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// stepTime is how long one command may take.
const stepTime = time.Minute

func newStory(t *testing.T, programs string) *story {
	t.Helper()
	s := &story{t: t, dir: t.TempDir(), programs: programs, ports: map[string]string{}}
	t.Cleanup(s.kill)
	return s
}

// serveAPI is the service behind the gateway.
func (s *story) serveAPI() {
	for _, port := range []string{"3000", "9000"} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintln(w, r.Method, r.URL.Path) // the caller may be gone
		}))
		s.t.Cleanup(api.Close)
		s.ports["127.0.0.1:"+port] = strings.TrimPrefix(api.URL, "http://")
	}
}

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d{2,5}\b`)

// real puts free addresses in the place of those of the page.
func (s *story) real(text string) string {
	return loopback.ReplaceAllStringFunc(text, func(address string) string {
		if _, ok := s.ports[address]; !ok {
			s.ports[address] = freeAddress(s.t)
		}
		return s.ports[address]
	})
}

// freeAddress is one that the page's program can listen on later. It lies below the
// ports that the kernel gives out by itself, so that nobody else takes it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			_ = l.Close() // the page's program listens there next
			return l.Addr().String()
		}
	}
	t.Fatal("there is no free port from 20000 to 31999")
	return ""
}

// written puts the page's addresses back.
func (s *story) written(text string) string {
	for address, free := range s.ports {
		text = strings.ReplaceAll(text, free, address)
	}
	return text
}

func (s *story) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s.real(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if filepath.Ext(name) == ".go" {
		if out, err := exec.Command("go", "build", "-o", strings.TrimSuffix(path, ".go"), path).CombinedOutput(); err != nil {
			s.t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
}

var (
	exitCode = regexp.MustCompile(`\s+# exit (\d+)$`)
	goRun    = regexp.MustCompile(`\bgo run (\w+)\.go\b`)
	killJob  = regexp.MustCompile(`^kill %(\d+)$`)
)

// command runs one command of the page, and looks for what it must print.
func (s *story) command(text string, printed []string) {
	s.t.Helper()
	want := 0
	if m := exitCode.FindStringSubmatch(text); m != nil {
		text = strings.TrimSuffix(text, m[0])
		_, _ = fmt.Sscan(m[1], &want) // digits, as the pattern says
	}
	if m := killJob.FindStringSubmatch(text); m != nil {
		n := 0
		_, _ = fmt.Sscan(m[1], &n)
		s.stop(n)
		return
	}
	run := goRun.ReplaceAllString(s.real(text), "./$1")
	run = strings.ReplaceAll(run, "go build -o pavise ./cmd/pavise", `ln -s "$(command -v pavise)" pavise`)
	if background, ok := strings.CutSuffix(run, " &"); ok {
		s.begin(text, background, printed)
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), stepTime)
	defer cancel()
	command := s.bash(ctx, "trap 'code=$?; export -p > .variables; exit $code' EXIT; set -a\n"+run)
	out, err := command.CombinedOutput()
	if got := command.ProcessState.ExitCode(); got != want {
		s.t.Fatalf("$ %s\nended with %d (%v), want %d:\n%s", text, got, err, want, out)
	}
	s.moveIn()
	if missing := lacks(s.written(string(out)), printed); missing != "" {
		s.t.Fatalf("$ %s\nprinted\n%s\nand not, behind what stands before it,\n%s", text, s.written(string(out)), missing)
	}
}

// moveIn gives configurations that a command has written the page's free addresses.
func (s *story) moveIn() {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "*.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		moved := s.real(s.written(string(text)))
		if moved == string(text) {
			continue
		}
		if err := os.WriteFile(name, []byte(moved), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// bash runs a script with the variables that earlier commands of the page have set.
func (s *story) bash(ctx context.Context, script string) *exec.Cmd {
	command := exec.CommandContext(ctx, "bash", "-c", "set -u -o pipefail; [ ! -e .variables ] || . ./.variables; "+script)
	command.Dir = s.dir
	command.Env = append(os.Environ(), "PATH="+s.programs+":"+os.Getenv("PATH"), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir+"/.config", "NO_COLOR=1", "LC_ALL=C.UTF-8")
	command.WaitDelay = time.Second
	return command
}

// begin starts a command in the background, and waits for what it must print.
func (s *story) begin(text, run string, printed []string) {
	s.t.Helper()
	j := &job{output: &output{more: make(chan struct{}, 1)}, ended: make(chan error, 1)}
	j.command = s.bash(context.Background(), "exec "+run) // it is ended by stop
	j.command.Stdout, j.command.Stderr = j.output, j.output
	if err := j.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { j.ended <- j.command.Wait() }()
	s.jobs = append(s.jobs, j)
	late := time.NewTimer(stepTime)
	defer late.Stop()
	for lacks(s.written(j.output.String()), printed) != "" {
		select {
		case <-j.output.more:
		case err := <-j.ended:
			j.ended <- err
			s.t.Fatalf("$ %s\nended with %v:\n%s", text, err, j.output)
		case <-late.C:
			s.t.Fatalf("$ %s\nprinted only\n%s", text, j.output)
		}
	}
}

// stop ends the n-th command in the background as a person would.
func (s *story) stop(n int) {
	s.t.Helper()
	if n < 1 || n > len(s.jobs) || s.jobs[n-1] == nil {
		s.t.Fatalf("there is no job %d", n)
	}
	j := s.jobs[n-1]
	s.jobs[n-1] = nil
	if err := j.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("end %s: %v", j.command, err)
	}
	select {
	case <-j.ended:
	case <-time.After(stepTime):
		_ = j.command.Process.Kill() // it is told below
		s.t.Errorf("%s does not end:\n%s", j.command, j.output)
	}
}

// end stops what still runs, in the reverse order.
func (s *story) end() {
	s.t.Helper()
	for n := len(s.jobs); n > 0; n-- {
		if s.jobs[n-1] != nil {
			s.stop(n)
		}
	}
}

// kill is for stories that failed in the middle.
func (s *story) kill() {
	for _, j := range s.jobs {
		if j != nil {
			_ = j.command.Process.Kill() // it may be gone
			<-j.ended
		}
	}
}

// lacks returns the first expected line that is not printed behind the ones before.
func lacks(out string, printed []string) string {
	lines := strings.Split(out, "\n")
	for _, want := range printed {
		parts := strings.Split(want, "…")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(cmp.Or(strings.TrimSpace(part), part))
		}
		form := regexp.MustCompile(`^\s*` + strings.Join(parts, ".*") + `\s*$`)
		at := 0
		for at < len(lines) && !form.MatchString(lines[at]) {
			at++
		}
		if at == len(lines) {
			return want
		}
		lines = lines[at+1:]
	}
	return ""
}

// TestPagesNameCommandsThatThereAre asks the program for the help of every command
// that a page names, with every flag that stands behind it.
func TestPagesNameCommandsThatThereAre(t *testing.T) {
	dir := filepath.Dir(program.Built(t))
	named := map[string]map[string]bool{} // command → flags
	for _, page := range pages(t) {
		if filepath.Base(page) == "attacks.md" {
			continue // the catalogue tells of what is not due yet, too
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(text), -1) {
			command, flags := parseCommand(m[1])
			if command == "" {
				continue
			}
			if named[command] == nil {
				named[command] = map[string]bool{}
			}
			for _, flag := range flags {
				named[command][flag] = true
			}
		}
	}
	if len(named) < 20 {
		t.Errorf("only %d commands were found", len(named))
	}
	for command, flags := range named {
		out, err := exec.Command(filepath.Join(dir, "pavise"), append(strings.Fields(command), "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "pavise "+command) {
			t.Errorf("a page names `pavise %s`, which there is not", command)
		}
		for flag := range flags {
			if !regexp.MustCompile(`(?m)\s` + regexp.QuoteMeta(flag) + `\b`).Match(out) {
				t.Errorf("a page names `pavise %s %s`, which there is not", command, flag)
			}
		}
	}
}

var (
	commandLine = regexp.MustCompile("(?m)(?:^\\$ (?:\\./|[A-Z_]+=\\$\\()?|`)pavise ([a-z-][^`\n]*)")
	flagForm    = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
	word        = regexp.MustCompile(`^[a-z-]+$`)
)

// parseCommand returns the words of a command and its flags.
func parseCommand(line string) (command string, flags []string) {
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " | ")
	words := strings.Fields(line)
	if len(words) > 1 && (words[0] == "-c" || words[0] == "--config") {
		words = words[min(2, len(words)):]
	}
	if len(words) == 0 || !word.MatchString(words[0]) {
		return "", nil
	}
	command = words[0]
	switch command {
	case "block", "ca", "cert", "client", "key", "log", "quota", "signing-key", "store", "token", "user":
		if len(words) > 1 && word.MatchString(words[1]) && words[1][0] != '-' {
			command += " " + words[1]
		}
	}
	if nested := command == "token grants" || command == "client invite"; nested && len(words) > 2 && word.MatchString(words[2]) && words[2][0] != '-' {
		command += " " + words[2]
	}
	for _, m := range flagForm.FindAllStringSubmatch(line, -1) {
		flags = append(flags, m[1])
	}
	return command, flags
}
