package form

import (
	"net/netip"

	"pavise.dev/pavise/audit"
)

const ecsVersion = "8.11.0"

// ecs writes an event by the Elastic Common Schema. What has no field there stands below
// "pavise".
func (s Source) ecs(dst []byte, f audit.Found) []byte {
	e := &f.Event
	w := writer{dst}
	w.begin()
	w.time("@timestamp", e.Time)
	at := w.open("ecs")
	w.text("version", ecsVersion)
	w.end(at)
	w.ecsEvent(e, f.Seq)
	w.text("message", messageOf(e))
	at = w.open("observer")
	w.text("vendor", "Pavise")
	w.text("product", "Pavise")
	w.text("type", "proxy")
	w.text("hostname", s.Node)
	w.text("version", s.Version)
	w.end(at)
	w.ecsEndpoint("source", e.Remote)
	if e.Peer != e.Remote {
		w.ecsEndpoint("client", e.Peer)
	}
	w.ecsTrace(e)
	w.ecsHTTP(e)
	w.ecsWho(e)
	w.ecsOwn(e)
	return w.finish()
}

func (w *writer) ecsEvent(e *audit.Event, seq uint64) {
	at := w.open("event")
	w.text("id", e.ID)
	w.text("module", "pavise")
	w.key("dataset")
	w.b = append(w.b, `"pavise.`...)
	w.b = appendText(w.b, string(e.Class))
	w.b = append(w.b, '"')
	w.text("kind", ecsKind(e))
	category, kind := ecsCategory(e)
	w.list("category", category)
	w.list("type", kind)
	w.text("action", actionOf(e))
	w.text("outcome", ecsOutcome(e))
	w.text("code", e.Code)
	w.text("reason", e.Detail)
	w.number("duration", e.Duration.Nanoseconds())
	w.number("sequence", int64(seq))
	w.whole("severity", int64(SeverityOf(e)))
	w.end(at)
}

// ecsTrace joins the event with the spans of its request. Elastic calls that which answers a
// request a transaction.
func (w *writer) ecsTrace(e *audit.Event) {
	if e.Trace == "" {
		return
	}
	for _, f := range [...]struct{ name, id string }{{"trace", e.Trace}, {"transaction", e.Span}, {"span", e.Span}} {
		at := w.open(f.name)
		w.text("id", f.id)
		w.end(at)
	}
}

func ecsKind(e *audit.Event) string {
	if e.Class == Detection || e.Step == "harm" && e.Decision == audit.Refused {
		return "alert"
	}
	return "event"
}

// ecsCategory returns one of the allowed categories, and one of the types allowed with it.
func ecsCategory(e *audit.Event) (category, kind string) {
	verdict := "allowed"
	if e.Decision != audit.Accepted {
		verdict = "denied"
	}
	switch e.Class {
	case audit.Request:
		switch {
		case e.Step == "shield" && e.Decision != audit.Accepted:
			return "authentication", "start"
		case e.Step == "harm" && e.Decision == audit.Refused:
			return "intrusion_detection", "denied"
		case e.Endpoint == "":
			return "web", "access"
		}
		return "api", verdict
	case audit.Connection:
		return "network", "denied"
	case audit.Admin:
		if kind, _ := adminKind(e.Action); kind == "account" {
			return "iam", "change"
		}
		return "configuration", "change"
	case audit.Grant:
		switch e.Action {
		case "person.sign_in", "person.sign_in_failed", "person.held":
			return "authentication", "start"
		case "person.sign_out", "person.sign_out_everywhere":
			return "authentication", "end"
		}
		return "iam", "info"
	case Detection:
		return "intrusion_detection", "info"
	}
	return "process", "info"
}

func ecsOutcome(e *audit.Event) string {
	switch e.Decision {
	case audit.Accepted:
		return "success"
	case audit.Refused, audit.Failed:
		return "failure"
	}
	if isAttack(e.Action) {
		return "failure"
	}
	if e.Class == audit.Grant {
		return "success"
	}
	return "unknown"
}

