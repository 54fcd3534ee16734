package advise

import (
	"fmt"
	"slices"
	"strings"
)

// Judge says what one endpoint should carry. Its answers must be whole: see [Endpoint.Complete].
func Judge(api API, e Endpoint) Advice {
	a := Advice{Endpoint: e}
	tokens := JWT
	if api.Tokens.Opaque {
		tokens = Introspect
	}
	var chosen []Shield
	for _, c := range e.Answers.Callers {
		wants, because := demanded(&e.Answers, c)
		a.Because = add(a.Because, because)
		if kept := e.InForce & best(c, &e.Answers, tokens).Gives() &^ wants; kept != 0 {
			wants |= kept
			a.Because = add(a.Because, []Reason{{"in-force", "callers show already that a request is " + kept.String() + ": less would be a step back", "OWASP API2:2023"}})
		}
		a.Demand |= wants
		chosen = append(chosen, choose(c, &e.Answers, wants, tokens))
	}
	a.Shield = join(chosen)
	a.Because = add(a.Because, a.mixed())
	if a.Demand == 0 {
		a.Because = append(a.Because, Reason{"open-on-purpose", "everybody may have the data, and the call changes nothing: a credential would protect nothing, and would be handed around", "OWASP API9:2023"})
	}
	a.Refused = a.refusals(tokens)
	a.Layers = layersOf(&a)
	a.Limit = limitOf(&a)
	a.Scopes = scopesOf(&a)
	a.Risks = risksOf(&a)
	a.Costs = costsOf(&a)
	return a
}

func add(to, more []Reason) []Reason {
	for _, r := range more {
		if !slices.ContainsFunc(to, func(known Reason) bool { return known.Rule == r.Rule }) {
			to = append(to, r)
		}
	}
	return to
}

// choose takes the first candidate that gives what is demanded.
func choose(c Caller, a *Answers, wants Guarantees, tokens string) Shield {
	for _, s := range candidates(c, a.forPerson(c), tokens) {
		if s.Gives().Has(wants) {
			return s
		}
	}
	return best(c, a, tokens) // that it suffices is tested for every answer
}

// best is the strongest shield that a caller can use.
func best(c Caller, a *Answers, tokens string) Shield {
	all := candidates(c, a.forPerson(c), tokens)
	return all[len(all)-1]
}

// join makes one shield of those of several callers. An any is as strong as its weakest part, and
// parts that carry their credentials alike cannot be told apart: of those one stands for all.
func join(chosen []Shield) Shield {
	var kept []Shield
	for _, s := range chosen {
		for i := 0; i < len(kept); {
			if !alike(kept[i], s) {
				i++
				continue
			}
			s = stronger(kept[i], s)
			kept = slices.Delete(kept, i, i+1)
		}
		kept = append(kept, s)
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return Shield{Kind: Any, Parts: ordered(kept)}
}

// alike reports whether a request could carry the credentials of both at once, so that nobody
// could say for which of the two it came.
func alike(a, b Shield) bool {
	return slices.ContainsFunc([]string{Public, APIKey, JWT, Introspect, HMAC, MTLS}, func(kind string) bool { return a.Uses(kind) && b.Uses(kind) })
}

// stronger is which of two that are alike stands for both. Where people call with an app, and a
// service for people, the person's token is what both can have; it is then bound to a key.
func stronger(a, b Shield) Shield {
	if a.Kind == All {
		a, b = b, a
	}
	if b.Kind == All && a.Kind != All && a.Gives().Has(Person) {
		a.DPoP = true
		return a
	}
	if a.Gives().Has(b.Gives()) {
		return a
	}
	return b
}

// ordered puts the shields of an any in the order in which they are asked.
func ordered(parts []Shield) []Shield {
	rank := func(s Shield) int {
		return slices.IndexFunc([]string{JWT, Introspect, MTLS, HMAC, APIKey, Public}, s.Uses)
	}
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Shield) int { return rank(a) - rank(b) })
	return parts
}

