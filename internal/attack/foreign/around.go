package foreign

import "strings"

// around goes around the check of the credential: by another method, another spelling of the
// path, or a header that something trusts.
func (p *planner) around() {
	when := func(o *operation) bool { return o.protected && o.method == "GET" && len(p.w.users) > 0 }
	p.each("authentication-by-method", when, (*try).aroundByMethod)
	p.each("authentication-by-path", when, (*try).aroundByPath)
	p.each("trusted-header", when, (*try).aroundByHeader)
}

// aroundByMethod asks with methods that answer what GET answers.
func (t *try) aroundByMethod(o *operation) error {
	g, closed, err := t.closed(o, t.w.caller())
	if err != nil || !closed {
		return err
	}
	for _, method := range []string{"HEAD", "GETS", "get"} {
		d := g.d.clone()
		d.method = method
		a, err := t.send(nil, d)
		if err != nil || !ok(a) {
			continue // a method that the client or the server does not know
		}
		d.raw = "/" + nonsense()
		control, err := t.send(nil, d)
		if err != nil || ok(control) {
			continue
		}
		t.found(o, a, "it answers %d to %s without a credential", a.Status, method)
		return nil
	}
	return t.ctx.Err()
}

func (t *try) aroundByPath(o *operation) error {
	g, closed, err := t.closed(o, t.w.caller())
	if err != nil || !closed {
		return err
	}
	path, query, _ := strings.Cut(g.d.target(), "?")
	if query != "" {
		query = "?" + query
	}
	for _, spelt := range spellings(path) {
		d := g.d.clone()
		d.raw = spelt + query
		a, err := t.send(nil, d)
		if err != nil {
			if t.ctx.Err() != nil {
				return err
			}
			continue // no address for a client
		}
		if !tellsOf(a, g.a) {
			continue
		}
		if again, err := t.send(nil, d); err == nil && tellsOf(again, g.a) {
			t.found(o, a, "it answers %d without a credential to the path %s", a.Status, spelt)
			return nil
		}
	}
	return nil
}

// spellings are other ways to write a path.
func spellings(path string) []string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	above := strings.TrimSuffix(path, last)
	all := []string{path + "/", "/" + path, above + "./" + last, above + "x/../" + last, path + ";x=1", path + "%20", path + "%00", path + ".json", path + "/.", path + "%2f", above + "%2e/" + last}
	if upper := strings.ToUpper(path); upper != path {
		all = append(all, upper)
	}
	if last != "" {
		all = append(all, above+"%"+strings.ToUpper(hex(last[0]))+last[1:])
	}
	return all
}

func hex(b byte) string { return string([]byte{"0123456789abcdef"[b>>4], "0123456789abcdef"[b&15]}) }

// aroundByHeader sends what proxies send.
func (t *try) aroundByHeader(o *operation) error {
	u := t.w.caller()
	g, closed, err := t.closed(o, u)
	if err != nil || !closed {
		return err
	}
	asked := func(name, value, raw string) (bool, error) {
		d := g.d.clone()
		d.header.Set(name, value)
		d.raw = raw
		a, err := t.send(nil, d)
		if err != nil || !tellsOf(a, g.a) {
			return false, err
		}
		again, err := t.send(nil, d)
		if err == nil && tellsOf(again, g.a) {
			t.found(o, a, "it answers %d without a credential to %s: %s", a.Status, name, value)
			return true, nil
		}
		return false, err
	}
	for _, h := range [][2]string{
		{"X-Forwarded-For", "127.0.0.1"},
		{"X-Real-IP", "127.0.0.1"},
		{"X-Originating-IP", "127.0.0.1"},
		{"X-Client-IP", "127.0.0.1"},
		{"True-Client-IP", "127.0.0.1"},
		{"Forwarded", "for=127.0.0.1"},
		{"X-Forwarded-Host", "localhost"},
		{"X-Custom-IP-Authorization", "127.0.0.1"},
		{"X-User", nameOf(u)},
		{"X-User-Id", nameOf(u)},
		{"X-Remote-User", nameOf(u)},
		{"Remote-User", nameOf(u)},
		{"X-Authenticated-User", nameOf(u)},
		{"X-Forwarded-User", nameOf(u)},
		{"X-Internal", "true"},
		{"X-Admin", "true"},
		{"X-Debug", "true"},
	} {
		if found, err := asked(h[0], h[1], ""); found || err != nil {
			return err
		}
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL"} {
		if found, err := asked(name, g.d.target(), "/"); found || err != nil {
			return err
		}
	}
	return nil
}
