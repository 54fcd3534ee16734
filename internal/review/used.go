package review

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// Used is what was used of what is granted, and what was not.
type Used struct {
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	Begins   *time.Time `json:"log_begins,omitempty"` // nil: there is no log
	Changed  *time.Time `json:"configuration_read"`   // when the gateway last read a configuration, within the time; nil: not
	Records  int        `json:"records"`
	Requests int        `json:"requests"` // at endpoints
	Accepted int        `json:"accepted"`
	Gone     int        `json:"gone,omitempty"`     // records of which nothing is left
	Erased   int        `json:"erased,omitempty"`   // requests of which the sender was erased
	Unlisted int        `json:"unlisted,omitempty"` // requests of callers beyond those that are listed
	Damage   string     `json:"damage,omitempty"`

	Clients     []ClientUse     `json:"clients"`
	Credentials []CredentialUse `json:"credentials"`
	Endpoints   []EndpointUse   `json:"endpoints"`
	Strangers   []StrangerUse   `json:"strangers"` // callers whom the store does not know: other issuers' clients, certificates that a rule lets in
	Grants      []GrantUse      `json:"grants"`
	Policies    []PolicyUse     `json:"policies"`
	Removed     []EndpointUse   `json:"removed"` // endpoints that are not configured any more, and were called

	use *use
}

// Activity is when and how often something was used.
type Activity struct {
	Requests int        `json:"requests"` // accepted
	Refused  int        `json:"refused"`  // of those who had proved who they are
	First    *time.Time `json:"first,omitempty"`
	Last     *time.Time `json:"last,omitempty"`
	Sample   string     `json:"sample,omitempty"` // id of the last request
}

// ScopeUse is a scope that somebody has.
type ScopeUse struct {
	Scope    string `json:"scope"`
	Requests int    `json:"requests"`        // accepted ones that demanded it
	Maybe    int    `json:"maybe,omitempty"` // accepted ones of which a condition or a field may have asked for it
	Standing bool   `json:"standing,omitempty"`

	since time.Time // when the first endpoint that asks for it was put into the policy; zero: before, or none asks
}

// used reports whether it must be taken for used.
func (s *ScopeUse) used() bool { return s.Requests+s.Maybe > 0 || s.Standing }

// ClientUse is what a client used.
type ClientUse struct {
	Client   string    `json:"client"`
	Contact  string    `json:"contact,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled,omitempty"`
	Activity
	Users      int        `json:"users"`
	AboutUsers bool       `json:"users_about,omitempty"`
	Tokens     int        `json:"tokens,omitempty"` // acts at the authorization server
	Scopes     []ScopeUse `json:"scopes"`
	Unused     []string   `json:"unused"`
	Endpoints  []string   `json:"endpoints"`
	Methods    []string   `json:"methods"`
	Registered bool       `json:"registered,omitempty"` // at the authorization server: it asks for scopes by name
	Elsewhere  string     `json:"elsewhere,omitempty"`  // why the log does not tell of all that it did; empty: it does

	given time.Time // when it was made, or last given a scope
}

// CredentialUse is what a credential was used for.
type CredentialUse struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Client  string    `json:"client"`
	Created time.Time `json:"created"`
	Activity
	Ends         time.Time      `json:"ends,omitzero"`
	LastUsed     time.Time      `json:"last_used,omitzero"` // as the store knows, on whatever node
	Rotated      bool           `json:"rotated,omitempty"`  // it came after another one
	ReplacedBy   string         `json:"replaced_by,omitempty"`
	Scopes       []ScopeUse     `json:"scopes"`
	Unused       []string       `json:"unused"`
	Endpoints    []string       `json:"endpoints"`
	Networks     map[string]int `json:"networks"` // /24 and /48, with their requests; the most frequent
	NetworkCount int            `json:"network_count"`
	AboutCount   bool           `json:"network_about,omitempty"`
	Bound        bool           `json:"bound,omitempty"` // it is good from some networks only
	Old          int            `json:"old,omitempty"`   // requests after the age at which it ought to be changed
	Elsewhere    string         `json:"elsewhere,omitempty"`

	family []int32
	born   time.Time // of the first of its family
	short  bool      // a certificate of the own authority: it ends, and is renewed, by itself
}

// EndpointUse is how an endpoint was used.
type EndpointUse struct {
	Configured
	Activity
	Clients int        `json:"clients"`             // different callers who proved who they are
	New     *time.Time `json:"new_since,omitempty"` // when it was put into the policy, within the time

	added time.Time // to the policy; zero: before the time, as far as is known
}

// StrangerUse is what somebody did whom the store does not know.
type StrangerUse struct {
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	Activity
	Endpoints []string `json:"endpoints"`
}

// GrantUse is how a grant of the authorization server was used.
type GrantUse struct {
	Grant
	Activity
}

