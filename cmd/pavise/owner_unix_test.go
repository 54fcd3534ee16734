//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

func TestRootDoesNotWriteIntoTheFolderOfSomebodyElse(t *testing.T) {
	folder := t.TempDir()
	if err := mayAct(folder+"/none", 0); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	if err := mayAct(folder, 0); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := os.Chown(folder, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := mayAct(folder, 65534); err != nil {
		t.Errorf("the owner: %v", err)
	}
	err := mayAct(folder, 0)
	if err == nil || !strings.Contains(err.Error(), "belongs to") || !strings.Contains(hintFor(err), "sudo -u") {
		t.Errorf("root: %v", err)
	}
}
