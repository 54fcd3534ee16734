package review

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/finding"
)

const day = 24 * time.Hour

// Bounds from which on something is a finding.
const (
	oldAge      = 365 * day // of a credential
	neverTurned = 180 * day // of one that never came after another
	soon        = 30 * day  // before its end
	manyNets    = 4         // networks from which one credential is used
	fewNets     = 2         // up to so many, a credential could be bound to them
)

// Rules are what a review looks for.
func Rules() []finding.Rule {
	var all []finding.Rule
	for _, r := range []rule{
		scopeUnused, clientUnused, clientEmpty, credentialUnused, credentialNever, credentialShared, credentialOld, credentialTurned,
		credentialEnding, credentialEnded, credentialNetworks, endpointUnused, grantUnused, policyUnused, policyShadowed, policyWide, logShort,
	} {
		all = append(all, r())
	}
	return all
}

type rule func() finding.Rule

// least are the places of least privilege in the standards: ASVS 5.0 V8 and 13.2.2.
func least(id string, s finding.Severity, title, why, mend string) finding.Rule {
	return finding.Rule{ID: id, Severity: s, Title: title, Why: why, Mend: mend, Standards: finding.Standards{
		OWASP: finding.API5, ASVS: []string{"8.2.1", "13.2.2"}, NIST: []string{"REC-API-12"}, CWE: []string{"CWE-272"},
	}}
}

func ofCredentials(id string, s finding.Severity, title, why, mend string) finding.Rule {
	return finding.Rule{ID: id, Severity: s, Title: title, Why: why, Mend: mend, Standards: finding.Standards{
		OWASP: finding.API2, ASVS: []string{"13.2.2", "13.3.4"}, NIST: []string{"REC-API-11"},
	}}
}

func inventory(id string, s finding.Severity, title, why, mend string) finding.Rule {
	return finding.Rule{ID: id, Severity: s, Title: title, Why: why, Mend: mend, Standards: finding.Standards{
		OWASP: finding.API9, ASVS: []string{"15.1.5"}, NIST: []string{"REC-API-4"},
	}}
}

const propose = "pavise review --propose FOLDER writes what takes it away"

func scopeUnused() finding.Rule {
	return least("grant-unused", finding.Medium, "A scope that was granted and not used", "Whoever steals a credential of the client may do what the client never does.", propose)
}

func clientUnused() finding.Rule {
	return least("client-unused", finding.Medium, "A client that did not call", "What nobody uses nobody watches, and its credentials are good.", "pavise client disable ID; "+propose)
}

func clientEmpty() finding.Rule {
	return least("client-without-credential", finding.Low, "A client that has no credential in force", "Its scopes wait for whoever gets it a credential.", "pavise client disable ID")
}

func credentialUnused() finding.Rule {
	return ofCredentials("credential-unused", finding.Medium, "A credential that was not used", "Whoever finds it comes in unnoticed.", "pavise revoke ID; "+propose)
}

func credentialNever() finding.Rule {
	return ofCredentials("credential-never-used", finding.Medium, "A credential that was never used", "It was lost on the way, or lies somewhere.", "pavise revoke ID; "+propose)
}

func credentialShared() finding.Rule {
	return ofCredentials("credential-shared", finding.Low, "One credential from several networks", "Several programs share it, or somebody has a copy. When it leaks, all of them have to change it.", "a credential for each program: pavise key create --client ID --network …")
}

func credentialOld() finding.Rule {
	return ofCredentials("credential-old", finding.Medium, "An old credential", "It has been in backups, terminals and heads of people who left.", "pavise key rotate ID --overlap 7d")
}

func credentialTurned() finding.Rule {
	return ofCredentials("credential-never-rotated", finding.Low, "A credential that was never rotated", "On the day on which it has to be changed at once, nobody has done it before.", "pavise key rotate ID --overlap 7d")
}

func credentialEnding() finding.Rule {
	return ofCredentials("credential-ending", finding.Medium, "A credential in use that ends soon", "On that day its client is refused.", "pavise key rotate ID --overlap 7d")
}

func credentialEnded() finding.Rule {
	return ofCredentials("credential-ended", finding.Info, "A credential that is over", "It opens nothing, and hides those that do.", "pavise revoke ID")
}

func credentialNetworks() finding.Rule {
	return ofCredentials("credential-anywhere", finding.Info, "A credential that is good from everywhere, and used from few networks", "A copy of it works wherever it was taken to.", "pavise key create --client ID --network …, for its successor")
}

