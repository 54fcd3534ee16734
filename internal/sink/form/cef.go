package form

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/audit"
)

// cef writes an event in the Common Event Format: seven parts of a header, divided by |, and
// an extension of name=value.
func (s Source) cef(dst []byte, f audit.Found) []byte {
	e := &f.Event
	c := cefWriter{append(dst, "CEF:0|Pavise|Pavise|"...)}
	c.head(s.Version)
	c.b = append(c.b, '|')
	c.head(cefSignature(e))
	c.b = append(c.b, '|')
	c.head(cefName(e))
	c.b = append(c.b, '|')
	c.b = strconv.AppendInt(c.b, cefSeverity(SeverityOf(e)), 10)
	c.b = append(c.b, '|')
	c.b = append(c.b, "rt="...)
	c.b = strconv.AppendInt(c.b, e.Time.UnixMilli(), 10)
	c.text("externalId", e.ID)
	c.text("dvchost", s.Node)
	c.text("cat", string(e.Class))
	c.text("act", string(e.Decision))
	c.text("outcome", ecsOutcome(e))
	c.text("reason", e.Code)
	c.address("src", e.Remote)
	c.number("spt", int64(e.Remote.Port()))
	c.where(e)
	c.who(e)
	c.behind(e)
	c.traced(e)
	c.number("cnt", int64(max(e.Count, 1)))
	c.whole("cn2", int64(f.Seq), "seq")
	c.text("msg", e.Detail)
	return c.b
}

// cefSignature names the kind of event: its code, or what was done.
func cefSignature(e *audit.Event) string {
	switch {
	case e.Code != "":
		return e.Code
	case e.Action != "":
		return e.Action
	}
	return string(e.Decision)
}

// cefName is a few words for people.
func cefName(e *audit.Event) string {
	switch e.Class {
	case audit.Request:
		return "Request " + known(e.Decision)
	case audit.Connection:
		return "Connection fault"
	case audit.Admin:
		return "Administrative act"
	case audit.Grant:
		return "Authorization server"
	case audit.System:
		return "System"
	case Detection:
		return "Detection"
	}
	return "Event"
}

// known is a decision of ours, so that putting it together allocates nothing.
func known(d audit.Decision) string {
	switch d {
	case audit.Accepted, audit.Refused, audit.Failed:
		return string(d)
	}
	return "noted"
}

// cefSeverity is on the scale of 0 to 10.
func cefSeverity(s Severity) int64 {
	switch s {
	case Informational:
		return 1
	case Low:
		return 3
	case Medium:
		return 5
	case High:
		return 8
	}
	return 10
}

type cefWriter struct{ b []byte }

func (c *cefWriter) where(e *audit.Event) {
	c.text("app", e.Proto)
	c.text("requestMethod", e.Method)
	c.text("dhost", e.Host)
	if e.Query != "" {
		c.key("request")
		c.value(e.Path)
		c.b = append(c.b, '?')
		c.value(e.Query)
	} else {
		c.text("request", e.Path)
	}
	c.text("requestClientApplication", e.UserAgent)
	c.number("in", e.BytesIn)
	c.number("out", e.BytesOut)
	if e.Status > 0 {
		c.whole("cn1", int64(e.Status), "status")
	}
	if us := e.Duration.Microseconds(); us > 0 {
		c.whole("cn3", us, "durationMicroseconds")
	}
}

func (c *cefWriter) who(e *audit.Event) {
	switch {
	case e.Actor != "":
		c.text("suser", e.Actor)
	case e.User != "":
		c.text("suser", e.User)
	default:
		c.text("suser", e.Client)
	}
	c.text("suid", e.Subject)
	switch e.Class {
	case audit.Admin, audit.Grant, audit.System:
		c.labelled("cs1", e.Action, "action")
		c.labelled("cs2", e.Client, "client")
		c.labelled("cs3", e.Target, "target")
		c.labelled("cs4", e.Change, "change")
	default:
		c.labelled("cs1", e.Endpoint, "endpoint")
		c.labelled("cs2", e.Client, "client")
		c.labelled("cs3", e.CredentialID, "credential")
		c.labelled("cs4", e.Step, "step")
		c.labelled("cs5", e.Tenant, "tenant")
		c.labelled("cs6", e.Shield, "shield")
	}
	c.labelled("flexString1", e.Would, "would")
	c.labelled("flexString2", e.Changed, "changed")
}

