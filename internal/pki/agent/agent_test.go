package agent_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki/agent"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/renewed"
)

// world is an authority that may be away, a program that may not listen, and a clock.
type world struct {
	*testing.T
	dir     string
	now     time.Time
	next    int64
	away    error
	deaf    error
	renewed int
	told    int
	log     []string
}

func newWorld(t *testing.T) *world {
	return &world{T: t, dir: t.TempDir(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
}

func (w *world) Now() time.Time { return w.now }

func (w *world) make(key crypto.Signer) []*x509.Certificate {
	w.next++
	template := &x509.Certificate{SerialNumber: big.NewInt(w.next), NotBefore: w.now, NotAfter: w.now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(w.T, err)
	c, err := x509.ParseCertificate(der)
	must(w.T, err)
	return []*x509.Certificate{c}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Obtain implements renewed.Source.
func (w *world) Obtain(_ context.Context, key crypto.Signer, _ *tls.Certificate) ([]*x509.Certificate, error) {
	if w.away != nil {
		return nil, w.away
	}
	w.renewed++
	return w.make(key), nil
}

func (w *world) files(name string) certfile.Files {
	files := certfile.Files{Chain: filepath.Join(w.dir, name+".pem"), Key: filepath.Join(w.dir, name+"-key.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.T, err)
	must(w.T, files.Save(w.make(key), key))
	return files
}

func (w *world) agent(files ...certfile.Files) *agent.Agent {
	w.Helper()
	a, err := agent.New(agent.Options{
		Files: files, Reload: []string{"systemctl", "reload", "nginx"}, Now: w.Now, Log: func(line string) { w.log = append(w.log, line) },
		Dial: func(context.Context, *tls.Certificate) (renewed.Source, error) { return w, nil },
		Run: func(_ context.Context, command []string) (string, error) {
			if strings.Join(command, " ") != "systemctl reload nginx" {
				w.Errorf("ran %v", command)
			}
			if w.deaf == nil {
				w.told++
			}
			return "it says no", w.deaf
		},
	})
	must(w.T, err)
	return a
}

// pass lets time pass, a minute at a time.
func (w *world) pass(a *agent.Agent, d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Minute) {
		_ = a.Keep(w.Context())
	}
}

func serial(t *testing.T, files certfile.Files) int64 {
	t.Helper()
	pair, err := files.Load()
	must(t, err)
	return pair.Leaf.SerialNumber.Int64()
}

func TestAgentRenewsAndTells(t *testing.T) {
	w := newWorld(t)
	web, pay := w.files("web"), w.files("pay")
	a := w.agent(web, pay)
	if due := a.Due(); due.Before(w.now.Add(15*time.Hour)) || due.After(w.now.Add(19*time.Hour)) {
		t.Errorf("due at %s", due)
	}
	w.pass(a, 15*time.Hour)
	if w.renewed != 0 || w.told != 0 {
		t.Errorf("before two thirds: renewed %d, told %d", w.renewed, w.told)
	}
	w.pass(a, 5*time.Hour)
	if w.renewed != 2 || serial(t, web) < 3 || serial(t, pay) < 3 || w.told < 1 || w.told > 2 {
		t.Errorf("renewed %d, told %d", w.renewed, w.told)
	}
	w.pass(a, 10*24*time.Hour)
	if w.renewed < 20 || w.renewed > 35 {
		t.Errorf("renewed %d times in ten days", w.renewed)
	}
}

func TestAuthorityThatIsAwayIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	a := w.agent(web)
	w.away = errors.New("connection refused")
	w.pass(a, 20*time.Hour)
	if serial(t, web) != 1 || w.told != 0 || len(w.log) < 3 || len(w.log) > 40 || !strings.Contains(w.log[0], "connection refused") {
		t.Errorf("log %d lines: %v", len(w.log), w.log)
	}
	w.away = nil
	w.pass(a, time.Hour)
	if serial(t, web) != 2 || w.told != 1 {
		t.Errorf("when it is back: certificate %d, told %d", serial(t, web), w.told)
	}
}

func TestEndedCertificateIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	a := w.agent(w.files("web"))
	w.now = w.now.Add(25 * time.Hour)
	if err := a.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "pavise cert enroll") || w.renewed != 0 {
		t.Errorf("%v", err)
	}
}

func TestProgramThatCouldNotBeToldIsToldAgain(t *testing.T) {
	w := newWorld(t)
	a := w.agent(w.files("web"))
	w.deaf = errors.New("exit status 1")
	w.pass(a, 20*time.Hour)
	if w.renewed != 1 || w.told != 0 || !strings.Contains(strings.Join(w.log, "\n"), "it says no") {
		t.Errorf("renewed %d, told %d, %v", w.renewed, w.told, w.log)
	}
	w.deaf = nil
	w.pass(a, time.Hour)
	if w.renewed != 1 || w.told != 1 {
		t.Errorf("renewed %d, told %d", w.renewed, w.told)
	}
}

// A full disk leaves the files as they were, and the certificate is renewed again later.
func TestFilesThatCannotBeWrittenStay(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	a := w.agent(web)
	moved := w.dir + "-moved"
	w.now = w.now.Add(19 * time.Hour)
	must(t, os.Rename(w.dir, moved))
	if err := a.Keep(t.Context()); err == nil || w.told != 0 {
		t.Errorf("%v, told %d", err, w.told)
	}
	w.pass(a, time.Hour)
	if w.renewed != 1 {
		t.Errorf("while the disk was full %d certificates were got", w.renewed)
	}
	must(t, os.Rename(moved, w.dir))
	if serial(t, web) != 1 {
		t.Error("the old certificate is gone")
	}
	w.pass(a, time.Hour)
	if serial(t, web) == 1 || w.told != 1 {
		t.Errorf("certificate %d, told %d", serial(t, web), w.told)
	}
}

func TestWhatCannotBeReadIsNotKept(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	must(t, os.Chmod(web.Key, 0o644))
	if _, err := agent.New(agent.Options{Files: []certfile.Files{web}}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
	if _, err := agent.New(agent.Options{Files: []certfile.Files{{Chain: "none", Key: "none"}}}); err == nil {
		t.Error("files that are not there were taken")
	}
}

func TestCommandIsRunWithoutAShell(t *testing.T) {
	w := newWorld(t)
	out := filepath.Join(w.dir, "out; touch x")
	var lines []string
	a, err := agent.New(agent.Options{
		Files: []certfile.Files{w.files("web")}, Reload: []string{"touch", out}, Now: w.Now, Log: func(s string) { lines = append(lines, s) },
		Dial: func(context.Context, *tls.Certificate) (renewed.Source, error) { return w, nil },
	})
	must(t, err)
	w.now = w.now.Add(19 * time.Hour)
	must(t, a.Keep(t.Context()))
	if _, err := os.Stat(out); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(lines) == "[]" {
		t.Error("nothing was logged")
	}
}

// Neither a restart nor --once forgets that the program was not told.
func TestRestartRemembersThatTheProgramWasNotTold(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	a := w.agent(web)
	must(t, a.Keep(t.Context()))
	w.deaf = errors.New("exit status 1")
	w.now = w.now.Add(19 * time.Hour)
	if err := a.Keep(t.Context()); err == nil || w.renewed != 1 {
		t.Fatalf("renewed %d, %v", w.renewed, err)
	}
	w.deaf = nil
	must(t, w.agent(web).Keep(t.Context())) // another process
	if w.told != 1 || w.renewed != 1 {
		t.Errorf("told %d, renewed %d", w.told, w.renewed)
	}
	must(t, w.agent(web).Keep(t.Context()))
	if w.told != 1 {
		t.Errorf("told %d times of the same", w.told)
	}
}

// Somebody else, such as `pavise cert renew`, replaces the files: the agent takes what they
// hold, and tells the program.
func TestFilesThatSomebodyElseReplacedAreTaken(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	a := w.agent(web)
	must(t, a.Keep(t.Context()))
	due := a.Due()
	w.now = w.now.Add(10 * time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	must(t, web.Save(w.make(key), key))
	must(t, os.Chtimes(web.Chain, w.now, w.now)) // within the clock's resolution it would look the same
	must(t, a.Keep(t.Context()))
	if w.told != 1 || !a.Due().After(due.Add(9*time.Hour)) {
		t.Errorf("told %d, due at %s and before at %s", w.told, a.Due(), due)
	}
	w.now = due
	must(t, a.Keep(t.Context()))
	if w.renewed != 0 {
		t.Error("it was renewed as if it were the one before")
	}
}

// An agent that is root, beside files of a service: what the service links to in the place of
// our note stays as it is.
func TestNoteOfWhatWasToldReplacesALink(t *testing.T) {
	w := newWorld(t)
	web := w.files("web")
	precious, note := filepath.Join(w.dir, "precious"), filepath.Join(w.dir, ".web.pem.told")
	must(t, os.WriteFile(precious, []byte("precious"), 0o600))
	must(t, os.Symlink(precious, note))
	must(t, w.agent(web).Keep(t.Context()))
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("it holds %q, %v", text, err)
	}
	if info, err := os.Lstat(note); err != nil || !info.Mode().IsRegular() || w.told != 1 {
		t.Errorf("the note: %v, %v, told %d", info, err, w.told)
	}
}

// A death has left the new key with the old chain: programs read the pair before again.
func TestAgentPutsBackWhatADeathHasLeft(t *testing.T) {
	w := newWorld(t)
	web, other := w.files("web"), w.files("other")
	must(t, os.Link(web.Key, filepath.Join(w.dir, ".web-key.pem.before")))
	text, err := os.ReadFile(other.Key)
	must(t, err)
	must(t, certfile.Replace(web.Key, text, 0o600))
	w.agent(web)
	if _, err := tls.LoadX509KeyPair(web.Chain, web.Key); err != nil {
		t.Error(err)
	}
}
