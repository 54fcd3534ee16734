package review

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// Window is the time of which a review speaks.
type Window struct {
	Since, Until time.Time // Until is not in it
}

// use is what the log tells of what is granted, in bounded memory: exact for what the configuration
// and the store name, a sketch or a bounded list for what callers can name.
type use struct {
	x      *index
	window [2]int64 // µs

	cells   map[cellKey]*cell
	callers map[string]int32 // that the store does not know, by issuer, NUL and name; from the end of the known on
	names   []string         // theirs
	others  int              // requests of callers beyond the bound

	who      map[int32]*activity
	points   []activity // of endpoints
	grants   []cell
	forbade  []int            // requests, by policy
	people   map[[2]int32]int // requests at an endpoint (first) of somebody whom a policy names
	tokens   map[int32]*cell  // of clients: what they did at the authorization server
	strays   map[string]*cell // endpoints that are not configured (any more)
	requests int              // all
	accepted int
	records  int
	gone     int // records of which nothing is left
	erased   int // requests of which it is not known any more who sent them
	loads    []int64
	widened  map[int32]int64 // when clients were last given a scope, µs
	added    map[int32]int64 // when endpoints were last put into the configuration, µs

	reader reader
	record record
	key    []byte
}

// Bounds of what callers can name.
const (
	maxCallers  = 5_000
	maxStrays   = 2_000
	maxNetworks = 32 // that are counted one by one, for each credential
)

// cellKey is an endpoint, and a credential (from 0 on), a client without one that is known (from the
// number of credentials on), or a caller of whom the store knows nothing.
type cellKey struct{ endpoint, who int32 }

// nobody is who did not say who he is.
const nobody = -1

// cell counts requests.
type cell struct {
	accepted, refused int
	first, last       int64 // of those that were accepted, µs
	id                []byte
}

func (c *cell) add(r *record, accepted bool) {
	if !accepted {
		c.refused += r.count
		return
	}
	c.accepted += r.count
	if c.first == 0 || r.micro < c.first {
		c.first = r.micro
	}
	if r.micro >= c.last {
		c.last, c.id = r.micro, append(c.id[:0], r.id...)
	}
}

func (c *cell) merge(o *cell) {
	c.accepted, c.refused = c.accepted+o.accepted, c.refused+o.refused
	if o.first != 0 && (c.first == 0 || o.first < c.first) {
		c.first = o.first
	}
	if o.last > c.last {
		c.last, c.id = o.last, o.id
	}
}

// activity is what somebody did, or what was done at an endpoint.
type activity struct {
	cell

	users    sketch
	networks map[string]int // /24 or /48 → requests
	sketched sketch         // of all networks
	old      int            // requests with a credential that ought to have been changed
	seen     int64          // µs of the last request, refused ones too
}

func (a *activity) merge(o *activity) {
	a.cell.merge(&o.cell)
	a.users.merge(&o.users)
	a.sketched.merge(&o.sketched)
	a.old, a.seen = a.old+o.old, max(a.seen, o.seen)
	for name, n := range o.networks {
		a.network(name, n)
	}
}

func (a *activity) network(name string, n int) {
	if a.networks == nil {
		a.networks = map[string]int{}
	}
	if _, known := a.networks[name]; known || len(a.networks) < maxNetworks {
		a.networks[name] += n
	}
}

func newUse(x *index, w Window) *use {
	return &use{
		x: x, window: [2]int64{w.Since.UnixMicro(), w.Until.UnixMicro()},
		cells: map[cellKey]*cell{}, callers: map[string]int32{}, who: map[int32]*activity{},
		points: make([]activity, len(x.granted.Endpoints)), grants: make([]cell, len(x.granted.Grants)), forbade: make([]int, len(x.granted.Policies)),
		people: map[[2]int32]int{}, tokens: map[int32]*cell{}, strays: map[string]*cell{}, widened: map[int32]int64{}, added: map[int32]int64{},
	}
}

// look reads logs, each in pieces by two goroutines or more. damage says what could not be read.
func look(ctx context.Context, folders []string, x *index, w Window) (found *use, damage string, err error) {
	workers := max(runtime.GOMAXPROCS(0), 1)
	all := make([]*use, workers)
	for i := range all {
		all[i] = newUse(x, w)
	}
	for _, folder := range folders {
		err := audit.Scan(ctx, folder, w.Since, w.Until, workers, func(worker int, r audit.Raw) error {
			all[worker].take(r.Event)
			return nil
		})
		if fault, ok := errors.AsType[*audit.Fault](err); ok {
			damage = fault.Error()
		} else if err != nil {
			return nil, "", fmt.Errorf("read the event log: %w", err)
		}
	}
	for _, other := range all[1:] {
		all[0].merge(other)
	}
	return all[0], damage, nil
}

