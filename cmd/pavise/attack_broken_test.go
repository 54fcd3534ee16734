package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/finding"
)

// attacked is a vulnerable API, and the flags to attack it with.
type attacked struct {
	flags  []string
	temp   string // where journals are kept
	asked  atomic.Int64
	stop   chan struct{} // is closed when so many requests have come
	stopAt int64
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	api, err := vulnerable.New(nil, "no-rate-limit", "object-read", "version-told", "deprecated")
	if err != nil {
		t.Fatal(err)
	}
	a := &attacked{temp: t.TempDir(), stop: make(chan struct{}), stopAt: -1}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.asked.Add(1) == a.stopAt {
			close(a.stop)
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a.flags = []string{"attack", server.URL, "--openapi", write("openapi.yaml", string(vulnerable.Document())), "--rate", "5000", "--fail-on", "none", "--format", "json"}
	for _, name := range []string{"alice", "bob"} {
		token, err := api.Token(name)
		if err != nil {
			t.Fatal(err)
		}
		a.flags = append(a.flags, "--as", name+"="+write(name+".headers", "Authorization: Bearer "+token+"\n"))
	}
	return a
}

// run runs the command, which is interrupted when so many requests were sent, and returns its report.
func (a *attacked) run(t *testing.T, interrupt bool, more ...string) (report finding.Report, said string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "pavise", append(slices.Clone(a.flags), more...)...)
	command.Env = append(os.Environ(), "TMPDIR="+a.temp)
	var out, fault strings.Builder
	command.Stdout, command.Stderr = &out, &fault
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if interrupt {
		<-a.stop
		if err := command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	err := command.Wait()
	if exit, ended := errors.AsType[*exec.ExitError](err); ended {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("%v: %.500s\n%s", err, out.String(), fault.String())
	}
	return report, fault.String(), code
}

// places are what was found, without what differs from run to run.
func places(r finding.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.Rule+" "+f.Where.Path)
	}
	slices.Sort(all)
	return all
}

// TestAnAttackThatIsBrokenOffGoesOn: Ctrl-C ends with the report so far and says how to go on; what goes on asks only for
// the rest, and comes to the same.
func TestAnAttackThatIsBrokenOffGoesOn(t *testing.T) {
	a := newAttacked(t)
	whole, said, code := a.run(t, false)
	all := a.asked.Swap(0)
	if code != 0 || whole.Partial != "" || len(whole.Findings) < 3 {
		t.Fatalf("ended with %d, found %v: %s", code, places(whole), said)
	}
	a.stopAt = all / 2
	half, said, code := a.run(t, true)
	if code != 1 || !strings.Contains(half.Partial, "it was broken off after") || !strings.Contains(said, "the attack was broken off") {
		t.Errorf("broken off it ends with %d, partial %q: %s", code, half.Partial, said)
	}
	goOn := regexp.MustCompile(`--resume (\S+)`).FindStringSubmatch(said)
	if goOn == nil {
		t.Fatalf("it does not say how to go on: %s", said)
	}
	begun := a.asked.Swap(0)
	a.stopAt = -1
	rest, said, code := a.run(t, false, "--resume", goOn[1])
	if code != 0 || rest.Partial != "" || !slices.Equal(places(rest), places(whole)) {
		t.Errorf("gone on with it ends with %d, partial %q and %v, want %v: %s", code, rest.Partial, places(rest), places(whole), said)
	}
	if asked := a.asked.Load(); asked > all*3/4 || begun < all/2 {
		t.Errorf("%d requests in the whole run, %d until it was broken off, %d for the rest", all, begun, asked)
	}
}

// TestAnAttackThatIsLockedOutEndsWithOne: what the target does not answer is no good news.
func TestAnAttackThatIsLockedOutEndsWithOne(t *testing.T) {
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "900")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer locked.Close()
	a := newAttacked(t)
	a.flags[1] = locked.URL
	report, said, code := a.run(t, false)
	if code != 1 || !strings.Contains(report.Partial, "refuses everything for now") || !strings.Contains(said, "--resume "+a.temp) || len(report.Findings) != 0 {
		t.Errorf("ended with %d, partial %q, found %v: %s", code, report.Partial, places(report), said)
	}
}
