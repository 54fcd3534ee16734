package openapi

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// methods are the names under which operations stand.
func methods() []string {
	return []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
}

// operation is one operation, as the rules see it.
type operation struct {
	at     *at
	method string
	path   string
	object map[string]any

	parameters []parameter // its path's too
	hasBody    bool
}

// name is what a finding calls an operation.
func (o *operation) name() string { return strings.ToUpper(o.method) + " " + o.path }

// parameter is one of an operation's parameters.
type parameter struct {
	at     *at
	object map[string]any
}

// operations looks at each operation of the document.
func (c *check) operations() {
	c.owned = isOwned(c.root) || isOwned(objectOf(c.root, "info"))
	var unowned, silent []*operation
	var all int
	paths, in := members(c.root, "paths")
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") {
			continue // an extension
		}
		a, item := c.resolve(pointed("").to("paths", path), in[path])
		c.servers(a, item)
		for _, method := range methods() {
			object, ok := item[method].(map[string]any)
			if !ok || !c.step() {
				continue
			}
			o := &operation{at: a.to(method), method: method, path: path, object: object}
			c.parametersOf(o, a, item)
			c.operation(o)
			all++
			if object["security"] == nil && len(entries(c.root, "security")) == 0 {
				silent = append(silent, o)
			}
			if !c.owned && !isOwned(item) && !c.isOwned(o) {
				unowned = append(unowned, o)
			}
		}
	}
	c.operated = all
	c.open(silent, all)
	if all > 0 && len(unowned) == all {
		c.report("no-owner", pointed("/info"), "neither the document nor any operation says whom to ask")
		return
	}
	for _, o := range unowned {
		c.report("no-owner", o.at, "%s: nobody is named", o.name())
	}
}

// open tells of operations for which neither they nor the document demand anything.
func (c *check) open(silent []*operation, all int) {
	if len(silent) == all && all > 1 {
		c.report("no-security", pointed("/paths"), "none of the %d operations asks who is calling", all)
		return
	}
	for _, o := range silent {
		c.report("no-security", o.at, "%s: nobody is asked who is calling", o.name())
	}
}

func objectOf(in map[string]any, name string) map[string]any {
	object, _ := in[name].(map[string]any)
	return object
}

// isOwned reports whether an object names whom to ask.
func isOwned(object map[string]any) bool {
	contact := objectOf(object, "contact")
	owner, _ := object["x-owner"].(string)
	return strings.TrimSpace(owner) != "" || textOf(contact, "email") != "" || textOf(contact, "url") != ""
}

// isOwned looks at an operation and its tags.
func (c *check) isOwned(o *operation) bool {
	if isOwned(o.object) {
		return true
	}
	for _, tag := range entries(o.object, "tags") {
		for _, one := range entries(c.root, "tags") {
			if described, _ := one.(map[string]any); described["name"] == tag && isOwned(described) {
				return true
			}
		}
	}
	return false
}

// parametersOf collects an operation's parameters: its own replace those of its path.
func (c *check) parametersOf(o *operation, a *at, item map[string]any) {
	known := map[string]bool{}
	for _, from := range []struct {
		at *at
		in map[string]any
	}{{o.at, o.object}, {a, item}} {
		for i, one := range entries(from.in, "parameters") {
			if !c.step() {
				return
			}
			place, object := c.resolve(from.at.to("parameters", strconv.Itoa(i)), one)
			key := textOf(object, "in") + " " + textOf(object, "name")
			if object == nil || known[key] {
				continue
			}
			known[key] = true
			o.parameters = append(o.parameters, parameter{place, object})
		}
	}
	o.hasBody = o.object["requestBody"] != nil
}

func (c *check) operation(o *operation) {
	c.servers(o.at, o.object)
	demanded, said := c.requirements(o.at, o.object)
	if !said {
		demanded, _ = c.requirements(nil, c.root)
	}
	c.callers(o, demanded)
	c.lifecycle(o)
	for _, p := range o.parameters {
		c.parameter(o, p)
	}
	c.body(o)
	c.responses(o, !demanded.open)
	c.callbacks(o)
}

// callers judges who may call an operation.
func (c *check) callers(o *operation, demanded security) {
	list, said := o.object["security"].([]any)
	switch {
	case said && len(list) == 0:
		c.report("no-security", o.at, "%s: nobody is asked who is calling", o.name())
	case !demanded.open && !demanded.scoped && isForOperators(o.path):
		c.report("admin-operation", o.at, "%s: no scope is demanded", o.name())
	}
	switch o.method {
	case "trace":
		c.report("method-trace", o.at, "%s", o.name())
	case "get", "head", "delete":
		if o.hasBody {
			c.report("body-on-get", o.at.to("requestBody"), "%s has a body", o.name())
		}
	}
}

