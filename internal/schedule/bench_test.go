package schedule_test

import (
	"fmt"
	"testing"

	"pavise.dev/pavise/internal/finding"
)

// BenchmarkRun is a run that finds as much as is kept, and all of it as before.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b, nil)
			for i := range n {
				w.wrong["check"] = append(w.wrong["check"], fault("plain-upstream", finding.Info, fmt.Sprintf("apis.a%d.upstream", i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.RunNow(b.Context(), "check", "bench"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
