package advise

import (
	"slices"
	"strings"
)

// Guess is an answer that nobody gave.
type Guess struct {
	Question string `json:"question"` // callers, data or harm
	Rule     string `json:"rule"`
	Why      string `json:"why"`
}

// guessRule guesses one answer where its words or its condition hold. The first row of a question
// that holds counts; the last of each always does.
type guessRule struct {
	ID      string
	Callers []Caller
	Data    Data
	Harm    Harm
	Words   []string // one of these stands in the path
	When    func(*Endpoint) bool
	Why     string
}

func guessRules() []guessRule {
	scheme := func(names ...string) func(*Endpoint) bool {
		return func(e *Endpoint) bool {
			return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(e.Facts.Schemes, n) })
		}
	}
	holds := func(d Data) func(*Endpoint) bool {
		return func(e *Endpoint) bool {
			return slices.ContainsFunc(e.Facts.Named, func(n Named) bool { return n.Data == d })
		}
	}
	reads := func(e *Endpoint) bool { return e.Method() == "GET" }
	writes := func(e *Endpoint) bool { return e.Method() != "GET" }
	open := func(e *Endpoint) bool {
		return e.Facts.Open && reads(e) && !slices.ContainsFunc(e.Facts.Named, func(n Named) bool { return n.Answer })
	}
	ends := func(e *Endpoint) bool {
		words := pathWords(e.Path())
		return e.Method() == "DELETE" && len(words) > 0 && slices.Contains([]string{"account", "accounts", "user", "users", "me", "tenant", "tenants", "organization", "organizations"}, words[len(words)-1])
	}
	return []guessRule{
		{ID: "path-webhook", Callers: []Caller{Webhook}, Words: []string{"webhook", "webhooks", "hook", "hooks", "callback", "callbacks", "ipn"}, Why: "the path speaks of webhooks"},
		{ID: "path-device", Callers: []Caller{Device}, Words: []string{"device", "devices", "telemetry", "sensor", "sensors", "meter", "meters", "firmware"}, Why: "the path speaks of devices"},
		{ID: "path-partner", Callers: []Caller{Partner}, Words: []string{"partner", "partners", "b2b", "supplier", "suppliers", "edi"}, Why: "the path speaks of partners"},
		{ID: "path-internal", Callers: []Caller{Service}, Words: []string{"internal", "private", "rpc", "jobs", "cron"}, Why: "the path speaks of the inside"},
		{ID: "scheme-mutual-tls", Callers: []Caller{Partner}, When: scheme("mutualTLS"), Why: "the document asks for client certificates"},
		{ID: "scheme-code", Callers: []Caller{Browser, Mobile}, When: scheme("authorizationCode", "openIdConnect", "implicit", "password"), Why: "the document has people sign in"},
		{ID: "scheme-client", Callers: []Caller{Service}, When: scheme("clientCredentials"), Why: "the document has services ask for tokens"},
		{ID: "scheme-bearer", Callers: []Caller{Browser, Mobile}, When: scheme("bearer", "cookie"), Why: "the document asks for tokens or cookies, as apps of people send them"},
		{ID: "scheme-key", Callers: []Caller{ThirdParty}, When: scheme("apiKey", "basic"), Why: "the document asks for a key"},
		{ID: "caller-unknown", Callers: []Caller{Browser, ThirdParty}, Why: "nothing tells who calls: the least safe are taken"},

		{ID: "names-payment", Data: Payment, When: holds(Payment), Why: "names of fields speak of cards or accounts"},
		{ID: "names-health", Data: Health, When: holds(Health), Why: "names of fields speak of health"},
		{ID: "path-payment", Data: Payment, Words: []string{"payment", "payments", "card", "cards", "payout", "payouts", "billing", "iban"}, Why: "the path speaks of payments"},
		{ID: "path-health", Data: Health, Words: []string{"patient", "patients", "prescription", "prescriptions", "diagnoses", "vitals", "medications"}, Why: "the path speaks of health"},
		{ID: "names-person", Data: User, When: holds(User), Why: "names of fields speak of a person"},
		{ID: "path-administration", Data: User, Words: []string{"admin", "administration", "manage", "management", "sudo", "root", "console", "ops", "maintenance", "impersonate", "superuser", "backoffice"}, Why: "the path speaks of administration: which person did it has to be known"},
		{ID: "path-person", Data: User, Words: []string{"user", "users", "me", "customer", "customers", "account", "accounts", "profile", "profiles", "order", "orders", "message", "messages"}, Why: "the path speaks of people's things"},
		{ID: "document-open", Data: PublicData, When: open, Why: "the document asks nobody who is calling, and nothing tells of a person"},
		{ID: "path-probe", Data: PublicData, Words: []string{"health", "healthz", "livez", "readyz", "ping", "status", "version"}, When: reads, Why: "the path is a probe's"},
		{ID: "data-of-application", Data: Application, Why: "nothing tells of a person"},

		{ID: "reads-alone", Harm: Read, When: reads, Why: "GET changes nothing"},
		{ID: "search", Harm: Read, Words: []string{"search", "query", "lookup", "export"}, When: func(e *Endpoint) bool { return e.Method() == "POST" }, Why: "the path speaks of searching"},
		{ID: "path-irreversible", Harm: Irreversible, Words: []string{"purge", "erase", "wipe", "terminate", "unlock", "shutdown", "reboot", "actuate", "firmware", "publish"}, When: writes, Why: "the path speaks of what cannot be undone"},
		{ID: "ends-account", Harm: Irreversible, When: ends, Why: "an account is gone afterwards"},
		{ID: "path-money", Harm: Money, Words: []string{"payment", "payments", "pay", "charge", "charges", "transfer", "transfers", "refund", "refunds", "payout", "payouts", "withdraw", "withdrawals", "checkout"}, When: writes, Why: "the path speaks of money that moves"},
		{ID: "changes", Harm: Change, Why: "the method changes something"},
	}
}

