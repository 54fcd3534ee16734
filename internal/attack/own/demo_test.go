package own_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/demo"
)

// printed tells when the demo has printed its last command.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
	once sync.Once
	done chan struct{}
}

func (p *printed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(text)
	if strings.Contains(p.text.String(), " explain ") {
		p.once.Do(func() { close(p.done) })
	}
	return len(text), nil
}

// TestTheDemoHolds: against the demo every attack gets the answer that its policy demands, and what
// the test made for itself is gone afterwards.
func TestTheDemoHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks a whole demo")
	}
	folder := filepath.Join(shortDir(t), "demo")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	out := &printed{done: make(chan struct{})}
	go func() {
		ended <- demo.Run(ctx, demo.Settings{Folder: folder, Listen: "127.0.0.1:0", Program: "pavise", Out: out})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	select {
	case <-out.done:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the demo ended: %v", err)
	}
	file, err := app.Load(filepath.Join(folder, "pavise.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gateway := connect(t, file)
	began := time.Now()
	report, outcomes := attackWith(t, own.Gateway{File: file, Kinds: app.Kinds(), Admin: gateway, Roots: localCA(t, file), PerSecond: 5000}, attack.Smuggles|attack.Floods, nil)
	t.Logf("%s in %s", report.About, time.Since(began).Round(time.Millisecond))
	if len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("%d findings on the demo", len(report.Findings))
	}
	held := 0
	for id, outcome := range outcomes {
		switch outcome {
		case attack.Held:
			held++
		case attack.Unsure:
			t.Logf("unsure: %s", id)
		}
	}
	if held < 150 {
		t.Errorf("%d cases held, want 150 at least", held)
	}
	for _, note := range report.Notes {
		t.Log(note)
	}
	for _, id := range []string{client.TesterA, client.TesterB, client.TesterNone} {
		owner, err := gateway.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !owner.Client.Disabled || len(owner.Client.Scopes) > 0 || len(owner.Credentials) == 0 {
			t.Errorf("%s after the test: %+v, %d credentials", id, owner.Client, len(owner.Credentials))
		}
		for _, c := range owner.Credentials {
			if c.Revoked.IsZero() || c.End().Sub(c.Created) > client.TesterLife || len(c.Networks) == 0 {
				t.Errorf("after the test there is %s %s, which ends at %s and counts from %v", c.Kind, c.ID, c.End(), c.Networks)
			}
		}
	}
	// A second run finds its way, too: its registration follows the first one's.
	again, outcomes := attackWith(t, own.Gateway{File: file, Kinds: app.Kinds(), Admin: gateway, Roots: localCA(t, file), PerSecond: 5000}, 0,
		func(c *attack.Case) bool { return strings.HasSuffix(c.ID, "a good request") })
	if len(again.Findings) > 0 || outcomes["unexpected-error GET /v1/orders/{id}, jwt of pavise: a good request"] != attack.Held {
		show(t, again)
		t.Errorf("the second run: %v", outcomes)
	}
}
