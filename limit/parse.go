package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a [Rate] and of the cost of one request.
const (
	MaxCount = 1_000_000_000
	MinPer   = time.Second
	MaxPer   = 31 * 24 * time.Hour
)

// SyntaxError says what is wrong in a written rate or limit, and what to write
// instead.
type SyntaxError struct {
	Message string
	Hint    string
}

// Error returns the message with its hint.
func (e *SyntaxError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (hint: " + e.Hint + ")"
}

func wrong(hint, format string, args ...any) error {
	return &SyntaxError{Message: fmt.Sprintf(format, args...), Hint: hint}
}

const (
	rateForm  = "600/minute, or 600/minute burst 50"
	limitForm = "600/minute per client, then burst 50 or cost 10 if wanted"
)

// ParseRate reads "600/minute" or "600/minute burst 50". Units are second,
// minute, hour and day. Errors are [*SyntaxError].
func ParseRate(text string) (Rate, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Rate{}, wrong("write "+rateForm, "the rate is empty")
	}
	rate, err := parseRate(words[0])
	if err != nil {
		return Rate{}, err
	}
	rest := words[1:]
	if len(rest) > 0 && rest[0] == "per" {
		return Rate{}, wrong("write "+rateForm, `%q: this rate counts something given already; it takes no "per"`, text)
	}
	if rate.Burst, rest, err = option(rest, "burst"); err != nil {
		return Rate{}, err
	}
	if len(rest) > 0 {
		return Rate{}, wrong("write "+rateForm, "%q: %q is not understood", text, rest[0])
	}
	return rate, rate.Validate()
}

// ParseLimit reads "600/minute per client", "60/minute per user burst 10" or
// "600/minute per client cost 10". Whom it counts for is stated, never implied.
// The limit has no name yet. Errors are [*SyntaxError].
func ParseLimit(text string) (Limit, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Limit{}, wrong("write "+limitForm, "the limit is empty")
	}
	rate, err := parseRate(words[0])
	if err != nil {
		return Limit{}, err
	}
	l := Limit{Rate: rate}
	rest := words[1:]
	if len(rest) == 0 || rest[0] != "per" {
		return Limit{}, wrong("write "+words[0]+" per client (or user, address, endpoint)", "%q does not say whom it counts for", text)
	}
	if len(rest) == 1 {
		return Limit{}, wrong("one of client, user, address, endpoint", `%q: something is missing after "per"`, text)
	}
	if l.Per, err = parseSubject(rest[1]); err != nil {
		return Limit{}, err
	}
	if l.Rate.Burst, rest, err = option(rest[2:], "burst"); err != nil {
		return Limit{}, err
	}
	if l.Cost, rest, err = option(rest, "cost"); err != nil {
		return Limit{}, err
	}
	if len(rest) > 0 {
		return Limit{}, wrong("write "+limitForm, "%q: %q is not understood there", text, rest[0])
	}
	return l, l.Validate()
}

func parseSubject(word string) (Subject, error) {
	switch s := Subject(word); s {
	case PerClient, PerUser, PerAddress, PerEndpoint:
		return s, nil
	}
	hint := "one of client, user, address, endpoint"
	switch strings.ToLower(word) {
	case "ip", "ip-address", "addr", "host", "network":
		hint = "did you mean address?"
	case "key", "app", "application", "service", "clients", "consumer":
		hint = "did you mean client?"
	case "person", "users", "account", "subject":
		hint = "did you mean user?"
	case "route", "path", "url", "endpoints", "api":
		hint = "did you mean endpoint?"
	}
	return "", wrong(hint, "nothing is counted per %q", word)
}

// option reads "word N" at the start of words, if it is there.
func option(words []string, word string) (int, []string, error) {
	if len(words) == 0 || words[0] != word {
		return 0, words, nil
	}
	if len(words) == 1 {
		return 0, nil, wrong("write "+word+" 50", "a number is missing after %q", word)
	}
	n, err := number(words[1])
	if err != nil {
		return 0, nil, err
	}
	return n, words[2:], nil
}

