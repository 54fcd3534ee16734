package main

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pavise": main})
}

// TestStories runs the stories of testdata. Beside testscript's own commands they
// have:
//
//	exits CODE COMMAND…   runs a command that must end with this code
//	secret FILE NAME      takes the text of a file as secret NAME: $NAME
//	nowhere NAME          that secret is in no file below the work folder
//	take NAME REGEXP      takes the first group of what stdout matches as $NAME
//	edit FILES OLD NEW    changes the first OLD in the only file of the pattern that has it
//	mint FILE [CLAIM=…]   makes an access token of an issuer, and its key set: mint_test.go
//	api                   starts an HTTPS server that says what it was sent: $API, ca.pem
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "secret": takeSecret, "nowhere": nowhere, "take": take, "edit": edit, "api": api, "mint": mint,
		},
	})
}

// commandLine is the path of this program as the stories run it: TestMain has put it there.
func commandLine(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("pavise")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("ended with %d, want %d", got, want)
	}
}

func takeSecret(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: secret FILE NAME")
	}
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	if len(text) < 16 || strings.ContainsAny(text, " \n") {
		ts.Fatalf("%s holds no secret alone", args[0])
	}
	ts.Setenv(args[1], text)
	if args[0] != "stdout" && args[0] != "stderr" {
		ts.Check(os.Remove(ts.MkAbs(args[0])))
	}
}

func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nowhere NAME")
	}
	planted := ts.Getenv(args[0])
	ts.Check(filepath.Walk(ts.MkAbs("."), func(name string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if strings.Contains(string(text), planted) {
			ts.Fatalf("%s holds the secret", name)
		}
		return err
	}))
}

func take(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: take NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("stdout does not match %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILES OLD NEW")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		ts.Check(err)
		if changed := strings.Replace(string(text), args[1], args[2], 1); changed != string(text) {
			ts.Check(os.WriteFile(name, []byte(changed), 0o600))
			return
		}
	}
	ts.Fatalf("no file of %s holds %s", args[0], args[1])
}

func api(ts *testscript.TestScript, neg bool, args []string) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/refuse":
			w.WriteHeader(http.StatusForbidden)
		case "/gateway":
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("X-Request-Id", r.Header.Get("X-Extra"))
			w.WriteHeader(http.StatusUnauthorized)
		}
		for _, name := range []string{"Authorization", "X-Api-Key", "Content-Type", "X-Extra"} {
			if value := r.Header.Get(name); value != "" {
				_, _ = w.Write([]byte(name + ": " + value + "\n"))
			}
		}
		_, _ = w.Write([]byte(r.Method + " " + r.URL.RequestURI() + "\n"))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are part of the story
	server.StartTLS()
	ts.Defer(server.Close)
	ts.Setenv("API", server.URL)
	ts.Setenv("APIHOST", server.Listener.Addr().String())
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), text, 0o600))
}
