package main

import (
	"os/exec"
	"strings"
	"testing"
)

// aboard runs a script in a mount namespace of its own, in a folder that is a disk of
// the size. It skips where that is not permitted.
func aboard(t *testing.T, size, script string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespace here: %v %s", err, out)
	}
	shell := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c",
		"set -eu; mount -t tmpfs -o size="+size+" tmpfs .; cd \"$PWD\"\n"+script)
	shell.Dir = t.TempDir()
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestAFirstStartOnAFullDiskCanBeDoneAgain(t *testing.T) {
	for _, size := range []string{"64k", "4m", "100m"} {
		t.Run(size, func(t *testing.T) {
			out := aboard(t, size, `
pavise init --upstream http://127.0.0.1:3000 >/dev/null
if said=$(pavise client create shop 2>&1); then echo "the disk is not full"; exit 1; else test $? = 1; fi
echo "$said"; test ! -e pavise-data/once.new; test ! -e pavise-data/log/ring.new
mount -o remount,size=300m .
pavise client create shop
pavise log verify`)
			for _, want := range []string{"disk", "client shop is there", "the log is whole"} {
				if !strings.Contains(out, want) {
					t.Errorf("nothing of %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestADiskThatFillsUpDestroysNothing(t *testing.T) {
	out := aboard(t, "300m", `
pavise init --upstream http://127.0.0.1:3000 >/dev/null
pavise client create shop
KEY=$(pavise key create --client shop --quiet)
dd if=/dev/zero of=ballast bs=4k 2>/dev/null || true
if said=$(pavise client create other 2>&1); then echo "done on a full disk"; exit 1; else test $? -le 3; echo "$said"; fi
rm ballast
pavise client list
pavise key list
pavise client create third
pavise log verify`)
	for _, want := range []string{"disk", "client shop is there", "client third is there", "in force", "the log is whole"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}
}
