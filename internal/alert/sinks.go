package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// sinkPatience is how long a sink may fail before anybody is told: a receiver is restarted in
// less.
const sinkPatience = 15 * time.Minute

// failingSinks notices sinks that take no events for a while, or refuse some for good.
func failingSinks(thresholds) Kind {
	return Kind{
		Name: "sink_failing", Severity: High, Quiet: time.Hour, About: []string{"sink"},
		Means: "a place to which events go takes none for a quarter of an hour, refuses some for good, or so many wait that APIs with audit: required refuse requests",
		Do:    "pavise log sinks says why; events wait in the log as long as its own bounds let them",
		New:   func() Detection { return &sinks{Failing: map[string]time.Time{}} },
	}
}

// maxSinks bounds how many are remembered; there are a handful.
const maxSinks = 1000

// sinks are those that fail, and since when.
type sinks struct{ Failing map[string]time.Time }

// State implements Detection.
func (s *sinks) State() any { return s }

// See implements Detection.
func (s *sinks) See(e *audit.Event, raise func(Alert)) {
	if e.Class == audit.System {
		s.tell(e, raise)
	}
	if len(s.Failing) == 0 {
		return
	}
	for name, since := range s.Failing {
		if e.Time.Sub(since) >= sinkPatience {
			s.Failing[name] = e.Time // again after as long
			raise(Alert{Subject: Subject{"sink", name}, What: "it takes no events"})
		}
	}
}

func (s *sinks) tell(e *audit.Event, raise func(Alert)) {
	switch e.Code {
	case "sink_failing":
		if _, ok := s.Failing[e.Target]; !ok && len(s.Failing) < maxSinks {
			s.Failing[e.Target] = e.Time
		}
	case "sink_recovered":
		delete(s.Failing, e.Target)
	case "started": // what fails now is told again; what was mended while nothing ran is not told at all
		clear(s.Failing)
	case "sink_full":
		raise(Alert{Subject: Subject{"sink", e.Target}, What: "as many events wait as may; APIs with audit: required refuse"})
	case "sink_rejected":
		raise(Alert{Subject: Subject{"sink", e.Target}, What: "it refuses events for good"})
	}
}
