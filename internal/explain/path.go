package explain

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
)

// guardStep is a step of the guard, with the part in whose time it is.
type guardStep struct {
	name string
	part audit.Part
}

// steps are those of the guard, in order.
func steps() []guardStep {
	return []guardStep{
		{"door", audit.Entry},
		{"limit", audit.Entry},
		{"route", audit.Entry},
		{"load", audit.Entry},
		{"cors", audit.Entry},
		{"shield", audit.Identity},
		{"access", audit.Rights},
		{"admit", audit.Rights},
		{"sanitise", audit.Input},
		{"validate", audit.Input},
		{"policy", audit.Conditions},
		{"consume", audit.Last},
		{"harm", audit.Last},
		{"candidate", audit.Last},
		{"flow", audit.Last},
	}
}

// path draws the way of a request: the handshake, the steps of the guard, the service, the answer.
func path(e *audit.Event, f *config.File, r *config.Resolved) []Step {
	all := []Step{handshake(e, f)}
	guard := steps()
	at := stepIndex(e.Step)
	for i, one := range guard {
		s := Step{Name: one.name, Outcome: Passed, What: what(one.name, e, f, r), Part: one.part.String()}
		switch {
		case i == at && e.Decision != audit.Accepted:
			s.Outcome, s.Why = Refused, because(e, r)
		case s.What == "" && r != nil:
			s.Outcome = None
		case i > at:
			s.Outcome = Skipped
		}
		all = append(all, s)
	}
	clocked(all[1:], e)
	return append(all, behind(e, at < len(guard))...)
}

// clocked writes the time of each part to the last of its steps that did something.
func clocked(steps []Step, e *audit.Event) {
	for part := range audit.Part(audit.Parts) {
		last := -1
		for i, s := range steps {
			if s.Part == part.String() && (s.Outcome == Passed || s.Outcome == Refused) {
				last = i
			}
		}
		if last >= 0 {
			steps[last].Took = microseconds(e.Took[part].Nanoseconds())
		}
	}
}

// stepIndex is the place of a step of the guard; behind the last for any other.
func stepIndex(name string) int {
	at := slices.IndexFunc(steps(), func(s guardStep) bool { return s.name == name })
	if at < 0 {
		return len(steps())
	}
	return at
}

func microseconds(ns int64) float64 { return float64(ns) / 1000 }

// because is the code of a refusal and why, with the endpoint's shield if it is known.
func because(e *audit.Event, r *config.Resolved) string {
	if e.Detail == "" {
		return e.Code
	}
	return e.Code + ": " + why(e, r)
}

// handshake is what is recorded of the connection.
func handshake(e *audit.Event, f *config.File) Step {
	s := Step{Name: "handshake", Outcome: Passed}
	if e.TLS == "" {
		s.Outcome, s.What = None, "no TLS here: the caller spoke plain HTTP, or TLS ended at whoever stands before"
		return s
	}
	s.What = "TLS " + e.TLS
	if e.SNI != "" {
		s.What += " for " + e.SNI
	} else {
		s.What += " without a server name"
	}
	s.What += "; client certificate: " + certificate(e, f)
	return s
}

// certificate is what the event lets one say of a client certificate.
func certificate(e *audit.Event, f *config.File) string {
	for _, p := range proofs(e) {
		if p.kind == "mtls" {
			return "presented, and proved as " + p.id
		}
	}
	asked := f == nil
	if f != nil {
		for _, name := range []string{e.SNI, strings.ToLower(e.Host)} {
			if h, ok := f.Hosts[name]; ok {
				asked = h.ClientCertificates == "ask"
				break
			}
		}
	}
	switch {
	case !asked:
		return "not asked for on this host"
	case e.Step == "shield" && strings.Contains(e.Detail, "certificate"):
		return "judged by the shield: " + e.Detail
	}
	return "none that the endpoint's shield took for a proof"
}

// behind is what came after the guard.
func behind(e *audit.Event, stopped bool) []Step {
	proxy := Step{Name: "proxy", Outcome: Passed, What: "the service"}
	answer := Step{Name: "answer", Outcome: Passed, What: fmt.Sprintf("%d, %d bytes in %s", e.Status, e.BytesOut, e.Duration)}
	if e.Upstream != "" {
		proxy.What = e.Upstream
	}
	if e.UpstreamStatus != 0 {
		proxy.What += fmt.Sprintf(" answered %d", e.UpstreamStatus)
	}
	proxy.Took = microseconds(e.UpstreamDuration.Nanoseconds())
	switch {
	case stopped:
		proxy.Outcome, proxy.What = Skipped, ""
		if e.Note == "preflight" {
			proxy.Outcome = None
		}
	case e.Step == "response":
		answer.Outcome, answer.Why = Refused, because(e, nil)
	case e.Decision != audit.Accepted:
		proxy.Outcome, proxy.Why = Refused, because(e, nil)
	}
	if e.Note != "" {
		answer.What += ", " + e.Note
	}
	return []Step{proxy, answer}
}

// what says what a step judged, in the words of the configuration; empty: nothing.
func what(step string, e *audit.Event, f *config.File, r *config.Resolved) string {
	switch step {
	case "door":
		return strings.TrimSpace(e.Proto+" "+e.Method) + " " + e.Host + e.Path + asked(e.Query)
	case "limit":
		text := e.Remote.Addr().String()
		if e.Step != step || e.Decision == audit.Accepted {
			text += " is not kept out or slowed down"
		}
		if f != nil {
			text += "; at most " + f.Limits.Address + " of one address"
		}
		return text
	case "route":
		if e.Endpoint == "" {
			return ""
		}
		return e.API + ": " + e.Endpoint
	}
	if r == nil {
		return ""
	}
	return judged(step, e, f, r)
}

func asked(query string) string {
	if query == "" {
		return ""
	}
	return "?" + query
}

// judged says what a step of an endpoint judges.
func judged(step string, e *audit.Event, f *config.File, r *config.Resolved) string {
	switch step {
	case "load":
		return "priority " + r.Priority
	case "cors":
		if len(r.Origins) == 0 {
			return ""
		}
		return "origins " + strings.Join(r.Origins, ", ")
	case "shield":
		return Describe(*r.Shield)
	case "access":
		return wanted(r)
	case "admit":
		return rates(r)
	case "sanitise":
		return with(map[bool]string{true: plural(len(r.Sanitise), "rule")}[len(r.Sanitise) > 0], "changed", e.Changed)
	case "validate":
		return contract(r)
	case "policy":
		return condition(f, r)
	case "consume":
		return map[bool]string{true: "nonces and proofs, each once"}[signs(*r.Shield)]
	case "harm":
		if r.Injection == nil {
			return ""
		}
		return "injections at level " + fmt.Sprint(r.Injection.Level)
	case "candidate":
		return with(map[bool]string{true: "a candidate, only recorded"}[r.Candidate != nil || e.Would != ""], "would refuse", e.Would)
	case "flow":
		return sequence(r)
	}
	return ""
}

func with(text, name, more string) string {
	if text == "" || more == "" {
		return text
	}
	return text + "; " + name + ": " + more
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
