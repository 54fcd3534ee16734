package bearer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// stepUp is how a person must have signed in (RFC 9470): in one of these ways, and not
// longer ago than this. The zero value wants nothing.
type stepUp struct {
	acr    []string
	maxAge time.Duration
	asks   string // what a challenge says of it
}

func newStepUp(acr []string, maxAge time.Duration) stepUp {
	s := stepUp{acr: acr, maxAge: maxAge}
	if len(acr) > 0 {
		s.asks += fmt.Sprintf(`, acr_values="%s"`, strings.Join(acr, " "))
	}
	if maxAge > 0 {
		s.asks += fmt.Sprintf(`, max_age="%d"`, int64(maxAge/time.Second))
	}
	return s
}

// lacking says why a token does not show such a sign-in; nil if it does. A claim that is
// not there shows nothing.
func (s *stepUp) lacking(c *Claims, now time.Time) *shield.Refusal {
	if acr, _ := c.all["acr"].(string); len(s.acr) > 0 && !slices.Contains(s.acr, acr) {
		return shield.Refuse(shield.StepUp, "acr %q is none of %s", acr, strings.Join(s.acr, ", "))
	}
	if s.maxAge == 0 {
		return nil
	}
	at := c.signedIn()
	if at.IsZero() {
		return shield.Refuse(shield.StepUp, "the token does not say when the person signed in")
	}
	if now.Sub(at) > s.maxAge || at.Sub(now) > MaxLeeway {
		return shield.Refuse(shield.StepUp, "the person signed in at %s, which is not within the last %s", at.UTC().Format(time.RFC3339), s.maxAge)
	}
	return nil
}

// signedIn is when the person signed in (auth_time of OpenID Connect Core §2); zero: it is not
// said, or no time.
func (c *Claims) signedIn() time.Time {
	number, ok := c.all["auth_time"].(strictjson.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := number.Float()
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

func (s *stepUp) challenge(scheme string) string {
	return scheme + ` error="insufficient_user_authentication", error_description="sign in again, or in a stronger way"` + s.asks
}
