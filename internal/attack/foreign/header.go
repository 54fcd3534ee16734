package foreign

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// headers looks at what good answers say beside their body.
func (p *planner) headers() {
	p.withGood("cors-any-origin", func(o *operation) bool { return o.method == "GET" }, (*try).origins)
	p.withGood("private-answer-cached", func(o *operation) bool { return o.method == "GET" && o.protected && len(p.w.users) > 0 }, (*try).cached)
	p.withGood("content-type", func(o *operation) bool { return o.method == "GET" || o.method == "POST" }, (*try).contentType)
	p.withGood("cookie-flags", anything, (*try).cookies)
	p.answered()
	p.add("version-told", "any answer", 0, (*try).versions)
	p.add("no-hsts", "any answer", 0, (*try).hsts)
}

// origins asks as pages of others would.
func (t *try) origins(o *operation, g *good) error {
	base := t.s.Prober().Scope().Base()
	for _, origin := range []string{"https://pavise-attack.example", "null", base.Scheme + "://" + base.Host + ".pavise-attack.example"} {
		d := g.d.clone()
		d.header.Set("Origin", origin)
		a, err := t.send(t.w.caller(), d)
		if err != nil {
			return err
		}
		if a.Header.Get("Access-Control-Allow-Origin") == origin && strings.EqualFold(a.Header.Get("Access-Control-Allow-Credentials"), "true") {
			t.found(o, a, "it answers %d and lets pages of %s read it with credentials", a.Status, origin)
			return nil
		}
	}
	return nil
}

// cached looks at answers that only the user gets, and that say they may be kept by others. A cache
// keeps what comes with Authorization only where it is told to (RFC 9111 §3.5).
func (t *try) cached(o *operation, g *good) error {
	nobody, err := t.send(nil, g.d)
	if err != nil || ok(nobody) {
		return err
	}
	return t.again(o, g, func(a *attack.Answer) string {
		control := strings.ToLower(strings.Join(a.Header.Values("Cache-Control"), ","))
		credential, err := t.credential(t.w.caller())
		switch {
		case err != nil || strings.Contains(control, "no-store") || strings.Contains(control, "private") || strings.Contains(control, "no-cache"):
			return ""
		case strings.Contains(control, "public") || strings.Contains(control, "s-maxage"):
			return "Cache-Control: " + control
		case credential.Get("Authorization") == "" && credential.Get("Cookie") == "" && len(credential) > 0 && (strings.Contains(control, "max-age") || a.Header.Get("Expires") != ""):
			return "Cache-Control: " + control + ", and no cache knows that the credential is one"
		}
		return ""
	}, "it answers %d to a user alone, with %s")
}

// contentType looks for data that is said to be a page, or nothing.
func (t *try) contentType(o *operation, g *good) error {
	return t.again(o, g, func(a *attack.Answer) string {
		body := strings.TrimSpace(string(a.Body))
		isData := (strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[")) && json.Valid([]byte(body))
		switch {
		case body == "" || a.Cut:
		case typeOf(a) == "" && !strings.EqualFold(a.Header.Get("X-Content-Type-Options"), "nosniff"):
			return "no Content-Type, and without X-Content-Type-Options: nosniff"
		case isData && typeOf(a) == "text/html":
			return "JSON that is said to be text/html"
		}
		return ""
	}, "it answers %d with %s")
}

func (t *try) cookies(o *operation, g *good) error {
	secure := t.s.Prober().Scope().Base().Scheme == "https"
	return t.again(o, g, func(a *attack.Answer) string {
		response := http.Response{Header: a.Header}
		for _, c := range response.Cookies() {
			if !t.w.forms.session.MatchString(c.Name) || c.MaxAge < 0 || c.Value == "" {
				continue
			}
			var lacks []string
			if !c.HttpOnly {
				lacks = append(lacks, "HttpOnly")
			}
			if secure && !c.Secure {
				lacks = append(lacks, "Secure")
			}
			if c.SameSite == 0 || c.SameSite == http.SameSiteNoneMode {
				lacks = append(lacks, "SameSite")
			}
			if len(lacks) > 0 {
				return "the cookie " + c.Name + " without " + strings.Join(lacks, ", ")
			}
		}
		return ""
	}, "it answers %d with %s")
}

func (t *try) versions() error {
	a, err := t.get(t.w.caller(), "/"+nonsense())
	if err != nil {
		return err
	}
	for _, name := range []string{"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Generator", "X-Runtime-Version"} {
		if value := a.Header.Get(name); t.w.forms.version.MatchString(value) {
			t.s.Found("every answer", a, "it answers %d with %s: %s", a.Status, name, value)
			return nil
		}
	}
	return nil
}

// hsts is asked of names alone: for addresses it means nothing (RFC 6797 §8.1.1).
func (t *try) hsts() error {
	base := t.s.Prober().Scope().Base()
	_, err := netip.ParseAddr(base.Hostname())
	if base.Scheme != "https" || err == nil {
		return nil
	}
	a, err := t.get(t.w.caller(), "/")
	if err != nil {
		return err
	}
	if value := strings.ToLower(a.Header.Get("Strict-Transport-Security")); !strings.Contains(value, "max-age=") || strings.Contains(value, "max-age=0") {
		t.s.Found("every answer", a, "it answers %d without Strict-Transport-Security", a.Status)
	}
	return nil
}
