package own

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

// draft is what a request says.
type draft struct {
	target  string
	header  http.Header
	body    []byte
	members map[string]any // of a body that is a JSON object
	words   []string       // parameters of the query that the description names
}

// sample is a good request of an endpoint: as its description shows it, where there is one.
func (r *Run) sample(p *place) (draft, error) {
	if known, ok := r.samples[p]; ok {
		return known, nil
	}
	d := draft{target: p.target, header: http.Header{}}
	if hasBody(p) {
		d.header.Set("Content-Type", "application/json")
		d.body, d.members = []byte(`{"pavise":"attack"}`), map[string]any{"pavise": "attack"}
		if p.GraphQL != nil {
			d.body, d.members = []byte(`{"query":"{ __typename }"}`), nil
		}
	}
	if p.GraphQL != nil && !hasBody(p) {
		d.target += "?query=" + url.QueryEscape("{ __typename }")
	}
	described, err := r.described(p)
	if err != nil {
		return d, err
	}
	if described != nil {
		d = *described
	}
	if p.Idempotency != nil {
		d.header.Set("Idempotency-Key", `"pavise-attack"`)
	}
	r.samples[p] = d
	return d, nil
}

// described is the sample of a description; nil: there is none.
func (r *Run) described(p *place) (*draft, error) {
	if p.OpenAPI == nil {
		return nil, nil
	}
	all, known := r.documents[p.OpenAPI.File]
	if !known {
		text, err := os.ReadFile(r.g.File.Abs(p.OpenAPI.File))
		if err != nil {
			return nil, fmt.Errorf("read the API's description: %w", err)
		}
		if all, err = foreign.Samples(p.OpenAPI.File, text); err != nil {
			return nil, err
		}
		r.documents[p.OpenAPI.File] = all
	}
	for _, one := range all {
		if one.Method == p.Method && shape(one.Template) == shape(p.Path) && p.isReachedBy(p.Method, one.Target) {
			return &draft{one.Target, one.Header, one.Body, one.Members, one.Words}, nil
		}
	}
	return nil, nil
}

var named = regexp.MustCompile(`\{[^}]*\}`)

// shape is a path without the names of its parameters.
func shape(path string) string { return named.ReplaceAllString(path, "{}") }

// contracts send what the description of an endpoint does not allow. What that is the description
// itself says: the same code reads it here.
func (p *planner) contracts() {
	for _, at := range p.r.places {
		if at.OpenAPI == nil && at.Schema == nil || len(at.Sanitise) > 0 {
			continue
		}
		if _, tried := at.Trial(config.TrialContract); tried {
			continue // it is only recorded, as the configuration says
		}
		for _, v := range violations() {
			if v.body && !hasBody(at) {
				continue
			}
			p.add(at, "contract", v.name, v.row, p.through(at), func(t *try) error { return t.violate(at, v) })
		}
	}
}

// violation is something that a description may not allow.
type violation struct {
	name   string
	row    int
	body   bool // of the body
	change func(d draft) (draft, bool)
}

func (t *try) violate(at *place, v violation) error {
	good, err := t.r.sample(at)
	if err != nil {
		return err
	}
	bad, possible := v.change(good.clone())
	if !possible {
		return attack.ErrNotHere
	}
	by, err := t.r.layer(at)
	if err != nil {
		return err
	}
	demanded, err := t.judged(at, by, bad)
	if err != nil {
		return err
	}
	return t.draftWith(at, bad, demanded, v.name)
}

// draftWith sends a draft by the first way in, and judges.
func (t *try) draftWith(at *place, d draft, demanded want, what string) error {
	var proofs []*proof
	err := error(nil)
	for _, w := range at.ways {
		if w.isPublic() {
			proofs, err = nil, nil
			break
		}
		if proofs, err = t.proofs(at, w, t.r.a); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	x, err := t.ask(demanded, certificateOf(proofs), func() (*http.Request, error) {
		r, err := t.made(at, d)
		if err != nil {
			return nil, err
		}
		for _, one := range proofs {
			cover(r, one.part)
		}
		if err := t.s.As(user("the test", proofs), r); err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		return r, nil
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, what)
	return nil
}

// layer is what holds requests to a description.
type layer interface {
	Check(r *http.Request, id *shield.Identity) error
}

// layer is that of an endpoint.
func (r *Run) layer(at *place) (layer, error) {
	if at.Schema != nil {
		text, err := os.ReadFile(r.g.File.Abs(at.Schema.File))
		if err != nil {
			return nil, fmt.Errorf("read the endpoint's schema: %w", err)
		}
		return schema.OpenBody(at.Schema.File, text, schema.Options{Undeclared: at.Schema.Undeclared != "", LargeIntegers: at.Schema.LargeIntegers})
	}
	text, err := os.ReadFile(r.g.File.Abs(at.OpenAPI.File))
	if err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	o := at.OpenAPI
	document, err := schema.Open(o.File, text, schema.Options{
		Undeclared: o.Undeclared != "", LargeIntegers: o.LargeIntegers, EscapedCommas: o.EscapedCommas, ClosedHeaders: o.Headers, ClosedCookies: o.Cookies, Now: r.g.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	operation, err := document.Operation(at.Pattern)
	if err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	operation.Credentials(usual, "Authorization", "Dpop", "Content-Digest")
	return operation, nil
}

// judged asks the description what must become of a draft. [attack.ErrNotHere]: it allows it.
func (t *try) judged(at *place, by layer, d draft) (want, error) {
	r, err := t.made(at, d)
	if err != nil {
		return want{}, err
	}
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "192.0.2.7:1"
	r.Body = shield.NewBody(io.NopCloser(bytes.NewReader(d.body)), max(at.MaxBody, int64(len(d.body))))
	err = by.Check(r, &shield.Identity{})
	refusal, ok := errors.AsType[*shield.Refusal](err)
	switch {
	case err == nil:
		return want{}, attack.ErrNotHere
	case !ok:
		return want{}, fmt.Errorf("ask the description: %w", err)
	}
	return want{code: refusal.Code, also: []shield.Code{shield.InvalidInput, shield.UnsupportedMedia, shield.TooLarge, shield.BadHeader, shield.BadQuery}}, nil
}

func (d draft) clone() draft {
	d.header = d.header.Clone()
	d.body = bytes.Clone(d.body)
	return d
}

// withQuery adds to the query.
func withQuery(target, more string) string {
	if strings.Contains(target, "?") {
		return target + "&" + more
	}
	return target + "?" + more
}
