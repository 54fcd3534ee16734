package sanitise

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// maxPairs is how many parameters a query, or fields a form, may have.
const maxPairs = 10_000

// pairs cleans the values of a query or a form, each in its place.
func (s *Sanitiser) pairs(in, raw string, root *node, c *counts) (string, error) {
	if strings.Count(raw, "&") >= maxPairs {
		return "", unreadable(in, errors.New("too many fields"))
	}
	var out []string // nil: nothing was changed
	roots := [1]*node{root}
	var room [4]*node
	n := 0
	for part := range strings.SplitSeq(raw, "&") {
		name, value, found := strings.Cut(part, "=")
		cleaned := part
		if plain, err := plainText(name); err != nil {
			return "", unreadable(in, err)
		} else if p := pipelineOf(below(roots[:], []byte(plain), room[:0])); p != nil && found {
			after, changed, err := cleanValue(in, plain, value, p, c)
			if err != nil {
				return "", err
			}
			if changed {
				cleaned = name + "=" + after
			}
		}
		if cleaned != part && out == nil {
			out = strings.Split(raw, "&")
		}
		if out != nil {
			out[n] = cleaned
		}
		n++
	}
	if out == nil {
		return raw, nil
	}
	return strings.Join(out, "&"), nil
}

// cleanValue cleans a value as it was written. Commas stay as they were: plain ones may
// separate, escaped ones are part of a text.
func cleanValue(in, name, raw string, p *pipeline, c *counts) (out string, changed bool, err error) {
	before, err := plainText(raw)
	if err != nil {
		return "", false, unreadable(in, err)
	}
	after, step := p.clean(before, c)
	if step != "" {
		return "", false, refused(in, "/"+escape(name), step)
	}
	if after == before {
		return raw, false, nil
	}
	out = url.QueryEscape(after)
	plainComma := strings.Contains(raw, ",")
	if plainComma && strings.Contains(strings.ToUpper(raw), "%2C") {
		return "", false, refused(in, "/"+escape(name), "form") // which is which would be lost
	}
	if plainComma {
		out = strings.ReplaceAll(out, "%2C", ",")
	}
	return out, true, nil
}

// plainText takes the escapes of a query or a form away.
func plainText(raw string) (string, error) {
	plain, err := url.QueryUnescape(raw)
	switch {
	case strings.Contains(raw, ";"):
		return "", errors.New("a semicolon, which some take for a separator")
	case err != nil:
		return "", errors.New("an escape that is none")
	case !utf8.ValidString(plain):
		return "", errors.New("an escape that is not UTF-8")
	}
	return plain, nil
}

func unreadable(in string, err error) error {
	if in == "query" {
		return shield.Refuse(shield.BadQuery, "%v", err)
	}
	return refusedForm(err)
}

// withoutNames takes the parameters of some names away.
func withoutNames(raw string, names []string, c *counts) string {
	if len(names) == 0 {
		return raw
	}
	gone := make(map[string]bool, len(names))
	for _, name := range names {
		gone[name] = true
	}
	var out []string
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := plainText(name); err == nil && gone[plain] {
			c.add(StripUndeclared, 1)
			continue
		}
		out = append(out, part)
	}
	return strings.Join(out, "&")
}
