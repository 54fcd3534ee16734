package strictjson

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bounds of a document, whose length the caller bounds.
type Bounds struct {
	Depth   int // of nesting
	Entries int // names of objects and entries of arrays, all together

	// LargeIntegers lets whole numbers pass beyond ±2⁵³, and fractions that float64 does not
	// hold, which many readers round (RFC 8259 §6).
	LargeIntegers bool
}

// document is how bodies of requests are read, besides what [Parse] demands.
type document struct {
	Bounds
	entries int
}

func (d *document) more() bool {
	d.entries++
	return d.entries <= d.Entries
}

// Document reads data as strictly as [Parse] does, within bounds. Numbers are json.Number,
// as validators want them, within the range of float64, and no longer than readers agree
// about. The texts of the value share one copy of the data.
func Document(data []byte, b Bounds) (any, error) {
	return parse(&parser{data: data, copy: string(data), depth: b.Depth, doc: &document{Bounds: b}})
}

// maxDigits is the longest number, in characters. float64 has 17 significant digits.
const maxDigits = 40

// maxExponent is beyond what float64 can hold, either way.
const maxExponent = 400

// maxExact is the largest whole number up to which every one has a float64 of its own.
const maxExact = 1 << 53

func (d *document) number(n Number) (any, error) {
	if n.isShort() {
		return json.Number(n), nil
	}
	return json.Number(n), d.bounds(n)
}

// bounds refuses a number about which readers differ.
func (d *document) bounds(n Number) error {
	if len(n) > maxDigits {
		return errors.New("a number with more digits than anybody reads")
	}
	if !strings.ContainsAny(string(n), ".eE") {
		if whole, err := strconv.ParseInt(string(n), 10, 64); err == nil && (d.LargeIntegers || whole <= maxExact && whole >= -maxExact) {
			return nil
		}
		return errors.New("a whole number beyond 2^53, about which readers differ")
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 {
		if exponent, err := strconv.Atoi(string(n[i+1:])); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return errors.New("a number beyond the range of float64") // exact arithmetic would fill the memory
		}
	}
	f, err := n.Float()
	digits, _ := n.significant()
	switch {
	case err != nil || math.IsInf(f, 0), f == 0 && digits != "":
		return errors.New("a number beyond the range of float64")
	case !d.LargeIntegers && isRounded(n, f):
		return errors.New("a number with more digits than float64 holds, which readers round")
	}
	return nil
}

// exactDigits is how many significant digits float64 holds of any number in its normal range.
const exactDigits = 15

// leastNormal is the smallest number that float64 holds with all its digits.
const leastNormal = 0x1p-1022

// isRounded reports whether a reader that takes a number for the float64 f has another one:
// written with as many digits, f is not what was sent. What prints a float64 with all its 17
// digits (0.10000000000000001) is understood by everybody.
func isRounded(n Number, f float64) bool {
	digits, power := n.significant()
	if digits == "" || len(digits) <= exactDigits && math.Abs(f) >= leastNormal {
		return false
	}
	var room [maxDigits + 16]byte
	read, its := Number(strconv.AppendFloat(room[:0], f, 'e', len(digits)-1, 64)).significant()
	return read != digits || its != power
}

// significant are the digits of a number without the zeros around them, and the power of ten of
// the first; none of zero.
func (n Number) significant() (digits string, power int) {
	text := strings.TrimPrefix(string(n), "-")
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		power, _ = strconv.Atoi(text[i+1:]) // it was looked at
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	all := whole + fraction
	digits = strings.TrimLeft(all, "0")
	power += len(whole) - 1 - (len(all) - len(digits))
	return strings.TrimRight(digits, "0"), power
}

// IsNumber reports whether a text is a number as JSON writes it and nothing else, and one that
// [Document] would take.
func IsNumber(text string, large bool) bool {
	p := parser{data: []byte(text)}
	if len(text) > maxDigits || p.skipNumber() != nil || p.at != len(text) {
		return false
	}
	n, d := Number(text), document{Bounds: Bounds{LargeIntegers: large}}
	return n.isShort() || d.bounds(n) == nil
}
