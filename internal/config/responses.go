package config

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/leak"
)

// Responses says how answers are judged before they leave.
type Responses struct {
	Contract string   `yaml:"contract" doc:"What becomes of an answer that the API's description does not allow: it is refused (502); strip: undeclared properties are taken out of JSON, and whatever else is wrong is refused; report: it is only recorded; off: nobody asks. Default: refuse, where the endpoint is described." enum:"refuse,strip,report,off"`
	MaxBody  Size     `yaml:"max_body" doc:"Longest answer that is judged; a longer one is not sent (502)." default:"1MiB" min:"1" max:"64MiB"`
	Detect   Detect   `yaml:"detect" doc:"What is looked for: card, email, iban, key, jwt, private_key, trace. A list: the first three are masked, the others blocked (502). A map says for each: report, mask or block." hint:"known are card, email, iban, key, jwt, private_key and trace" keys:"^(card|email|iban|key|jwt|private_key|trace)$" enum:"report,mask,block"`
	Streams  []Stream `yaml:"insecure_stream" doc:"Media types whose answers pass unjudged as they come, each with a reason."`
	Pos      Pos      `yaml:"-"`
}

// Stream is a media type whose answers pass unjudged.
type Stream struct {
	What   string `yaml:"media" doc:"The media type, without parameters, such as text/event-stream." pattern:"^[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*$" hint:"write a media type in lower case: text/event-stream" required:"yes"`
	Reason string `yaml:"reason" doc:"Why such answers hold nothing that must not leave, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// Detect is what is looked for in answers, with what is done about it.
type Detect map[string]string

// setWords takes the short form: what is done about each is the usual.
func (d *Detect) setWords(words []string) {
	*d = Detect{}
	for _, word := range words {
		(*d)[word] = string(leak.Usual(leak.Kind(word)))
	}
}

// Actions are the detectors that are switched on.
func (d Detect) Actions() map[leak.Kind]leak.Action {
	all := map[leak.Kind]leak.Action{}
	for kind, action := range d {
		all[leak.Kind(kind)] = leak.Action(action)
	}
	return all
}

func detectors() (words []string) {
	for _, kind := range leak.Kinds() {
		words = append(words, string(kind))
	}
	return words
}

// checkResponses refuses what could not be judged. Described says whether there is a
// description to which answers could be held.
func (r *resolver) checkResponses(path string, s *Responses, described bool) {
	if s == nil {
		return
	}
	path += ".responses"
	if !described && s.Contract != "" && s.Contract != "off" {
		r.at(path+".contract", "write openapi: file.yaml, or leave it out", "there is no description to which answers could be held")
	}
	if !described && len(s.Detect) == 0 {
		r.atKey(path, "write openapi: file.yaml, or detect: [card, key, trace]", "nothing is judged")
	}
	if s.Detect[string(leak.Trace)] == string(leak.Mask) {
		r.at(path+".detect.trace", "write trace: block, or trace: report", "of a trace nothing is left that could be shown")
	}
	var seen []string
	for i, one := range s.Streams {
		if slices.Contains(seen, one.What) {
			r.at(fmt.Sprintf("%s.insecure_stream.%d", path, i), "remove one", "%s stands twice", strings.ToLower(one.What))
		}
		seen = append(seen, one.What)
	}
}
