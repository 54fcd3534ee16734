// Package form writes events as others read them.
//
//	json.go       as they were recorded
//	ocsf.go       OCSF 1.2.0, one class of it for each kind of event
//	ecs.go        Elastic Common Schema 8.11
//	cef.go        ArcSight Common Event Format 0
//	severity.go   how grave an event is, for every form
//	writer.go     JSON, text by text
//
// Whatever a field holds stays in its field: every text is escaped as its form demands, and
// what does not print is never written as it is. One event is one line. The forms do not
// allocate if dst has room, and are safe for concurrent use.
//
// Which field of an event becomes what stands in docs/guide/siem.md. That the result is OCSF
// is shown in ocsftest, a module of its own, with the published schema.
package form

import (
	"fmt"
	"strings"

	"pavise.dev/pavise/audit"
)

// Form appends one event, without a line break.
type Form func(dst []byte, f audit.Found) []byte

// Source is what every event tells of who recorded it.
type Source struct {
	Node    string // name of the machine; may be empty
	Version string // of the program; may be empty
}

// Names of the forms.
const (
	JSON = "json"
	OCSF = "ocsf"
	ECS  = "ecs"
	CEF  = "cef"
)

// Form returns a form by its name.
func (s Source) Form(name string) (Form, error) {
	switch name {
	case JSON:
		return recorded, nil
	case OCSF:
		return s.ocsf, nil
	case ECS:
		return s.ecs, nil
	case CEF:
		return s.cef, nil
	}
	return nil, fmt.Errorf("there is no form %q: want %s", name, strings.Join([]string{JSON, OCSF, ECS, CEF}, ", "))
}

// recorded is the event as the log has it, which is escaped and bounded already.
func recorded(dst []byte, f audit.Found) []byte { return append(dst, f.JSON...) }
