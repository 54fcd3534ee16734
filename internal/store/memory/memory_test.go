package memory_test

import (
	"fmt"
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/internal/store/storetest"
)

func TestMemoryKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) client.Store { return memory.New() })
}

func TestManyChangesOfOneRowAreForgotten(t *testing.T) {
	s := memory.New()
	for version := range int64(5000) {
		if _, err := s.Commit(t.Context(), client.Row{Table: "t", ID: "a", Version: version + 1, Body: fmt.Append(nil, version)}); err != nil {
			t.Fatal(err)
		}
	}
	rows, latest, err := s.Since(t.Context(), 10)
	if err != nil || latest != 5000 || len(rows) != 1 || rows[0].Version != 5000 {
		t.Errorf("%d rows until %d, %v", len(rows), latest, err)
	}
}
