package people

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/sessions"
)

// The cookies. __Host- keeps other hosts and plain HTTP from setting them (RFC 6265bis
// §4.1.3.2). SameSite is Lax, not Strict: applications and providers send people to us
// from their own sites, and a cookie that stayed behind would make everybody sign in each
// time. What Lax lets through is a navigation by GET, which changes nothing here; forms
// are posted, and need a token.
const (
	cookieSession = "__Host-pavise-session"
	cookieBrowser = "__Host-pavise-browser" // before and after signing in: what forms are bound to
	cookieAsked   = "__Host-pavise-asked"   // authorizations that began in this browser
)

const (
	browserBytes = 32
	maxAsked     = 8  // authorizations at once, in tabs
	markLetters  = 16 // of the digest of an authorization's id
	maxForm      = 64 << 10
)

// visit is one request of a person.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	browser string // value of the browser's cookie; empty: none yet
	secret  string // of the session
	session sessions.Session
	user    account.User
	signed  bool // in; session and user are valid
	half    bool // not signed in: a second factor is missing; session and user are valid
}

// visit reads the cookies of a request.
func (s *Service) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	v := &visit{w: w, r: r, browser: cookie(r, cookieBrowser), secret: cookie(r, cookieSession)}
	if len(v.browser) != base64.RawURLEncoding.EncodedLen(browserBytes) {
		v.browser = ""
	}
	if v.secret == "" {
		return v, nil
	}
	session, err := s.sessions.Find(r.Context(), v.secret)
	if errors.Is(err, sessions.ErrNone) {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	user, err := s.accounts.Get(r.Context(), session.Subject)
	if errors.Is(err, account.ErrUnknown) || err == nil && (user.Epoch != session.Epoch || user.Disabled != "") {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.session, v.user, v.signed, v.half = session, user, !session.Half, session.Half
	return v, nil
}

// cookie returns a cookie that is there once; twice is as good as never.
func cookie(r *http.Request, name string) string {
	if all := r.CookiesNamed(name); len(all) == 1 && len(all[0].Value) <= 256 {
		return all[0].Value
	}
	return ""
}

func setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// know gives a browser its cookie, if it has none.
func (s *Service) know(v *visit) error {
	if v.browser != "" {
		return nil
	}
	random := make([]byte, browserBytes)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	v.browser = base64.RawURLEncoding.EncodeToString(random)
	setCookie(v.w, cookieBrowser, v.browser, 0)
	return nil
}

// markOf is what a browser and a session remember of an authorization.
func markOf(id string) string {
	sum := sha256.Sum256([]byte("authorization " + id))
	return hex.EncodeToString(sum[:])[:markLetters]
}

// asked returns the marks that a browser holds.
func asked(r *http.Request) []string {
	var marks []string
	for mark := range strings.SplitSeq(cookie(r, cookieAsked), ".") {
		if len(mark) == markLetters && len(marks) < maxAsked {
			marks = append(marks, mark)
		}
	}
	return marks
}

// mark notes that an authorization began in this browser.
func mark(v *visit, id string) {
	marks := append([]string{markOf(id)}, slices.DeleteFunc(asked(v.r), func(m string) bool { return m == markOf(id) })...)
	setCookie(v.w, cookieAsked, strings.Join(marks[:min(len(marks), maxAsked)], "."), 15*60)
}

func isMarked(v *visit, id string) bool { return slices.Contains(asked(v.r), markOf(id)) }

// bound is what a text is hashed with, so that it is good in this browser, for this
// session, at this address, and nowhere else.
func (v *visit) bound(purpose, action, text string) []byte {
	secret := ""
	if v.signed {
		secret = v.secret
	}
	return fmt.Appendf(nil, "%s %d:%s%d:%s%d:%s%s", purpose, len(v.browser), v.browser, len(secret), secret, len(action), action, text)
}

// token is what a form for an address carries against forgery.
func (s *Service) token(v *visit, action string) string {
	return s.records.Name(v.bound("form", action, ""))
}

// is reports whether a keyed hash is that of a text, under any of the keys.
func (s *Service) is(hash string, of []byte) bool {
	same := 0
	for _, name := range s.records.Names(of) {
		same |= subtle.ConstantTimeCompare([]byte(name), []byte(hash))
	}
	return same == 1
}

// Errors of forms.
var (
	errForged = errors.New("the form does not come from a page of this browser, or the page is too old")
	errForm   = errors.New("the form cannot be read")
)

// form reads a form that was posted to an address and refuses what a page of ours, shown
// to this browser, cannot have sent.
func (s *Service) form(v *visit, action string) error {
	r := v.r
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return errForm
	}
	if r.PostForm == nil {
		r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	}
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "scope" || len(values) > 512 {
			return errForm
		}
	}
	if v.browser == "" || !s.is(r.PostForm.Get("token"), v.bound("form", action, "")) {
		return errForged
	}
	return nil
}

// sameOrigin judges what the browser says about where a request comes from. What it does
// not say is left to the token.
func (s *Service) sameOrigin(r *http.Request) error {
	if origins := r.Header.Values("Origin"); len(origins) > 1 || len(origins) == 1 && origins[0] != s.origin {
		return errForged
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	return errForged
}

// value returns a field of the form that was read.
func (v *visit) value(name string) string { return v.r.PostForm.Get(name) }
