package pages

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"
)

func set(t testing.TB, theme fstest.MapFS) *Set {
	t.Helper()
	o := Options{Service: "login.example.com"}
	if theme != nil {
		o.Theme = theme
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every page, with everything and with nothing on it, is one that a screen reader and a
// keyboard can use, and that the policy lets work.
func TestPagesAreForEverybody(t *testing.T) {
	s := set(t, nil)
	for _, name := range names() {
		for i, data := range samples(name) {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				text, err := s.render(name, data)
				if err != nil {
					t.Fatal(err)
				}
				checkPage(t, string(text))
			})
		}
	}
}

func checkPage(t *testing.T, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels, count := map[string]int{}, map[string]bool{}, map[string]int{}
	var controls []*html.Node
	visit(root, func(n *html.Node) {
		count[n.Data]++
		if id := attr(n, "id"); id != "" {
			ids[id]++
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "tabindex" && a.Val != "-1" || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "label":
			labels[attr(n, "for")] = true
		case "input":
			if attr(n, "type") != "hidden" && attr(n, "aria-hidden") != "true" {
				controls = append(controls, n)
			}
		case "button":
			if strings.TrimSpace(words(n)) == "" || attr(n, "type") != "submit" {
				t.Errorf("a button without words, or of no type")
			}
		case "img":
			if attr(n, "alt") == "" {
				t.Error("a picture without words")
			}
		case "form":
			if attr(n, "method") != "post" {
				t.Error("a form that is not posted")
			}
		}
	})
	for _, n := range controls {
		if !labels[attr(n, "id")] {
			t.Errorf("a field %q without a label", attr(n, "name"))
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	visit(root, func(n *html.Node) {
		for _, reference := range []string{"aria-describedby", "aria-labelledby", "for"} {
			for id := range strings.FieldsSeq(attr(n, reference)) {
				if ids[id] == 0 {
					t.Errorf("%s names %q, which is not there", reference, id)
				}
			}
		}
	})
	if count["h1"] != 1 || count["main"] != 1 || count["title"] != 1 || count["script"] != 0 || count["iframe"] != 0 || !strings.Contains(text, `<html lang="en">`) || !strings.Contains(text, `name="viewport"`) {
		t.Errorf("headings %d, main %d, titles %d, scripts %d", count["h1"], count["main"], count["title"], count["script"])
	}
	if strings.Contains(text, "Wrong") && !strings.Contains(text, `role="alert"`) {
		t.Error("an error that nobody is told")
	}
}

func visit(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		visit(c, f)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func words(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(words(c))
	}
	return b.String()
}

var (
	variable = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`)
	dark     = regexp.MustCompile(`(?s)prefers-color-scheme: dark\) \{(.*?)\n\}`)
)

// Contrast of WCAG 2.2: 4.5 for text, 3 for what is not text (§1.4.3, §1.4.11).
func TestColoursCanBeRead(t *testing.T) {
	text, err := source(nil, "style.css")
	if err != nil {
		t.Fatal(err)
	}
	night := dark.FindStringSubmatch(text)[1]
	for name, part := range map[string]string{"day": strings.Replace(text, night, "", 1), "night": night} {
		colours := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(part, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "card", 4.5},
			{"ink", "page", 4.5},
			{"soft", "card", 4.5},
			{"soft", "page", 4.5},
			{"accent", "card", 4.5},
			{"on-accent", "accent", 4.5},
			{"on-accent", "accent-strong", 4.5},
			{"accent-strong", "card", 4.5},
			{"error", "error-back", 4.5},
			{"warning", "warning-back", 4.5},
			{"note", "note-back", 4.5},
			{"field", "card", 3},
			{"accent", "page", 3},
		} {
			if got := contrast(t, colours[pair.front], colours[pair.back]); got < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", name, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(colour, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		t.Fatalf("colour %q", colour)
	}
	part := func(shift uint) float64 {
		c := float64(n>>shift&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

func TestThemes(t *testing.T) {
	s := set(t, fstest.MapFS{
		"parts.html": {Data: []byte(`{{define "footer"}}<footer>Imprint</footer>{{end}}{{define "messages"}}{{.Error}}{{end}}{{define "token"}}<input type="hidden" name="token" value="{{.Token}}">{{end}}{{define "for"}}{{end}}`)},
		"theme.css":  {Data: []byte(":root { --accent: #7a1f5c; }")},
		"logo.svg":   {Data: []byte("<svg></svg>")},
	})
	w := httptest.NewRecorder()
	if err := s.Write(w, http.StatusOK, Done, DoneData{Form: Form{Title: "<b>Done"}, Text: "x"}, ""); err != nil {
		t.Fatal(err)
	}
	page := w.Body.String()
	if !strings.Contains(page, "Imprint") || !strings.Contains(page, "&lt;b&gt;Done") || !strings.Contains(page, `<img src="/account/assets/logo-`) {
		t.Error(page)
	}
	for _, want := range []struct{ prefix, media, text string }{{"style-", "text/css; charset=utf-8", "#7a1f5c"}, {"logo-", "image/svg+xml", "<svg>"}} {
		name := ""
		for asset := range s.assets {
			if strings.HasPrefix(asset, want.prefix) {
				name = asset
			}
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/account/assets/"+name, nil)
		r.SetPathValue("name", name)
		s.ServeAsset(w, r)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want.media || !strings.Contains(w.Body.String(), want.text) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/account/assets/x", nil)
	r.SetPathValue("name", "../parts.html")
	s.ServeAsset(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

// The theme of README.md works, and its colours can be read.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, css, ok := strings.Cut(string(text), "```css\n")
	css, _, _ = strings.Cut(css, "```")
	if !ok {
		t.Fatal("README.md has no theme")
	}
	set(t, fstest.MapFS{"theme.css": {Data: []byte(css)}, "README.md": {Data: text}})
	for i, part := range strings.SplitN(css, "@media", 2) {
		colours := map[string]string{"card": []string{"#fff", "#1b1f27"}[i], "on-accent": "#fff"}
		for _, m := range variable.FindAllStringSubmatch(part, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range [][2]string{{"accent", "card"}, {"on-accent", "accent"}, {"on-accent", "accent-strong"}} {
			if got := contrast(t, colours[pair[0]], colours[pair[1]]); got < 4.5 {
				t.Errorf("%s on %s: %.2f", pair[0], pair[1], got)
			}
		}
	}
	for _, name := range names() {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
	}
}

func TestThemesThatCannotWorkNameFileAndLine(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"a brace missing":      {"consent.html", "{{define \"content\"}}\n<h1>x</h1>\n{{if .Page}}\n{{end}}", "consent.html:4"},
		"an unknown field":     {"sign-in.html", "{{define \"content\"}}\n<h1>{{.Page.Nmae}}</h1>{{end}}", "sign-in.html:2"},
		"an unknown function":  {"done.html", "{{define \"content\"}}\n\n{{shout .Page}}{{end}}", "done.html:3"},
		"an unknown template":  {"error.html", "{{define \"content\"}}\n{{template \"none\"}}{{end}}", "error.html:2"},
		"no content":           {"device.html", "<h1>x</h1>", "content"},
		"a misspelled file":    {"signin.html", "x", "signin.html"},
		"a style in the wrong": {"layout.html", strings.Repeat("x", maxAsset+1), "layout.html"},
		"too large a logo":     {"logo.png", strings.Repeat("x", maxAsset+1), "logo.png"},
	} {
		_, err := New(Options{Theme: fstest.MapFS{c.file: {Data: []byte(c.text)}}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestFormsLeadToUsAndTheApplication(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.example/cb?x=1": "https://app.example", "https://APP.example:8443/cb": "https://app.example:8443", "http://127.0.0.1:4711/": "http://127.0.0.1:4711",
		"http://[::1]:4711/": "http:", "com.example.app:/cb": "com.example.app:", "": "", "https://": "", "javascript:alert(1)": "", "data:text/html,x": "",
		"https://a.example;script-src%20*/": "", "https://a.example, *": "", "https://*.example/": "", "https://a.example\r\nX: y": "", "/path": "",
	} {
		if got := FormSource(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func FuzzFormSource(f *testing.F) {
	for _, seed := range []string{"https://app.example/cb", "a.b:/x", "https://a;b", "https://[::1]/", "'unsafe-inline'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		got := FormSource(address)
		if strings.ContainsAny(got, " ;,'\"*\r\n\t") || got != "" && !strings.Contains(got, ":") {
			t.Fatalf("%q became %q", address, got)
		}
		if w := httptest.NewRecorder(); got != "" {
			w.Header().Set("Content-Security-Policy", policy(address))
			if n := strings.Count(w.Header().Get("Content-Security-Policy"), ";"); n != 5 {
				t.Fatalf("%q makes a policy of %d directives", address, n+1)
			}
		}
	})
}

func TestEveryTemplateIsAPage(t *testing.T) {
	entries, err := embedded.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(append(names(), layout, "parts.html", "style.css"), e.Name()) {
			t.Errorf("nobody reads %s", e.Name())
		}
	}
}

func BenchmarkConsent(b *testing.B) {
	s := set(b, nil)
	data := samples(Consent)[1]
	b.ReportAllocs()
	for b.Loop() {
		body, err := s.render(Consent, data)
		if err != nil || len(body) == 0 {
			b.Fatal(err)
		}
	}
}
