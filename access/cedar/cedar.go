// Package cedar decides with Cedar policies where scopes are not enough: conditions
// of single endpoints, and policy files that hold for all.
//
// A [Decider] is a layer of the guard. It denies unless everything says yes: the
// condition, and, if there are policy files, their permit; a forbid wins. Any error
// while a policy is evaluated denies, whatever the others say: Cedar alone would let
// a forbid whose condition errs pass.
//
// Policies see
//
//	principal  the client, or the user if there is one: client, user, tenant, issuer, subject, shield,
//	           scopes (a set), attributes (a record)
//	action     Action::"GET"
//	resource   Endpoint::"orders GET /v1/orders/{id}": api, endpoint, path (a record of the pattern's values)
//	context    method, host, query (a record of those that stand once), address (ip), time (datetime), body
//
// Of the body, read strictly as JSON, only the paths that a policy names are
// converted: a value that is missing, null, a fraction, or beyond 64 bits makes the
// policy err, and so denies. A name that stands twice in the body denies as well.
package cedar

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Settings are what a Decider is compiled from.
type Settings struct {
	API, Endpoint string
	Condition     string           // one expression of Cedar; empty: none
	Policies      []File           // hold beside the condition; empty: none
	MaxBody       int64            // bytes of the body that are read where a policy names it; 0: 1 MiB
	Now           func() time.Time // nil: time.Now
}

// File is a policy file.
type File struct{ Name, Text string }

// Decider is compiled policies. It is safe for concurrent use.
type Decider struct {
	resource  types.EntityUID
	api       string
	endpoint  string
	condition *cedar.PolicySet
	policies  *cedar.PolicySet
	paths     *paths
	wildcards []string
	maxBody   int64
	now       func() time.Time
}

const defaultMaxBody = 1 << 20

