// Package leak finds what should not leave in an answer: card numbers, e-mail addresses,
// IBANs, keys of well-known providers, tokens, private keys, and traces of a program's
// stack or of its database.
//
// A [Scanner] looks for some kinds, each with what is done about it: reported, masked, or the
// answer blocked. It takes one pass over the text for all of them (match.go); only where
// something begins that could be one is it looked at closely (card.go, account.go, mail.go,
// key.go, trace.go). A Scanner is safe for concurrent use.
//
//	s, err := leak.New(map[leak.Kind]leak.Action{leak.Card: leak.Mask, leak.Trace: leak.Block})
//	…
//	result, err := s.JSON(body)
//
// In JSON, texts and numbers are masked where they stand: all else keeps every byte. What is
// told of a finding is its kind, how often, and where the first stands, never a value.
//
// It finds what has a form of its own. Names, addresses and numbers without a check digit
// have none: describe those in the API's document (x-pavise-sensitive).
package leak

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what is looked for.
type Kind string

// What is looked for.
const (
	Card       Kind = "card"        // payment card numbers: the issuer's prefix and length, and the check digit
	Email      Kind = "email"       // e-mail addresses
	IBAN       Kind = "iban"        // account numbers: the country's form, and the check digits
	Key        Kind = "key"         // keys of well-known providers, and our own
	JWT        Kind = "jwt"         // signed tokens
	PrivateKey Kind = "private_key" // in PEM
	Trace      Kind = "trace"       // traces of a stack, errors of a database
)

// Kinds are all kinds.
func Kinds() []Kind { return []Kind{Card, Email, IBAN, Key, JWT, PrivateKey, Trace} }

// Action is what is done about a finding.
type Action string

// What is done about a finding.
const (
	Report Action = "report" // it is told, and leaves
	Mask   Action = "mask"   // it is told, and only a rest of it leaves
	Block  Action = "block"  // the answer is not to be sent: the caller of the package sees to that
)

// Usual is what is done about a kind where nobody says.
func Usual(k Kind) Action {
	switch k {
	case Card, Email, IBAN:
		return Mask
	}
	return Block
}

// Scanner looks for some kinds.
type Scanner struct {
	actions map[Kind]Action
	matcher *matcher
	looks   []look // by pattern of the matcher
}

// look says whether what begins at a place is of a kind, and where it begins and ends. A
// finding begins at floor or later, so that none is found twice. Its cost is bounded however
// the text reads, or paid by what it finds.
type look struct {
	kind Kind
	at   func(text []byte, at, floor int) (from, to int, ok bool)
}

// New makes a scanner. Traces cannot be masked: there is no rest of them that says anything.
func New(what map[Kind]Action) (*Scanner, error) {
	s := &Scanner{actions: map[Kind]Action{}}
	var patterns []string
	add := func(kind Kind, at func([]byte, int, int) (int, int, bool), all ...string) {
		for _, p := range all {
			patterns = append(patterns, p)
			s.looks = append(s.looks, look{kind, at})
		}
	}
	for kind, action := range what {
		switch {
		case !slices.Contains(Kinds(), kind):
			return nil, fmt.Errorf("%q is nothing that is looked for; known are %v", kind, Kinds())
		case action != Report && action != Mask && action != Block:
			return nil, fmt.Errorf("%s: %q is nothing that is done; known are report, mask and block", kind, action)
		case kind == Trace && action == Mask:
			return nil, fmt.Errorf("a trace cannot be masked: report it, or block the answer")
		}
		s.actions[kind] = action
	}
	for _, kind := range Kinds() { // in one order, so that all scanners are alike
		if _, wanted := what[kind]; !wanted {
			continue
		}
		switch kind {
		case Card:
			add(kind, isCard, "####")
		case Email:
			add(kind, isMail, "@")
		case IBAN:
			add(kind, newIBANs().at, "^^##")
		case JWT:
			add(kind, isJWT, "eyJ")
		case PrivateKey:
			add(kind, isPEM, "-----BEGIN ")
		case Key:
			for _, form := range keyForms() {
				add(kind, form.at, form.prefix)
			}
		case Trace:
			for _, form := range traceForms() {
				add(kind, form.at, form.text)
			}
		}
	}
	s.matcher = newMatcher(patterns)
	return s, nil
}

