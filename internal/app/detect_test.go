package app

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
)

func TestDetectionsWatchWhereTheyAreSwitchedOn(t *testing.T) {
	a, err := Open(t.Context(), write(t, t.TempDir(), minimal+"\nlog: {detections: true}\n"), Options{Library: true, Flood: audit.Flood{Rate: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 60 {
		a.record(&audit.Event{Class: audit.Request, Decision: audit.Refused, Code: "invalid_credential", Remote: netip.MustParseAddrPort("192.0.2.7:1")})
	}
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	for { // the watch looks a few times a second
		found, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{Class: audit.Detection})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			runtime.Gosched()
			continue
		}
		if e := found[0].Event; e.Code != "guessing" || !strings.Contains(e.Target, "192.0.2.7") || e.Action != "began" {
			t.Errorf("%+v", e)
		}
		return
	}
}
