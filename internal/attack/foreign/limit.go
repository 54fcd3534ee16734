package foreign

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/shell"
)

// floods asks for much, and often: only where that is allowed, and last.
func (p *planner) floods() {
	for _, o := range p.w.ops {
		if o.method == "GET" {
			p.add("page-size", o.String(), attack.Floods, func(t *try) error { return t.pages(o) })
		}
		if o.media != "" && o.method != "DELETE" && isJSONType(o.media) {
			p.add("body-size", o.String(), attack.Floods|demand(o), func(t *try) error { return t.large(o) })
		}
		if guesses(o) != "" {
			p.add("no-guess-limit", o.String(), attack.Floods|demand(o), func(t *try) error { return t.guess(o) })
		}
	}
	p.add("no-rate-limit", "burst", attack.Floods, (*try).flood)
}

// isPageSize reports whether a parameter says how much is asked for.
func isPageSize(name string) bool {
	return slices.Contains([]string{"limit", "per_page", "page_size", "pagesize", "size", "count", "top", "first", "max_results", "batch_size"}, words(name))
}

// tooMany is how many entries of one page are too many.
const tooMany = 1000

func (t *try) pages(o *operation) error {
	g, err := t.good(o, t.w.caller())
	if err != nil {
		return t.orUntried(err)
	}
	for _, s := range g.d.slots() {
		if s.in != "query" || !isPageSize(s.name) {
			continue
		}
		a, err := t.with(g, s, "100000")
		if err != nil {
			return err
		}
		entries := strings.Count(string(a.Body), "{") // also of an answer that is too large to be read whole
		if few := strings.Count(string(g.a.Body), "{"); ok(a) && entries > tooMany && entries > few {
			t.found(o, a, "it answers %d with %d entries and more to %s=100000", a.Status, tooMany, s.name)
			return nil
		}
	}
	return nil
}

// tooLarge is a body that hardly any operation needs, in bytes.
const tooLarge = 12 << 20

func (t *try) large(o *operation) error {
	g, err := t.good(o, t.w.caller())
	if err != nil {
		return t.orUntried(err)
	}
	if parsed, err := t.parses(g, o.media); err != nil || !parsed {
		return err
	}
	content, err := t.w.content(g.d)
	if err != nil || !strings.HasSuffix(string(content), "}") || len(content) < 3 {
		return err
	}
	// Blanks between values: what is read is the same as before.
	d := g.d.clone()
	d.text = slices.Concat(content[:1], bytes.Repeat([]byte(" "), tooLarge), content[1:])
	a, err := t.send(t.w.caller(), d)
	if err != nil || !ok(a) {
		return t.ctx.Err()
	}
	bare := a.Request.Clone(t.ctx)
	bare.GetBody = nil
	fill := fmt.Sprintf("(printf '{'; head -c %d /dev/zero | tr '\\0' ' '; printf %%s %s)", tooLarge, shell.Quoted(string(content[1:])))
	t.s.FoundBy(o.String(), fill+" | "+attack.Curl(bare)+" --data-binary @-", "it answers %d to a body of %d MiB", a.Status, tooLarge>>20)
	return nil
}

// guesses names the property that an operation takes a password in.
func guesses(o *operation) string {
	if o.method != "POST" || o.body == nil {
		return ""
	}
	properties, _ := o.body["properties"].(map[string]any)
	for name := range properties {
		if slices.Contains([]string{"password", "passwd", "pin", "otp", "code", "passcode"}, words(name)) {
			return name
		}
	}
	return ""
}

// tries are how many wrong passwords are too many.
const tries = 30

func (t *try) guess(o *operation) error {
	d, _ := t.draft(o, nil, 0)
	name := guesses(o)
	var last *attack.Answer
	for range tries {
		tried := d.clone()
		put(tried.body, []string{name}, nonsense())
		r, err := t.w.request(t.ctx, t.s, tried)
		if err != nil {
			return err
		}
		a, err := t.s.Send(attack.Nobody(), r)
		if err != nil {
			return err
		}
		if a.Status != http.StatusUnauthorized && a.Status != http.StatusForbidden && a.Status != http.StatusBadRequest && a.Status != http.StatusUnprocessableEntity || last != nil && a.Status != last.Status {
			return nil // it slows down, locks, or is something else
		}
		last = a
	}
	if told, err := t.toldOfPassword(d, name, last); err != nil || !told {
		return err
	}
	t.found(o, last, "it answers %d to each of %d wrong passwords", last.Status, tries)
	return nil
}

// toldOfPassword reports whether an answer is about the password: 400 and 422 may be about anything else of
// the request, and then say the same without one.
func (t *try) toldOfPassword(d *draft, name string, last *attack.Answer) (bool, error) {
	if last.Status == http.StatusUnauthorized || last.Status == http.StatusForbidden {
		return true, nil
	}
	without := d.clone()
	object, isObject := without.body.(map[string]any)
	if !isObject {
		return false, nil
	}
	delete(object, name)
	a, err := t.send(nil, without)
	return err == nil && !alike(a, last), err
}

// burst is how many requests are sent at once, and width how many of them at a time.
const burst, width = 300, 20

func (t *try) flood() error {
	for _, o := range t.w.ops {
		if o.method != "GET" || o.isAdministrative() {
			continue
		}
		g, err := t.good(o, t.w.caller())
		if err != nil {
			continue
		}
		requests := make([]*http.Request, 0, burst)
		for range burst {
			r, err := t.w.request(t.ctx, t.s, g.d)
			if err != nil {
				return err
			}
			if u := t.w.caller(); u != nil {
				if err := t.s.As(u, r); err != nil {
					return err
				}
			}
			requests = append(requests, r)
		}
		answers := t.s.Prober().Burst(requests, width)
		if len(answers) == burst && !slices.ContainsFunc(answers, func(a *attack.Answer) bool { return !ok(a) }) {
			t.found(o, answers[0], "it answers %d to each of %d requests at once, without 429", answers[0].Status, burst)
		}
		return t.ctx.Err()
	}
	return attack.ErrNotHere
}
