package schedule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

// Whatever stands in the book: it is read, or refused; and what was read can be gone on with.
func FuzzBook(f *testing.F) {
	w := newWorld(f, map[string]string{"check": "daily 03:00"})
	w.wrong["check"] = []finding.Finding{fault("old-key", finding.Medium, "key k1")}
	w.live(30 * time.Hour)
	good, err := os.ReadFile(filepath.Join(w.folder, "book.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), "", "{}", `{"version":1,"tasks":{"check":{"running":{"tries":-5}}}}`, `{"version":1,"tasks":{},"days":[{"date":"x"}],"findings":[{}]}`, `{"version":1,"tasks":{"check":{"done":"9999-12-31T23:59:59Z"}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := newWorld(t, nil)
		w.plan.Tasks[0].When = when(t, "daily 03:00")
		if err := os.WriteFile(filepath.Join(w.folder, "book.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := schedule.Open(schedule.Settings{
			Folder: w.folder, Plan: w.plan, Now: func() time.Time { return w.now }, Rand: strings.NewReader(strings.Repeat("seed", 8)), Record: w.record, Recorded: w.recorded, Warn: func(error) {},
		})
		if err != nil {
			return
		}
		w.Scheduler = k
		w.live(48 * time.Hour)
		w.Trend(schedule.Query{Since: w.now.AddDate(0, -1, 0)})
		w.Status(10)
	})
}
