// Package answer judges what leaves: it holds answers to the API's description, covers what
// their callers may not see, and looks for what should not be in them at all.
//
// A [Judge] is a pavise.Outgoing. The contract comes first, over what the service said; then
// what the document calls sensitive is masked or removed, by the caller's scopes; then the
// detectors of package leak look through what is left.
//
// What cannot be judged does not leave: pieces (206), answers with a coding, media types that
// nothing here reads, unless the document or the configuration says that they pass.
package answer

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

// Contract is what becomes of an answer that breaks the description.
type Contract string

// What becomes of it.
const (
	Refuse Contract = "refuse" // it is not sent
	Strip  Contract = "strip"  // undeclared properties are taken out; whatever else is wrong: it is not sent
	Report Contract = "report" // it is told
	Off    Contract = "off"    // nobody asks
)

// Judge judges the answers of one endpoint. It is safe for concurrent use.
type Judge struct {
	Answers  *schema.Answers // what the description allows; nil: there is none
	Contract Contract        // empty: Off
	Scanner  *leak.Scanner   // nil: nothing is looked for
	Strict   bool            // the scanner masks or blocks: what it cannot read does not leave
	Most     int64           // bytes of a body that is judged
	Streams  []string        // media types that pass unjudged
	Now      func() time.Time
	Until    time.Time // the end of a trial, in which all is only told; zero: there is none
}

// name is that of the layer in events.
const name = "responses"

func (j *Judge) isTried() bool { return !j.Until.IsZero() && j.Now().Before(j.Until) }

func (j *Judge) isHeldToContract() bool {
	return j.Answers != nil && j.Contract != Off && j.Contract != ""
}

// Hold implements pavise.Outgoing.
func (j *Judge) Hold(r *http.Request, status int, h http.Header) int64 {
	media := mediaOf(h)
	switch {
	case !hasBody(r, status):
		if j.isHeldToContract() { // status and headers
			return j.Most
		}
		return 0
	case slices.Contains(j.Streams, media):
		return 0
	case (j.Scanner == nil || !isReadable(media)) && j.Answers != nil && j.Answers.Passes(r, status, h):
		return 0
	case j.unreadable(status, h) != nil:
		return -1
	}
	return j.Most
}

// TooLong implements pavise.Trying.
func (j *Judge) TooLong(_ *http.Request, status int, h http.Header) (would string, pass bool) {
	if !j.isTried() {
		return "", false
	}
	if refusal := j.unreadable(status, h); refusal != nil {
		return pavise.Would(name, refusal), true
	}
	return pavise.Would(name, fault("body", "maxLength", "")), true
}

// Judge implements pavise.Outgoing.
func (j *Judge) Judge(r *http.Request, id *shield.Identity, status int, h http.Header, body []byte) (pavise.Judged, error) {
	v := &verdict{judge: j, body: body}
	err := v.reach(r, id, status, h)
	if !j.isTried() {
		return pavise.Judged{Body: v.body, Changed: strings.Join(v.changed, " "), Would: strings.Join(v.would, "; ")}, err
	}
	would := v.would
	if err != nil {
		would = append(would, pavise.Would(name, err))
	}
	for _, change := range v.changed {
		what, _, _ := strings.Cut(change, "=")
		would = append(would, name+" change body "+what) // in the form of pavise.Would
	}
	return pavise.Judged{Body: body, Would: strings.Join(would, "; ")}, nil
}

// verdict is what becomes of one answer.
type verdict struct {
	judge   *Judge
	body    []byte
	changed []string // "card=2"
	would   []string
}

func (v *verdict) reach(r *http.Request, id *shield.Identity, status int, h http.Header) error {
	j := v.judge
	if hasBody(r, status) {
		if refusal := j.unreadable(status, h); refusal != nil {
			return refusal
		}
	}
	if j.isHeldToContract() {
		if err := v.contract(r, status, h); err != nil {
			return err
		}
	}
	var spared map[string]bool
	if j.Answers != nil {
		var scopes shield.Scopes
		if id != nil {
			scopes = id.Scopes
		}
		filtered, err := j.Answers.Filter(r, status, h, v.body, scopes)
		if err != nil {
			return err
		}
		v.body, spared = filtered.Body, filtered.Spared
		v.count("masked", filtered.Masked)
		v.count("removed", filtered.Removed)
	}
	if j.Scanner == nil || len(v.body) == 0 {
		return nil
	}
	return v.scan(h, spared)
}

