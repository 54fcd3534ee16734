package review

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Proposal is a smaller policy: what to take away, and what it is today. It can be put on trial
// ([Proposal.Judge]) before anybody applies it.
type Proposal struct {
	Version int       `json:"pavise_proposal"` // 1
	Made    time.Time `json:"made"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Covered string    `json:"covered,omitempty"` // what the log does not tell of
	Changes []Change  `json:"changes"`
	// Endpoints have no caller. They are taken out of the configuration's files by a patch.
	Endpoints []Gone   `json:"endpoints,omitempty"`
	Advice    []string `json:"advice,omitempty"` // what only a person can decide
}

// What is changed.
const (
	NarrowClient     = "client.scopes"
	NarrowCredential = "credential.scopes"
	RevokeCredential = "credential.revoke"
	DisableClient    = "client.disable"
	RevokeGrant      = "grant.revoke"
)

// Change takes something away.
type Change struct {
	What   string   `json:"what"`
	Client string   `json:"client"`
	Kind   string   `json:"kind,omitempty"`
	ID     string   `json:"id,omitempty"`
	From   []string `json:"from,omitempty"` // scopes as they are
	To     []string `json:"to,omitempty"`   // as they would be
	Why    string   `json:"why"`
}

// Gone is an endpoint that nobody calls.
type Gone struct {
	API     string `json:"api"`
	Pattern string `json:"endpoint"`
}

// Propose says what can be taken away without anybody missing it, as far as the log tells.
func (u *Used) Propose(a Aim) *Proposal {
	p := &Proposal{Version: 1, Made: a.Now.UTC(), Since: u.Since.UTC(), Until: u.Until.UTC(), Changes: []Change{}}
	if u.Covers() < 1 {
		p.Covered = u.coverage()
	}
	f := &finder{Aim: a, used: u}
	for i := range u.Clients {
		if c := &u.Clients[i]; f.wants(c.Client) && !c.Disabled {
			f.proposeClient(p, c)
		}
	}
	if a.Client == "" && !f.young(time.Time{}) {
		for _, e := range u.Endpoints {
			if e.Requests == 0 && !f.young(e.added) {
				p.Endpoints = append(p.Endpoints, Gone{e.API, e.Pattern})
			}
		}
	}
	return p
}

func (f *finder) proposeClient(p *Proposal, c *ClientUse) {
	switch {
	case c.Elsewhere != "":
		p.Advice = append(p.Advice, fmt.Sprintf("client %s: %s; give the logs of all nodes (--log)", c.Client, c.Elsewhere))
		return
	case f.young(c.given):
		return
	case c.Requests == 0 && c.Tokens == 0 && f.waits(c.Scopes):
		return
	case c.Requests == 0 && c.Tokens == 0:
		p.Changes = append(p.Changes, Change{What: DisableClient, Client: c.Client, Why: "no request was accepted " + f.since(c.Created)})
		return
	}
	kept := without(scopesOf(c.Scopes), f.idleScopes(c.Scopes))
	f.proposeCredentials(p, c, &kept)
	switch {
	case len(kept) == len(c.Scopes):
	case c.Registered:
		p.Advice = append(p.Advice, fmt.Sprintf("client %s uses %s of its scopes, and not %s; it asks the authorization server for scopes by name, so that its program is to be changed first",
			c.Client, listed(kept, "none"), listed(without(scopesOf(c.Scopes), kept), "")))
	default:
		p.Changes = append(p.Changes, Change{
			What: NarrowClient, Client: c.Client, From: scopesOf(c.Scopes), To: kept,
			Why: needed(c.Requests, f.since(c.Created)),
		})
	}
	for i := range f.used.Grants {
		if g := &f.used.Grants[i]; g.Client == c.Client && f.idleGrant(g) {
			p.Changes = append(p.Changes, Change{What: RevokeGrant, Client: c.Client, ID: g.ID, Why: "not used " + f.since(g.Created)})
		}
	}
}

func needed(requests int, since string) string {
	if requests == 1 {
		return "1 accepted request " + since + " needed no other"
	}
	return fmt.Sprintf("%d accepted requests %s needed no other", requests, since)
}

// proposeCredentials goes first: no credential may name scopes that its client has not.
func (f *finder) proposeCredentials(p *Proposal, owner *ClientUse, kept *[]string) {
	var judged []*CredentialUse
	for i := range f.used.Credentials {
		c := &f.used.Credentials[i]
		if c.Client != owner.Client || !shownBy(c.Kind) || c.short || !c.Ends.IsZero() && !f.Now.Before(c.Ends) {
			continue
		}
		if f.young(c.born) { // what it will be used for is not known: what it has stays
			*kept = append(*kept, without(scopesOf(c.Scopes), *kept)...)
			continue
		}
		judged = append(judged, c)
	}
	for _, c := range judged {
		has := scopesOf(c.Scopes)
		if c.Requests == 0 {
			if !f.young(c.Created) && !f.familyAtWork(c) && !f.waits(c.Scopes) {
				p.Changes = append(p.Changes, Change{What: RevokeCredential, Client: c.Client, Kind: c.Kind, ID: c.ID, Why: "no request was accepted with it " + f.since(c.Created)})
			}
			continue
		}
		f.adviseNetworks(p, c)
		to := without(has, f.idleScopes(c.Scopes))
		switch {
		case len(to) == len(has):
		case !owner.Registered && !f.namesScopes(c) && len(without(*kept, to)) == 0: // it has those of its client, who is left no other
		case len(to) == 0:
			if f.namesScopes(c) {
				p.Advice = append(p.Advice, fmt.Sprintf("%s %s of %s is used only where no scope is demanded; a credential without scopes has those of its client, so that it keeps its own", c.Kind, c.ID, c.Client))
			}
		default:
			p.Changes = append(p.Changes, Change{
				What: NarrowCredential, Client: c.Client, Kind: c.Kind, ID: c.ID, From: has, To: to,
				Why: needed(c.Requests, f.since(c.born)),
			})
		}
	}
	slices.SortStableFunc(*kept, func(a, b string) int {
		order := scopesOf(owner.Scopes)
		return slices.Index(order, a) - slices.Index(order, b)
	})
}

// familyAtWork reports whether the credential is the new one of a rotation that is under way: it
// waits for its program.
func (f *finder) familyAtWork(c *CredentialUse) bool {
	at := f.used.use
	for _, i := range c.family {
		other := &at.x.granted.Credentials[i]
		if other.ReplacedBy == c.ID && (other.End().IsZero() || f.Now.Before(other.End())) {
			return true
		}
	}
	return false
}

// namesScopes reports whether a credential has scopes of its own.
func (f *finder) namesScopes(c *CredentialUse) bool {
	i, known := f.used.use.x.credentials[c.Kind+":"+c.ID]
	return known && len(f.used.use.x.granted.Credentials[i].Scopes) > 0
}

func (f *finder) adviseNetworks(p *Proposal, c *CredentialUse) {
	if c.Bound || c.NetworkCount == 0 || c.NetworkCount > fewNets || f.young(c.Created) {
		return
	}
	var flags []string
	for name := range c.Networks {
		flags = append(flags, "--network "+name)
	}
	slices.Sort(flags)
	p.Advice = append(p.Advice, fmt.Sprintf("%s %s of %s was used from %s alone: its successor may be bound to that (%s)", c.Kind, c.ID, c.Client, strings.Join(topNetworks(c.Networks), " and "), strings.Join(flags, " ")))
}

// maxProposal bounds the file of a proposal, in bytes.
const maxProposal = 16 << 20

// ParseProposal reads what [Used.Propose] made, strictly.
func ParseProposal(text []byte) (*Proposal, error) {
	if len(text) > maxProposal {
		return nil, fmt.Errorf("a proposal has at most %d bytes", maxProposal)
	}
	p := &Proposal{}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(p); err != nil {
		return nil, fmt.Errorf("read the proposal: %w", err)
	}
	if strict.More() {
		return nil, errors.New("read the proposal: something stands behind it")
	}
	if p.Version != 1 || p.Made.IsZero() {
		return nil, errors.New("it is no proposal of this version")
	}
	for _, c := range p.Changes {
		if err := c.valid(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// valid refuses what would give anybody anything.
func (c *Change) valid() error {
	switch c.What {
	case NarrowClient, NarrowCredential:
		if more := without(c.To, c.From); len(more) > 0 || len(c.To) >= len(c.From) {
			return fmt.Errorf("a proposal takes away: %s of client %.80q would have %v beside what it has", c.What, c.Client, more)
		}
		if c.What == NarrowCredential && (c.ID == "" || c.Kind == "" || len(c.To) == 0) {
			return fmt.Errorf("a change of a credential of client %.80q names none, or no scope", c.Client)
		}
	case RevokeCredential, RevokeGrant:
		if c.ID == "" || c.What == RevokeCredential && c.Kind == "" {
			return fmt.Errorf("%s of client %.80q names none, or not its kind", c.What, c.Client)
		}
	case DisableClient:
	default:
		return fmt.Errorf("a proposal has no change %.40q", c.What)
	}
	if c.Client == "" {
		return fmt.Errorf("%s names no client", c.What)
	}
	return nil
}

// Words say what a change does, in one line.
func (c *Change) Words() string {
	switch c.What {
	case NarrowClient:
		return fmt.Sprintf("client %s: takes away %s; keeps %s", c.Client, strings.Join(without(c.From, c.To), " "), listed(c.To, "no scope"))
	case NarrowCredential:
		return fmt.Sprintf("%s %s of %s: takes away %s; keeps %s", c.Kind, c.ID, c.Client, strings.Join(without(c.From, c.To), " "), listed(c.To, "no scope"))
	case RevokeCredential:
		return fmt.Sprintf("%s %s of %s: revokes it", c.Kind, c.ID, c.Client)
	case RevokeGrant:
		return fmt.Sprintf("grant %s of %s: revokes it", c.ID, c.Client)
	}
	return fmt.Sprintf("client %s: disables it", c.Client)
}

// Command is what does it by hand, for a shell: whatever ids and scopes hold stays a word.
func (c *Change) Command() string {
	switch c.What {
	case NarrowClient:
		return command(append([]string{"client", "update", c.Client}, scopeFlags(c.To)...)...)
	case NarrowCredential:
		return command(append([]string{"key", "narrow", c.ID, "--kind", c.Kind}, scopeFlags(c.To)...)...)
	case RevokeCredential:
		return command("revoke", c.ID, "--kind", c.Kind, "--reason", "not used")
	case RevokeGrant:
		return command("token", "revoke", c.ID, "--reason", "not used")
	}
	return command("client", "disable", c.Client)
}

// scopeFlags name the scopes that are left; of none, the empty one.
func scopeFlags(scopes []string) (words []string) {
	for _, scope := range scopes {
		words = append(words, "--scope", scope)
	}
	if words == nil {
		return []string{"--scope", ""}
	}
	return words
}

func command(words ...string) string {
	line := "pavise"
	for _, word := range words {
		if plain := strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@,+=%") == ""; !plain || word == "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		line += " " + word
	}
	return line
}

// Struck is what a proposal would have refused.
type Struck struct {
	Change   *Change `json:"change,omitempty"` // nil: the endpoint would be gone
	Endpoint string  `json:"endpoint"`
	Activity
}

// Judge says which accepted requests a proposal would have refused: the trial of a proposal. What was
// used is that of the time since it was made, or of any other.
func (p *Proposal) Judge(u *Used) []Struck {
	struck := []Struck{}
	at := u.use
	for i := range p.Changes {
		c := &p.Changes[i]
		hit := map[int32]*cell{}
		for key, one := range at.cells {
			if one.accepted == 0 || !c.concerns(u, key.who) || !c.refuses(&at.x.granted.Endpoints[key.endpoint]) {
				continue
			}
			if hit[key.endpoint] == nil {
				hit[key.endpoint] = &cell{}
			}
			hit[key.endpoint].merge(one)
		}
		if c.What == RevokeGrant {
			for n := range at.grants {
				if g := &at.x.granted.Grants[n]; g.ID == c.ID && at.grants[n].accepted > 0 {
					struck = append(struck, Struck{c, "of the authorization server's tokens", at.grants[n].activity()})
				}
			}
		}
		if c.What == DisableClient {
			if n, known := at.x.clients[c.Client]; known && at.tokens[n] != nil {
				struck = append(struck, Struck{c, "at the authorization server", at.tokens[n].activity()})
			}
		}
		for n, one := range hit {
			struck = append(struck, Struck{c, at.x.granted.Endpoints[n].String(), one.activity()})
		}
	}
	for _, gone := range p.Endpoints {
		if n, known := at.x.endpoints[gone.API+"\x00"+gone.Pattern]; known && at.points[n].accepted > 0 {
			struck = append(struck, Struck{nil, gone.API + " " + gone.Pattern, at.points[n].cell.activity()})
		}
	}
	slices.SortStableFunc(struck, func(a, b Struck) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return struck
}

// concerns reports whether a change is about who sent a request.
func (c *Change) concerns(u *Used, who int32) bool {
	switch c.What {
	case NarrowClient, DisableClient:
		return u.use.clientOf(who) == c.Client
	case RevokeGrant:
		return false
	}
	i, known := u.use.x.credentials[c.Kind+":"+c.ID]
	return known && i == who
}

// refuses reports whether an endpoint would refuse whom a change is about.
func (c *Change) refuses(e *Configured) bool {
	if c.What != NarrowClient && c.What != NarrowCredential {
		return true
	}
	for _, scope := range without(c.From, c.To) {
		if covers(scope, e.needs()) {
			return true
		}
	}
	return false
}
