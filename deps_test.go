package pavise_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "pavise.dev/pavise"

// rule says what a package may import of ours and of others.
type rule struct {
	pkg    string   // import path below the module; a trailing /... takes all below
	may    []string // of ours, same notation
	others bool     // may import modules of others
}

// rules is DESIGN's picture of the directions, most special first.
func rules() []rule {
	core := []string{"shield", "audit", "limit", "access", "route", "internal/problem", "internal/secret"}
	return []rule{
		{pkg: ".", may: core},
		{pkg: "audit", may: nil},
		{pkg: "limit", may: []string{"shield"}},
		{pkg: "route", may: nil},
		{pkg: "access", may: []string{"shield", "internal/strictjson"}},
		{pkg: "internal/secret", may: nil},
		{pkg: "internal/problem", may: []string{"shield"}},
		{pkg: "internal/strictjson", may: nil},
		{pkg: "shield", may: []string{"internal/secret"}},
		{pkg: "shield/all", may: []string{"shield/...", "shield"}, others: true},
		{pkg: "shield/shieldtest", may: []string{"shield", "internal/..."}, others: true},
		{pkg: "shield/...", may: []string{"shield", "audit", "internal/secret", "internal/problem", "internal/fetch", "internal/strictjson", "internal/sfv", "internal/dpop", "internal/bearer", "internal/revocation"}, others: true},
		{pkg: "internal/revocation", may: nil, others: true},
		{pkg: "internal/bearer", may: []string{"shield", "internal/dpop", "internal/strictjson"}},
		{pkg: "internal/dpop", may: []string{"shield", "internal/strictjson"}, others: true},
		{pkg: "upstream", may: nil},
		{pkg: "flow", may: []string{".", "shield", "limit", "internal/journal", "internal/strictjson"}},
		{pkg: "internal/journal", may: []string{"internal/store/lock"}},
		{pkg: "graphql", may: []string{"shield", "internal/strictjson"}, others: true},
		{pkg: "sanitise", may: []string{"shield", "internal/strictjson", "internal/jsonedit"}, others: true},
		{pkg: "waf", may: []string{"shield", "schema"}},
		{pkg: "schema", may: []string{"shield", "internal/strictjson", "internal/jsonedit", "leak"}, others: true},
		{pkg: "leak", may: []string{"internal/jsonedit"}},
		{pkg: "internal/jsonedit", may: nil},
		{pkg: "waf/crs", may: []string{"shield", "internal/strictjson"}, others: true},
		{pkg: "workload", may: []string{"internal/pki/certfile", "internal/pki/est", "internal/pki/renewed", "internal/fetch", "internal/revocation"}},
	}
}

// onlyApp may see the lists of kinds and wire things together.
func onlyApp() []string {
	return []string{"internal/app", "cmd/pavise", "file", "internal/demo"}
}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestDepsFollowTheDesign(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		name := local(p.ImportPath)
		if r, ok := find(name); ok {
			checkRule(t, name, r, p.Imports)
		}
		checkWiring(t, name, p.Imports)
	}
}

func checkRule(t *testing.T, name string, r rule, imports []string) {
	t.Helper()
	for _, imported := range imports {
		if !strings.Contains(imported, ".") {
			continue // the standard library
		}
		if !isOurs(imported) {
			if !r.others {
				t.Errorf("%s imports %s: it may import only the standard library and our own", name, imported)
			}
			continue
		}
		if !slices.ContainsFunc(r.may, func(pattern string) bool { return matches(pattern, local(imported)) }) {
			t.Errorf("%s imports %s: the design lets it import only %v", name, local(imported), r.may)
		}
	}
}

// checkWiring holds that nobody but the wiring imports the list of kinds, and
// that no kind imports another.
func checkWiring(t *testing.T, name string, imports []string) {
	t.Helper()
	for _, imported := range imports {
		if local(imported) == "shield/all" && !slices.Contains(onlyApp(), name) && !strings.HasSuffix(name, "test") {
			t.Errorf("%s imports shield/all: only %v may", name, onlyApp())
		}
		if local(imported) == "internal/app" && !slices.Contains(onlyApp(), name) && !strings.HasPrefix(name, "e2e") && !strings.HasPrefix(name, "bench") {
			t.Errorf("%s imports internal/app: only %v may", name, onlyApp())
		}
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
	return packages
}

func find(name string) (rule, bool) {
	for _, r := range rules() {
		if matches(r.pkg, name) {
			return r, true
		}
	}
	return rule{}, false
}

func matches(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, below+"/")
	}
	return pattern == name
}

func isOurs(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func local(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}