func endpointUnused() finding.Rule {
	return inventory("endpoint-unused", finding.Low, "An endpoint without a caller", "What nobody calls nobody mends; intruders call it.", "take it out of the configuration; "+propose)
}

func grantUnused() finding.Rule {
	return least("oauth-grant-unused", finding.Low, "What a person allowed, and the client did not use", "It is good until it ends, and the person has forgotten it.", "pavise token revoke ID; "+propose)
}

func policyUnused() finding.Rule {
	return least("policy-unused", finding.Low, "A policy that permitted nothing", "It waits for somebody to become whom it lets in.", "take it out of its file")
}

func policyShadowed() finding.Rule {
	return least("policy-shadowed", finding.Low, "A policy that decides nothing, because another one does", "Who reads it believes that it bounds something.", "take one of them out")
}

func policyWide() finding.Rule {
	return least("policy-wide", finding.Medium, "A policy that permits more than was used", "Who is added later is let in by it.", "name the principals, actions or resources in its head, or a condition")
}

func logShort() finding.Rule {
	return finding.Rule{ID: "log-short", Severity: finding.Info, Title: "The log does not reach back as far as was asked", Why: "What was used before it begins looks unused.", Mend: "keep events longer (log.keep), or ask of less: --since", Standards: finding.Standards{
		OWASP: finding.API9, ASVS: []string{"16.2.1"}, NIST: []string{"REC-API-4"},
	}}
}

// Aim says of whom, and of how old a thing, something is found and proposed.
type Aim struct {
	Now    time.Time
	Client string        // empty: all
	Settle time.Duration // what is younger is not judged
}

// DefaultSettle is how old a client, a credential or a grant is before that it was not used says
// something.
const DefaultSettle = 14 * day

// Find makes findings of what was used.
func (u *Used) Find(a Aim) []finding.Finding {
	f := &finder{Aim: a, used: u, all: []finding.Finding{}}
	f.ofClients()
	f.ofCredentials()
	if a.Client == "" {
		f.ofEndpoints()
		f.ofPolicies()
	}
	f.ofGrants()
	return f.all
}

type finder struct {
	Aim
	used *Used
	all  []finding.Finding
}

func (f *finder) add(r finding.Rule, path, format string, args ...any) {
	f.all = append(f.all, r.At(finding.Place{Path: path}, format, args...))
}

func (f *finder) wants(client string) bool { return f.Client == "" || f.Client == client }

// young reports whether something was looked at for too short a time to say that it is not used.
func (f *finder) young(created time.Time) bool { return f.used.young(created, f.Settle) }

func (f *finder) since(created time.Time) string {
	return "since " + f.used.from(created).UTC().Format(time.DateOnly)
}

// from is from when on something was looked for: from its creation, the beginning of the log, or the
// window's.
func (u *Used) from(created time.Time) time.Time {
	from := u.Since
	if u.Begins != nil && u.Begins.After(from) {
		from = *u.Begins
	}
	if created.After(from) {
		from = created
	}
	return from
}

func (u *Used) young(created time.Time, settle time.Duration) bool {
	return u.Begins == nil || u.Until.Sub(u.from(created)) < settle
}

func (f *finder) ofClients() {
	live := map[string]bool{}
	for _, c := range f.used.Credentials {
		live[c.Client] = live[c.Client] || c.Ends.IsZero() || f.Now.Before(c.Ends)
	}
	for _, c := range f.used.Clients {
		if !f.wants(c.Client) || c.Disabled || f.young(c.given) || c.Elsewhere != "" {
			continue
		}
		path := "client " + c.Client
		switch {
		case !live[c.Client]:
			f.add(clientEmpty(), path, "%s has %s, and no credential in force", c.Client, listed(scopesOf(c.Scopes), "no scope"))
			continue
		case c.Requests == 0 && c.Tokens == 0 && f.waits(c.Scopes):
			continue
		case c.Requests == 0 && c.Tokens == 0:
			f.add(clientUnused(), path, "no request of %s was accepted %s", c.Client, f.since(c.Created))
			continue
		}
		for _, scope := range f.idleScopes(c.Scopes) {
			f.add(scopeUnused(), path+" "+scope, "%s has %s; none of its %d accepted requests %s needed it", c.Client, scope, c.Requests, f.since(c.Created))
		}
	}
}

