package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/explain"
	"pavise.dev/pavise/shield"
)

// explainPath takes questions about requests that are not sent.
const explainPath = "/v1/explain"

// maxImagined is the longest body of a question about a request that is not sent, in bytes: it
// holds that request's body.
const maxImagined = 2 << 20

// maxEvents bounds one answer.
const maxEvents = 10_000

// defaultEvents is how many of the newest are shown.
const defaultEvents = 100

// Record is an event as it stands in the log.
type Record struct {
	Seq   uint64          `json:"seq"`
	Event json.RawMessage `json:"event"`
}

// Records are what a search found.
type Records struct {
	Records []Record `json:"records"`
	Damage  string   `json:"damage,omitempty"` // what could not be read, and was passed over
}

// Verified is what the check of the log found.
type Verified struct {
	Whole       bool      `json:"whole"`
	Records     uint64    `json:"records"`
	First       uint64    `json:"first"`
	Last        uint64    `json:"last"`
	Checkpoints int       `json:"checkpoints"`
	Covered     uint64    `json:"covered"` // the last record that a signed checkpoint covers
	Head        uint64    `json:"head"`    // how far the ring says the chain went; 0: there is none beside it
	Root        string    `json:"root"`    // of the tree of all records, base64
	Erased      uint64    `json:"erased,omitempty"`
	Expired     uint64    `json:"expired,omitempty"`
	Begun       time.Time `json:"begun_anew,omitzero"` // when it was begun where a log had been; zero: it was not
	Torn        int       `json:"torn,omitempty"`      // bytes of an unfinished last record
	File        string    `json:"file,omitempty"`
	Line        int       `json:"line,omitempty"`
	Bad         uint64    `json:"bad,omitempty"` // number of the first bad record
	Why         string    `json:"why,omitempty"`
}

