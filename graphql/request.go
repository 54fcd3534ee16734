package graphql

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// request is one request for an operation.
type request struct {
	in        string // where it stands: "body" or "query"
	document  document
	operation string // by name; empty: the only one
	variables map[string]any
}

// Names of a request's parts (GraphQL over HTTP §5.1), and those by which persisted documents
// are called.
const (
	partQuery      = "query"
	partOperation  = "operationName"
	partVariables  = "variables"
	partExtensions = "extensions"
	partID         = "id"
	partDocumentID = "documentId"
)

func parts() []string {
	return []string{partQuery, partOperation, partVariables, partExtensions, partID, partDocumentID}
}

// bounds are those of a JSON text in a request.
func bounds() strictjson.Bounds {
	return strictjson.Bounds{Depth: 64, Entries: 100_000, LargeIntegers: true}
}

// read takes a request apart.
func (l *Layer) read(r *http.Request) ([]request, *fault) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.ContentLength != 0 {
			return nil, broken("form", "a %s with a body, in which some look for what its address leaves out", r.Method).in("body")
		}
		one, fault := l.fromQuery(r.URL.RawQuery)
		if fault != nil {
			return nil, fault.in("query")
		}
		return []request{one}, nil
	case http.MethodPost:
		all, fault := l.fromBody(r)
		if fault != nil && fault.where == "" {
			fault.where = "body"
		}
		return all, fault
	}
	return nil, broken("method", "GraphQL is asked with GET or POST").in("body")
}

// fromQuery reads the parameters of a GET.
func (l *Layer) fromQuery(raw string) (request, *fault) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return request{}, &fault{code: shield.BadQuery, detail: "the query cannot be read"}
	}
	object := map[string]any{}
	for name, all := range values {
		own := partOf(name)
		switch {
		case own == "":
			continue // whose it is, others say
		case own != name:
			return request{}, broken("form", "a parameter that some take for %s", own)
		case len(all) > 1:
			return request{}, broken("form", "%s stands twice", own)
		}
		object[own] = all[0]
	}
	for _, name := range [...]string{partVariables, partExtensions} {
		text, _ := object[name].(string)
		if text == "" {
			delete(object, name)
			continue
		}
		if name == partVariables && len(text) > l.Variables {
			return request{}, broken("variables", "variables of %d bytes, at most %d", len(text), l.Variables)
		}
		if object[name], err = strictjson.Document([]byte(text), bounds()); err != nil {
			return request{}, broken("form", "%s: %v", name, err)
		}
	}
	return l.request("query", object)
}

// partOf is the part that some reader takes a parameter for, empty for none.
func partOf(name string) string {
	stem, _, _ := strings.Cut(strings.TrimSpace(name), "[")
	for _, own := range parts() {
		if strings.EqualFold(stem, own) {
			return own
		}
	}
	return ""
}

// fromBody reads the body of a POST: one request, or a batch.
func (l *Layer) fromBody(r *http.Request) ([]request, *fault) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &fault{code: shield.BadQuery, detail: "the query cannot be read"}
	}
	for name := range values {
		if own := partOf(name); own != "" {
			return nil, broken("form", "a POST with %s in its address, which some read and others do not", own).in("query")
		}
	}
	text, f := bodyOf(r)
	if f != nil {
		return nil, f
	}
	spans, err := strictjson.Index(text, bounds(), nil)
	if err != nil {
		return nil, broken("form", "%v", err)
	}
	if f := l.variablesWithin(text, spans); f != nil {
		return nil, f
	}
	v, err := strictjson.Document(text, bounds())
	if err != nil {
		return nil, broken("form", "%v", err)
	}
	switch v := v.(type) {
	case map[string]any:
		one, f := l.request("body", v)
		return []request{one}, f
	case []any:
		return l.batch(v)
	}
	return nil, broken("form", "the body is neither a request nor a batch")
}

// bodyOf returns the body, which must be JSON: other types are sent by forms of any site.
func bodyOf(r *http.Request) ([]byte, *fault) {
	unsupported := func(detail string) *fault { return &fault{code: shield.UnsupportedMedia, detail: detail} }
	if len(r.Header["Content-Encoding"]) > 0 {
		return nil, unsupported("a body with a coding cannot be judged; send it plain")
	}
	if n := len(r.Header["Content-Type"]); n != 1 {
		return nil, unsupported(fmt.Sprintf("%d headers Content-Type, want one", n))
	}
	media, parameters, err := mime.ParseMediaType(r.Header["Content-Type"][0])
	charset, said := parameters["charset"]
	if err != nil || said && !strings.EqualFold(charset, "utf-8") {
		return nil, unsupported("Content-Type cannot be read, or names a charset other than UTF-8")
	}
	if !slices.Contains([]string{"application/json", "application/graphql+json", "application/graphql-response+json"}, media) {
		return nil, unsupported("GraphQL is sent as application/json")
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return nil, &fault{code: shield.Undecided, detail: err.Error()}
	}
	text, err := kept.Bytes()
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return nil, &fault{code: refusal.Code, detail: refusal.Detail}
	}
	if err != nil {
		return nil, &fault{code: shield.Undecided, detail: err.Error()}
	}
	return text, nil
}

// variablesWithin holds the length of variables, as they were written, of all requests together.
func (l *Layer) variablesWithin(text []byte, spans []strictjson.Span) *fault {
	length := 0
	add := func(object int) {
		for i := object + 1; i < spans[object].Next; i = spans[i].Next {
			if spans[i].HasName() && spans[i].NameIs(text, partVariables) {
				length += spans[i].End - spans[i].Start
			}
		}
	}
	switch {
	case spans[0].IsObject(text):
		add(0)
	case spans[0].IsArray(text):
		for i := 1; i < len(spans); i = spans[i].Next {
			if spans[i].IsObject(text) {
				add(i)
			}
		}
	}
	if length > l.Variables {
		return broken("variables", "variables of %d bytes, at most %d", length, l.Variables).at("/" + partVariables)
	}
	return nil
}

