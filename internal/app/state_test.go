package app

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
)

const minimal = `
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:9
    shield: api_key
    endpoints: {GET /v1/orders: {scopes: [orders:read]}}
scopes: {orders:read: See orders}
`

// configure writes a configuration into a folder of its own and loads it.
func configure(t *testing.T, more string) *config.File {
	t.Helper()
	return configureIn(t, t.TempDir(), more)
}

func configureIn(t *testing.T, dir, more string) *config.File {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(more+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t *testing.T, f *config.File) {
	t.Helper()
	a, err := Open(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who has every key of the machine can write another log, but not into the folder
// where checkpoints are kept.
func TestALogThatWasWrittenAnewIsFoundByCheckpointsKeptElsewhere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	f := configure(t, "log: {checkpoints: "+elsewhere+"}\n")
	run(t, f)
	verify := func() (audit.Report, []audit.Checkpoint) {
		s, err := OpenState(t.Context(), f, StateOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		kept, err := audit.Checkpoints(elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(f.Log.Folder, s.ChainKey, Administration(f, s, time.Now).Public, kept...)
		if err != nil {
			t.Fatal(err)
		}
		return report, kept
	}
	if report, kept := verify(); report.Fault != nil || len(kept) == 0 {
		t.Fatalf("%d kept; %+v", len(kept), report.Fault)
	}
	if err := os.RemoveAll(f.Log.Folder); err != nil {
		t.Fatal(err)
	}
	f.Log.Kept = "" // what writes anew does not reach the other folder
	run(t, f)
	run(t, f)
	if report, _ := verify(); report.Fault == nil {
		t.Error("a log that was written anew verifies beside what was kept of the old one")
	}
}

func TestACheckpointThatCannotBeKeptIsToldOnceAndKeptLater(t *testing.T) {
	folder := t.TempDir()
	var told []error
	w, err := openWitness(folder, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	names, err := existing(t, folder)
	if err != nil || len(names) != 0 {
		t.Fatalf("%v %v", names, err)
	}
	// Which file it is, the first checkpoint tells.
	point := func(seq uint64) audit.Checkpoint {
		return audit.Checkpoint{Node: "n", Seq: seq, Time: time.Unix(int64(seq)*60, 0).UTC(), Sig: make([]byte, 64)}
	}
	if w.newest = new(point(1)); w.write() != nil {
		t.Fatal("write")
	}
	if names, err = existing(t, folder); err != nil || len(names) != 1 {
		t.Fatalf("%v %v", names, err)
	}
	blocked := filepath.Join(folder, names[0])
	if err := errors.Join(os.Remove(blocked), os.Mkdir(blocked, 0o700)); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(3) {
		w.newest = new(point(seq + 2))
		w.tellIf(w.write())
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "log.checkpoints") {
		t.Errorf("told %v, want one warning that names the setting", told)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	kept, err := audit.Checkpoints(folder)
	if err != nil || len(kept) != 1 || kept[0].Seq != 4 {
		t.Errorf("kept %v, %v; want the newest", kept, err)
	}
}

func existing(t *testing.T, folder string) (names []string, err error) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func TestTheMasterKeyMayComeFromACommand(t *testing.T) {
	dir := t.TempDir()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	other := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32))
	f := configureIn(t, dir, "state: {master_key_command: [/bin/echo, "+key+"]}\n")
	run(t, f)
	run(t, f)
	if _, err := os.Stat(f.State.MasterKey); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a master key was made beside the command: %v", err)
	}
	for name, command := range map[string]string{"another key": "/bin/echo, " + other, "no key": "/bin/echo, hello", "a failure": "/bin/false"} {
		f := configureIn(t, dir, "state: {master_key_command: ["+command+"]}\n")
		if _, err := Open(t.Context(), f, Options{}); err == nil {
			t.Errorf("%s: opened", name)
		} else if text := err.Error(); strings.Contains(text, key) || strings.Contains(text, other) {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
	run(t, configureIn(t, dir, "state: {master_key_command: [/bin/echo, "+key+"]}\n")) // nothing was destroyed
}

// TestTheLogHasPlacesForAllRequestsThatMayBeUnderWay: else limits.requests and its priorities would
// promise what the log refuses.
func TestTheLogHasPlacesForAllRequestsThatMayBeUnderWay(t *testing.T) {
	for requests, want := range map[string]int{"100": 8192, "10000": 12500, "20000": 25000} {
		f := configure(t, "limits: {requests: "+requests+"}\n")
		s, err := OpenState(t.Context(), f, StateOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, all := s.Log.Slots(); all != want {
			t.Errorf("%s requests: %d places, want %d", requests, all, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
