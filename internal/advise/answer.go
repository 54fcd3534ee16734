package advise

import (
	"fmt"
	"slices"
	"strings"
)

// Caller is a sort of those who call.
type Caller string

// The callers.
const (
	Browser    Caller = "browser"     // a page that a person has open
	Mobile     Caller = "mobile"      // an app on a person's phone or desk
	ThirdParty Caller = "third_party" // somebody else's application
	Partner    Caller = "partner"     // a server of a firm that one has a contract with
	Service    Caller = "service"     // a service of one's own
	Device     Caller = "device"      // a machine out in the world
	Webhook    Caller = "webhook"     // somebody else's server that tells of something
)

// Callers lists all, from the one whose credential is safest to the one whose is not.
func Callers() []Caller {
	return []Caller{Service, Partner, Webhook, Device, ThirdParty, Mobile, Browser}
}

// IsApp reports whether a caller acts for a person who uses it; the others are machines.
func (c Caller) IsApp() bool { return slices.Contains(apps(), c) }

func apps() []Caller     { return []Caller{ThirdParty, Mobile, Browser} }
func machines() []Caller { return []Caller{Service, Partner, Webhook, Device} }

// Data says whose data an endpoint is about. Greater needs more care; payment and health the
// same.
type Data string

// The sorts of data.
const (
	PublicData  Data = "public"      // everybody may have it
	Application Data = "application" // of the application, of nobody in particular
	User        Data = "user"        // of a person
	Payment     Data = "payment"     // cards, accounts, amounts
	Health      Data = "health"      // of a person's body
)

// DataKinds lists all.
func DataKinds() []Data { return []Data{PublicData, Application, User, Payment, Health} }

func (d Data) level() int {
	return map[Data]int{PublicData: 0, Application: 1, User: 2, Payment: 3, Health: 3}[d]
}

// Harm says what a wrong call does at worst.
type Harm string

// The harms, the least first.
const (
	Read         Harm = "read"
	Change       Harm = "change"
	Money        Harm = "money"
	Irreversible Harm = "irreversible"
)

// Harms lists all, the least first.
func Harms() []Harm { return []Harm{Read, Change, Money, Irreversible} }

func (h Harm) level() int { return slices.Index(Harms(), h) }

// Answers are those to the questions about an endpoint. The zero value answers nothing.
type Answers struct {
	Callers  []Caller `yaml:"callers,omitempty,flow" json:"callers,omitempty"`
	Data     Data     `yaml:"data,omitempty" json:"data,omitempty"`
	Harm     Harm     `yaml:"harm,omitempty" json:"harm,omitempty"`
	OnBehalf *bool    `yaml:"on_behalf,omitempty" json:"on_behalf,omitempty"` // machines: for a person who signed in elsewhere
	Rate     string   `yaml:"rate,omitempty" json:"rate,omitempty"`           // how often one caller calls at most: 60/minute
}

// forPerson reports whether a caller acts for a person.
func (a *Answers) forPerson(c Caller) bool {
	return c.IsApp() && a.Data.level() >= User.level() || !c.IsApp() && a.OnBehalf != nil && *a.OnBehalf
}

// check finds answers that there are not.
func (a *Answers) check() error {
	for i, c := range a.Callers {
		if !slices.Contains(Callers(), c) {
			return unknown("callers", string(c), Callers())
		}
		if slices.Contains(a.Callers[:i], c) {
			return fmt.Errorf("callers: %s stands twice", c)
		}
	}
	if a.Data != "" && !slices.Contains(DataKinds(), a.Data) {
		return unknown("data", string(a.Data), DataKinds())
	}
	if a.Harm != "" && !slices.Contains(Harms(), a.Harm) {
		return unknown("harm", string(a.Harm), Harms())
	}
	if a.OnBehalf != nil && *a.OnBehalf && slices.Contains(a.Callers, Webhook) {
		return fmt.Errorf("on_behalf: who sends a webhook speaks for itself; give what people do an endpoint of its own")
	}
	return checkRate(a.Rate)
}

func unknown[T ~string](what, word string, known []T) error {
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	return fmt.Errorf("%s: there is no %.40q; there are %s", what, word, strings.Join(words, ", "))
}

// with fills answers that are missing from others, and drops what those do not say.
func (a Answers) with(other Answers) Answers {
	if len(a.Callers) == 0 {
		a.Callers = other.Callers
	}
	if a.Data == "" {
		a.Data = other.Data
	}
	if a.Harm == "" {
		a.Harm = other.Harm
	}
	if a.OnBehalf == nil && !slices.Contains(a.Callers, Webhook) {
		a.OnBehalf = other.OnBehalf
	}
	if a.Rate == "" {
		a.Rate = other.Rate
	}
	return a
}

// API is what is asked once, for all endpoints.
type API struct {
	Name     string   `yaml:"name,omitempty" json:"name,omitempty"`         // of the API; default: api
	Host     string   `yaml:"host,omitempty" json:"host,omitempty"`         // under which callers reach it; default: 127.0.0.1
	Upstream string   `yaml:"upstream,omitempty" json:"upstream,omitempty"` // where the service listens; default: http://127.0.0.1:3000
	Listen   string   `yaml:"listen,omitempty" json:"listen,omitempty"`     // default: 127.0.0.1:8443
	Origins  []string `yaml:"origins,omitempty,flow" json:"origins,omitempty"`
	Partners string   `yaml:"partners,omitempty" json:"partners,omitempty"` // PEM file with the authority of partners' certificates; default: one's own
	Archive  string   `yaml:"archive,omitempty" json:"archive,omitempty"`   // file to which events go beside the log, where they must; default: archive/events.jsonl
	Cert     string   `yaml:"-" json:"-"`                                   // files of the host's certificate and key; empty: made here
	Key      string   `yaml:"-" json:"-"`
	Tokens   Tokens   `yaml:"tokens,omitempty" json:"tokens,omitzero"`
}

// Tokens says who gives out access tokens.
type Tokens struct {
	Issuer     string `yaml:"issuer,omitempty" json:"issuer,omitempty"` // https://login.example.com; default, and own: this installation
	Opaque     bool   `yaml:"opaque,omitempty" json:"opaque,omitempty"` // they say nothing by themselves: the issuer must be asked
	ClientID   string `yaml:"client_id,omitempty" json:"client_id,omitempty"`
	SecretFile string `yaml:"client_secret_file,omitempty" json:"client_secret_file,omitempty"`
}

// Own reports whether this installation gives out the tokens.
func (t Tokens) Own() bool { return t.Issuer == "" || t.Issuer == "own" }

// withDefaults says what holds where nothing was said.
func (a API) withDefaults() API {
	for into, value := range map[*string]string{
		&a.Name: "api", &a.Host: "127.0.0.1", &a.Upstream: "http://127.0.0.1:3000", &a.Listen: "127.0.0.1:8443", &a.Archive: "archive/events.jsonl",
	} {
		if *into == "" {
			*into = value
		}
	}
	return a
}
