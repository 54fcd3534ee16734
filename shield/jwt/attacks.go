package jwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/shield"
)

// attacks is what somebody tries who holds a good token and no key of the issuer.
func attacks() []shield.Attack {
	all := []shield.Attack{
		{Row: 21, Name: "alg none with its two parts only", Change: token(func(t *forged) string { return t.with("alg", "none").head + "." + t.payload }), Code: shield.InvalidCredential},
		{Row: 22, Name: "an empty signature", Change: token(func(t *forged) string { return t.head + "." + t.payload + "." }), Code: shield.InvalidCredential},
		{Row: 22, Name: "a signature cut in half", Change: token(func(t *forged) string { return t.head + "." + t.payload + "." + t.signature[:len(t.signature)/4*2] }), Code: shield.InvalidCredential},
		{Row: 23, Name: "HS256 with a guessed secret", Change: token(hs256("secret")), Code: shield.InvalidCredential},
		{Row: 23, Name: "HS256 with an empty secret", Change: token(hs256("")), Code: shield.InvalidCredential},
		{Row: 24, Name: "jwk with an own key", Change: ownKey("jwk"), Code: shield.InvalidCredential},
		{Row: 25, Name: "jku to an own server", Change: ownKey("jku"), Code: shield.InvalidCredential},
		{Row: 25, Name: "x5u to an own server", Change: ownKey("x5u"), Code: shield.InvalidCredential},
		{Row: 26, Name: "x5c with an own certificate", Change: ownKey("x5c"), Code: shield.InvalidCredential},
		{Row: 28, Name: "an unknown crit", Change: token(func(t *forged) string {
			return t.with("crit", []string{"exp"}).compact()
		}), Code: shield.InvalidCredential},
		{Row: 28, Name: "b64 false", Change: token(func(t *forged) string { return t.with("b64", false).compact() }), Code: shield.InvalidCredential},
		{Row: 29, Name: "ES256 with r and s zero", Change: token(func(t *forged) string {
			t.signature = encode(make([]byte, 64))
			return t.with("alg", "ES256").compact()
		}), Code: shield.InvalidCredential},
		{Row: 29, Name: "ES256 in DER", Change: token(func(t *forged) string {
			t.signature = encode([]byte("\x30\x06\x02\x01\x01\x02\x01\x01"))
			return t.with("alg", "ES256").compact()
		}), Code: shield.InvalidCredential},
		{Row: 34, Name: "another audience", Change: claim("aud", "api.evil"), Code: shield.InvalidCredential},
		{Row: 35, Name: "the issuer with a slash more", Change: token(func(t *forged) string {
			return t.claim("iss", fmt.Sprint(t.claims["iss"])+"/").compact()
		}), Code: shield.InvalidCredential},
		{Row: 32, Name: "a later exp", Change: claim("exp", 4102444800), Code: shield.InvalidCredential},
		{Row: 43, Name: "another jti", Change: claim("jti", "another"), Code: shield.InvalidCredential},
		{Row: 163, Name: "more scopes", Change: claim("scope", "admin"), Code: shield.InvalidCredential},
		{Row: 37, Name: "alg twice", Change: token(func(t *forged) string {
			t.head = encode([]byte(strings.Replace(t.text(t.head), "{", `{"alg":"none",`, 1)))
			return t.compact()
		}), Code: shield.InvalidCredential},
		{Row: 37, Name: "exp twice", Change: token(func(t *forged) string {
			t.payload = encode([]byte(strings.Replace(t.text(t.payload), "{", `{"exp":4102444800,`, 1)))
			return t.compact()
		}), Code: shield.InvalidCredential},
		{Row: 38, Name: "padded", Change: token(func(t *forged) string { return t.compact() + "=" }), Code: shield.InvalidCredential},
		{Row: 38, Name: "a blank inside", Change: token(func(t *forged) string { return t.head + " ." + t.payload + "." + t.signature }), Code: shield.InvalidCredential},
		{Row: 38, Name: "bits behind the end of the signature", Change: token(func(t *forged) string {
			t.signature = otherLastBits(t.signature)
			return t.compact()
		}), Code: shield.InvalidCredential},
		{Row: 38, Name: "JSON serialisation", Change: token(func(t *forged) string {
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, t.head, t.payload, t.signature)
		}), Code: shield.InvalidCredential},
		{Row: 38, Name: "four parts", Change: token(func(t *forged) string { return t.compact() + ".e30" }), Code: shield.InvalidCredential},
		{Row: 38, Name: "six parts", Change: token(func(t *forged) string { return t.compact() + "." + t.compact() }), Code: shield.InvalidCredential},
		{Row: 39, Name: "an encrypted token with zip", Change: token(jwe(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)), Code: shield.InvalidCredential},
		{Row: 39, Name: "an encrypted token with p2c 10^9", Change: token(jwe(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":1000000000,"p2s":"AAAA"}`)), Code: shield.InvalidCredential},
		{Row: 39, Name: "zip in a signed token", Change: token(func(t *forged) string { return t.with("zip", "DEF").compact() }), Code: shield.InvalidCredential},
		{Row: 45, Name: "two Authorization headers", Change: func(r *http.Request) error {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
			return nil
		}, Code: shield.MalformedCredential},
		{Row: 45, Name: "a second token in the query", Change: inQueryToo("access_token"), Code: shield.ExposedCredential},
		{Row: 45, Name: "a second token in the query, its name encoded", Change: inQueryToo("access%5ftoken"), Code: shield.ExposedCredential},
		{Row: 46, Name: "a tab after Bearer", Change: rawHeader(func(t string) string { return "Bearer\t" + t }), Code: shield.MalformedCredential},
		{Row: 46, Name: "two blanks after Bearer", Change: rawHeader(func(t string) string { return "Bearer  " + t }), Code: shield.MalformedCredential},
		{Row: 46, Name: "a token that is not bound, with the scheme of those that are", Change: rawHeader(func(t string) string { return "DPoP " + t }), Code: shield.InvalidCredential},
		{Row: 47, Name: "a token of more than 16 KiB", Change: rawHeader(func(t string) string { return "Bearer " + t + strings.Repeat("A", bearer.MaxToken) }), Code: shield.HeadersTooLarge},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		all = append(all, shield.Attack{Row: 21, Name: "alg " + alg, Code: shield.InvalidCredential, Change: token(func(t *forged) string {
			return t.with("alg", alg).head + "." + t.payload + "."
		})})
	}
	for _, alg := range []string{"ES384", "PS256", "RS256", "RS512", "EdDSA", "es256", "HS256"} {
		all = append(all, shield.Attack{Row: 31, Name: "alg turned into " + alg, Code: shield.InvalidCredential, Change: token(func(t *forged) string {
			if t.jose["alg"] == alg {
				t.signature = otherLastBits(t.signature) // the good one: spoil it otherwise
			}
			return t.with("alg", alg).compact()
		})})
	}
	for _, kid := range []string{"../../dev/null", "' OR 1=1 --", "http://127.0.0.1:1/key", strings.Repeat("k", 10<<10)} {
		all = append(all, shield.Attack{Row: 27, Name: fmt.Sprintf("kid %.24q", kid), Code: shield.InvalidCredential, Change: token(func(t *forged) string {
			t.payload = encode([]byte(`{"iss":` + quoted(t.claims["iss"]) + `,"exp":4102444800}`)) // room for a long kid
			return t.with("kid", kid).compact()
		})})
	}
	return all
}

// forged is a good token, taken apart to be put together otherwise.
type forged struct {
	head, payload, signature string
	jose, claims             map[string]any
}

// token changes the token of a good request.
func token(change func(*forged) string) func(*http.Request) error {
	return func(r *http.Request) error {
		t, err := open(r)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", bearer.Scheme+" "+change(t))
		return nil
	}
}

func open(r *http.Request) (*forged, error) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), bearer.Scheme+" "), ".")
	if len(parts) != 3 {
		return nil, errors.New("the good request carries no JWT")
	}
	t := &forged{head: parts[0], payload: parts[1], signature: parts[2]}
	if err := json.Unmarshal([]byte(t.text(t.head)), &t.jose); err != nil {
		return nil, fmt.Errorf("read the good token's header: %w", err)
	}
	if err := json.Unmarshal([]byte(t.text(t.payload)), &t.claims); err != nil {
		return nil, fmt.Errorf("read the good token's claims: %w", err)
	}
	return t, nil
}

