package limit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/limit"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]limit.Rate{
		"600/minute":          {Count: 600, Per: time.Minute},
		"1/second":            {Count: 1, Per: time.Second},
		"7/hour":              {Count: 7, Per: time.Hour},
		"1000000000/day":      {Count: 1e9, Per: 24 * time.Hour},
		"600/minute burst 50": {Count: 600, Per: time.Minute, Burst: 50},
	} {
		got, err := limit.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]limit.Limit{
		"600/minute per client":                 {Rate: limit.Rate{Count: 600, Per: time.Minute}, Per: limit.PerClient},
		"60/minute per user burst 10":           {Rate: limit.Rate{Count: 60, Per: time.Minute, Burst: 10}, Per: limit.PerUser},
		"60/hour per address cost 5":            {Rate: limit.Rate{Count: 60, Per: time.Hour}, Per: limit.PerAddress, Cost: 5},
		"60/second per endpoint burst 9 cost 3": {Rate: limit.Rate{Count: 60, Per: time.Second, Burst: 9}, Per: limit.PerEndpoint, Cost: 3},
	} {
		got, err := limit.ParseLimit(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

func TestParseRefusesWithAHint(t *testing.T) {
	for _, c := range []struct{ text, message, hint string }{
		{"", "empty", "600/minute per client"},
		{"600", "not a number of requests per time", "600/minute"},
		{"600/minute", "does not say whom", "per client"},
		{"600/minute client", "does not say whom", "per client"},
		{"600/minute per", "missing after", "client, user"},
		{"600/minute per ip", `per "ip"`, "address"},
		{"600/minute per Client", `per "Client"`, "client"},
		{"600/minute per galaxy", `per "galaxy"`, "client, user, address, endpoint"},
		{"600/min per client", `"min"`, "minute"},
		{"600/Minute per client", `"Minute"`, "minute"},
		{"600/minutes per client", `"minutes"`, "minute"},
		{"5/s per client", `"s"`, "second"},
		{"5/month per client", `"month"`, "second, minute, hour, day"},
		{"5/week per client", `"week"`, "day"},
		{"5/ per client", `""`, "second"},
		{"/minute per client", "not a number", "at least 1"},
		{"0/minute per client", "not a number", "at least 1"},
		{"007/minute per client", "not a number", "leading zeros"},
		{"-1/minute per client", "not a whole number", "digits"},
		{"+1/minute per client", "not a whole number", "digits"},
		{"1.5/minute per client", "not a whole number", "digits"},
		{"1_000/minute per client", "not a whole number", "digits"},
		{"1e3/minute per client", "not a whole number", "digits"},
		{"٣/minute per client", "not a whole number", "digits"},
		{"1000000001/minute per client", "too many", "1000000000"},
		{"99999999999999999999/minute per client", "too many", "1000000000"},
		{"6/minute per client burst", "missing after", "burst 50"},
		{"6/minute per client burst 7", "burst 7", "1 to 6"},
		{"6/minute per client burst x", "not a whole number", "digits"},
		{"6/minute per client cost 7", "can never pass", "at most 6"},
		{"6/minute per client burst 3 cost 4", "can never pass", "at most 3"},
		{"6/minute burst 3 per client", "does not say whom", "per client"},
		{"6/minute per client cost 2 burst 3", `"burst" is not understood`, "then burst 50 or cost 10"},
		{"6/minute per client per user", `"per" is not understood`, "600/minute"},
		{"6 / minute per client", "not a number of requests per time", "600/minute"},
	} {
		_, err := limit.ParseLimit(c.text)
		syntax, ok := errors.AsType[*limit.SyntaxError](err)
		if !ok {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if !strings.Contains(syntax.Message, c.message) || !strings.Contains(syntax.Hint, c.hint) {
			t.Errorf("%q: %q with hint %q", c.text, syntax.Message, syntax.Hint)
		}
	}
	for _, text := range []string{"", "6/minute per client", "6/minute burst 7", "6/minute cost 2", "6/fortnight"} {
		if rate, err := limit.ParseRate(text); err == nil {
			t.Errorf("%q is read as the rate %s", text, rate)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, seed := range []string{"600/minute per client", "6/day per user burst 3 cost 2", "0/minute per", "9/second"} {
		f.Add(seed)
	}
	m, err := limit.NewMemory(limit.MemoryOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := limit.ParseLimit(text)
		if err != nil {
			return
		}
		again, err := limit.ParseLimit(l.String())
		if err != nil || again.String() != l.String() {
			t.Fatalf("%q is written as %q, which is read as %+v, %v", text, l, again, err)
		}
		if _, err := m.Take("k", l.Rate, max(l.Cost, 1)); err != nil {
			t.Fatalf("%q cannot be counted: %v", text, err)
		}
	})
}