// QueryValues writes a query as parameters; [ParseQuery] reads it.
func QueryValues(q audit.Query) url.Values {
	v := url.Values{}
	for name, text := range map[string]string{
		"id": q.ID, "trace": q.Trace, "client": q.Client, "credential": q.Credential, "endpoint": q.Endpoint, "api": q.API, "code": q.Code,
		"decision": string(q.Decision), "class": string(q.Class), "user": q.User, "subject": q.Subject, "tenant": q.Tenant,
	} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Address.IsValid() {
		v.Set("address", q.Address.String())
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// ParseQuery reads what [QueryValues] wrote. Unknown and repeated parameters are
// refused.
func ParseQuery(v url.Values) (audit.Query, error) {
	q := audit.Query{Limit: defaultEvents}
	for name, values := range v {
		if len(values) != 1 {
			return q, fmt.Errorf("parameter %.40q stands %d times", name, len(values))
		}
		if err := setQuery(&q, name, values[0]); err != nil {
			return q, fmt.Errorf("parameter %.40q: %w", name, err)
		}
	}
	return q, nil
}

func setQuery(q *audit.Query, name, value string) (err error) {
	switch name {
	case "id":
		q.ID = value
	case "trace":
		q.Trace = value
	case "client":
		q.Client = value
	case "credential":
		q.Credential = value
	case "user":
		q.User = value
	case "subject":
		q.Subject = value
	case "tenant":
		q.Tenant = value
	case "endpoint":
		q.Endpoint = value
	case "api":
		q.API = value
	case "code":
		q.Code = value
	case "decision":
		q.Decision = audit.Decision(value)
	case "class":
		q.Class = audit.Class(value)
	case "address":
		q.Address, err = netip.ParsePrefix(value)
	case "since":
		q.Since, err = time.Parse(time.RFC3339Nano, value)
	case "until":
		q.Until, err = time.Parse(time.RFC3339Nano, value)
	case "limit":
		if q.Limit, err = strconv.Atoi(value); err == nil && (q.Limit < 1 || q.Limit > maxEvents) {
			err = fmt.Errorf("want 1 to %d", maxEvents)
		}
	default:
		err = fmt.Errorf("there is none of this name")
	}
	return err
}

func (s *Service) events(r *http.Request) (any, error) {
	q, err := ParseQuery(r.URL.Query())
	if err != nil {
		return nil, problem(http.StatusBadRequest, "malformed", "%v", err)
	}
	found, err := s.search(r, q)
	if err != nil && len(found) == 0 {
		return nil, err
	}
	answer := Records{Records: make([]Record, 0, len(found))}
	for _, f := range found {
		answer.Records = append(answer.Records, Record{f.Seq, f.JSON})
	}
	if err != nil {
		answer.Damage = err.Error()
	}
	return answer, nil
}

func (s *Service) search(r *http.Request, q audit.Query) ([]audit.Found, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	found, err := audit.Search(r.Context(), s.LogDir, q)
	if err != nil {
		return found, wrapped("log_unreadable", err, "search the event log")
	}
	return found, nil
}

// flush makes sure that what has happened can be read.
func (s *Service) flush() error {
	if s.Flush == nil {
		return nil
	}
	if err := s.Flush(); err != nil {
		return wrapped("log_unreadable", err, "write out the event log")
	}
	return nil
}

func (s *Service) verify(r *http.Request) (any, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	var kept []audit.Checkpoint
	if s.KeptDir != "" {
		var err error
		if kept, err = audit.Checkpoints(s.KeptDir); err != nil {
			return nil, wrapped("log_unreadable", err, "read the checkpoints that are kept elsewhere")
		}
	}
	report, err := audit.Verify(s.LogDir, s.ChainKey, s.Public, kept...)
	if err != nil {
		return nil, wrapped("log_unreadable", err, "verify the event log")
	}
	v := Verified{
		Whole: report.Fault == nil, Records: report.Lines, First: report.First, Last: report.Last,
		Checkpoints: report.Checkpoints, Covered: report.Covered, Head: report.Head, Torn: report.Torn,
		Erased: report.Erased, Expired: report.Expired, Begun: report.Begun,
	}
	if root, err := report.Root.MarshalText(); err == nil {
		v.Root = string(root)
	}
	if f := report.Fault; f != nil {
		v.File, v.Line, v.Bad, v.Why = f.File, f.Line, f.Seq, f.Why
	}
	return v, nil
}

// Explanation is what happened to a request, or to a connection, and what would mend it.
type Explanation struct {
	Event    json.RawMessage `json:"event"`
	Decision string          `json:"decision"`
	Step     string          `json:"step,omitempty"`
	Code     string          `json:"code,omitempty"`
	Why      string          `json:"why,omitempty"`
	Remedy   string          `json:"remedy,omitempty"`

	explain.Story
}

func (s *Service) explainRequest(r *http.Request) (any, error) {
	found, err := s.search(r, audit.Query{ID: r.PathValue("id"), Limit: 1})
	switch {
	case len(found) > 0: // damage elsewhere does not matter
	case err != nil:
		return nil, err
	default:
		return nil, fmt.Errorf("request %.80q: %w", r.PathValue("id"), errNoRecord)
	}
	e := &found[0].Event
	known := explain.Known{}
	if s.File != nil {
		known.File = s.File()
	}
	if known.Changes, err = changes(r.Context(), s.LogDir, known.File, e.Time); err != nil {
		return nil, err
	}
	if owner, err := s.Registry.Client(r.Context(), e.Client); e.Client != "" && err == nil { // it may be gone, or another issuer's
		known.Scopes = append(shield.Scopes{}, owner.Scopes...)
	}
	return Explain(&found[0], known), nil
}

// Explain tells the story of an event that was found.
func Explain(found *audit.Found, known explain.Known) Explanation {
	e := &found.Event
	x := Explanation{Event: found.JSON, Decision: string(e.Decision), Step: e.Step, Code: e.Code, Why: explain.Why(e, known.File), Story: explain.Tell(e, known)}
	switch {
	case e.Code == "":
	case e.Class == audit.Connection && explain.ConnectionRemedy(e.Code) != "":
		x.Remedy = explain.ConnectionRemedy(e.Code)
	case e.Code == string(shield.MissingCredential) && x.Shield != nil:
		x.Remedy = missing(x.Shield.Kinds())
	default:
		x.Remedy = Remedy(shield.Code(e.Code))
	}
	return x
}

// changes are those of the configuration since a moment, as the log tells of them.
func changes(ctx context.Context, dir string, f *config.File, since time.Time) ([]explain.Change, error) {
	var all []audit.Event
	for _, q := range []audit.Query{{Class: audit.Admin}, {Class: audit.System, Code: "started"}} {
		q.Since, q.Limit = since, maxEvents
		found, err := audit.Search(ctx, dir, q)
		if err != nil && len(found) == 0 {
			return nil, wrapped("log_unreadable", err, "search the event log")
		}
		for i := range found {
			all = append(all, found[i].Event)
		}
	}
	slices.SortStableFunc(all, func(a, b audit.Event) int { return a.Time.Compare(b.Time) })
	return explain.Changes(all, written(f), since), nil
}

// written is when a configuration's files were last written; zero where that is not known.
func written(f *config.File) (last time.Time) {
	if f == nil {
		return last
	}
	for _, name := range f.Paths {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// WhatIf is a request that is not sent.
type WhatIf struct {
	Client     string `json:"client"`
	Credential string `json:"credential,omitempty"` // id; empty: any that the client has
	Method     string `json:"method"`
	Host       string `json:"host,omitempty"` // empty: the only one, or the first that has the path
	Path       string `json:"path"`           // with the query

	Header  http.Header `json:"header,omitempty"`
	Body    []byte      `json:"body,omitempty"`
	HasBody bool        `json:"has_body,omitempty"` // false: which body it has is not known, where its method has one
	From    string      `json:"from,omitempty"`     // the caller's address; empty: not known
	At      time.Time   `json:"at,omitzero"`        // when it is sent; zero: now
}

// Answer is what would happen to it.
type Answer struct {
	Allowed  bool     `json:"allowed"`
	API      string   `json:"api,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"`
	Shield   string   `json:"shield,omitempty"`
	Step     string   `json:"step,omitempty"` // that would refuse it
	Code     string   `json:"code,omitempty"`
	Status   int      `json:"status,omitempty"`
	Why      string   `json:"why"`
	Remedy   string   `json:"remedy,omitempty"`
	Unknown  []string `json:"unknown,omitempty"` // what cannot be judged without sending it

	Path        []Foreseen `json:"path,omitempty"`        // step by step, to the one that refuses
	Credentials []string   `json:"credentials,omitempty"` // that it would be sent with
	Scopes      []string   `json:"scopes,omitempty"`      // that the caller would have
	Fields      []string   `json:"fields,omitempty"`      // what of the input is wrong: where, the pointer and the rule
	Would       string     `json:"would,omitempty"`       // what rules on trial would refuse
	Changed     string     `json:"changed,omitempty"`     // what would be cleaned out of the input
	At          time.Time  `json:"at,omitzero"`           // the time that was taken, where it is not now
}

// Foreseen is a step of the path that a request would take.
type Foreseen struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"` // passed, refused, not judged, told
	Why     string `json:"why,omitempty"`
}

func (s *Service) whatIf(r *http.Request) (any, error) {
	var q WhatIf
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if s.Explain == nil {
		return nil, problem(http.StatusConflict, "not_running", "nothing here can judge a request that is not sent")
	}
	return s.Explain(q)
}
