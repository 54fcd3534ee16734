// Package strictjson reads JSON that somebody else signed, or will be judged by.
//
// Readers of JSON differ in what they forgive: the last of two equal names wins,
// or the first; broken UTF-8 is replaced, or kept; something after the value is
// ignored, or not. Where a token's header, its claims or a set of keys decide who
// may call, any such difference is a way in. So this reader forgives nothing: RFC
// 8259 to the letter, valid UTF-8, whole surrogate pairs, each name once, nothing
// after the value, a bound on depth. The caller bounds the length.
//
// It builds plain values: map[string]any, []any, string, [Number], bool and nil.
// It is meant for tokens and documents of some kilobytes; [Document] reads the bodies of
// requests, with bounds of their own.
package strictjson

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting that [Parse] accepts.
const MaxDepth = 32

// Number is a number as it was written.
type Number string

// Float returns the number; an error if it is beyond the range of float64.
func (n Number) Float() (float64, error) { return strconv.ParseFloat(string(n), 64) }

// Object reads data, which must be one JSON object.
func Object(data []byte) (map[string]any, error) {
	v, err := Parse(data)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}

// Parse reads data, which must be one JSON value and nothing else. Errors name
// the position and never quote the data.
func Parse(data []byte) (any, error) {
	return parse(&parser{data: data, depth: MaxDepth})
}

func parse(p *parser) (any, error) {
	p.space()
	v, err := p.value(0)
	if err != nil {
		return nil, fmt.Errorf("JSON at byte %d: %w", p.at, err)
	}
	p.space()
	if p.at != len(p.data) {
		return nil, fmt.Errorf("JSON at byte %d: something follows the value", p.at)
	}
	return v, nil
}

type parser struct {
	data  []byte
	copy  string // the data; "": pieces are copied one by one
	at    int
	depth int       // the deepest nesting
	doc   *document // bounds and forms of a document; nil: of what is signed
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// take steps over c if it is next.
func (p *parser) take(c byte) bool {
	if p.at < len(p.data) && p.data[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) (any, error) {
	if depth > p.depth {
		return nil, fmt.Errorf("nested deeper than %d", p.depth)
	}
	if p.at >= len(p.data) {
		return nil, errors.New("a value is missing")
	}
	switch p.data[p.at] {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		return p.text()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	number, err := p.number()
	if err != nil || p.doc == nil {
		return number, err
	}
	return p.doc.number(number)
}

func (p *parser) word(word string) error {
	if len(p.data)-p.at < len(word) || string(p.data[p.at:p.at+len(word)]) != word {
		return errors.New("not a value")
	}
	p.at += len(word)
	return nil
}

func (p *parser) object(depth int) (map[string]any, error) {
	p.at++
	object := map[string]any{}
	p.space()
	if p.take('}') {
		return object, nil
	}
	for {
		p.space()
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if _, twice := object[name]; twice {
			return nil, errors.New("a name stands twice")
		}
		if p.doc != nil && !p.doc.more() {
			return nil, fmt.Errorf("more than %d names and entries", p.doc.Entries)
		}
		p.space()
		if !p.take(':') {
			return nil, errors.New("a colon is missing")
		}
		p.space()
		if object[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		p.space()
		if p.take('}') {
			return object, nil
		}
		if !p.take(',') {
			return nil, errors.New("an object does not end")
		}
	}
}

func (p *parser) array(depth int) ([]any, error) {
	p.at++
	array := []any{}
	p.space()
	if p.take(']') {
		return array, nil
	}
	for {
		p.space()
		if p.doc != nil && !p.doc.more() {
			return nil, fmt.Errorf("more than %d names and entries", p.doc.Entries)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
		p.space()
		if p.take(']') {
			return array, nil
		}
		if !p.take(',') {
			return nil, errors.New("an array does not end")
		}
	}
}

// text reads a string. Most hold no escape and are copied in one piece.
func (p *parser) text() (string, error) {
	if !p.take('"') {
		return "", errors.New("a string is missing")
	}
	start, ascii := p.at, true
	for {
		p.at += plainRun(p.data[p.at:])
		if p.at >= len(p.data) {
			return "", errors.New("a string does not end")
		}
		switch c := p.data[p.at]; {
		case c == '"':
			if !ascii && !utf8.Valid(p.data[start:p.at]) {
				return "", errors.New("a string is not UTF-8")
			}
			p.at++
			return p.slice(start, p.at-1), nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", errors.New("a control character in a string")
		}
		ascii = false
		p.at++
	}
}

// slice is a piece of the data. Those of a document share one copy of it.
func (p *parser) slice(from, to int) string {
	if p.copy != "" {
		return p.copy[from:to]
	}
	return string(p.data[from:to])
}

// plainRun is how many bytes at the beginning of a text are plain: ASCII, but for controls, the
// quote and the backslash. It looks at eight at a time; a bit at the top of a byte of stop says
// that there is something else, and the lowest such bit is right even where the arithmetic has
// borrowed from the next byte.
func plainRun(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	at := 0
	for ; len(text)-at >= 8; at += 8 {
		word := binary.LittleEndian.Uint64(text[at:])
		quote, slash := word^(ones*'"'), word^(ones*'\\')
		stop := (word | (word - ones*' ') | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if stop != 0 {
			return at + bits.TrailingZeros64(stop)/8
		}
	}
	for ; at < len(text); at++ {
		if c := text[at]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return at
}

// escaped reads on at the first backslash of the string that began at start.
func (p *parser) escaped(start int) (string, error) {
	out := append([]byte(nil), p.data[start:p.at]...)
	for p.at < len(p.data) {
		c := p.data[p.at]
		p.at++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errors.New("a string is not UTF-8")
			}
			return string(out), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < ' ':
			return "", errors.New("a control character in a string")
		default:
			out = append(out, c)
		}
	}
	return "", errors.New("a string does not end")
}

func (p *parser) escape() (rune, error) {
	if p.at >= len(p.data) {
		return 0, errors.New("a string does not end")
	}
	c := p.data[p.at]
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	return 0, errors.New("an unknown escape")
}

func (p *parser) unicode() (rune, error) {
	r, err := p.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !p.take('\\') || !p.take('u') {
		return 0, errors.New("half a surrogate pair")
	}
	low, err := p.hex()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errors.New("half a surrogate pair")
	}
	return r, nil
}

func (p *parser) hex() (rune, error) {
	if len(p.data)-p.at < 4 {
		return 0, errors.New("an escape does not end")
	}
	var r rune
	for _, c := range p.data[p.at : p.at+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, errors.New("an escape that is not hexadecimal")
		}
	}
	p.at += 4
	return r, nil
}

func (p *parser) number() (Number, error) {
	start := p.at
	if err := p.skipNumber(); err != nil {
		return "", err
	}
	return Number(p.slice(start, p.at)), nil
}

// skipNumber is number, without its text.
func (p *parser) skipNumber() error {
	p.take('-')
	if !p.take('0') && !p.digits() {
		return errors.New("not a value")
	}
	if p.take('.') && !p.digits() {
		return errors.New("a number without digits after its point")
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if !p.digits() {
			return errors.New("a number without digits in its exponent")
		}
	}
	return nil
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.data) && '0' <= p.data[p.at] && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}
