package advise

import (
	"slices"
)

// demand is a rule: to whom it applies, from which data and harm on, and what it demands. A rule
// has no upper end, so that more harm and more delicate data never demand less.
type demand struct {
	ID      string
	Callers []Caller // nil: all
	Person  bool     // only for callers that act for a person
	Data    Data     // this or more; empty: any
	Harm    Harm     // this or more; empty: any
	Wants   Guarantees
	Why     string
	Source  string
}

// why is the reason for what is asked about. What cannot be undone is more than money, and falls under
// the rules of money, too: no money need move there.
func (d *demand) why(a *Answers) string {
	undone := map[string]string{
		"money-bound":  "what cannot be undone: what a thief copies must not be enough",
		"money-person": "what cannot be undone is done at a person's word: the person has to be named, and the key is the app's alone",
		"money-signed": "what cannot be undone: a request that is changed or repeated on the way does something else, or does it twice",
		"two-proofs":   "what cannot be undone: one stolen secret must not be enough, and who asked for it must be beyond dispute",
	}[d.ID]
	if undone != "" && a.Harm.level() >= Irreversible.level() {
		return undone
	}
	return d.Why
}

// demands is all of them.
func demands() []demand {
	people := []Caller{Mobile, Browser}
	own := []Caller{Service, Device}
	return []demand{
		{
			"data-not-public", nil, false, Application, "", Known,
			"not everybody may have the data, so that callers have to be told apart", "OWASP API2:2023; NIST SP 800-228",
		},
		{
			"change-not-public", nil, false, "", Change, Known,
			"the call changes something, so that somebody has to answer for it", "OWASP API2:2023; NIST SP 800-228",
		},
		{
			"person-named", apps(), false, User, "", Known | Person | Short,
			"the data is a person's: an application's name does not say whose. An API key never stands alone before user data", "OWASP API2:2023; OWASP API1:2023; RFC 9700 §2.1",
		},
		{
			"person-delegates", nil, true, Application, "", Known | Person | Short,
			"the caller acts for a person who signed in: the person's own token says for whom, with their scopes", "RFC 9700 §2.1; NIST SP 800-204",
		},
		{
			"person-delegates", nil, true, "", Change, Known | Person | Short,
			"the caller acts for a person who signed in: the person's own token says for whom, with their scopes", "RFC 9700 §2.1; NIST SP 800-204",
		},
		{
			"delegate-proved", machines(), true, Application, "", Known | Bound | Sole | Two,
			"whoever brings somebody else's token proves beside it who he is himself", "RFC 8705 §3; NIST SP 800-204",
		},
		{
			"delegate-proved", machines(), true, "", Change, Known | Bound | Sole | Two,
			"whoever brings somebody else's token proves beside it who he is himself", "RFC 8705 §3; NIST SP 800-204",
		},
		{
			"no-secret-in-apps", people, false, Application, "", Known | Short,
			"what is put into a page or an app is read by everybody who has it: only what ends by itself may be there", "RFC 9700 §2.1.1; RFC 8252 §8.5",
		},
		{
			"no-secret-in-apps", people, false, "", Change, Known | Short,
			"what is put into a page or an app is read by everybody who has it: only what ends by itself may be there", "RFC 9700 §2.1.1; RFC 8252 §8.5",
		},
		{
			"token-bound", people, false, User, Change, Bound | Sole,
			"tokens are stolen from pages and apps, and here a thief could change a person's things: bind them to a key (DPoP)", "RFC 9700 §2.2.1; RFC 9449 §1",
		},
		{
			"delicate-bound", nil, false, Payment, "", Known | Bound,
			"payment and health data: what a thief copies must not be enough", "RFC 9700 §2.2.1; RFC 8705 §3; RFC 9449 §1",
		},
		{
			"money-bound", nil, false, "", Money, Bound,
			"money moves: what a thief copies must not be enough", "RFC 9700 §2.2.1; RFC 8705 §3; RFC 9449 §1",
		},
		{
			"money-person", apps(), false, "", Money, Known | Person | Short | Sole,
			"money moves at a person's word: the person has to be named, and the key is the app's alone", "RFC 9700 §2.2.1; NIST SP 800-63B",
		},
		{
			"step-up", apps(), false, "", Money, Fresh | Once,
			"before money moves, or what cannot be undone, the person shows once more to be there; and each proof counts once", "RFC 9470; RFC 9449 §11.1; NIST SP 800-63B",
		},
		{
			"step-up", machines(), true, "", Money, Fresh,
			"before money moves, or what cannot be undone, the person for whom it is done shows once more to be there", "RFC 9470; NIST SP 800-63B",
		},
		{
			"machine-key", own, false, Application, "", Known | Bound | Sole,
			"a machine of one's own can hold a private key, renewed by itself: nothing that can be copied has to travel", "NIST SP 800-204; RFC 8705 §1",
		},
		{
			"machine-key", own, false, "", Change, Known | Bound | Sole,
			"a machine of one's own can hold a private key, renewed by itself: nothing that can be copied has to travel", "NIST SP 800-204; RFC 8705 §1",
		},
		{
			"partner-user-data",
			[]Caller{Partner},
			false, User, "", Known | Bound,
			"a partner's server reads people's data: a key that travels with each request ends up in its logs", "OWASP API2:2023; RFC 9421 §1",
		},
		{
			"partner-signs",
			[]Caller{Partner},
			false, "", Change, Known | Bound | Intact | Once,
			"what a partner's server changes must arrive as it was sent, and once", "RFC 9421 §1; NIST SP 800-204",
		},
		{
			"webhook-signed",
			[]Caller{Webhook},
			false, Application, "", Known | Bound | Intact | Once,
			"a webhook is believed for what it says, so that it must be its sender's word, unchanged, and once", "RFC 9421 §1; OWASP API10:2023",
		},
		{
			"webhook-signed",
			[]Caller{Webhook},
			false, "", Change, Known | Bound | Intact | Once,
			"a webhook is believed for what it says, so that it must be its sender's word, unchanged, and once", "RFC 9421 §1; OWASP API10:2023",
		},
		{
			"money-signed", machines(), false, "", Money, Known | Bound | Intact | Once,
			"money moves between machines: a request that is changed or repeated on the way pays somebody else, or twice", "RFC 9421 §1; NIST SP 800-204",
		},
		{
			"two-proofs", machines(), false, Payment, Money, Two | Sole,
			"payments between machines: one stolen secret must not be enough", "NIST SP 800-63B; RFC 8705 §1; RFC 9421 §1",
		},
		{
			"two-proofs", machines(), false, "", Irreversible, Two | Sole,
			"what cannot be undone: one stolen secret must not be enough, and who asked for it must be beyond dispute", "NIST SP 800-63B; RFC 8705 §1; RFC 9421 §1",
		},
	}
}

// applies reports whether a rule holds for one caller.
func (d *demand) applies(a *Answers, c Caller) bool {
	return (d.Callers == nil || slices.Contains(d.Callers, c)) && (!d.Person || a.forPerson(c)) &&
		(d.Data == "" || a.Data.level() >= d.Data.level()) && (d.Harm == "" || a.Harm.level() >= d.Harm.level())
}

// demanded is what one caller has to give, and the rules that say so. Each rule is told once.
func demanded(a *Answers, c Caller) (g Guarantees, because []Reason) {
	for _, d := range demands() {
		if !d.applies(a, c) {
			continue
		}
		g |= d.Wants
		if !slices.ContainsFunc(because, func(r Reason) bool { return r.Rule == d.ID }) {
			because = append(because, Reason{d.ID, d.why(a), d.Source})
		}
	}
	return g, because
}

// demander is the rule that demands what is missing; the first one.
func demander(a *Answers, c Caller, missing Guarantees) Reason {
	for _, d := range demands() {
		if d.Wants&missing != 0 && d.applies(a, c) {
			return Reason{d.ID, d.why(a), d.Source}
		}
	}
	return Reason{}
}
