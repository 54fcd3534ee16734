package foreign_test

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/finding"
)

var (
	answered = regexp.MustCompile(`answers (\d{3})`)
	status   = regexp.MustCompile(`(?m)^HTTP/\S+ (\d{3})`)
	masked   = regexp.MustCompile(`<credential of (\w+)>`)
)

// TestEveryFindingCanBePastedAndIsWhole: row 155. Each finding's command is run as it stands, with the credentials
// filled in, and gets the answer that was told.
func TestEveryFindingCanBePastedAndIsWhole(t *testing.T) {
	attacktest.Rows(t, 155)
	var all []string
	for _, f := range vulnerable.Faults() {
		all = append(all, f.Name)
	}
	s := newShop(t, all...)
	report := attackIt(t, s.URL, s.clock, s.target())
	pasted := 0
	for _, f := range report.Findings {
		whole := f.What + f.Proof + f.Where.String()
		for name, token := range s.tokens {
			if strings.Contains(whole, token) || strings.Contains(whole, token[strings.LastIndexByte(token, '.')+1:]) {
				t.Errorf("%s holds the token of %s", f.Rule, name)
			}
		}
		if f.OWASP == "" || len(f.ASVS) == 0 || len(f.CWE) == 0 || f.Why == "" || f.Mend == "" || f.Proof == "" {
			t.Errorf("%s at %s lacks something: %+v", f.Rule, f.Where, f)
		}
		if f.Rule == "no-guess-limit" || strings.Contains(f.What, "DELETE") || strings.HasPrefix(f.Where.Path, "DELETE") {
			continue // done once
		}
		pasted++
		s.paste(t, &f)
	}
	if pasted < 40 {
		t.Errorf("%d findings were pasted", pasted)
	}
	var b bytes.Buffer
	for _, form := range finding.Forms() {
		if err := finding.Write(&b, form, finding.Style{}, report); err != nil {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// paste runs a finding's command.
func (s *shop) paste(t *testing.T, f *finding.Finding) {
	t.Helper()
	_ = s.clock.Wait(t.Context(), 2*time.Second) // nobody is limited
	command := masked.ReplaceAllStringFunc(f.Proof, func(text string) string { return s.tokens[masked.FindStringSubmatch(text)[1]] })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, "bash", "-c", command)
	out, err := run.Output()
	want := answered.FindStringSubmatch(f.What)
	got := status.FindAllStringSubmatch(string(out), -1)
	if want == nil || len(got) == 0 || got[len(got)-1][1] != want[1] {
		t.Errorf("%s at %s says %q; pasted it says %.200q (%v)\n%.500s", f.Rule, f.Where, f.What, out, err, f.Proof)
	}
}
