// Package crs lets the OWASP Core Rule Set judge requests: a pavise.Layer for Endpoint.Harm.
//
// The rules run in Coraza, in this process. What they get to see is what the upstream would get, read once and strictly by
// this package: path, query, headers, and bodies that are JSON, forms, multipart, XML or other text. Credentials are not
// among it, and neither are bodies that are no text, which pass as a stream.
//
//	rules, err := crs.New(crs.Settings{Paranoia: 1})
//	endpoint.Harm = rules.Layer(crs.Endpoint{Pattern: "GET /v1/orders/{id}", Credentials: []string{"X-Api-Key"}})
//
// [New] compiles the rules, which takes a second and some tens of megabytes, so that endpoints with equal settings share
// one [Rules]. Nothing is written anywhere: no audit log, no upload, no body on disk; and no rule fetches or runs anything.
// What a rule matched is not kept either. A [shield.Refusal] names rules and fields, and the score.
//
// The layer decides by the set's anomaly score: each rule that matches adds to it, and a request is refused when the score
// reaches the threshold. Which rules are switched off because a gateway, or the API's description, does their work already
// is told in README.md.
package crs

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/debuglog"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"pavise.dev/pavise/shield"
)

// Settings are what the rules are compiled with. The zero value is the set's own default: paranoia level 1, and a
// threshold at which one critical rule is enough.
type Settings struct {
	Paranoia  int // 1 to 4: the higher, the more rules and false refusals; 0: 1
	Threshold int // the anomaly score that is refused; 0: 5, which is one critical rule

	// MaxBody is how much text is looked at, in bytes, and MaxFields how many parameters, fields of forms and values of
	// JSON. A request that has more is refused (413): what nobody looked at is not harmless. 0: 64 KiB and 1000.
	MaxBody   int64
	MaxFields int

	Except []Exception
}

// Exception takes rules away, from a field or altogether.
type Exception struct {
	Rules []int  // their numbers: 942100
	Field string // as a refusal names it: "body /items/*/comment", "body /texts/**", "query /q", "header /Referer", "cookie /id", "path /name", "body", "path", "query"; "": everywhere
}

// Bounds of what is looked at where the settings are silent.
const (
	defaultMaxBody   = 64 << 10
	defaultMaxFields = 1000
	defaultThreshold = 5
)

// Rules are the compiled rules. They may be used by many endpoints at once.
type Rules struct {
	settings Settings
	engine   coraza.WAF
}

// New compiles the rules.
func New(s Settings) (*Rules, error) {
	s = s.filled()
	if s.Paranoia < 1 || s.Paranoia > 4 || s.Threshold < 1 || s.MaxBody < 1 || s.MaxFields < 1 {
		return nil, errors.New("a paranoia level is 1 to 4; threshold and bounds are at least 1")
	}
	text, err := directives(s)
	if err != nil {
		return nil, err
	}
	engine, err := coraza.NewWAF(coraza.NewWAFConfig().
		WithRootFS(ruleFiles{}).
		WithDebugLogger(debuglog.Noop()). // it would print values
		WithDirectives(text))
	if err != nil {
		return nil, fmt.Errorf("compile the rules: %w", err)
	}
	r := &Rules{settings: s, engine: engine}
	if _, err := r.begin(); err != nil {
		return nil, err
	}
	return r, nil
}

func (s Settings) filled() Settings {
	if s.Paranoia == 0 {
		s.Paranoia = 1
	}
	if s.Threshold == 0 {
		s.Threshold = defaultThreshold
	}
	if s.MaxBody == 0 {
		s.MaxBody = defaultMaxBody
	}
	if s.MaxFields == 0 {
		s.MaxFields = defaultMaxFields
	}
	return s
}

// Endpoint is what the rules need to know of an endpoint.
type Endpoint struct {
	Pattern     string   // "GET /v1/orders/{id}": the texts of its wildcards are looked at
	Credentials []string // headers of its shield's credentials, which no rule gets to see
	// Described knows which texts of a body in JSON a contract confines, such as numbers and words of a list: rules find
	// nothing in them. It must be one that the guard has held the request to. nil: all are looked at.
	Described Described
}

// Described knows which texts of a request a description does not confine: a *schema.Operation.
type Described interface {
	// Texts calls each with every such text, where it stands and the names that lead to it, which are valid during the
	// call. It stops with the error of each.
	Texts(r *http.Request, each func(in string, names []string, text string) error) error
}

// Layer is what judges the requests of an endpoint.
func (r *Rules) Layer(e Endpoint) *Layer {
	l := &Layer{rules: r, wildcards: wildcardsOf(e.Pattern), described: e.Described, hidden: map[string]bool{}}
	for _, name := range append(alwaysHidden(), e.Credentials...) {
		l.hidden[http.CanonicalHeaderKey(name)] = true
	}
	return l
}

// alwaysHidden are headers of credentials, and of what we say of the caller ourselves, whatever the shield is.
func alwaysHidden() []string {
	return []string{"Authorization", "Proxy-Authorization", "DPoP", "Signature", "Signature-Input", "Content-Digest", "Repr-Digest", "Client-Cert", "Client-Cert-Chain"}
}

// Layer judges the requests of an endpoint. It implements pavise.Layer and is safe for concurrent use.
type Layer struct {
	rules     *Rules
	wildcards []string
	described Described
	hidden    map[string]bool
}

// Body implements pavise.BodyReader. Only bodies that are text are read, and files of a multipart body are text to nobody:
// the guard bounds it by the endpoint's own limit.
func (l *Layer) Body() int64 { return 1 << 40 }

// Reads says that all of the input is looked at.
func (*Layer) Reads() shield.Reads { return shield.ReadsInput }

// Check implements pavise.Layer.
func (l *Layer) Check(r *http.Request, _ *shield.Identity) error {
	b, err := l.readBody(r)
	if err != nil {
		return err
	}
	if err := l.bound(r, b); err != nil {
		return err
	}
	t, err := l.rules.begin()
	if err != nil {
		return err
	}
	defer t.close()
	l.feedHead(t, r)
	interruption := t.ProcessRequestHeaders()
	if interruption == nil {
		b.feed(t)
		if interruption, err = t.ProcessRequestBody(); err != nil {
			return errors.New("the rules could not be asked") // what it says may hold values
		}
	}
	if interruption == nil {
		return nil
	}
	return l.refusal(t, r, b)
}

// transaction is the rules' view of one request.
type transaction struct {
	types.Transaction
	vars plugintypes.TransactionVariables
}

func (r *Rules) begin() (*transaction, error) {
	begun := r.engine.NewTransaction()
	state, ok := begun.(plugintypes.TransactionState)
	if !ok {
		return nil, errors.New("this version of Coraza has no variables that can be set")
	}
	t := &transaction{begun, state.Variables()}
	if _, ok := t.vars.RequestBody().(settable); !ok {
		return nil, errors.New("this version of Coraza has no variables that can be set")
	}
	return t, nil
}

// close gives the transaction back; what it removes are uploads, of which there are none.
func (t *transaction) close() { _ = t.Close() }

// settable is a variable of one value.
type settable interface{ Set(value string) }

func set(v any, value string) { v.(settable).Set(value) }
