package cedar

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// input is a request as Cedar sees it.
type input struct {
	request  cedar.Request
	entities types.EntityMap
}

// input converts what policies name. The error is *unreadable if the request
// cannot be judged, which denies it.
func (d *Decider) input(r *http.Request, id *shield.Identity) (input, error) {
	principal, err := d.principal(id)
	if err != nil {
		return input{}, err
	}
	context, err := d.context(r)
	if err != nil {
		return input{}, err
	}
	return input{
		request:  cedar.Request{Principal: principal.UID, Action: d.action, Resource: d.resource, Context: context},
		entities: types.EntityMap{principal.UID: principal, d.resource: d.endpoint(r)},
	}, nil
}

// principal is the caller as an entity.
func (d *Decider) principal(id *shield.Identity) (types.Entity, error) {
	attributes := make(types.RecordMap, 8)
	for _, named := range [...]struct {
		name  types.String
		value string
	}{
		{"client", id.Client},
		{"user", id.User},
		{"tenant", id.Tenant},
		{"issuer", id.Issuer},
		{"subject", id.Subject},
		{"shield", id.Shield},
	} {
		if named.value != "" {
			attributes[named.name] = types.String(named.value)
		}
	}
	scopes := make([]types.Value, len(id.Scopes))
	for i, scope := range id.Scopes {
		scopes[i] = types.String(scope)
	}
	attributes["scopes"] = types.NewSet(scopes...)
	held, err := attributesOf(id.Attributes, d.needs.attributes)
	if err != nil {
		return types.Entity{}, err
	}
	attributes["attributes"] = held

	uid := types.NewEntityUID("Client", types.String(id.Client))
	var parents []types.EntityUID
	if id.User != "" {
		parents = append(parents, uid)
		uid = types.NewEntityUID("User", types.String(id.Issuer+"#"+id.User))
	}
	if id.Tenant != "" {
		parents = append(parents, types.NewEntityUID("Tenant", types.String(id.Tenant)))
	}
	return types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...), Attributes: types.NewRecord(attributes)}, nil
}

func attributesOf(attributes map[string]any, want *strictjson.Want) (types.Value, error) {
	if want == nil || attributes == nil {
		return types.Record{}, nil
	}
	if !want.All && len(want.Members) == 0 {
		return types.Record{}, nil // somebody asks only whether there are any
	}
	return convert("principal.attributes", attributes, want)
}

func (d *Decider) endpoint(r *http.Request) types.Entity {
	path := make(types.RecordMap, len(d.wildcards))
	for _, name := range d.wildcards {
		path[types.String(name)] = types.String(r.PathValue(name))
	}
	attributes := types.RecordMap{"api": d.fixed["api"], "endpoint": d.fixed["endpoint"], "path": types.NewRecord(path)}
	return types.Entity{UID: d.resource, Parents: d.parent, Attributes: types.NewRecord(attributes)}
}

func wildcardsOf(pattern string) []string {
	var names []string
	for segment := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok && name != "$}" {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
		}
	}
	return names
}

func (d *Decider) context(r *http.Request) (types.Record, error) {
	context := make(types.RecordMap, 6)
	host, ok := shield.HostName(r.Host)
	if !ok {
		return types.Record{}, &unreadable{"the request's host is no name or address"}
	}
	context["method"], context["host"] = types.String(r.Method), types.String(host)
	context["time"] = types.NewDatetime(d.now())
	if addr := shield.RemoteAddr(r); addr.IsValid() {
		if ip, err := types.ParseIPAddr(addr.WithZone("").String()); err == nil {
			context["address"] = ip
		}
	}
	query, err := queryOf(r.URL.RawQuery, d.needs.query)
	if err != nil {
		return types.Record{}, err
	}
	context["query"] = query
	body, err := bodyOf(r, d.needs.body)
	if err != nil {
		return types.Record{}, err
	}
	if body != nil {
		context["body"] = body
	}
	return types.NewRecord(context), nil
}

// queryOf converts the wanted parameters. One that stands twice has no value that
// everybody reads alike.
func queryOf(raw string, want *strictjson.Want) (types.Value, error) {
	if want == nil || raw == "" {
		return types.Record{}, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &unreadable{"the query, which a policy names, cannot be parsed"}
	}
	if want.All && hasTwins(values) {
		return nil, unfit("the query", "one with two parameters that differ only in case")
	}
	record := types.RecordMap{}
	for name, all := range values {
		switch {
		case resembles(name, want):
			return nil, unfit("a parameter of the query", "there in another case")
		case !want.All && want.Members[name] == nil:
			continue
		case len(all) != 1:
			return nil, unfit("a parameter of the query", "there more than once")
		}
		record[types.String(name)] = types.String(all[0])
	}
	return types.NewRecord(record), nil
}

// resembles reports whether the name differs from a wanted one only in case.
func resembles(name string, want *strictjson.Want) bool {
	if want.Members[name] != nil {
		return false
	}
	for wanted := range want.Members {
		if strings.EqualFold(wanted, name) {
			return true
		}
	}
	return false
}

// bodyOf reads the body strictly and converts what is wanted; nil if there is no
// body.
func bodyOf(r *http.Request, want *strictjson.Want) (types.Value, error) {
	if want == nil {
		return nil, nil
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return nil, err
	}
	text, err := kept.Bytes()
	if err != nil || len(text) == 0 {
		return nil, err
	}
	if !isJSON(r.Header["Content-Type"]) || len(r.Header["Content-Encoding"]) > 0 {
		return nil, &unreadable{"a policy names the body, which is not sent as plain JSON"}
	}
	value, err := strictjson.Select(text, want)
	if err != nil {
		return nil, &unreadable{"the body, which a policy names, is no strict " + err.Error()}
	}
	if _, ok := value.(map[string]any); !ok && !want.All {
		return nil, unfit("context.body", "no object")
	}
	return convert("context.body", value, want)
}

// isJSON reports whether the header says, once and in one way, that the body is
// JSON (RFC 8259 §11: in UTF-8).
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, parameters, err := mime.ParseMediaType(contentType[0])
	if err != nil || media != "application/json" && !(strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")) {
		return false
	}
	charset, ok := parameters["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}
