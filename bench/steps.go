package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// step is one step of the path by itself, and how good it is meant to be.
type step struct {
	title     string
	pkg       string  // of its benchmark
	benchmark string  // its name; sub-benchmarks behind slashes
	each      int     // how many of what the title names one operation of it has; 0: one
	aim       float64 // nanoseconds; 0: there is none
	aimAllocs int     // -1: there is none

	ns     float64
	allocs int
}

func allSteps() []step {
	return []step{
		{title: "API key", pkg: "./shield/apikey", benchmark: "BenchmarkVerify", aim: 1500, aimAllocs: 3},
		{title: "JWT RS256, seen before", pkg: "./shield/jwt", benchmark: "BenchmarkVerify/RS256/cached", aim: 1500, aimAllocs: -1},
		{title: "HMAC, 256-byte body", pkg: "./shield/hmac", benchmark: "BenchmarkVerify/sha256", aim: 4000, aimAllocs: -1},
		{title: "client certificate, kept connection", pkg: "./shield/mtls", benchmark: "BenchmarkKeptConnection", aim: 1000, aimAllocs: -1},
		{title: "look-up in a revocation list of a million certificates", pkg: "./internal/revocation", benchmark: "BenchmarkMillion/look-up", aim: 1000, aimAllocs: 0},
		{title: "one event, on the request's path", pkg: "./audit", benchmark: "BenchmarkEvent", aim: 2000, aimAllocs: 0},
		{title: "its line into chain and tree, behind the path", pkg: "./audit", benchmark: "BenchmarkLineIntoChainAndTree", aimAllocs: -1},
		{title: "one event through all detections, 10,000 clients", pkg: "./internal/alert", benchmark: "BenchmarkSee/10000_clients", aim: 1000, aimAllocs: 0},
		{title: "the same, a million clients", pkg: "./internal/alert", benchmark: "BenchmarkSee/1000000_clients", aim: 1000, aimAllocs: 0},
		{title: "one event to a file, as OCSF", pkg: "./internal/sink/file", benchmark: "BenchmarkSend", each: 500, aimAllocs: -1},
		{title: "one event to syslog over TCP, as OCSF", pkg: "./internal/sink/syslog", benchmark: "BenchmarkSend", each: 500, aimAllocs: -1},
	}
}

// measureSteps runs the benchmarks of the packages.
func measureSteps(ctx context.Context) ([]step, error) {
	steps := allSteps()
	for i := range steps {
		s := &steps[i]
		say("step: %s", s.title)
		text, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", anchored(s.benchmark), "-benchmem", "-count", "3", s.pkg).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmark %s of %s: %w\n%s", s.benchmark, s.pkg, err, text)
		}
		if s.ns, s.allocs, err = parseBench(string(text), s.benchmark); err != nil {
			return nil, fmt.Errorf("benchmark of %s: %w", s.pkg, err)
		}
		if s.each > 1 {
			s.ns, s.allocs = s.ns/float64(s.each), s.allocs/s.each
		}
	}
	return steps, nil
}

// anchored makes a -bench pattern that matches the name alone.
func anchored(name string) string {
	return "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
}

// parseBench returns the fastest of the runs of one benchmark: what disturbs a run
// only makes it slower.
func parseBench(text, name string) (ns float64, allocs int, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 || withoutCores(fields[0]) != name {
			continue
		}
		one, err := strconv.ParseFloat(fields[2], 64)
		if err != nil || fields[3] != "ns/op" {
			return 0, 0, fmt.Errorf("line %q is not understood", lines.Text())
		}
		at := len(fields) - 2
		n, err := strconv.Atoi(fields[at])
		if err != nil || fields[at+1] != "allocs/op" {
			return 0, 0, fmt.Errorf("line %q is not understood", lines.Text())
		}
		if ns == 0 || one < ns {
			ns, allocs = one, n
		}
	}
	if ns == 0 {
		return 0, 0, fmt.Errorf("there is no line of %s", name)
	}
	return ns, allocs, lines.Err()
}

// withoutCores takes the number of cores off a benchmark's name.
func withoutCores(name string) string {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[at+1:]); err != nil {
		return name
	}
	return name[:at]
}
