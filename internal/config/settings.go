package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pavise.dev/pavise/limit"
)

// setting is a field of a documented struct: what its tags say. The decoder, the
// defaults, the checks and the schema all read this and nothing else.
type setting struct {
	name, doc  string
	hint       string // what to write instead of what is refused
	preset     string // default; as in the file
	least, top string // bounds; as in the file
	enum       []string
	pattern    string
	keys       string
	required   bool
	bytes      bool // a whole number of bytes, which may be written as a size
	secret     bool // never shown
	restart    bool // a change takes effect with the next start
	index      []int
}

// settingsOf returns the settings of a struct type, in their order.
func settingsOf(t reflect.Type) []setting {
	var all []setting
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		s := setting{
			name: name, doc: f.Tag.Get("doc"), hint: f.Tag.Get("hint"), preset: f.Tag.Get("default"),
			least: f.Tag.Get("min"), top: f.Tag.Get("max"),
			pattern: f.Tag.Get("pattern"), keys: f.Tag.Get("keys"),
			required: f.Tag.Get("required") != "", bytes: f.Tag.Get("unit") == "bytes",
			secret: f.Tag.Get("secret") != "", restart: f.Tag.Get("restart") != "", index: f.Index,
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			s.enum = strings.Split(enum, ",")
		}
		all = append(all, s)
	}
	return all
}

// preset gives a struct and the structs in it their defaults. Fields that hold
// something already, as those of a kind's own Config do, keep it.
func preset(v reflect.Value) {
	for _, s := range settingsOf(v.Type()) {
		field := v.FieldByIndex(s.index)
		if s.preset != "" && field.IsZero() {
			s.fill(field)
		}
		if field.Kind() == reflect.Struct && !single(field.Type()) {
			preset(field)
		}
	}
}

// single reports whether a struct type is one value of the file.
func single(t reflect.Type) bool {
	return t == reflect.TypeFor[Duration]() || t == reflect.TypeFor[Limit]() || t == reflect.TypeFor[Quota]() || t == reflect.TypeFor[Shield]()
}

// fill sets the default, which is ours: that it cannot be read is our fault.
func (s setting) fill(v reflect.Value) {
	if list, ok := v.Addr().Interface().(*Words); ok {
		*list = strings.Split(s.preset, ",")
		return
	}
	if fault := parseInto(v, s.preset); fault != nil {
		panic(fmt.Sprintf("the default %q of %s: %v", s.preset, s.name, fault))
	}
}

// fault is what is wrong with a value, and what to write instead.
type fault struct{ message, hint string }

func (f *fault) Error() string { return f.message }

func faulty(hint, format string, args ...any) *fault {
	return &fault{fmt.Sprintf(format, args...), hint}
}

// parseInto reads one word of the file into a value of a type that is written so.
func parseInto(v reflect.Value, text string) *fault {
	switch into := v.Addr().Interface().(type) {
	case *Duration:
		return parseTime(&into.Duration, text)
	case *time.Duration:
		return parseTime(into, text)
	case *Size:
		return parseBytes((*int64)(into), text)
	case *Share:
		return parseShare(into, text)
	case *Limit:
		return parseLimit(&into.Limit, text)
	case *Quota:
		return parseQuota(&into.Quota, text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return faulty("write true or false", "%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) || strconv.FormatInt(n, 10) != text {
			return faulty("write digits only", "%q is no whole number that fits here", text)
		}
		v.SetInt(n)
	default:
		panic(fmt.Sprintf("the configuration has a field of type %s", v.Type()))
	}
	return nil
}

var durationForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(ms|s|m|h|d)$`)

// ParseDuration reads a whole number and one unit: 100ms, 30s, 5m, 24h or 90d.
func ParseDuration(text string) (time.Duration, error) {
	var d time.Duration
	if fault := parseTime(&d, text); fault != nil {
		return 0, fault
	}
	return d, nil
}

func parseTime(into *time.Duration, text string) *fault {
	form := durationForm.FindStringSubmatch(text)
	if form == nil {
		return faulty("write a whole number and a unit: 100ms, 30s, 5m, 24h or 90d", "%q is no duration", text)
	}
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[form[2]]
	n, err := strconv.ParseInt(form[1], 10, 64)
	if err != nil || time.Duration(n) > time.Duration(1<<63-1)/unit {
		return faulty("write a shorter one", "the duration %s is too long", text)
	}
	*into = time.Duration(n) * unit
	return nil
}

// String writes the duration as the file does.
func (d Duration) String() string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d.Duration >= u.unit && d.Duration%u.unit == 0 && (u.name != "d" || d.Duration > 48*time.Hour) {
			return strconv.FormatInt(int64(d.Duration/u.unit), 10) + u.name
		}
	}
	return d.Duration.String()
}

var sizeForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})(B|KiB|MiB|GiB)?$`)

