package syslog

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
)

// timeForm is RFC 5424 §6.2.3, in UTC with microseconds.
const timeForm = "2006-01-02T15:04:05.000000Z"

// header is what all messages share.
type header struct {
	facility int
	middle   string // " HOSTNAME pavise PROCID "
}

func newHeader(s Settings) header {
	return header{s.Facility, " " + name(s.Node, 255) + " pavise " + name(strconv.Itoa(s.PID), 128) + " "}
}

// name is a text in the form that a header takes: printable ASCII without blanks; "-" stands
// for nothing.
func name(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

// appendFrame appends one event as MSG-LEN SP SYSLOG-MSG.
func (d *Destination) appendFrame(dst []byte, f audit.Found) []byte {
	d.text = d.appendMessage(d.text[:0], f)
	dst = strconv.AppendInt(dst, int64(len(d.text)), 10)
	dst = append(dst, ' ')
	return append(dst, d.text...)
}

// appendMessage appends <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [SD] MSG.
func (d *Destination) appendMessage(dst []byte, f audit.Found) []byte {
	e := &f.Event
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(d.head.facility*8+severity(form.SeverityOf(e))), 10)
	dst = append(dst, ">1 "...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, d.head.middle...)
	dst = append(dst, messageID(e.Class)...)
	dst = append(dst, " [pavise@32473"...)
	dst = append(dst, ` seq="`...)
	dst = strconv.AppendUint(dst, f.Seq, 10)
	dst = append(dst, '"')
	for _, p := range [...]struct{ name, value string }{
		{"id", e.ID},
		{"class", string(e.Class)},
		{"decision", string(e.Decision)},
		{"code", e.Code},
		{"step", e.Step},
		{"api", e.API},
		{"endpoint", e.Endpoint},
		{"client", e.Client},
		{"credential", e.CredentialID},
		{"user", e.User},
		{"tenant", e.Tenant},
		{"actor", e.Actor},
		{"action", e.Action},
		{"target", e.Target},
	} {
		dst = appendParam(dst, p.name, p.value)
	}
	if addr := e.Remote.Addr(); addr.IsValid() {
		dst = append(dst, ` src="`...)
		dst = addr.WithZone("").AppendTo(dst)
		dst = append(dst, '"')
	}
	if e.Status > 0 {
		dst = append(dst, ` status="`...)
		dst = strconv.AppendInt(dst, int64(e.Status), 10)
		dst = append(dst, '"')
	}
	return d.s.Form(append(dst, "] "...), f)
}

// messageID is the class, which is a word of ours.
func messageID(class audit.Class) string {
	switch class {
	case audit.Request, audit.Connection, audit.Admin, audit.Grant, audit.System, form.Detection:
		return string(class)
	}
	return "-"
}

func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 1 || year > 9999 {
		return append(dst, '-')
	}
	return t.AppendFormat(dst, timeForm)
}

// severity is a number of RFC 5424 §6.2.1.
func severity(s form.Severity) int {
	switch s {
	case form.Informational:
		return 6
	case form.Low:
		return 5 // notice
	case form.Medium:
		return 4 // warning
	case form.High:
		return 3 // error
	}
	return 2 // critical
}

// maxParam bounds a value, in bytes before it is escaped.
const maxParam = 256

// appendParam appends name="value". A value escapes ", \ and ] (RFC 5424 §6.3.3); what does
// not print becomes U+FFFD.
func appendParam(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '"')
	isCut := len(value) > maxParam
	if isCut {
		end := maxParam
		for end > maxParam-utf8.UTFMax && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end]
	}
	for _, r := range value {
		switch {
		case r == '"' || r == '\\' || r == ']':
			dst = append(dst, '\\', byte(r))
		case !strconv.IsPrint(r):
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	if isCut {
		dst = append(dst, "…"...)
	}
	return append(dst, '"')
}
