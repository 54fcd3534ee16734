package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/internal/sink"
)

// responder does what alerts.respond asks for when a detection finds something. It is the
// destination of a feed, so that a restart forgets nothing, and does nothing twice.
//
// An attacker decides what is in many events. So that he cannot turn a response against others
// (invariant 10), it acts on what the log proves, not on what the alert says: a credential is
// suspended only if the very request that raised the alert held its secret, and a network is
// not blocked in which a credential is in good use, or for what a page made a browser there send.
type responder struct {
	app   *App
	do    map[string]config.Response
	never []string
}

// Bounds of what is done by itself.
const (
	widestBlock4  = 24               // bits; whatever a detection says
	widestBlock6  = 48               // bits
	goodUse       = 15 * time.Minute // a network in which a credential was used well is not blocked
	respondAtOnce = 100              // alerts, for which the log is searched together
	respondTime   = time.Minute
)

// responses is the feed of the responder; nil if nothing is to be done.
func (s *alerts) responses(f *config.File) (*sink.Feed, error) {
	a := s.app
	if len(f.Alerts.Respond) == 0 {
		return nil, nil
	}
	r := &responder{app: a, do: f.Alerts.Respond, never: f.Alerts.Never}
	settings := sink.Settings{
		Name: "alerts.respond", Kind: "respond", Log: f.Log.Folder, Cursor: filepath.Join(f.State.Folder, notifyFolder, "respond.cursor"),
		Query: audit.Query{Class: audit.Detection}, Only: r.wants, Destination: r, Batch: respondAtOnce, Timeout: respondTime, Now: a.now,
	}
	settings.Note = func(code, detail string) { a.note(code, settings.Name, detail) }
	return sink.New(settings)
}

func (r *responder) wants(f *audit.Found) bool {
	_, asked := r.do[f.Event.Code]
	return asked && f.Event.Action == alert.Began
}

// Close implements sink.Destination.
func (r *responder) Close() error { return nil }

// Send implements sink.Destination.
func (r *responder) Send(ctx context.Context, events []audit.Found) error {
	seen, err := r.look(ctx, events)
	if err != nil {
		return err
	}
	for i := range events {
		incident, ok := alert.FromEvent(&events[i].Event)
		if !ok {
			continue
		}
		if err := r.respond(ctx, &incident, seen); err != nil {
			return err
		}
	}
	return nil
}

// respond does each thing that is asked for and not over yet.
func (r *responder) respond(ctx context.Context, i *alert.Incident, seen *evidence) error {
	do := r.do[i.Detection]
	for _, each := range []struct {
		life time.Duration
		act  func(context.Context, *alert.Incident, *evidence, time.Time) (client.Change, string, error)
	}{{do.Block.Duration, r.block}, {do.Suspend.Duration, r.suspend}, {do.StepUp.Duration, r.stepUp}} {
		until := i.Began.Add(each.life)
		if each.life == 0 || !until.After(r.app.now().Add(time.Second)) {
			continue // not asked for; or the log was read late, and it would have ended by now
		}
		change, withheld, err := each.act(ctx, i, seen, until)
		if err != nil {
			return fmt.Errorf("respond to %s about %s: %w", i.Detection, i.Subject, err)
		}
		r.record(i, change, withheld)
	}
	return nil
}

// record leaves an event of what was done, or why not.
func (r *responder) record(i *alert.Incident, change client.Change, withheld string) {
	e := audit.Event{
		Class: audit.Admin, Decision: audit.Accepted, Actor: "alerts", Action: change.Action, Target: change.Target, Change: change.Text,
		Detail: because(i),
	}
	if withheld != "" {
		e.Decision, e.Code, e.Change, e.Target = audit.Refused, "response_withheld", "", i.Subject.String()
		e.Detail += ": " + withheld
	}
	r.app.record(&e)
}

// because is the reason that stands in what was done, and in its event.
func because(i *alert.Incident) string {
	return admin.ReasonPrefix + i.Detection + ", event " + i.Event
}

