package protocol

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// maxForm is the longest body of a form, in bytes. An assertion with a chain of
// certificates has some thousand.
const maxForm = 64 << 10

// repeatable are the parameters that may stand more than once (RFC 8707 §2, RFC 8693 §2.1).
func repeatable(name string) bool { return name == "resource" || name == "audience" }

// form reads the form of a request of a client, strictly (RFC 6749 §3.2, appendix B).
func (c *call) form() *Fault {
	r := c.request
	if r.URL.RawQuery != "" {
		return badRequest("parameters belong into the body, not into the address")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return badRequest("send application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return refuse(http.StatusRequestEntityTooLarge, "invalid_request", "the form is too long")
		}
		return badRequest("the form cannot be read")
	}
	return once(r.PostForm)
}

// once refuses parameters that stand twice (RFC 6749 §3.1, §3.2).
func once(values url.Values) *Fault {
	for name, all := range values {
		if len(all) > 1 && !repeatable(name) {
			return badRequest("a parameter stands twice")
		}
		for _, value := range all {
			if strings.ContainsRune(value, 0) {
				return badRequest("a parameter holds a zero byte")
			}
		}
	}
	return nil
}

// identify finds out who the caller says to be, and refuses what no client may send: two
// ways to authenticate at once (RFC 6749 §2.3), and assertions that are not for us.
func (c *call) identify() *Fault {
	r := c.request
	ways := 0
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		ways++
		if fault := c.basic(values); fault != nil {
			return fault
		}
	}
	if r.PostForm.Has("client_secret") {
		ways++
	}
	if r.PostForm.Has("client_assertion") || r.PostForm.Has("client_assertion_type") {
		ways++
		if fault := c.readAssertion(); fault != nil {
			return fault
		}
	}
	if ways > 1 {
		return badRequest("authenticate in one way, not in several")
	}
	if id := r.PostForm.Get("client_id"); c.client == "" {
		c.client = id
	} else if id != "" && id != c.client {
		return badRequest("client_id is another than the one that authenticates")
	}
	c.identified = true
	if fault := c.trusted(); fault != nil {
		return fault
	}
	return c.heldBack()
}

// trusted holds that a client that is known by a name in its certificate presents one of
// a CA that may give out such names (RFC 8705 §2.1): the library compares only the name.
func (c *call) trusted() *Fault {
	s := c.server
	known, err := s.options.Clients.Client(c.request.Context(), c.client, c.from)
	if errors.Is(err, ErrNoClient) || err == nil && known.Auth != AuthTLS {
		return nil // the library says what there is to say
	}
	if err != nil {
		return undecided(err)
	}
	wrong := refuse(http.StatusUnauthorized, "invalid_client", "invalid client")
	if s.options.Mutual.Trust == nil || c.request.TLS == nil || len(c.request.TLS.PeerCertificates) == 0 {
		wrong.Detail = "the client needs a certificate, and presented none that could be trusted"
		return wrong
	}
	if err := s.options.Mutual.Trust(c.request.TLS.PeerCertificates); err != nil {
		wrong.Detail = err.Error()
		return wrong
	}
	return nil
}

// basic decodes id and secret, which are form-encoded inside of Basic (RFC 6749 §2.3.1).
func (c *call) basic(values []string) *Fault {
	id, secret, ok := c.request.BasicAuth()
	if len(values) != 1 || !ok {
		return refuse(http.StatusUnauthorized, "invalid_client", "the header Authorization cannot be read")
	}
	plainID, err := url.QueryUnescape(id)
	plainSecret, also := url.QueryUnescape(secret)
	if err != nil || also != nil || plainID == "" {
		return refuse(http.StatusUnauthorized, "invalid_client", "id and secret are not form-encoded")
	}
	c.request.SetBasicAuth(plainID, plainSecret)
	c.client = plainID
	return nil
}

// readAssertion reads whose assertion it says to be, and for whom: for this issuer and for
// nobody else (draft-ietf-oauth-rfc7523bis; what would be good elsewhere could be carried
// there). Its signature is the library's business.
func (c *call) readAssertion() *Fault {
	wrong := refuse(http.StatusUnauthorized, "invalid_client", "the client's assertion is not accepted")
	assertion := c.request.PostForm.Get("client_assertion")
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return wrong
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return wrong
	}
	claims, err := strictjson.Object(text) // each name as it stands, and once: as the library reads it
	if err != nil {
		return wrong
	}
	issuer, ok := claims["iss"].(string)
	if !ok || issuer == "" {
		return wrong
	}
	if !c.server.isAudience(claims["aud"]) {
		wrong.Detail = "the assertion's aud is not the issuer alone"
		return wrong
	}
	issued, ok := seconds(claims["iat"])
	if expires, ends := seconds(claims["exp"]); !ok && ends {
		issued = expires - assertionLife.Seconds() // the earliest that it can be
	}
	c.client, c.assertion, c.asserted = issuer, assertion, time.Unix(int64(issued), 0)
	return nil
}

