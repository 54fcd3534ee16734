package edge_test

import (
	"encoding/xml"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

// Cases of h2spec that fail, as they do with net/http alone, each with the reason
// why that may be. Any other failure fails the test; so does one that is mended.
var h2specFails = map[string]string{
	"http2/6.5.3: Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                            "net/http ends a connection that gives a setting twice: stricter than RFC 9113 §6.5.3",
	"http2/8.1.2.2: Sends a HEADERS frame that contains the connection-specific header field":                       "net/http answers 400 where h2spec wants a reset: RFC 9113 §8.1.1 allows both",
	"http2/8.1.2.2: Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"": "the same",
}

// h2spec, which nobody here wrote, tries 145 breaches of HTTP/2 and HPACK.
func TestH2spec(t *testing.T) {
	attacktest.Rows(t, 115)
	bin := filepath.Join(t.TempDir(), "h2spec")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("testdata", "h2spec"), "-o", bin, "github.com/summerwind/h2spec/cmd/h2spec")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build h2spec: %v\n%s", err, out)
	}
	s := start(t, edge.Config{TLS: tlsPolicy(), Handler: &echo{}})
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	out, err := exec.CommandContext(t.Context(), bin, "-t", "-k", "-S", "-o", "2", "-p", port, "-j", report).CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatalf("run h2spec: %v", err)
	}
	cases := readReport(t, report)
	if len(cases) < 140 {
		t.Fatalf("h2spec ran %d cases\n%s", len(cases), out)
	}
	for name, reason := range cases {
		why, known := h2specFails[name]
		switch {
		case reason != "" && known:
			t.Logf("%s fails: %s", name, why)
		case reason != "":
			t.Errorf("%q fails: %s", name, reason)
		case known:
			t.Errorf("%q passes: take it off the list", name)
		}
	}
	t.Logf("%d cases, %d of them known to fail", len(cases), len(h2specFails))
}

// readReport returns the cases of a JUnit report, each with what failed.
func readReport(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Package string  `xml:"package,attr"`
				Name    string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			reason := ""
			for _, bad := range []*string{c.Failure, c.Error} {
				if bad != nil {
					reason = "it says " + *bad
				}
			}
			out[c.Package+": "+c.Name] = reason
		}
	}
	return out
}
