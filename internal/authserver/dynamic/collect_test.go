package dynamic_test

import (
	"slices"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/dynamic"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

func TestTokensOfClientsThatAreGoneAreCollected(t *testing.T) {
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	managers := rows.NewTable[map[string]any](registry.Records(), "manager")
	for id, age := range map[string]time.Duration{"app-there": 48 * time.Hour, "app-disabled": 48 * time.Hour, "app-revoked": 48 * time.Hour, "app-new": time.Minute, "app-never": 48 * time.Hour} {
		if err := managers.Add(t.Context(), managers.Name(id), map[string]any{"client": id, "made": now.Add(-age).UTC()}); err != nil {
			t.Fatal(err)
		}
		if id == "app-new" || id == "app-never" {
			continue
		}
		settings := map[string]string{"grants": "client_credentials"}
		issued, err := registration.Kind().Issue(shield.Env{Now: time.Now}, shield.IssueRequest{Client: id, Settings: settings})
		if err == nil {
			_, _, err = registry.CreateWith(t.Context(), client.Client{ID: id}, client.Credential{Kind: registration.KindName, Settings: settings}, issued)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := registry.RevokeClient(t.Context(), "app-revoked", "gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.UpdateClient(t.Context(), "app-disabled", "pause", func(c *client.Client) error { c.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := dynamic.Collect(t.Context(), registry.Records(), registry, now); err != nil {
		t.Fatal(err)
	}
	all, err := managers.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, row := range all {
		left = append(left, row.Value["client"].(string))
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"app-disabled", "app-new", "app-there"}) {
		t.Errorf("left are %v", left)
	}
}