// New compiles policies. A syntax error names its file and line.
func New(s Settings) (*Decider, error) {
	d := &Decider{
		resource: types.NewEntityUID("Endpoint", types.String(s.API+" "+s.Endpoint)), api: s.API, endpoint: s.Endpoint,
		paths: &paths{}, maxBody: s.MaxBody, now: s.Now, wildcards: wildcardsOf(s.Endpoint),
	}
	if d.maxBody == 0 {
		d.maxBody = defaultMaxBody
	}
	if d.now == nil {
		d.now = time.Now
	}
	if s.Condition != "" {
		compiled, err := compileCondition(s.Condition)
		if err != nil {
			return nil, err
		}
		d.condition = compiled
	}
	if len(s.Policies) > 0 {
		compiled, err := compileFiles(s.Policies)
		if err != nil {
			return nil, err
		}
		d.policies = compiled
	}
	for _, set := range []*cedar.PolicySet{d.condition, d.policies} {
		if err := d.paths.learn(set); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// compileCondition makes a policy of one expression. What would end the expression
// and begin another policy is refused.
func compileCondition(expression string) (*cedar.PolicySet, error) {
	set, err := cedar.NewPolicySetFromBytes("condition", []byte("permit(principal, action, resource) when {\n"+expression+"\n};"))
	if err != nil {
		return nil, fmt.Errorf("condition %q: %w; write one expression of Cedar, such as principal.tenant == context.body.tenant", expression, err)
	}
	policies := maps.Collect(set.All())
	if len(policies) != 1 {
		return nil, fmt.Errorf("condition %q holds more than one expression", expression)
	}
	for _, policy := range policies {
		text, err := policy.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("condition %q: %w", expression, err)
		}
		if strings.Count(string(text), `"kind"`) != 1 {
			return nil, fmt.Errorf("condition %q holds more than one expression", expression)
		}
	}
	return set, nil
}

func compileFiles(files []File) (*cedar.PolicySet, error) {
	all := cedar.NewPolicySet()
	for _, file := range files {
		list, err := cedar.NewPolicyListFromBytes(file.Name, []byte(file.Text))
		if err != nil {
			return nil, fmt.Errorf("policy file %s: %w", file.Name, err)
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("policy file %s holds no policy", file.Name)
		}
		for i, policy := range list {
			all.Add(cedar.PolicyID(fmt.Sprintf("%s#%d", file.Name, i+1)), policy)
		}
	}
	return all, nil
}

// Body says how much of the body is read: nothing, unless a policy names it.
func (d *Decider) Body() int64 {
	if d.paths.any() {
		return d.maxBody
	}
	return 0
}

// Check implements the guard's layer.
func (d *Decider) Check(r *http.Request, id *shield.Identity) error {
	context, err := d.context(r)
	if err != nil {
		return err
	}
	principal := principalOf(id)
	request := cedar.Request{
		Principal: principal.UID, Action: types.NewEntityUID("Action", types.String(r.Method)), Resource: d.resource, Context: context,
	}
	entities := types.EntityMap{principal.UID: principal, d.resource: d.entity(r)}
	for _, set := range []*cedar.PolicySet{d.condition, d.policies} {
		if set == nil {
			continue
		}
		if err := decide(set, entities, request, id); err != nil {
			return err
		}
	}
	return nil
}

func decide(set *cedar.PolicySet, entities types.EntityMap, request cedar.Request, id *shield.Identity) error {
	decision, diagnostic := cedar.Authorize(set, entities, request)
	if len(diagnostic.Errors) > 0 {
		first := diagnostic.Errors[0]
		return denied(id, "policy %s could not be evaluated: %s", first.PolicyID, first.Message)
	}
	if decision != cedar.Allow {
		if len(diagnostic.Reasons) > 0 {
			return denied(id, "policy %s forbids it", diagnostic.Reasons[0].PolicyID)
		}
		return denied(id, "no policy permits it")
	}
	return nil
}

func denied(id *shield.Identity, format string, args ...any) error {
	return shield.Refuse(shield.Denied, format, args...).Of(id.CredentialID, id.Client, true)
}

// principalOf is the caller as an entity.
func principalOf(id *shield.Identity) types.Entity {
	uid := types.NewEntityUID("Client", types.String(id.Client))
	if id.User != "" {
		uid = types.NewEntityUID("User", types.String(id.Issuer+"#"+id.User))
	}
	scopes := make([]types.Value, 0, len(id.Scopes))
	for _, scope := range id.Scopes {
		scopes = append(scopes, types.String(scope))
	}
	attributes := types.RecordMap{"scopes": types.NewSet(scopes...), "attributes": attributesOf(id.Attributes)}
	for name, value := range map[string]string{
		"client": id.Client, "user": id.User, "tenant": id.Tenant, "issuer": id.Issuer, "subject": id.Subject, "shield": id.Shield,
	} {
		if value != "" {
			attributes[types.String(name)] = types.String(value)
		}
	}
	return types.Entity{UID: uid, Attributes: types.NewRecord(attributes)}
}

// attributesOf leaves out what Cedar has no type for: naming it errs, and denies.
func attributesOf(attributes map[string]any) types.Record {
	record := types.RecordMap{}
	for name, value := range attributes {
		if converted, ok := fromGo(value); ok {
			record[types.String(name)] = converted
		}
	}
	return types.NewRecord(record)
}

func (d *Decider) entity(r *http.Request) types.Entity {
	path := types.RecordMap{}
	for _, name := range d.wildcards {
		path[types.String(name)] = types.String(r.PathValue(name))
	}
	return types.Entity{UID: d.resource, Attributes: types.NewRecord(types.RecordMap{
		"api": types.String(d.api), "endpoint": types.String(d.endpoint), "path": types.NewRecord(path),
	})}
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
	context := types.RecordMap{
		"method": types.String(r.Method), "host": types.String(r.Host), "query": queryOf(r.URL.RawQuery), "time": types.NewDatetime(d.now()),
	}
	if addr := shield.RemoteAddr(r); addr.IsValid() {
		if ip, err := types.ParseIPAddr(addr.String()); err == nil {
			context["address"] = ip
		}
	}
	if !d.paths.any() {
		return types.NewRecord(context), nil
	}
	body, err := d.body(r)
	if err != nil {
		return types.Record{}, err
	}
	if body != nil {
		context["body"] = body
	}
	return types.NewRecord(context), nil
}

// queryOf holds the parameters that stand exactly once.
func queryOf(raw string) types.Record {
	record := types.RecordMap{}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return types.NewRecord(record)
	}
	for name, all := range values {
		if len(all) == 1 {
			record[types.String(name)] = types.String(all[0])
		}
	}
	return types.NewRecord(record)
}

// body reads the body strictly and converts what policies name. A body that is no
// JSON is absent, so that naming it denies.
func (d *Decider) body(r *http.Request) (types.Value, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil, nil
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return nil, err
	}
	text, err := kept.Bytes()
	if err != nil {
		return nil, err
	}
	value, err := strictjson.Parse(text)
	if err != nil {
		return nil, shield.Refuse(shield.Denied, "the body that a policy asks about is no strict JSON: %v", err)
	}
	converted, ok := d.paths.convert(value)
	if !ok {
		return nil, nil
	}
	return converted, nil
}
