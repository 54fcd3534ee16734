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
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/finding"
)

// reportOf attacks the vulnerable API, and writes the page.
func reportOf(t *testing.T, faults ...string) (report *finding.Report, text []byte) {
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
	report, text := reportOf(t, "no-rate-limit", "object-read", "sql-condition", "jwt-none", "undeclared-data", "version-told")
	if len(report.Findings) < 5 {
		t.Fatalf("found %+v", report.Findings)
	}
	readByDayAndByNight(t, text, "attack-report", "One user reads another", "pavise attack", "object-level", "sql-injection", "jwt-none", "curl -i", "<credential of bob>")
}

// audited is a configuration with faults, as the guide on pavise check begins.
const audited = `hosts:
  api.acme.org: {certificate: local}
apis:
  shop:
    host: api.acme.org
    upstream: http://shop.internal:8080
    shield: api_key
    endpoints:
      GET /v1/users/{id}: {scopes: [users:read]}
      GET /admin/stats: {scopes: any}
scopes: {users:read: See users}
waivers:
  - {rule: upstream-plain, where: apis.shop, reason: the network in between is our own cable, until: "DAY"}
`

// TestTheReportOfACheckIsReadByDayAndByNight does the same with the findings of a configuration, one of them waived.
func TestTheReportOfACheckIsReadByDayAndByNight(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	now := time.Now()
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if err := os.WriteFile(name, []byte(strings.Replace(audited, "DAY", now.AddDate(0, 2, 0).Format(time.DateOnly), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := app.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	report, err := check.Run(check.Subject{File: file, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	report.Subject = "pavise.yaml"
	for i := range report.Findings {
		report.Findings[i].Where.File = "pavise.yaml"
	}
	var b bytes.Buffer
	if err := finding.WriteHTML(&b, report); err != nil {
		t.Fatal(err)
	}
	readByDayAndByNight(t, b.Bytes(), "check-report", "The path speaks of administration", "pavise check", "admin-any-scope", "user-data-behind-key", "pavise.yaml:10:7", "the network in between is our own cable")
}

// readByDayAndByNight opens a report in Chromium, which complains of nothing, and prints it.
func readByDayAndByNight(t *testing.T, report []byte, picture, heading string, says ...string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(report) // the browser may be gone
	}))
	defer server.Close()
	b := newBrowser(t)
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1000, 900)); err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.Navigate(server.URL), reads(heading))
	text := b.text()
	for _, want := range says {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	light := b.colors("", "light")
	b.picture(picture + "-light")
	dark := b.colors("", "dark")
	b.picture(picture + "-dark")
	if light == dark {
		t.Errorf("by night it is as by day: %s", dark)
	}
	if paper := b.colors("print", "dark"); paper == dark {
		t.Errorf("on paper it is as by night: %s", paper)
	}
	pdf, err := chromedp.Call(b.ctx, page.PrintToPDF, page.PrintToPDFParams{})
	if err != nil || !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) || len(pdf.Data) < 10_000 {
		t.Errorf("printed it has %d bytes: %v", len(pdf.Data), err)
	}
}

// colors are the page's in a medium, for who prefers a scheme.
func (b *browser) colors(medium, scheme string) string {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		b.t.Fatal(err)
	}
	colors, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"))
	if err != nil {
		b.t.Fatal(err)
	}
	return colors
}
