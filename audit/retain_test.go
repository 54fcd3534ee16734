package audit_test

import (
	"fmt"
	"testing"

	"pavise.dev/pavise/audit"
)

func TestSegmentsRotateAndTheOldestGo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, func(o *audit.Options) { o.SegmentSize, o.MaxSize = 2000, 6000 })
	for i := range 100 {
		record(t, l, event(fmt.Sprint("r", i)))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := verify(t, dir)
	if report.Fault != nil || report.First == 1 {
		t.Errorf("report %+v: want a whole log whose first segments are gone", report)
	}
	if found := search(t, dir, audit.Query{Code: "segments_removed"}); len(found) == 0 {
		t.Error("nothing says that segments were removed")
	}
}
