package config

import (
	"fmt"
	"strings"
	"time"
)

// Waiver accepts findings for a time: of `pavise check`, and of all else that looks at an installation.
type Waiver struct {
	Rule   string `yaml:"rule" doc:"The rule, as the finding names it." pattern:"^[a-z0-9]+(-[a-z0-9]+)*$" hint:"pavise check --rules lists them" required:"yes"`
	Where  string `yaml:"where" doc:"What is accepted: the dotted path of a setting, and all below it, or what else the finding names: a client, a file, a pointer into a document, the case of an attack. Default: everywhere."`
	Reason string `yaml:"reason" doc:"Why, in at least ten characters." min:"10" max:"200" required:"yes"`
	Until  string `yaml:"until" doc:"The last day (UTC); afterwards it counts again, and the waiver is a finding itself." hint:"write a day: 2027-01-31" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" required:"yes"`
}

// checkWaivers refuses days that no calendar has.
func (l *loader) checkWaivers() {
	for i, w := range l.file.Waivers {
		own := fmt.Sprintf("waivers.%d", i)
		if _, err := time.Parse(time.DateOnly, w.Until); err != nil {
			l.at(own+".until", "write a day: 2027-01-31", "%q is no day", w.Until)
		}
		if strings.HasPrefix(w.Rule, "waiver-") {
			l.at(own+".rule", "mend the waiver", "rules about waivers cannot be waived")
		}
	}
}
