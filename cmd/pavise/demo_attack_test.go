package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/finding"
)

// attackDemo runs an attack on the demo in a shell, with everything allowed but floods, and returns its report.
func attackDemo(ctx context.Context, t *testing.T, command string) *finding.Report {
	t.Helper()
	run := exec.CommandContext(ctx, "sh", "-c", command+" --rate 10000 --format json --fail-on none --allow writes,destroys,smuggles")
	run.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var said strings.Builder
	run.Stderr = &said
	out, err := run.Output()
	report := &finding.Report{}
	if err != nil || json.Unmarshal(out, report) != nil {
		t.Fatalf("%s\n%v\n%s\n%.4000s", command, err, said.String(), out)
	}
	t.Log(report.About)
	for _, note := range report.Notes {
		t.Log(note)
	}
	return report
}

func wantNothing(t *testing.T, report *finding.Report) {
	t.Helper()
	if report.Partial != "" {
		t.Errorf("it is partial: %s", report.Partial)
	}
	for _, f := range report.Findings {
		t.Errorf("%s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
	}
}

// TestTheDemoIsCleanUnderAttack: row 152. The command that the demo prints finds nothing, and neither do the other
// credentials that it makes.
func TestTheDemoIsCleanUnderAttack(t *testing.T) {
	attacktest.Rows(t, 152)
	if testing.Short() {
		t.Skip("attacks the demo")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 4*time.Minute)
	t.Cleanup(cancel)
	d := startDemo(ctx, t)
	t.Run("two people", func(t *testing.T) {
		report := attackDemo(ctx, t, d.attack)
		wantNothing(t, report)
		if m := regexp.MustCompile(`^(\d+) cases`).FindStringSubmatch(report.About); m == nil || len(m[1]) < 3 {
			t.Errorf("it tried %s", report.About)
		}
		for _, note := range report.Notes {
			if strings.Contains(note, "GET /v1/orders/{id}") || strings.Contains(note, "POST /v1/orders:") {
				t.Errorf("what these people may do is not looked at: %s", note)
			}
		}
	})
	t.Run("OAuth, and a certificate with signatures", func(t *testing.T) {
		report := attackDemo(ctx, t, strings.Replace(d.attack, fmt.Sprintf("--as ann=%[1]s/ann.headers --as bea=%[1]s/bea.headers", d.folder), d.profiles(ctx, t), 1))
		wantNothing(t, report)
		for _, note := range report.Notes {
			if strings.Contains(note, "as shop it answers") && !strings.Contains(note, "POST /v1/orders:") {
				t.Errorf("what these credentials may do is not looked at: %s", note)
			}
		}
	})
}

// profiles registers a program at the demo's authorization server, and returns the flags for it and for the shop.
func (d *runningDemo) profiles(ctx context.Context, t *testing.T) string {
	t.Helper()
	configuration := filepath.Join(d.folder, "pavise.yaml")
	secret, err := exec.CommandContext(ctx, d.program, "client", "create", "reader", "--scope", "orders:read", "--oauth", "-q", "-c", configuration).Output()
	if err != nil {
		t.Fatalf("register a program: %v\n%s", err, secret)
	}
	issuer := regexp.MustCompile(`https://127\.0\.0\.1:\d+`).FindString(d.attack)
	text := fmt.Sprintf("reader: {kind: oauth, issuer: %q, id: reader, secret: %q, ca: %q, settings: {scope: \"orders:read\"}}\n", issuer, strings.TrimSpace(string(secret)), filepath.Join(d.folder, "ca.pem"))
	name := filepath.Join(t.TempDir(), "profiles.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("--as shop=%s/profiles.yaml:shop --as reader=%s:reader", d.folder, name)
}