func (f *finder) ofCredentials() {
	for _, c := range f.used.Credentials {
		if !f.wants(c.Client) || c.short {
			continue
		}
		path := c.Kind + " " + c.ID
		if !c.Ends.IsZero() && !f.Now.Before(c.Ends) {
			f.add(credentialEnded(), path, "of %s, ended on %s", c.Client, c.Ends.UTC().Format(time.DateOnly))
			continue
		}
		f.age(&c, path)
		if !shownBy(c.Kind) || c.Elsewhere != "" {
			continue
		}
		if c.Requests == 0 {
			f.idle(&c, path)
			continue
		}
		f.networks(&c, path)
		if client := f.client(c.Client); client != nil && !f.young(c.born) && !f.young(client.given) {
			for _, scope := range without(f.idleScopes(c.Scopes), client.Unused) {
				f.add(scopeUnused(), path+" "+scope, "of %s; it has %s, which other credentials of the client used and this one did not %s", c.Client, scope, f.since(c.born))
			}
		}
	}
}

func (f *finder) client(id string) *ClientUse {
	i := slices.IndexFunc(f.used.Clients, func(c ClientUse) bool { return c.Client == id })
	if i < 0 {
		return nil
	}
	return &f.used.Clients[i]
}

// idle is about a credential without an accepted request.
func (f *finder) idle(c *CredentialUse, path string) {
	client := f.client(c.Client)
	if f.young(c.Created) || client == nil || client.Disabled || f.waits(c.Scopes) {
		return
	}
	if c.LastUsed.IsZero() {
		f.add(credentialNever(), path, "of %s, made on %s", c.Client, c.Created.UTC().Format(time.DateOnly))
		return
	}
	f.add(credentialUnused(), path, "of %s, last used on %s", c.Client, c.LastUsed.UTC().Format(time.DateOnly))
}

// age is about what a credential is, whatever it was used for.
func (f *finder) age(c *CredentialUse, path string) {
	age := f.Now.Sub(c.Created)
	switch {
	case c.Kind == kindMapping:
	case age > oldAge:
		f.add(credentialOld(), path, "of %s, made %d days ago%s", c.Client, age/day, map[bool]string{true: ", never rotated"}[!c.Rotated])
	case age > neverTurned && !c.Rotated:
		f.add(credentialTurned(), path, "of %s, made %d days ago", c.Client, age/day)
	}
	if left := c.Ends.Sub(f.Now); !c.Ends.IsZero() && left < soon && c.ReplacedBy == "" && c.Requests > 0 && c.Ends.Sub(c.Created) > soon {
		f.add(credentialEnding(), path, "of %s, ends on %s", c.Client, c.Ends.UTC().Format(time.DateOnly))
	}
}

func (f *finder) networks(c *CredentialUse, path string) {
	names := topNetworks(c.Networks)
	about := map[bool]string{true: "about "}[c.AboutCount]
	switch {
	case c.NetworkCount >= manyNets:
		f.add(credentialShared(), path, "of %s, used from %s%d networks: %s", c.Client, about, c.NetworkCount, strings.Join(names, ", "))
	case c.NetworkCount <= fewNets && c.NetworkCount > 0 && !c.Bound && !f.young(c.Created):
		f.add(credentialNetworks(), path, "of %s, used from %s alone", c.Client, strings.Join(names, " and "))
	}
}

// topNetworks are the most frequent, with how often they were seen.
func topNetworks(networks map[string]int) []string {
	names := make([]string, 0, len(networks))
	for name := range networks {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := networks[b] - networks[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	names = names[:min(len(names), 4)]
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, networks[name])
	}
	return names
}

func (f *finder) ofEndpoints() {
	if f.young(time.Time{}) {
		return
	}
	for _, e := range f.used.Endpoints {
		if e.Requests > 0 || f.young(e.added) {
			continue
		}
		place := finding.Place{File: e.File, Line: e.Line, Column: e.Column, Path: "apis." + e.API + ".endpoints." + e.Pattern}
		what := fmt.Sprintf("no request of %s was accepted %s", e.String(), f.since(e.added))
		if e.Refused > 0 {
			what += fmt.Sprintf(", and %d were refused", e.Refused)
		}
		f.all = append(f.all, endpointUnused().At(place, "%s", what))
	}
}

func (f *finder) ofGrants() {
	for _, g := range f.used.Grants {
		if !f.wants(g.Client) || !f.idleGrant(&g) {
			continue
		}
		who := g.User
		if who == "" {
			who = g.Subject
		}
		f.add(grantUnused(), "grant "+g.ID, "%s has it of %s: %s; not used %s", g.Client, who, listed(g.Scopes, "no scope"), f.since(g.Created))
	}
}

// idleGrant reports whether a grant is old enough to be judged, and was neither refreshed nor used.
func (f *finder) idleGrant(g *GrantUse) bool {
	client := f.client(g.Client)
	return !f.young(g.Created) && g.Requests == 0 && g.Used.Before(f.used.Since) && client != nil && client.Elsewhere == ""
}

