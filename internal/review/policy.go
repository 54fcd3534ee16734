package review

import (
	"bytes"
	"slices"

	"pavise.dev/pavise/audit"
)

// Policy is a Cedar policy, as far as its head tells whom and what it can be about.
//
// The event of an accepted request does not say which permit let it pass. It says who called which
// endpoint, and so which permits could have: if it is one alone, that one did. What forbade a
// request the event names.
type Policy struct {
	Name        string   `json:"policy"` // file, number, and its id if it has one
	File        string   `json:"file"`
	Line        int      `json:"line,omitempty"`
	Forbid      bool     `json:"forbid,omitempty"`
	Conditional bool     `json:"conditional,omitempty"` // it has when or unless
	Anybody     bool     `json:"anybody,omitempty"`     // its head names no principal
	Anything    bool     `json:"anything,omitempty"`    // its head names neither action nor resource
	Reaches     []string `json:"-"`                     // endpoints that its head lets in: API, space, pattern
	Clients     []string `json:"-"`                     // clients of the store that its head lets in
	People      []string `json:"-"`                     // users that its head names: issuer#user
	Shadow      string   `json:"shadow,omitempty"`      // another policy, without which it would decide something; empty: none
}

// PolicyUse is what a policy was good for.
type PolicyUse struct {
	Policy

	Requests int `json:"requests"`         // accepted ones that it could have permitted
	Alone    int `json:"alone"`            // of these, those that no other permit could have
	Forbade  int `json:"forbade"`          // requests that it refused
	Callers  int `json:"callers"`          // clients of the store that made them
	Of       int `json:"of"`               // clients that its head lets in
	Unsaid   int `json:"unsaid,omitempty"` // accepted requests of callers whom the store does not know: whether its head lets them in is not known
}

// policy counts what a request tells of policies.
func (u *use) policy(at int32, r *record, accepted bool) {
	if len(u.x.policies) == 0 {
		return
	}
	if accepted {
		if len(u.x.people) > 0 && len(r.user) > 0 {
			u.key = append(append(append(u.key[:0], r.issuer...), '#'), r.user...)
			if i, named := u.x.people[string(u.key)]; named {
				u.people[[2]int32{at, i}] += r.count
			}
		}
		return
	}
	if string(r.step) != "policy" || string(r.decision) != string(audit.Refused) {
		return
	}
	_, rest, _ := bytes.Cut(r.detail, []byte("policy "))
	name, _, forbids := bytes.Cut(rest, []byte(" forbids it"))
	if i, known := u.x.policies[string(name)]; forbids && known {
		u.forbade[i] += r.count
	}
}

// policies says what each policy was good for.
func (u *use) policies() []PolicyUse {
	g := u.x.granted
	all := make([]PolicyUse, len(g.Policies))
	for i, p := range g.Policies {
		all[i] = PolicyUse{Policy: p, Forbade: u.forbade[i], Of: len(p.Clients)}
	}
	if len(all) == 0 {
		return all
	}
	callers := make([]map[string]bool, len(all))
	for key, c := range u.cells {
		if c.accepted == 0 {
			continue
		}
		endpoint, name := g.Endpoints[key.endpoint].String(), u.clientOf(key.who)
		var could []int
		for i := range all {
			if all[i].Forbid || !slices.Contains(all[i].Reaches, endpoint) {
				continue
			}
			switch {
			case all[i].Anybody || name != "" && slices.Contains(all[i].Clients, name):
				could = append(could, i)
			case name == "":
				all[i].Unsaid += c.accepted
			}
		}
		for _, i := range could {
			all[i].Requests += c.accepted
			if len(could) == 1 {
				all[i].Alone += c.accepted
			}
			if name != "" {
				if callers[i] == nil {
					callers[i] = map[string]bool{}
				}
				callers[i][name] = true
			}
		}
	}
	for i := range all {
		all[i].Callers = len(callers[i])
		for _, who := range all[i].People {
			for at := range g.Endpoints {
				if n := u.people[[2]int32{int32(at), u.x.people[who]}]; n > 0 && slices.Contains(all[i].Reaches, g.Endpoints[at].String()) {
					all[i].Requests += n
				}
			}
		}
	}
	return all
}

// clientOf is the client of the store who sent a request; empty: none of them.
func (u *use) clientOf(who int32) string {
	g := u.x.granted
	switch n := int32(len(g.Credentials)); {
	case who < 0 || who >= u.firstStranger():
		return ""
	case who < n:
		return g.Credentials[who].Client
	default:
		return g.Clients[who-n].ID
	}
}
