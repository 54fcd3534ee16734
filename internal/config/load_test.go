package config_test

import (
	"os"
	"testing"

	"pavise.dev/pavise/internal/config"
)

func TestTheExampleOfTheDesignLoads(t *testing.T) {
	text, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse(config.Source{Name: "design.yaml", Text: text}, kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.Resolve()
	if err != nil || len(all) != 5 {
		t.Fatalf("resolved %d endpoints, %v; want 5", len(all), err)
	}
	for _, r := range all {
		t.Logf("%+v", r)
	}
}