func (f *finder) ofPolicies() {
	for _, p := range f.used.Policies {
		place := finding.Place{File: p.File, Line: p.Line, Column: 1, Path: "policy " + p.Name}
		add := func(r finding.Rule, format string, args ...any) { f.all = append(f.all, r.At(place, format, args...)) }
		switch {
		case len(p.Reaches) == 0:
			add(policyUnused(), "its head names no endpoint that there is")
		case p.Shadow != "":
			add(policyShadowed(), "%s decides whatever it could", p.Shadow)
		case !p.Forbid && p.Requests+p.Unsaid == 0 && !f.young(time.Time{}):
			add(policyUnused(), "no accepted request %s was one that its head is about", f.since(time.Time{}))
		case !p.Forbid && p.Anybody && p.Anything && !p.Conditional:
			add(policyWide(), "it permits everything to everybody: %d clients called %d endpoints %s", p.Callers, f.called(), f.since(time.Time{}))
		case !p.Forbid && !p.Conditional && !f.young(time.Time{}) && p.Of > 4 && p.Callers*4 < p.Of && p.Unsaid == 0 && len(p.People) == 0:
			add(policyWide(), "it lets %d clients in without a condition, of which %d called %s", p.Of, p.Callers, f.since(time.Time{}))
		}
	}
}

// called counts the endpoints that somebody called.
func (f *finder) called() (n int) {
	for _, e := range f.used.Endpoints {
		if e.Requests > 0 {
			n++
		}
	}
	return n
}

func scopesOf(all []ScopeUse) (names []string) {
	for _, s := range all {
		names = append(names, s.Scope)
	}
	return names
}

// listed names a few.
func listed(names []string, none string) string {
	const most = 6
	switch {
	case len(names) == 0:
		return none
	case len(names) > most:
		return strings.Join(names[:most], " ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, " ")
}

// Report is what was found, in the common form.
func (u *Used) Report(subject string, a Aim) *finding.Report {
	r := &finding.Report{Tool: "pavise review", Subject: subject, Time: a.Now, Rules: Rules(), Findings: u.Find(a)}
	r.About = fmt.Sprintf("%d clients, %d credentials, %d endpoints, %d accepted requests", len(u.Clients), len(u.Credentials), len(u.Endpoints), u.Accepted)
	r.Notes = append(u.notes(), unjudgedNotes(u.Unjudged(a))...)
	if covers := u.Covers(); covers < 1 {
		r.Findings = append(r.Findings, logShort().At(finding.Place{Path: "log"}, "%s", u.coverage()))
		r.Partial = u.coverage()
	}
	if u.Damage != "" {
		r.Partial = strings.TrimSpace(r.Partial + " Not all of the log could be read: " + u.Damage)
	}
	r.Sort()
	return r
}

// coverage says which part of the time the log knows of.
func (u *Used) coverage() string {
	asked := int(u.Until.Sub(u.Since).Round(day) / day)
	if u.Begins == nil {
		return fmt.Sprintf("There is no event in the log: of %d days nothing is known.", asked)
	}
	return fmt.Sprintf("The log begins on %s: of %d days it covers %d.", u.Begins.UTC().Format("2006-01-02 15:04Z"), asked, int(u.Until.Sub(*u.Begins).Round(day)/day))
}

// notes say what else bears on the result.
func (u *Used) notes() (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if u.Changed != nil {
		add("The gateway last read its configuration on %s; what was accepted before is judged by the scopes that endpoints demand today.", u.Changed.Format("2006-01-02 15:04Z"))
	}
	if u.Gone > 0 {
		add("Of %d records nothing is left (their time was over, or they were erased): what they tell of looks unused.", u.Gone)
	}
	if u.Erased > 0 {
		add("Of %d requests the sender was erased: they count for their endpoints alone.", u.Erased)
	}
	if u.Unlisted > 0 {
		add("%d requests are of callers beyond the %d that are listed.", u.Unlisted, maxCallers)
	}
	return all
}

// maxUnjudged is how much that is not judged the notes name.
const maxUnjudged = 20

func unjudgedNotes(all []Unjudged) (notes []string) {
	for _, one := range all[:min(len(all), maxUnjudged)] {
		notes = append(notes, fmt.Sprintf("Not judged: %s: %s.", one.What, one.Why))
	}
	if more := len(all) - len(notes); more > 0 {
		notes = append(notes, fmt.Sprintf("%d more are not judged: --json names them.", more))
	}
	return notes
}