// batch reads several requests in one.
func (l *Layer) batch(all []any) (out []request, _ *fault) {
	switch {
	case len(all) == 0:
		return nil, broken("form", "a batch of nothing")
	case l.Batch == 1:
		return nil, broken("batch", "a batch, and there may be none")
	case len(all) > l.Batch:
		return nil, broken("batch", "%d requests in one, at most %d", len(all), l.Batch)
	}
	for i, v := range all {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, broken("form", "an entry of a batch is no request").at(fmt.Sprintf("/%d", i))
		}
		one, f := l.request("body", object)
		if f != nil {
			f.pointer = fmt.Sprintf("/%d%s", i, f.pointer)
			return nil, f
		}
		out = append(out, one)
	}
	return out, nil
}

// request reads one.
func (l *Layer) request(in string, object map[string]any) (out request, f *fault) {
	for name := range object {
		if !slices.Contains(parts(), name) {
			return out, broken("undeclared", "a request has no such member").at("/" + name)
		}
	}
	out.in = in
	texts := map[string]string{}
	for _, name := range [...]string{partQuery, partOperation, partID, partDocumentID} {
		text, ok := object[name].(string)
		if !ok && object[name] != nil {
			return out, broken("form", "%s is no text", name).at("/" + name)
		}
		texts[name] = text
	}
	objects := map[string]map[string]any{}
	for _, name := range [...]string{partVariables, partExtensions} {
		v, ok := object[name].(map[string]any)
		if !ok && object[name] != nil {
			return out, broken("form", "%s are no object", name).at("/" + name)
		}
		objects[name] = v
	}
	out.operation, out.variables = texts[partOperation], objects[partVariables]
	names, f := called(texts, objects[partExtensions])
	if f != nil {
		return out, f
	}
	out.document, f = l.document(texts[partQuery], names)
	return out, f
}

// called are the names by which a request calls a persisted document.
func called(texts map[string]string, extensions map[string]any) (names []string, _ *fault) {
	for _, name := range [...]string{partID, partDocumentID} {
		if texts[name] != "" {
			names = append(names, texts[name])
		}
	}
	switch persisted := extensions["persistedQuery"].(type) {
	case nil:
	case map[string]any:
		digest, ok := persisted["sha256Hash"].(string)
		if !ok || digest == "" {
			return nil, broken("persisted", "persistedQuery without sha256Hash").at("/extensions/persistedQuery")
		}
		names = append(names, digest)
	default:
		return nil, broken("form", "persistedQuery is no object").at("/extensions/persistedQuery")
	}
	return names, nil
}

// document finds what is to be executed: the document that came, or the persisted one that is
// called by name. Where both are there, they must be one: servers differ over which they take.
func (l *Layer) document(text string, names []string) (document, *fault) {
	at := func(f *fault) *fault { return f.at("/" + partQuery) }
	if text == "" && len(names) == 0 {
		return document{}, at(broken("required", "there is no document"))
	}
	digest := digestOf(text)
	if l.persisted == nil {
		for _, name := range names {
			if text == "" || !strings.EqualFold(name, digest) {
				return document{}, at(broken("persisted", "a document that is called by name alone cannot be judged: none are persisted here"))
			}
		}
		d, f := parse(text, l.Bytes, l.Tokens)
		if f != nil {
			at(f)
		}
		return d, f
	}
	if text != "" {
		names = append(names, digest)
	}
	found, ok := l.persisted[names[0]]
	for _, name := range names {
		other, known := l.persisted[name]
		ok = ok && known && other.QueryDocument == found.QueryDocument
	}
	if !ok {
		return document{}, at(broken("persisted", "the document is none of those that there may be"))
	}
	return found, nil
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Bounds of a persisted document, which the operator has chosen.
const (
	maxPersistedBytes  = 1 << 20
	maxPersistedTokens = 100_000
)

// openPersisted reads persisted documents: {"name": "document"}, as Relay writes them, or the
// manifest of Apollo. Each is known by its name and by the SHA-256 of its text.
func openPersisted(text []byte) (map[string]document, error) {
	texts := map[string]string{}
	var manifest struct {
		Format     string `json:"format"`
		Operations []struct {
			ID   string `json:"id"`
			Body string `json:"body"`
		} `json:"operations"`
	}
	if err := json.Unmarshal(text, &manifest); err == nil && manifest.Format == "apollo-persisted-query-manifest" {
		for _, o := range manifest.Operations {
			texts[o.ID] = o.Body
		}
	} else if err := json.Unmarshal(text, &texts); err != nil {
		return nil, errors.New(`persisted documents are {"name": "document"}, or a manifest of the format apollo-persisted-query-manifest`)
	}
	if len(texts) == 0 {
		return nil, errors.New("there are no persisted documents, so that everything would be refused")
	}
	all := map[string]document{}
	for name, one := range texts {
		d, f := parse(one, maxPersistedBytes, maxPersistedTokens)
		if f != nil {
			return nil, fmt.Errorf("the persisted document %q cannot be used: %s", name, f.detail)
		}
		if name == "" {
			return nil, errors.New("a persisted document has no name")
		}
		digest := digestOf(one)
		if same, there := all[digest]; there {
			d = same
		}
		all[name], all[digest] = d, d
	}
	return all, nil
}
