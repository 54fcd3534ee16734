package foreign

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"pavise.dev/pavise/internal/attack"
)

// Bounds of what is remembered of a target's objects.
const (
	maxThings = 50 // of one collection and user
	maxLookAt = 200
	maxNames  = 60  // properties of one
	maxName   = 200 // bytes of one's value
)

// plainOf is of an object what may name it or others.
func plainOf(object map[string]any) map[string]any {
	all := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if v := scalar(object[name]); v != "" && len(v) <= maxName && len(all) < maxNames {
			all[name] = v
		}
	}
	return all
}

// harvest remembers the objects that an answer lists, or tells of.
func (w *world) harvest(o *operation, u *attack.User, a *attack.Answer) {
	v := jsonOf(a)
	collection := collectionOf(o.path)
	if w.things[u] == nil {
		w.things[u] = map[string][]map[string]any{}
	}
	list := listIn(v)
	for _, one := range list {
		if object, isObject := one.(map[string]any); isObject {
			w.keep(u, collection, object)
		}
	}
	object, isObject := v.(map[string]any)
	if !isObject || list != nil {
		return
	}
	if inner := onlyObject(object); inner != nil {
		object = inner
	}
	switch {
	case o.method == "POST" || strings.HasSuffix(o.path, "}"):
		w.keep(u, collection, object)
	case tellsOfCaller(o.path) && len(w.single[u]) < maxThings:
		w.single[u] = append(w.single[u], plainOf(object))
	}
}

func (w *world) keep(u *attack.User, collection string, object map[string]any) {
	known := w.things[u][collection]
	if len(known) >= maxThings || slices.ContainsFunc(known, func(o map[string]any) bool { return idOf(o) != "" && idOf(o) == idOf(object) }) {
		return
	}
	w.things[u][collection] = append(known, plainOf(object))
}

// idOf is what an object is called.
func idOf(object map[string]any) string {
	for _, name := range []string{"id", "uuid", "_id", "key"} {
		if v := scalar(object[name]); v != "" {
			return v
		}
	}
	return ""
}

// scalar is a value as a text; empty: it is none, or has parts.
func scalar(v any) string {
	switch v.(type) {
	case nil, map[string]any, []any, bool:
		return ""
	}
	return fmt.Sprint(v)
}

// listIn is the list that an answer is, or has as its only list of objects.
func listIn(v any) []any {
	if list, isList := v.([]any); isList {
		return list[:min(len(list), maxLookAt)]
	}
	object, _ := v.(map[string]any)
	for _, below := range object {
		list, isList := below.([]any)
		if !isList || len(list) == 0 {
			continue
		}
		if _, isObject := list[0].(map[string]any); isObject && scalar(object["id"]) == "" {
			return list[:min(len(list), maxLookAt)]
		}
	}
	return nil
}

// onlyObject is the object in {"order": {…}}, where others stand beside it that are none.
func onlyObject(object map[string]any) (inner map[string]any) {
	if idOf(object) != "" {
		return nil
	}
	for _, v := range object {
		if below, isObject := v.(map[string]any); isObject {
			if inner != nil {
				return nil
			}
			inner = below
		}
	}
	return inner
}

// collectionOf names what a path has objects of: "orders" of /v1/orders and of
// /v1/orders/{id}.
func collectionOf(path string) string {
	for _, part := range slices.Backward(strings.Split(path, "/")) {
		if part != "" && !strings.Contains(part, "{") {
			return strings.ToLower(part)
		}
	}
	return ""
}

// tellsOfCaller reports whether a path is about who asks.
func tellsOfCaller(path string) bool {
	return slices.Contains([]string{"me", "self", "profile", "account", "whoami", "userinfo", "current", "user"}, collectionOf(path))
}

// namesObject reports whether a value of this name names an object.
func namesObject(name string) bool {
	w := words(name)
	return w == "id" || strings.HasSuffix(w, "_id") || strings.HasSuffix(w, "_uuid") || slices.Contains([]string{"account", "from_account", "user", "username", "owner", "customer", "tenant", "wallet"}, w)
}

// known are the values that a user's objects have for a parameter, each once.
func (w *world) known(o *operation, name, in string, u *attack.User) (values []string) {
	add := func(value string) {
		if value != "" && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	wanted := words(name)
	if in == "path" {
		for _, object := range w.things[u][collectionBefore(o.path, name)] {
			for _, property := range []string{name, wanted} {
				add(scalar(object[property]))
			}
			if wanted == "id" || strings.HasSuffix(wanted, "id") || strings.HasSuffix(wanted, "uuid") || scalar(object[name]) == "" {
				add(idOf(object))
			}
		}
	}
	if !namesObject(name) {
		return values
	}
	noun := strings.TrimSuffix(strings.TrimSuffix(wanted, "_id"), "_uuid")
	noun = noun[strings.LastIndexByte(noun, '_')+1:]
	for collection, objects := range w.things[u] {
		for _, object := range objects {
			if wanted != "id" {
				add(propertyOf(object, wanted))
				if collection == noun+"s" || collection == noun {
					add(idOf(object))
				}
			}
		}
	}
	for _, object := range w.single[u] {
		if wanted != "id" {
			add(propertyOf(object, wanted))
			add(propertyOf(object, noun+"_id"))
		}
		if before := collectionBefore(o.path, name); before == "users" || before == "accounts" || noun == "user" || noun == "owner" || noun == "customer" {
			add(idOf(object))
		}
	}
	return values
}

// collectionBefore is the last name in a path before a parameter.
func collectionBefore(path, name string) string {
	before, _, _ := strings.Cut(path, "{"+name+"}")
	return collectionOf(before)
}

// propertyOf finds a property by its words: userId for user_id.
func propertyOf(object map[string]any, wanted string) string {
	for name, v := range object {
		if words(name) == wanted {
			return scalar(v)
		}
	}
	return ""
}

// words writes a name in lower case with underscores: orderId and order-id are order_id.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == '-' || r == '.' || r == ' ':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			if i > 0 && !strings.HasSuffix(b.String(), "_") && !unicode.IsUpper(rune(name[i-1])) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// own are the values of a parameter that one user's objects have, and another's do not.
func (w *world) own(o *operation, name, in string, owner, other *attack.User) []string {
	theirs := w.known(o, name, in, other)
	return slices.DeleteFunc(w.known(o, name, in, owner), func(v string) bool { return slices.Contains(theirs, v) })
}
