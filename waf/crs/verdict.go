package crs

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"pavise.dev/pavise/shield"
)

// maxFields is how many fields, and rules, of one refusal are told.
const maxFields = 16

// maxName is how much of a name is told, in bytes: it is the caller's.
const maxName = 64

// refusal tells which rules matched, where, and the score. What matched is told to nobody.
func (l *Layer) refusal(t *transaction, r *http.Request, b *body) error {
	matched := slices.DeleteFunc(slices.Clone(t.MatchedRules()), func(m types.MatchedRule) bool {
		id := m.Rule().ID()
		return id < firstRule || id > lastRule || m.Rule().Severity() == types.RuleSeverityUnset // what begins and ends, and what only counts
	})
	slices.SortStableFunc(matched, func(a, b types.MatchedRule) int { return cmp.Compare(a.Rule().Severity(), b.Rule().Severity()) }) // the gravest first
	var fields []shield.Field
	var ids []int
	for _, m := range matched {
		if id := m.Rule().ID(); !slices.Contains(ids, id) && len(ids) < maxFields {
			ids = append(ids, id)
		}
		f := l.placeOf(m, r, b)
		f.Rule = "crs-" + strconv.Itoa(m.Rule().ID())
		if !slices.Contains(fields, f) && len(fields) < maxFields {
			fields = append(fields, f)
		}
	}
	score := "?"
	if values := t.vars.TX().Get("blocking_inbound_anomaly_score"); len(values) > 0 {
		score = values[0]
	}
	refusal := shield.Refuse(shield.Injection, "anomaly score %s of %d, by rules %s", score, l.rules.settings.Threshold, strings.Trim(fmt.Sprint(ids), "[]"))
	refusal.Fields = fields
	return refusal
}

// placeOf is where in the request a rule matched.
func (l *Layer) placeOf(m types.MatchedRule, r *http.Request, b *body) shield.Field {
	for _, data := range m.MatchedDatas() {
		if f, ok := l.place(data.Variable(), data.Key(), r, b); ok {
			return f
		}
	}
	return shield.Field{In: "path"}
}

// place turns a variable of the rules into a place; ok is false for those that are made by rules.
func (l *Layer) place(v variables.RuleVariable, key string, r *http.Request, b *body) (f shield.Field, ok bool) {
	switch v {
	case variables.Args, variables.ArgsGet, variables.ArgsPost:
		return l.argument(key, r, b), true
	case variables.ArgsNames, variables.ArgsGetNames, variables.ArgsPostNames:
		f = l.argument(key, r, b)
		return onlyPlain(f), true
	case variables.RequestHeaders:
		return shield.Field{In: "header", Pointer: pointer(http.CanonicalHeaderKey(key))}, true
	case variables.RequestHeadersNames:
		return onlyPlain(shield.Field{In: "header", Pointer: pointer(http.CanonicalHeaderKey(key))}), true
	case variables.RequestCookies:
		return shield.Field{In: "cookie", Pointer: pointer(key)}, true
	case variables.RequestCookiesNames:
		return onlyPlain(shield.Field{In: "cookie", Pointer: pointer(key)}), true
	case variables.QueryString:
		return shield.Field{In: "query"}, true
	case variables.RequestURI, variables.RequestURIRaw, variables.RequestFilename, variables.RequestBasename, variables.RequestLine, variables.RequestMethod:
		return shield.Field{In: "path"}, true
	case variables.Files, variables.FilesNames, variables.MultipartPartHeaders:
		f = shield.Field{In: "body"}
		if key != "" {
			f.Pointer = pointer(key)
		}
		return onlyPlain(f), true
	case variables.RequestBody, variables.RequestBodyLength, variables.XML, variables.RequestXML:
		return shield.Field{In: "body"}, true
	}
	return f, false
}

// argument is where a parameter stands: in the path, the query or the body.
func (l *Layer) argument(name string, r *http.Request, b *body) shield.Field {
	wildcard, ofPath := strings.CutPrefix(name, pathName)
	switch {
	case ofPath && slices.Contains(l.wildcards, wildcard) && !inQuery(r, name):
		return shield.Field{In: "path", Pointer: pointer(wildcard)}
	case b.kind == textBody && name == textName:
		return shield.Field{In: "body"}
	case b.kind == jsonBody && (name == rootName || strings.HasPrefix(name, rootName+".")):
		if path, ok := pointerOf(b.value, name[len(rootName):]); ok {
			return shield.Field{In: "body", Pointer: path}
		}
	case b.kind != jsonBody && slices.ContainsFunc(b.fields, func(f field) bool { return strings.EqualFold(f.name, name) }):
		return shield.Field{In: "body", Pointer: pointer(name)}
	}
	return shield.Field{In: "query", Pointer: pointer(name)}
}

// pointerOf finds the value that a dotted name stands for: names may have dots of their own.
func pointerOf(v any, dotted string) (path string, ok bool) {
	if dotted == "" {
		return "", true
	}
	dotted = dotted[1:]
	try := func(key string, inner any) bool {
		rest, found := strings.CutPrefix(dotted, key)
		if !found || rest != "" && rest[0] != '.' {
			return false
		}
		path, ok = pointerOf(inner, rest)
		path = pointer(key) + path
		return ok
	}
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if try(key, inner) {
				return path, true
			}
		}
	case []any:
		for i, inner := range v {
			if try(strconv.Itoa(i), inner) {
				return path, true
			}
		}
	}
	return "", false
}

// pointer writes a name as a JSON pointer (RFC 6901).
func pointer(name string) string {
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	return "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// onlyPlain keeps a name from being told where a rule matched the name itself, unless nothing but a name can be in it.
func onlyPlain(f shield.Field) shield.Field {
	if strings.ContainsFunc(f.Pointer, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/_-.", c)
	}) {
		f.Pointer = ""
	}
	return f
}
