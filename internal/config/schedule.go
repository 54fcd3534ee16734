package config

import (
	"time"

	"pavise.dev/pavise/internal/schedule"
)

// Schedule says what runs again and again. A change takes effect with the reload.
type Schedule struct {
	Check  *ScheduledCheck  `yaml:"check" doc:"When the installation is audited as pavise check does: daily 03:00. Default: when somebody runs it."`
	Attack *ScheduledAttack `yaml:"attack" doc:"When the gateway is attacked as pavise attack does: weekly sun 04:00. Default: when somebody runs it."`
	Review *ScheduledReview `yaml:"review" doc:"When the event log is reviewed, as pavise review and pavise apis do: monthly 1 05:00. Default: when somebody runs it."`

	Zone   string   `yaml:"zone" doc:"Whose clocks the times are of: UTC, or a name of the IANA database: Europe/Berlin. A time that they leave out in spring is due at the change; one that they have twice in autumn, once." default:"UTC" min:"1" max:"64"`
	Jitter Duration `yaml:"jitter" doc:"A run begins up to so much later, each gateway's at another moment." default:"10m" min:"0s" max:"30m"`
	Keep   Duration `yaml:"keep" doc:"How long reports are kept, the newest 400 of each at most, and findings that are mended." default:"400d" min:"7d" max:"1095d"`
	Tell   string   `yaml:"tell" doc:"The least severity of findings that become alerts when they are new." default:"low" enum:"info,low,medium,high,critical"`
}

// Scheduled are the times of a task, which all tasks have.
type Scheduled struct {
	At      string   `yaml:"at" doc:"When: hourly :15, daily 03:00, weekly sun 04:00 (or mon,thu), monthly 1 05:00 (1 to 28, or last)." required:"yes"`
	Timeout Duration `yaml:"timeout" doc:"How long a run may take; then it has failed." default:"30m" min:"1m" max:"6h"`
}

// ScheduledCheck is the audit. A word is when.
type ScheduledCheck struct{ Scheduled }

// ScheduledAttack is the attack on the gateway itself. A word is when.
type ScheduledAttack struct{ Scheduled }

// ScheduledReview is the review of the log. A word is when.
type ScheduledReview struct {
	Scheduled

	Window Duration `yaml:"window" doc:"How far back the log is read." default:"30d" min:"1d" max:"365d"`
}

// DefaultTimeout is how long a run may take of which the file says nothing else.
const DefaultTimeout = 30 * time.Minute

// DefaultWindow is how far back a review reads of which the file says nothing else.
const DefaultWindow = 30 * 24 * time.Hour

// SetScalar takes the short form: when.
func (s *Scheduled) SetScalar(value string) error {
	s.At, s.Timeout.Duration = value, DefaultTimeout
	return nil
}

// SetScalar takes the short form: when.
func (s *ScheduledReview) SetScalar(value string) error {
	s.Window.Duration = DefaultWindow
	return s.Scheduled.SetScalar(value)
}

// Times are the times of each task that has any, by its name.
func (s *Schedule) Times() map[string]Scheduled {
	all := map[string]Scheduled{}
	if s.Check != nil {
		all["check"] = s.Check.Scheduled
	}
	if s.Attack != nil {
		all["attack"] = s.Attack.Scheduled
	}
	if s.Review != nil {
		all["review"] = s.Review.Scheduled
	}
	return all
}

// checkSchedule refuses times that cannot be read, and zones that nobody knows.
func (l *loader) checkSchedule() {
	s := &l.file.Schedule
	times := s.Times()
	for _, name := range sortedKeys(times) {
		path := "schedule." + name
		at := path + ".at"
		if _, long := l.file.places[at]; !long {
			at = path
		}
		if _, err := schedule.ParseWhen(times[name].At); err != nil && times[name].At != "" {
			l.at(at, schedule.Hint, "%v", err)
		}
	}
	// Local would be another zone on each machine.
	if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" {
		l.at("schedule.zone", "write UTC, or a name like Europe/Berlin", "there is no zone %q", s.Zone)
	}
}

// About says what people have to know of an API; an inventory shows it (pavise apis).
type About struct {
	Owner    string `yaml:"owner" doc:"Whom to ask: a team, or an address." min:"2" max:"120"`
	Version  string `yaml:"version" doc:"Its version. Default: that of its description." min:"1" max:"40"`
	Exposure string `yaml:"exposure" doc:"For whom it is meant. pavise apis tells when shields and listeners let more in." enum:"public,partner,internal"`
	Data     Words  `yaml:"data" doc:"What it carries." enum:"personal,health,payment,location,credentials,business,none"`
}

// checkAbout refuses what contradicts itself.
func (l *loader) checkAbout(path string, a *About) {
	for i, word := range a.Data {
		if word == "none" && len(a.Data) > 1 {
			l.at(l.word(path+".data", i), "leave it out", "an API that carries none carries nothing else")
		}
	}
}
