package otlp

import (
	"encoding/binary"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
)

// records writes events as LogRecords: field 2 of ScopeLogs. It reuses its buffers.
type records struct {
	form   form.Form
	body   []byte
	record []byte
}

func newRecords(f form.Form) *records { return &records{form: f} }

func (s *records) append(dst []byte, f audit.Found) []byte {
	e, r := &f.Event, s.record[:0]
	if at := e.Time.UnixNano(); at > 0 {
		r = appendFixed(r, 1, uint64(at)) // time_unix_nano
		r = appendFixed(r, 11, uint64(at))
	}
	number, name := severity(form.SeverityOf(e))
	r = append(appendTag(r, 2, wireVarint), number)
	r = appendString(r, 3, name)
	s.body = s.form(s.body[:0], f) // printable UTF-8, as every form is
	inner := 1 + sizeVarint(uint64(len(s.body))) + len(s.body)
	r = appendVarint(appendTag(r, 5, wireBytes), uint64(inner))
	r = appendBytes(r, 1, s.body)
	r = attributes(r, e, f.Seq)
	if c, ok := contextOf(e); ok { // joins it with the spans of its request
		r = binary.LittleEndian.AppendUint32(appendTag(r, 8, wire32), flagOf(e.Sampled))
		r = appendBytes(r, 9, c.trace[:])
		r = appendBytes(r, 10, c.span[:])
	}
	r = appendString(r, 12, eventName(e.Class))
	s.record = r
	return appendBytes(dst, 2, r)
}

func flagOf(sampled bool) uint32 {
	if sampled {
		return flagSampled
	}
	return 0
}

// attributes follow OpenTelemetry's semantic conventions where they have a name.
func attributes(r []byte, e *audit.Event, seq uint64) []byte {
	const attribute = 6 // of a LogRecord
	for _, a := range [...]struct{ key, value string }{
		{"log.record.uid", e.ID},
		{"http.request.method", e.Method},
		{"server.address", e.Host},
		{"url.path", e.Path},
		{"url.query", e.Query},
		{"user_agent.original", e.UserAgent},
		{"enduser.id", e.User},
		{"tls.client.server_name", e.SNI},
		{"pavise.class", string(e.Class)},
		{"pavise.decision", string(e.Decision)},
		{"pavise.code", e.Code},
		{"pavise.step", e.Step},
		{"pavise.api", e.API},
		{"pavise.endpoint", e.Endpoint},
		{"pavise.shield", e.Shield},
		{"pavise.credential", e.CredentialID},
		{"pavise.client", e.Client},
		{"pavise.tenant", e.Tenant},
		{"pavise.upstream", e.Upstream},
		{"pavise.note", e.Note},
		{"pavise.would", e.Would},
		{"pavise.changed", e.Changed},
		{"pavise.actor", e.Actor},
		{"pavise.action", e.Action},
		{"pavise.target", e.Target},
	} {
		r = appendText(r, attribute, a.key, a.value)
	}
	if addr := e.Remote.Addr(); addr.IsValid() {
		r = appendText(r, attribute, "client.address", addr.WithZone("").String())
	}
	r = appendInt(r, attribute, "http.response.status_code", int64(e.Status))
	r = appendInt(r, attribute, "pavise.seq", int64(seq))
	r = appendInt(r, attribute, "pavise.duration_us", e.Duration.Microseconds())
	r = appendInt(r, attribute, "pavise.upstream_status", int64(e.UpstreamStatus))
	r = appendInt(r, attribute, "pavise.upstream_us", e.UpstreamDuration.Microseconds())
	for part, took := range e.Took {
		r = appendInt(r, attribute, tookKey(audit.Part(part)), took.Microseconds())
	}
	if e.Count > 1 {
		r = appendInt(r, attribute, "pavise.count", int64(e.Count))
	}
	return appendTrue(r, attribute, "pavise.exposed", e.Exposed)
}

// tookKey names the time of a part.
func tookKey(p audit.Part) string {
	return [audit.Parts]string{
		"pavise.entry_us", "pavise.identity_us", "pavise.rights_us", "pavise.input_us", "pavise.conditions_us", "pavise.last_us",
	}[p]
}

func eventName(class audit.Class) string { return "pavise." + string(class) }

// severity is OpenTelemetry's number and name.
func severity(s form.Severity) (number byte, name string) {
	switch s {
	case form.Informational:
		return 9, "INFO"
	case form.Low:
		return 10, "INFO2"
	case form.Medium:
		return 13, "WARN"
	case form.High:
		return 17, "ERROR"
	}
	return 21, "FATAL"
}
