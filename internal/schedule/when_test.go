package schedule_test

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestMomentsComeAgain(t *testing.T) {
	for _, c := range []struct{ name, when, zone, after, want string }{
		{"within the hour", "hourly :15", "UTC", "2026-11-30T10:00:00Z", "2026-11-30T10:15:00Z"},
		{"the next hour", "hourly :15", "UTC", "2026-11-30T10:15:00Z", "2026-11-30T11:15:00Z"},
		{"in a zone of half hours", "hourly :00", "Asia/Kolkata", "2026-11-30T10:00:00Z", "2026-11-30T10:30:00Z"},
		{"the same day", "daily 03:00", "UTC", "2026-11-30T02:59:59Z", "2026-11-30T03:00:00Z"},
		{"the next day", "daily 03:00", "UTC", "2026-11-30T03:00:00Z", "2026-12-01T03:00:00Z"},
		{"a zone behind", "daily 23:30", "America/New_York", "2026-11-30T03:00:00Z", "2026-11-30T04:30:00Z"},
		{"a zone far ahead", "daily 00:10", "Pacific/Kiritimati", "2026-11-30T10:00:00Z", "2026-11-30T10:10:00Z"},
		{"a day of the week", "weekly sun 04:00", "UTC", "2026-11-30T00:00:00Z", "2026-12-06T04:00:00Z"},
		{"two days of the week", "weekly sun,wed 04:00", "UTC", "2026-11-30T00:00:00Z", "2026-12-02T04:00:00Z"},
		{"a day of the month", "monthly 1 05:00", "UTC", "2026-11-01T05:00:00Z", "2026-12-01T05:00:00Z"},
		{"the last of February", "monthly last 05:00", "UTC", "2027-02-01T00:00:00Z", "2027-02-28T05:00:00Z"},
		{"the last of a leap February", "monthly last 05:00", "UTC", "2028-02-01T00:00:00Z", "2028-02-29T05:00:00Z"},
		// Clocks go forward at 01:00Z: there is no 02:30.
		{"a time that is left out", "daily 02:30", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"the day after", "daily 02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		// Clocks go back at 01:00Z: 02:30 is at 00:30Z and at 01:30Z.
		{"a time that comes twice", "daily 02:30", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"not the second time", "daily 02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"clocks that go by half an hour", "daily 02:15", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z"},
		{"a day that a zone left out", "daily 03:00", "Pacific/Apia", "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z"},
	} {
		w, err := schedule.ParseWhen(c.when)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if next := w.Next(at(t, c.after), zone(t, c.zone)); !next.Equal(at(t, c.want)) {
			t.Errorf("%s: %s after %s is %s, want %s", c.name, c.when, c.after, next.Format(time.RFC3339), c.want)
		}
		if w.String() != c.when {
			t.Errorf("%s: %q is written as %q", c.name, c.when, w)
		}
	}
}

func TestMomentsThatSayNothingAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "no moment", "daily": "no moment", "daily 3:00": "time of day", "daily 24:00": "time of day", "daily 03:60": "time of day", "daily 03:00 UTC": "no moment",
		"Daily 03:00": "no moment", "daily  03:00": "no moment", " daily 03:00": "no moment", "daily 03:00 ": "no moment", "0 3 * * *": "no moment", "@daily": "no moment",
		"weekly 04:00": "no moment", "weekly sunday 04:00": "day of the week", "weekly sun,sun 04:00": "twice", "weekly sun, 04:00": "day of the week",
		"monthly 0 05:00": "day of the month", "monthly 01 05:00": "day of the month", "monthly 31 05:00": "last is the last one", "monthly 32 05:00": "day of the month", "monthly -1 05:00": "day of the month",
		"hourly 15": "minute", "hourly :5": "minute", "hourly :60": "minute", "every 5m": "no moment",
	} {
		if w, err := schedule.ParseWhen(text); err == nil || !strings.Contains(err.Error(), want) || !w.IsZero() {
			t.Errorf("%q: %v, %v; want %q", text, w, err, want)
		}
	}
}

// Every day has its moment, once, in whatever zone and whatever its clocks do.
func TestEveryDayHasItsMomentOnce(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago", "Pacific/Kiritimati"} {
		z := zone(t, name)
		for _, text := range []string{"daily 00:00", "daily 00:30", "daily 01:59", "daily 02:30", "daily 03:00", "daily 23:59"} {
			w, err := schedule.ParseWhen(text)
			if err != nil {
				t.Fatal(err)
			}
			last, days := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), map[string]int{}
			for range 365 {
				next := w.Next(last, z)
				if gap := next.Sub(last); gap <= 0 || gap > 49*time.Hour {
					t.Fatalf("%s in %s: %s after %s", text, name, next, last)
				}
				days[next.In(z).Format(time.DateOnly)]++
				last = next
			}
			if len(days) != 365 {
				t.Errorf("%s in %s: %d days of 365", text, name, len(days))
			}
		}
	}
}

func FuzzParseWhen(f *testing.F) {
	for _, seed := range []string{"daily 03:00", "weekly sun,mon 04:00", "monthly last 05:00", "monthly 28 23:59", "hourly :15", "daily", "* * * * *", "weekly \x00 04:00"} {
		f.Add(seed, int64(1_790_000_000))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		w, err := schedule.ParseWhen(text)
		if err != nil {
			return
		}
		if w.String() != text {
			t.Fatalf("%q is written as %q", text, w)
		}
		after := time.Unix(unix%(1<<33), 0)
		if next := w.Next(after, berlin); !next.After(after) || next.Sub(after) > 63*24*time.Hour {
			t.Fatalf("%q after %s is %s", text, after, next)
		}
	})
}
