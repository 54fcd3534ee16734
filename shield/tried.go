package shield

import (
	"errors"
	"strconv"
	"strings"
)

// Whoever reads that a request was refused by a combination wants to know which part said what.
// The detail of such a refusal names each by its place: "1: absent; 2.1: foreign, Authorization is of
// another scheme", or the one that ended the search: "2: the signature does not match".

// attempt is what one part of a combination made of a request.
type attempt struct {
	way  string // to the part: "2.1" is the first part of the second
	what string
}

// wayOf is the way through the part i to one below it.
func wayOf(i int, below string) string {
	way := strconv.Itoa(i + 1)
	if below != "" {
		way += "." + below
	}
	return way
}

// attemptsOf are those of the part i that let others try.
func attemptsOf(i int, refusal *Refusal) []attempt {
	if refusal.tried == nil {
		what := string(refusal.Code)
		if refusal.Detail != "" {
			what += ", " + strings.ReplaceAll(refusal.Detail, ";", ",")
		}
		return []attempt{{wayOf(i, ""), what}}
	}
	all := make([]attempt, 0, len(refusal.tried))
	for _, t := range refusal.tried {
		all = append(all, attempt{wayOf(i, t.way), t.what})
	}
	return all
}

// tell writes what became of each part into the detail.
func (r *Refusal) tell(tried []attempt) *Refusal {
	r.tried = tried
	texts := make([]string, 0, len(tried))
	for _, t := range tried {
		texts = append(texts, t.way+": "+t.what)
	}
	r.Detail = strings.Join(texts, "; ")
	return r
}

// inPart says of an error that ended the search in which part that was.
func inPart(i int, err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	told := *refusal
	if told.ended.way == "" {
		told.ended.what = refusal.Detail
	}
	told.ended.way = wayOf(i, told.ended.way)
	told.Detail = strings.TrimSuffix(told.ended.way+": "+told.ended.what, ": ")
	return &told
}

// Attempt is what one part of a combination made of a request.
type Attempt struct {
	Way  []int  // to the part, by index
	What string // "absent", "foreign", "proved", each with a detail perhaps; or the refusal that ended the search
}

// maxAttempts bounds what is read of a detail.
const maxAttempts = 64

// Attempts reads what a refusal's detail says of the parts of a combination; nil if it says
// nothing of any.
func Attempts(detail string) []Attempt {
	var all []Attempt
	for rest := detail; rest != "" && len(all) < maxAttempts; {
		way, what, ok := readAttempt(rest)
		if !ok {
			if len(all) == 0 {
				return nil
			}
			break
		}
		// A part that let others try has no semicolon; what ended the search is alone, with what it has.
		piece, next, more := strings.Cut(what, "; ")
		if _, _, another := readAttempt(next); !more || !another {
			return append(all, Attempt{way, what})
		}
		all, rest = append(all, Attempt{way, piece}), next
	}
	return all
}

// readAttempt reads "2.1: what".
func readAttempt(text string) (way []int, what string, ok bool) {
	place, what, ok := strings.Cut(text, ": ")
	if !ok {
		place, what = text, "" // it ends with its place alone
	}
	if place == "" || len(place) > 32 {
		return nil, "", false
	}
	for number := range strings.SplitSeq(place, ".") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 99 || number[0] == '0' || number[0] == '+' {
			return nil, "", false
		}
		way = append(way, n-1)
	}
	return way, what, true
}
