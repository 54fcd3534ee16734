package replay_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v4"
)

// suiteFile is a file of the suite, in the format of go-ftw.
type suiteFile struct {
	Rule  int `yaml:"rule_id"`
	Tests []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input  input  `yaml:"input"`
			Output output `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

// input is what is sent.
type input struct {
	Method       string            `yaml:"method"`
	URI          string            `yaml:"uri"`
	Version      string            `yaml:"version"`
	Headers      map[string]string `yaml:"headers"`
	Data         string            `yaml:"data"`
	Encoded      string            `yaml:"encoded_request"`
	Autocomplete *bool             `yaml:"autocomplete_headers"`
}

// output is what the suite expects.
type output struct {
	Log struct {
		Expect   []int  `yaml:"expect_ids"`
		NoExpect []int  `yaml:"no_expect_ids"`
		Match    string `yaml:"match_regex"`
	} `yaml:"log"`
}

// sample is one request of the suite.
type sample struct {
	name   string // "942100-7"
	rule   int
	level  int    // of the rule that is tested
	attack bool   // the rule is to match; otherwise it is to stay silent
	wire   string // the bytes that are sent
}

// ruleLevels returns the paranoia level of every rule that looks at requests.
func ruleLevels(t testing.TB) map[int]int {
	t.Helper()
	levels := map[int]int{}
	files, err := fs.Glob(coreruleset.FS, "@owasp_crs/REQUEST-*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of rules: %v", len(files), err)
	}
	id, level := regexp.MustCompile(`id:(\d+)`), regexp.MustCompile(`paranoia-level/(\d)`)
	for _, name := range files {
		text, err := fs.ReadFile(coreruleset.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		for rule := range strings.SplitSeq("\n"+string(text), "\nSecRule ") {
			number, said := id.FindStringSubmatch(rule), level.FindStringSubmatch(rule)
			if number != nil && said != nil {
				n, _ := strconv.Atoi(number[1])
				levels[n], _ = strconv.Atoi(said[1])
			}
		}
	}
	return levels
}

// suite reads the regression suite of the rule set: the tests of rules that look at requests.
func suite(t testing.TB) (all []sample) {
	t.Helper()
	levels := ruleLevels(t)
	files, err := fs.Glob(tests.FS, "REQUEST-*/*.yaml")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d files of the suite: %v", len(files), err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(tests.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		var f suiteFile
		if err := yaml.Unmarshal(text, &f); err != nil {
			t.Fatalf("read %s: %v", name, err)
		}
		if levels[f.Rule] == 0 {
			continue // a rule of the set's own bookkeeping
		}
		for _, one := range f.Tests {
			for i, stage := range one.Stages {
				said := stage.Output.Log
				attack := slices.Contains(said.Expect, f.Rule) || said.Match != ""
				if !attack && !slices.Contains(said.NoExpect, f.Rule) {
					continue // it is about the server, or about another rule
				}
				all = append(all, sample{
					name: fmt.Sprintf("%d-%d-%d", f.Rule, one.ID, i), rule: f.Rule, level: levels[f.Rule],
					attack: attack, wire: stage.Input.wire(t),
				})
			}
		}
	}
	return all
}

// wire writes a request as go-ftw does.
func (in *input) wire(t testing.TB) string {
	t.Helper()
	if in.Encoded != "" {
		raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(in.Encoded, "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	header := func(name string) (string, bool) {
		for key, value := range in.Headers {
			if strings.EqualFold(key, name) {
				return value, true
			}
		}
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", or(in.Method, "GET"), or(in.URI, "/"), or(in.Version, "HTTP/1.1"))
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, in.Headers[name])
	}
	data := in.Data
	media, hasMedia := header("Content-Type")
	complete := in.Autocomplete == nil || *in.Autocomplete
	if complete && data != "" {
		if !hasMedia {
			media = "application/x-www-form-urlencoded"
			b.WriteString("Content-Type: " + media + "\r\n")
		}
		if media == "application/x-www-form-urlencoded" {
			data = escaped(data)
		}
	}
	if strings.HasPrefix(media, "multipart/form-data;") {
		data = strings.ReplaceAll(data, "\n", "\r\n")
	}
	if complete {
		if _, there := header("Connection"); !there {
			b.WriteString("Connection: close\r\n")
		}
		_, there := header("Content-Length")
		if !there && (data != "" || slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, in.Method)) {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(data))
		}
	}
	return b.String() + "\r\n" + data
}

// escaped writes a form, unless it has escapes already.
func escaped(data string) string {
	if plain, err := url.QueryUnescape(data); err != nil || plain != data {
		return data
	}
	var pairs []string
	for pair := range strings.SplitSeq(data, "&") {
		name, value, found := strings.Cut(pair, "=")
		name = url.QueryEscape(name)
		if found {
			name += "=" + url.QueryEscape(value)
		}
		pairs = append(pairs, name)
	}
	return strings.Join(pairs, "&")
}

// respelled writes a request anew of which the door refuses the form: with escapes in the target where it has bytes that
// no target may have, and for the host that is there. Whoever attacks can do that too.
func respelled(wire string) (string, bool) {
	head, body, found := strings.Cut(wire, "\r\n\r\n")
	if !found {
		return "", false
	}
	lines := strings.Split(head, "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) < 3 {
		return "", false
	}
	last := len(parts) - 1
	target := strings.Join(parts[1:last], " ")
	if !strings.HasPrefix(target, "/") {
		return "", false
	}
	lines[0] = parts[0] + " " + escapedTarget(target) + " HTTP/1.1"
	for i, line := range lines[1:] {
		if name, _, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Host") {
			lines[i+1] = "Host: localhost"
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body, true
}

func escapedTarget(target string) string {
	var b strings.Builder
	path := true
	for i := range len(target) {
		c := target[i]
		path = path && c != '?'
		isEscape := c == '%' && i+2 < len(target) && isHex(target[i+1]) && isHex(target[i+2])
		legal := c > ' ' && c < 0x7f && !strings.ContainsRune("\"#<>[]\\^`{|}%", rune(c)) && (path || c != ';')
		if legal || isEscape {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
