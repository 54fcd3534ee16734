package shield

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Any returns a shield that is satisfied by the first of shields that proves an
// identity. It goes on to the next only after [Absent] or [Foreign]; any other
// refusal or error is final. If nothing was there, the refusal is Absent; if
// something was, but nobody's, it is Foreign. Either carries the challenges of
// the shields in order, each scheme once.
//
// It is an error if two shields accept what they cannot tell apart.
func Any(shields ...Shield) (Shield, error) {
	if len(shields) == 0 {
		return nil, fmt.Errorf("any needs at least one shield")
	}
	seen := map[string]bool{}
	for _, s := range shields {
		for _, form := range NeedsOf(s).Accepts {
			if seen[form] {
				return nil, fmt.Errorf("two shields of this any both accept %s and cannot tell their credentials apart", form)
			}
			seen[form] = true
		}
	}
	return anyOf(shields), nil
}

type anyOf []Shield

func (a anyOf) Verify(r *http.Request) (*Identity, error) {
	if refusal := a.Exposed(r); refusal != nil {
		return nil, refusal
	}
	var final Refusal
	var tried []attempt
	for i, s := range a {
		id, err := s.Verify(r)
		if err == nil {
			return id, nil
		}
		refusal, ok := passes(err)
		if !ok {
			return nil, inPart(i, err)
		}
		tried = append(tried, attemptsOf(i, refusal)...)
		if i == 0 || (final.Code == Absent && refusal.Code == Foreign) {
			final.Code, final.Detail, final.Header = refusal.Code, refusal.Detail, refusal.Header
		}
		final.Challenge = mergeChallenges(final.Challenge, refusal.Challenge)
	}
	return nil, final.tell(tried)
}

// Exposed implements [Exposer] for all of them.
func (a anyOf) Exposed(r *http.Request) *Refusal {
	for _, s := range a {
		if refusal := exposedBy(s, r); refusal != nil {
			return refusal
		}
	}
	return nil
}

func exposedBy(s Shield, r *http.Request) *Refusal {
	if e, ok := s.(Exposer); ok {
		return e.Exposed(r)
	}
	return nil
}

func (a anyOf) Needs() Needs {
	var n Needs
	for _, s := range a {
		n = n.merge(NeedsOf(s))
	}
	return n
}

// Part is one proof that an [All] demands.
type Part struct {
	Shield Shield
	Actor  bool // may belong to another client: a service's certificate beside a user's token
}

// All returns a shield that demands every part. The first part is primary: the
// identity is its own, with the others in [Identity.With]. All parts that are
// not declared an actor must belong to one client, otherwise the refusal is
// [MixedIdentities]. Scopes are the intersection of the parts that carry any;
// the earliest expiry counts.
//
// Every part is asked, so that a wrong credential ends the search even where
// another part is missing.
func All(parts ...Part) (Shield, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("all needs at least one shield")
	}
	if parts[0].Actor {
		return nil, fmt.Errorf("the first shield of an all is the primary one and cannot be an actor")
	}
	return allOf(parts), nil
}

type allOf []Part

func (a allOf) Verify(r *http.Request) (*Identity, error) {
	if refusal := a.Exposed(r); refusal != nil {
		return nil, refusal
	}
	proofs := make([]*Identity, 0, len(a))
	var lacking *Refusal
	var tried []attempt
	for i, part := range a {
		id, err := part.Shield.Verify(r)
		if err == nil {
			proofs = append(proofs, id)
			tried = append(tried, attempt{way: wayOf(i, ""), what: "proved"})
			continue
		}
		refusal, ok := passes(err)
		if !ok {
			return nil, inPart(i, err)
		}
		lacking = lacking.join(refusal)
		tried = append(tried, attemptsOf(i, refusal)...)
	}
	if lacking != nil {
		return nil, lacking.tell(tried)
	}
	return a.join(proofs)
}

// join keeps the first refusal, prefers absent, and collects challenges.
func (r *Refusal) join(other *Refusal) *Refusal {
	if r == nil {
		joined := *other
		return &joined
	}
	if r.Code == Foreign && other.Code == Absent {
		r.Code, r.Detail, r.Header = other.Code, other.Detail, other.Header
	}
	r.Challenge = mergeChallenges(r.Challenge, other.Challenge)
	return r
}

func (a allOf) join(proofs []*Identity) (*Identity, error) {
	joined := *proofs[0]
	joined.With = slices.Concat(joined.With, proofs[1:])
	for i, proof := range proofs {
		if !a[i].Actor && (proof.Client == "" || proof.Client != joined.Client) {
			return nil, Refuse(MixedIdentities, "%s proves client %q, %s proves client %q",
				joined.Shield, joined.Client, proof.Shield, proof.Client)
		}
		if i > 0 && proof.Scopes != nil {
			if joined.Scopes == nil {
				joined.Scopes = proof.Scopes
			} else {
				joined.Scopes = joined.Scopes.Intersect(proof.Scopes)
			}
		}
		if !proof.Expires.IsZero() && (joined.Expires.IsZero() || proof.Expires.Before(joined.Expires)) {
			joined.Expires = proof.Expires
		}
		if joined.User == "" && !a[i].Actor {
			joined.User = proof.User
		}
	}
	return &joined, nil
}

// Exposed implements [Exposer] for all parts.
func (a allOf) Exposed(r *http.Request) *Refusal {
	for _, part := range a {
		if refusal := exposedBy(part.Shield, r); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (a allOf) Needs() Needs {
	var n Needs
	for _, part := range a {
		n = n.merge(NeedsOf(part.Shield))
	}
	return n
}

func (n Needs) merge(other Needs) Needs {
	n.ClientCert = n.ClientCert || other.ClientCert
	n.Body = max(n.Body, other.Body)
	n.Carries = union(n.Carries, other.Carries)
	n.Accepts = union(n.Accepts, other.Accepts)
	n.Tokens = n.Tokens.Merge(other.Tokens)
	return n
}

// Merge takes the issuers of both; only what both demand is demanded of every token. Either
// may be nil.
func (t *Tokens) Merge(other *Tokens) *Tokens {
	if t == nil || other == nil {
		return cmp.Or(t, other)
	}
	return &Tokens{
		Issuers: union(t.Issuers, other.Issuers), ProofAlgorithms: union(t.ProofAlgorithms, other.ProofAlgorithms),
		CertificateBound: t.CertificateBound && other.CertificateBound, KeyBound: t.KeyBound && other.KeyBound,
	}
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func mergeChallenges(have, more []string) []string {
	for _, challenge := range more {
		if !slices.ContainsFunc(have, func(c string) bool { return sameScheme(c, challenge) }) {
			have = append(have, challenge)
		}
	}
	return have
}

func sameScheme(a, b string) bool {
	schemeA, _, _ := strings.Cut(a, " ")
	schemeB, _, _ := strings.Cut(b, " ")
	return strings.EqualFold(schemeA, schemeB)
}
