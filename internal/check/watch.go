package check

import (
	"net/url"

	"pavise.dev/pavise/internal/config"
)

func rulesOfWatch() []rule {
	return []rule{
		says("sink-plain", medium, "API8 ASVS-16.4.3 ASVS-12.3.1 CWE-319 REC-API-9", "Events that cross the network in the clear", "Whoever listens learns who calls what, and can leave out or add events.", "tls:// or https://", sinkPlain),
		says("sinks-missing", info, "API8 ASVS-16.4.3 REC-API-18", "Events stay on this machine", "Who takes over the machine takes the record with it.", "a sink under log.sinks: syslog over TLS, a webhook, OpenTelemetry", sinksMissing),
		says("sinks-here", low, "API8 ASVS-16.4.3 REC-API-18", "All sinks are on this machine", "Who takes over the machine takes every copy of the record with it.", "a sink elsewhere, over TLS", sinksHere),
		says("webhook-unsigned", medium, "API8 ASVS-16.4.2 REC-API-18", "A receiver that cannot tell our events from others'", "Whoever knows its address sends it events of his own, and hides what matters among them.", "secret_file, with which bodies are signed", webhookUnsigned),
		says("retention-short", low, "API8 ASVS-16.1.1 REC-API-18", "Events that are gone when they are needed", "Break-ins are found after weeks: what happened before is deleted by then.", "log.keep: 90d", retentionShort),
		says("log-small", low, "API8 ASVS-16.1.1 REC-API-18", "A log that whoever floods it can empty", "The oldest events go when it is full: a flood of requests takes away what came before.", "log.max_size: 10GiB, and a sink elsewhere", logSmall),
		says("audit-not-required", low, "API8 ASVS-16.3.2 REC-API-18", "What moves money goes on without its witness", "The API goes on when its events reach nobody but this machine.", "audit: required", auditNotRequired),
		says("audit-required-filtered", medium, "API8 ASVS-16.3.2 REC-API-18", "Events are required, and no sink gets them", "audit: required holds the API back while a sink fails; but what each sink is sent leaves this API, or most of its requests, out.", "a sink without only, or one that names the API", auditRequiredFiltered),
		says("sampling-blind", low, "API8 ASVS-16.3.1 REC-API-18", "Few of the accepted requests are told", "Who got in is what is asked for after a break-in: of so few nothing can be said.", "accepted_one_in: 1 for one sink at least", samplingBlind),
		says("checkpoints-missing", info, "API8 ASVS-16.4.2 REC-API-18", "A log whose keys lie beside it", "Who has all keys of this machine can rewrite the log, and sign it anew.", "log.checkpoints: a folder on another machine", checkpointsMissing),
		says("detections-off", info, "API8 ASVS-16.3.3 REC-API-18", "Nobody looks at the events", "Guessing and copying out are in the record, and nobody is told.", "remove alerts.detections: off", detectionsOff),
		says("honeypots-absent", info, "API9 ASVS-16.3.3 REC-API-10", "Scanners are not noticed", "The first requests of most attacks are for paths that no honest caller knows.", "honeypots: {common: true}", honeypotsAbsent),
	}
}

func (l *look) sinks(visit func(name, path string, s config.Sink)) {
	for _, name := range sorted(l.File.Log.Sinks) {
		visit(name, "log.sinks."+name, l.File.Log.Sinks[name])
	}
}

// addressOf is where a sink over the network is; nil: it is on this machine.
func addressOf(s *config.Sink) *url.URL {
	text := ""
	if r := s.Receiver(); r != nil {
		text = r.URL
	} else if s.Syslog != nil {
		text = s.Syslog.Address
	}
	u, err := url.Parse(text)
	if text == "" || err != nil {
		return nil
	}
	return u
}

func sinkPlain(l *look) {
	l.sinks(func(_, path string, s config.Sink) {
		if u := addressOf(&s); u != nil && (u.Scheme == "http" || u.Scheme == "tcp") && !isHere(u.Hostname()) {
			l.found(path, "%s gets events without TLS", u.Host)
		}
	})
}

func sinksMissing(l *look) {
	if len(l.File.Log.Sinks) == 0 {
		l.found("log", "there is no sink")
	}
}

func sinksHere(l *look) {
	if len(l.File.Log.Sinks) == 0 {
		return
	}
	for _, s := range l.File.Log.Sinks {
		if u := addressOf(&s); u != nil && !isHere(u.Hostname()) || s.Stdout { // who reads the output is not known
			return
		}
	}
	l.found("log.sinks", "none of %d is elsewhere", len(l.File.Log.Sinks))
}

func webhookUnsigned(l *look) {
	l.sinks(func(_, path string, s config.Sink) {
		if s.Webhook != nil && s.Webhook.Secret == "" {
			l.found(path+".webhook", "bodies are not signed")
		}
	})
}

func retentionShort(l *look) {
	if keep := l.File.Log.Keep.Duration; keep < 30*day {
		l.found("log.keep", "events are kept for %s", days(keep))
	}
}

func logSmall(l *look) {
	if n := l.File.Log.MaxSize; n < 256<<20 {
		l.found("log.max_size", "all segments together have %s", n)
	}
}

func auditNotRequired(l *look) {
	if len(l.File.Log.Sinks) == 0 {
		return
	}
	l.each(func(e *config.Resolved, path string) {
		if word := speaksOf(e.Path, append(paying(), administrative()...)); word != "" && writes(e) && e.Audit != "required" {
			l.found("apis."+e.API, "%s speaks of %s, and audit is %s", e.Pattern, word, e.Audit)
		}
	})
}

func auditRequiredFiltered(l *look) {
	for _, name := range sorted(l.File.APIs) {
		if l.File.APIs[name].Audit != "required" {
			continue
		}
		whole := false
		for _, s := range l.File.Log.Sinks {
			only := s.Only
			whole = whole || (len(only.Classes) == 0 || has(only.Classes, "request")) && (len(only.APIs) == 0 || has(only.APIs, name)) && len(only.Decisions) == 0 && only.Sample <= 1
		}
		if !whole {
			l.found("apis."+name+".audit", "no sink gets every request of %s", name)
		}
	}
}

func has(words config.Words, word string) bool {
	for _, one := range words {
		if one == word {
			return true
		}
	}
	return false
}

func samplingBlind(l *look) {
	least := 0
	for _, s := range l.File.Log.Sinks {
		if least == 0 || s.Only.Sample < least {
			least = s.Only.Sample
		}
	}
	if least > 10 {
		l.found("log.sinks", "one of %d is told at best", least)
	}
}

func checkpointsMissing(l *look) {
	if l.File.Log.Kept == "" {
		l.found("log", "checkpoints are kept nowhere else")
	}
}

func detectionsOff(l *look) {
	if l.File.Alerts.Detections == "off" {
		l.found("alerts", "detections are off")
	}
}

func honeypotsAbsent(l *look) {
	if h := l.File.Honeypots; !h.Common && len(h.Paths) == 0 {
		l.found("honeypots", "there are none")
	}
}
