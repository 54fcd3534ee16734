package pages

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/finding"
)

// reportOf attacks the vulnerable API, and writes the page.
func reportOf(t *testing.T, faults ...string) (report *finding.Report, page []byte) {
	t.Helper()
	api, err := vulnerable.New(nil, faults...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	var users []*attack.User
	for _, name := range []string{"alice", "bob"} {
		token, err := api.Token(name)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, &attack.User{Name: name, Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }})
	}
	plan, err := foreign.Plan(foreign.Target{Document: vulnerable.Document(), Name: "openapi.yaml", Base: true, Users: users, Allowed: attack.Writes})
	if err != nil {
		t.Fatal(err)
	}
	p, err := attack.NewProber(t.Context(), attack.Settings{Target: server.URL, PerSecond: 100_000, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if report, err = attack.Run(t.Context(), p, plan, attack.Options{Allowed: attack.Writes}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := finding.WriteHTML(&b, report); err != nil {
		t.Fatal(err)
	}
	return report, b.Bytes()
}

// TestTheReportOfAnAttackIsReadByDayAndByNight opens the page in Chromium, which complains of nothing.
func TestTheReportOfAnAttackIsReadByDayAndByNight(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	report, page := reportOf(t, "no-rate-limit", "object-read", "sql-condition", "jwt-none", "undeclared-data", "version-told")
	if len(report.Findings) < 5 {
		t.Fatalf("found %+v", report.Findings)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // the browser may be gone
	}))
	defer server.Close()
	b := newBrowser(t)
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1000, 900)); err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.Navigate(server.URL), reads("One user reads another"))
	text := b.text()
	for _, want := range []string{"pavise attack", "object-level", "sql-injection", "jwt-none", "curl -i", "<credential of bob>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	colors := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			t.Fatal(err)
		}
		if colors[scheme], err = chromedp.Run(b.ctx, chromedp.Evaluate[string]("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color")); err != nil {
			t.Fatal(err)
		}
		if !*update {
			continue
		}
		shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join("../../docs/guide/pictures", "attack-report-"+scheme+".png"), shot, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if colors["light"] == colors["dark"] {
		t.Errorf("by night it is as by day: %s", colors["dark"])
	}
}
