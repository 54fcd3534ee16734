// Package leaks finds credentials where they should not be: in source trees, build folders,
// dumps. It knows what Pavise makes (API keys and secrets of signatures by their checksum, other
// secrets and tokens by their prefix), private keys in PEM, and tokens (JWT).
//
// [Scan] looks through one text or binary file in memory, [Walk] through a folder. Nothing that
// is found is told: a [Leak] has the kind, the place, the public id where there is one, and what
// is left when the secret is masked.
//
// Found is what has a form of its own: in UTF-8 and in UTF-16, as programs for Windows hold
// texts. What it does not do: it unpacks no archives, decodes nothing that was encoded again,
// and does not find secrets of signatures (HMAC) that are another system's, or were made before
// they had a form.
package leaks

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"pavise.dev/pavise/internal/secret"
)

// Kind says what was found.
type Kind string

// The kinds.
const (
	APIKey        Kind = "api_key"
	SigningSecret Kind = "signing_secret"
	ClientSecret  Kind = "client_secret"
	AccessToken   Kind = "access_token"
	RefreshToken  Kind = "refresh_token"
	Registration  Kind = "registration_token"
	Invitation    Kind = "invitation"
	Enrolment     Kind = "enrolment_token"
	PrivateKey    Kind = "private_key"
	JWT           Kind = "jwt"
	maxPerFile         = 1000
	leastOpaque        = 22 // characters behind a prefix: 128 bits
	maxTokenBytes      = 16 << 10
)

// Leak is a credential that stands where it should not.
type Leak struct {
	Kind   Kind      `json:"kind"`
	File   string    `json:"file,omitempty"`
	Line   int       `json:"line"` // from 1; in binary files what lies between line breaks
	Column int       `json:"column"`
	ID     string    `json:"id,omitempty"`     // public name of the credential, if it carries one
	Masked string    `json:"masked"`           // what may be shown of it
	Issuer string    `json:"issuer,omitempty"` // of a token, as it says itself
	Ends   time.Time `json:"ends,omitzero"`    // of a token, as it says itself

	// Secret is what was found, to ask whether it is in force. It is never written anywhere.
	Secret string `json:"-"`
}

// IsOfStore reports whether it is a credential that a store can be asked about: its ID is the one there.
func (l Leak) IsOfStore() bool { return l.ID != "" && (l.Kind == APIKey || l.Kind == SigningSecret) }

// String shows nothing of the secret.
func (l Leak) String() string { return fmt.Sprintf("%s:%d:%d: %s", l.File, l.Line, l.Column, l.What()) }

// GoString does not either.
func (l Leak) GoString() string { return l.String() }

// What says what it is, for people.
func (l Leak) What() string {
	name := map[Kind]string{
		APIKey: "an API key of Pavise", SigningSecret: "a secret of signatures (HMAC) of Pavise", ClientSecret: "the secret of an OAuth client of Pavise", AccessToken: "an access token of Pavise",
		RefreshToken: "a refresh token of Pavise", Registration: "a registration token of Pavise", Invitation: "an invitation of Pavise",
		Enrolment: "an enrolment token of Pavise", PrivateKey: "a private key", JWT: "a token (JWT)",
	}[l.Kind]
	return name + ", " + l.Masked
}

// form is how credentials of a kind begin, with the function that reads one whole from there.
type form struct {
	kind Kind
	mark string
	read func(text []byte) (secret []byte, leak Leak, ok bool)
}

func forms() []form {
	all := []form{{APIKey, "pvs_", readKey}, {SigningSecret, signingPrefix, readSigning}, {PrivateKey, "-----BEGIN ", readPrivateKey}, {JWT, "eyJ", readJWT}}
	for kind, prefix := range map[Kind]string{ClientSecret: "pvscs_", AccessToken: "pvsat_", RefreshToken: "pvsrt_", Registration: "pvsrm_", Invitation: "pvsit_", Enrolment: "pvenr_"} {
		all = append(all, form{kind, prefix, func(text []byte) ([]byte, Leak, bool) { return readOpaque(text, prefix) }})
	}
	slices.SortFunc(all, func(a, b form) int { return strings.Compare(a.mark, b.mark) })
	return all
}

