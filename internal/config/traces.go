package config

import (
	"regexp"
	"strconv"
)

// Traces say which requests belong to a trace that is recorded.
type Traces struct {
	Sample Share  `yaml:"sample" doc:"Share of the requests without a trace of their own that begin one which is recorded: 0.01 is one in a hundred. A request that is in a trace already is recorded as its caller says."`
	Trust  string `yaml:"trust" doc:"Whose traceparent counts: anyone's, or only what comes through trusted_proxies; every other request begins a trace of its own then." default:"anyone" enum:"anyone,proxies"`
}

// Share is a part of a whole, from 0 to 1, written 0.01.
type Share float64

// String writes the share as the file does.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }

var shareForm = regexp.MustCompile(`^(0|1|[01]\.0|0\.[0-9]{1,9})$`)

func parseShare(into *Share, text string) *fault {
	if !shareForm.MatchString(text) {
		return faulty("write 0 to 1, like 0.01 for one in a hundred", "%q is no share", text)
	}
	share, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return faulty("write 0 to 1, like 0.01 for one in a hundred", "%q is no share", text)
	}
	*into = Share(share)
	return nil
}

// checkTraces finds what cannot work of traces.
func (l *loader) checkTraces() {
	if l.file.Traces.Trust == "proxies" && len(l.file.Proxies.Addresses) == 0 {
		l.at("traces.trust", "name them in trusted_proxies.addresses, or write anyone", "there are no trusted proxies, so that nobody's trace would count")
	}
}

// checkTraceSink refuses what means nothing for spans.
func (l *loader) checkTraceSink(path string, s *Sink) {
	if s.Format != "" {
		l.at(path+".format", "remove it", "spans have one form")
	}
	if len(s.Only.Classes) > 0 {
		l.at(path+".only.classes", "remove it", "spans are made of requests alone")
	}
}
