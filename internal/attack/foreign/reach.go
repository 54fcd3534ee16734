package foreign

import (
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// reaching names addresses where the service may fetch them, or send callers there.
func (p *planner) reaching() {
	when := func(o *operation) bool { return o.method != "DELETE" && len(o.parameters)+len(o.media) > 0 }
	p.withGood("ssrf", when, func(t *try, o *operation, g *good) error { return t.everySlot(o, g, (*try).fetches) })
	p.withGood("open-redirect", when, func(t *try, o *operation, g *good) error { return t.everySlot(o, g, (*try).redirects) })
}

// isAddress reports whether a value is one that may be called.
func isAddress(s slot) bool {
	w := words(s.name[strings.LastIndexByte(s.name, '.')+1:])
	for _, name := range []string{"url", "uri", "callback", "webhook", "endpoint", "href", "link", "next", "redirect", "return", "return_to", "continue", "target", "dest", "destination", "image", "feed", "proxy", "host", "site"} {
		if w == name || strings.HasSuffix(w, "_"+name) {
			return true
		}
	}
	format := text(s.schema["format"])
	return format == "uri" || format == "url" || strings.HasPrefix(s.value, "http://") || strings.HasPrefix(s.value, "https://")
}

// fetches looks for an answer that holds what stands at an address: at the target itself, or at what
// clouds tell their machines. An address of ours is named, too, where there is one.
func (t *try) fetches(o *operation, g *good, s slot) (bool, error) {
	if !isAddress(s) {
		return false, nil
	}
	base := t.s.Prober().Scope().Base()
	own, page, err := t.pageOfItsOwn(o)
	if err != nil {
		return false, err
	}
	if page != "" {
		fetched, err := t.with(g, s, base.Scheme+"://"+base.Host+own)
		if err != nil {
			return false, err
		}
		control, err := t.with(g, s, base.Scheme+"://"+base.Host+"/"+nonsense())
		if err != nil {
			return false, err
		}
		if page = plainly(page); strings.Contains(plainly(string(fetched.Body)), page) && !strings.Contains(plainly(string(control.Body)), page) {
			t.found(o, fetched, "it answers %d with what stands at %s, named in %s", fetched.Status, own, s)
			return true, nil
		}
	}
	return t.connects(o, g, s)
}

// plainly is a text without what changes when it is quoted.
func plainly(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"'\\ \t\r\n", r) {
			return -1
		}
		return r
	}, text)
}

// connects looks for what is said of an address where nobody listens, and not of a text that is none;
// and for what clouds tell their machines.
func (t *try) connects(o *operation, g *good, s slot) (bool, error) {
	found, err := t.connectsTo(o, "", s.String(), "pavise-attack:no-address", func(address string) (*attack.Answer, error) { return t.with(g, s, address) })
	if found || err != nil {
		return found, err
	}
	a, err := t.with(g, s, "http://169.254.169.254/latest/meta-data/")
	if err != nil {
		return false, err
	}
	if body := string(a.Body); strings.Contains(body, "ami-id") && strings.Contains(body, "instance-id") {
		t.found(o, a, "it answers %d with what a cloud tells its machines, at the address in %s", a.Status, s)
		return true, nil
	}
	return false, nil
}

// pageOfItsOwn is a path of the target that answers anybody, with a text that stands in its answer and
// not in the operation's own.
func (t *try) pageOfItsOwn(o *operation) (path, page string, err error) {
	paths := []string{"/", "/robots.txt", "/favicon.ico"}
	for _, other := range t.w.ops {
		if other.method == "GET" && !strings.Contains(other.path, "{") && other != o && len(paths) < 12 {
			paths = append(paths, other.path)
		}
	}
	for _, path := range paths {
		a, err := t.get(nil, path)
		if err != nil {
			return "", "", err
		}
		if text := strings.TrimSpace(string(a.Body)); ok(a) && len(plainly(text)) >= 12 && len(text) < 8<<10 {
			return path, text, nil
		}
	}
	return "", "", nil
}

func (t *try) redirects(o *operation, g *good, s slot) (bool, error) {
	if !isAddress(s) {
		return false, nil
	}
	for _, address := range []string{"https://pavise-attack.example/", "//pavise-attack.example/", `/\pavise-attack.example/`, "https:pavise-attack.example"} {
		a, err := t.with(g, s, address)
		if err != nil {
			return false, err
		}
		if a.Status < 300 || a.Status > 399 || !leadsTo(a, "pavise-attack.example") {
			continue
		}
		again, err := t.with(g, s, address)
		if err == nil && leadsTo(again, "pavise-attack.example") {
			t.found(o, again, "it answers %d and leads to %s, named in %s", again.Status, address, s)
			return true, nil
		}
		return false, err
	}
	return false, nil
}

// leadsTo reports whether a browser would go to a host.
func leadsTo(a *attack.Answer, host string) bool {
	location := strings.ReplaceAll(a.Header.Get("Location"), `\`, "/")
	u, err := url.Parse(location)
	return err == nil && (u.Host == host || slices.Contains([]string{"http", "https"}, u.Scheme) && strings.HasPrefix(u.Opaque, host))
}