// Scan finds the credentials in a text, in the order of their places.
func Scan(text []byte) []Leak {
	found := scan(text)
	if narrow, back := narrowed(text); narrow != nil {
		known := map[int]bool{}
		for _, l := range found {
			known[l.offset] = true
		}
		for _, l := range scan(narrow) {
			if offset := back[l.offset]; !known[offset] {
				l.Line, l.Column = place(text, offset)
				found = append(found, l)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b at) int { return (a.Line-b.Line)*1_000_000 + a.Column - b.Column })
	all := make([]Leak, 0, len(found))
	for _, l := range found {
		all = append(all, l.Leak)
	}
	return all
}

// at is a leak with its place in bytes.
type at struct {
	Leak

	offset int
}

func scan(text []byte) (found []at) {
	for _, f := range forms() {
		for from := 0; len(found) < maxPerFile; {
			i := bytes.Index(text[from:], []byte(f.mark))
			if i < 0 {
				break
			}
			i += from
			from = i + len(f.mark)
			if i > 0 && f.kind != PrivateKey && isWord(text[i-1]) {
				continue // in the middle of another word
			}
			secret, leak, ok := f.read(text[i:])
			if !ok {
				continue
			}
			from = i + len(secret)
			leak.Kind, leak.Secret = f.kind, string(secret)
			leak.Line, leak.Column = place(text, i)
			found = append(found, at{leak, i})
		}
	}
	return found
}

// place is where a byte stands: line and column in characters, both from 1.
func place(text []byte, offset int) (line, column int) {
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	return bytes.Count(text[:offset], []byte{'\n'}) + 1, utf8.RuneCount(text[start:offset]) + 1
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
}

func isToken(c byte) bool { return isWord(c) || c == '-' }

// run is how far a text goes on with some bytes, at most so many.
func run(text []byte, is func(byte) bool, most int) int {
	n := 0
	for n < len(text) && n < most && is(text[n]) {
		n++
	}
	return n
}

const (
	keyID        = 12 // characters of a key's public id
	keyTail      = 46 // behind the environment
	keyLongest   = len("pvs_") + 16 + 1 + keyTail
	signingSize  = 64 // characters of a secret of signatures
	shownOfTexts = 4  // characters that stay visible behind a prefix
)

// readKey reads an API key: pvs_, an environment, id, secret and checksum (shield/apikey).
func readKey(text []byte) (whole []byte, leak Leak, ok bool) {
	word := text[:run(text, isWord, keyLongest+1)]
	environment, tail, found := strings.Cut(string(word[len("pvs_"):]), "_")
	if !found || environment == "" || len(tail) != keyTail || strings.Contains(tail, "_") {
		return nil, Leak{}, false
	}
	if !secret.IsChecked(word) {
		return nil, Leak{}, false
	}
	id := tail[:keyID]
	return word, Leak{ID: id, Masked: "pvs_" + environment + "_" + id + "…"}, true
}

const signingPrefix = "pvshs_"

// readSigning reads a secret of signatures: pvshs_, the id of its key, secret and checksum (shield/hmac).
func readSigning(text []byte) (whole []byte, leak Leak, ok bool) {
	word := text[:run(text, isWord, signingSize+1)]
	if len(word) != signingSize || bytes.IndexByte(word[len(signingPrefix):], '_') >= 0 || !secret.IsChecked(word) {
		return nil, Leak{}, false
	}
	id := string(word[len(signingPrefix) : len(signingPrefix)+keyID])
	return word, Leak{ID: "hk_" + id, Masked: signingPrefix + id + "…"}, true
}

// readOpaque reads a secret or token that is a prefix and random characters.
func readOpaque(text []byte, prefix string) (secret []byte, leak Leak, ok bool) {
	rest := text[len(prefix):]
	n := run(rest, isToken, 512)
	if n < leastOpaque || !isRandom(rest[:n]) {
		return nil, Leak{}, false
	}
	return text[:len(prefix)+n], Leak{Masked: prefix + string(rest[:shownOfTexts]) + "…"}, true
}

// isRandom reports whether nobody wrote a text by hand: it mixes letters and digits, and does
// not say the same again and again.
func isRandom(text []byte) bool {
	distinct, digits, letters := map[byte]bool{}, 0, 0
	for _, c := range text {
		distinct[c] = true
		if c >= '0' && c <= '9' {
			digits++
		} else if c != '-' && c != '_' {
			letters++
		}
	}
	return len(distinct) >= 10 && digits > 0 && letters > 0
}

var privateKind = regexp.MustCompile(`^-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----`)

// readPrivateKey reads a key in PEM, with its whole body: texts that tell of keys hold the first
// line alone.
func readPrivateKey(text []byte) (secret []byte, leak Leak, ok bool) {
	head := privateKind.FindSubmatch(text[:min(len(text), 64)])
	if head == nil {
		return nil, Leak{}, false
	}
	closing := "-----END " + string(head[1]) + "-----"
	end := bytes.Index(text[:min(len(text), maxTokenBytes)], []byte(closing))
	if end < 0 {
		return nil, Leak{}, false
	}
	whole := text[:end+len(closing)]
	readable := strings.NewReplacer(`\r`, "", `\n`, "\n", `\/`, "/", "\r", "").Replace(string(whole)) // as JSON and environments hold it
	block, _ := pem.Decode([]byte(unindented(readable)))
	if block == nil || len(block.Bytes) < 16 || !isKey(block.Bytes) {
		return nil, Leak{}, false
	}
	return whole, Leak{Masked: "-----BEGIN " + string(head[1]) + "-----…"}, true
}

// unindented takes from the lines of PEM what they have around them in other files: spaces,
// quotes, signs of continuation, and the pluses of patches and of texts put together. A plus
// may be the key's own, too: base64 has it, and neither spaces nor quotes.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	sign, _, inPatch := strings.Cut(lines[len(lines)-1], "-----END ")
	inPatch = inPatch && (sign == "+" || sign == "-")
	for i, line := range lines {
		if inPatch && i > 0 { // the first line begins behind its sign
			line = strings.TrimPrefix(line, sign)
		}
		line = strings.Trim(line, aroundPEM)
		if inner := strings.TrimPrefix(line, "+"); inner == "" || strings.ContainsRune(aroundPEM, rune(inner[0])) {
			line = inner
		}
		if inner := strings.TrimSuffix(line, "+"); inner == "" || strings.ContainsRune(aroundPEM, rune(inner[len(inner)-1])) {
			line = inner
		}
		lines[i] = strings.Trim(line, aroundPEM)
	}
	return strings.Join(lines, "\n") + "\n"
}