// take counts a record.
func (u *use) take(event []byte) {
	u.records++
	if event == nil {
		u.gone++
		return
	}
	r := &u.record
	if !u.reader.read(event, r) {
		u.gone++
		return
	}
	if r.micro < u.window[0] || r.micro >= u.window[1] {
		u.records--
		return
	}
	switch string(r.class) {
	case string(audit.Request):
		if len(r.endpoint) > 0 {
			u.request(r)
		}
	case string(audit.Grant):
		u.token(r)
	case string(audit.System):
		if string(r.code) == "started" {
			u.loads = append(u.loads, r.micro)
		}
	case string(audit.Admin):
		u.act(r)
	}
}

// act notes what administrators gave, and what the configuration has anew: that it is not used yet says
// nothing.
func (u *use) act(r *record) {
	switch action := string(r.action); {
	case isReload(action, audit.Decision(r.decision)):
		u.loads = append(u.loads, r.micro)
		u.configured(r)
	case action == "client.update" && string(r.decision) == string(audit.Accepted) && widens(string(r.change)):
		if i, known := u.x.clients[string(r.target)]; known {
			u.widened[i] = max(u.widened[i], r.micro)
		}
	}
}

// configured finds the endpoints that a reload added. Of more changes than an event holds, all may be
// among them.
func (u *use) configured(r *record) {
	change := string(r.change)
	all := strings.Contains(change, "+ …: ") || strings.HasSuffix(change, "…")
	for i, e := range u.x.granted.Endpoints {
		if all || strings.Contains(change, "+ apis."+e.API+":") || strings.Contains(change, "+ apis."+e.API+".endpoints."+e.Pattern+":") {
			u.added[int32(i)] = max(u.added[int32(i)], r.micro)
		}
	}
}

// widens reports whether what changed of a client is a scope that it had not: "scopes [a] → [a b]".
func widens(change string) bool {
	_, rest, _ := strings.Cut(change, "scopes [")
	before, rest, ok := strings.Cut(rest, "] → [")
	after, _, _ := strings.Cut(rest, "]")
	return ok && len(without(strings.Fields(after), strings.Fields(before))) > 0
}

// request counts a request that reached an endpoint.
func (u *use) request(r *record) {
	if isOwn(string(r.client)) {
		return // an attack on ourselves is no use
	}
	accepted := wasAccepted(r)
	u.requests += r.count
	if accepted {
		u.accepted += r.count
	}
	u.key = append(append(append(u.key[:0], r.api...), 0), r.endpoint...)
	at, known := u.x.endpoints[string(u.key)]
	if !known {
		u.stray(r, accepted)
		return
	}
	u.point(at).add(r, accepted)
	who := u.caller(r)
	u.count(at, who, r, accepted)
	for rest := r.with; len(rest) > 0; { // further proofs of the same client, or of an actor
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte(" "))
		if i, known := u.x.credentials[string(one)]; known && i != who {
			u.count(at, i, r, accepted)
		}
	}
	if accepted && len(u.x.grants) > 0 && len(r.subject) > 0 {
		u.key = append(append(append(u.key[:0], r.client...), 0), r.subject...)
		for _, i := range u.x.grants[string(u.key)] {
			u.grants[i].add(r, true)
		}
	}
	u.policy(at, r, accepted)
}

func (u *use) point(at int32) *activity { return &u.points[at] }

// wasAccepted reports whether everything that the gateway demands was met: what came to the upstream
// was let through, also if that did not answer, or its answer was not passed on.
func wasAccepted(r *record) bool {
	if string(r.decision) == string(audit.Accepted) {
		return true
	}
	switch string(r.step) {
	case "", "door", "limit", "route", "load", "cors", "shield", "access", "admit", "sanitise", "validate", "policy", "consume", "harm", "candidate", "flow":
		return false
	}
	return true
}

// caller finds who sent a request.
func (u *use) caller(r *record) int32 {
	if len(r.credential) > 0 {
		u.key = append(append(append(u.key[:0], r.shield...), ':'), r.credential...)
		if i, known := u.x.credentials[string(u.key)]; known {
			return i
		}
	}
	if len(r.client) > 0 {
		if i, known := u.x.clients[string(r.client)]; known {
			return int32(len(u.x.granted.Credentials)) + i
		}
		return u.stranger(r)
	}
	switch {
	case len(r.subject) > 0:
		return u.stranger(r)
	case string(r.note) == "erased" || bytes.HasSuffix(r.note, []byte(" erased")):
		u.erased += r.count
	}
	return nobody
}

