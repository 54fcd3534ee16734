package hmac

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Judged is what a gateway recorded of a signed request, and what is known of the key.
type Judged struct {
	ID, Algorithm             string // of the key; empty: not known
	Time                      time.Time
	Method, Host, Path, Query string   // as recorded: "*" stands for what is hidden
	Required                  []string // headers that have to be covered
	Window                    time.Duration
	Body                      []byte // that was sent, if somebody has it
	HasBody                   bool
}

// Verdict is how a line of a signed text stands to what the gateway computed.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"
	Differs Verdict = "differs"
	Unknown Verdict = "unknown" // the event does not hold it
)

// Line is one line of a signed text.
type Line struct {
	Name    string  `json:"name"`
	Signed  string  `json:"signed"`
	Gateway string  `json:"gateway,omitempty"` // as far as it is known
	Verdict Verdict `json:"verdict"`
	Note    string  `json:"note,omitempty"`
}

// Comparison is a signed text beside what the gateway computed.
type Comparison struct {
	Lines []Line   `json:"lines"`
	Form  []string `json:"form,omitempty"` // what is wrong with the text as a whole
}

// Differs reports whether anything was found that explains a signature that does not match.
func (c Comparison) Differs() bool {
	return len(c.Form) > 0 || slices.ContainsFunc(c.Lines, func(l Line) bool { return l.Verdict == Differs })
}

// MaxSigned is the longest signed text that is compared, in bytes.
const MaxSigned = 64 << 10

// fixed is how many lines stand before those of the headers.
const fixed = 10

// debugMark stands before the text in what `pavise call --debug` shows.
const debugMark = "signed text:\n"

// Compare shows where what a client signed differs from what the gateway computed. The text may stand
// behind "signed text:", as `pavise call --debug` shows it. No secret is needed, and none is in it.
func Compare(text string, k Judged) (Comparison, error) {
	if len(text) > MaxSigned {
		return Comparison{}, fmt.Errorf("the signed text has %d bytes, at most %d are compared", len(text), MaxSigned)
	}
	var c Comparison
	lines := c.split(text)
	if len(lines) < fixed {
		return c, fmt.Errorf("a signed text has at least %d lines, this has %d: the first is %s, the last the digest of the body (docs/guide/hmac-specification.md)", fixed+1, len(lines), version)
	}
	p := k.parts(lines)
	for i, name := range [...]string{"version", "key", "algorithm", "timestamp", "nonce", "method", "host", "path", "query", "headers"} {
		c.Lines = append(c.Lines, p.line(i, name, lines[i]))
	}
	for i, name := range p.headers {
		c.Lines = append(c.Lines, p.header(name, lines[fixed+i]))
	}
	c.Lines = append(c.Lines, p.body(lines[fixed+len(p.headers)]))
	return c, nil
}

