package foreign

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// alike reports whether two answers say the same, but for what changes by itself: times, and
// names of requests.
func alike(a, b *attack.Answer) bool {
	if a.Status != b.Status {
		return false
	}
	if bytes.Equal(a.Body, b.Body) {
		return true
	}
	one, other := jsonOf(a), jsonOf(b)
	return one != nil && other != nil && maps.Equal(leaves(one), leaves(other))
}

// maxLeaves bounds what of an answer is compared.
const maxLeaves = 5000

// leaves are the values of an answer by where they stand.
func leaves(v any) map[string]string {
	all := map[string]string{}
	gather(all, "", v)
	return all
}

func gather(all map[string]string, at string, v any) {
	if len(all) > maxLeaves {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			if !changesByItself(name) {
				gather(all, at+"/"+name, below)
			}
		}
	case []any:
		for i, below := range v {
			gather(all, fmt.Sprint(at, "/", i), below)
		}
	default:
		all[at] = fmt.Sprint(v)
	}
}

// changesByItself reports whether a property of this name differs from answer to answer.
func changesByItself(name string) bool {
	w := words(name)
	if strings.HasSuffix(w, "_at") || strings.HasSuffix(w, "_time") {
		return true
	}
	return slices.Contains([]string{"time", "timestamp", "now", "date", "request_id", "trace_id", "trace", "nonce", "correlation_id", "took", "duration", "instance", "elapsed"}, w)
}

// tellsOf reports whether an answer tells of the same object as another: it has its name, and
// most of its values.
func tellsOf(a, of *attack.Answer) bool {
	if !ok(a) || !ok(of) || len(of.Body) < 2 {
		return false
	}
	one, other := jsonOf(a), jsonOf(of)
	if one == nil || other == nil {
		return bytes.Equal(a.Body, of.Body)
	}
	have, want := leaves(one), leaves(other)
	same := 0
	for at, value := range want {
		if have[at] == value {
			same++
		}
	}
	return len(want) > 0 && same*4 >= len(want)*3
}

// lacksMarker removes a text that was sent from an answer, so that what is repeated does not count
// as a difference.
func without(a *attack.Answer, sent ...string) *attack.Answer {
	other := *a
	for _, s := range sent {
		if len(s) > 2 {
			other.Body = bytes.ReplaceAll(other.Body, []byte(s), nil)
			quoted := fmt.Sprintf("%q", s)
			other.Body = bytes.ReplaceAll(other.Body, []byte(quoted[1:len(quoted)-1]), nil)
		}
	}
	return &other
}