// block keeps the network out that an alert is about.
func (r *responder) block(ctx context.Context, i *alert.Incident, seen *evidence, until time.Time) (change client.Change, withheld string, err error) {
	change.Action = "network.block"
	network, ok := subjectNetwork(i)
	switch {
	case !ok:
		return change, "the alert is not about a network", nil
	case network.Addr().Is4() && network.Bits() < widestBlock4, network.Addr().Is6() && network.Bits() < widestBlock6:
		return change, "the network is wider than what is blocked by itself", nil
	case network.Addr().IsLoopback() || slices.ContainsFunc(r.app.current().trusted, network.Overlaps):
		return change, "it is this machine, or a trusted proxy: behind it may be everybody", nil
	case r.isSpared(network):
		return change, "alerts.respond_never names it", nil
	case seen.isOfPage(network, i.Event):
		return change, "a page made a browser there send such requests: perhaps somebody else's, to have its reader shut out", nil
	case seen.use[network] != "":
		return change, "a credential is in good use there (" + seen.use[network] + "), whose holder would be shut out, too; pavise block does it all the same", nil
	}
	known, err := r.app.State.Registry.Blocks(ctx)
	if err != nil {
		return change, "", err
	}
	if slices.ContainsFunc(known, func(b client.Block) bool {
		return b.Network.Bits() <= network.Bits() && b.Network.Contains(network.Addr()) && !b.Until.Before(until)
	}) {
		return change, "it is blocked already, for longer", nil
	}
	if len(known) >= maxAutomatic {
		return change, fmt.Sprintf("%d networks are blocked already; the rest is left to operators", len(known)), nil
	}
	if change, err = r.app.State.Registry.Block(ctx, network, until.Sub(r.app.now()), because(i)); err != nil {
		return change, "", err
	}
	return change, "", r.app.State.View.Refresh(ctx)
}

// subjectNetwork is the network of an alert that is about one.
func subjectNetwork(i *alert.Incident) (netip.Prefix, bool) {
	if i.Subject.Kind != "network" {
		return netip.Prefix{}, false
	}
	if addr, err := netip.ParseAddr(i.Subject.Name); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), addr.Zone() == ""
	}
	p, err := netip.ParsePrefix(i.Subject.Name)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func (r *responder) isSpared(network netip.Prefix) bool {
	return slices.ContainsFunc(r.never, func(word string) bool {
		spared, err := config.ParseNetwork(word)
		return err == nil && spared.Overlaps(network)
	})
}

// suspend refuses a credential whose secret the request held that raised the alert; of a token
// all that its issuer gives the same person or service, since the next one is had with a refresh
// token, and the name of one without an id is that of all of a client.
func (r *responder) suspend(ctx context.Context, i *alert.Incident, seen *evidence, until time.Time) (change client.Change, withheld string, err error) {
	change.Action = "credential.suspend"
	e, withheld := r.proved(i, seen)
	switch {
	case withheld != "":
		return change, withheld, nil
	case isToken(e) && (e.Subject == "" || e.Issuer == ""):
		return change, "the token does not say whose it is", nil
	case isToken(e):
		return r.hold(ctx, client.Hold{
			Issuer: e.Issuer, Subject: e.Subject, Name: cmp.Or(e.User, e.Client), Until: until, Reason: because(i),
		})
	case e.CredentialID == "":
		return change, "the request held no credential that has a name", nil
	}
	return r.hold(ctx, client.Hold{Kind: e.Shield, Credential: e.CredentialID, Until: until, Reason: because(i)})
}

// stepUp demands of a person a sign-in after the alert.
func (r *responder) stepUp(ctx context.Context, i *alert.Incident, seen *evidence, until time.Time) (change client.Change, withheld string, err error) {
	change.Action = "user.step_up"
	e, withheld := r.proved(i, seen)
	switch {
	case withheld != "":
		return change, withheld, nil
	case e.User == "" || e.Subject == "" || e.Issuer == "":
		return change, "the request was not that of a person whom an issuer signs in", nil
	}
	return r.hold(ctx, client.Hold{
		Subject: e.Subject, Issuer: e.Issuer, Name: e.User, SignIn: true, Since: i.Began, Until: until, Reason: because(i),
	})
}

func isToken(e *audit.Event) bool { return e.Shield == "jwt" || e.Shield == "introspect" }

func (r *responder) hold(ctx context.Context, h client.Hold) (change client.Change, withheld string, err error) {
	known, err := r.app.State.Registry.Holds(ctx)
	if err != nil {
		return change, "", err
	}
	if len(known) >= maxAutomatic {
		return change, fmt.Sprintf("%d credentials and people are held already; the rest is left to operators", len(known)), nil
	}
	if change, err = r.app.State.Registry.Hold(ctx, h); err != nil {
		return change, "", err
	}
	return change, "", r.app.State.View.Refresh(ctx)
}

