// Package secret holds values that cannot be printed.
//
// A [Value] shows stars in every format verb, in JSON, YAML and slog, however
// deep it is nested: the bytes are behind a pointer to a function, so that even
// reflection-based printing of an enclosing struct shows no byte of them. Only
// [Value.Reveal] gives them out, which makes every use easy to find.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const stars = "*****"

// Value is a secret. The zero Value is empty. It is immutable and safe for
// concurrent use; copies share the bytes.
type Value struct {
	reveal func() []byte
}

// New keeps b, which must not be changed afterwards.
func New(b []byte) Value {
	if len(b) == 0 {
		return Value{}
	}
	return Value{reveal: func() []byte { return b }}
}

// Reveal returns the bytes, which must not be changed; nil if empty.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}

// Empty reports whether there is nothing to hide.
func (v Value) Empty() bool { return v.reveal == nil }

// Equal compares in time that depends only on the lengths.
func (v Value) Equal(b []byte) bool {
	return subtle.ConstantTimeCompare(v.Reveal(), b) == 1
}

// Format prints stars, whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(stars)) }

// String returns stars.
func (v Value) String() string { return stars }

// MarshalText returns stars, for JSON, YAML and text.
func (v Value) MarshalText() ([]byte, error) { return []byte(stars), nil }

// LogValue returns stars, for slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(stars) }

// UnmarshalText keeps a copy of b.
func (v *Value) UnmarshalText(b []byte) error {
	*v = New(append([]byte(nil), b...))
	return nil
}
