// Command bench measures Pavise beside nginx, HAProxy and a bare Go proxy, in one
// run on one machine, and writes docs/benchmarks.md. Every number on that page was
// measured by it; none is typed.
//
//	go run ./bench                  all rows, three rounds of five seconds each
//	go run ./bench -rows 'key|jwt'  some of them
//
// The gateway runs on the first core, what loads it and what stands behind it on the
// second. The measure is CPU time of the gateway's processes (utime + stime) for each
// request, because that does not depend on how fast the other core is. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// settings are what a run is asked for.
type settings struct {
	rows   *regexp.Regexp
	only   *regexp.Regexp
	time   time.Duration
	rounds int
	out    string
	steps  bool
	pprof  string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run plays one of the parts: the program starts itself again as what is loaded, what
// loads, and what stands behind.
func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case "upstream":
			return serveUpstream(ctx, args[1:])
		case "bare":
			return serveBare(ctx, args[1:])
		case "profiled":
			return serveProfiled(ctx, args[1:])
		case "load":
			return loadAsAsked(ctx, os.Stdin, os.Stdout)
		}
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	return measureAll(ctx, s)
}

func parse(args []string) (settings, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rows := flags.String("rows", "", "regular expression: rows to measure (default all)")
	only := flags.String("only", "", "regular expression: programs to measure (default all)")
	s := settings{}
	flags.DurationVar(&s.time, "time", 5*time.Second, "how long each row is measured in each round, after one second to get warm")
	flags.IntVar(&s.rounds, "rounds", 3, "how often each row is measured; the median counts")
	flags.StringVar(&s.out, "out", "docs/benchmarks.md", "page to write; - for the terminal")
	flags.StringVar(&s.pprof, "profiles", "", "folder for CPU profiles of the Go programs (take no figures from such a run)")
	flags.BoolVar(&s.steps, "steps", true, "measure each step of the path by itself too")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is not understood; see -help", flags.Arg(0))
	}
	if s.rounds < 1 || s.time < time.Second {
		return s, errors.New("-rounds must be at least 1 and -time at least 1s: CPU time is counted in hundredths of a second")
	}
	var err error
	if s.rows, err = regexp.Compile(*rows); err != nil {
		return s, fmt.Errorf("-rows: %w", err)
	}
	if s.only, err = regexp.Compile(*only); err != nil {
		return s, fmt.Errorf("-only: %w", err)
	}
	return s, nil
}
