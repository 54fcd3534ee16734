package limit

import (
	"fmt"
	"strings"
	"time"
)

// Period is a day or a month of the calendar, in UTC.
type Period string

// The periods of quotas.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Quota is how much may be used in a day or a month of the calendar. A rate bounds how
// fast; a quota, what was sold or planned. All of it may be used at once.
type Quota struct {
	Name   string // in headers and events: "orders-client-month"
	Count  int    // requests, 1 to 1e9
	Period Period
	Per    Subject // not PerAddress: quotas are kept, and anybody has many addresses
	Cost   int     // of one request; 0 means 1
}

// Quotas counts what is used of quotas. It is safe for concurrent use, exact, and
// bounded in memory.
type Quotas interface {
	// Take uses cost of what is left for key in the present period, all or nothing. Key
	// names the quota and whom it counts for. An error means that nobody can count;
	// the caller refuses.
	Take(key string, q Quota, cost int) (State, error)
	// Return gives back what was taken for a request that another quota refused.
	Return(key string, q Quota, cost int)
}

// Window returns the first moment of the period in which t lies, and the first moment
// after it.
func (p Period) Window(t time.Time) (begin, end time.Time) { return p.window(p.index(t)) }

// index numbers periods: days and months since 1970, which is 1.
func (p Period) index(t time.Time) int64 {
	t = t.UTC()
	if p == Month {
		return max(int64(t.Year()-1970)*12+int64(t.Month()), 1)
	}
	return max(t.Unix()/int64(day/time.Second)+1, 1)
}

func (p Period) window(index int64) (begin, end time.Time) {
	if p == Month {
		begin = time.Date(1970, time.Month(index), 1, 0, 0, 0, 0, time.UTC)
		return begin, begin.AddDate(0, 1, 0)
	}
	begin = time.Unix((index-1)*int64(day/time.Second), 0).UTC()
	return begin, begin.Add(day)
}

const day = 24 * time.Hour

// Tally is what was used of a quota and in which period, in one word, so that no reader
// ever sees one without the other. The zero Tally means: nothing, ever.
type Tally uint64

// A Tally has 24 bits for the number of the period and 40 for the count.
const (
	tallyBits = 40
	tallyMask = 1<<tallyBits - 1
)

func newTally(index, used int64) Tally { return Tally(index<<tallyBits | used) }

func (t Tally) index() int64 { return int64(t >> tallyBits) }

// Used returns what was used in the period in which now lies, and that period's end.
// After a step of the clock both may be of the period after it; see [Tally.Take].
func (t Tally) Used(p Period, now time.Time) (used int, end time.Time) {
	index, count := t.at(p, now)
	_, end = p.window(index)
	return int(count), end
}

// at returns the period that counts now, and what was used of it.
//
// A clock that was set back must neither give a new quota nor block for long. While the
// clock says the period before the one that was counted last, that last one goes on: it
// ends when it would have ended anyway. If the clock had been further ahead than that,
// what was used counts for the present period instead.
func (t Tally) at(p Period, now time.Time) (index, used int64) {
	index, used = p.index(now), int64(t&tallyMask)
	switch last := t.index(); {
	case last == index+1:
		return last, used
	case last < index:
		return index, 0
	}
	return index, used
}

// Take returns what is used after cost more, and what that leaves; no more than before if
// there is not so much left. It is to be kept in either case: it may have come into another
// period.
func (t Tally) Take(q Quota, now time.Time, cost int) (Tally, State) {
	index, used := t.at(q.Period, now)
	_, end := q.Period.window(index)
	left := int64(q.Count) - used
	s := State{Reset: end.Sub(now), Remaining: int(max(left, 0))}
	if int64(cost) > left {
		s.Retry = s.Reset
		return newTally(index, used), s
	}
	s.Allowed, s.Remaining = true, int(left)-cost
	return newTally(index, used+int64(cost)), s
}

// Return returns what is used when cost was given back. What was taken in a period that
// is over stays taken.
func (t Tally) Return(q Quota, now time.Time, cost int) Tally {
	index, used := t.at(q.Period, now)
	if index != t.index() {
		return t
	}
	return newTally(index, max(used-int64(cost), 0))
}

// Over reports whether t can be forgotten: nothing of it counts now, nor would if the
// clock were set back by a period.
func (t Tally) Over(p Period, now time.Time) bool { return t.index() < p.index(now)-1 }

// Check reports what makes a cost impossible to count under q.
func (q Quota) Check(cost int) error {
	if err := q.Validate(); err != nil {
		return err
	}
	if cost < 1 || cost > q.Count {
		return fmt.Errorf("a request that costs %d can never pass: the quota is %d", cost, q.Count)
	}
	return nil
}

