package issuer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
)

// secretFile is a file that may change.
type secretFile struct {
	text    string
	changed func()
}

func (f *secretFile) Read(string) ([]byte, error)  { return []byte(f.text), nil }
func (f *secretFile) Watch(_ string, again func()) { f.changed = again }

type asking struct {
	*issuertest.Issuer
	file  *secretFile
	clock *clock
	ask   shield.Introspector
	warns []string
}

func startAsking(t *testing.T, change func(*issuer.Asked)) *asking {
	t.Helper()
	a := &asking{Issuer: issuertest.Start(t), file: &secretFile{text: issuertest.AskerSecret + "\n"}, clock: newClock()}
	client, err := fetch.New(fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: a.Roots(), Timeout: 10 * time.Second, KeepAlive: true})
	if err != nil {
		t.Fatal(err)
	}
	asked := &issuer.Asked{ClientID: issuertest.AskerID, SecretFile: "secret", HTTP: client.HTTP(issuer.MaxAnswer)}
	if change != nil {
		change(asked)
	}
	env := a.clock.env(fetcher(t, a.Issuer))
	env.Files, env.Warn = a.file, func(_, text string) { a.warns = append(a.warns, text) }
	set := open(t, env, issuer.Settings{Name: "corp", URL: a.URL, Audience: []string{"orders"}, Asked: asked})
	corp, err := set.Issuer("corp")
	if err != nil {
		t.Fatal(err)
	}
	a.ask = corp.Introspect
	return a
}

func TestIssuerIsAskedAboutTokens(t *testing.T) {
	for name, change := range map[string]func(*issuer.Asked){
		"discovered":         nil,
		"secret in the form": func(a *issuer.Asked) { a.Form = true },
	} {
		a := startAsking(t, change)
		token := a.Opaque(map[string]any{"scope": "orders:read"})
		members, err := a.ask.Introspect(t.Context(), token)
		if err != nil || members["active"] != true || members["scope"] != "orders:read" {
			t.Errorf("%s: %v, %v", name, members, err)
		}
		a.Withdraw(token)
		if _, err := a.ask.Introspect(t.Context(), token); !errors.Is(err, shield.ErrInactive) {
			t.Errorf("%s: a withdrawn token: %v", name, err)
		}
	}
}

func TestAnswersThatCannotBeBelieved(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not JSON":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>active") },
		"active as text": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"active":"true"}`) },
		"active twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"active":false,"active":true}`)
		},
		"no word of it": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"sub":"ann"}`) },
		"a list":        func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"active":true}]`) },
		"an error with a yes": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"active":true}`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"100 MB": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 << 20 / 4096 {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		},
		"our secret is wrong": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		a := startAsking(t, nil)
		token := a.Opaque(nil)
		a.AnswerAsked(answer)
		members, err := a.ask.Introspect(t.Context(), token)
		if err == nil || members != nil || errors.Is(err, shield.ErrInactive) {
			t.Errorf("%s: %v, %v", name, members, err)
			continue
		}
		if text := err.Error(); strings.Contains(text, "canary") || strings.Contains(text, token) {
			t.Errorf("%s: the error holds a secret: %s", name, text)
		}
	}
}

func TestAnIssuerThatIsAwayIsLeftAlone(t *testing.T) {
	a := startAsking(t, nil)
	token := a.Opaque(nil)
	a.AnswerAsked(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 100 {
		if _, err := a.ask.Introspect(t.Context(), token); err == nil {
			t.Fatal("a 502 was believed")
		}
	}
	if a.Asked() != 3 {
		t.Errorf("an issuer that gives no answer was asked %d times", a.Asked())
	}
	a.AnswerAsked(nil)
	a.clock.Add(time.Second)
	for range 2 {
		if _, err := a.ask.Introspect(t.Context(), token); err != nil {
			t.Errorf("after it came back: %v", err)
		}
	}
}

// Found on 2026-11-30: three tokens for which an issuer has only an error kept all other tokens out.
func TestATokenThatTheIssuerCannotReadKeepsNobodyOut(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"it is malformed":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"it is too long":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
		"it says too much": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, issuer.MaxAnswer+1)) },
		"it says something twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"active":true,"role":"a","role":"b"}`)
		},
	} {
		a := startAsking(t, nil)
		good := a.Opaque(nil)
		a.AnswerAsked(answer)
		for range 5 {
			if _, err := a.ask.Introspect(t.Context(), "of-a-stranger"); err == nil || errors.Is(err, shield.ErrInactive) {
				t.Errorf("%s: %v", name, err)
			}
		}
		a.AnswerAsked(nil)
		if _, err := a.ask.Introspect(t.Context(), good); err != nil {
			t.Errorf("%s: then another's token: %v", name, err)
		}
	}
}

func TestACallerWhoLeavesSaysNothingOfTheIssuer(t *testing.T) {
	a := startAsking(t, nil)
	token := a.Opaque(nil)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 10 {
		if _, err := a.ask.Introspect(gone, token); err == nil {
			t.Fatal("asked for somebody who left")
		}
	}
	if _, err := a.ask.Introspect(t.Context(), token); err != nil {
		t.Errorf("the issuer was left alone: %v", err)
	}
}

func TestTheSecretFollowsItsFile(t *testing.T) {
	a := startAsking(t, nil)
	token := a.Opaque(nil)
	a.file.text = "another"
	a.file.changed()
	if _, err := a.ask.Introspect(t.Context(), token); err == nil || !strings.Contains(err.Error(), "client_secret_file") {
		t.Errorf("with another secret: %v", err)
	}
	for _, bad := range []string{"", "\n", "two\nlines", strings.Repeat("x", 1025)} {
		a.file.text = bad
		a.file.changed()
	}
	if len(a.warns) != 4 || strings.Contains(strings.Join(a.warns, ""), "lines\n") {
		t.Errorf("warnings %q", a.warns)
	}
	a.file.text = issuertest.AskerSecret + "\r\n"
	a.file.changed()
	if _, err := a.ask.Introspect(t.Context(), token); err != nil {
		t.Errorf("with the right one again: %v", err)
	}
}
