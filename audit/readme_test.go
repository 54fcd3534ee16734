package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// TestReadmeTellsOfEveryField holds the table to the encoder: the same fields, and
// texts as long as it says.
func TestReadmeTellsOfEveryField(t *testing.T) {
	told := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d*) ?\\|").FindAllStringSubmatch(readme(t), -1) {
		told[row[1]], _ = strconv.Atoi(row[2]) // empty: no text
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(audit.AppendJSON(nil, fullEvent()), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		bound, ok := told[name]
		delete(told, name)
		isText := len(value) > 0 && value[0] == '"'
		switch length := len(value) - 2; {
		case !ok:
			t.Errorf("the README says nothing of the field %s", name)
		case isText != (bound > 0):
			t.Errorf("%s: %s, with a bound of %d", name, value[:1], bound)
		case isText && (length > bound || length < bound-16):
			t.Errorf("%s has up to %d bytes, the README says %d", name, length, bound)
		}
	}
	for name := range told {
		t.Errorf("the README tells of a field %s that there is not", name)
	}
}

// fullEvent has every field, and texts longer than any bound.
func fullEvent() *audit.Event {
	e := &audit.Event{}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Kind() {
		case reflect.String:
			field.SetString(strings.Repeat("x", 4000))
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int, reflect.Int64:
			field.SetInt(5_000_000)
		case reflect.Array:
			for part := range field.Len() {
				field.Index(part).SetInt(5_000_000)
			}
		}
	}
	e.Time = time.Date(2026, 11, 23, 12, 0, 0, 1000, time.UTC)
	e.Remote = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
	e.Peer = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:7777]:65535")
	return e
}

// TestAnybodyCanVerifyTheLog runs the README's lines for a third party, without any
// code of ours, over a log that is whole and over logs that are not.
func TestAnybodyCanVerifyTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("it is openssl, once for each line, and nothing of ours")
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed; make test installs it")
	}
	page := readme(t)
	scripts := []struct{ name, script string }{
		{"checkpoint", recipe(t, page, "checkpoint")}, {"tree", recipe(t, page, "tree")}, {"chain", recipe(t, page, "chain")},
	}
	const signed, tree, chain = "record 9 is the one that was signed", "the tree is the one that was signed", "the chain is whole"
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   [3]string // what the scripts print, and end with 0; empty: they fail
	}{
		{"a whole log", func(*testing.T, string) {}, [3]string{signed, tree, chain}},
		{"an erased record", eraseSome, [3]string{"is the one that was signed", tree, chain}},
		{"a changed record", edit("events-*.jsonl", `"method":"GET","path":"/7"`, `"method":"GET","path":"/8"`), [3]string{signed, "", ""}},
		{"a removed record", edit("events-*.jsonl", `(?m)^{"seq":7,.*\n`, ""), [3]string{signed, "", ""}},
		{"a changed last record", edit("events-*.jsonl", `(?m)^({"seq":9,.*"mac":").`, "${1}_"), [3]string{"", tree, ""}},
		{"a changed checkpoint", edit("checkpoints.txt", `(?m)^9$`, "8"), [3]string{"", "", chain}},
		{"another signature", edit("checkpoints.txt", `(?m)^(— \S+ .{12}).`, "${1}/"), [3]string{"", tree, chain}},
		{"another key", edit("chain.key", `^..`, "00"), [3]string{signed, tree, ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of it is openssl, once for each line
			dir := logFor(t)
			test.change(t, dir)
			for i, one := range scripts {
				command := exec.Command("bash", "-e", "-u", "-o", "pipefail", "-c", one.script)
				command.Dir = dir
				out, err := command.CombinedOutput()
				if want := test.want[i]; want == "" && err == nil || want != "" && (err != nil || !strings.Contains(string(out), want)) {
					t.Errorf("%s: %v, want %q:\n%s", one.name, err, want, out)
				}
			}
		})
	}
}

// eraseSome erases a person from the log of logFor.
func eraseSome(t *testing.T, dir string) {
	t.Helper()
	sign := ed25519.NewKeyFromSeed(signSeed)
	log, err := audit.Open(audit.Options{Dir: dir, Node: "gw 1", Key: bytes.Repeat([]byte{7}, 32), Sign: sign, Now: time.Now, Slots: 64})
	if err != nil {
		t.Fatal(err)
	}
	done, err := log.Erase(t.Context(), audit.Erasure{User: "ann", Actor: "root", Reason: "request 7"})
	if err != nil || done.Records != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// logFor writes a log of nine events with hostile texts, and its keys as the
// README names them.
func logFor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key := bytes.Repeat([]byte{7}, 32)
	private := signer()
	log, err := audit.Open(audit.Options{Dir: dir, Node: "gw 1", Key: key, Sign: private, Now: time.Now, Slots: 64, SegmentSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		e := &audit.Event{
			ID: fmt.Sprint("r", i), Time: time.Now(), Class: audit.Request, Decision: audit.Accepted, Method: "GET", Path: fmt.Sprint("/", i),
			UserAgent: "a \\ \"quote\",\"mac\":\"x\"} é \u2028\n$(false) %s `false`",
		}
		if i == 2 || i == 3 {
			e.User = "ann"
		}
		if err := audit.Record(log, e); err != nil {
			t.Fatal(err)
		}
		if err := log.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"checkpoints.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "chain.key": []byte(hex.EncodeToString(key)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// edit changes the one file of a pattern that has what is to be replaced.
func edit(pattern, old, fresh string) func(*testing.T, string) {
	form := regexp.MustCompile(old)
	return func(t *testing.T, dir string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.DeleteFunc(names, func(name string) bool {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !form.Match(text) {
				return true
			}
			if err := os.WriteFile(name, form.ReplaceAll(text, []byte(fresh)), 0o600); err != nil {
				t.Fatal(err)
			}
			return false
		})
		if len(changed) != 1 {
			t.Fatalf("%d files of %s have %s", len(changed), pattern, old)
		}
	}
}

func recipe(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "```sh verify="+name+"\n")
	script, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatalf("the README has no recipe %q", name)
	}
	return script
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
