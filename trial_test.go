package pavise_test

import (
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/shield"
)

// The event joins what several layers would have refused by semicolons, and a pointer holds
// names of a caller's making: he must not tell of another layer.
func TestACallerAddsNoLayerToWhatWouldHaveBeenRefused(t *testing.T) {
	refusal := shield.Refuse(shield.InvalidInput, "")
	for pointer, want := range map[string]string{
		"/count":                     "contract invalid_input query undeclared /count",
		"/a; injection insufficient": "contract invalid_input query undeclared /a%3B injection insufficient",
	} {
		refusal.Fields = []shield.Field{{In: "query", Rule: "undeclared", Pointer: pointer}}
		if got := pavise.Would("contract", refusal); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