// behind is the service that answered, and how.
func (c *cefWriter) behind(e *audit.Event) {
	c.text("destinationServiceName", e.API)
	if e.UpstreamStatus > 0 {
		c.whole("flexNumber1", int64(e.UpstreamStatus), "upstreamStatus")
	}
	if us := e.UpstreamDuration.Microseconds(); us > 0 {
		c.whole("flexNumber2", us, "upstreamMicroseconds")
	}
	c.text("PavisePaviseUpstream", e.Upstream)
	c.text("PavisePaviseNote", e.Note)
	_, address, ok := strings.Cut(e.Upstream, "://")
	if !ok {
		address = e.Upstream
	}
	if address == "" || address[0] != '[' && (address[0] < '0' || address[0] > '9') {
		return // a name
	}
	if ap, err := netip.ParseAddrPort(address); err == nil {
		c.address("dst", ap)
		c.number("dpt", int64(ap.Port()))
	}
}

// traced joins the event with the spans of its request, and says where its time went. CEF has
// no field for that; the names are as it demands of a maker's own: maker, product, field.
func (c *cefWriter) traced(e *audit.Event) {
	c.text("PavisePaviseTrace", e.Trace)
	c.text("PavisePaviseSpan", e.Span)
	c.text("PavisePaviseParent", e.Parent)
	if e.Sampled {
		c.text("PavisePaviseSampled", "true")
	}
	for part, took := range e.Took {
		c.number(cefTook(audit.Part(part)), took.Microseconds())
	}
}

func cefTook(p audit.Part) string {
	return [audit.Parts]string{
		"PavisePaviseEntryMicroseconds", "PavisePaviseIdentityMicroseconds", "PavisePaviseRightsMicroseconds", "PavisePaviseInputMicroseconds",
		"PavisePaviseConditionsMicroseconds", "PavisePaviseLastMicroseconds",
	}[p]
}

func (c *cefWriter) key(name string) {
	c.b = append(c.b, ' ')
	c.b = append(c.b, name...)
	c.b = append(c.b, '=')
}

func (c *cefWriter) text(name, value string) {
	if value != "" {
		c.key(name)
		c.value(value)
	}
}

// labelled is a custom field with the name of what it holds.
func (c *cefWriter) labelled(name, value, label string) {
	if value == "" {
		return
	}
	c.text(name, value)
	c.label(name, label)
}

func (c *cefWriter) label(name, label string) {
	c.b = append(c.b, ' ')
	c.b = append(c.b, name...)
	c.b = append(c.b, "Label="...)
	c.b = append(c.b, label...)
}

func (c *cefWriter) number(name string, value int64) {
	if value > 0 {
		c.key(name)
		c.b = strconv.AppendInt(c.b, value, 10)
	}
}

func (c *cefWriter) whole(name string, value int64, label string) {
	c.key(name)
	c.b = strconv.AppendInt(c.b, value, 10)
	c.label(name, label)
}

func (c *cefWriter) address(name string, ap netip.AddrPort) {
	if !ap.Addr().IsValid() {
		return
	}
	c.key(name)
	c.b = ap.Addr().WithZone("").AppendTo(c.b)
}

// head escapes | and \ in the header.
func (c *cefWriter) head(value string) { c.escaped(value, '|') }

// value escapes = and \ in the extension.
func (c *cefWriter) value(value string) { c.escaped(value, '=') }

// escaped writes what prints; the format has no form for anything else, which becomes U+FFFD.
func (c *cefWriter) escaped(s string, also rune) {
	s, isCut := cut(s)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\' || r == also:
			c.b = append(c.b, '\\', byte(r))
		case !strconv.IsPrint(r):
			c.b = utf8.AppendRune(c.b, utf8.RuneError)
		default:
			c.b = utf8.AppendRune(c.b, r)
		}
		s = s[size:]
	}
	if isCut {
		c.b = append(c.b, "…"...)
	}
}