const aroundPEM = " \t\"'\\,"

// isKey reports whether the body of PEM is more than a sample of zeros.
func isKey(der []byte) bool {
	distinct := map[byte]bool{}
	for _, b := range der {
		distinct[b] = true
	}
	return len(distinct) >= 8
}

// readJWT reads a signed token (RFC 7519).
func readJWT(text []byte) (secret []byte, leak Leak, ok bool) {
	n := run(text, func(c byte) bool { return isToken(c) || c == '.' }, maxTokenBytes)
	parts := strings.Split(string(text[:n]), ".")
	if len(parts) < 3 || len(parts[2]) < leastOpaque {
		return nil, Leak{}, false
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims map[string]json.RawMessage
	if !decoded(parts[0], &header) || header.Algorithm == "" || !decoded(parts[1], &claims) {
		return nil, Leak{}, false
	}
	var issuer string
	var ends float64
	_ = json.Unmarshal(claims["iss"], &issuer)
	_ = json.Unmarshal(claims["exp"], &ends)
	leak.Issuer = shown(issuer)
	if ends > 0 && ends < 1<<40 {
		leak.Ends = time.Unix(int64(ends), 0).UTC()
	}
	n = len(parts[0]) + len(parts[1]) + len(parts[2]) + 2
	var id string
	_ = json.Unmarshal(claims["jti"], &id) // a token need not have one
	leak.ID, leak.Masked = shown(id), "eyJ… signed with "+cmp.Or(shown(header.Algorithm), "something")
	return text[:n], leak, true
}

// shown is a text of a token that may be shown; what is long, or no plain text, is left out.
func shown(text string) string {
	if len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
		return ""
	}
	return text
}

func decoded(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

// narrowed is a text in UTF-16 as one in UTF-8, as far as our marks reach, with the offset in
// the original of each of its bytes; nil: there is none.
func narrowed(text []byte) (narrow []byte, back []int) {
	for _, mark := range []string{"pv", "ey", "--"} {
		if bytes.Contains(text, []byte{mark[0], 0, mark[1], 0}) || bytes.Contains(text, []byte{0, mark[0], 0, mark[1]}) {
			narrow = []byte{}
		}
	}
	if narrow == nil {
		return nil, nil
	}
	for i, c := range text {
		if c == 0 && (i == 0 || text[i-1] != 0) {
			continue
		}
		narrow, back = append(narrow, c), append(back, i)
	}
	return narrow, back
}
