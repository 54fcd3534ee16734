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

	// LargeIntegers lets whole numbers pass beyond ±2⁵³, which many readers round
	// (RFC 8259 §6).
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
	i := strings.IndexAny(string(n), "eE")
	if i < 0 {
		return nil // forty digits are within float64
	}
	if exponent, err := strconv.Atoi(string(n[i+1:])); err != nil || exponent > maxExponent || exponent < -maxExponent {
		return errors.New("a number beyond the range of float64") // exact arithmetic would fill the memory
	}
	if f, err := n.Float(); err != nil || math.IsInf(f, 0) {
		return errors.New("a number beyond the range of float64")
	}
	return nil
}
