package renewed_test

import (
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki/renewed"
)

func TestPauseGrowsAndSurvivesAClockThatIsSetBack(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var p renewed.Pause
	if !p.IsOver(now) {
		t.Error("the first try has to wait")
	}
	for _, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
		if got := p.Failed(now); got != want || p.IsOver(now) || !p.IsOver(now.Add(want)) {
			t.Errorf("a pause of %s, want %s", got, want)
		}
	}
	for range 20 {
		p.Failed(now)
	}
	if p.IsOver(now.Add(14*time.Minute)) || !p.IsOver(now.Add(15*time.Minute)) {
		t.Error("the longest pause is not 15 minutes")
	}
	if !p.IsOver(now.Add(-24 * time.Hour)) {
		t.Error("a clock that was a day ahead leaves a pause of a day")
	}
}
