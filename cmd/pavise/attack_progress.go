package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
)

// progress says how far a run is: a bar for a person, a line now and then for a log.
type progress struct {
	out    io.Writer
	person bool
	now    func() time.Time
	last   time.Time
}

func newProgress(out io.Writer, now func() time.Time) *progress {
	return &progress{out: out, person: isTerminal(out), now: now, last: now()}
}

// How often it is told.
const (
	betweenBars  = 100 * time.Millisecond
	betweenLines = 10 * time.Second
	barWidth     = 24
)

func (p *progress) tell(at attack.Progress) {
	pause, now := betweenLines, p.now()
	if p.person {
		pause = betweenBars
	}
	if at.Done < at.All && now.Sub(p.last) < pause || at.All == 0 {
		return
	}
	p.last = now
	left := ""
	if at.Left > 0 && at.Done < at.All {
		left = ", about " + at.Left.Round(time.Second).String() + " left"
	}
	line := fmt.Sprintf("%d of %d cases, %s%s", at.Done, at.All, counted(at.Findings, "finding"), left)
	if !p.person {
		if at.Done < at.All {
			_, _ = fmt.Fprintln(p.out, line) // the report tells the end
		}
		return
	}
	full := barWidth * at.Done / at.All
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %s  %.40s", strings.Repeat("█", full), strings.Repeat("·", barWidth-full), line, printable(at.Case))
	if at.Done == at.All {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