// Read reads logs, and says what of what is granted was used within a time.
func Read(ctx context.Context, folders []string, g *Granted, w Window) (*Used, error) {
	x := newIndex(g)
	u, damage, err := look(ctx, folders, x, w)
	if err != nil {
		return nil, err
	}
	out := &Used{
		Since: w.Since, Until: w.Until, Records: u.records, Requests: u.requests, Accepted: u.accepted, Gone: u.gone, Erased: u.erased,
		Unlisted: u.others, Damage: damage, use: u,
	}
	for _, folder := range folders {
		begin, err := audit.Begins(folder)
		if err != nil {
			return nil, err
		}
		if !begin.IsZero() && (out.Begins == nil || begin.After(*out.Begins)) {
			out.Begins = &begin // of several logs, all of which are needed, the one that begins last
		}
	}
	if len(u.loads) > 0 {
		at := time.UnixMicro(slices.Max(u.loads)).UTC()
		out.Changed = &at
	}
	out.Clients, out.Credentials = u.clients(), u.credentials()
	out.elsewhere()
	out.Endpoints, out.Strangers, out.Grants, out.Policies, out.Removed = u.endpoints(), u.strangers(), u.grantUses(), u.policies(), u.removed()
	return out, nil
}

// Covers is how much of the time the log covers, from 0 to 1.
func (u *Used) Covers() float64 {
	switch {
	case u.Begins == nil:
		return 0
	case !u.Begins.After(u.Since):
		return 1
	}
	return float64(u.Until.Sub(*u.Begins)) / float64(u.Until.Sub(u.Since))
}

func (c *cell) activity() Activity {
	a := Activity{Requests: c.accepted, Refused: c.refused, Sample: string(c.id)}
	if c.accepted > 0 {
		first, last := time.UnixMicro(c.first).UTC(), time.UnixMicro(c.last).UTC()
		a.First, a.Last = &first, &last
	}
	return a
}

// cellsOf are the cells of accepted requests of some callers.
func (u *use) cellsOf(who map[int32]bool) map[int32]*cell {
	at := map[int32]*cell{}
	for key, c := range u.cells {
		if !who[key.who] || c.accepted == 0 {
			continue
		}
		if at[key.endpoint] == nil {
			at[key.endpoint] = &cell{}
		}
		at[key.endpoint].merge(c)
	}
	return at
}

// scopesUsed says of each scope that somebody has what he used it for.
func (u *use) scopesUsed(has shield.Scopes, at map[int32]*cell, demanded map[string]time.Time) (all []ScopeUse, unused []string) {
	all, unused = []ScopeUse{}, []string{}
	for _, scope := range has {
		s := ScopeUse{Scope: scope, Standing: slices.Contains(u.x.granted.Standing, scope), since: scopeSince(scope, demanded)}
		for i, c := range at {
			e := &u.x.granted.Endpoints[i]
			switch {
			case covers(scope, e.Scopes):
				s.Requests += c.accepted
			case covers(scope, e.Named):
				s.Maybe += c.accepted
			}
		}
		if all = append(all, s); !s.used() {
			unused = append(unused, scope)
		}
	}
	return all, unused
}

// covers reports whether a scope that was granted, which may end in a star, is one of those that
// are demanded.
func covers(granted string, demanded []string) bool {
	return len(shield.Scopes(demanded).Within(shield.Scopes{granted})) > 0
}

