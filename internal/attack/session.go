package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/shell"
)

// Session is what one case uses.
type Session struct {
	prober  *Prober
	rule    *finding.Rule
	id      string            // of the case
	again   string            // a command that repeats the case; empty: there is none
	secrets map[string]string // what was sent as a credential → as what it is shown
	short   map[string]string // as secrets: texts that stand everywhere, which are hidden in headers alone
	found   []finding.Finding
}

// ID is that of the case.
func (s *Session) ID() string { return s.id }

// For hands the session to what another case left: what is found is that case's.
func (s *Session) For(id string, f func(*Session)) {
	own := s.id
	s.id = id
	f(s)
	s.id = own
}

// Prober sends what is no plain request.
func (s *Session) Prober() *Prober { return s.prober }

// NewRequest makes a request for a path of the target: "/v1/orders?x=1", below the path of its
// address.
func (s *Session) NewRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	base := s.prober.scope.Base()
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, base.Scheme+"://"+base.Host+base.EscapedPath()+path, content)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("User-Agent", "pavise-attack")
	return r, nil
}

// As signs a request for a user, and remembers what is secret of it.
func (s *Session) As(user *User, r *http.Request) error {
	if user.Sign == nil {
		return nil
	}
	before := r.Header.Clone()
	if err := user.Sign(r); err != nil {
		return fmt.Errorf("sign as %s: %w", user.Name, err)
	}
	for name, values := range r.Header {
		for _, value := range values {
			if !slices.Contains(before[name], value) {
				s.Secret(value, user.Name)
			}
		}
	}
	return nil
}

// Secret has a text shown as what it belongs to, wherever it stands; the word of a scheme
// before it stays, so that what is shown can be filled in again. Of cookies and of HTTP Basic
// the parts are secret, too.
func (s *Session) Secret(value, name string) {
	shown := "<credential of " + name + ">"
	scheme, rest, ok := strings.Cut(value, " ")
	if ok && isScheme(scheme) {
		value = rest
	}
	s.Hide(value, shown)
	if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(decoded), ":")
		s.Hide(password, shown)
	}
	for pair := range strings.SplitSeq(value, "; ") {
		if _, inner, ok := strings.Cut(pair, "="); ok {
			s.Hide(inner, shown)
		}
	}
}

// Hide has a text shown as another, wherever it stands, and however it is written in an address or
// between a shell's quotes.
func (s *Session) Hide(text, shown string) {
	if len(text) < minSecret {
		if text != "" {
			s.short[text] = shown
		}
		return
	}
	between := shell.Quoted(text)
	for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text), between[1 : len(between)-1]} {
		s.secrets[form] = shown
	}
}

// isScheme reports whether a word is the name of a scheme (RFC 9110 §11.1), and no value.
func isScheme(word string) bool {
	return word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' })
}

// minSecret is the shortest text that is taken for a secret: shorter ones stand everywhere.
const minSecret = 8

// Send signs a request for a user and sends it. nil: it is sent as it is.
func (s *Session) Send(user *User, r *http.Request) (*Answer, error) {
	if user != nil {
		if err := s.As(user, r); err != nil {
			return nil, err
		}
	}
	var a *Answer
	var err error
	if user != nil && user.Certificate != nil {
		a, err = s.prober.SendWith(user.Certificate, r)
	} else {
		a, err = s.prober.Send(r)
	}
	if a != nil {
		a.secrets, a.short = s.secrets, s.short
	}
	return a, err
}

// Burst sends requests that are signed, for which a certificate is shown (nil: none), as
// [Prober.Burst] does, and counts the answers that pass, and those that do not.
func (s *Session) Burst(certificate *tls.Certificate, requests []*http.Request, width int, passes func(*Answer) bool) (passed, refused int) {
	for _, a := range s.prober.BurstWith(certificate, requests, width) {
		if passes(a) {
			passed++
		} else {
			refused++
		}
	}
	return passed, refused
}

// Found reports that something is wrong: where, and what was seen. The answer that shows it
// becomes something to paste; nil: there is none.
func (s *Session) Found(where string, a *Answer, format string, args ...any) {
	proof := ""
	if a != nil {
		s.know(a)
		proof = Curl(s.covered(a.Request))
		if s.prober.s.Paste != "" && proof != "" {
			proof += " " + s.prober.s.Paste
		}
	}
	s.FoundBy(where, proof, format, args...)
}

// know takes over what is secret of the request of an answer, which another case may have got: with a
// token that was renewed since.
func (s *Session) know(a *Answer) {
	for text, shown := range a.secrets {
		if _, known := s.secrets[text]; !known {
			s.secrets[text] = shown
		}
	}
	for text, shown := range a.short {
		if _, known := s.short[text]; !known {
			s.short[text] = shown
		}
	}
}

// covered is a request whose credentials are covered where they are too short to be looked for in any
// text.
func (s *Session) covered(r *http.Request) *http.Request {
	if r == nil || len(s.short) == 0 {
		return r
	}
	other := r.Clone(r.Context())
	for name, values := range other.Header {
		for i, value := range values {
			scheme, rest, ok := strings.Cut(value, " ")
			if s.secrets[value] != "" || ok && s.secrets[rest] != "" {
				continue // it is found as a whole
			}
			if shown := s.short[rest]; ok && shown != "" {
				other.Header[name][i] = scheme + " " + shown
				continue
			}
			pairs := strings.Split(value, "; ")
			for at, one := range pairs {
				if before, inner, ok := strings.Cut(one, "="); ok && s.short[inner] != "" {
					pairs[at] = before + "=" + s.short[inner]
				} else if s.short[one] != "" {
					pairs[at] = s.short[one]
				}
			}
			other.Header[name][i] = strings.Join(pairs, "; ")
		}
	}
	return other
}

// FoundBy reports that something is wrong which a command shows that is no request.
func (s *Session) FoundBy(where, proof, format string, args ...any) {
	f := s.rule.At(finding.Place{Path: s.masked(where)}, "%s", s.masked(fmt.Sprintf(format, args...)))
	f.Case = s.id
	if f.Proof = s.masked(proof); f.Proof == "" {
		f.Proof = s.again
	}
	s.found = append(s.found, f)
}

// Under hands the session to another rule: a case may find more than one kind of fault.
func (s *Session) Under(rule *finding.Rule, f func(*Session)) {
	other := *s
	other.rule, other.found = rule, nil
	f(&other)
	s.found = append(s.found, other.found...)
}

// masked takes out what is secret, the longest first, and what steers a terminal.
func (s *Session) masked(text string) string {
	secrets := make([]string, 0, len(s.secrets))
	for secret := range s.secrets {
		secrets = append(secrets, secret)
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, s.secrets[secret])
	}
	return Printable(text)
}

// Printable replaces what does not print, or turns the direction of text.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}
