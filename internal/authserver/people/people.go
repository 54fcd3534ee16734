// Package people is everything that a person sees of the authorization server, and who
// they are to it: accounts, signing in, consent, their own page.
//
// The protocol calls [Service.Ask] with what an application wants, for the request that
// began an authorization and for each that follows to its address, until the answer is not
// [Pending]. In between people sign in with a password and an authenticator app (package
// account), through others (package upstream), or at a page of the operator's own (package
// handover), and say what they allow (package pages draws it).
//
// What makes it safe, in one place: a form counts only with a token that is bound to two
// cookies of this browser and to its own address, and only from our origin (browser.go);
// an authorization can only go on in the browser in which it began; a new session begins
// with each sign-in (package sessions); what was proved half way travels in the form, under
// a keyed hash, and is void when the account changes (proof.go); wrong tries are slowed
// down for pairs of account and network, and for networks, never for an account as such.
//
// Nothing here writes tokens or codes, or sends anybody to an application: the protocol
// does. All of it is safe for concurrent use.
package people

import (
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
)

// Asked is what an application wants of a person, for one authorization.
type Asked struct {
	ID        string         // of the authorization; lives 10 minutes
	Action    string         // path to which the pages' forms are posted: /authorize/<id>, /device/<id>
	Client    Application    // who asks
	Scopes    []Scope        // what is asked for
	APIs      []string       // for which APIs
	Prompt    []string       // OpenID Connect's prompt: none, login, consent, select_account
	MaxAge    *time.Duration // sign in again if the last time was longer ago
	ACR       []string       // wanted, best first
	LoginHint string
	Offline   bool          // the client would get a refresh token
	Lifetime  time.Duration // how long access lasts at most
	Device    string        // user code, for a device; empty: a browser
}

// Application is a client as the operator, or itself, registered it. None of its texts
// is trusted: they are cut and escaped.
type Application struct {
	ID           string
	Name         string
	Contact      string
	PolicyURI    string
	RedirectHost string // shown to the person
	// RedirectURI is where the answer goes. The pages' Content-Security-Policy lets the
	// browser follow there after a form was sent; empty: https at RedirectHost.
	RedirectURI string
	// Unreviewed says that nobody but itself vouches for the registration: consent to it
	// is never remembered.
	Unreviewed bool
}

// Scope is one thing that is asked for; Text is the configuration's.
type Scope struct{ Name, Text string }

// State says how far an authorization is.
type State int

// The states of an authorization.
const (
	Pending      State = iota // a page was written; the person's answer comes with another request
	Refused                   // the person said no
	Granted                   // the person said yes, now or before
	NeedsLogin                // only for prompt=none: nobody is signed in, or not freshly enough
	NeedsConsent              // only for prompt=none: the person was not asked yet
)

// Answer is what came of asking.
type Answer struct {
	State  State
	Person Person   // if Granted, and NeedsConsent
	Scopes []string // what the person allowed, within what was asked; if Granted
}

// Person is who signed in.
type Person struct {
	Subject       string // opaque, stable, never given to anybody else
	Username      string
	Name          string
	Email         string
	EmailVerified bool
	AuthTime      time.Time // zero: nobody knows
	ACR           string    // [ACROne] or [ACRTwo], or what a provider or the operator's own page said
	AMR           []string  // RFC 8176: pwd, otp; fed for a provider; or what the operator's own page said
}

// Authentication context class references.
const (
	ACROne = account.ACROne // one factor
	ACRTwo = account.ACRTwo // two factors
)
