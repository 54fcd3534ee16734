package nginx_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pavise.dev/pavise/internal/advise/nginx"
)

// What nginx reads is read as nginx reads it.
func TestWordsAreThoseOfNginx(t *testing.T) {
	for _, one := range []struct {
		text string
		name string
		args []string
	}{
		{"listen 443 ssl;", "listen", []string{"443", "ssl"}},
		{"a 'b c' \"d;e\";", "a", []string{"b c", "d;e"}},
		{"a b # c;\n d;", "a", []string{"b", "d"}},
		{`a "x\"y" 'it\'s' \.php$;`, "a", []string{`x"y`, "it's", `\.php$`}},
		{"proxy_pass http://${host}:8080/x;", "proxy_pass", []string{"http://${host}:8080/x"}},
		{"a b\\ c;", "a", []string{`b\ c`}},
		{"a \"b\tc\n d\";", "a", []string{"b\tc\n d"}},
		{"a http://x/#y;", "a", []string{"http://x/#y"}},
	} {
		all, err := nginx.Parse("x", []byte(one.text))
		if err != nil || len(all) != 1 || all[0].Name != one.name || !slices.Equal(all[0].Args, one.args) {
			t.Errorf("%q: %+v, %v", one.text, all, err)
		}
	}
	all, err := nginx.Parse("x", []byte("http {\n  server {\n    if ($a = \"b c\") { return 403; }\n  }\n}\nuser x;\n"))
	if err != nil || len(all) != 2 || len(all[0].Block) != 1 || all[0].Block[0].Block[0].Line != 3 || all[0].Block[0].Block[0].Place() != "x:3" || all[1].Line != 6 {
		t.Errorf("%+v, %v", all, err)
	}
}

// What nginx would refuse, or what could keep the reader busy, is refused, with its place.
func TestWhatIsNoConfigurationIsRefused(t *testing.T) {
	for text, why := range map[string]string{
		"listen 443":                           "not ended",
		"server { listen 443;":                 "not closed",
		"}":                                    "begins with its name",
		";":                                    "begins with its name",
		"a 'b;":                                "quote is not closed",
		"a 'b'c;":                              "after a word in quotes",
		"a ${b;":                               "variable is not closed",
		"a b};":                                "missing before it",
		"a \x00;":                              "no text",
		"content_by_lua_block { ngx.say(1) }":  "another language",
		strings.Repeat("a {", 40):              "nested more than",
		"a " + strings.Repeat("b", 9000) + ";": "more than 8192 bytes",
		strings.Repeat("a;", 100_001):          "more than 100000 directives",
		strings.Repeat("#", 4<<20+1):           "more than 4194304 bytes",
		"include a b;":                         "wants one name",
	} {
		if _, err := nginx.Parse("x", []byte(text)); err == nil || !strings.Contains(err.Error(), why) || !strings.HasPrefix(err.Error(), "x:") {
			t.Errorf("%.40q: %v, want %q", text, err, why)
		}
	}
}

// Included files are read inside the folder alone, in order, and what was not read is told.
func TestIncludesStayInTheFolder(t *testing.T) {
	folder := fstest.MapFS{
		"nginx.conf":     {Data: []byte("include conf.d/*.conf; include /etc/nginx/more.conf; include /etc/passwd; include ../x; include none.conf; include $x.conf;")},
		"conf.d/b.conf":  {Data: []byte("b;")},
		"conf.d/a.conf":  {Data: []byte("a;")},
		"conf.d/c.other": {Data: []byte("c;")},
		"more.conf":      {Data: []byte("more;")},
	}
	all, unread, err := nginx.Read(folder, "/etc/nginx", "nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "more"}) || all[0].Place() != "conf.d/a.conf:1" {
		t.Errorf("read %v", names)
	}
	if len(unread) != 4 {
		t.Errorf("not read: %q", unread)
	}
	folder["conf.d/b.conf"] = &fstest.MapFile{Data: []byte("include nginx.conf;")}
	if _, _, err := nginx.Read(folder, "/etc/nginx", "nginx.conf"); err == nil || !strings.Contains(err.Error(), "includes itself") {
		t.Errorf("a file that includes itself: %v", err)
	}
}

// A link that leads out of the folder is not followed.
func TestLinksLeadNowhere(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{filepath.Join(outside, "secret"): "secret;", filepath.Join(dir, "nginx.conf"): "include link;"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	all, unread, err := nginx.Read(root.FS(), dir, "nginx.conf")
	if len(all) > 0 || err == nil && len(unread) != 1 {
		t.Errorf("the link was followed: %+v, %q, %v", all, unread, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"http { server { listen 443 ssl; location / { proxy_pass http://a; } } }", "a 'b' \"c\\\"\" ${d};", "a \\", "a {", "}", "include x;", "a '\n';\nb;",
		"if ($request_method !~ ^(GET|POST)$) { return 405; }", "map $a $b { default 0; ~^x 1; }",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := nginx.Parse("x", text)
		if err != nil {
			return
		}
		lines := strings.Count(string(text), "\n") + 1
		var walk func(all []nginx.Directive, from int) int
		walk = func(all []nginx.Directive, from int) int {
			for _, d := range all {
				if d.Name == "" && !strings.ContainsAny(string(text), `"'`) || d.Line < from || d.Line > lines {
					t.Fatalf("%q stands at %d, after %d, of %d lines", d.Name, d.Line, from, lines)
				}
				from = walk(d.Block, d.Line)
			}
			return from
		}
		walk(all, 1)
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(strings.Repeat("server { listen 443 ssl; server_name a.example.com; location /v1/ { proxy_pass http://127.0.0.1:9000; limit_req zone=one burst=20; } }\n", 1000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nginx.Parse("x", text); err != nil {
			b.Fatal(err)
		}
	}
}
