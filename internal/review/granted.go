package review

import (
	"slices"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// Granted is what the configuration and the store allow today: that of which a review says
// whether it was used.
type Granted struct {
	Endpoints   []Configured
	Clients     []client.Client
	Credentials []client.Credential
	Grants      []Grant  // of the authorization server
	Policies    []Policy // Cedar
	Standing    []string // scopes that no endpoint demands, and that have a use all the same: openid

	// Since is when an endpoint was put into the policy, by its name ([Configured.String]); one that is not
	// named is not in force yet. nil: it is not known, and what the log says of reloads is taken.
	Since map[string]time.Time
}

// Configured is an endpoint as it is configured.
type Configured struct {
	API     string   `json:"api"`
	Pattern string   `json:"endpoint"`
	Scopes  []string `json:"scopes,omitempty"` // all are demanded
	// Named are scopes of which its conditions or its GraphQL fields speak. Whether a request
	// needed them the log does not tell.
	Named  []string `json:"named_scopes,omitempty"`
	Public bool     `json:"public,omitempty"`
	File   string   `json:"-"` // where it is written
	Line   int      `json:"-"`
	Column int      `json:"-"`
}

// needs are the scopes that a request to the endpoint may have needed.
func (e *Configured) needs() []string { return slices.Concat(e.Scopes, e.Named) }

// String names the endpoint: "orders GET /v1/orders/{id}".
func (e *Configured) String() string { return e.API + " " + e.Pattern }

// Grant is what somebody allowed a client at the authorization server.
type Grant struct {
	ID      string    `json:"id"`
	Client  string    `json:"client"`
	Subject string    `json:"subject"`
	User    string    `json:"user,omitempty"`
	Scopes  []string  `json:"scopes,omitempty"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"` // when it was last refreshed
	Ends    time.Time `json:"ends"`
}

// Kinds of credentials that no request names: their uses are told by the tokens of their client.
const (
	kindMapping      = "jwt"   // which client of an issuer is one of ours
	kindRegistration = "oauth" // at the authorization server
)

// shownBy reports whether an event of a request can name a credential of the kind.
func shownBy(kind string) bool { return kind != kindMapping && kind != kindRegistration }

// isOwn reports whether a client is the installation itself, or a tester's.
func isOwn(id string) bool {
	return id == "pavise" || id == "pavise-gateway" || client.IsTester(id)
}

// index finds what an event names in what is granted. It is read by several goroutines.
type index struct {
	granted     *Granted
	endpoints   map[string]int32 // API, NUL, pattern
	credentials map[string]int32 // kind, ":", id
	clients     map[string]int32
	grants      map[string][]int32 // client, NUL, subject
	policies    map[string]int32   // by name
	people      map[string]int32   // issuer#user of heads of policies
}

func newIndex(g *Granted) *index {
	x := &index{
		granted: g, endpoints: map[string]int32{}, credentials: map[string]int32{}, clients: map[string]int32{},
		grants: map[string][]int32{}, policies: map[string]int32{}, people: map[string]int32{},
	}
	for i, e := range g.Endpoints {
		x.endpoints[e.API+"\x00"+e.Pattern] = int32(i)
	}
	for i, c := range g.Credentials {
		x.credentials[c.Kind+":"+c.ID] = int32(i)
	}
	for i, c := range g.Clients {
		x.clients[c.ID] = int32(i)
	}
	for i, a := range g.Grants {
		key := a.Client + "\x00" + a.Subject
		x.grants[key] = append(x.grants[key], int32(i))
	}
	for i, p := range g.Policies {
		x.policies[p.Name] = int32(i)
		for _, who := range p.People {
			if _, known := x.people[who]; !known {
				x.people[who] = int32(len(x.people))
			}
		}
	}
	return x
}

// held are the scopes that a credential has: those of its client, within its own.
func held(owner *client.Client, c *client.Credential) shield.Scopes {
	if len(c.Scopes) == 0 {
		return owner.Scopes
	}
	return owner.Scopes.Within(c.Scopes)
}

// without are those of all that are not in some, in order.
func without(all, some []string) []string {
	left := []string{}
	for _, one := range all {
		if !slices.Contains(some, one) {
			left = append(left, one)
		}
	}
	return left
}

// family are a credential and those that it came after, by rotation or renewal: what they were used
// for counts together.
func family(all []client.Credential) map[string][]int32 {
	byID := make(map[string]*client.Credential, len(all))
	for i := range all {
		byID[all[i].Kind+":"+all[i].ID] = &all[i]
	}
	families := map[string][]int32{}
	for i := range all {
		at := &all[i]
		for range all {
			before := byID[at.Kind+":"+at.Replaces]
			if at.Replaces == "" || before == nil {
				break
			}
			at = before
		}
		name := at.ID
		if line := all[i].Settings[client.SettingLine]; line != "" {
			name = line
		}
		key := all[i].Kind + ":" + name
		families[key] = append(families[key], int32(i))
	}
	byMember := map[string][]int32{}
	for _, members := range families {
		for _, m := range members {
			byMember[all[m].Kind+":"+all[m].ID] = members
		}
	}
	return byMember
}
