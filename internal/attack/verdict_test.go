package attack_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/finding"
)

// TestAReportSaysWhichCasesCameToNoVerdict: what they look for is neither there nor gone, also when a run goes on
// from its journal.
func TestAReportSaysWhichCasesCameToNoVerdict(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	rule := &finding.Rule{ID: "r", Severity: finding.High}
	found := func(_ context.Context, s *attack.Session) error {
		s.FoundBy("x", "", "seen")
		return nil
	}
	fails := func(err error) func(context.Context, *attack.Session) error {
		return func(context.Context, *attack.Session) error { return err }
	}
	cases := []attack.Case{
		{ID: "held", Try: fails(nil)},
		{ID: "fell", Try: found},
		{ID: "nothing here", Try: fails(attack.ErrNotHere)},
		{ID: "untried", Try: fails(fmt.Errorf("a token: %w", attack.ErrUntried))},
		{ID: "not allowed", Demands: attack.Writes, Try: found},
		{ID: "unsure", Try: fails(errors.New("it was refused"))},
		{ID: "fell in part", Try: func(ctx context.Context, s *attack.Session) error {
			return errors.Join(found(ctx, s), errors.New("and then it could not go on"))
		}},
		{ID: "blocked", Try: fails(attack.ErrBlocked)},
		{ID: "not reached", Try: found},
	}
	for i := range cases {
		cases[i].Rule = rule
	}
	want := []string{"untried", "not allowed", "unsure", "fell in part", "blocked", "not reached"}
	name := filepath.Join(t.TempDir(), "journal")
	for range 2 {
		p, err := attack.NewProber(t.Context(), attack.Settings{Target: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		journal, err := attack.OpenJournal(name, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		report, err := attack.Run(t.Context(), p, &attack.Plan{Cases: cases}, attack.Options{Journal: journal})
		if err := errors.Join(err, journal.Close()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(report.Unjudged, want) {
			t.Errorf("without a verdict %q, want %q", report.Unjudged, want)
		}
		if len(report.Findings) != 2 || report.Findings[0].Case != "fell" || report.Findings[1].Case != "fell in part" {
			t.Errorf("%+v", report.Findings)
		}
		settled := report.Settles()
		for id, gone := range map[string]bool{"held": true, "nothing here": true, "an endpoint that is gone": true, "unsure": false, "not reached": false, "": false} {
			if settled(&finding.Finding{Case: id}) != gone {
				t.Errorf("%q: gone is not %v", id, gone)
			}
		}
	}
}
