package introspect

import (
	"context"
	"errors"
	"maps"
	"time"

	"golang.org/x/sync/singleflight"

	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/shield"
)

// asking asks an issuer about tokens, each once for all who carry it at the same time, and
// remembers the answers.
type asking struct {
	issuer   *bearer.Issuer
	judge    *bearer.Judge
	now      func() time.Time
	remember time.Duration
	noAud    bool // the issuer answers us only about tokens for us

	good   *bearer.Cache[answer]
	bad    *bearer.Cache[answer] // apart, so that a flood of wrong tokens drives out no good one
	flight singleflight.Group
}

// answer is what an issuer said of a token, read. It is immutable.
type answer struct {
	token *bearer.Token // nil: it is no token for us
	why   string        // it is none
	until time.Time     // asked again after
}

func newAsking(judge *bearer.Judge, c *Config, now func() time.Time) *asking {
	return &asking{
		issuer: judge.Issuers()[0], judge: judge, now: now, remember: c.Remember, noAud: c.NoAud != "",
		good: bearer.NewCache[answer](c.Cache), bad: bearer.NewCache[answer](c.Cache / 4),
	}
}

// about returns what the issuer says of a token, or an error if it gave no answer.
func (a *asking) about(ctx context.Context, p bearer.Presented) (answer, error) {
	digest := p.Digest()
	if known, ok := a.remembered(&digest); ok {
		return known, nil
	}
	for {
		found, err, shared := a.flight.Do(string(digest[:]), func() (any, error) { return a.ask(ctx, &digest, p.Token) })
		if shared && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue // who asked for all of us has left
		}
		if err != nil {
			return answer{}, err
		}
		return found.(answer), nil
	}
}

func (a *asking) remembered(digest *[32]byte) (answer, bool) {
	now := a.now()
	known, ok := a.good.Find(digest)
	if ok && now.Before(known.until) {
		return known, true
	}
	known, ok = a.bad.Find(digest)
	return known, ok && now.Before(known.until)
}

func (a *asking) ask(ctx context.Context, digest *[32]byte, token string) (answer, error) {
	if known, ok := a.remembered(digest); ok {
		return known, nil // somebody has asked since our caller looked
	}
	asked := a.now() // what the issuer says is true of no later moment
	members, err := a.issuer.Introspect.Introspect(ctx, token)
	if err != nil && !errors.Is(err, shield.ErrInactive) {
		return answer{}, err
	}
	known := answer{until: asked.Add(a.remember)}
	if err != nil {
		known.why = "the token is not active"
	} else {
		known = a.read(members, asked)
	}
	if known.token == nil {
		a.bad.Put(digest, known, known.until, asked)
	} else {
		a.good.Put(digest, known, known.until, asked)
	}
	return known, nil
}

// read reads what the issuer says of an active token. An answer that names another issuer,
// or another kind of token than an access token, is not about a token for us.
func (a *asking) read(members map[string]any, asked time.Time) answer {
	known := answer{until: asked.Add(a.remember)}
	if a.issuer.Family != "" { // what it revokes stands in our own snapshot
		known.until = asked.Add(maxRemember)
	}
	if iss, ok := members["iss"]; ok && iss != a.issuer.URL {
		known.why = "the answer names another issuer"
		return known
	}
	if typ, ok := members["token_type"]; ok && !isAccessType(typ) {
		known.why = "the answer's token_type is that of no access token"
		return known
	}
	if _, ok := members["aud"]; !ok && a.noAud {
		members = maps.Clone(members)
		members["aud"] = a.issuer.Expected()
	}
	claims, err := bearer.ReadAnswer(members, known.until, a.issuer)
	if err != nil {
		known.why = err.Error()
		return known
	}
	known.token = a.judge.NewToken(a.issuer, claims)
	return known
}
