package audit_test

import (
	"testing"

	"pavise.dev/pavise/audit"
)

func TestSpansBelowARequestHaveIDsOfTheirOwn(t *testing.T) {
	seen := map[[8]byte]bool{{}: true}
	for _, span := range [][8]byte{{}, {1}, {7: 1}, {7: 2}, {255, 255, 255, 255, 255, 255, 255, 255}} {
		seen[span] = true
		for child := range audit.CallSpan + 1 {
			id := audit.ChildSpan(span, child)
			if seen[id] || id != audit.ChildSpan(span, child) {
				t.Errorf("child %d of %x is %x", child, span, id)
			}
			seen[id] = true
		}
	}
}
