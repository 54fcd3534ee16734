// Package pages writes what people see: server-rendered HTML that works without scripts,
// from a keyboard, with a screen reader, on a phone, in the dark.
//
// A [Set] is made once, from the templates in this package and those of a theme that
// replace them; one that cannot work is an error then, with its file and line. Every page
// is inside of layout.html and has a strict Content-Security-Policy: styles from our own
// address, no script at all, no frame around it, and forms that go nowhere but to us and
// on to the application that is waiting.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed templates
var embedded embed.FS

// Names of the pages.
const (
	SignIn   = "sign-in.html"
	Second   = "second.html"
	Password = "password.html"
	Choose   = "choose.html"
	Consent  = "consent.html"
	Device   = "device.html"
	Done     = "done.html"
	Error    = "error.html"
	SignOut  = "sign-out.html"
	Account  = "account.html"
	TOTP     = "totp.html"
	Codes    = "codes.html"
)

// names are all pages.
func names() []string {
	return []string{SignIn, Second, Password, Choose, Consent, Device, Done, Error, SignOut, Account, TOTP, Codes}
}

const layout = "layout.html"

// maxAsset is the size of a theme's file, in bytes.
const maxAsset = 512 << 10

// Set is every page and every file that they use. It is safe for concurrent use.
type Set struct {
	pages  map[string]*template.Template
	assets map[string]asset
	look   Look
}

// asset is a file that pages use. Its name holds the digest of its content, so that it may
// be kept for good.
type asset struct {
	media   string
	content []byte
}

// Look is what every page knows of where it stands.
type Look struct {
	Service string // whose pages they are, in words: the issuer's host unless set
	Base    string // path before /account
	Style   string // address of the style sheet
	Logo    string // address of the theme's logo; empty: none
	Lang    string
}

// Options of a [Set].
type Options struct {
	Theme   fs.FS // may hold files that replace templates, theme.css, logo.svg or logo.png; nil: none
	Service string
	Base    string
}

