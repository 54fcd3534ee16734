package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of guessing.
const (
	guessesMost   = 30 // wrong credentials of one network
	guessesOver   = 5 * time.Minute
	attackedMost  = 30 // wrong secrets with the id of one credential
	attackedOver  = 10 * time.Minute
	signInMost    = 20 // sign-ins of one network that fail
	signInOver    = 10 * time.Minute
	refusalsMost  = 300 // answers 401 to one network
	refusalsOver  = 5 * time.Minute
	refusalsQuiet = time.Hour
)

// wrongCredential are the codes that say that a credential was there and wrong.
func wrongCredential() []string {
	return []string{"invalid_credential", "invalid_signature", "malformed_credential"}
}

// guessing notices networks that send many wrong credentials.
func guessing(t thresholds) Rule {
	return Rule{
		Name: "guessing", Severity: High,
		Means: "a network sends many credentials that are wrong: somebody guesses keys, or a client of yours has an old one",
		Do:    "look whose requests they are (pavise log search --code invalid_credential --address NETWORK); if they are nobody's, pavise block NETWORK --for 24h",
		When:  When{Class: audit.Request, Codes: append(wrongCredential(), "locked_out")}, Per: PerNetwork, // who has guessed too often is not listened to
		Most: t.of("guessing", guessesMost), Over: guessesOver, What: "wrong credentials",
	}
}

// attacked notices a credential whose secret somebody tries to find, from wherever.
func attacked(t thresholds) Rule {
	return Rule{
		Name: "credential_attacked", Severity: Medium,
		Means: "the public id of one credential comes again and again with a wrong secret or signature, perhaps from many networks: somebody guesses, or its owner's copy is damaged",
		Do:    "speak to its owner (pavise log search --credential ID); he is not shut out, because tries are held up by network. If it goes on, give him another: pavise key rotate",
		When:  When{Class: audit.Request, Codes: wrongCredential(), unproved: true}, Per: PerCredential,
		Most: t.of("credential_attacked", attackedMost), Over: attackedOver, What: "wrong secrets or signatures",
	}
}

// signIns notices networks that try passwords.
func signIns(t thresholds) Rule {
	return Rule{
		Name: "sign_in_guessing", Severity: High,
		Means: "many sign-ins from one network fail: somebody tries passwords, or lists of them",
		Do:    "pavise block NETWORK --for 24h; users who got in from there meanwhile: pavise log search --address NETWORK --code person.sign_in, and pavise user end-sessions",
		When:  When{Class: audit.Grant, Codes: []string{"person.sign_in_failed", "person.held"}}, Per: PerNetwork, // not person.forged_form: a page makes its readers' browsers send that
		Most: t.of("sign_in_guessing", signInMost), Over: signInOver, What: "failed sign-ins",
	}
}

// unauthorized notices a network whose requests are refused because nobody is known, whatever
// the reason.
func unauthorized(t thresholds) Rule {
	return Rule{
		Name: "unauthorized_burst", Severity: Low, Quiet: refusalsQuiet,
		Means: "a network sends very many requests that are answered 401: a client without, or with an ended credential, or somebody who looks what is open",
		Do:    "look which endpoints and codes they are (pavise log search --address NETWORK); tell the client's owner, or pavise block NETWORK",
		When:  When{Class: audit.Request, Decision: audit.Refused, Status: Statuses{401, 401}}, Per: PerNetwork,
		Most: t.of("unauthorized_burst", refusalsMost), Over: refusalsOver, What: "requests that were answered 401",
	}
}