// Found is what was found of one kind.
type Found struct {
	Kind    Kind
	Action  Action
	Count   int
	Pointer string // of the first, in JSON; parts of it that are themselves of a kind are "*"
	Named   bool   // one is a property's name, where nothing is masked
}

// Result is what became of a text.
type Result struct {
	Text  []byte // masked; the text itself if nothing was
	Found []Found
}

// Has reports whether something was found that an action is for.
func (r Result) Has(a Action) bool {
	return slices.ContainsFunc(r.Found, func(f Found) bool { return f.Action == a })
}

// Text looks through a text that is no JSON.
func (s *Scanner) Text(text []byte) Result {
	t := tally{scanner: s}
	spans := s.find(text)
	for _, one := range spans {
		t.add(one.kind, nil)
	}
	return Result{Text: s.mask(text, spans), Found: t.found()}
}

// span is where something stands.
type span struct {
	kind     Kind
	from, to int
}

// find finds everything, from left to right.
func (s *Scanner) find(text []byte) (spans []span) {
	floor := 0
	s.matcher.each(text, func(pattern, at int) {
		if at < floor {
			return
		}
		one := s.looks[pattern]
		if from, to, ok := one.at(text, at, floor); ok {
			spans = append(spans, span{one.kind, from, to})
			floor = to
		}
	})
	return spans
}

// maxRounds is how often a text is masked again, should what is left look like something else.
const maxRounds = 4

// mask puts what may be shown in the place of what was found. What it returns holds nothing
// more that would be masked.
func (s *Scanner) mask(text []byte, spans []span) []byte {
	for range maxRounds {
		out, masked := s.maskOnce(text, spans)
		if !masked {
			return text
		}
		text = out
		spans = s.find(text)
	}
	if _, masked := s.maskOnce(text, spans); masked {
		return []byte(hidden)
	}
	return text
}

func (s *Scanner) maskOnce(text []byte, spans []span) (out []byte, masked bool) {
	at := 0
	for _, one := range spans {
		if s.actions[one.kind] == Mask {
			out = append(out, text[at:one.from]...)
			out = append(out, shown(one.kind, text[one.from:one.to])...)
			at, masked = one.to, true
		}
	}
	return append(out, text[at:]...), masked
}

const (
	hidden = "***"          // stands for what is not shown at all
	stars  = "************" // stand for the digits of a card that are not shown
)

// shown is what is left of something when it is masked. It has no character that a JSON
// string would have to escape.
func shown(kind Kind, text []byte) string {
	switch kind {
	case Card:
		return MaskCard(string(text))
	case Email:
		return MaskEmail(string(text))
	}
	return hidden
}

// MaskCard leaves the last four digits of a number; of one that is shorter than eight, none.
func MaskCard(number string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
	switch {
	case len(digits) == 4 && number == stars+digits:
		return number // it is masked already
	case len(digits) < 8:
		return hidden
	}
	return stars + digits[len(digits)-4:]
}

// MaskEmail leaves the first character and the domain of an address; of what is none, nothing.
func MaskEmail(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || strings.ContainsAny(domain, `@"\`) || !isDomain([]byte(domain)) {
		return hidden
	}
	first := []rune(local)[0]
	if first < 0x80 && !isLocal(byte(first)) {
		return hidden
	}
	return string(first) + hidden + "@" + domain
}

// tally counts what is found.
type tally struct {
	scanner *Scanner
	kinds   []Found
}

// add counts one; where says where the first of its kind stands.
func (t *tally) add(kind Kind, where func() string) *Found {
	i := slices.IndexFunc(t.kinds, func(f Found) bool { return f.Kind == kind })
	if i < 0 {
		i = len(t.kinds)
		t.kinds = append(t.kinds, Found{Kind: kind, Action: t.scanner.actions[kind]})
		if where != nil {
			t.kinds[i].Pointer = where()
		}
	}
	t.kinds[i].Count++
	return &t.kinds[i]
}

// found are the findings in the order of [Kinds].
func (t *tally) found() []Found {
	slices.SortFunc(t.kinds, func(a, b Found) int {
		return slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind)
	})
	return t.kinds
}
