// Package foreign plans a penetration test of an API of which only its OpenAPI document is known,
// and the credentials of one or two users, and perhaps those of an administrator.
//
//	document.go, value.go   what the document says, and values that it takes
//	draft.go, world.go      requests; what users see: their answers, and their objects
//	pause.go                what a target is given that asks for a pause
//	compare.go              whether two answers say the same
//	rules.go                what is wrong, and what mends it
//	plan.go                 the cases, in the order in which they disturb least
//
//	call.go                 addresses of ours that the target is given to call
//
// and one file for each family: authentication.go and around.go (who calls), token.go and forge.go
// (JWTs), object.go, function.go, property.go (what they may), injection.go, delay.go, xml.go and
// reach.go, graphql.go, limit.go, verbose.go, header.go, transport.go, inventory.go, content.go.
//
// Nothing is a finding because of one answer. Each is seen twice, and beside a control: a request that
// differs only in what matters, and that must be answered otherwise. A server that answers everything,
// or ignores what it is sent, gives the control the same answer, and nothing is found.
//
// What is sent to find that something can be injected changes nothing where it succeeds: conditions
// that are true or false, sums, files that everybody may read.
//
// What it does not do: it follows no reference out of the document, and no address in an answer. It cannot
// tell what an API means to be public from what it forgot, but for what the document says: where that says
// nothing of who may call, and everybody is answered, this is found.
package foreign

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/schema"
)

// Target is what is known of an API.
type Target struct {
	Document []byte
	Name     string // of the document, for errors
	Base     bool   // the address of the target has no path of its own: the document's servers say it

	Users   []*attack.User // ordinary ones; none, one or two
	Admin   *attack.User   // may do everything; nil: nobody is known
	Allowed attack.Demand  // what the run may do, which decides how users' objects are learnt

	// Listener is what the target is given to call; nil: what is found by calls alone is not.
	Listener *attack.Listener
}

// Plan makes the cases for a target.
func Plan(t Target) (*attack.Plan, error) {
	document, err := schema.Open(t.Name, t.Document, schema.Options{Undeclared: true})
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	if len(t.Users) > 2 {
		return nil, errors.New("more than two users are named: two suffice to cross their objects")
	}
	w := &world{
		reader: &reader{document: document, outside: map[string]bool{}, base: t.Base}, users: t.Users, admin: t.Admin, allowed: t.Allowed, listener: t.Listener,
		goods: map[goodKey]*good{}, things: map[*attack.User]map[string][]map[string]any{}, single: map[*attack.User][]map[string]any{},
		injected: map[string]bool{}, forged: map[string]bool{}, forms: newForms(),
	}
	w.ops = w.operations()
	if len(w.ops) == 0 {
		return nil, errors.New("read the OpenAPI document: it describes no operation")
	}
	p := &planner{w: w}
	p.all()
	return &attack.Plan{Cases: p.cases, Notes: w.notes(), Doubt: w.doubt}, nil
}

// notes say what could not be planned.
func (w *world) notes() (all []string) {
	protected := slices.ContainsFunc(w.ops, func(o *operation) bool { return o.protected })
	switch {
	case !protected:
		all = append(all, "the document demands a credential of no operation: what is open by mistake cannot be told from what is everybody's")
	case len(w.users) == 0:
		all = append(all, "no user was named (--as): what only callers with a credential reach is not looked at")
	case len(w.users) == 1:
		all = append(all, "one user was named: with a second one (--as twice) their objects are crossed")
	}
	if len(w.outside) > 0 {
		outside := slices.Sorted(maps.Keys(w.outside))
		for i := range outside {
			outside[i] = attack.Printable(fmt.Sprintf("%.80s", outside[i]))
		}
		all = append(all, fmt.Sprintf("the document refers to %s, which is not fetched: references stay within it", strings.Join(outside[:min(3, len(outside))], ", ")))
	}
	if len(w.ops) == maxOperations {
		all = append(all, fmt.Sprintf("the document describes more than %d operations: the rest is not looked at", maxOperations))
	}
	return all
}

// ErrCertificate is the error of a target whose certificate cannot be verified.
var ErrCertificate = errors.New("the target's certificate cannot be verified")

// Reach asks the target once, without a credential, and says why that cannot be done.
func Reach(ctx context.Context, p *attack.Prober) error {
	base := p.Scope().Base()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String()+"/", nil)
	if err != nil {
		return fmt.Errorf("ask the target: %w", err)
	}
	r.Header.Set("User-Agent", "pavise-attack")
	_, err = p.Send(r)
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return errors.Join(ErrCertificate, err)
	}
	return err
}
