package bearer

import (
	"fmt"
	"strings"

	"pavise.dev/pavise/internal/dpop"
)

// challenges are the WWW-Authenticate values of RFC 6750 §3 and RFC 9449 §7.1, made once.
type challenges struct {
	bare      []string // nothing was sent: no error code
	invalid   []string // 401
	keyed     []string // 401 of a token that came with the scheme DPoP
	proof     []string // 401: the token may be good, its proof is not
	nonce     []string // 401: the proof has to hold the nonce
	malformed string   // 400
}

func newChallenges(realm string, keyed bool) challenges {
	if !isVisible(realm) {
		realm = "api"
	}
	const invalid = `, error="invalid_token", error_description="the access token is not accepted"`
	algs := fmt.Sprintf(`, algs="%s"`, strings.Join(dpop.Algorithms(), " "))
	bearer, key := fmt.Sprintf(`%s realm="%s"`, Scheme, realm), fmt.Sprintf(`%s realm="%s"`, keyScheme, realm)
	c := challenges{
		bare: []string{bearer}, invalid: []string{bearer + invalid}, keyed: []string{key + invalid + algs},
		proof:     []string{key + `, error="invalid_dpop_proof", error_description="the proof is not accepted"` + algs},
		nonce:     []string{key + `, error="use_dpop_nonce", error_description="make a proof with the nonce of this answer"` + algs},
		malformed: bearer + `, error="invalid_request", error_description="send one access token, in the Authorization header"`,
	}
	if keyed {
		c.bare, c.invalid = []string{key + algs}, c.keyed
	}
	return c
}
