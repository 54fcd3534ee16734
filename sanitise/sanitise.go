// Package sanitise cleans the input of requests where refusing it is not wanted: blanks around
// a name, letters that are written in several ways, characters that nobody sees, markup in a
// comment, properties that the API's description does not know.
//
// A [Rule] names fields and the steps that are done to their texts. [New] compiles rules to a
// Sanitiser of the guard (pavise.Sanitiser), which changes the query and bodies that are JSON,
// forms or plain text; whatever stands behind it, the service too, gets the cleaned request.
//
//	field.go      which values a rule is about
//	step.go       the steps by name; text.go, unseen.go, confusable.go, markup.go do them
//	clean.go      one text through its steps, until nothing changes any more
//	json.go       texts of a JSON document, changed in place
//	pairs.go      values of a query or a form, changed in place
//
// Cleaning is idempotent: what was cleaned once is not changed by the same rules. What nobody
// has to change is not touched: numbers, blanks between values, the order of members, and how
// other texts are escaped stay byte for byte. Names of members are never changed.
//
// It takes nothing away from the layers behind it: a value that is cleaned is judged by the
// contract, conditions and injection rules as if it had come so. And it does not replace the
// encoding that a service owes its own pages and queries.
package sanitise

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// Rule is what is done to some fields.
type Rule struct {
	Field  string // "body /comment", "query q"; see [ParseField]
	Do     []string
	Refuse bool // where a step would change a text, the request is refused
}

// Contract knows what an API's description declares of an operation.
type Contract interface {
	// UndeclaredQuery returns the names of a query's parameters that are not declared.
	UndeclaredQuery(raw string) ([]string, error)
	// UndeclaredBody returns pointers to the properties of a body that are not declared.
	UndeclaredBody(h http.Header, text []byte) ([]string, error)
}

// Options are what a sanitiser needs besides its rules.
type Options struct {
	Contract Contract // of [StripUndeclared]; nil: there is none
	MaxBody  int64    // bytes that a body, and a query, may have when it is cleaned; 0: 10 MiB
}

// Sanitiser cleans requests. It is safe for concurrent use.
type Sanitiser struct {
	contract              Contract
	most                  int64
	body, query           *node // nil: no text is looked at
	stripBody, stripURL   bool
	refuseBody, refuseURL bool // strip_undeclared refuses

	pool sync.Pool // of indexes
}

// defaultMost is the longest body that the guard reads where nobody says.
const defaultMost = 10 << 20

// maxQuery is the longest query that cleaning may make, in bytes.
const maxQuery = 64 << 10

// New compiles rules. Those about the same field act one after the other.
func New(rules []Rule, o Options) (*Sanitiser, error) {
	s := &Sanitiser{contract: o.Contract, most: o.MaxBody}
	if s.most == 0 {
		s.most = defaultMost
	}
	for _, r := range rules {
		if err := s.add(r); err != nil {
			return nil, fmt.Errorf("sanitise %s: %w", r.Field, err)
		}
	}
	return s, nil
}

// Validate says what is wrong with a rule by itself.
func (r Rule) Validate() error {
	f, err := ParseField(r.Field)
	if err != nil {
		return err
	}
	return r.check(f)
}

func (s *Sanitiser) add(r Rule) error {
	if err := r.Validate(); err != nil {
		return err
	}
	f, _ := ParseField(r.Field)
	if r.Do[0] == StripUndeclared {
		if s.contract == nil {
			return errors.New("there is no description of the API that says what is declared")
		}
		if f.In == "query" {
			s.stripURL, s.refuseURL = true, s.refuseURL || r.Refuse
		} else {
			s.stripBody, s.refuseBody = true, s.refuseBody || r.Refuse
		}
		return nil
	}
	root := &s.body
	if f.In == "query" {
		root = &s.query
	}
	if *root == nil {
		*root = &node{}
	}
	(*root).at(f.Names).add(r)
	return nil
}

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit.
func (s *Sanitiser) Body() int64 {
	if s.body == nil && !s.stripBody {
		return 0
	}
	return 1 << 40
}

// Sanitise implements pavise.Sanitiser.
func (s *Sanitiser) Sanitise(r *http.Request, _ *shield.Identity) (changed string, err error) {
	var c counts
	if err := s.cleanQuery(r, &c); err != nil {
		return "", err
	}
	if err := s.cleanBody(r, &c); err != nil {
		return "", err
	}
	return c.String(), nil
}

func (s *Sanitiser) cleanQuery(r *http.Request, c *counts) error {
	raw := r.URL.RawQuery
	if raw == "" || s.query == nil && !s.stripURL {
		return nil
	}
	if s.stripURL {
		names, err := s.contract.UndeclaredQuery(raw)
		if err != nil {
			return shield.Refuse(shield.BadQuery, "%v", err)
		}
		if len(names) > 0 && s.refuseURL {
			return refused("query", "/"+escape(names[0]), "undeclared")
		}
		raw = withoutNames(raw, names, c)
	}
	if s.query != nil {
		var err error
		if raw, err = s.pairs("query", raw, s.query, c); err != nil {
			return err
		}
	}
	if len(raw) > maxQuery && len(raw) > len(r.URL.RawQuery) {
		return shield.Refuse(shield.BadQuery, "the cleaned query is longer than %d bytes", maxQuery)
	}
	if raw != r.URL.RawQuery {
		shield.ReplaceQuery(r, raw)
	}
	return nil
}