// split cuts a text into its lines, and notes what is wrong with it as a whole.
func (c *Comparison) split(text string) []string {
	wrong := func(format string, args ...any) { c.Form = append(c.Form, fmt.Sprintf(format, args...)) }
	_, shown, isDebug := strings.Cut(text, debugMark)
	if isDebug {
		text = shown
	}
	if strings.Contains(text, "\r\n") {
		wrong("carriage returns before the line feeds: lines end with a line feed alone")
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if trimmed := strings.TrimPrefix(text, "\ufeff"); trimmed != text {
		wrong("a byte order mark before the first line")
		text = trimmed
	}
	if trimmed := strings.TrimLeft(text, "\n"); trimmed != text {
		wrong("a line feed before the first line")
		text = trimmed
	}
	if !strings.Contains(text, "\n") {
		wrong("the lines are joined by nothing: each ends with a line feed")
		return nil
	}
	if !isDebug && !strings.HasSuffix(text, "\n") {
		wrong("no line feed after the last line: the signature covers one")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return c.align(lines, isDebug)
}

// align finds the lines that are missing, so that the others are compared with what they stand for.
func (c *Comparison) align(lines []string, cut bool) []string {
	wrong := func(format string, args ...any) { c.Form = append(c.Form, fmt.Sprintf(format, args...)) }
	if len(lines) > 8 && lines[8] != "" && !strings.HasPrefix(lines[8], "?") && isList(lines, 8) {
		wrong("the query's line is missing: it is empty where there is no query")
		lines = slices.Insert(slices.Clone(lines), 8, "")
	}
	if len(lines) == fixed && isDigest(lines[9]) {
		wrong("an empty line is missing: that of the query where there is none, or of the headers' names where none are covered")
		lines = slices.Insert(slices.Clone(lines), 9, "")
	}
	if len(lines) < fixed {
		return lines
	}
	names := namesOf(lines[9])
	want := fixed + len(names) + 1
	switch {
	case len(lines) < want:
		wrong("%d lines, with %d covered headers there are %d", len(lines), len(names), want)
		for len(lines) < want {
			lines = append(lines, "")
		}
	case len(lines) > want && !cut:
		wrong("%d lines, with %d covered headers there are %d: something follows the digest", len(lines), len(names), want)
	}
	return lines[:want]
}

// isList reports whether the line at i can only be the list of headers: what follows are they.
func isList(lines []string, i int) bool {
	names, err := parseList(lines[i])
	if err != nil || len(lines) < i+2+len(names) {
		return false
	}
	for at, name := range names {
		if !strings.HasPrefix(lines[i+1+at], name+":") {
			return false
		}
	}
	return isDigest(lines[i+1+len(names)])
}

func isDigest(line string) bool {
	_, err := parseDigest(line)
	return err == nil
}

// namesOf are the headers of a list; of one that is malformed, as far as it can be read.
func namesOf(list string) []string {
	if list == "" {
		return nil
	}
	names := strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
	return names[:min(len(names), maxCovered)]
}

// judged is the signed text as the gateway would have it, with the mistakes that explain others.
type judged struct {
	Judged
	parts    // of the client, but for what the gateway knows
	want     []string
	mistakes []variant
}

// parts takes from the client what the event does not hold.
func (k Judged) parts(lines []string) *judged {
	j := &judged{Judged: k}
	names := namesOf(lines[9])
	j.parts = parts{
		claim:  claim{id: lines[1], algorithm: algorithm{name: lines[2]}, timestamp: lines[3], nonce: lines[4], list: lines[9], headers: names},
		method: k.Method, authority: strings.ToLower(k.Host), path: k.Path, digest: lines[fixed+len(names)],
	}
	if k.ID != "" {
		j.id = k.ID
	}
	if k.Algorithm != "" {
		j.algorithm.name = k.Algorithm
	}
	if k.Query != "" {
		j.query = "?" + k.Query
	}
	for i := range names {
		_, value, _ := strings.Cut(lines[fixed+i], ":")
		j.values = append(j.values, value)
	}
	j.want = cut(j.parts)
	r := &http.Request{Host: k.Host, Header: http.Header{}}
	j.mistakes = slices.Concat(pathMistakes(j.parts), queryMistakes(j.parts), hostMistakes(j.parts, r), otherMistakes(j.parts))
	return j
}

// cut are the lines of what is signed.
func cut(p parts) []string {
	return strings.Split(strings.TrimSuffix(string(p.append(nil)), "\n"), "\n")
}

// line compares one of the first lines.
func (j *judged) line(i int, name, signed string) Line {
	l := Line{Name: name, Signed: signed, Gateway: j.want[i], Verdict: Same}
	switch name {
	case "key", "algorithm":
		if j.ID == "" && name == "key" || j.Judged.Algorithm == "" && name == "algorithm" {
			l.Gateway, l.Verdict = "", Unknown
			return l
		}
	case "timestamp":
		return j.timestamp(signed)
	case "nonce":
		l.Gateway, l.Verdict = "", Unknown
		if !isWord(signed, minNonce, maxNonce) {
			l.Verdict, l.Note = Differs, fmt.Sprintf("a nonce is %d to %d of A-Z a-z 0-9 - _", minNonce, maxNonce)
		}
		return l
	case "headers":
		return j.covered(signed)
	}
	if signed == l.Gateway {
		return l
	}
	if hidden := strings.Contains(l.Gateway, "*"); hidden && (name == "path" || name == "query") {
		if l.Verdict, l.Note = compareHidden(signed, l.Gateway); l.Verdict != Differs {
			return l
		}
	} else {
		l.Verdict = Differs
	}
	if note := j.mistake(i, signed); note != "" {
		l.Note = note
	}
	return l
}

// mistake names the usual mistake after which a line is as it was signed.
func (j *judged) mistake(i int, signed string) string {
	for _, v := range j.mistakes {
		if lines := cut(v.parts); i < len(lines) && lines[i] == signed && lines[i] != j.want[i] {
			return "signed with " + v.says
		}
	}
	return ""
}

// timestamp compares the time of the signature with that of the event.
func (j *judged) timestamp(signed string) Line {
	l := Line{Name: "timestamp", Signed: signed, Verdict: Unknown}
	seconds, err := parseSeconds(signed)
	if err != nil {
		l.Verdict, l.Note = Differs, err.Error()
		return l
	}
	if j.Time.IsZero() {
		return l
	}
	window := j.Window
	if window == 0 {
		window = defaultWindow
	}
	age := j.Time.Unix() - seconds
	l.Note = fmt.Sprintf("%d s before the gateway judged it", age)
	if age < 0 {
		l.Note = fmt.Sprintf("%d s after the gateway judged it", -age)
	}
	if age > int64(window/time.Second) || age < -int64(defaultFuture/time.Second) {
		l.Verdict = Differs
		l.Note += ": is this the text of another request, or does the clock go wrong" + clockHint(max(age, -age)) + "?"
	}
	return l
}

// covered judges the list of covered headers.
func (j *judged) covered(signed string) Line {
	l := Line{Name: "headers", Signed: signed, Verdict: Unknown}
	names, err := parseList(signed)
	if err != nil {
		l.Verdict, l.Note = Differs, err.Error()
		if strings.Contains(signed, ",") {
			l.Note += "; names are joined by semicolons"
		}
		return l
	}
	var missing []string
	for _, name := range j.Required {
		if !slices.Contains(names, strings.ToLower(name)) {
			missing = append(missing, strings.ToLower(name))
		}
	}
	if missing != nil {
		l.Verdict, l.Note = Differs, "the configuration demands "+strings.Join(missing, ", ")
	}
	return l
}

// header judges the form of a header's line: the event holds no headers.
func (j *judged) header(name, signed string) Line {
	l := Line{Name: "header " + name, Signed: signed, Verdict: Unknown}
	got, value, ok := strings.Cut(signed, ":")
	switch {
	case !ok:
		l.Verdict, l.Note = Differs, "want "+name+":value"
	case got != name && strings.EqualFold(got, name):
		l.Verdict, l.Note = Differs, "names of headers are in lower case"
	case got != name:
		l.Verdict, l.Note = Differs, "this line is to be of "+name+": headers stand in the order of the list"
	case strings.Trim(value, " \t") != value:
		l.Verdict, l.Note = Differs, "no blank stands before or after the value"
	}
	return l
}

// body compares the digest's line with the body, if somebody has it.
func (j *judged) body(signed string) Line {
	l := Line{Name: "digest", Signed: signed, Verdict: Unknown}
	d, err := parseDigest(signed)
	if err != nil {
		l.Verdict, l.Note = Differs, err.Error()+"; the line is the whole value of Content-Digest"
		return l
	}
	if !j.HasBody {
		l.Note = "the event holds no body: compare its digest with --body @FILE"
		return l
	}
	if d.matches(j.Body) {
		l.Verdict, l.Note = Same, fmt.Sprintf("of the %d bytes that are named", len(j.Body))
		return l
	}
	name := "sha-256"
	if d.sha256 == nil {
		name = "sha-512"
	}
	l.Verdict, l.Note = Differs, fmt.Sprintf("of other bytes than the %d that are named", len(j.Body))
	l.Gateway, _ = digestField(name, j.Body) // the names are known
	for _, v := range bodyMistakes(j.Body) {
		if d.matches(v.content) {
			l.Note = "it is the digest of that body with " + v.says
			break
		}
	}
	return l
}

// compareHidden compares with a recorded path or query of which parts are hidden.
func compareHidden(signed, recorded string) (Verdict, string) {
	cutAt := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == '&' || r == '?' })
	}
	a, b := cutAt(signed), cutAt(recorded)
	if len(a) != len(b) || strings.HasPrefix(recorded, "?") != strings.HasPrefix(signed, "?") {
		return Differs, fmt.Sprintf("%d parts, the gateway saw %d", len(a), len(b))
	}
	for i := range a {
		if !fits(a[i], b[i]) {
			if names(a) == names(b) {
				return Differs, "the same parameters in another order"
			}
			return Differs, fmt.Sprintf("part %d is another one", i+1)
		}
	}
	return Unknown, "the same as far as the event shows it; values are hidden there"
}

// names are those of parameters, sorted.
func names(parts []string) string {
	var all []string
	for _, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, "&")
}

// fits reports whether a part may be what a recorded one hides: "*" hides all, "name=*" the value.
func fits(part, recorded string) bool {
	if part == recorded || recorded == "*" {
		return true
	}
	name, hides := strings.CutSuffix(recorded, "=*")
	return hides && strings.HasPrefix(part, name+"=")
}
