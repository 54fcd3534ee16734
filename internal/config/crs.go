package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// CRS says how the OWASP Core Rule Set is asked.
type CRS struct {
	Paranoia  int            `yaml:"paranoia" doc:"Paranoia level: the higher, the more rules, and the more harmless requests that are refused." default:"1" min:"1" max:"4"`
	Detect    int            `yaml:"detect" doc:"A higher level of which refusals are only recorded (the field would of events); 0: none. It costs a second run of the rules." default:"0" min:"0" max:"4"`
	Threshold int            `yaml:"threshold" doc:"Anomaly score at which a request is refused. A critical rule adds 5, an error 4, a warning 3, a notice 2." default:"5" min:"1" max:"5"`
	Higher    *Threshold     `yaml:"insecure_threshold" doc:"A higher score instead, so that one critical rule is not enough."`
	MaxText   Size           `yaml:"max_text" doc:"Most text of a request that the rules look at; a request with more is refused with 413. Half a megabyte takes seconds." default:"64KiB" min:"1KiB" max:"4MiB"`
	MaxFields int            `yaml:"max_fields" doc:"Most parameters, fields of forms and texts of JSON that they look at; a request with more is refused with 413." default:"1000" min:"10" max:"100000"`
	Exclude   []CRSExclusion `yaml:"insecure_exclude" doc:"Rules that leave a field alone, or everything, each with a reason."`
	Off       string         `yaml:"insecure_off" doc:"Why the rule set is not asked at this endpoint, although the API says so."`
}

// Threshold is an anomaly score above the set's own.
type Threshold struct {
	Score  int    `yaml:"score" doc:"The score at which a request is refused." min:"6" max:"1000" required:"yes"`
	Reason string `yaml:"reason" doc:"Why, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// CRSExclusion takes rules away from a field.
type CRSExclusion struct {
	Rules  Words  `yaml:"rules" doc:"The rules, as a refusal names them: crs-942100." pattern:"^crs-9[1-4][0-9]{4}$" hint:"write crs-942100; rules that may be left out are crs-911000 to crs-944999" required:"yes"`
	What   string `yaml:"field" doc:"The field that they leave alone, as a refusal names it: body /comments/*/text, query /q, path /id, header /Referer, cookie /theme; body, path or query as a whole. A * stands for any one name, or entry of a list; ** at the end for all below. Default: everything." hint:"write body /comment, query /q, path /id, header /Referer or cookie /theme" pattern:"^(path|query|body|(path|query|header|cookie|body)( (/[^/\\s]*)+))$"`
	Reason string `yaml:"reason" doc:"Why what they find is harmless there, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// SetScalar takes the short form.
func (c *CRS) SetScalar(value string) error {
	if value != "on" {
		return errors.New("write on, or settings; insecure_off says why the rule set is not asked")
	}
	return nil
}

// withRuleSet takes the rule set over from the API's settings, where an endpoint's own do not speak of it: settings that
// are about something else do not switch it off.
func (i *Injection) withRuleSet(api *Injection) *Injection {
	if i == nil || i.CRS != nil || api == nil {
		return i
	}
	own := *i
	own.CRS = api.CRS
	return &own
}

// Numbers are those of the rules that an exclusion names.
func (e *CRSExclusion) Numbers() (ids []int) {
	for _, name := range e.Rules {
		id, _ := strconv.Atoi(strings.TrimPrefix(name, "crs-")) // the pattern says that it is one
		ids = append(ids, id)
	}
	return ids
}

// checkCRS finds settings that say different things.
func (r *resolver) checkCRS(path string, c *CRS) {
	if c == nil {
		return
	}
	if c.Detect != 0 && c.Detect <= c.Paranoia {
		r.at(path+".detect", fmt.Sprintf("write a level above %d, or leave it out", c.Paranoia), "level %d refuses what is to be recorded only", c.Paranoia)
	}
	if c.Off != "" && len(c.Exclude) > 0 {
		r.at(path+".insecure_off", "remove one of them", "the rule set is not asked, and other settings say how")
	}
}
