package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// When says at which moments something is due, in the time of a zone.
type When struct {
	text  string
	every string         // hourly, daily, weekly or monthly
	days  []time.Weekday // weekly
	day   int            // monthly: 1 to 28; 0: the last day
	hour  int
	min   int
}

// Hint is what to write instead of what [ParseWhen] refuses.
const Hint = "write hourly :15, daily 03:00, weekly sun 04:00, weekly mon,thu 04:00, monthly 1 05:00 or monthly last 05:00"

var (
	clockForm  = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)
	minuteForm = regexp.MustCompile(`^:([0-5][0-9])$`)
	dayForm    = regexp.MustCompile(`^[1-9][0-9]?$`)
)

func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// ParseWhen reads a moment that comes again: hourly :MM, daily HH:MM, weekly DAY[,DAY…] HH:MM, or
// monthly N HH:MM, where N is 1 to 28 or last. Nothing else is accepted, and nothing is guessed.
func ParseWhen(text string) (When, error) {
	w := When{text: text}
	words := strings.Split(text, " ")
	w.every = words[0]
	want := map[string]int{"hourly": 2, "daily": 2, "weekly": 3, "monthly": 3}[w.every]
	if len(words) != want {
		return When{}, fmt.Errorf("%.60q says no moment", text)
	}
	clock := words[want-1]
	if w.every == "hourly" {
		form := minuteForm.FindStringSubmatch(clock)
		if form == nil {
			return When{}, fmt.Errorf("%.60q is no minute of an hour", clock)
		}
		w.min, _ = strconv.Atoi(form[1])
		return w, nil
	}
	form := clockForm.FindStringSubmatch(clock)
	if form == nil {
		return When{}, fmt.Errorf("%.60q is no time of day", clock)
	}
	w.hour, _ = strconv.Atoi(form[1])
	w.min, _ = strconv.Atoi(form[2])
	var err error
	switch w.every {
	case "weekly":
		err = w.readDays(words[1])
	case "monthly":
		err = w.readDay(words[1])
	}
	if err != nil {
		return When{}, err
	}
	return w, nil
}

func (w *When) readDays(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		i := slices.Index(weekdays(), name)
		if i < 0 {
			return fmt.Errorf("%.20q is no day of the week", name)
		}
		if slices.Contains(w.days, time.Weekday(i)) {
			return fmt.Errorf("%s stands there twice", name)
		}
		w.days = append(w.days, time.Weekday(i))
	}
	return nil
}

// readDay refuses the days that some months do not have: they would be left out silently.
func (w *When) readDay(text string) error {
	if text == "last" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || !dayForm.MatchString(text) || n > 31 {
		return fmt.Errorf("%.20q is no day of the month", text)
	}
	if n > 28 {
		return fmt.Errorf("not every month has a day %d; last is the last one of each", n)
	}
	w.day = n
	return nil
}

// String is the text that was read.
func (w When) String() string { return w.text }

// IsZero reports whether it is no moment at all.
func (w When) IsZero() bool { return w.every == "" }

// Next is the first moment after another, in UTC. A time of day that a zone leaves out when its
// clocks go forward is due at that change; one that it has twice, the first time.
func (w When) Next(after time.Time, zone *time.Location) time.Time {
	if w.every == "hourly" {
		local := after.In(zone)
		at := after.Truncate(time.Minute).Add(time.Duration((w.min-local.Minute()+60)%60) * time.Minute)
		if !at.After(after) {
			at = at.Add(time.Hour)
		}
		return at.UTC()
	}
	year, month, day := after.In(zone).Date()
	for ahead := -1; ; ahead++ { // the day before: its moment may be later than the zone's date says
		date := time.Date(year, month, day+ahead, 0, 0, 0, 0, time.UTC)
		if !w.falls(date) {
			continue
		}
		if at := moment(date, w.hour, w.min, zone); at.After(after) {
			return at
		}
	}
}

// falls reports whether something is due on a day. There is one within each 31 days.
func (w When) falls(date time.Time) bool {
	switch {
	case w.every == "weekly":
		return slices.Contains(w.days, date.Weekday())
	case w.every == "monthly" && w.day > 0:
		return date.Day() == w.day
	case w.every == "monthly":
		return date.AddDate(0, 0, 1).Day() == 1
	}
	return true
}

// aroundChange is further from a moment than any zone is from UTC, and less than two changes of
// a zone's clocks are from each other.
const aroundChange = 26 * time.Hour

// moment is when a zone's clocks show a time of a day. [time.Date] would choose one of two
// answers, and does not say which.
func moment(date time.Time, hour, minute int, zone *time.Location) time.Time {
	wall := date.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	var first time.Time
	for _, near := range []time.Time{wall.Add(-aroundChange), wall.Add(aroundChange)} {
		_, offset := near.In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if _, is := at.In(zone).Zone(); is == offset && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		return first
	}
	_, before := wall.Add(-aroundChange).In(zone).Zone()
	change, _ := wall.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
	return change.UTC()
}
