package app

import (
	"net/http"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/answer"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// testedHeader of an answer says that a request of `pavise attack` was accepted.
const testedHeader = "Pavise-Test"

// answered keeps accepted requests of `pavise attack` from the upstream: the gateway answers
// them itself.
func answered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isTest(pavise.IdentityOf(r.Context())) {
			next.ServeHTTP(w, r)
			return
		}
		pavise.Report(r.Context(), pavise.Outcome{Note: "tested", Unsent: true})
		w.Header().Set(testedHeader, "accepted")
		w.WriteHeader(http.StatusNoContent)
	})
}

// isTest reports whether any proof of an identity belongs to a client that is only tested.
func isTest(id *shield.Identity) (tests bool) {
	if id == nil {
		return false
	}
	id.All(func(one *shield.Identity) { tests = tests || client.IsAnswered(one.Client) })
	return tests
}

// judging judges the answers of services, and leaves alone those that the gateway itself gives
// to `pavise attack`: no description has them.
type judging struct{ by *answer.Judge }

// Hold implements pavise.Outgoing.
func (j judging) Hold(r *http.Request, status int, h http.Header) int64 {
	if isTest(pavise.IdentityOf(r.Context())) {
		return 0
	}
	return j.by.Hold(r, status, h)
}

// TooLong implements pavise.Trying.
func (j judging) TooLong(r *http.Request, status int, h http.Header) (would string, pass bool) {
	return j.by.TooLong(r, status, h)
}

// Judge implements pavise.Outgoing.
func (j judging) Judge(r *http.Request, id *shield.Identity, status int, h http.Header, body []byte) (pavise.Judged, error) {
	return j.by.Judge(r, id, status, h, body)
}