// stranger is a caller whom the store does not know: of an issuer elsewhere, or of a certificate that
// a rule lets in.
func (u *use) stranger(r *record) int32 {
	name := r.client
	if len(name) == 0 {
		name = r.subject
	}
	u.key = append(append(append(u.key[:0], r.issuer...), 0), name...)
	if i, known := u.callers[string(u.key)]; known {
		return i
	}
	if len(u.names) >= maxCallers {
		u.others += r.count
		return nobody
	}
	i := u.firstStranger() + int32(len(u.names))
	u.callers[string(u.key)] = i
	u.names = append(u.names, string(u.key))
	return i
}

func (u *use) firstStranger() int32 {
	return int32(len(u.x.granted.Credentials) + len(u.x.granted.Clients))
}

func (u *use) count(at, who int32, r *record, accepted bool) {
	if !accepted && !r.proved {
		return // somebody wrote its name
	}
	key := cellKey{at, who}
	c := u.cells[key]
	if c == nil {
		c = &cell{}
		u.cells[key] = c
	}
	c.add(r, accepted)
	if who == nobody {
		return
	}
	a := u.who[who]
	if a == nil {
		a = &activity{}
		u.who[who] = a
	}
	a.add(r, accepted)
	a.seen = max(a.seen, r.micro)
	if !accepted {
		return
	}
	if len(r.user) > 0 {
		a.users.addBytes(r.user)
	}
	if bytes.Contains(r.warning, []byte("credential_old")) {
		a.old += r.count
	}
	u.key = network(u.key, r.remote)
	if len(u.key) == 0 {
		return
	}
	a.sketched.addBytes(u.key)
	if _, known := a.networks[string(u.key)]; known {
		a.networks[string(u.key)] += r.count
	} else if len(a.networks) < maxNetworks {
		a.network(string(u.key), r.count)
	}
}

// stray counts a request at an endpoint that is not configured any more.
func (u *use) stray(r *record, accepted bool) {
	c := u.strays[string(u.key)]
	if c == nil {
		if len(u.strays) >= maxStrays {
			return
		}
		c = &cell{}
		u.strays[string(u.key)] = c
	}
	c.add(r, accepted)
}

// token counts what a client did at the authorization server.
func (u *use) token(r *record) {
	i, known := u.x.clients[string(r.client)]
	if !known || bytes.HasSuffix(r.action, []byte("_failed")) || bytes.HasSuffix(r.action, []byte(".revoke")) {
		return
	}
	c := u.tokens[i]
	if c == nil {
		c = &cell{}
		u.tokens[i] = c
	}
	c.add(r, true)
}

// merge takes what another goroutine has counted.
func (u *use) merge(o *use) {
	renamed := map[int32]int32{}
	for i, name := range o.names {
		old := o.firstStranger() + int32(i)
		at, known := u.callers[name]
		if !known {
			if len(u.names) >= maxCallers {
				if renamed[old] = nobody; o.who[old] != nil {
					u.others += o.who[old].accepted + o.who[old].refused
				}
				continue
			}
			at = u.firstStranger() + int32(len(u.names))
			u.callers[name], u.names = at, append(u.names, name)
		}
		renamed[old] = at
	}
	rename := func(who int32) int32 {
		if at, moved := renamed[who]; moved {
			return at
		}
		return who
	}
	for key, c := range o.cells {
		key.who = rename(key.who)
		if known := u.cells[key]; known != nil {
			known.merge(c)
		} else {
			u.cells[key] = c
		}
	}
	for who, a := range o.who {
		who = rename(who)
		if known := u.who[who]; known != nil {
			known.merge(a)
		} else if who != nobody {
			u.who[who] = a
		}
	}
	for i := range o.points {
		u.points[i].merge(&o.points[i])
	}
	for i := range o.grants {
		u.grants[i].merge(&o.grants[i])
	}
	for i, n := range o.forbade {
		u.forbade[i] += n
	}
	for key, n := range o.people {
		u.people[key] += n
	}
	latest(u.widened, o.widened)
	latest(u.added, o.added)
	mergeCells(u.tokens, o.tokens)
	mergeCells(u.strays, o.strays)
	u.requests, u.accepted, u.records = u.requests+o.requests, u.accepted+o.accepted, u.records+o.records
	u.gone, u.erased, u.others, u.loads = u.gone+o.gone, u.erased+o.erased, u.others+o.others, append(u.loads, o.loads...)
}

func latest(into, from map[int32]int64) {
	for key, at := range from {
		into[key] = max(into[key], at)
	}
}

func mergeCells[K comparable](into, from map[K]*cell) {
	for key, c := range from {
		if known := into[key]; known != nil {
			known.merge(c)
		} else {
			into[key] = c
		}
	}
}
