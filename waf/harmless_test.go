package waf_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/waf"
)

// lines reads a file of testdata/harmless. In prose, "# en" begins a language.
func lines(t testing.TB, name string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "harmless", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

// harmless are texts as callers send them: what was written, and what is made of it.
func harmless(t testing.TB) (all []string, languages int) {
	byLanguage := map[string][]string{}
	language := ""
	for _, line := range lines(t, "prose.txt") {
		if name, begins := strings.CutPrefix(line, "# "); begins {
			language = name
			continue
		}
		byLanguage[language] = append(byLanguage[language], line)
	}
	names := lines(t, "names.txt")
	misc := lines(t, "misc.txt")
	for i, one := range misc {
		if !strings.Contains(one, `C:\`) && !strings.Contains(one, `\\`) && !strings.Contains(one, `\frac`) && !strings.Contains(one, `\o/`) {
			misc[i] = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(one)
		}
	}
	all = append(all, misc...)
	all = append(all, names...)
	random := rand.New(rand.NewPCG(5, 111))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	var prose []string
	for _, sentences := range byLanguage {
		prose = append(prose, sentences...)
	}
	slices.Sort(prose)
	for _, a := range prose {
		for _, b := range prose {
			if random.IntN(3) == 0 {
				all = append(all, a+" "+b)
			}
		}
	}
	forms := []func() string{
		func() string {
			return fmt.Sprintf("Dear %s,\n\n%s\n%s\n\nKind regards\n%s", pick(names), pick(prose), pick(prose), pick(names))
		},
		func() string { return fmt.Sprintf("%s: %s", pick(names), pick(prose)) },
		func() string { return fmt.Sprintf("%s & %s", pick(names), pick(names)) },
		func() string { return fmt.Sprintf("%s; %s; %s", pick(names), pick(names), pick(names)) },
		func() string { return fmt.Sprintf("%s or %s", pick(names), pick(names)) },
		func() string { return fmt.Sprintf("%s | %s", pick(names), pick(names)) },
		func() string { return fmt.Sprintf("'%s' and '%s'", pick(names), pick(names)) },
		func() string { return fmt.Sprintf("\"%s\", said %s.", pick(prose), pick(names)) },
		func() string { return fmt.Sprintf("> %s\n\n%s\n\n-- \n%s", pick(prose), pick(prose), pick(names)) },
		func() string { return fmt.Sprintf("* %s\n* %s\n* %s", pick(prose), pick(misc), pick(names)) },
		func() string { return fmt.Sprintf("%s (%s)", pick(prose), pick(misc)) },
		func() string { return fmt.Sprintf("%s\n%s", pick(misc), pick(prose)) },
		func() string {
			return fmt.Sprintf(`{"name":%q,"text":%q,"n":%d}`, pick(names), pick(prose), random.IntN(100))
		},
		func() string { return fmt.Sprintf("<p>%s</p><p><em>%s</em></p>", pick(prose), pick(names)) },
		func() string { return fmt.Sprintf("%s's order no. %d: %s", pick(names), random.IntN(1e6), pick(prose)) },
		func() string { return fmt.Sprintf("%d or %d %s", random.IntN(9), random.IntN(9), pick(names)) },
		func() string { return fmt.Sprintf("see `%s` or `%s`", pick(misc), pick(names)) },
	}
	for len(all) < 30_000 {
		all = append(all, forms[random.IntN(len(forms))]())
	}
	return all, len(byLanguage)
}

// mostRefused is how many harmless texts in a thousand may be refused.
const mostRefused = 1

func count(t *testing.T, l *waf.Layer, texts []string) {
	t.Helper()
	refused := map[string]int{}
	total := 0
	spot := places()["JSON leaf"]
	for _, s := range texts {
		if err := l.Check(spot(s), nil); err != nil {
			total++
			refused[err.Error()]++
			if total <= 30 {
				t.Logf("refused: %v: %.300q", err, s)
			}
		}
	}
	t.Logf("%d harmless texts, %d refused: %.2f in a thousand; %v", len(texts), total, float64(total)*1000/float64(len(texts)), refused)
	if total*1000 > len(texts)*mostRefused {
		t.Errorf("more than %d in a thousand are refused", mostRefused)
	}
}

// What people and programs send in earnest passes.
func TestHarmlessTextsPass(t *testing.T) {
	attacktest.Rows(t, 111)
	texts, languages := harmless(t)
	if len(texts) < 20_000 || languages < 20 {
		t.Fatalf("%d texts in %d languages", len(texts), languages)
	}
	count(t, layer(t, waf.Options{}), texts)
}

// Texts that nobody here wrote: what the authors of Go's library say about their code, with
// pieces of code, of HTML and of commands in it. They are as hard as free text gets.
func TestTextsOfGoPass(t *testing.T) {
	var texts []string
	files := 0
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("go is not here: %v", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src")
	err = filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if files++; filepath.Ext(path) != ".go" || files%4 > 0 || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil // some are wrong on purpose
		}
		texts = append(texts, comments(file)...)
		return nil
	})
	if err != nil || len(texts) < 20_000 {
		t.Skipf("the sources of Go are not here: %d texts, %v", len(texts), err)
	}
	count(t, layer(t, waf.Options{}), texts)
}

func comments(file *ast.File) (texts []string) {
	for _, group := range file.Comments {
		if text := group.Text(); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// Requests of browsers and programs, with the headers that they send, pass.
func TestHarmlessHeadersPass(t *testing.T) {
	l := layer(t, waf.Options{})
	r, err := http.NewRequest(http.MethodGet, "https://api.example.com/v1/orders/7?sort=-date&fields=id,name&q=o%27brien", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"User-Agent":        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Accept":            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language":   "de-DE,de;q=0.9,en;q=0.8",
		"Referer":           "https://www.example.com/search?q=it%27s+here&id=5&set=a;b",
		"Cookie":            "_ga=GA1.2.123; session=abc.def-ghi; prefs={%22theme%22:%22dark%22}",
		"If-None-Match":     `"33a64df551425fcc55e4d42a148795d9f25f89d4"`,
		"Sec-Ch-Ua":         `"Chromium";v="126", "Not/A)Brand";v="8"`,
		"Forwarded":         `for=192.0.2.60;proto=http;by=203.0.113.43`,
		"X-Forwarded-For":   "203.0.113.7, 10.0.0.1",
		"Traceparent":       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Authorization":     "Bearer abc.def.ghi",
		"X-Requested-With":  "XMLHttpRequest",
		"X-Client-Name":     "O'Brien & Sons; app/1.0 (build 5)",
		"Idempotency-Key":   "5f0c6f2e-1c57-4f2a-9d8a-0a6f3f0b7c11",
		"Signature-Input":   `sig1=("@method" "@path");created=1618884473;keyid="a"`,
		"Cache-Control":     "max-age=0",
		"Save-Data":         "on",
		"X-Amzn-Trace-Id":   "Root=1-67891233-abcdef012345678912345678",
		"X-Cloud-Trace-Ctx": "105445aa7843bc8bf206b12000100000/1;o=1",
	} {
		r.Header.Set(name, value)
	}
	if err := l.Check(r, nil); err != nil {
		t.Error(err)
	}
}