func (t *forged) text(part string) string {
	b, _ := base64.RawURLEncoding.DecodeString(part) // of a good token
	return string(b)
}

func (t *forged) with(name string, v any) *forged {
	t.jose[name] = v
	t.head = encode(marshal(t.jose))
	return t
}

func (t *forged) claim(name string, v any) *forged {
	t.claims[name] = v
	t.payload = encode(marshal(t.claims))
	return t
}

func (t *forged) compact() string { return t.head + "." + t.payload + "." + t.signature }

// claim leaves header and signature and changes one claim.
func claim(name string, v any) func(*http.Request) error {
	return token(func(t *forged) string { return t.claim(name, v).compact() })
}

// rawHeader changes the whole header.
func rawHeader(change func(token string) string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Set("Authorization", change(strings.TrimPrefix(r.Header.Get("Authorization"), bearer.Scheme+" ")))
		return nil
	}
}

func inQueryToo(name string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.URL.RawQuery = name + "=abc"
		return nil
	}
}

func hs256(secret string) func(*forged) string {
	return func(t *forged) string {
		input := t.with("alg", "HS256").head + "." + t.payload
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(input))
		return input + "." + encode(mac.Sum(nil))
	}
}

// ownKey signs the claims with a key of the attacker's and says in the header
// where to find it.
func ownKey(member string) func(*http.Request) error {
	return func(r *http.Request) error {
		t, err := open(r)
		if err != nil {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("make the attacker's key: %w", err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return fmt.Errorf("encode the attacker's key: %w", err)
		}
		t.jose[member] = map[string]any{
			"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])},
			"jku": "https://127.0.0.1:1/jwks", "x5u": "https://127.0.0.1:1/cert", "x5c": []string{"MIIB"},
		}[member]
		input := t.with("alg", "ES256").head + "." + t.payload
		sum := sha256.Sum256([]byte(input))
		first, second, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return fmt.Errorf("sign with the attacker's key: %w", err)
		}
		signature := make([]byte, 64)
		first.FillBytes(signature[:32])
		second.FillBytes(signature[32:])
		r.Header.Set("Authorization", bearer.Scheme+" "+input+"."+encode(signature))
		return nil
	}
}

func jwe(header string) func(*forged) string {
	return func(t *forged) string {
		return encode([]byte(header)) + "." + t.head + "." + t.head + "." + t.payload + "." + t.head
	}
}

// otherLastBits returns another spelling that a lenient reader decodes to the same
// bytes; where there is none, the signature with its last byte cut off.
func otherLastBits(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if part == "" || len(part)%4 == 0 || len(part)%4 == 1 {
		return part[:max(len(part)-2, 0)]
	}
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[last^1])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func quoted(v any) string { return string(marshal(v)) }

// marshal is json.Marshal of plain values, without a new line or HTML escapes.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // maps of strings, numbers and booleans always encode
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
