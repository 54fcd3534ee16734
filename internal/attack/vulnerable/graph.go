package vulnerable

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// GraphQL is played so far that what one request may ask for can be bounded, or not: who asks, with whom
// they have ordered, and names of types.

const graphSchema = `{"queryType":{"name":"Query"},"types":[
 {"name":"Query","kind":"OBJECT","fields":[{"name":"me","args":[],"type":{"name":"Person","kind":"OBJECT"}},{"name":"person","args":[{"type":{"kind":"NON_NULL"}}],"type":{"name":"Person","kind":"OBJECT"}}]},
 {"name":"Person","kind":"OBJECT","fields":[{"name":"name","args":[],"type":{"name":"String","kind":"SCALAR"}},{"name":"orders","args":[],"type":{"kind":"LIST","ofType":{"name":"Purchase","kind":"OBJECT"}}}]},
 {"name":"Purchase","kind":"OBJECT","fields":[{"name":"buyer","args":[],"type":{"kind":"NON_NULL","ofType":{"name":"Person","kind":"OBJECT"}}}]}]}`

var (
	graphName  = regexp.MustCompile(`@?\w+`)
	graphAlias = regexp.MustCompile(`(\w+)\s*:\s*__typename`)
)

// Bounds of one request.
const (
	maxGraphDepth   = 5
	maxGraphAliases = 10
)

func (a *API) graphQL(w http.ResponseWriter, r *http.Request) {
	query, isJSON := r.URL.Query().Get("query"), false
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case r.Method == http.MethodGet && a.on["graphql-get"]:
	case r.Method != http.MethodPost:
		problem(w, http.StatusMethodNotAllowed)
		return
	case media == "application/x-www-form-urlencoded" && a.on["graphql-form"]:
		query = r.PostFormValue("query")
	case media != "application/json":
		problem(w, http.StatusUnsupportedMediaType)
		return
	default:
		isJSON = true
	}
	if !isJSON {
		tell(w, http.StatusOK, a.graph(r, query))
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge)
		return
	}
	type request struct{ Query string }
	var one request
	var many []request
	switch {
	case json.Unmarshal(raw, &one) == nil:
		tell(w, http.StatusOK, a.graph(r, one.Query))
	case a.on["graphql-batch"] && json.Unmarshal(raw, &many) == nil:
		all := []any{}
		for _, each := range many {
			all = append(all, a.graph(r, each.Query))
		}
		tell(w, http.StatusOK, all)
	default:
		problem(w, http.StatusBadRequest)
	}
}

func wrong(format string, args ...any) map[string]any {
	return map[string]any{"errors": []any{map[string]any{"message": fmt.Sprintf(format, args...)}}}
}

// graph answers one request.
func (a *API) graph(r *http.Request, query string) map[string]any {
	kind := "Query"
	if rest, is := strings.CutPrefix(query, "mutation"); is {
		query, kind = rest, "Mutation"
	}
	names := graphAlias.FindAllStringSubmatch(query, -1)
	switch {
	case !strings.HasPrefix(query, "{"):
		return wrong("Syntax Error: Unexpected Name.")
	case strings.Contains(query, "__schema"):
		if !a.on["introspection"] && a.caller(r) == "" {
			return wrong("introspection is for those who are known")
		}
		return map[string]any{"data": map[string]any{"__schema": json.RawMessage(graphSchema)}}
	case depthOf([]byte(query)) > maxGraphDepth && !a.on["graphql-depth"]:
		return wrong("the request is too deep")
	case len(names) > maxGraphAliases && !a.on["graphql-aliases"]:
		return wrong("the request has too many aliases")
	}
	if field := unknown(query); field != "" {
		meant := ""
		if a.on["graphql-suggestions"] {
			meant = ` Did you mean "me"?`
		}
		return wrong("Cannot query field %q on type \"Query\".%s", field, meant)
	}
	data := map[string]any{}
	for _, m := range names {
		data[m[1]] = kind
	}
	if len(names) == 0 && query == "{__typename}" {
		data["__typename"] = kind
	}
	return map[string]any{"data": data}
}

// unknown is a name in a request that there is not; empty: all of them are.
func unknown(query string) string {
	for _, name := range graphName.FindAllString(graphAlias.ReplaceAllString(query, ""), -1) {
		switch name {
		case "__typename", "me", "name", "orders", "buyer", "@skip", "if", "true":
		default:
			return name
		}
	}
	return ""
}
