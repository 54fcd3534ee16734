package config

import (
	"fmt"
	"time"
)

// Layers that may be on trial. Shields, the door and limits cannot.
const (
	TrialContract  = "contract"
	TrialGraphQL   = "graphql"
	TrialInjection = "injection"
	TrialResponses = "responses"
)

// Trial is a layer of which refusals are only recorded.
type Trial struct {
	What   string `yaml:"what" doc:"The layer." enum:"contract,graphql,injection,responses" required:"yes"`
	Until  string `yaml:"until" doc:"The last day (UTC) on which it is only recorded; afterwards it refuses." hint:"write a day: 2027-01-31" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" required:"yes"`
	Reason string `yaml:"reason" doc:"Why, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// Candidate is a policy that is tried beside the one in force.
type Candidate struct {
	OpenAPI *OpenAPI `yaml:"openapi" doc:"Another description of the API. A word is the file."`
	Scopes  Words    `yaml:"scopes" doc:"Scopes that it demands."`
	When    string   `yaml:"when" doc:"A Cedar condition."`
	Until   string   `yaml:"until" doc:"The last day (UTC) on which it is tried; afterwards it is an error at start: adopt it, or take it away." hint:"write a day: 2027-01-31" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" required:"yes"`
}

// Trial returns when the trial of a layer ends, the endpoint's own first; ok is false where
// it is not on trial.
func (e *Resolved) Trial(what string) (until time.Time, ok bool) {
	for _, t := range e.Trials {
		if t.What == what {
			until, err := endOf(t.Until)
			return until, err == nil
		}
	}
	return time.Time{}, false
}

// Ends is when a candidate is no longer tried.
func (c *Candidate) Ends() time.Time {
	until, _ := endOf(c.Until) // checked when the file was read
	return until
}

// endOf is the moment after a day's end.
func endOf(day string) (time.Time, error) {
	begin, err := time.Parse(time.DateOnly, day)
	return begin.AddDate(0, 0, 1), err
}

// checkTrials refuses days that no calendar has, and trials that are told twice.
func (r *resolver) checkTrials(path string, trials []Trial, candidate *Candidate) {
	seen := map[string]bool{}
	for i, t := range trials {
		own := fmt.Sprintf("%s.insecure_report_only.%d", path, i)
		if _, err := endOf(t.Until); err != nil {
			r.at(own+".until", "write a day: 2027-01-31", "%q is no day", t.Until)
		}
		if seen[t.What] {
			r.at(own+".what", "remove one of them", "the layer %s is on trial twice", t.What)
		}
		seen[t.What] = true
	}
	if candidate == nil {
		return
	}
	own := path + ".candidate"
	if _, err := endOf(candidate.Until); err != nil {
		r.at(own+".until", "write a day: 2027-01-31", "%q is no day", candidate.Until)
	}
	if candidate.OpenAPI == nil && len(candidate.Scopes) == 0 && candidate.When == "" {
		r.atKey(own, "write openapi, scopes or when", "the candidate demands nothing")
	}
	r.checkNamed(own+".scopes", candidate.Scopes)
}
