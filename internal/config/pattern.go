package config

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/route"
)

var methodForm = regexp.MustCompile(`^[A-Z]{1,32}$`)

// checkPattern says what is wrong with a pattern "METHOD /path/{name}". The syntax
// is that of [http.ServeMux], less what is easily misread there: patterns without
// a method or with a host, a final slash that stands for everything below, and
// paths that the door refuses anyway.
func checkPattern(pattern string) *fault {
	method, path, ok := strings.Cut(pattern, " ")
	if strings.HasPrefix(method, "/") {
		return faulty("write GET "+pattern+", and one such line for each method", "the pattern %q names no method", pattern)
	}
	if !ok {
		return faulty("write for example GET /v1/orders/{id}", "%q is no pattern: want METHOD /path", pattern)
	}
	if f := checkMethod(method, path); f != nil {
		return f
	}
	return checkPath(method, path)
}

func checkMethod(method, path string) *fault {
	upper := strings.ToUpper(method)
	switch {
	case upper == "ANY" || upper == "ALL" || strings.ContainsAny(upper, ",|*"):
		return faulty(fmt.Sprintf("write one such line for each method: GET %[1]s, POST %[1]s", path), "a pattern names one method, and %q is none or several", method)
	case !methodForm.MatchString(upper):
		return faulty("write for example GET "+path, "%q is no method", method)
	case method != upper:
		return faulty("write "+upper, "methods are upper case, so that %s matches nothing", method)
	case method == http.MethodHead:
		return faulty("write GET", "HEAD follows GET and has no pattern of its own")
	case method == http.MethodOptions:
		return faulty("list origins under cors", "OPTIONS is answered by the CORS rule alone")
	case method == http.MethodConnect || method == http.MethodTrace:
		return faulty("remove it", "%s is never served", method)
	}
	known := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	if !slices.Contains(known, method) && distance(method, cmp.Or(nearest(method, known), "-")) == 1 {
		return faulty("did you mean "+nearest(method, known)+"?", "%s is no method that callers use", method)
	}
	return nil
}

func checkPath(method, path string) *fault {
	switch {
	case path == "" || path[0] == ' ':
		return faulty("write "+method+" /path", "one space stands between method and path")
	case path[0] != '/':
		hint := "write " + method + " /" + path
		if host, rest, ok := strings.Cut(path, "/"); ok && strings.Contains(host, ".") {
			hint = fmt.Sprintf("write %s /%s, and host: %s", method, rest, host)
		}
		return faulty(hint, "the path %q does not begin with /", path)
	case strings.ContainsAny(path, "?#"):
		return faulty("write the path alone", "a pattern matches paths, not queries")
	case strings.ContainsAny(path, " ;\\") || printable(path) != path:
		return faulty("remove it", "the path %q holds a character that the door refuses", path)
	case strings.Contains(path, "//"):
		return faulty("write one slash", "the path %q holds an empty segment, which the door refuses", path)
	case strings.HasSuffix(path, "/"):
		return faulty(fmt.Sprintf("write %s %s{path...} for everything below, or %s %s{$} for this path alone", method, path, method, path),
			"a final slash would match every path that begins with %s", path)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if f := checkSegment(segment); f != nil {
			return f
		}
	}
	return nil
}

func checkSegment(segment string) *fault {
	switch {
	case segment == "." || segment == "..":
		return faulty("write the path that is meant", "the door refuses paths with %s", segment)
	case segment == "*" || segment == "**":
		return faulty("write {name} for one segment, or {name...} for all that follow", "%s matches nothing but itself", segment)
	case strings.HasPrefix(segment, ":"):
		return faulty("write {"+segment[1:]+"}", "%s matches nothing but itself", segment)
	case strings.Contains(segment, "{") && (segment[0] != '{' || segment[len(segment)-1] != '}'):
		return faulty("match the whole segment: {name}", "%q mixes text with a placeholder", segment)
	}
	return nil
}

// declared is a pattern of an API.
type declared struct {
	api, pattern string
}

func (d declared) path() string { return "apis." + d.api + ".endpoints." + d.pattern }

// checkPatterns finds patterns that are wrong, and those of one host that match
// the same request without one being the more special.
func (r *resolver) checkPatterns() {
	hosts := map[string][]declared{}
	for _, name := range sortedKeys(r.file.APIs) {
		api := r.file.APIs[name]
		for _, pattern := range sortedKeys(api.Endpoints) {
			d := declared{name, pattern}
			if f := checkPattern(pattern); f != nil {
				r.atKey(d.path(), f.hint, "%s", f.message)
				continue
			}
			if err := fit(d); err != nil {
				r.atKey(d.path(), "write for example GET /v1/orders/{id}", "%q is no pattern: %v", pattern, err)
				continue
			}
			for _, host := range api.Host {
				hosts[host] = append(hosts[host], d)
			}
		}
	}
	told := map[[2]declared]bool{}
	for _, host := range sortedKeys(hosts) {
		r.checkConflicts(host, hosts[host], told)
	}
}

// checkConflicts adds one pattern after the other; the order is the file's, so that
// the later of two is the one that is wrong.
func (r *resolver) checkConflicts(host string, all []declared, told map[[2]declared]bool) {
	slices.SortStableFunc(all, func(a, b declared) int {
		return r.file.places[a.path()].key.compare(r.file.places[b.path()].key)
	})
	var fitting []declared
	table := route.New[struct{}]()
	for _, d := range all {
		if table.Add(d.pattern, struct{}{}) == nil {
			fitting = append(fitting, d)
			continue
		}
		if len(told) > maxProblems {
			return
		}
		for _, other := range fitting {
			if fit(other, d) != nil && !told[[2]declared{other, d}] {
				told[[2]declared{other, d}] = true
				r.conflict(host, other, d)
			}
		}
	}
}

func (r *resolver) conflict(host string, first, second declared) {
	where := r.file.places[first.path()].key
	hint := "make one of them the more special, as GET /orders/new is beside GET /orders/{id}"
	if first.api != second.api {
		hint += "; or give the APIs different hosts"
	}
	if shape(first.pattern) == shape(second.pattern) {
		r.atKey(second.path(), "remove one of the two", "%q matches the same requests on %s as %q at %s", second.pattern, host, first.pattern, where)
		return
	}
	r.atKey(second.path(), hint, "%q and %q at %s match the same paths on %s, and neither is the more special", second.pattern, first.pattern, where, host)
}

var placeholder = regexp.MustCompile(`\{[^{}$.]*(\.\.\.)?\}`)

func shape(pattern string) string { return placeholder.ReplaceAllString(pattern, "{$1}") }

// fit reports whether patterns can stand in one table.
func fit(all ...declared) error {
	table := route.New[struct{}]()
	for _, d := range all {
		if err := table.Add(d.pattern, struct{}{}); err != nil {
			message, _, _ := strings.Cut(err.Error(), "\n")
			return fmt.Errorf("%s", strings.TrimPrefix(message, fmt.Sprintf("pattern %q: ", d.pattern)))
		}
	}
	return nil
}

func (p Pos) compare(other Pos) int {
	return cmp.Or(strings.Compare(p.File, other.File), cmp.Compare(p.Line, other.Line), cmp.Compare(p.Column, other.Column))
}
