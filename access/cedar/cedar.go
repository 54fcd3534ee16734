// Package cedar decides with Cedar policies where scopes are not enough: conditions
// of single endpoints, and policy files that hold for all.
//
// A [Decider] is a layer of the guard. It denies unless everything says yes: the
// condition, and, if there are policy files, a permit of theirs; a forbid wins. Any
// error while a policy is evaluated denies, whatever the others say: Cedar alone
// would let a forbid whose condition errs pass.
//
// Policies see
//
//	principal  User::"issuer#name" in its Client, or Client::"name" where there is no user; both in their Tenant.
//	           client, user, tenant, issuer, subject, shield (those that there are), scopes (a set), attributes (a record)
//	action     Action::"GET": the method of the endpoint's pattern. HEAD follows GET
//	resource   Endpoint::"orders GET /v1/orders/{id}" in API::"orders": api, endpoint, path (a record of the pattern's values)
//	context    method, host (the configured name, without a port, however the caller spelled it),
//	           query (a record), address (ip), time (datetime), body
//
// Of the body, the query and the attributes only what a policy names is converted,
// and the body is read only where one is named. What is named and there must have a
// value that everybody reads alike: a null, a fraction, a number beyond 64 bits, a
// member of something that is no object, a name that stands twice or differs from
// the named one only in case, or a body that is no strict JSON deny, before any
// policy is asked. Otherwise `has` would tell a
// forbid that there is nothing to forbid. What is missing is missing: naming it
// errs, and so denies, unless the policy asks with `has` first.
package cedar

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

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
	action    types.EntityUID
	resource  types.EntityUID
	fixed     types.RecordMap // attributes of the resource that no request changes
	parent    types.EntityUIDSet
	condition *cedar.PolicySet // nil: none
	policies  *cedar.PolicySet // nil: none
	names     map[cedar.PolicyID]string
	needs     needs
	wildcards []string
	maxBody   int64
	now       func() time.Time
}

const defaultMaxBody = 1 << 20

// New compiles the policies for one endpoint. What is no policy is a
// [*SyntaxError]. Policies that can never apply to the endpoint cost nothing there.
func New(s Settings) (*Decider, error) {
	method, path, ok := strings.Cut(s.Endpoint, " ")
	if !ok || method == "" || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("endpoint %q: want METHOD /path", s.Endpoint)
	}
	api := types.NewEntityUID("API", types.String(s.API))
	d := &Decider{
		action:    types.NewEntityUID("Action", types.String(method)),
		resource:  types.NewEntityUID("Endpoint", types.String(s.API+" "+s.Endpoint)),
		fixed:     types.RecordMap{"api": types.String(s.API), "endpoint": types.String(s.Endpoint)},
		parent:    types.NewEntityUIDSet(api),
		names:     map[cedar.PolicyID]string{},
		wildcards: wildcardsOf(s.Endpoint), maxBody: s.MaxBody, now: s.Now,
	}
	if d.maxBody == 0 {
		d.maxBody = defaultMaxBody
	}
	if d.now == nil {
		d.now = time.Now
	}
	if s.Condition != "" {
		condition, err := compileCondition(s.Condition)
		if err != nil {
			return nil, err
		}
		d.condition = cedar.NewPolicySet()
		d.add(d.condition, "condition", condition)
	}
	if len(s.Policies) > 0 {
		d.policies = cedar.NewPolicySet()
		for i, file := range s.Policies {
			if slices.ContainsFunc(s.Policies[:i], func(f File) bool { return f.Name == file.Name }) {
				return nil, fmt.Errorf("policy file %s stands twice", file.Name)
			}
			if err := d.addFile(file, api); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *Decider) addFile(file File, api types.EntityUID) error {
	list, err := compileFile(file)
	if err != nil {
		return err
	}
	for i, p := range list {
		if p.mayApply(d.action, d.resource, api) {
			d.add(d.policies, fmt.Sprintf("%s#%d", file.Name, i+1), p)
		}
	}
	return nil
}

func (d *Decider) add(set *cedar.PolicySet, name string, p policy) {
	id := cedar.PolicyID(name)
	set.Add(id, p.compiled)
	if given := p.form.Annotations["id"]; given != "" {
		name += " (" + given + ")"
	}
	d.names[id] = name
	d.needs.learn(p.form.Conditions)
}

// Body says how much of the body is read: nothing, unless a policy names it.
func (d *Decider) Body() int64 {
	if d.needs.body == nil {
		return 0
	}
	return d.maxBody
}

// Check implements the guard's layer.
func (d *Decider) Check(r *http.Request, id *shield.Identity) error {
	in, err := d.input(r, id)
	if fault, ok := err.(*unreadable); ok {
		return denied(id, "%s", fault.reason)
	}
	if err != nil {
		return err
	}
	for _, set := range []*cedar.PolicySet{d.condition, d.policies} {
		if set == nil {
			continue
		}
		if err := d.decide(set, in, id); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decider) decide(set *cedar.PolicySet, in input, id *shield.Identity) error {
	decision, diagnostic := cedar.Authorize(set, in.entities, in.request)
	switch {
	case len(diagnostic.Errors) > 0:
		first := diagnostic.Errors[0]
		return denied(id, "policy %s could not be evaluated: %s", d.names[first.PolicyID], cause(first.Message))
	case decision == cedar.Allow:
		return nil
	case len(diagnostic.Reasons) > 0:
		return denied(id, "policy %s forbids it", d.names[diagnostic.Reasons[0].PolicyID])
	}
	return denied(id, "no policy permits it")
}

// cause leaves out what messages of Cedar quote from the request.
func cause(message string) string {
	for _, plain := range []string{"type error: expected", "record does not have the attribute", "`Client::", "`User::", "`Endpoint::"} {
		if strings.HasPrefix(message, plain) {
			return message
		}
	}
	if strings.HasPrefix(message, "integer overflow") {
		return "integer overflow"
	}
	return "a function does not accept its argument"
}

func denied(id *shield.Identity, format string, args ...any) error {
	return shield.Refuse(shield.Denied, format, args...).Of(id.CredentialID, id.Client, true)
}