func (v *verdict) count(what string, n int) {
	if n > 0 {
		v.changed = append(v.changed, fmt.Sprintf("%s=%d", what, n))
	}
}

// contract holds the answer to the description.
func (v *verdict) contract(r *http.Request, status int, h http.Header) error {
	j := v.judge
	if j.Contract == Strip {
		clean, taken, err := j.Answers.Strip(r, status, h, v.body)
		if err != nil {
			return err
		}
		v.body = clean
		v.count("stripped", taken)
		return nil
	}
	err := j.Answers.Judge(r, status, h, v.body)
	if err != nil && j.Contract == Report {
		v.would = append(v.would, pavise.Would(name, err))
		return nil
	}
	return err
}

// scan looks for what should not leave.
func (v *verdict) scan(h http.Header, spared map[string]bool) error {
	result, err := v.look(mediaOf(h), spared)
	if err != nil {
		refusal := fault("body", "form", "")
		if v.judge.Strict {
			return refusal
		}
		v.would = append(v.would, pavise.Would(name, refusal))
		return nil
	}
	v.body = result.Text
	for _, f := range result.Found {
		refusal := fault("body", string(f.Kind), f.Pointer)
		switch {
		case f.Action == leak.Report:
			would := pavise.Would(name, refusal)
			if f.Count > 1 {
				would += fmt.Sprintf(" x%d", f.Count)
			}
			v.would = append(v.would, would)
		case f.Action == leak.Block || f.Named: // nothing is masked in a name
			return refusal
		default:
			v.count(string(f.Kind), f.Count)
		}
	}
	return nil
}

func (v *verdict) look(media string, spared map[string]bool) (leak.Result, error) {
	s := v.judge.Scanner
	switch {
	case isJSON(media):
		return s.JSON(v.body, spared)
	case media == "application/x-ndjson" || media == "application/jsonl" || media == "application/ndjson":
		return s.Lines(v.body)
	case media == "":
		if result, err := s.JSON(v.body, spared); err == nil {
			return result, nil
		}
	}
	return s.Text(v.body), nil
}

// unreadable is why an answer with this head cannot be judged; nil: it can.
func (j *Judge) unreadable(status int, h http.Header) *shield.Refusal {
	switch coding := h["Content-Encoding"]; {
	case status == http.StatusPartialContent:
		return fault("status", "undeclared", "/206")
	case len(coding) > 1 || len(coding) == 1 && !strings.EqualFold(coding[0], "identity"):
		return fault("header", "form", "/Content-Encoding")
	case !j.Strict:
		return nil // the description says which media types there are
	case !isReadable(mediaOf(h)) || !isReadableCharset(h):
		return fault("header", "undeclared", "/Content-Type")
	}
	return nil
}

// fault is a refusal of an answer.
func fault(in, rule, pointer string) *shield.Refusal {
	where := pointer
	if where == "" {
		where = "/"
	}
	refusal := shield.Refuse(shield.BadAnswer, "%s %s %s", in, where, rule)
	refusal.Fields = []shield.Field{{In: in, Pointer: pointer, Rule: rule}}
	return refusal
}

// hasBody reports whether an answer has a body that says something (RFC 9110 §6.4.1).
func hasBody(r *http.Request, status int) bool {
	return r.Method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// mediaOf is the media type of an answer; "" if none is said, and what nobody reads if it
// cannot be told.
func mediaOf(h http.Header) string {
	values := h["Content-Type"]
	if len(values) == 0 {
		return ""
	}
	media, _, err := mime.ParseMediaType(values[0])
	if err != nil || len(values) > 1 {
		return "unknown/unknown"
	}
	return media
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

// isReadable reports whether bodies of a media type are texts.
func isReadable(media string) bool {
	switch media {
	case "":
		return true
	case "text/event-stream":
		return false // has no end
	case "application/xml", "application/javascript", "application/ecmascript", "application/x-www-form-urlencoded", "application/x-ndjson", "application/ndjson", "application/jsonl",
		"application/yaml", "application/x-yaml", "application/graphql", "application/sql", "image/svg+xml":
		return true
	}
	return isJSON(media) || strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+xml") || strings.HasSuffix(media, "+yaml")
}

// isReadableCharset reports whether the characters that are looked for stand as in ASCII.
func isReadableCharset(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) == 0 {
		return true
	}
	_, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return false
	}
	switch strings.ToLower(parameters["charset"]) {
	case "", "utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252":
		return true
	}
	return false
}
