package foreign

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// injection puts into each value what would be more than a value. Where it succeeds it changes
// nothing: conditions are only added with AND where something is written.
func (p *planner) injection() {
	for _, family := range []struct {
		rule string
		f    func(*try, *operation, *good, slot) (bool, error)
	}{
		{"sql-injection", (*try).sql},
		{"nosql-injection", (*try).nosql},
		{"command-injection", (*try).commands},
		{"template-injection", (*try).templates},
		{"path-traversal", (*try).traversal},
		{"reflected-script", (*try).script},
		{"header-injection", (*try).splitting},
	} {
		p.withGood(family.rule, func(o *operation) bool { return o.method != "DELETE" && len(o.parameters)+len(o.media) > 0 }, func(t *try, o *operation, g *good) error {
			return t.everySlot(o, g, family.f)
		})
	}
	p.splittingAnywhere()
}

// maxSlots is how many values of one operation are tried.
const maxSlots = 40

func (t *try) everySlot(o *operation, g *good, f func(*try, *operation, *good, slot) (bool, error)) error {
	all := g.d.slots()
	for _, one := range all[:min(len(all), maxSlots)] {
		if one.in == "header" && strings.EqualFold(one.name, "Idempotency-Key") {
			continue
		}
		if _, err := f(t, o, g, one); err != nil {
			if t.ctx.Err() != nil || t.refused != nil || t.over != nil {
				return err
			}
			continue // a value that cannot be sent there
		}
	}
	return nil
}

// with sends a request with another value.
func (t *try) with(g *good, s slot, v any) (*attack.Answer, error) {
	d := g.d.clone()
	s.set(d, v)
	return t.send(t.w.caller(), d)
}

// sql looks for values that are part of a query: by what the database says of a lone quote, and by
// conditions that are true and false.
func (t *try) sql(o *operation, g *good, s slot) (bool, error) {
	base, err := t.with(g, s, s.value)
	if err != nil {
		return false, err
	}
	quote, err := t.with(g, s, s.value+"'")
	if err != nil {
		return false, err
	}
	forms := t.w.forms.database
	if forms.Match(beginning(quote)) && !forms.Match(beginning(base)) {
		whole, err := t.with(g, s, s.value+"''")
		if err != nil {
			return false, err
		}
		if !forms.Match(beginning(whole)) {
			t.w.injected[o.String()] = true
			t.found(o, quote, "it answers %d with what a database says to a quote in %s, and not to two", quote.Status, s)
			return true, nil
		}
	}
	return t.conditions(o, g, s, base)
}

// condition is a pair of values: with the true one a query finds what it finds with the good one,
// with the false one it does not.
type condition struct{ yes, no string }

