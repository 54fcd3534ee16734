package advise

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Configuration writes the plan as a configuration that runs: each endpoint with what is advised,
// and why in a comment.
func (p *Plan) Configuration() []byte { return Configuration("pavise advise", []*Plan{p}) }

// Configuration writes several plans, each as an API, as one configuration. Where it listens, who
// gives out tokens and where events go is said by the first. By names the command that wrote it.
func Configuration(by string, plans []*Plan) []byte {
	w := &writer{by: by, plans: plans, api: plans[0].API.withDefaults(), scopes: map[string]string{}, told: map[Reason]bool{}}
	for _, p := range plans {
		w.advice = append(w.advice, p.Advice...)
	}
	w.head()
	w.hosts()
	w.issuers()
	w.log()
	w.line("apis:")
	for _, p := range plans {
		w.one(p, p.API.withDefaults())
	}
	w.tail()
	return w.text.Bytes()
}

type writer struct {
	by     string
	plans  []*Plan
	advice []Advice // of all plans
	api    API      // what holds for all
	text   bytes.Buffer
	scopes map[string]string
	told   map[Reason]bool // reasons that stand above already
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// uses reports whether any shield of the plan is of a kind.
func (w *writer) uses(kinds ...string) bool {
	return slices.ContainsFunc(w.advice, func(a Advice) bool { return slices.ContainsFunc(kinds, a.Shield.Uses) })
}

func (w *writer) has(layer string) bool {
	return slices.ContainsFunc(w.advice, func(a Advice) bool { return a.Has(layer) })
}

func (w *writer) head() {
	w.line("# Written by %s: who calls, whose data, what harm a wrong call does, and what follows.", w.by)
	w.line("# After a change: pavise check. Against the advice: pavise advise … --against this file.")
	w.line("listen: {https: %s}", quote(w.api.Listen))
}

func (w *writer) hosts() {
	w.line("hosts:")
	done := map[string]bool{}
	for _, p := range w.plans {
		api := p.API.withDefaults()
		if done[api.Host] {
			continue
		}
		done[api.Host] = true
		certificate := "local"
		if api.Cert != "" {
			certificate = fmt.Sprintf("{cert: %s, key: %s}", quote(api.Cert), quote(api.Key))
		}
		asks := ""
		if slices.ContainsFunc(w.plans, func(p *Plan) bool { return p.API.withDefaults().Host == api.Host && p.uses(MTLS) }) {
			asks = ", client_certificates: ask"
		}
		w.line("  %s: {certificate: %s%s}   # local is good for trying out; for the world: acme, or {cert: chain.pem, key: key.pem}", quote(api.Host), certificate, asks)
	}
}

// issuers says whose tokens are trusted, and with which ceiling.
func (w *writer) issuers() {
	if !w.uses(JWT, Introspect) {
		return
	}
	t := w.api.Tokens
	if t.Own() {
		_, port, err := net.SplitHostPort(w.api.Listen)
		issuer := "https://" + w.api.Host
		if err == nil && port != "443" {
			issuer = "https://" + net.JoinHostPort(w.api.Host, port)
		}
		origins := ""
		if len(w.api.Origins) > 0 {
			origins = ", browsers: [" + strings.Join(quoted(w.api.Origins), ", ") + "]"
		}
		w.line("oauth: {issuer: %s%s}   # Pavise gives out the tokens: authorization code with PKCE for people, client credentials for services", quote(issuer), origins)
		return
	}
	asking := ""
	if t.Opaque {
		asking = fmt.Sprintf(", introspection: {client_id: %s, client_secret_file: %s}", quote(t.ClientID), quote(t.SecretFile))
	}
	w.line("issuers:")
	w.line("  login: {url: %s, audience: %s, may_grant: [%s]%s}", quote(t.Issuer), quote(w.api.Name), strings.Join(quoted(w.ceiling()), ", "), asking)
}

// ceiling is every scope that an endpoint with tokens demands.
func (w *writer) ceiling() []string {
	var all []string
	for i := range w.advice {
		if a := &w.advice[i]; a.Shield.Uses(JWT) || a.Shield.Uses(Introspect) {
			all = append(all, a.Scopes...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// log says where events go, and that they are watched.
func (w *writer) log() {
	if w.has(LayerDetections) {
		w.line("alerts: {detections: on}")
	}
	if w.has(LayerAudit) {
		w.line("log:")
		w.line("  sinks:")
		w.line("    archive: {file: {path: %s}}   # better another machine, or your SIEM", quote(w.api.Archive))
	}
}

func (w *writer) one(p *Plan, api API) {
	w.line("  %s:", quote(api.Name))
	w.line("    host: %s", quote(api.Host))
	if upstreams := strings.Split(api.Upstream, " "); len(upstreams) > 1 {
		w.line("    upstream: [%s]", strings.Join(quoted(upstreams), ", "))
	} else {
		w.line("    upstream: %s", quote(api.Upstream))
	}
	if p.Served != "" {
		w.line("    openapi: %s", quote(p.Served))
	}
	if p.Candidate != "" {
		w.line("    candidate: {openapi: %s, until: %s}   # tried, and refuses nothing: pavise review --would-block says when it can be enforced (openapi: …)", quote(p.Candidate), quote(p.Until))
	}
	if len(api.Origins) > 0 && slices.ContainsFunc(p.Advice, func(a Advice) bool { return slices.Contains(a.Answers.Callers, Browser) }) {
		w.line("    cors: [%s]", strings.Join(quoted(api.Origins), ", "))
	}
	if slices.ContainsFunc(p.Advice, func(a Advice) bool { return a.Has(LayerAudit) }) {
		w.line("    audit: required   # audit-required")
	}
	w.line("    endpoints:")
	for i := range p.Advice {
		w.endpoint(&p.Advice[i])
	}
}

func (w *writer) endpoint(a *Advice) {
	w.line("      # %s; %s data; at worst: %s", who(a.Answers.Callers), a.Answers.Data, a.Answers.Harm)
	var again []string
	for _, r := range a.Because {
		if w.told[r] {
			again = append(again, r.Rule)
			continue
		}
		w.told[r] = true
		w.line("      # %s: %s", r.Rule, r.Why)
	}
	if len(again) > 0 {
		w.line("      # %s: as above", strings.Join(again, ", "))
	}
	w.line("      %s:", quote(a.Pattern))
	w.line("        shield: %s", w.shield(a.Shield))
	if a.Public() {
		w.line("        scopes: any")
	} else {
		w.line("        scopes: [%s]", strings.Join(quoted(a.Scopes), ", "))
		for _, s := range a.Scopes {
			w.scopes[s] = describe(s, a)
		}
	}
	w.line("        limit: %s", a.Limit)
	for _, name := range []string{LayerInjection, LayerIdempotency, LayerResponses} {
		if l := a.Layer(name); l.Name != "" {
			w.line("        %s: %s", name, l.Setting)
		}
	}
	for _, setting := range a.Settings {
		if size, ok := strings.CutPrefix(setting, "max_body: "); ok && a.Has(LayerIdempotency) {
			if n, err := strconv.ParseInt(size, 10, 64); err != nil || n > maxIdempotent {
				setting = fmt.Sprintf("max_body: %d   # of %s: bodies are read whole to tell a retry from another request", int64(maxIdempotent), size)
			}
		}
		w.line("        %s", setting)
	}
}

// maxIdempotent is the longest body of an endpoint with idempotency, in bytes.
const maxIdempotent = 64 << 20

// shield writes a shield with what the rest of the file says of it.
func (w *writer) shield(s Shield) string {
	switch s.Kind {
	case Public:
		return "{public: everybody may have the data and nothing is changed}"
	case Any, All:
		parts := make([]string, len(s.Parts))
		for i, part := range s.Parts {
			parts[i] = w.shield(part)
		}
		return fmt.Sprintf("{%s: [%s]}", s.Kind, strings.Join(parts, ", "))
	}
	var settings []string
	if (s.Kind == JWT || s.Kind == Introspect) && !w.api.Tokens.Own() {
		settings = append(settings, "issuer: login")
	}
	if s.Kind == MTLS && w.api.Partners != "" {
		settings = append(settings, "trust: ["+w.trusted()+"]")
	}
	if s.DPoP {
		settings = append(settings, "dpop: require")
	}
	if s.MaxAge > 0 {
		settings = append(settings, "max_age: "+short(s.MaxAge))
	}
	actor := ""
	if s.Actor {
		actor = ", actor: true"
	}
	if len(settings) == 0 && actor == "" {
		return s.Kind
	}
	return fmt.Sprintf("{%s: {%s}%s}", s.Kind, strings.Join(settings, ", "), actor)
}

// trusted are the authorities of callers' certificates: one's own where one's own machines call.
func (w *writer) trusted() string {
	trust := []string{quote(w.api.Partners)}
	if slices.ContainsFunc(w.advice, func(a Advice) bool {
		return a.Shield.Uses(MTLS) && slices.ContainsFunc(a.Answers.Callers, func(c Caller) bool { return c == Service || c == Device })
	}) {
		trust = append([]string{"own"}, trust...)
	}
	return strings.Join(trust, ", ")
}

func describe(scope string, a *Advice) string {
	what := map[Harm]string{Read: "See", Change: "Change", Money: "Move money by", Irreversible: "Do for good what cannot be undone with"}[a.Answers.Harm]
	name, _, _ := strings.Cut(scope, ":")
	return what + " " + strings.NewReplacer("-", " ", "_", " ").Replace(name)
}

func (w *writer) tail() {
	if len(w.scopes) == 0 {
		w.line("scopes: {}")
		return
	}
	w.line("scopes:")
	for _, s := range slices.Sorted(maps.Keys(w.scopes)) {
		w.line("  %s: %s", quote(s), quote(w.scopes[s]))
	}
}

// quote writes a text so that YAML reads it back as it is.
func quote(text string) string {
	if text != "" && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "any"}, strings.ToLower(text)) {
		return text
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b) // a text of JSON is one of YAML
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text can always be written
	return strings.TrimSpace(b.String())
}

func quoted(texts []string) []string {
	all := make([]string, len(texts))
	for i, t := range texts {
		all[i] = quote(t)
	}
	return all
}

// Next are the commands that come after a configuration was written, in their order.
func Next(plans []*Plan, file string) (all []string) {
	all = append(all, "pavise check -c "+file)
	if slices.ContainsFunc(plans, func(p *Plan) bool { return p.uses(MTLS) }) {
		all = append(all, "pavise ca init -c "+file+"   # its certificates are for services and devices")
	}
	return append(all, "pavise serve -c "+file, "pavise client create NAME --scope … -c "+file)
}

// uses reports whether any shield of the plan is of a kind.
func (p *Plan) uses(kind string) bool {
	return slices.ContainsFunc(p.Advice, func(a Advice) bool { return a.Shield.Uses(kind) })
}