func parseRate(word string) (Rate, error) {
	count, unit, ok := strings.Cut(word, "/")
	if !ok {
		return Rate{}, wrong("write "+rateForm, "%q is not a number of requests per time", word)
	}
	n, err := number(count)
	if err != nil {
		return Rate{}, err
	}
	per, err := parseUnit(unit)
	if err != nil {
		return Rate{}, err
	}
	return Rate{Count: n, Per: per}, nil
}

func parseUnit(unit string) (time.Duration, error) {
	switch unit {
	case "second":
		return time.Second, nil
	case "minute":
		return time.Minute, nil
	case "hour":
		return time.Hour, nil
	case "day":
		return 24 * time.Hour, nil
	}
	hint := "one of second, minute, hour, day"
	switch strings.ToLower(unit) {
	case "s", "sec", "secs", "seconds", "second":
		hint = "did you mean second?"
	case "m", "min", "mins", "minutes", "minute":
		hint = "did you mean minute?"
	case "h", "hr", "hrs", "hours", "hour":
		hint = "did you mean hour?"
	case "d", "days", "day":
		hint = "did you mean day?"
	case "week", "w", "weeks":
		hint = "write it per day"
	}
	return 0, wrong(hint, "%q is not a unit of time", unit)
}

// number reads 1 to MaxCount: digits only, no sign, no leading zero.
func number(text string) (int, error) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, wrong("write digits only, for example 600", "%q is not a whole number", text)
		}
	}
	if text == "" || text[0] == '0' {
		return 0, wrong("at least 1, without leading zeros", "%q is not a number of requests", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > MaxCount {
		return 0, wrong(fmt.Sprintf("at most %d", MaxCount), "%s is too many", text)
	}
	return n, nil
}

// Validate reports what cannot work in a rate, as a [*SyntaxError].
func (r Rate) Validate() error {
	switch {
	case r.Count < 1 || r.Count > MaxCount:
		return wrong(fmt.Sprintf("1 to %d", MaxCount), "a rate of %d requests cannot be counted", r.Count)
	case r.Per < MinPer || r.Per > MaxPer:
		return wrong("one second to 31 days", "a rate per %s cannot be counted", r.Per)
	case r.Burst < 0 || r.Burst > r.Count:
		return wrong(fmt.Sprintf("1 to %d", r.Count), "the burst %d is not within the rate's own count", r.Burst)
	}
	return nil
}

// Validate reports what cannot work in a limit, as a [*SyntaxError].
func (l Limit) Validate() error {
	if err := l.Rate.Validate(); err != nil {
		return err
	}
	if _, err := parseSubject(string(l.Per)); err != nil {
		return err
	}
	if l.Cost < 0 || l.Cost > l.Rate.burst() {
		return wrong(fmt.Sprintf("at most %d", l.Rate.burst()), "a request that costs %d can never pass: no more than %d are ever left", l.Cost, l.Rate.burst())
	}
	return nil
}

// burst is how many requests may come at once.
func (r Rate) burst() int {
	if r.Burst == 0 {
		return r.Count
	}
	return r.Burst
}

// String writes the rate as [ParseRate] reads it, if its time is a unit.
func (r Rate) String() string {
	unit := r.Per.String()
	for _, u := range []string{"second", "minute", "hour", "day"} {
		if per, err := parseUnit(u); err == nil && per == r.Per {
			unit = u
		}
	}
	text := strconv.Itoa(r.Count) + "/" + unit
	if r.Burst != 0 && r.Burst != r.Count {
		text += " burst " + strconv.Itoa(r.Burst)
	}
	return text
}

// String writes the limit as [ParseLimit] reads it.
func (l Limit) String() string {
	text := Rate{Count: l.Rate.Count, Per: l.Rate.Per}.String() + " per " + string(l.Per)
	if l.Rate.Burst != 0 && l.Rate.Burst != l.Rate.Count {
		text += " burst " + strconv.Itoa(l.Rate.Burst)
	}
	if l.Cost > 1 {
		text += " cost " + strconv.Itoa(l.Cost)
	}
	return text
}
