package review

import "strings"

// would is one reason for which a request would have been refused.
type would struct{ layer, code, in, rule, pointer string }

// maxReasons bounds how many reasons of one event are read.
const maxReasons = 32

// parseWould reads the event's field ("contract invalid_input body minimum /count; injection
// …"): layer and code, then where, which rule and which field, if they are known. The log cuts
// what is long: cut says that the last reason, or further ones, are not all there.
func parseWould(text string) (all []would, cut bool) {
	for one := range strings.SplitSeq(text, "; ") {
		one, isCut := strings.CutSuffix(one, "…")
		cut = cut || isCut
		words := strings.SplitN(one, " ", 5)
		if len(words) < 2 || words[0] == "" || words[1] == "" || len(all) == maxReasons || isCut && len(words) == 2 {
			continue // not even the code is whole
		}
		w := would{layer: words[0], code: words[1]}
		for i, into := range []*string{&w.in, &w.rule, &w.pointer} {
			if len(words) > i+2 {
				*into = words[i+2]
			}
		}
		if isCut {
			w.pointer += "…"
		}
		all = append(all, w)
	}
	return all, cut
}
