package crs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Rules that may be taken away: those before begin a request, those after decide about it.
const (
	firstRule = 911000
	lastRule  = 948999
)

// Validate reports what is wrong with an exception.
func (e Exception) Validate() error { return e.write(func(string, ...any) {}) }

// write writes the directives of an exception.
func (e Exception) write(line func(string, ...any)) error {
	if len(e.Rules) == 0 {
		return errors.New("an exception names its rules")
	}
	targets, err := targetsOf(e.Field)
	if err != nil {
		return err
	}
	known, err := ruleNumbers()
	if err != nil {
		return err
	}
	for _, id := range e.Rules {
		switch {
		case id < firstRule || id > lastRule:
			return fmt.Errorf("rule %d: rules that may be taken away are %d to %d", id, firstRule, lastRule)
		case slices.Contains(SwitchedOff(), id):
			return fmt.Errorf("rule %d is switched off anyway", id)
		case !known[id]:
			return fmt.Errorf("there is no rule %d", id)
		case e.Field == "":
			line("SecRuleRemoveById %d", id)
		}
		for _, target := range targets {
			line("SecRuleUpdateTargetById %d \"%s\"", id, target)
		}
	}
	return nil
}

// ruleNumbers are the numbers of all rules that look at requests.
func ruleNumbers() (map[int]bool, error) {
	known := map[int]bool{}
	number := regexp.MustCompile(`\bid:(\d+),`)
	for _, name := range included() {
		text, err := ruleFiles{}.ReadFile(ruleFile(name))
		if err != nil {
			return nil, fmt.Errorf("read the rules: %w", err)
		}
		for _, m := range number.FindAllSubmatch(text, -1) {
			id, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return nil, fmt.Errorf("read the rules: %w", err)
			}
			known[id] = true
		}
	}
	return known, nil
}

// maxField is the longest name of a field, in bytes.
const maxField = 256

// targetsOf are the variables of the rules in which a field stands.
func targetsOf(field string) ([]string, error) {
	in, pointer, _ := strings.Cut(field, " ")
	if len(field) > maxField {
		return nil, errors.New("the name of the field is too long")
	}
	whole := map[string][]string{
		"": nil, "path": {"REQUEST_FILENAME", "REQUEST_BASENAME", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_LINE"},
		"query": {"QUERY_STRING", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_LINE"}, "body": {"REQUEST_BODY"},
	}
	if pointer == "" {
		variables, ok := whole[in]
		if !ok || strings.Contains(field, " ") {
			return nil, notAField(field)
		}
		if in == "body" { // a text, XML, or a value that is in no object
			variables = append([]string{"XML:/*", "XML://@*"}, variables...)
			return append(excepted(variables, ""), excepted([]string{"ARGS", "ARGS_NAMES"}, "^(?:"+rootName+"|"+textName+")$")...), nil
		}
		return excepted(variables, ""), nil
	}
	segments, err := splitPointer(pointer)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", field, err)
	}
	switch {
	case in == "body":
		return excepted([]string{"ARGS", "ARGS_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "FILES", "FILES_NAMES", "MULTIPART_PART_HEADERS"}, bodySelector(segments)), nil
	case len(segments) != 1:
	case in == "query":
		return excepted([]string{"ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_GET_NAMES"}, selector(segments)), nil
	case in == "path":
		return excepted([]string{"ARGS"}, "^"+quoted(pathName+segments[0])+"$"), nil
	case in == "header":
		return excepted([]string{"REQUEST_HEADERS", "REQUEST_HEADERS_NAMES"}, selector(segments)), nil
	case in == "cookie":
		return excepted([]string{"REQUEST_COOKIES", "REQUEST_COOKIES_NAMES"}, selector(segments)), nil
	}
	return nil, notAField(field)
}

func notAField(field string) error {
	return fmt.Errorf("field %q: write it as a refusal names it: body /comment, query /q, header /Referer, cookie /id, path /name", field)
}

// excepted are targets that a rule no longer looks at.
func excepted(variables []string, selector string) []string {
	targets := make([]string, 0, len(variables))
	for _, v := range variables {
		if selector != "" {
			v += ":/" + selector + "/"
		}
		targets = append(targets, "!"+v)
	}
	return targets
}

// splitPointer takes a JSON pointer apart (RFC 6901).
func splitPointer(pointer string) ([]string, error) {
	rest, ok := strings.CutPrefix(pointer, "/")
	if !ok || strings.ContainsFunc(pointer, func(c rune) bool { return unicode.IsControl(c) || c == unicode.ReplacementChar }) {
		return nil, errors.New("a pointer begins with / and has no control characters")
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return segments, nil
}

// bodySelector selects a field of a form, or one of a JSON body. A * stands for any one name or place in a list, ** at the
// end for all that is below.
func bodySelector(segments []string) string {
	inJSON := rootName
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1:
			inJSON += `\x2e.+`
		case s == "*":
			inJSON += `\x2e[^\x2e]+`
		default:
			inJSON += `\x2e` + quoted(s)
		}
	}
	if len(segments) > 1 {
		return "^" + inJSON + "$"
	}
	return "^(?:" + inJSON + "|" + formName(segments[0]) + ")$"
}

// formName selects a field of a form.
func formName(segment string) string {
	if segment == "*" || segment == "**" {
		return ".+"
	}
	return quoted(segment)
}

func selector(segments []string) string { return "^" + quoted(segments[0]) + "$" }

// quoted writes a name for an expression that the engine cuts at many signs. It compares names in lower case.
func quoted(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			b.WriteRune(c)
			continue
		}
		b.WriteString(`\x{` + strconv.FormatInt(int64(c), 16) + `}`)
	}
	return b.String()
}
