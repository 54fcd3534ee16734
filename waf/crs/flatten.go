package crs

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// flatten makes the fields of a JSON body, as Coraza names them: json.items.0.comment. It ends when keep returns false.
//
// Numbers, true, false and null are no texts that a rule finds anything in: of those, and of their likes in quotes, the
// rules see each name once, without its places in lists. That is most of what many bodies hold. Where a contract confines
// texts, the rules see the others alone.
func (l *Layer) flatten(r *http.Request, b *body, keep func(name, text string) bool) error {
	if b.kind != jsonBody {
		return nil
	}
	kept := func(name, text string) bool {
		b.fields = append(b.fields, field{name, text})
		return keep(name, text)
	}
	if l.described != nil && b.understood {
		err := l.described.Texts(r, func(in string, names []string, text string) error {
			if in != "body" || isPlain(text) {
				return nil
			}
			if !kept(strings.Join(append([]string{rootName}, names...), "."), text) {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil // keep knows
		}
		return err
	}
	f := flattener{name: []byte(rootName), shape: []byte(rootName), seen: map[string]bool{}, keep: kept}
	f.value(b.value)
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// flattener walks a value. Names are made only of what is kept: they are long where the value is deep.
type flattener struct {
	name  []byte // of the value that is looked at
	shape []byte // the same without places in lists
	seen  map[string]bool
	keep  func(name, text string) bool
}

// value walks a value; false: no more is wanted.
func (f *flattener) value(v any) bool {
	name, shape := len(f.name), len(f.shape)
	defer func() { f.name, f.shape = f.name[:name], f.shape[:shape] }()
	switch v := v.(type) {
	case map[string]any:
		for key, one := range v {
			f.name = append(append(f.name[:name], '.'), key...)
			f.shape = append(append(f.shape[:shape], '.'), key...)
			if !f.value(one) {
				return false
			}
		}
		f.name, f.shape = f.name[:name], f.shape[:shape]
		return len(v) > 0 || f.plain()
	case []any:
		for i, one := range v {
			f.name = strconv.AppendInt(append(f.name[:name], '.'), int64(i), 10)
			if !f.value(one) {
				return false
			}
		}
		f.name = f.name[:name]
		return len(v) > 0 || f.plain()
	case string:
		return f.text(v)
	case json.Number:
		return f.text(v.String())
	}
	return f.plain()
}

func (f *flattener) text(text string) bool {
	if isPlain(text) {
		return f.plain()
	}
	f.seen[string(f.shape)] = true
	return f.keep(string(f.name), text)
}

// plain keeps a name of which the value need not be looked at, once.
func (f *flattener) plain() bool {
	if f.seen[string(f.shape)] {
		return true
	}
	f.seen[string(f.shape)] = true
	return f.keep(string(f.name), "")
}

// isPlain reports whether a text is nothing, or a number of at most nine digits before the point and nine behind: longer
// ones, and those with leading zeros or an exponent, are magic to some rules.
func isPlain(text string) bool {
	whole, fraction, hasPoint := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if text == "" {
		return true
	}
	return isDigits(whole) && (whole[0] != '0' || len(whole) == 1) && (!hasPoint || isDigits(fraction))
}

func isDigits(s string) bool {
	return len(s) > 0 && len(s) <= 9 && strings.Trim(s, "0123456789") == ""
}