func (w *writer) ecsHTTP(e *audit.Event) {
	at := w.open("http")
	w.text("version", httpVersion(e.Proto))
	within := w.open("request")
	w.text("method", e.Method)
	if e.Class == audit.Request {
		w.text("id", e.ID)
	}
	w.ecsBytes(e.BytesIn)
	w.end(within)
	within = w.open("response")
	w.number("status_code", int64(e.Status))
	w.ecsBytes(e.BytesOut)
	w.end(within)
	w.end(at)
	at = w.open("url")
	w.text("domain", e.Host)
	w.text("path", e.Path)
	w.text("query", e.Query)
	w.end(at)
	at = w.open("user_agent")
	w.text("original", e.UserAgent)
	w.end(at)
	at = w.open("tls")
	w.text("version", e.TLS)
	if e.TLS != "" {
		w.text("version_protocol", "tls")
	}
	within = w.open("client")
	w.text("server_name", e.SNI)
	w.end(within)
	w.end(at)
}

func (w *writer) ecsBytes(n int64) {
	if n <= 0 {
		return
	}
	at := w.open("body")
	w.number("bytes", n)
	w.end(at)
}

func (w *writer) ecsWho(e *audit.Event) {
	at := w.open("user")
	if e.Class == audit.Admin {
		w.text("name", e.Actor)
	} else {
		w.text("name", e.User)
	}
	w.text("id", e.Subject)
	w.text("domain", e.Issuer)
	w.end(at)
	at = w.open("organization")
	w.text("id", e.Tenant)
	w.end(at)
	at = w.open("service")
	w.text("name", e.API)
	w.text("address", e.Upstream)
	w.end(at)
}

func (w *writer) ecsEndpoint(name string, ap netip.AddrPort) {
	if !ap.Addr().IsValid() {
		return
	}
	at := w.open(name)
	w.address("address", ap.Addr())
	w.address("ip", ap.Addr())
	w.number("port", int64(ap.Port()))
	w.end(at)
}

// ecsOwn are the fields of ours, under their names in the log.
func (w *writer) ecsOwn(e *audit.Event) {
	at := w.open("pavise")
	w.own(e)
	w.end(at)
}

// own are the fields for which forms of others have no place.
func (w *writer) own(e *audit.Event) {
	w.text("class", string(e.Class))
	w.text("decision", string(e.Decision))
	w.text("step", e.Step)
	w.text("api", e.API)
	w.text("endpoint", e.Endpoint)
	w.text("shield", e.Shield)
	w.text("credential", e.CredentialID)
	w.text("client", e.Client)
	w.text("with", e.With)
	w.flag("proved", e.Proved)
	w.flag("exposed", e.Exposed)
	w.text("warning", e.Warning)
	w.text("note", e.Note)
	w.text("would", e.Would)
	w.text("changed", e.Changed)
	w.text("action", e.Action)
	w.text("target", e.Target)
	w.text("change", e.Change)
	w.text("upstream", e.Upstream)
	w.number("upstream_status", int64(e.UpstreamStatus))
	w.number("upstream_us", e.UpstreamDuration.Microseconds())
	w.text("trace", e.Trace)
	w.text("span", e.Span)
	w.text("parent", e.Parent)
	w.flag("sampled", e.Sampled)
	for part, took := range e.Took {
		w.number(tookName(audit.Part(part)), took.Microseconds())
	}
	if e.Count > 1 {
		w.number("count", int64(e.Count))
	}
}

// tookName is the name that the time of a part has in the log.
func tookName(p audit.Part) string {
	return [audit.Parts]string{"entry_us", "identity_us", "rights_us", "input_us", "conditions_us", "last_us"}[p]
}

// httpVersion is what stands behind the slash.
func httpVersion(proto string) string {
	if len(proto) > 5 && proto[:5] == "HTTP/" {
		return proto[5:]
	}
	return proto
}

// actionOf says what was done, or tried, in one word.
func actionOf(e *audit.Event) string {
	switch {
	case e.Action != "":
		return e.Action
	case e.Class == audit.System || e.Class == Detection:
		return e.Code
	case e.Class == audit.Connection:
		return e.Step
	}
	return e.Endpoint
}

// messageOf is for people.
func messageOf(e *audit.Event) string {
	switch {
	case e.Detail != "":
		return e.Detail
	case e.Change != "":
		return e.Change
	case e.Code != "":
		return e.Code
	case e.Action != "":
		return e.Action
	}
	return string(e.Decision)
}
