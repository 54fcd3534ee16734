package otlp

import (
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
)

func TestSpansDoNotAllocate(t *testing.T) {
	s, buffer, f := new(spans), make([]byte, 0, 16<<10), audit.Found{Seq: 7, Event: *audittest.Event("r1")}
	if n := testing.AllocsPerRun(20, func() { buffer = s.append(buffer[:0], f) }); n != 0 {
		t.Errorf("a request's spans allocate %.0f times", n)
	}
}

func BenchmarkSpans(b *testing.B) {
	s, buffer, f := new(spans), make([]byte, 0, 16<<10), audit.Found{Seq: 7, Event: *audittest.Event("r1")}
	b.ReportAllocs()
	for b.Loop() {
		buffer = s.append(buffer[:0], f)
	}
	b.SetBytes(int64(len(buffer)))
}
