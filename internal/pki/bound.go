package pki

import "sync"

// Bounds of what is in force at a time. A fleet does not meet them: its programs renew once a
// day each, and what they had before ends.
const (
	maxPerClient  = 10_000 // certificates of one client
	maxSuccessors = 8      // of one certificate: whoever has its key could renew it without end
)

// pending counts what is being issued and may not be counted by Options.InForce yet.
type pending struct {
	mu      sync.Mutex
	clients map[string]int
	renewed map[string]int // by the id of what is replaced
}

// reserve refuses a certificate beyond the bounds. release ends the reservation, when the
// certificate is counted, or will never be.
func (a *Authority) reserve(n Request) (release func(), err error) {
	if a.options.InForce == nil {
		return func() {}, nil
	}
	p := &a.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	all, successors := a.options.InForce(n.Client, n.Replaces, a.options.Now())
	if all+p.clients[n.Client] >= a.options.MaxPerClient {
		return nil, fault("revoke those that nobody uses (`pavise cert list`), or wait until some have ended", "client %s has %d certificates in force, and may have no more", n.Client, a.options.MaxPerClient)
	}
	if n.Replaces != "" && successors+p.renewed[n.Replaces] >= maxSuccessors {
		return nil, fault("renew the newest of them; if they are not yours, have it revoked (`pavise cert revoke`), which ends them too", "%s was renewed %d times, and these are in force", n.Replaces, maxSuccessors)
	}
	p.count(n, 1)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.count(n, -1)
	}, nil
}

func (p *pending) count(n Request, by int) {
	if p.clients == nil {
		p.clients, p.renewed = map[string]int{}, map[string]int{}
	}
	if p.clients[n.Client] += by; p.clients[n.Client] == 0 {
		delete(p.clients, n.Client)
	}
	if p.renewed[n.Replaces] += by; p.renewed[n.Replaces] == 0 {
		delete(p.renewed, n.Replaces)
	}
}
