package foreign

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// inventory looks for what nobody declared.
func (p *planner) inventory() {
	for _, e := range commonEndpoints() {
		if p.declares(e.path, "GET") {
			continue
		}
		p.add(e.rule, "GET "+e.path, 0, func(t *try) error { return t.exposed(e) })
	}
	p.add("trace-method", "TRACE /", 0, (*try).trace)
	p.withGood("deprecated", func(o *operation) bool { return o.deprecated && o.isSafe() }, func(t *try, o *operation, g *good) error {
		t.found(o, g.a, "it answers %d, and the document says that it is deprecated", g.a.Status)
		return nil
	})
	p.withGood("old-version", func(o *operation) bool { return o.method == "GET" && versionOf(o.path) > 0 }, (*try).oldVersion)
}

// endpoint is a path that many programs have, and what only they answer there.
type endpoint struct {
	rule, path string
	form       *regexp.Regexp
}

func commonEndpoints() []endpoint {
	form := func(rule, path, pattern string) endpoint { return endpoint{rule, path, regexp.MustCompile(pattern)} }
	const document = `^\s*(\{[\s\S]{0,200}"(openapi|swagger)"\s*:|(openapi|swagger): ?['"]?[23])`
	return []endpoint{
		form("exposed-endpoint", "/metrics", `(?m)^# (HELP|TYPE) \w+`), form("exposed-endpoint", "/actuator", `"_links"`), form("exposed-endpoint", "/actuator/env", `"propertySources"`),
		form("exposed-endpoint", "/actuator/health", `"status"\s*:\s*"(UP|DOWN)"[\s\S]*"(components|details)"`), form("exposed-endpoint", "/actuator/mappings", `"dispatcherServlet`),
		form("exposed-endpoint", "/env", `"propertySources"`), form("exposed-endpoint", "/debug/pprof/", `Types of profiles available|/debug/pprof/goroutine|full goroutine stack dump`), form("exposed-endpoint", "/debug/vars", `"memstats"`),
		form("exposed-endpoint", "/server-status", `Apache Server Status|Active connections: \d+`), form("exposed-endpoint", "/nginx_status", `Active connections: \d+`), form("exposed-endpoint", "/phpinfo.php", `<title>(PHP .*)?phpinfo\(\)`),
		form("exposed-endpoint", "/_profiler", `Symfony Profiler`), form("exposed-endpoint", "/elmah.axd", `Error Log for`), form("exposed-endpoint", "/trace.axd", `Application Trace`), form("exposed-endpoint", "/console", `Werkzeug|H2 Console`),
		form("exposed-endpoint", "/_cat/indices", `(green|yellow|red)\s+open\s+\S+`), form("exposed-endpoint", "/telescope/requests", `Laravel Telescope|<title>Telescope`),
		form("exposed-source", "/.git/config", `(?m)^\[core\]`), form("exposed-source", "/.git/HEAD", `^ref: refs/`), form("exposed-source", "/.env", `(?m)^[A-Z][A-Z0-9_]{2,}=\S`), form("exposed-source", "/.svn/entries", `^\d+\s+dir\b`),
		form("exposed-source", "/config.json", `"(password|secret|db_pass|apiKey|api_key|privateKey)"\s*:`), form("exposed-source", "/appsettings.json", `"ConnectionStrings"`), form("exposed-source", "/WEB-INF/web.xml", `<web-app`),
		form("exposed-source", "/docker-compose.yml", `(?m)^services:`), form("exposed-source", "/id_rsa", `-----BEGIN [A-Z ]*PRIVATE KEY`), form("exposed-source", "/dump.sql", `(?m)^(CREATE TABLE|INSERT INTO)`), form("exposed-source", "/.DS_Store", `^\x00\x00\x00\x01Bud1`),
		form("introspection", "/swagger.json", document), form("introspection", "/openapi.json", document), form("introspection", "/openapi.yaml", document), form("introspection", "/v3/api-docs", document), form("introspection", "/v2/api-docs", document),
		form("introspection", "/api-docs", document), form("introspection", "/swagger/v1/swagger.json", document), form("introspection", "/swagger-ui/index.html", `swagger-ui`),
	}
}

// exposed asks for an endpoint, and for one beside it that there cannot be.
func (t *try) exposed(e endpoint) error {
	a, err := t.get(nil, e.path)
	if err != nil || !ok(a) || !e.form.Match(beginning(a)) {
		return err
	}
	control, err := t.get(nil, e.path+nonsense())
	if err != nil || ok(control) && e.form.Match(beginning(control)) {
		return err
	}
	again, err := t.get(nil, e.path)
	if err == nil && ok(again) && e.form.Match(beginning(again)) {
		t.s.Found("GET "+e.path, again, "it answers %d to anybody", again.Status)
	}
	return err
}

func (t *try) trace() error {
	mark := nonsense()
	d := &draft{op: &operation{}, method: "TRACE", raw: "/", header: map[string][]string{"X-Pavise-Attack": {mark}}}
	a, err := t.send(nil, d)
	if err != nil {
		return err
	}
	if ok(a) && typeOf(a) == "message/http" && strings.Contains(string(a.Body), mark) {
		t.s.Found("TRACE /", a, "it answers %d with the request as it arrived", a.Status)
	}
	return nil
}

// versionOf is the number in /v2/orders; 0: none.
func versionOf(path string) int {
	for part := range strings.SplitSeq(path, "/") {
		if digits, ok := strings.CutPrefix(part, "v"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n > 0 && n < 90 {
				return n
			}
		}
	}
	return 0
}

// oldVersion asks for the same path of other versions. A version that there cannot be must be
// answered otherwise.
func (t *try) oldVersion(o *operation, g *good) error {
	now := versionOf(o.path)
	path := g.d.target()
	in := func(version string) string {
		return strings.Replace(path, fmt.Sprintf("/v%d/", now), "/"+version+"/", 1)
	}
	if in("v97") == path {
		return attack.ErrNotHere
	}
	control, err := t.get(t.w.caller(), in("v97"))
	if err != nil || ok(control) {
		return err
	}
	versions := []string{"beta", "internal", "old", "test", "v0"}
	for n := max(1, now-3); n <= now+2; n++ {
		versions = append(versions, fmt.Sprintf("v%d", n))
	}
	for _, version := range versions {
		if in(version) == path || slices.ContainsFunc(t.w.ops, func(other *operation) bool { return other.method == "GET" && sameTemplate(other.path, in(version)) }) {
			continue
		}
		a, err := t.get(t.w.caller(), in(version))
		if err != nil {
			return err
		}
		if !ok(a) {
			continue
		}
		nobody, err := t.get(nil, in(version))
		if err != nil {
			return err
		}
		open := ""
		if ok(nobody) && o.protected {
			a, open = nobody, ", without a credential"
		}
		t.s.Found("GET "+in(version), a, "it answers %d%s; the document does not know this version", a.Status, open)
		return nil
	}
	return nil
}

// sameTemplate reports whether a path is one of a template's.
func sameTemplate(template, path string) bool {
	path, _, _ = strings.Cut(path, "?")
	one, other := strings.Split(template, "/"), strings.Split(path, "/")
	if len(one) != len(other) {
		return false
	}
	for i := range one {
		if one[i] != other[i] && !strings.HasPrefix(one[i], "{") {
			return false
		}
	}
	return true
}
