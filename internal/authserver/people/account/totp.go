package account

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 6238's default, and what every authenticator app has
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What authenticator apps agree on (RFC 6238 §4, RFC 4226 §5).
const (
	totpStep   = 30 * time.Second
	totpDigits = 6
	totpWindow = 1  // steps before and after
	totpBytes  = 20 // of a secret: 160 bits
)

// totp is an authenticator app of an account.
type totp struct {
	Secret []byte    `json:"secret"`
	Since  time.Time `json:"since"`
	Last   int64     `json:"last"` // the newest step of which a code was used: no older one is good
}

// codeAt returns the code of a step (RFC 4226 §5.3).
func codeAt(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%0*d", totpDigits, binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// match returns the step whose code was typed, if it is in the window and was not used.
// The same is compared whatever was typed.
func (t *totp) match(typed string, now time.Time) (step int64, ok bool) {
	here := now.Unix() / int64(totpStep/time.Second)
	for s := here - totpWindow; s <= here+totpWindow; s++ {
		if subtle.ConstantTimeCompare([]byte(codeAt(t.Secret, s)), []byte(typed)) == 1 && s > t.Last {
			step, ok = s, true
		}
	}
	return step, ok
}

// secretText is a secret as people type it into an app.
func secretText(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// keyURI is what apps read from a picture (the de facto otpauth format).
func keyURI(issuer, login string, secret []byte) string {
	label := url.PathEscape(issuer + ":" + login)
	q := url.Values{"secret": {secretText(secret)}, "issuer": {issuer}}
	return "otpauth://totp/" + label + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// typedCode drops the blanks that people put into codes.
func typedCode(text string) string {
	if len(text) > 64 {
		return ""
	}
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(text))
}