// seconds reads a NumericDate (RFC 7519 §2).
func seconds(claim any) (since1970 float64, ok bool) {
	number, ok := claim.(strictjson.Number)
	if !ok {
		return 0, false
	}
	since1970, err := number.Float()
	return since1970, err == nil
}

// isAudience reports whether aud is the issuer, alone.
func (s *Server) isAudience(aud any) bool {
	if list, ok := aud.([]any); ok && len(list) == 1 {
		aud = list[0]
	}
	return aud == s.options.Issuer
}

// heldBack refuses a client from a network that has sent too many wrong secrets of it.
func (c *call) heldBack() *Fault {
	return c.mustWait(c.client, "too many wrong tries with this client from this network")
}

// mustWait refuses who has tried too often from a network, by what it was and in all.
func (c *call) mustWait(counted, why string) *Fault {
	tries := c.server.options.Tries
	if tries == nil {
		return nil
	}
	wait := max(tries.Blocked(counted, c.from), tries.Blocked("", c.from))
	if wait <= 0 {
		return nil
	}
	return &Fault{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Wait: int((wait + time.Second - 1) / time.Second),
		Description: why, Detail: string(shield.LockedOut),
	}
}

// prove judges the DPoP proof, if there is one (RFC 9449 §5). It is used up later: nobody
// uses up a proof of a client by sending it with a wrong secret.
func (c *call) prove() *Fault {
	proofs := c.server.options.Proofs
	if proofs == nil {
		return nil
	}
	_, claim, ok, nonce, err := proofs.Verify(c.request)
	c.nonce = nonce
	if refusal, is := errors.AsType[*shield.Refusal](err); is {
		code := "invalid_dpop_proof"
		if refusal.Header.Get("DPoP-Nonce") != "" {
			code, c.nonce = "use_dpop_nonce", refusal.Header.Get("DPoP-Nonce")
		}
		return &Fault{Status: http.StatusBadRequest, Code: code, Description: "the DPoP proof is not accepted", Detail: refusal.Detail}
	}
	if err != nil {
		return undecided(err)
	}
	if ok {
		c.proof = &claim
	}
	return nil
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*shield.Refusal](err)
	return ok
}

func undecided(err error) *Fault {
	return &Fault{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: "try again", Detail: err.Error()}
}

func digestOf(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// passed are the parameters that count beside a request_uri: the others were pushed
// (RFC 9126 §4), and what a browser adds to them is not looked at.
func passed(query url.Values) url.Values {
	if !query.Has("request_uri") {
		return query
	}
	return url.Values{"client_id": query["client_id"], "request_uri": query["request_uri"]}
}

// plain says what a request without a method asks for (RFC 7636 §4.3), so that the library
// refuses it: it would take the challenge for one of S256.
func plain(values url.Values) {
	if values.Has("code_challenge") && values.Get("code_challenge_method") == "" {
		values.Set("code_challenge_method", "plain")
	}
}

// unsupported refuses what the server says in its metadata that it does not do.
func unsupported(values url.Values) *Fault {
	if values.Has("request") {
		return refuse(http.StatusBadRequest, "request_not_supported", "request objects are not supported; push the request instead (RFC 9126)")
	}
	for _, name := range []string{"registration", "claims"} {
		if values.Has(name) {
			return refuse(http.StatusBadRequest, name+"_not_supported", "the parameter "+name+" is not supported")
		}
	}
	return nil
}

// maxAge is the longest max_age that means something, in seconds: some 68 years.
const maxAge = math.MaxInt32

// unclear says what is wrong with parameters about signing in that the library would not
// miss (OpenID Connect Core §3.1.2.1): it takes a max_age that is no number for none.
func unclear(values url.Values) *Fault {
	if text := values.Get("max_age"); values.Has("max_age") {
		if age, err := strconv.ParseUint(text, 10, 64); err != nil || age > maxAge {
			return badRequest("max_age is not a number of seconds")
		}
	}
	prompts := strings.Fields(values.Get("prompt"))
	for _, prompt := range prompts {
		switch prompt {
		case "login", "consent", "select_account":
		case "none":
			if len(prompts) > 1 {
				return badRequest("prompt none stands beside others")
			}
		default:
			return badRequest("prompt is none of none, login, consent and select_account")
		}
	}
	return nil
}

// isWord reports whether a space-separated list holds a word.
func isWord(list, word string) bool { return slices.Contains(strings.Fields(list), word) }
