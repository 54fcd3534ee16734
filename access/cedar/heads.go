package cedar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Head is what a policy says before its conditions: whom, which action and which resource it is
// about. It bounds what the policy can decide, whatever a request holds.
type Head struct {
	Name        string // as in refusals: file, number, and its id if it has one
	File        string
	Line        int // from 1
	Forbid      bool
	Conditional bool     // it has conditions, too
	Anybody     bool     // it names no principal
	Anything    bool     // it names neither action nor resource
	People      []string // users that it names: issuer#name

	form headForm
}

// headForm is a head in Cedar's public JSON form.
type headForm struct {
	Effect     string `json:"effect"`
	Principal  scope  `json:"principal"`
	Action     scope  `json:"action"`
	Resource   scope  `json:"resource"`
	Conditions []any  `json:"conditions"`
}

// Heads reads the heads of all policies, in their order.
func Heads(files []File) ([]Head, error) {
	var all []Head
	for _, file := range files {
		list, err := compileFile(file)
		if err != nil {
			return nil, err
		}
		for i, p := range list {
			h, err := headOf(p.compiled)
			if err != nil {
				return nil, fmt.Errorf("look at policy %d of %s: %w", i+1, file.Name, err)
			}
			h.Name, h.File = fmt.Sprintf("%s#%d", file.Name, i+1), file.Name
			if given := p.form.Annotations["id"]; given != "" {
				h.Name += " (" + given + ")"
			}
			h.Line = p.compiled.Position().Line
			all = append(all, h)
		}
	}
	return all, nil
}

func headOf(p *cedar.Policy) (h Head, err error) {
	text, err := p.MarshalJSON()
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(text, &h.form); err != nil {
		return h, err
	}
	h.Forbid = h.form.Effect == "forbid"
	h.Conditional = len(h.form.Conditions) > 0
	h.Anybody = h.form.Principal.Op == "All"
	h.Anything = h.form.Action.Op == "All" && h.form.Resource.Op == "All"
	for _, e := range h.form.Principal.named() {
		if e.Type == "User" {
			h.People = append(h.People, e.ID)
		}
	}
	return h, nil
}

func (s scope) named() []entityName {
	all := s.Entities
	if s.Entity != nil {
		all = append([]entityName{*s.Entity}, all...)
	}
	if s.In != nil {
		all = append([]entityName{s.In.Entity}, all...)
	}
	return all
}

// About reports whether the head can be about an endpoint, whoever calls it.
func (h *Head) About(api, endpoint string) bool {
	method, _, _ := strings.Cut(endpoint, " ")
	return h.form.Action.mayBe(types.NewEntityUID("Action", types.String(method))) &&
		h.form.Resource.mayBe(types.NewEntityUID("Endpoint", types.String(api+" "+endpoint)), types.NewEntityUID("API", types.String(api)))
}

// LetsIn reports whether the head can be about a client, or about users that it acts for.
func (h *Head) LetsIn(client, tenant string) bool {
	own := types.NewEntityUID("Client", types.String(client))
	uids := []types.EntityUID{own}
	if tenant != "" {
		uids = append(uids, types.NewEntityUID("Tenant", types.String(tenant)))
	}
	principal := h.form.Principal
	if principal.Op == "is" && principal.EntityType == "User" {
		return principal.In == nil || principal.In.Entity.is(uids[0]) || len(uids) > 1 && principal.In.Entity.is(uids[1])
	}
	return principal.mayBe(uids...)
}

// Shadows reports whether another policy decides nothing because of this one: both are about the
// same, this one without a condition, and what it says goes before: a forbid before anything, a permit
// before a permit.
func (h *Head) Shadows(other *Head) bool {
	if h.Conditional || !h.Forbid && other.Forbid {
		return false
	}
	return h.form.Principal.covers(other.form.Principal) && h.form.Action.covers(other.form.Action) && h.form.Resource.covers(other.form.Resource)
}

// covers reports whether a part of a head holds wherever another one does, as far as that can be
// seen in them alone.
func (s scope) covers(other scope) bool {
	switch {
	case s.Op == "All":
		return true
	case s.Op == "==" || s.Op == "in" && s.Entity != nil && len(s.Entities) == 0:
		same := other.Entity != nil && s.Entity != nil && *s.Entity == *other.Entity
		if s.Op == "==" {
			return other.Op == "==" && same
		}
		return same && (other.Op == "==" || other.Op == "in") || other.Op == "is" && other.In != nil && other.In.Entity == *s.Entity
	case s.Op == "in":
		for _, e := range other.named() {
			if !slices.Contains(s.Entities, e) {
				return false
			}
		}
		return (other.Op == "==" || other.Op == "in") && len(other.named()) > 0
	case s.Op == "is":
		inside := s.In == nil || other.In != nil && s.In.Entity == other.In.Entity
		return inside && (other.Op == "is" && s.EntityType == other.EntityType || s.In == nil && other.Op == "==" && other.Entity != nil && other.Entity.Type == s.EntityType)
	}
	return false
}
