package pavise_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
)

// TestSettingsPageTellsOfEverySetting holds the tables of docs/guide/configuration.md
// to the schema that `pavise schema` writes: each block of settings has one, behind a
// line `<!-- settings NAME -->`, and each setting a row with its form, default,
// bounds and sentence.
func TestSettingsPageTellsOfEverySetting(t *testing.T) {
	const page = "docs/guide/configuration.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := config.Schema(app.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var root settingsBlock
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	blocks := maps.Clone(root.Defs)
	blocks["file"] = &root
	for _, combined := range []string{"shield", "part"} { // kinds and combinations, told of in words
		delete(blocks, combined)
	}
	tables := regexp.MustCompile(`(?m)^<!-- settings (\S+) -->\n((?:\|.*\n)*)`)
	told := map[string]bool{}
	written := tables.ReplaceAllStringFunc(string(text), func(table string) string {
		name := tables.FindStringSubmatch(table)[1]
		block := blocks[name]
		if block == nil || told[name] {
			t.Errorf("%s tells of the settings %q, which there are not, or twice", page, name)
			return table
		}
		told[name] = true
		return "<!-- settings " + name + " -->\n" + block.table()
	})
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		if !told[name] {
			t.Errorf("%s has no line <!-- settings %s -->", page, name)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if written != string(text) {
		t.Errorf("%s is not what the schema says; run go test -run TestSettingsPage -update .", page)
	}
}

// settingsBlock is what the schema says of one struct, or of one setting.
type settingsBlock struct {
	Defs        map[string]*settingsBlock `json:"$defs"`
	Properties  map[string]*settingsBlock `json:"properties"`
	Required    []string                  `json:"required"`
	Ref         string                    `json:"$ref"`
	Type        string                    `json:"type"`
	AnyOf       []*settingsBlock          `json:"anyOf"`
	Items       *settingsBlock            `json:"items"`
	Each        any                       `json:"additionalProperties"`
	Enum        []string                  `json:"enum"`
	Pattern     string                    `json:"pattern"`
	Default     any                       `json:"default"`
	Minimum     *int64                    `json:"minimum"`
	Maximum     *int64                    `json:"maximum"`
	MinLength   *int                      `json:"minLength"`
	MaxLength   *int                      `json:"maxLength"`
	Description string                    `json:"description"`
}

func (b *settingsBlock) table() string {
	var out strings.Builder
	out.WriteString("| setting | form | default | what it does |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(b.Properties)) {
		s := b.Properties[name]
		preset := "none"
		switch {
		case slices.Contains(b.Required, name):
			preset = "**required**"
		case s.Default != nil:
			preset = "`" + presetText(s.Default) + "`"
		case s.form() == "true or false":
			preset = "`false`"
		}
		_, _ = fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name, s.form(), preset, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s.Description))
	}
	return out.String()
}

func presetText(value any) string {
	if list, ok := value.([]any); ok {
		words := make([]string, 0, len(list))
		for _, one := range list {
			words = append(words, fmt.Sprint(one))
		}
		return strings.Join(words, ", ")
	}
	if n, ok := value.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// form says in words what may be written.
func (b *settingsBlock) form() string {
	switch {
	case b.Ref != "":
		return "[" + strings.TrimPrefix(b.Ref, "#/$defs/") + "](#" + slug(headingOf(strings.TrimPrefix(b.Ref, "#/$defs/"))) + ")"
	case b.Enum != nil:
		return "`" + strings.Join(b.Enum, "`, `") + "`"
	case len(b.AnyOf) > 0:
		return b.alternatives()
	case b.Type == "array":
		return "list of " + b.Items.form()
	case b.Type == "object":
		return b.mapping()
	case b.Type == "boolean":
		return "true or false"
	case b.Type == "integer" && b.Maximum != nil:
		return fmt.Sprintf("number, %d to %d", *b.Minimum, *b.Maximum)
	case b.Type == "number" && b.Maximum != nil:
		return fmt.Sprintf("share, %d to %d", *b.Minimum, *b.Maximum)
	case b.Type == "integer":
		return "number"
	case strings.HasSuffix(b.Pattern, "(ms|s|m|h|d)$"):
		return "duration"
	case strings.Contains(b.Pattern, "KiB|MiB"):
		return "size"
	case strings.Contains(b.Pattern, "per (client"):
		return "[limit](limits.md)"
	case b.MaxLength != nil:
		return fmt.Sprintf("text of %d to %d characters", *b.MinLength, *b.MaxLength)
	}
	return "text"
}

// alternatives leaves out that one of a list may be written alone, which holds for
// every list of words.
func (b *settingsBlock) alternatives() string {
	var forms []string
	for _, one := range b.AnyOf {
		form := one.form()
		if one.Type == "integer" { // a size may be a number of bytes
			continue
		}
		if rest, ok := strings.CutPrefix(form, "list of "); ok && len(forms) > 0 && forms[len(forms)-1] == rest {
			forms[len(forms)-1] = rest + ", or a list"
			continue
		}
		forms = append(forms, form)
	}
	return strings.Join(forms, "; ")
}

func (b *settingsBlock) mapping() string {
	each, err := json.Marshal(b.Each)
	var value settingsBlock
	if err != nil || json.Unmarshal(each, &value) != nil {
		return "map"
	}
	return "map: name → " + value.form()
}

// headingOf is the heading of a block of settings on the page.
func headingOf(name string) string {
	switch name {
	case "shield", "part":
		return "Shields"
	case "identityout":
		name = "identity"
	case "proxies":
		name = "trusted_proxies"
	case "allowance":
		name = "insecure_allow"
	case "bodyschema":
		name = "body_schema"
	case "injectionexception":
		name = "insecure_except"
	case "threshold":
		name = "insecure_threshold"
	case "crsexclusion":
		name = "insecure_exclude"
	case "trial":
		name = "insecure_report_only"
	case "stream":
		name = "insecure_stream"
	case "kept":
		name = "insecure_keep_headers"
	case "reason":
		name = "insecure_skip_verify"
	case "mtls.rule":
		name = "mtls: allow"
	}
	return "Settings of " + strings.TrimSuffix(name, ".settings")
}

// slug is the anchor that GitHub makes of a heading.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}