func (r *guessRule) applies(e *Endpoint) bool {
	if len(r.Words) > 0 && !slices.ContainsFunc(pathWords(e.Path()), func(w string) bool { return slices.Contains(r.Words, w) }) {
		return false
	}
	return r.When == nil || r.When(e)
}

// Complete answers what nobody answered, by what the document and the path tell.
func (e *Endpoint) Complete() {
	missing := map[string]bool{"callers": len(e.Answers.Callers) == 0, "data": e.Answers.Data == "", "harm": e.Answers.Harm == ""}
	for _, r := range guessRules() {
		question := "harm"
		switch {
		case r.Callers != nil:
			question = "callers"
		case r.Data != "":
			question = "data"
		}
		if !missing[question] || !r.applies(e) {
			continue
		}
		missing[question] = false
		e.Answers = e.Answers.with(Answers{Callers: r.Callers, Data: r.Data, Harm: r.Harm})
		e.Guessed = append(e.Guessed, Guess{question, r.ID, r.Why + e.telling(r.Data)})
	}
	if slices.Contains(e.Answers.Callers, Webhook) {
		e.Answers.OnBehalf = nil
	}
}

// telling names the fields that told of delicate data, at most three.
func (e *Endpoint) telling(d Data) string {
	var names []string
	for _, n := range e.Facts.Named {
		if n.Data == d && !slices.Contains(names, n.Name) && len(names) < 3 {
			names = append(names, n.Name)
		}
	}
	if d == "" || d == PublicData || len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// NamesDelicate reports whether a pattern's own words speak of payments or health.
func NamesDelicate(pattern string) bool {
	e := Endpoint{Pattern: pattern}
	for _, r := range guessRules() {
		if len(r.Words) > 0 && r.Data.level() >= Payment.level() && r.applies(&e) {
			return true
		}
	}
	return false
}
