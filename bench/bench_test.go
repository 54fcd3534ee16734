package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStatIsRead(t *testing.T) {
	parent, u, err := parseStat([]byte("4711 (a (strange) name) S 17 4711 4711 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 100 1000000 300 18446744073709551615 1 1\n"))
	if err != nil || parent != 17 || u.cpu != 3*time.Second || u.memory == 0 {
		t.Errorf("parent %d, %+v, %v", parent, u, err)
	}
	for _, bad := range []string{"", "4711 name", "1 (x) S 1", "1 (x) S a b c d e f g h i j k l m n o p q r s t u v w x"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestUsageIsFoundOfAProcessThatThereIs(t *testing.T) {
	if u, err := usageOf(os.Getpid()); err != nil || u.memory == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := usageOf(1 << 30); err == nil {
		t.Errorf("a process that there is not has used %+v", u)
	}
}

func TestQuantiles(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i+1))
	}
	if a, b, c := quantile(times, 0.5), quantile(times, 0.99), quantile(nil, 0.5); a != 51 || b != 100 || c != 0 {
		t.Errorf("%d %d %d", a, b, c)
	}
}

func TestTheMedianRoundCounts(t *testing.T) {
	round := func(cpu time.Duration) figure { return figure{Requests: 1, CPU: cpu} }
	if f, ok := median([]figure{round(9), round(1), round(5)}); !ok || f.CPU != 5 {
		t.Errorf("%v %v", f, ok)
	}
	if _, ok := median(nil); ok {
		t.Error("there is a median of nothing")
	}
}

func TestBenchmarkLinesAreRead(t *testing.T) {
	text := "goos: linux\nBenchmarkVerify/RS256-2 \t 100\t 640.5 ns/op\t 12 B/op\t 2 allocs/op\n" +
		"BenchmarkVerify/RS256-2 \t 100\t 600.0 ns/op\t 0.1 full/op\t 12 B/op\t 1 allocs/op\nBenchmarkVerify/RS256x-2 \t 100\t 1.0 ns/op\t 12 B/op\t 0 allocs/op\n"
	ns, allocs, err := parseBench(text, "BenchmarkVerify/RS256")
	if err != nil || ns != 600 || allocs != 1 {
		t.Errorf("%v %d %v", ns, allocs, err)
	}
	if _, _, err := parseBench(text, "BenchmarkOther"); err == nil {
		t.Error("a benchmark that did not run has a figure")
	}
}

func TestRequestsAreTakenApart(t *testing.T) {
	get, post := "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
	for text, want := range map[string]int{get: len(get), get + "GET": len(get), post: len(post), post[:len(post)-1]: 0, get[:9]: 0} {
		if n := requestLength([]byte(text)); n != want {
			t.Errorf("%q: %d, want %d", text, n, want)
		}
	}
}

func TestEveryRowComparesWithOneThatThereIs(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range rows() {
		ids[r.id] = true
	}
	for _, r := range rows() {
		if !ids[r.bare] {
			t.Errorf("row %s compares with %q", r.id, r.bare)
		}
	}
	for _, c := range contenders() {
		for _, id := range c.rows {
			if !ids[id] {
				t.Errorf("%s guards row %q, which there is not", c.name, id)
			}
		}
	}
}

// A page says of a row that failed that it failed, and of an aim that was missed that
// it was missed.
func TestThePageHidesNothing(t *testing.T) {
	p := &page{results: results{
		"Pavise":   {"open": {{Requests: 100, CPU: 90 * time.Microsecond * 100, Elapsed: time.Second}}, "key": {{Requests: 10, Sent: 9, Failed: 1, Failure: "answered 503", Elapsed: time.Second}}},
		"net/http": {"open": {{Requests: 100, CPU: 50 * time.Microsecond * 100, Elapsed: time.Second}}},
	}}
	all := rows()
	if text := p.added(all[0]); !strings.Contains(text, "+40.0, **more than the 12") {
		t.Errorf("%q", text)
	}
	if text := p.cell(contender{name: "Pavise"}, all[1], "cpu"); text != "1 of 10 failed: answered 503" {
		t.Errorf("%q", text)
	}
	if text := p.added(all[1]); text != "–" {
		t.Errorf("a row that failed is compared: %q", text)
	}
	if text := p.cell(contender{name: "nginx"}, all[0], "cpu"); text != "–" {
		t.Errorf("%q", text)
	}
	if lines := stepLines([]step{{title: "s", ns: 3000, aim: 2000, aimAllocs: 0, allocs: 1}}); !strings.Contains(lines[0], "**missed**") {
		t.Errorf("%q", lines)
	}
	if lines := stepLines([]step{{title: "s", ns: 3000, aimAllocs: -1, allocs: 1}}); lines[0] != "| s | 3.00 µs | 1 | – |" {
		t.Errorf("a step without an aim: %q", lines)
	}
}

func TestAnswersAreRead(t *testing.T) {
	c := &caller{br: bufio.NewReader(strings.NewReader(answer + "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" + "HTTP/1.1 200 OK\r\n\r\n"))}
	for i, want := range []string{"200", "401", ""} {
		status, length, err := c.head()
		if status != want || (err == nil) != (want != "") {
			t.Errorf("answer %d: %s, %v", i, status, err)
		}
		if _, err := c.br.Discard(length); err != nil {
			t.Error(err)
		}
	}
}

// Events that are missing are a failure of the run, and so is a call that failed while
// it got warm; the page is written all the same.
func TestARunWithFailuresEndsWithAnError(t *testing.T) {
	good := figure{Requests: 10, Sent: 12}
	for name, c := range map[string]struct {
		p    page
		want string
	}{
		"good":           {page{events: 12, answered: 12}, ""},
		"missing events": {page{events: 11, answered: 12}, "11 events of 12 requests"},
	} {
		c.p.contenders = []contender{{name: "Pavise"}}
		c.p.results = results{"Pavise": {"open": {good}}}
		if err := c.p.failures(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := page{contenders: []contender{{name: "nginx"}}, results: results{"nginx": {"open": {{Requests: 10, Sent: 9, Failed: 1, Failure: "answered 503"}}}}}
	if err := bad.failures(); err == nil || !strings.Contains(err.Error(), "1 of 10 calls failed: answered 503") {
		t.Errorf("%v", err)
	}
}

func TestEventsOfRequestsAreCounted(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "pavise-data", "log")
	if err := os.MkdirAll(log, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "{\"id\":\"a\",\"class\":\"request\"}\n{\"id\":\"b\",\"class\":\"admin\"}\n{\"id\":\"c\",\"class\":\"request\"}\n"
	if err := os.WriteFile(filepath.Join(log, "1.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := countEvents(dir); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAPrimitiveThatDoesNotSucceedHasNoCost(t *testing.T) {
	if ns := costOf(func() bool { return false }); ns != 0 {
		t.Errorf("%v", ns)
	}
}