func isForOperators(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch words(segment) {
		case "admin", "administration", "internal", "debug", "actuator", "management", "superuser", "backoffice":
			return true
		}
	}
	return false
}

// lifecycle judges the name of an operation, and its end.
func (c *check) lifecycle(o *operation) {
	switch id := textOf(o.object, "operationId"); {
	case id == "":
		c.report("no-operation-id", o.at, "%s has no operationId", o.name())
	case c.ids[id]:
		c.report("operation-id-twice", o.at.to("operationId"), "%.80q is another operation's name too", id)
	default:
		c.ids[id] = true
	}
	sunset := textOf(o.object, "x-sunset")
	if o.object["deprecated"] == true && sunset == "" && !c.answersSunset(o) {
		c.report("deprecated-without-sunset", o.at, "%s is deprecated, and has no end", o.name())
	}
	if end, ok := endOf(sunset); ok && !c.now.IsZero() && !c.now.Before(end) {
		c.report("sunset-over", o.at, "%s should be gone since %s", o.name(), end.Format(time.DateOnly))
	}
}

// endOf reads when an operation ends: a day, which is the last, or a moment.
func endOf(text string) (time.Time, bool) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), true
	}
	for _, form := range []string{time.RFC3339, http.TimeFormat} {
		if moment, err := time.Parse(form, text); err == nil {
			return moment, true
		}
	}
	return time.Time{}, false
}

// answersSunset reports whether an answer has the header of RFC 8594.
func (c *check) answersSunset(o *operation) bool {
	codes, in := members(o.object, "responses")
	for _, code := range codes {
		_, response := c.resolve(nil, in[code])
		for name := range objectOf(response, "headers") {
			if strings.EqualFold(name, "Sunset") {
				return true
			}
		}
	}
	return false
}

// responses judges what an operation says it answers.
func (c *check) responses(o *operation, secured bool) {
	codes, in := members(o.object, "responses")
	has := func(any ...string) bool {
		return slices.ContainsFunc(codes, func(code string) bool {
			return code == "default" || strings.EqualFold(code, "4XX") || slices.Contains(any, code)
		})
	}
	missing := func(rule, code string) { c.report(rule, o.at, "%s does not describe %s", o.name(), code) }
	if (len(o.parameters) > 0 || o.hasBody) && !has("400", "422") {
		missing("response-400-missing", "400")
	}
	if secured && !has("401") {
		missing("response-401-missing", "401")
	}
	if secured && !has("403") {
		missing("response-403-missing", "403")
	}
	switch {
	case has("429"):
	case isSensitiveFlow(o):
		missing("sensitive-flow", "429")
	default:
		missing("response-429-missing", "429")
	}
	for _, code := range codes {
		a, response := c.resolve(o.at.to("responses", code), in[code])
		if response != nil {
			c.response(o, a, code, response)
		}
	}
}

// isSensitiveFlow reports whether a path is of something that machines like to do often.
func isSensitiveFlow(o *operation) bool {
	if o.method != "post" && o.method != "put" {
		return false
	}
	for segment := range strings.SplitSeq(o.path, "/") {
		for word := range strings.SplitSeq(words(segment), "_") {
			switch word {
			case "login", "signin", "signup", "register", "otp", "checkout", "purchase", "payment", "payments", "coupon", "coupons", "voucher", "booking", "bookings", "reservation", "reservations", "referral", "reset":
				return true
			}
		}
	}
	return false
}

// response judges one answer.
func (c *check) response(o *operation, a *at, code string, response map[string]any) {
	good := strings.HasPrefix(code, "2")
	types, content := members(response, "content")
	if len(types) == 0 && code == "200" && o.method == "get" {
		c.report("response-without-schema", a, "%s: the answer %s has no content", o.name(), code)
	}
	for _, name := range types {
		media, _ := content[name].(map[string]any)
		place := a.to("content", name)
		if _, described := media["schema"]; described {
			c.value(place.to("schema"), media["schema"], output, good)
		} else if good && isStructured(name) {
			c.report("response-without-schema", place, "%s: the answer %s of type %.80q has no schema", o.name(), code, name)
		}
	}
}

// isStructured reports whether a media type has a form that a schema describes.
func isStructured(media string) bool {
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	return strings.HasSuffix(media, "json") || strings.HasSuffix(media, "xml") || strings.Contains(media, "*") || strings.Contains(media, "form")
}

// callbacks looks where an operation says that the service calls back.
func (c *check) callbacks(o *operation) {
	names, in := members(o.object, "callbacks")
	for _, name := range names {
		a, callback := c.resolve(o.at.to("callbacks", name), in[name])
		for expression := range maps.Keys(callback) {
			if strings.HasPrefix(strings.ToLower(expression), "http://") {
				c.report("callback-plain", a.to(expression), "%s calls back without TLS", o.name())
			}
		}
	}
}