// kind is how a body is read.
type kind int

const (
	isJSON kind = iota
	isForm
	isText
)

func (s *Sanitiser) cleanBody(r *http.Request, c *counts) error {
	if s.Body() == 0 || r.ContentLength == 0 {
		return nil
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return err
	}
	text, err := kept.Bytes()
	if err != nil || len(text) == 0 {
		return err
	}
	k, err := kindOf(r.Header)
	if err != nil {
		return err
	}
	cleaned := text
	if s.stripBody {
		if cleaned, err = s.strip(r.Header, k, cleaned, c); err != nil {
			return err
		}
	}
	if s.body != nil {
		if cleaned, err = s.texts(k, cleaned, c); err != nil {
			return err
		}
	}
	if !isSame(cleaned, text) {
		return shield.ReplaceBody(r, cleaned)
	}
	return nil
}

// isSame reports whether two texts are one: what is changed is another slice.
func isSame(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// kindOf says how a body is read. One that cannot be read cannot be cleaned, and does not pass.
func kindOf(h http.Header) (kind, error) {
	if len(h["Content-Encoding"]) > 0 {
		return 0, shield.Refuse(shield.UnsupportedMedia, "a body with a coding cannot be cleaned; send it plain")
	}
	if n := len(h["Content-Type"]); n != 1 {
		return 0, shield.Refuse(shield.UnsupportedMedia, "%d headers Content-Type, want one", n)
	}
	name, parameters, err := mime.ParseMediaType(h["Content-Type"][0])
	if charset, said := parameters["charset"]; err != nil || said && !strings.EqualFold(charset, "utf-8") {
		return 0, shield.Refuse(shield.UnsupportedMedia, "Content-Type cannot be read, or names a charset other than UTF-8")
	}
	switch {
	case name == "application/json", strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json"):
		return isJSON, nil
	case name == "application/x-www-form-urlencoded":
		return isForm, nil
	case name == "text/plain":
		return isText, nil
	}
	return 0, shield.Refuse(shield.UnsupportedMedia, "a body of this type cannot be cleaned: JSON, forms and plain text are")
}

// strip takes away what the description does not declare.
func (s *Sanitiser) strip(h http.Header, k kind, text []byte, c *counts) ([]byte, error) {
	pointers, err := s.contract.UndeclaredBody(h, text)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return nil, refusal
	}
	if err != nil {
		return nil, refusedForm(err)
	}
	if len(pointers) == 0 {
		return text, nil
	}
	if s.refuseBody {
		return nil, refused("body", pointers[0], "undeclared")
	}
	switch k {
	case isJSON:
		return withoutMembers(text, pointers, c)
	case isForm:
		names := make([]string, 0, len(pointers))
		for _, p := range pointers {
			if one := split(p); len(one) == 1 {
				names = append(names, one[0])
			}
		}
		return []byte(withoutNames(string(text), names, c)), nil
	}
	return text, nil
}

// texts cleans the texts of a body.
func (s *Sanitiser) texts(k kind, text []byte, c *counts) (out []byte, err error) {
	switch k {
	case isJSON:
		out, err = s.document(text, c)
	case isForm:
		raw := string(text)
		var cleaned string
		if cleaned, err = s.pairs("body", raw, s.body, c); err == nil {
			if out = text; cleaned != raw {
				out = []byte(cleaned)
			}
		}
	default:
		out, err = s.plain(text, c)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(out)) > s.most && len(out) > len(text) {
		return nil, shield.Refuse(shield.TooLarge, "the cleaned body is longer than %d bytes", s.most)
	}
	return out, nil
}

// plain cleans a body that is one text.
func (s *Sanitiser) plain(text []byte, c *counts) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, refusedForm(errors.New("it is not UTF-8"))
	}
	p := pipelineOf([]*node{s.body})
	if p == nil {
		return text, nil
	}
	before := string(text)
	after, step := p.clean(before, c)
	if step != "" {
		return nil, refused("body", "", step)
	}
	if after == before {
		return text, nil
	}
	return []byte(after), nil
}

func refused(in, pointer, rule string) error {
	refusal := shield.Refuse(shield.InvalidInput, "%s %s %s", in, pointer, rule)
	refusal.Fields = []shield.Field{{In: in, Pointer: pointer, Rule: rule}}
	return refusal
}

// refusedForm is about a body that cannot be read.
func refusedForm(err error) error {
	refusal := shield.Refuse(shield.InvalidInput, "the body: %v", err)
	refusal.Fields = []shield.Field{{In: "body", Rule: "form"}}
	return refusal
}

// counts are how often each step has changed something.
type counts struct{ of []count }

type count struct {
	step string
	n    int
}

func (c *counts) add(step string, n int) {
	i := slices.IndexFunc(c.of, func(one count) bool { return one.step == step })
	if i < 0 {
		c.of = append(c.of, count{step, n})
		return
	}
	c.of[i].n += n
}

// String writes them for the event, in the order of the steps: "trim=2 html=1".
func (c *counts) String() string {
	var parts []string
	for _, name := range Steps() {
		for _, one := range c.of {
			if one.step == name && one.n > 0 {
				parts = append(parts, fmt.Sprintf("%s=%d", name, one.n))
			}
		}
	}
	return strings.Join(parts, " ")
}
