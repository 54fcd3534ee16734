package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/internal/config"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("pavise.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("pavise.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON reads YAML as an editor does.
func asJSON(t testing.TB, text string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestTheSchemaAcceptsEveryGoodFile(t *testing.T) {
	schema := compileSchema(t)
	texts := map[string]string{"base": base, "starter": string(config.Starter("http://127.0.0.1:3000", "127.0.0.1"))}
	names, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("good files %v, %v", names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for name, text := range texts {
		mustParse(t, text)
		if err := schema.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the decoder refuses for its form, an editor marks as well.
func TestTheSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	schema := compileSchema(t)
	forms := map[string]bool{}
	for _, name := range []string{
		"an unknown key", "a key of elsewhere", "an unknown key of a kind", "a list for settings", "settings for a word",
		"a list of settings for words", "a number for text", "a truth for text", "nothing", "null", "an endpoint with nothing",
		"an empty list", "a word twice", "a wrong word", "a wrong certificate", "no truth", "no number", "a number out of bounds",
		"a duration without unit", "a mixed duration", "a size in decimal units", "a size of nothing", "a limit for nobody", "a limit per ip", "a limit that is a number",
		"algorithms that nobody may use", "no hosts", "a host without certificate", "an API without a host", "an issuer without address",
		"no upstream", "an allowance without reason", "an allowance with a short reason", "an allowance of what cannot be allowed",
		"an unverified upstream without reason", "an unknown kind", "two kinds side by side", "a list of shields", "no shield in braces",
		"any of nothing", "any of one", "all that is no list", "actor outside an all", "an actor that is no truth", "a public shield without reason",
		"a kind without what it needs", "a kind with a number for settings", "a kind with nothing", "a scope with a space",
		"an identity header of an unknown value",
	} {
		forms[name] = true
	}
	for _, c := range changes() {
		if !forms[c.name] {
			continue
		}
		delete(forms, c.name)
		if err := schema.Validate(asJSON(t, strings.Replace(base, c.old, c.new, 1))); err == nil {
			t.Errorf("%s: the schema accepts it", c.name)
		}
	}
	for name := range forms {
		t.Errorf("there is no refusal %q", name)
	}
}

// every object of the schema that describes settings is closed and explained.
func TestTheSchemaIsClosedAndExplained(t *testing.T) {
	text, err := config.Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, each := range v {
				walk(path, each)
			}
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				if v["additionalProperties"] != false {
					t.Errorf("%s is open", path)
				}
				for name, property := range properties {
					if words, _ := property.(map[string]any)["description"].(string); words == "" && !strings.Contains(path, "/shield") && !strings.Contains(path, "/part") {
						t.Errorf("%s.%s is not described", path, name)
					}
				}
			}
			for key, each := range v {
				walk(path+"/"+key, each)
			}
		}
	}
	walk("", schema)
	api := schema["$defs"].(map[string]any)["api"].(map[string]any)["properties"].(map[string]any)
	for name, want := range map[string]any{"max_body": "10MiB", "timeout": "30s", "audit": "local"} {
		if got := api[name].(map[string]any)["default"]; got != want {
			t.Errorf("the default of %s is %v, want %v", name, got, want)
		}
	}
	hmac := schema["$defs"].(map[string]any)["hmac.settings"].(map[string]any)["properties"].(map[string]any)
	if got := hmac["window"].(map[string]any)["default"]; got != "1m" {
		t.Errorf("the default of a kind's window is %v, want 1m", got)
	}
}

// A key that is unknown is refused at every place where settings can stand, by
// the decoder and by the schema.
func TestUnknownKeysAreRefusedEverywhere(t *testing.T) {
	schema := compileSchema(t)
	full := full(t)
	lines := strings.Split(full, "\n")
	tried := 0
	for i, line := range lines {
		name, rest, ok := strings.Cut(strings.TrimLeft(line, " "), ":")
		if !ok || strings.Contains(name, " ") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "#") || rest == " |" {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if indent == "  " || free(lines, i) {
			continue // names of the reader's own
		}
		changed := strings.Join(append(append(append([]string{}, lines[:i]...), indent+"nonsense: {}"), lines[i:]...), "\n")
		tried++
		if _, err := parse(changed); err == nil || !strings.Contains(err.Error(), `"nonsense"`) && !strings.Contains(err.Error(), "side by side") {
			t.Errorf("line %d, before %q: the decoder says %v", i+1, line, err)
		}
		if err := schema.Validate(asJSON(t, changed)); err == nil {
			t.Errorf("line %d, before %q: the schema accepts it", i+1, line)
		}
	}
	if tried < 60 {
		t.Errorf("%d places tried", tried)
	}
}

// free reports whether the names of a line's block are chosen by the reader.
func free(lines []string, i int) bool {
	indent := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
	for ; i >= 0; i-- {
		if depth := len(lines[i]) - len(strings.TrimLeft(lines[i], " ")); depth < indent && strings.TrimSpace(lines[i]) != "" {
			name := strings.TrimSuffix(strings.TrimSpace(lines[i]), ":")
			return slices.Contains([]string{"claims", "headers", "require", "providers", "endpoints", "flows", "sinks", "rules", "notify", "respond"}, name)
		}
	}
	return false
}

func full(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every setting that there is stands in full.yaml, so that the tests above reach it; what
// cannot stand beside the others stands in own-page.yaml.
func TestTheFullFileHoldsEverySetting(t *testing.T) {
	text, err := config.Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	beside, err := os.ReadFile("testdata/good/own-page.yaml")
	if err != nil {
		t.Fatal(err)
	}
	content := full(t) + string(beside)
	check := func(where string, properties map[string]any) {
		for name := range properties {
			if !strings.Contains(content, name+":") && name != "include" {
				t.Errorf("full.yaml lacks %s of %s", name, where)
			}
		}
	}
	check("the file", schema.Properties)
	for name, def := range schema.Defs {
		check(name, def.Properties)
	}
}