// proved returns the request that raised an alert, if whoever sent it held the secret of whom
// the alert is about; else why nothing may follow from it.
func (r *responder) proved(i *alert.Incident, seen *evidence) (*audit.Event, string) {
	e := seen.raised[i.Event]
	if e == nil {
		return nil, "the request that raised the alert is not in the log any more"
	}
	about := map[string]string{"credential": e.CredentialID, "client": e.Client, "user": e.User}[i.Subject.Kind]
	switch {
	case e.Class != audit.Request || !e.Proved:
		return nil, "the request that raised the alert did not prove the credential: whoever knows its name could have sent it"
	case about == "" || about != i.Subject.Name:
		return nil, "the request that raised the alert does not prove whom it is about"
	case alert.IsCopied(e.Code):
		return nil, "the request was a copy of an earlier one: whoever recorded that does not hold the credential"
	case slices.ContainsFunc([]string{e.CredentialID, e.Client, e.User}, func(name string) bool { return name != "" && slices.Contains(r.never, name) }):
		return nil, "alerts.respond_never names it"
	}
	return e, ""
}

// evidence is what the log says about alerts.
type evidence struct {
	raised map[string]*audit.Event          // requests that raised them, by their ids
	use    map[netip.Prefix]string          // networks in which a credential is in good use: which
	page   map[netip.Prefix]map[string]bool // networks in which pages made browsers send what was refused: with which codes
}

// isOfPage reports whether a page made browsers in a network send requests like the one that
// raised an alert. Who says so of himself escapes no more than the block.
func (s *evidence) isOfPage(network netip.Prefix, event string) bool {
	codes := s.page[network]
	if e := s.raised[event]; e != nil {
		return codes[e.Code] || e.Code == string(edge.TLSRequired) // without TLS nothing is asked of headers
	}
	return len(codes) > 0
}

// look searches the log for all that events need.
func (r *responder) look(ctx context.Context, events []audit.Found) (*evidence, error) {
	seen := &evidence{raised: map[string]*audit.Event{}, use: map[netip.Prefix]string{}, page: map[netip.Prefix]map[string]bool{}}
	var networks []netip.Prefix
	var first, last time.Time
	for i := range events {
		incident, ok := alert.FromEvent(&events[i].Event)
		if !ok {
			continue
		}
		seen.raised[incident.Event] = nil
		if first.IsZero() || incident.Began.Before(first) {
			first = incident.Began
		}
		if incident.Began.After(last) {
			last = incident.Began
		}
		if network, ok := subjectNetwork(&incident); ok && r.do[incident.Detection].Block.Duration > 0 {
			networks = append(networks, network)
		}
	}
	return seen, errors.Join(r.lookRaised(ctx, seen, first, last), r.lookUse(ctx, seen, networks))
}

// lookRaised finds requests by their ids, around the time of the alerts that they raised.
func (r *responder) lookRaised(ctx context.Context, seen *evidence, first, last time.Time) error {
	if len(seen.raised) == 0 {
		return nil
	}
	const around = 2 * time.Second // the log is in the order of arrival, times may not be
	return r.search(ctx, audit.Query{Since: first.Add(-around), Until: last.Add(around)}, func(e *audit.Event) {
		if _, wanted := seen.raised[e.ID]; wanted {
			seen.raised[e.ID] = e
		}
	})
}

// lookUse finds networks in which somebody has used a credential well of late, or a page has made
// a browser ask for what is refused.
func (r *responder) lookUse(ctx context.Context, seen *evidence, networks []netip.Prefix) error {
	if len(networks) == 0 {
		return nil
	}
	q := audit.Query{Class: audit.Request, Since: r.app.now().Add(-goodUse)}
	if len(networks) == 1 {
		q.Address = networks[0]
	}
	return r.search(ctx, q, func(e *audit.Event) {
		isUse := e.Decision == audit.Accepted && e.Proved && (e.CredentialID != "" || e.Client != "")
		if !isUse && e.Warning != audit.SentByPage {
			return
		}
		for _, network := range networks {
			switch {
			case !network.Contains(e.Remote.Addr().Unmap()):
			case isUse:
				seen.use[network] = strings.TrimSpace("client " + e.Client)
			case seen.page[network] == nil:
				seen.page[network] = map[string]bool{e.Code: true}
			default:
				seen.page[network][e.Code] = true
			}
		}
	})
}

// search goes through a log that is being written. Damage is told by whoever verifies it.
func (r *responder) search(ctx context.Context, q audit.Query, f func(*audit.Event)) error {
	err := audit.Each(ctx, r.app.installed.Log.Folder, q, func(found audit.Found) error {
		f(&found.Event)
		return nil
	})
	if _, damaged := errors.AsType[*audit.Fault](err); damaged {
		return nil
	}
	if err != nil {
		return fmt.Errorf("search the log for what raised the alert: %w", err)
	}
	return nil
}
