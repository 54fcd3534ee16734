package against

import (
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// Difference is a setting that differs, and that no request told apart.
type Difference config.Change

// String is the change in one line.
func (d Difference) String() string { return config.Change(d).String() }

// MarshalText writes it as it is told.
func (d Difference) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// values are what the setting was and is.
func (d Difference) values() string {
	switch {
	case d.Old == "":
		return "new: " + d.New
	case d.New == "":
		return "gone: " + d.Old
	}
	return d.Old + " → " + d.New
}

// place is a setting of an endpoint, or of an API: its pattern is empty then. Without a word it
// is the endpoint, or the API, itself.
type place struct{ api, pattern, word string }

// Settings of all APIs together that doors show.
const (
	addressLimit = "limits.address"
	wrongTries   = "limits.wrong_tries"
)

// proves notes what a door explains. Where different endpoints answered, or none was found, that
// is which endpoints there are; settings are only compared at one and the same.
func (d *differ) proves(c *call, passed, refused Decision) {
	d.hosts[c.host] = true
	switch {
	case shield.Code(refused.Code) == shield.LockedOut:
		d.proved[place{word: wrongTries}] = true
		return
	case shield.Code(refused.Code) == shield.RateLimited && refused.Step == "limit":
		d.proved[place{word: addressLimit}] = true
		return
	}
	for _, side := range []Decision{passed, refused} {
		if side.API != "" {
			d.proved[place{side.API, side.Endpoint, ""}] = true
		}
	}
	if refused.Endpoint != "" && refused.Endpoint != passed.Endpoint {
		return
	}
	at := place{passed.API, passed.Endpoint, d.wordOf(c, passed, refused)}
	if at.word != "" {
		d.proved[at] = true
	}
	for _, p := range c.proofs {
		if p.issuer != "" && (at.word == "shield" || at.word == "scopes") {
			d.issuers[p.issuer] = append(d.issuers[p.issuer], at)
		}
	}
}

// wordOf is the setting that decides about what a request was refused for; empty: none that is
// known, or more than one of those that differ may have done it.
func (d *differ) wordOf(c *call, passed, refused Decision) string {
	words, word := wordsOf(c, refused), ""
	for _, one := range words {
		if d.same[place{passed.API, passed.Endpoint, one}]+d.same[place{passed.API, "", one}] == 0 {
			continue
		}
		if word != "" {
			return ""
		}
		word = one
	}
	if word == "" && len(words) > 0 {
		return words[0]
	}
	return word
}

// wordsOf are the settings that may decide about what a request was refused for.
func wordsOf(c *call, refused Decision) []string {
	switch c.respect {
	case "origin":
		return []string{"cors"}
	case "encoded_slash", "semicolon", "underscore_headers", "method_parameter":
		return []string{"insecure_allow"}
	}
	code := shield.Code(refused.Code)
	switch {
	case refused.Step == "shield":
		return []string{"shield", "resource"}
	case code == shield.UnknownHost || code == shield.UnknownEndpoint:
		return []string{"host"}
	case code == shield.InsufficientScope && refused.Step == "access":
		return []string{"scopes"}
	case code == shield.RateLimited:
		return []string{"limit"}
	case code == shield.QuotaExceeded:
		return []string{"quota"}
	case code == shield.Busy && refused.Step == "admit":
		return []string{"concurrency", "concurrency_total"}
	case code == shield.TooLarge:
		return []string{"max_body"}
	case code == shield.KeyRequired:
		return []string{"idempotency"}
	case refused.Step == "policy":
		return []string{"when"}
	case code == shield.InvalidInput || code == shield.UnsupportedMedia:
		return []string{"body_schema", "openapi", "insecure_undescribed", "insecure_report_only", "graphql"}
	case code == shield.GraphQLRefused || code == shield.InsufficientScope:
		return []string{"graphql"}
	case code == shield.Injection:
		return []string{"injection", "insecure_report_only"}
	}
	return nil
}

// unexplained are the settings that differ where no request told the two apart.
func (d *differ) unexplained() (all []Difference) {
	for _, c := range d.changes {
		at := d.placeOf(c.Path)
		if isBehind(at.word) || isSaid(c.Path) || d.same[at] == 1 && d.explained(at) {
			continue
		}
		all = append(all, Difference(c))
	}
	return all
}

// explained reports whether a door shows that a setting differs. A door at an endpoint that has
// a change of its own says nothing of what it would inherit.
func (d *differ) explained(at place) bool {
	own := func(p place, word string) bool {
		return d.same[place{p.api, p.pattern, word}] > 0 || d.same[place{p.api, p.pattern, ""}] > 0
	}
	if at.api == "" && d.proved[at] {
		return true
	}
	if at.api == "" {
		if name, ok := strings.CutPrefix(at.word, "hosts."); ok {
			return d.hosts[name]
		}
		name, _ := strings.CutPrefix(at.word, "issuers.")
		return slices.ContainsFunc(d.issuers[name], func(p place) bool {
			return !own(p, p.word) && d.same[place{p.api, "", p.word}] == 0
		})
	}
	if at.pattern != "" {
		return d.proved[at]
	}
	for p := range d.proved {
		if p.api == at.api && p.word == at.word && (at.word == "" || !own(p, at.word)) {
			return true
		}
	}
	return false
}

// placeOf finds what a dotted path is about; names and patterns may hold dots. Outside of APIs it
// is a word alone: a host, an issuer with all its settings, or the path.
func (d *differ) placeOf(path string) (at place) {
	for _, s := range []*policy{d.older, d.newer} {
		for name, api := range s.file.APIs {
			setting, ok := below(path, "apis."+name)
			if !ok || len(name) < len(at.api) {
				continue
			}
			at = place{name, "", firstOf(setting)}
			for pattern := range api.Endpoints {
				if own, ok := below(setting, "endpoints."+pattern); ok && len(pattern) > len(at.pattern) {
					at = place{name, pattern, firstOf(own)}
				}
			}
			if at.pattern != "" {
				return at
			}
		}
		for name := range s.file.Issuers {
			if _, ok := below(path, "issuers."+name); ok {
				return place{word: "issuers." + name}
			}
		}
	}
	if at.api == "" {
		at.word = path
	}
	return at
}

// below is the rest of a path that is a name, or begins with it.
func below(path, name string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, name)
	if !ok || rest == "" {
		return "", ok
	}
	return strings.CutPrefix(rest, ".")
}

func firstOf(setting string) string {
	word, _, _ := strings.Cut(setting, ".")
	return word
}

// isSaid reports whether a setting is only told, or told elsewhere: what scopes mean, the log,
// waivers.
func isSaid(path string) bool {
	return slices.Contains([]string{"scopes", "log", "waivers"}, firstOf(path))
}

// isBehind reports whether a setting is about what is behind the endpoints, or about answers.
func isBehind(word string) bool {
	return slices.Contains([]string{"upstream", "identity", "timeout", "responses", "priority", "audit", "candidate"}, word)
}