func (t *try) conditions(o *operation, g *good, s slot, base *attack.Answer) (bool, error) {
	v := s.value
	tries := []condition{
		{v + "' AND '71'='71", v + "' AND '71'='72"}, {v + "' AND 71=71 -- ", v + "' AND 71=72 -- "}, {v + " AND 71=71", v + " AND 71=72"}, {v + "') AND ('71'='71", v + "') AND ('71'='72"},
	}
	for _, c := range tries {
		found, err := t.differs(o, g, s, base, c, v)
		if found || err != nil {
			return found, err
		}
	}
	if !o.isSafe() {
		return false, nil // OR would match, and change, everything
	}
	none := nonsense()
	empty, err := t.with(g, s, none)
	if err != nil {
		return false, err
	}
	for _, c := range []condition{{none + "' OR '71'='71", none + "' OR '71'='72"}, {none + "' OR 71=71 -- ", none + "' OR 71=72 -- "}} {
		// Here the false one finds what nonsense finds: nothing. The true one finds more.
		found, err := t.differs(o, g, s, empty, condition{c.no, c.yes}, none)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// rounds is how often a difference is seen before it is told: where several machines answer, each a little
// otherwise, two answers differ by chance.
const rounds = 6

// differs reports whether one value is answered like the base, and the other is not, each time, while what
// the base is stays the same.
func (t *try) differs(o *operation, g *good, s slot, base *attack.Answer, c condition, value string) (bool, error) {
	base = without(base, value)
	var shown *attack.Answer
	for round := range rounds {
		yes, err := t.with(g, s, c.yes)
		if err != nil || !alike(without(yes, c.yes, value), base) {
			return false, err
		}
		no, err := t.with(g, s, c.no)
		if err != nil || alike(without(no, c.no, value), base) || no.Status == 400 || no.Status == 422 || no.Status >= 500 {
			return false, err
		}
		if round > 0 && !alike(without(no, c.no, value), without(shown, c.no, value)) {
			return false, nil // it is otherwise each time
		}
		shown = no
		same, err := t.with(g, s, value)
		if err != nil || !alike(without(same, value), base) {
			return false, err
		}
	}
	// What looks like the condition, and is none, is not answered like the one that finds.
	finds := base
	if strings.Contains(c.yes, " OR ") {
		finds = without(shown, c.no, value)
	}
	near := strings.NewReplacer(" AND ", " AXD ", " OR ", " OXR ", "71'='72", "71'='71", "71=72", "71=71").Replace(c.yes)
	other, err := t.with(g, s, near)
	if err != nil || alike(without(other, near, value), finds) {
		return false, err
	}
	t.found(o, shown, "it answers %d to %q and otherwise to %q in %s: the condition is carried out", shown.Status, c.no, c.yes, s)
	return true, nil
}

// nosql puts operators in the place of a value.
func (t *try) nosql(o *operation, g *good, s slot) (bool, error) {
	if s.in != "query" && s.in != "body" || s.in == "body" && !isJSONType(o.media) {
		return false, nil
	}
	none := nonsense()
	operated := func(operator string) (*attack.Answer, error) {
		if s.in == "body" {
			return t.with(g, s, map[string]any{operator: none})
		}
		d := g.d.clone()
		d.query = slices.DeleteFunc(d.query, func(p pair) bool { return p.name == s.name })
		d.query = append(d.query, pair{s.name + "[" + operator + "]", none})
		return t.send(t.w.caller(), d)
	}
	nothing, err := t.with(g, s, none)
	if err != nil {
		return false, err
	}
	var shown *attack.Answer
	for range rounds {
		all, err := operated("$ne")
		if err != nil || !ok(all) || alike(without(all, none), without(nothing, none)) {
			return false, err
		}
		same, err := operated("$eq")
		if err != nil || !alike(without(same, none), without(nothing, none)) {
			return false, err
		}
		unknown, err := operated("$pavise")
		if err != nil || alike(without(unknown, none), without(all, none)) {
			return false, err // it is left out
		}
		if again, err := t.with(g, s, none); err != nil || !alike(without(again, none), without(nothing, none)) {
			return false, err
		}
		shown = all
	}
	t.found(o, shown, "it answers %d to the operator $ne in %s, and finds nothing with $eq", shown.Status, s)
	return true, nil
}

// sum is something to reckon: what is sent does not hold what comes back.
type sum struct{ a, b int }

func (s sum) text() string   { return fmt.Sprintf("%d*%d", s.a, s.b) }
func (s sum) result() string { return fmt.Sprint(s.a * s.b) }

func sums() []sum { return []sum{{7331, 7919}, {6151, 8123}} }

// reckons sends two sums in a form, and reports whether both come back.
func (t *try) reckons(g *good, s slot, form func(sum) string) (*attack.Answer, error) {
	var shown *attack.Answer
	for _, one := range sums() {
		a, err := t.with(g, s, form(one))
		if err != nil || !strings.Contains(string(a.Body), one.result()) {
			return nil, err
		}
		shown = a
	}
	return shown, nil
}

func (t *try) commands(o *operation, g *good, s slot) (bool, error) {
	for _, frame := range []string{";expr %s", "|expr %s", "$(expr %s)", "`expr %s`", "\nexpr %s\n", "&& expr %s", "';expr %s;'", "\";expr %s;\"", "& set /a %s &"} {
		form := func(n sum) string {
			return s.value + fmt.Sprintf(frame, fmt.Sprintf(`%d \* %d`, n.a, n.b))
		}
		if strings.Contains(frame, "set /a") {
			form = func(n sum) string { return s.value + fmt.Sprintf(frame, n.text()) }
		}
		a, err := t.reckons(g, s, form)
		if err != nil {
			return false, err
		}
		if a != nil {
			t.found(o, a, "it answers %d with the product that a shell was asked for in %s", a.Status, s)
			return true, nil
		}
	}
	return false, nil
}

func (t *try) templates(o *operation, g *good, s slot) (bool, error) {
	for _, frame := range []string{"{{%s}}", "${%s}", "#{%s}", "<%%= %s %%>", "{%s}", "@(%s)", "[[${%s}]]", "*{%s}"} {
		a, err := t.reckons(g, s, func(n sum) string { return s.value + fmt.Sprintf(frame, n.text()) })
		if err != nil {
			return false, err
		}
		if a != nil {
			t.found(o, a, "it answers %d with the product that %s asks for in %s", a.Status, fmt.Sprintf(frame, sums()[1].text()), s)
			return true, nil
		}
	}
	return false, nil
}

func (t *try) traversal(o *operation, g *good, s slot) (bool, error) {
	forms := t.w.forms.files
	if forms.Match(beginning(g.a)) {
		return false, nil
	}
	up := strings.Repeat("../", 10)
	for _, path := range []string{
		up + "etc/passwd", "/etc/passwd", "file:///etc/passwd", strings.Repeat("....//", 10) + "etc/passwd", strings.Repeat("..%2f", 10) + "etc%2fpasswd", up + "etc/passwd\x00.txt", s.value + "/" + up + "etc/passwd",
		strings.Repeat(`..\`, 10) + `windows\win.ini`, `C:\windows\win.ini`,
	} {
		a, err := t.with(g, s, path)
		if err != nil || !forms.Match(beginning(a)) {
			if err != nil && t.ctx.Err() != nil {
				return false, err
			}
			continue
		}
		control, err := t.with(g, s, strings.Replace(strings.Replace(path, "passwd", "pavise", 1), "win.ini", "pavise", 1))
		if err != nil || forms.Match(beginning(control)) {
			return false, err
		}
		t.found(o, a, "it answers %d with the machine's file %q, named in %s", a.Status, path, s)
		return true, nil
	}
	return false, nil
}

// script looks for a value that is repeated as it is, where a browser runs it.
func (t *try) script(o *operation, g *good, s slot) (bool, error) {
	if o.method != "GET" {
		return false, nil // nobody is made to follow that
	}
	mark := nonsense()
	sent := mark + `<svg/onload=x>"'`
	a, err := t.with(g, s, sent)
	if err != nil {
		return false, err
	}
	media := typeOf(a)
	if media != "text/html" && media != "application/xhtml+xml" && media != "image/svg+xml" || !strings.Contains(string(a.Body), mark+"<svg/onload=x>") {
		return false, nil
	}
	again, err := t.with(g, s, sent)
	if err != nil || !strings.Contains(string(again.Body), mark+"<svg/onload=x>") {
		return false, err
	}
	t.found(o, again, "it answers %d with a page that holds %s as it was sent", again.Status, s)
	return true, nil
}

// lineEnds are what a line of a head may end with where a value gets into it: as they are, escaped once more
// for whoever decodes twice, and as letters whose lower half they are.
func lineEnds() []string { return []string{"\r\n", "\n", "\r", "%0d%0a", "%0a", "\u560d\u560a"} }

// splitting looks for a value that becomes a header of its own. A header of the request cannot hold an end of
// a line as it is.
func (t *try) splitting(o *operation, g *good, s slot) (bool, error) {
	for _, end := range lineEnds() {
		if s.in == "header" && strings.ContainsAny(end, "\r\n") {
			continue
		}
		found, err := t.splits(o, s.String(), end, func(more string) (*attack.Answer, error) { return t.with(g, s, s.value+more) })
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// splits sends an end of a line with a header behind it, twice, and reports whether that comes back as one.
func (t *try) splits(o *operation, where, end string, send func(more string) (*attack.Answer, error)) (bool, error) {
	var shown *attack.Answer
	for range 2 {
		mark := nonsense()
		a, err := send(end + "X-Pavise-Attack: " + mark)
		if err != nil || strings.TrimSpace(a.Header.Get("X-Pavise-Attack")) != mark {
			return false, err
		}
		shown = a
	}
	t.found(o, shown, "it answers %d with a header that stood in %s, as %s", shown.Status, where, url.QueryEscape(end))
	return true, nil
}

// repeatedHeaders are headers of requests that services repeat, or build addresses of, without
// declaring them.
func repeatedHeaders() []string {
	return []string{"X-Request-Id", "X-Correlation-Id", "Traceparent", "Origin", "Referer", "X-Forwarded-Host", "Accept-Language"}
}

// splittingAnywhere looks for headers of the request, and paths, that become part of the answer's head.
func (p *planner) splittingAnywhere() {
	p.named("by headers", func() {
		p.withGood("header-injection", func(o *operation) bool { return o.method == "GET" }, (*try).splittingHeaders)
	})
	p.add("header-injection", "by the path", 0, (*try).splittingPath)
}

func (t *try) splittingHeaders(o *operation, g *good) error {
	for _, name := range repeatedHeaders() {
		for _, end := range lineEnds() {
			if strings.ContainsAny(end, "\r\n") {
				continue
			}
			found, err := t.splits(o, "the header "+name, end, func(more string) (*attack.Answer, error) {
				d := g.d.clone()
				d.header.Set(name, "pavise"+more)
				return t.send(t.w.caller(), d)
			})
			if found || err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *try) splittingPath() error {
	anywhere := &operation{method: "GET", path: "/"}
	for _, before := range []string{"/", "/pavise/", t.aPath() + "/"} {
		for _, end := range []string{"%0d%0a", "%0a", "%0d", "%250d%250a", "%E5%98%8D%E5%98%8A"} {
			found, err := t.splits(anywhere, "the path", end, func(more string) (*attack.Answer, error) {
				return t.get(nil, before+strings.ReplaceAll(more, ": ", ":%20"))
			})
			if found || err != nil {
				return err
			}
		}
	}
	return nil
}

// aPath is one of the document's that has no names of objects.
func (t *try) aPath() string {
	for _, o := range t.w.ops {
		if o.method == "GET" && !strings.Contains(o.path, "{") {
			return strings.TrimSuffix(o.path, "/")
		}
	}
	return ""
}
