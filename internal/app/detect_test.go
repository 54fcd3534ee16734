package app

import (
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
)

// watching is an installation whose events can be written.
func watching(t *testing.T, alerts string) *App {
	t.Helper()
	a, err := Open(t.Context(), write(t, t.TempDir(), minimal+alerts), Options{Library: true, Flood: audit.Flood{Rate: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func guess(a *App, n int) {
	for range n {
		a.record(&audit.Event{Class: audit.Request, Decision: audit.Refused, Code: "invalid_credential", Status: 401, Remote: netip.MustParseAddrPort("192.0.2.7:1")})
	}
}

// found waits until the detections have seen everything, and returns what they told.
func found(t *testing.T, a *App) (told []string) {
	t.Helper()
	mark := "the last"
	a.record(&audit.Event{Class: audit.System, Decision: audit.Noted, Code: "ring_missing", Target: mark}) // a detection tells of it
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		all, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{Class: audit.Detection})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(all, func(f audit.Found) bool { return strings.HasSuffix(f.Event.Target, mark) }) {
			runtime.Gosched()
			continue
		}
		for _, f := range all {
			if !strings.HasSuffix(f.Event.Target, mark) {
				told = append(told, f.Event.Code+" "+f.Event.Action+" "+f.Event.Target)
			}
		}
		return told
	}
}

func TestDetectionsWatchWhereNothingIsSaid(t *testing.T) {
	a := watching(t, "")
	guess(a, 60)
	if told := found(t, a); !slices.Equal(told, []string{"guessing began network 192.0.2.7"}) {
		t.Errorf("told %q", told)
	}
}

func TestDetectionsThatAreOffDoNotWatch(t *testing.T) {
	a := watching(t, "\nalerts: {off: [guessing]}\n")
	guess(a, 60)
	if told := found(t, a); len(told) != 0 {
		t.Errorf("told %q", told)
	}
	a = watching(t, "\nalerts: {detections: off}\n")
	if a.detecting.watch.Load() != nil {
		t.Error("it watches")
	}
}

const ownRule = `
alerts:
  rules:
    few_wrong: {when: {code: invalid_credential}, per: network, more_than: 4, within: 1m, severity: low, means: a test}
`

func TestAReloadChangesWhatIsWatchedForAndForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(t.Context(), write(t, dir, minimal), Options{Library: true, Flood: audit.Flood{Rate: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	guess(a, 20)
	for _, alerts := range []string{ownRule, "\nalerts: {detections: off}\n", ownRule} {
		if err := a.Reload(write(t, dir, minimal+alerts)); err != nil {
			t.Fatal(err)
		}
	}
	guess(a, 20)
	if told := found(t, a); !slices.Equal(told, []string{"few_wrong began network 192.0.2.7", "guessing began network 192.0.2.7"}) {
		t.Errorf("told %q", told)
	}
	if a.detecting.of.Rules["few_wrong"].Within != (config.Duration{Duration: 60e9}) {
		t.Errorf("%+v", a.detecting.of)
	}
}
