package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/config"
)

// scheduleChanges are edits of base about what runs again and again, and about what is stated of
// APIs.
func scheduleChanges() []change {
	return []change{
		{"a time of cron", "hosts:\n", "schedule: {check: \"0 3 * * *\"}\nhosts:\n", "1:19", "says no moment", "write hourly :15"},
		{"a time in a block", "hosts:\n", "schedule: {check: {at: daily 3:00}}\nhosts:\n", "1:24", "no time of day", "daily 03:00"},
		{"a block without a time", "hosts:\n", "schedule: {review: {window: 90d}}\nhosts:\n", "1:12", "at is missing", "daily 03:00"},
		{"a day that some months lack", "hosts:\n", "schedule: {review: monthly 31 05:00}\nhosts:\n", "1:20", "not every month has a day 31", ""},
		{"a task that there is not", "hosts:\n", "schedule: {audit: daily 03:00}\nhosts:\n", "1:12", `unknown setting "audit"`, ""},
		{"a zone that nobody knows", "hosts:\n", "schedule: {check: daily 03:00, zone: Europe/Berlinn}\nhosts:\n", "1:38", `there is no zone "Europe/Berlinn"`, "Europe/Berlin"},
		{"the zone of whatever machine", "hosts:\n", "schedule: {check: daily 03:00, zone: Local}\nhosts:\n", "1:38", `there is no zone "Local"`, ""},
		{"a file as a zone", "hosts:\n", "schedule: {check: daily 03:00, zone: ../../etc/passwd}\nhosts:\n", "1:38", "there is no zone", ""},
		{"a run for ever", "hosts:\n", "schedule: {check: {at: daily 03:00, timeout: 2d}}\nhosts:\n", "1:46", "too large", "6h"},
		{"a severity that is none", "hosts:\n", "schedule: {tell: urgent}\nhosts:\n", "1:18", `"urgent" is not accepted`, ""},
		{"an exposure that is none", "    shield: api_key\n", "    shield: api_key\n    exposure: everybody\n", "11:15", `"everybody" is not accepted`, ""},
		{"data that is none", "    shield: api_key\n", "    shield: api_key\n    data: [personal, secrets]\n", "11:22", `"secrets" is not accepted`, ""},
		{"none, and some", "    shield: api_key\n", "    shield: api_key\n    data: [personal, none]\n", "11:22", "carries none", "leave it out"},
	}
}

func TestTheShortFormOfATaskHasTheDefaults(t *testing.T) {
	f := mustParse(t, "schedule: {check: daily 03:00, review: {at: monthly 1 05:00}}\n"+base)
	s := f.Schedule
	if s.Zone != "UTC" || s.Jitter.Duration != 10*time.Minute || s.Tell != "low" || s.Attack != nil {
		t.Errorf("%+v", s)
	}
	if s.Check.At != "daily 03:00" || s.Check.Timeout.Duration != config.DefaultTimeout {
		t.Errorf("check %+v", s.Check)
	}
	if s.Review.Timeout.Duration != config.DefaultTimeout || s.Review.Window.Duration != config.DefaultWindow {
		t.Errorf("review %+v: the defaults of the block are not those of a word", s.Review)
	}
	word := mustParse(t, "schedule: {review: monthly 1 05:00}\n"+base).Schedule
	if *word.Review != *s.Review {
		t.Errorf("a word is %+v, a block %+v", word.Review, s.Review)
	}
	if times := s.Times(); len(times) != 2 || times["review"].At != "monthly 1 05:00" {
		t.Errorf("%+v", times)
	}
}

func TestAChangeOfTheScheduleTakesEffectWithTheReload(t *testing.T) {
	old := mustParse(t, base)
	changes := config.Diff(old, mustParse(t, "schedule: {check: daily 03:00}\n"+strings.Replace(base, "    shield: api_key\n", "    shield: api_key\n    owner: Team Orders\n", 1)))
	if len(changes) != 2 || slices.ContainsFunc(changes, func(c config.Change) bool { return c.Restart }) {
		t.Errorf("%v", changes)
	}
}