// mixed tells of what several callers on one endpoint cost each other.
func (a *Advice) mixed() (more []Reason) {
	for _, c := range a.Answers.Callers {
		wants, _ := demanded(&a.Answers, c)
		if lacking := wants &^ a.served(c).Gives(); lacking != 0 && !c.IsApp() {
			more = add(more, []Reason{{
				"split", fmt.Sprintf("%s and an app's people share the endpoint, so that both show the person's token, bound to a key. What the %s should show beside it (%s) cannot be had here: give it an endpoint of its own",
					c, c, lacking), "RFC 8693 §1.1",
			}})
		}
	}
	if a.Shield.Kind == Any {
		more = append(more, Reason{"each-its-own", "different callers come with different credentials; a wrong one ends the search, so that nobody can fall back to a weaker one", "OWASP API2:2023"})
	}
	return more
}

// served is the part of the shield that a caller uses: one of its own candidates, if it gives what
// is demanded of the caller.
func (a *Advice) served(c Caller) Shield {
	if a.Shield.Kind != Any {
		return a.Shield
	}
	wants, _ := demanded(&a.Answers, c)
	other := a.Shield.Parts[0]
	for _, s := range a.Shield.Parts {
		if !s.Gives().Has(wants) {
			continue
		}
		if slices.ContainsFunc(candidates(c, a.Answers.forPerson(c), s.Kind), func(own Shield) bool { return own.String() == s.String() }) {
			return s
		}
		other = s
	}
	return other
}

// refusals says of every shield that is not advised why it is not.
func (a *Advice) refusals(tokens string) (all []Refused) {
	for _, s := range considered(tokens) {
		if s.String() == a.Shield.String() || a.Shield.Kind == Any && slices.ContainsFunc(a.Shield.Parts, func(p Shield) bool { return p.String() == s.String() }) {
			continue
		}
		all = append(all, a.refuse(s))
	}
	return all
}

// refuse finds the best reason: a caller who cannot use it, a guarantee that it does not give, or
// that it costs more without need.
func (a *Advice) refuse(s Shield) Refused {
	if s.Kind == Public && a.Demand != 0 {
		r := demander(&a.Answers, a.demanding(Known), Known)
		if r.Rule == "" {
			r = Reason{"in-force", "callers show already who they are", "OWASP API2:2023"}
		}
		return Refused{s.String(), r.Rule, "anybody could call: " + r.Why, r.Source}
	}
	for _, c := range a.Answers.Callers {
		wants, _ := demanded(&a.Answers, c)
		if lacking := wants &^ s.Gives(); lacking != 0 && a.Demand != 0 {
			first := lacking & -lacking
			if lacking.Has(Person) {
				first = Person
			}
			r := demander(&a.Answers, c, first)
			return Refused{s.String(), r.Rule, says(first) + "; " + r.Why, r.Source}
		}
	}
	for _, c := range a.Answers.Callers {
		if u, bad := unfitFor(c, a.Answers.forPerson(c), s); bad && a.Demand != 0 {
			return Refused{s.String(), u.ID, "for the " + words(c) + ": " + u.Why, u.Source}
		}
	}
	if a.Demand == 0 {
		return Refused{s.String(), "open-on-purpose", "there is nothing that it would keep anybody from", ""}
	}
	return Refused{s.String(), "not-needed", "it would do, and costs more to run than what is advised, or names the caller less well: " + cost(s), ""}
}

// demanding is the first caller of whom a guarantee is demanded.
func (a *Advice) demanding(g Guarantees) Caller {
	for _, c := range a.Answers.Callers {
		if wants, _ := demanded(&a.Answers, c); wants&g != 0 {
			return c
		}
	}
	return a.Answers.Callers[0]
}

func says(g Guarantees) string {
	for _, m := range meaning() {
		if m.Is == g {
			return m.Says
		}
	}
	return ""
}

func words(c Caller) string {
	return map[Caller]string{
		Browser: "browser", Mobile: "mobile app", ThirdParty: "third party", Partner: "partner's server",
		Service: "own service", Device: "device", Webhook: "webhook's sender",
	}[c]
}

// who lists the callers in words.
func who(callers []Caller) string {
	all := make([]string, len(callers))
	for i, c := range callers {
		all[i] = words(c)
	}
	return strings.Join(all, ", ")
}
