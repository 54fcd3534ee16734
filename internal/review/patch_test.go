package review_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/review"
)

const written = `apis:
  orders:
    host: api.example.com # kept
    endpoints:
      # See one.
      GET /v1/orders/{id}: {scopes: [orders:read]}

      # Nobody calls this.
      # It is old.
      GET /v1/old:
        scopes: [orders:read]

        limit: 10/minute per client # goes too
      # Place one.
      POST /v1/orders: {scopes: [orders:write]}
      "DELETE /v1/orders/{id}":
        scopes: [orders:write]
  bills:
    endpoints:
      GET /v1/bills: {scopes: [bills:read]}
  flow:
    endpoints: {GET /a: {scopes: any}, GET /b: {scopes: any}}
`

func lineOf(t *testing.T, pattern string) int {
	t.Helper()
	for i, line := range strings.Split(written, "\n") {
		if strings.Contains(line, pattern) {
			return i + 1
		}
	}
	t.Fatalf("%s is not there", pattern)
	return 0
}

func cuts(t *testing.T, endpoints ...string) (all []review.Cut) {
	for _, e := range endpoints {
		_, pattern, _ := strings.Cut(e, " ")
		all = append(all, review.Cut{Endpoint: e, Line: lineOf(t, pattern)})
	}
	return all
}

func TestAPatchTakesAnEndpointWithItsCommentsAndNothingElse(t *testing.T) {
	after, diff, left := review.Patch("pavise.yaml", written, cuts(t, "orders GET /v1/old", "orders DELETE /v1/orders/{id}"))
	want := strings.Replace(written, `      # Nobody calls this.
      # It is old.
      GET /v1/old:
        scopes: [orders:read]

        limit: 10/minute per client # goes too
`, "", 1)
	want = strings.Replace(want, `      "DELETE /v1/orders/{id}":
        scopes: [orders:write]
`, "", 1)
	if after != want || len(left) > 0 {
		t.Errorf("left %v:\n%s", left, after)
	}
	patched := apply(t, diff)
	if patched != after {
		t.Errorf("the patch makes\n%s\nof\n%s", patched, diff)
	}
}

// apply has patch do it.
func apply(t *testing.T, diff string) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(written), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("patch")
	args := []string{"-p0", "--fuzz=0"}
	if err != nil {
		if tool, err = exec.LookPath("git"); err != nil {
			t.Skip("neither patch nor git is here")
		}
		args = []string{"apply", "-p0", "-"}
	}
	command := exec.Command(tool, args...)
	command.Dir, command.Stdin = dir, strings.NewReader(diff)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, diff)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAPatchLeavesWhatItCannotTakeOut(t *testing.T) {
	for name, all := range map[string][]review.Cut{
		"the last of its API":        cuts(t, "bills GET /v1/bills"),
		"in a line with others":      cuts(t, "flow GET /a"),
		"another line than it says":  {{Endpoint: "orders GET /v1/old", Line: 3}},
		"no line of this text":       {{Endpoint: "orders GET /v1/old", Line: 900}},
		"a line that is not known":   {{Endpoint: "orders GET /v1/old"}},
		"an endpoint without a name": {{Line: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			after, diff, left := review.Patch("pavise.yaml", written, all)
			if after != written || diff != "" || len(left) != 1 {
				t.Errorf("left %v, and made\n%s", left, diff)
			}
		})
	}
	after, _, left := review.Patch("pavise.yaml", written, cuts(t, "bills GET /v1/bills", "orders GET /v1/old"))
	if !slices.Equal(left, []string{"bills GET /v1/bills"}) || strings.Contains(after, "/v1/old") {
		t.Errorf("left %v:\n%s", left, after)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add(written, 9, "GET /v1/old")
	f.Add("a:\n  GET /: {}", 2, "GET /")
	f.Fuzz(func(t *testing.T, text string, line int, pattern string) {
		after, _, _ := review.Patch("x", text, []review.Cut{{Endpoint: "a " + pattern, Line: line}})
		if len(after) > len(text) {
			t.Errorf("it grew: %q", after)
		}
	})
}
