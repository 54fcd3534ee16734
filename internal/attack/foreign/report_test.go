package foreign_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/finding"
)

var (
	answered = regexp.MustCompile(`answers (\d{3})`)
	status   = regexp.MustCompile(`(?m)^HTTP/\S+ (\d{3})`)
	masked   = regexp.MustCompile(`<credential of (\w+)>`)
)

// perRule is how many findings of one rule are pasted; FAULTS=all has all of them pasted.
const perRule = 2

// TestEveryFindingCanBePastedAndIsWhole: row 155. The commands of findings of each rule are run as they stand, with the
// credentials filled in, and get the answer that was told.
func TestEveryFindingCanBePastedAndIsWhole(t *testing.T) {
	attacktest.Rows(t, 155)
	var all []string
	for _, f := range vulnerable.Faults() {
		all = append(all, f.Name)
	}
	s := newShop(t, all...)
	report := attackIt(t, s.URL, s.clock, s.target())
	pasted, of := 0, map[string]int{}
	var pastes errgroup.Group
	pastes.SetLimit(4)
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
		if of[f.Rule]++; of[f.Rule] > perRule && os.Getenv("FAULTS") != "all" {
			continue
		}
		pasted++
		pastes.Go(func() error { s.paste(t, &f); return nil })
	}
	_ = pastes.Wait() // each tells what is wrong
	if pasted < 60 {
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
