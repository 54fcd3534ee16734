package file_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink/sinktest"
)

// A disk that is full makes Send fail and leaves whole lines; with room again, all arrive.
func TestAFullDiskTearsNoLine(t *testing.T) {
	attacktest.Rows(t, 146)
	if os.Getenv("PAVISE_ABOARD") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestAFullDiskTearsNoLine$", "-test.v")
		again.Env = append(os.Environ(), "PAVISE_ABOARD=yes")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		out, err := again.CombinedOutput()
		if os.IsPermission(err) {
			t.Skip("no mount namespace here")
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	r := newRig(t)
	disk := filepath.Dir(r.path)
	mount := func(flags uintptr, size string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", flags, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(0, "size=64k")
	defer func() { _ = syscall.Unmount(disk, 0) }()
	d := r.open(nil)
	sent := 0
	for ; sent < 1000; sent += 7 {
		if err := d.Send(t.Context(), sinktest.Events(sent, sent+7)); err != nil {
			break
		}
	}
	if sent == 0 || sent >= 1000 {
		t.Fatalf("the disk was full after %d events", sent)
	}
	if got := r.ids(); !slices.Equal(got, want(sent)) {
		t.Errorf("%d whole events are there, want %d", len(got), sent)
	}
	mount(syscall.MS_REMOUNT, "size=1m")
	r.send(d, sent, sent+7)
	r.stop(d)
	if got := r.ids(); !slices.Equal(got, want(sent+7)) {
		t.Errorf("%d events, want %d", len(got), sent+7)
	}
}
