// Package program gives tests the command line of this tree.
package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programEnv names the command line that was built already. tools/test.sh builds it once, for all
// the packages whose tests start it: each would link it anew, for some seconds.
const programEnv = "PAVISE_TEST_PROGRAM"

// Built is the path of the command line of this tree, named pavise, in a folder of its own that
// goes with the test.
func Built(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pavise")
	if built := os.Getenv(programEnv); built != "" {
		if err := os.Link(built, path); err == nil {
			return path
		}
		if err := os.Symlink(built, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if out, err := exec.Command("go", "build", "-o", path, "pavise.dev/pavise/cmd/pavise").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}
