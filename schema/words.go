package schema

import (
	"slices"
	"strconv"
	"strings"
)

// Pavise's own words in a document. Others that begin like them are errors: a misspelt one
// would protect nothing.
const (
	ownWords      = "x-pavise-"
	wordSensitive = "x-pavise-sensitive"
	wordScopes    = "x-pavise-scopes"
	wordWaive     = "x-pavise-waive" // what `pavise check` is not to tell; it may stand anywhere
)

func ownWordList() []string { return []string{wordSensitive, wordScopes, wordWaive} }

// checkWords refuses words of ours that there are not, and those that stand where they mean
// nothing: they describe values, so that they belong into schemas. What is data (examples,
// values) may hold any word, and so may names that the author chooses.
func (d *Document) checkWords(pointer string, v any, inSchema bool) error {
	switch v := v.(type) {
	case []any:
		for i := range v {
			if err := d.checkWords(join(pointer, strconv.Itoa(i)), v[i], inSchema); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, below := range v {
			if err := d.checkWord(pointer, v, name, below, inSchema); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Document) checkWord(pointer string, in map[string]any, name string, below any, inSchema bool) error {
	if strings.HasPrefix(name, ownWords) {
		if !slices.Contains(ownWordList(), name) {
			return d.fault(pointer, "%q is no word of Pavise; known are %s", name, strings.Join(ownWordList(), ", "))
		}
		if name == wordWaive {
			return nil
		}
		if !inSchema {
			return d.fault(pointer, "%s describes a value: write it into a schema", name)
		}
		if _, err := coverOf(in); err != nil {
			return d.fault(pointer, "%v", err)
		}
		d.sensitive = true
		return nil
	}
	switch name {
	case "example", "examples", "default", "enum", "const":
		return nil
	case "properties", "patternProperties", "headers", "schemas", "$defs", "definitions", "dependentSchemas", "mapping", "variables":
		if names, ok := below.(map[string]any); ok {
			for own, v := range names {
				if err := d.checkWords(join(pointer, name, own), v, inSchema || name == "schemas"); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return d.checkWords(join(pointer, name), below, inSchema || name == "schema")
}