// Validate reports what cannot work in a quota, as a [*SyntaxError].
func (q Quota) Validate() error {
	switch {
	case q.Count < 1 || q.Count > MaxCount:
		return wrong(fmt.Sprintf("1 to %d", MaxCount), "a quota of %d requests cannot be counted", q.Count)
	case q.Period != Day && q.Period != Month:
		return wrong("day or month", "%q is no period of a quota", string(q.Period))
	case q.Per == PerAddress:
		return wrong("per client, user or endpoint; a rate counts per address: limit: 100/hour per address",
			"a quota is kept, and anybody has more addresses than could be kept")
	case q.Cost < 0 || q.Cost > q.Count:
		return wrong(fmt.Sprintf("at most %d", q.Count), "a request that costs %d can never pass: the quota is %d", q.Cost, q.Count)
	}
	_, err := parseSubject(string(q.Per))
	return err
}

const quotaForm = "100000/month per client, then cost 10 if wanted"

// ParseQuota reads "100000/month per client" or "5000/day per user cost 10". Whom it
// counts for is stated, never implied. The quota has no name yet. Errors are
// [*SyntaxError].
func ParseQuota(text string) (Quota, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Quota{}, wrong("write "+quotaForm, "the quota is empty")
	}
	count, period, ok := strings.Cut(words[0], "/")
	if !ok {
		return Quota{}, wrong("write "+quotaForm, "%q is not a number of requests per day or month", words[0])
	}
	n, err := number(count)
	if err != nil {
		return Quota{}, err
	}
	q := Quota{Count: n}
	if q.Period, err = parsePeriod(period); err != nil {
		return Quota{}, err
	}
	rest := words[1:]
	if len(rest) < 2 || rest[0] != "per" {
		return Quota{}, wrong("write "+words[0]+" per client (or user, endpoint)", "%q does not say whom it counts for", text)
	}
	if q.Per, err = parseSubject(rest[1]); err != nil {
		return Quota{}, err
	}
	if q.Cost, rest, err = option(rest[2:], "cost"); err != nil {
		return Quota{}, err
	}
	if len(rest) > 0 {
		return Quota{}, wrong("write "+quotaForm, "%q: %q is not understood there", text, rest[0])
	}
	return q, q.Validate()
}

func parsePeriod(word string) (Period, error) {
	switch p := Period(word); p {
	case Day, Month:
		return p, nil
	}
	hint := "day or month; limit counts per second, minute and hour"
	switch strings.ToLower(word) {
	case "d", "days", "day", "daily":
		hint = "did you mean day?"
	case "months", "month", "monthly", "mon":
		hint = "did you mean month?"
	}
	return "", wrong(hint, "%q is no period of a quota", word)
}

// String writes the quota as [ParseQuota] reads it.
func (q Quota) String() string {
	text := fmt.Sprintf("%d/%s per %s", q.Count, q.Period, q.Per)
	if q.Cost > 1 {
		text += fmt.Sprintf(" cost %d", q.Cost)
	}
	return text
}

// Apply returns q as what was applied to a request at the moment now, for [SetHeaders]: its
// window is the length of the present day or month.
func (q Quota) Apply(s State, now time.Time) Applied {
	begin, end := q.Period.Window(now)
	return Applied{Limit{Name: q.Name, Rate: Rate{Count: q.Count, Per: end.Sub(begin)}, Per: q.Per}, s}
}

// QuotaKey is what the guard counts a quota for.
type QuotaKey struct {
	API, Quota string
	Period     Period
	Client     string // or
	User       string // of Issuer; or
	Issuer     string
	Other      string // "nobody", or an endpoint
}

// Nobody stands in [QuotaKey.Other] for all callers together of whom nothing is known.
const Nobody = "nobody"

// KeyPrefix is the beginning of each key of a quota: whom it counts for follows.
func (q Quota) KeyPrefix(api string) string {
	return api + "\x00" + q.Name + "\x00" + string(q.Period) + "\x00"
}

// ParseQuotaKey reads a key as the guard writes it: [Quota.KeyPrefix], and then "client",
// "user" with an issuer, or another word. The end of a long key may have been cut off.
func ParseQuotaKey(key string) (k QuotaKey, ok bool) {
	parts := strings.SplitN(key, "\x00", 4)
	if len(parts) != 4 {
		return k, false
	}
	k = QuotaKey{API: parts[0], Quota: parts[1], Period: Period(parts[2])}
	kind, name, named := strings.Cut(parts[3], "\x00")
	switch {
	case kind == "client" && named:
		k.Client = name
	case kind == "user" && named:
		k.Issuer, k.User, ok = strings.Cut(name, "\x00")
		return k, ok
	default:
		k.Other = parts[3]
	}
	return k, k.Period == Day || k.Period == Month
}