// called are the names and methods of endpoints.
func (u *use) called(at map[int32]*cell) (names, methods []string) {
	names, methods = []string{}, []string{}
	for i := range at {
		e := &u.x.granted.Endpoints[i]
		method, _, _ := strings.Cut(e.Pattern, " ")
		names = append(names, e.String())
		if !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	slices.Sort(names)
	slices.Sort(methods)
	return names, methods
}

func (u *use) clients() []ClientUse {
	g, demanded := u.x.granted, u.demandedSince()
	all := []ClientUse{}
	for i, c := range g.Clients {
		if isOwn(c.ID) {
			continue
		}
		who := map[int32]bool{int32(len(g.Credentials) + i): true}
		registered := false
		for n, held := range g.Credentials {
			if held.Client == c.ID {
				who[int32(n)] = true
				registered = registered || held.Kind == kindRegistration && held.Revoked.IsZero()
			}
		}
		out := ClientUse{Client: c.ID, Contact: c.Contact, Tenant: c.Tenant, Created: c.Created, Disabled: c.Disabled, Registered: registered, given: c.Created}
		if at, was := u.widened[int32(i)]; was {
			out.given = time.UnixMicro(at)
		}
		at := u.cellsOf(who)
		out.Scopes, out.Unused = u.scopesUsed(c.Scopes, at, demanded)
		out.Endpoints, out.Methods = u.called(at)
		var sum activity
		for n := range who {
			if a := u.who[n]; a != nil {
				sum.merge(a)
			}
		}
		out.Activity = sum.activity()
		n, exact := sum.users.count()
		out.Users, out.AboutUsers = n, !exact
		if t := u.tokens[int32(i)]; t != nil {
			out.Tokens = t.accepted
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b ClientUse) int { return cmp.Compare(a.Client, b.Client) })
	return all
}

func (u *use) credentials() []CredentialUse {
	g, demanded := u.x.granted, u.demandedSince()
	families := family(g.Credentials)
	owners := map[string]*client.Client{}
	for i := range g.Clients {
		owners[g.Clients[i].ID] = &g.Clients[i]
	}
	all := []CredentialUse{}
	for i := range g.Credentials {
		c := &g.Credentials[i]
		owner := owners[c.Client]
		if owner == nil || isOwn(c.Client) || !c.Revoked.IsZero() {
			continue
		}
		out := CredentialUse{
			Kind: c.Kind, ID: c.ID, Client: c.Client, Created: c.Created, Ends: c.End(), LastUsed: c.LastUsed,
			Rotated: c.Replaces != "", ReplacedBy: c.ReplacedBy, Bound: len(c.Networks) > 0, Networks: map[string]int{},
			family: families[c.Kind+":"+c.ID], short: c.Settings[client.SettingCA] != "",
		}
		out.Endpoints, _ = u.called(u.cellsOf(map[int32]bool{int32(i): true}))
		who := map[int32]bool{}
		out.born = c.Created
		for _, member := range out.family {
			who[member] = true
			if at := g.Credentials[member].Created; at.Before(out.born) {
				out.born = at
			}
		}
		out.Scopes, out.Unused = u.scopesUsed(held(owner, c), u.cellsOf(who), demanded)
		if a := u.who[int32(i)]; a != nil {
			out.Activity, out.Old = a.activity(), a.old
			maps.Copy(out.Networks, a.networks)
			n, exact := a.sketched.count()
			out.NetworkCount, out.AboutCount = n, !exact
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b CredentialUse) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// usedSlack is how much later than the log the store may say that a credential was used: it keeps the
// moment now and then.
const usedSlack = 10 * time.Minute

// elsewhere marks what was used where this log does not tell of: the store, which all nodes share, knows
// when each credential was last used.
func (u *Used) elsewhere() {
	byClient := map[string]string{}
	for i := range u.Credentials {
		c := &u.Credentials[i]
		if !shownBy(c.Kind) || c.LastUsed.IsZero() || c.LastUsed.Before(u.Since) || !c.LastUsed.Before(u.Until) {
			continue
		}
		seen := u.lastSeen(c)
		if seen.IsZero() || c.LastUsed.Sub(seen) > usedSlack {
			c.Elsewhere = "the store says that it was used at " + c.LastUsed.UTC().Format("2006-01-02 15:04Z") + ", and this log does not: another node's does, or the record is gone"
			byClient[c.Client] = "of " + c.Kind + " " + c.ID + " " + c.Elsewhere
		}
	}
	for i := range u.Clients {
		u.Clients[i].Elsewhere = byClient[u.Clients[i].Client]
	}
}

// lastSeen is when a request last came with a credential, also one that was refused in the end.
func (u *Used) lastSeen(c *CredentialUse) time.Time {
	i, known := u.use.x.credentials[c.Kind+":"+c.ID]
	a := u.use.who[i]
	if !known || a == nil {
		return time.Time{}
	}
	return time.UnixMicro(a.seen)
}

func (u *use) endpoints() []EndpointUse {
	callers := map[int32]map[int32]bool{}
	for key, c := range u.cells {
		if c.accepted == 0 || key.who == nobody {
			continue
		}
		if callers[key.endpoint] == nil {
			callers[key.endpoint] = map[int32]bool{}
		}
		callers[key.endpoint][u.ownerOf(key.who)] = true
	}
	all := []EndpointUse{}
	for i, e := range u.x.granted.Endpoints {
		out := EndpointUse{Configured: e, Activity: u.points[i].activity(), Clients: len(callers[int32(i)])}
		if out.added = u.addedAt(i); out.added.After(time.UnixMicro(u.window[0])) {
			at := out.added.UTC()
			out.New = &at
		}
		all = append(all, out)
	}
	return all
}

// ownerOf is the client of a credential, as its own number.
func (u *use) ownerOf(who int32) int32 {
	if n := int32(len(u.x.granted.Credentials)); who < n {
		if i, known := u.x.clients[u.x.granted.Credentials[who].Client]; known {
			return n + i
		}
	}
	return who
}

func (u *use) strangers() []StrangerUse {
	all := []StrangerUse{}
	for name, i := range u.callers {
		a := u.who[i]
		if a == nil {
			continue
		}
		issuer, who, _ := strings.Cut(name, "\x00")
		out := StrangerUse{Issuer: issuer, Name: who, Activity: a.activity()}
		out.Endpoints, _ = u.called(u.cellsOf(map[int32]bool{i: true}))
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b StrangerUse) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (u *use) grantUses() []GrantUse {
	all := []GrantUse{}
	for i, g := range u.x.granted.Grants {
		all = append(all, GrantUse{g, u.grants[i].activity()})
	}
	return all
}

func (u *use) removed() []EndpointUse {
	all := []EndpointUse{}
	for name, c := range u.strays {
		api, pattern, _ := strings.Cut(name, "\x00")
		if c.accepted > 0 {
			all = append(all, EndpointUse{Configured: Configured{API: api, Pattern: pattern}, Activity: c.activity()})
		}
	}
	slices.SortFunc(all, func(a, b EndpointUse) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Pattern, b.Pattern))
	})
	return all
}
