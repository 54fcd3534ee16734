package alert

import (
	"cmp"
	"slices"
	"time"

	"pavise.dev/pavise/audit"
)

// maxIncidents bounds how many incidents are open at once; more of a detection are told of as
// one, about "many".
const maxIncidents = 10_000

// Incident is an alert with all that belongs to it.
type Incident struct {
	Detection string    `json:"detection"`
	Severity  Severity  `json:"severity"`
	Subject   Subject   `json:"subject"`
	Began     time.Time `json:"began"`
	Last      time.Time `json:"last"`
	Count     int       `json:"count"` // alerts raised
	What      string    `json:"what"`  // of the first
	Event     string    `json:"event"` // of the first
	Ended     bool      `json:"ended"`
}

// Engine runs detections over events and makes incidents of what they raise. It is not safe for
// concurrent use.
type Engine struct {
	running []running
	byCode  map[string][]*running // those that look at a code, with those that look at all
	always  []*running
	open    map[key]*Incident
	silent  func(detection string, s Subject, at time.Time) bool
	tell    func(Incident)
	swept   time.Time
	seen    *audit.Event // at present
	who     *profiles    // nil: no detection looks at them
}

type running struct {
	kind      Kind
	detection Detection
	raise     func(Alert) // made once, because it is given with every event
}

type key struct {
	detection string
	subject   Subject
}

// NewEngine runs the detections given. tell gets each incident when it begins and when it ends;
// silent says about whom nothing is to be told at present, nil: about nobody.
func NewEngine(kinds []Kind, tell func(Incident), silent func(detection string, s Subject, at time.Time) bool) *Engine {
	kept := false
	e := &Engine{open: map[key]*Incident{}, tell: tell, silent: silent, byCode: map[string][]*running{}}
	for _, k := range kinds {
		raise := func(a Alert) {
			a.Time = e.seen.Time
			a.Event = cmp.Or(a.Event, e.seen.ID)
			e.raise(&k, a)
		}
		d := k.New()
		if p, ok := d.(profiler); ok {
			if e.who == nil {
				e.who = &profiles{all: NewTable[profile](maxIdentities)}
			}
			kept = p.share(e.who, !kept) || kept
		}
		e.running = append(e.running, running{k, d, raise})
	}
	e.route()
	return e
}

// route lists for each code which detections look at it, in their order.
func (e *Engine) route() {
	for i := range e.running {
		for _, code := range e.running[i].kind.Codes {
			e.byCode[code] = nil
		}
	}
	for i := range e.running {
		r := &e.running[i]
		if r.kind.Codes == nil {
			e.always = append(e.always, r)
		}
		for code := range e.byCode {
			if r.kind.Codes == nil || slices.Contains(r.kind.Codes, code) {
				e.byCode[code] = append(e.byCode[code], r)
			}
		}
	}
}

// See gives an event to all detections. What detections themselves have written is passed over.
func (e *Engine) See(event *audit.Event) {
	if event.Class == audit.Detection {
		return
	}
	looking := e.always
	if code := codeOf(event); code != "" {
		if some, ok := e.byCode[code]; ok {
			looking = some
		}
	}
	e.seen = event
	if e.who != nil {
		e.who.see(event)
	}
	for _, r := range looking {
		r.detection.See(event, r.raise)
	}
	e.sweep(event.Time)
}

// steppedBack is by how much a clock is behind what it said before, when it was put back.
const steppedBack = time.Minute

// Pass tells the engine how late it is, where no event does: incidents end by it. When the clock
// was put back, nothing would end until it is that late again; see rewind.go for what was counted.
func (e *Engine) Pass(now time.Time) {
	if e.swept.Sub(now) > farBack {
		e.rewind(now)
	}
	if e.swept.Sub(now) > steppedBack {
		for _, i := range e.open {
			if i.Last.After(now) {
				i.Last = now
			}
		}
		e.swept = now
	}
	e.sweep(now)
}

// sweep ends incidents.
func (e *Engine) sweep(now time.Time) {
	const often = 10 * time.Second
	if now.Sub(e.swept) < often {
		return
	}
	e.swept = now
	for at, i := range e.open {
		if now.Sub(i.Last) >= e.quiet(at.detection) {
			delete(e.open, at)
			i.Ended = true
			e.say(*i)
		}
	}
}

// quiet is after which time an incident ends; of a detection that runs no more, at once.
func (e *Engine) quiet(detection string) time.Duration {
	for i := range e.running {
		if e.running[i].kind.Name == detection {
			return e.running[i].kind.Quiet
		}
	}
	return 0
}

// raise opens an incident, or adds to the one that is open.
func (e *Engine) raise(k *Kind, a Alert) {
	at := key{k.Name, a.Subject}
	if _, known := e.open[at]; !known && len(e.open) >= maxIncidents {
		at.subject = Subject{a.Subject.Kind, "many"}
	}
	i := e.open[at]
	if i == nil {
		i = &Incident{Detection: k.Name, Severity: k.Severity, Subject: at.subject, Began: a.Time, Last: a.Time, Count: 1, What: a.What, Event: a.Event}
		e.open[at] = i
		e.say(*i)
		return
	}
	i.Count++
	if a.Time.After(i.Last) {
		i.Last = a.Time
	}
}

func (e *Engine) say(i Incident) {
	if e.silent != nil && e.silent(i.Detection, i.Subject, i.Last) {
		return
	}
	e.tell(i)
}

// Open returns the incidents that have not ended, oldest first.
func (e *Engine) Open() []Incident {
	all := make([]Incident, 0, len(e.open))
	for _, i := range e.open {
		all = append(all, *i)
	}
	slices.SortFunc(all, func(a, b Incident) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Detection, b.Detection), cmp.Compare(a.Subject.String(), b.Subject.String()))
	})
	return all
}
