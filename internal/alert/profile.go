package alert

import (
	"math"

	"pavise.dev/pavise/audit"
)

// maxIdentities is how many identities are watched: at least the half that was seen last.
const maxIdentities = 2_000_000

// profiles are what the detections know of each identity that was let pass, side by side: it is
// looked up once for each event, because of a million that is what costs. The engine lets every
// event in before the detections see it.
type profiles struct {
	all Table[profile]
	now *profile // of the event that is being looked at; nil: it is no use of a known identity
}

// profile is of one credential, or of the person or client behind tokens. Days and hours are
// counted since 1970.
type profile struct {
	Habit  habit
	Places placesOf

	Hour, N     uint32    // the present hour, and the requests in it
	Largest     float32   // hour, which counts less as time passes
	Typical     float32   // requests of an hour in which it calls
	First       uint16    // day
	Day, Days   uint16    // the last on which it called, and how many
	Today       uint16    // requests of that day
	SeenAt      [24]uint8 // days on which it called at this hour
	HasToldHour bool
}

// profiler is a detection that looks at profiles. One of those of an engine keeps them over
// restarts, as a part of its state: it is told that nobody does yet, and says whether it does.
type profiler interface {
	share(p *profiles, isFree bool) (keeps bool)
}

// sharer is how a detection is a profiler.
type sharer struct {
	who    *profiles
	keeper bool
}

func (s *sharer) share(p *profiles, isFree bool) bool {
	s.who, s.keeper = p, isFree
	return isFree
}

// State implements Detection.
func (s *sharer) State() any {
	if s.keeper {
		return &s.who.all
	}
	return nil
}

// see finds the profile of an event, and counts it.
func (p *profiles) see(e *audit.Event) {
	p.now = nil
	if !isUse(e) {
		return
	}
	at := p.all.At(holderKey(e, p.all.Seed))
	if hour := uint32(e.Time.Unix() / 3600); hour > at.Hour {
		at.turn(hour)
	}
	at.N++
	at.Today = uint16(min(int(at.Today)+1, math.MaxUint16))
	p.now = at
}

// turn learns the hour that is over.
func (at *profile) turn(hour uint32) {
	if at.First == 0 {
		at.First = uint16(hour / 24)
	} else {
		passed := float64(hour - at.Hour)
		at.Largest = max(at.Largest*float32(math.Exp2(-passed/(24*volumeHalf))), float32(at.N))
		of := &at.SeenAt[at.Hour%24]
		*of = uint8(min(int(*of)+1, math.MaxUint8))
		at.Typical += (float32(at.N) - at.Typical) / float32(min(at.Days+1, 20))
	}
	if day := uint16(hour / 24); day != at.Day {
		at.Day, at.Today = day, 0
		at.Days++
		if at.Days%hoursForget == 0 {
			for i := range at.SeenAt {
				at.SeenAt[i] /= 2
			}
		}
	}
	at.Hour, at.N, at.HasToldHour = hour, 0, false
}
