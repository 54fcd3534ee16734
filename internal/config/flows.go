package config

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/limit"
)

// Idempotency is how an endpoint takes Idempotency-Key.
type Idempotency struct {
	Required  bool     `yaml:"required" doc:"Refuse requests without a key. false: they are carried out each time that they are sent." default:"true"`
	Keep      Duration `yaml:"keep" doc:"How long a key is known, and its answer sent again." default:"24h" min:"1m" max:"30d"`
	MaxAnswer Size     `yaml:"max_answer" doc:"Longest body of an answer that is kept, sealed on the disk. A retry of a request with a longer one is refused, with the code answer_not_kept." default:"64KiB" min:"0" max:"1MiB"`
}

// Flow is an order in which endpoints may be called.
type Flow struct {
	Steps  Words    `yaml:"steps" doc:"Endpoints of the API in their order, as they stand under endpoints." required:"yes"`
	Within Duration `yaml:"within" doc:"Until when, after a step was completed, the next one may begin." default:"30m" min:"1s" max:"30d"`
	Per    string   `yaml:"per" doc:"Whose it is. Where there is no user the client counts, and where nobody is known the address." enum:"client,user,address" required:"yes"`
	By     *FlowKey `yaml:"by" doc:"What tells several runs of one caller apart, such as the number of a cart. Default: a caller has one run, and the first step begins it anew."`
	Once   bool     `yaml:"once" doc:"Each step once, and after the last one all of them anew. false: a step that was completed may be repeated within the time." default:"true"`
	Pace   Duration `yaml:"pace" doc:"How long after a step was completed the next one may begin: people are not faster." default:"0s" min:"0s" max:"1h"`
	Limit  []Limit  `yaml:"limit" doc:"How often the first step may be taken, like 20/hour per user."`
	Open   int      `yaml:"open" doc:"Runs that one caller may have open." default:"16" min:"1" max:"10000"`
	Pos    Pos      `yaml:"-"`
}

// FlowKey says where requests hold the key of a flow.
type FlowKey struct {
	Path   string `yaml:"path" doc:"Name of a parameter in the path; for steps that have it." pattern:"^[A-Za-z_][A-Za-z0-9_]{0,63}$"`
	Body   string `yaml:"body" doc:"JSON pointer into the body, /cart/id; for steps without that parameter." pattern:"^(/[^/]{1,64}){1,8}$"`
	Header string `yaml:"header" doc:"Name of a header; for steps without that parameter, where body is not set." pattern:"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"`
	Answer string `yaml:"answer" doc:"JSON pointer into the answer of the first step, where the service makes the key; that step's request then needs none." pattern:"^(/[^/]{1,64}){1,8}$"`
}

// FlowStep is an endpoint's place in a flow of its API.
type FlowStep struct {
	Name   string
	Flow   *Flow
	Index  int // from 0
	Limits []limit.Limit
	In     string // path, header, body, answer or nothing: where the key is
	Key    string // its name or pointer there
}

// maxFlowSteps bounds a flow.
const maxFlowSteps = 32

// checkFlows finds what is wrong with an API's flows, and gives its endpoints their steps.
func (r *resolver) checkFlows(name string, api *API, endpoints []Resolved) {
	owner := map[string]string{}
	for _, flowName := range sortedKeys(api.Flows) {
		flow, path := api.Flows[flowName], "apis."+name+".flows."+flowName
		if n := len(flow.Steps); n < 2 || n > maxFlowSteps {
			r.at(path+".steps", "name the endpoints in their order", "a flow has 2 to %d steps, this one %d", maxFlowSteps, n)
		}
		if flow.Pace.Duration >= flow.Within.Duration {
			r.at(path+".pace", "make it shorter than within", "the next step would have to come after %s and within %s", flow.Pace, flow.Within)
		}
		if flow.By != nil && *flow.By == (FlowKey{}) {
			r.atKey(path+".by", "write path, body or header", "it is not said where the key is")
		}
		limits := r.name(name, "flow-"+flowName, flow.Limit)
		for i, pattern := range flow.Steps {
			own := fmt.Sprintf("%s.steps.%d", path, i)
			at := slices.IndexFunc(endpoints, func(e Resolved) bool { return e.Pattern == pattern })
			switch {
			case at < 0:
				r.at(own, didYouMean(pattern, sortedKeys(api.Endpoints), "list it under endpoints"), "%q is no endpoint of the API", pattern)
				continue
			case owner[pattern] != "":
				r.at(own, "an endpoint is one step of one flow", "%s is a step of the flow %s already", pattern, owner[pattern])
				continue
			}
			owner[pattern] = flowName
			step := &FlowStep{Name: flowName, Flow: &flow, Index: i, Limits: limits}
			r.checkFlowKey(own, step, &endpoints[at])
			if flow.Per != string(limit.PerAddress) && isPublic(endpoints[at].Shield) {
				r.at(path+".per", "write per: address", "who calls the public endpoint %s is no %s", pattern, flow.Per)
			}
			endpoints[at].Step = step
		}
	}
}

// checkFlowKey finds where the requests of a step hold the flow's key: in one place, so that
// nobody can say two.
func (r *resolver) checkFlowKey(path string, step *FlowStep, e *Resolved) {
	by := step.Flow.By
	switch {
	case by == nil || *by == (FlowKey{}):
	case step.Index == 0 && by.Answer != "":
		step.In, step.Key = "answer", by.Answer
	case by.Path != "" && (strings.Contains(e.Path, "{"+by.Path+"}") || strings.Contains(e.Path, "{"+by.Path+"...}")):
		step.In, step.Key = "path", by.Path
	case by.Body != "" && e.Method != "GET" && e.Method != "DELETE":
		step.In, step.Key = "body", by.Body
	case by.Header != "":
		step.In, step.Key = "header", by.Header
	default:
		r.at(path, "add body or header to by", "%s has no parameter {%s} in its path, and it is not said where else its key is", e.Pattern, by.Path)
	}
}

// checkIdempotency finds endpoints at which keys could do nothing, or harm.
func (r *resolver) checkIdempotency(path string, e *Resolved) {
	own := path + ".idempotency"
	switch {
	case e.Idempotency == nil:
	case e.Method == "GET":
		r.atKey(own, "remove it", "GET may be repeated as often as one likes, and has nothing to be done once")
	case e.Shield != nil && letsStrangersIn(e.Shield):
		r.atKey(own, "give the endpoint a shield that proves its callers", "a key belongs to whoever sent it, and the shield lets strangers in")
	case e.MaxBody > maxIdempotentBody:
		r.atKey(own, fmt.Sprintf("write max_body: %s or less", Size(maxIdempotentBody)), "bodies are read whole to tell a retry from another request, and this endpoint's may have %s", Size(e.MaxBody))
	}
}

// maxIdempotentBody is the longest body that is read whole to be compared, in bytes.
const maxIdempotentBody = 64 << 20

func letsStrangersIn(s *Shield) bool {
	return isPublic(s) || slices.ContainsFunc(s.Any, func(one Shield) bool { return letsStrangersIn(&one) })
}
