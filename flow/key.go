package flow

import (
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// KeyHeader carries the key; ReplayedHeader marks an answer that was given before.
const (
	KeyHeader      = "Idempotency-Key"
	ReplayedHeader = "Idempotency-Replayed"
)

// maxKey is the longest key, in characters.
const maxKey = 255

// keyOf returns the key of a request; "" if it has none.
func keyOf(h http.Header) (string, error) {
	values := h[KeyHeader]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", shield.Refuse(shield.BadHeader, "%s stands %d times", KeyHeader, len(values))
	}
	key, ok := ParseKey(values[0])
	if !ok {
		return "", shield.Refuse(shield.BadHeader, "%s is neither a string of 1 to %d characters in double quotes nor such a word of visible ones", KeyHeader, maxKey)
	}
	return key, nil
}

// ParseKey reads the value of Idempotency-Key: a string as structured fields have it (RFC 9651
// §3.3.3), which the draft demands, or the same without quotes, as most clients send it. Both
// forms of one text are one key. Parameters are refused: nobody agrees what they would mean.
func ParseKey(text string) (key string, ok bool) {
	text = strings.Trim(text, " ")
	if strings.HasPrefix(text, `"`) {
		return parseQuoted(text)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || strings.IndexByte(`",;\`, c) >= 0 {
			return "", false
		}
	}
	return text, text != "" && len(text) <= maxKey
}

func parseQuoted(text string) (string, bool) {
	inner, closed := strings.CutSuffix(text[1:], `"`)
	if !closed {
		return "", false
	}
	var key strings.Builder
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch {
		case c < ' ' || c > '~' || c == '"':
			return "", false
		case c == '\\':
			i++
			if i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return "", false
			}
			c = inner[i]
		}
		key.WriteByte(c)
	}
	return key.String(), key.Len() > 0 && key.Len() <= maxKey
}