// New reads, checks and tries every page.
func New(o Options) (*Set, error) {
	s := &Set{pages: map[string]*template.Template{}, assets: map[string]asset{}, look: Look{Service: o.Service, Base: o.Base, Lang: "en"}}
	if err := s.addAssets(o.Theme); err != nil {
		return nil, err
	}
	if err := checkTheme(o.Theme); err != nil {
		return nil, err
	}
	for _, name := range names() {
		page, err := parse(o.Theme, name)
		if err != nil {
			return nil, err
		}
		s.pages[name] = page
		if err := s.try(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parse reads the layout, what pages share, and the page.
func parse(theme fs.FS, name string) (*template.Template, error) {
	t := template.New(layout).Option("missingkey=error").Funcs(template.FuncMap{"join": strings.Join})
	for _, file := range []string{layout, "parts.html", name} {
		text, err := source(theme, file)
		if err != nil {
			return nil, err
		}
		part := t
		if file != layout {
			part = t.New(file)
		}
		if _, err := part.Parse(text); err != nil {
			return nil, fmt.Errorf("page %s: %w", file, err) // names file and line
		}
	}
	return t, nil
}

func source(theme fs.FS, file string) (string, error) {
	if theme != nil {
		text, err := fs.ReadFile(theme, file)
		switch {
		case err == nil && len(text) > maxAsset:
			return "", fmt.Errorf("theme: %s is longer than %d bytes", file, maxAsset)
		case err == nil:
			return string(text), nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("theme: read %s: %w", file, err)
		}
	}
	text, err := embedded.ReadFile("templates/" + file)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return string(text), nil
}

// checkTheme refuses files that nothing would read: most are misspelled.
func checkTheme(theme fs.FS) error {
	if theme == nil {
		return nil
	}
	entries, err := fs.ReadDir(theme, ".")
	if err != nil {
		return fmt.Errorf("theme: %w", err)
	}
	known := append(names(), layout, "parts.html", "theme.css", "logo.svg", "logo.png")
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || strings.EqualFold(entry.Name(), "README.md") {
			continue
		}
		if entry.IsDir() || !slices.Contains(known, entry.Name()) {
			return fmt.Errorf("theme: nothing reads %s; known are %s", entry.Name(), strings.Join(known, ", "))
		}
	}
	return nil
}

func (s *Set) addAssets(theme fs.FS) error {
	style, err := source(nil, "style.css")
	if err != nil {
		return err
	}
	if theme == nil {
		s.look.Style = s.addAsset("style.css", "text/css; charset=utf-8", []byte(style))
		return nil
	}
	more, err := fs.ReadFile(theme, "theme.css")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("theme: %w", err)
	}
	s.look.Style = s.addAsset("style.css", "text/css; charset=utf-8", append([]byte(style), more...))
	for file, media := range map[string]string{"logo.svg": "image/svg+xml", "logo.png": "image/png"} {
		logo, err := fs.ReadFile(theme, file)
		if err == nil && len(logo) > maxAsset {
			return fmt.Errorf("theme: %s is longer than %d bytes", file, maxAsset)
		}
		if err == nil {
			s.look.Logo = s.addAsset(file, media, logo)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("theme: %w", err)
		}
	}
	return nil
}

func (s *Set) addAsset(file, media string, content []byte) (address string) {
	sum := sha256.Sum256(content)
	name := strings.TrimSuffix(file, path.Ext(file)) + "-" + hex.EncodeToString(sum[:8]) + path.Ext(file)
	s.assets[name] = asset{media, content}
	return s.look.Base + "/account/assets/" + name
}

// try writes a page with the data of [samples], so that a template that asks for what is
// not there is found at start.
func (s *Set) try(name string) error {
	for _, data := range samples(name) {
		if _, err := s.render(name, data); err != nil {
			return fmt.Errorf("page %s does not work: %w", name, err)
		}
	}
	return nil
}

// view is what a template sees.
type view struct {
	Look
	Page any
}

func (s *Set) render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, layout, view{s.look, data}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Write answers with a page. Forms of it may lead to the address onward as well, if it is
// not empty: browsers apply form-action to redirects that follow a form.
func (s *Set) Write(w http.ResponseWriter, status int, name string, data any, onward string) error {
	body, err := s.render(name, data)
	if err != nil {
		return fmt.Errorf("write page %s: %w", name, err)
	}
	h := w.Header()
	Dress(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy(onward))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a person who is gone reads nothing
	return nil
}

// Dress sets what every answer to a person has, pages and redirects alike. The referrer
// stays within the origin, not less: without any, browsers send "Origin: null" with forms.
func Dress(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Content-Security-Policy", policy(""))
}

func policy(onward string) string {
	forms := "'self'"
	if source := FormSource(onward); source != "" {
		forms += " " + source
	}
	return "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + forms + "; frame-ancestors 'none'; base-uri 'none'"
}

var (
	hostSource   = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]{1,5})?$`)
	schemeSource = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
)

// FormSource returns the source expression (CSP Level 3 §2.3.1) for a redirect address:
// its origin, or its scheme if it is an application's own or the host is an IPv6 address,
// which the grammar does not know. Empty: an address that cannot be allowed.
func FormSource(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" || !schemeSource.MatchString(u.Scheme) {
		return ""
	}
	switch host := strings.ToLower(u.Host); {
	case u.Scheme != "https" && u.Scheme != "http":
		if slices.Contains([]string{"javascript", "data", "blob", "file", "vbscript", "about", "filesystem"}, u.Scheme) {
			return ""
		}
		return u.Scheme + ":"
	case hostSource.MatchString(host):
		return u.Scheme + "://" + host
	case strings.HasPrefix(host, "["):
		return u.Scheme + ":"
	}
	return ""
}

// Redirect answers with 303, so that nothing that was posted is posted again (RFC 9700
// §4.12).
func Redirect(w http.ResponseWriter, to string) {
	h := w.Header()
	Dress(h)
	h.Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// ServeAsset answers for the file of the path value "name".
func (s *Set) ServeAsset(w http.ResponseWriter, r *http.Request) {
	found, ok := s.assets[r.PathValue("name")]
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	if !ok {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.Set("Content-Type", found.media)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(found.content) // as above
}
