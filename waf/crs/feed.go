package crs

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"pavise.dev/pavise/shield"
)

// wildcardsOf are the names of a pattern's wildcards.
func wildcardsOf(pattern string) (names []string) {
	for segment := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok && name != "$}" {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
		}
	}
	return names
}

// bound refuses a request of which more would have to be looked at than the settings say. Names of JSON are long where it
// is deep: they count for each value, as the rules look at them for each.
func (l *Layer) bound(r *http.Request, b *body) error {
	fields, size := 0, 0
	add := func(name, text string) bool {
		fields++
		size += len(name) + len(text)
		return fields <= l.rules.settings.MaxFields && size <= 4*int(l.rules.settings.MaxBody)
	}
	inBounds := true
	keep := func(name, text string) bool {
		inBounds = inBounds && add(name, text)
		return inBounds
	}
	if err := l.flatten(r, b, keep); err != nil {
		return err
	}
	lists := [][]field{b.files, b.headers}
	if b.kind != jsonBody {
		lists = append(lists, b.fields)
	}
	for _, list := range lists {
		for _, f := range list {
			inBounds = inBounds && add(f.name, f.text)
		}
	}
	for _, list := range [][]string{b.elements, b.values} {
		for _, s := range list {
			inBounds = inBounds && add("", s)
		}
	}
	if query := r.URL.RawQuery; query != "" {
		fields += strings.Count(query, "&") + 1
		inBounds = inBounds && fields <= l.rules.settings.MaxFields
	}
	if !inBounds {
		return shield.Refuse(shield.TooLarge, "the request has more than the %d fields, or the %d bytes of text, that the rules look at",
			l.rules.settings.MaxFields, l.rules.settings.MaxBody)
	}
	return nil
}

// feedHead tells the rules what stands before the body.
func (l *Layer) feedHead(t *transaction, r *http.Request) {
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI() // a request of a client
	}
	t.ProcessURI(target, r.Method, r.Proto)
	t.SetServerName(r.Host)
	for _, name := range l.wildcards {
		t.AddPathRequestArgument(pathName+name, r.PathValue(name))
	}
	t.AddRequestHeader("Host", r.Host)
	for name, values := range r.Header {
		if l.hidden[name] || isOurs(name) {
			continue
		}
		for _, value := range values {
			t.AddRequestHeader(name, value)
		}
	}
	if _, there := r.Header["Content-Length"]; !there && r.ContentLength > 0 {
		t.AddRequestHeader("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
}

// isOurs reports whether a header is one that only we may send, and that is removed from what callers send.
func isOurs(name string) bool { return strings.HasPrefix(name, "Pavise-") }

// feed tells the rules the body.
func (b *body) feed(t *transaction) {
	if b.kind == noBody {
		return
	}
	set(t.vars.RequestBodyProcessor(), b.kind)
	if b.text != "" {
		set(t.vars.RequestBody(), b.text)
		set(t.vars.RequestBodyLength(), strconv.Itoa(len(b.text)))
	}
	posted := t.vars.ArgsPost()
	if b.kind == textBody {
		posted.Add(textName, b.text)
	}
	for _, f := range b.fields {
		posted.Add(f.name, f.text)
	}
	for _, f := range b.files {
		t.vars.Files().Add(f.name, f.text)
		t.vars.FilesNames().Add("", f.name)
	}
	for _, f := range b.headers {
		t.vars.MultipartPartHeaders().Add(f.name, f.text)
	}
	if b.kind == xmlBody {
		t.vars.RequestXML().Set("/*", b.elements)
		t.vars.RequestXML().Set("//@*", b.values)
	}
}

// inQuery reports whether the query has a parameter of this name, by the engine's own reading of names.
func inQuery(r *http.Request, name string) bool {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); err == nil && strings.EqualFold(plain, name) {
			return true
		}
	}
	return false
}