func parseBytes(into *int64, text string) *fault {
	form := sizeForm.FindStringSubmatch(text)
	if form == nil {
		hint := "write bytes, or a whole number with KiB, MiB or GiB: 512, 64KiB, 10MiB"
		return faulty(hint, "%q is no size", text)
	}
	shift := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[form[2]]
	n, err := strconv.ParseInt(form[1], 10, 64)
	if err != nil || n > (1<<63-1)>>shift {
		return faulty("write a smaller one", "the size %s is too large", text)
	}
	*into = n << shift
	return nil
}

// String writes the size as the file does.
func (s Size) String() string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if s > 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatInt(int64(s)>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func parseLimit(into *limit.Limit, text string) *fault {
	parsed, err := limit.ParseLimit(text)
	if err != nil {
		return limitFault(err)
	}
	*into = parsed
	return nil
}

// check tells what the tags refuse of a value that could be read. A zero value
// that the file did not write is not checked.
func (s setting) check(v reflect.Value) *fault {
	if s.enum != nil {
		if f := s.checkEnum(v); f != nil {
			return f
		}
	}
	if s.pattern != "" {
		if f := s.checkPattern(v); f != nil {
			return f
		}
	}
	if s.least != "" || s.top != "" {
		return s.checkBounds(v)
	}
	return nil
}

// texts returns the texts of a value: itself, its elements, or a map's values.
func texts(v reflect.Value) []string {
	switch v.Kind() {
	case reflect.String:
		return []string{v.String()}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			list := make([]string, v.Len())
			for i := range list {
				list[i] = v.Index(i).String()
			}
			return list
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String {
			var list []string
			for it := v.MapRange(); it.Next(); {
				list = append(list, it.Value().String())
			}
			slices.Sort(list)
			return list
		}
	}
	return nil
}

func (s setting) checkEnum(v reflect.Value) *fault {
	for _, text := range texts(v) {
		if !slices.Contains(s.enum, text) {
			return faulty(cmp.Or(s.hint, didYouMean(text, s.enum, "choose one of them")), "%q is not accepted here", text)
		}
	}
	return nil
}

func (s setting) checkPattern(v reflect.Value) *fault {
	form := regexp.MustCompile(s.pattern) // small, and only at start; see the tests
	for _, text := range texts(v) {
		if !form.MatchString(text) {
			return faulty(cmp.Or(s.hint, s.doc), "%q has not the form that is wanted here", text)
		}
	}
	return nil
}

// checkBounds compares with bounds that are written as the value itself is; the
// bounds of a text are those of its length in characters.
func (s setting) checkBounds(v reflect.Value) *fault {
	if v.Kind() == reflect.String {
		return s.checkLength(v.String())
	}
	value := number(v)
	least, top := s.bound(v.Type(), s.least), s.bound(v.Type(), s.top)
	switch {
	case s.least != "" && value < least && s.top == "":
		return faulty("write at least "+s.least, "%s is too small", written(v))
	case s.least != "" && value < least:
		return faulty(fmt.Sprintf("write %s to %s", s.least, s.top), "%s is too small", written(v))
	case s.top != "" && value > top && s.least == "":
		return faulty("write at most "+s.top, "%s is too large", written(v))
	case s.top != "" && value > top:
		return faulty(fmt.Sprintf("write %s to %s", s.least, s.top), "%s is too large", written(v))
	}
	return nil
}

func (s setting) checkLength(text string) *fault {
	n := utf8.RuneCountInString(strings.TrimSpace(text))
	least, _ := strconv.Atoi(s.least) // empty: no bound
	top, err := strconv.Atoi(s.top)
	if n < least {
		return faulty(fmt.Sprintf("write at least %d characters", least), "%q is too short", text)
	}
	if err == nil && n > top {
		return faulty(fmt.Sprintf("write at most %d characters", top), "%d characters are too many", n)
	}
	return nil
}

// bound reads a bound as a value of the type; a bound that cannot be read is ours.
func (s setting) bound(t reflect.Type, text string) int64 {
	if text == "" {
		return 0
	}
	v := reflect.New(t).Elem()
	if s.bytes {
		var n int64
		if f := parseBytes(&n, text); f != nil {
			panic(fmt.Sprintf("the bound %q of %s: %v", text, s.name, f))
		}
		return n
	}
	if f := parseInto(v, text); f != nil {
		panic(fmt.Sprintf("the bound %q of %s: %v", text, s.name, f))
	}
	return number(v)
}

// number is what bounds are compared by.
func number(v reflect.Value) int64 {
	if d, ok := v.Interface().(Duration); ok {
		return int64(d.Duration)
	}
	return v.Int()
}

// written writes a value as the file does.
func written(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return Duration{value}.String()
	case fmt.Stringer:
		return value.String()
	}
	return fmt.Sprint(v.Interface())
}

func limitFault(err error) *fault {
	if wrong, ok := errors.AsType[*limit.SyntaxError](err); ok {
		return &fault{wrong.Message, wrong.Hint}
	}
	return &fault{err.Error(), "write for example 600/minute per client"}
}
