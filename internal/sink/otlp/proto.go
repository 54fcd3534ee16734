package otlp

import (
	"encoding/binary"
	"errors"
	"strconv"
	"unicode/utf8"
)

// Wire types of protobuf.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

func appendVarint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

func sizeVarint(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendTag(dst []byte, number, wire uint64) []byte { return appendVarint(dst, number<<3|wire) }

func appendBytes(dst []byte, number uint64, value []byte) []byte {
	dst = appendTag(dst, number, wireBytes)
	dst = appendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func appendFixed(dst []byte, number, value uint64) []byte {
	return binary.LittleEndian.AppendUint64(appendTag(dst, number, wire64), value)
}

// text is what is read rune by rune.
type text interface{ ~string | ~[]byte }

// maxText bounds a text, in bytes. No text of the log is longer.
const maxText = 640

// appendString appends a text; what does not print becomes U+FFFD.
func appendString[T text](dst []byte, number uint64, value T) []byte {
	value = cut(value)
	dst = appendTag(dst, number, wireBytes)
	dst = appendVarint(dst, uint64(sizeClean(value)))
	return appendClean(dst, value)
}

// cut bounds a text; a character that is cut through becomes U+FFFD.
func cut[T text](s T) T { return s[:min(len(s), maxText)] }

func sizeClean[T text](s T) (size int) {
	for _, r := range string(s) {
		size += utf8.RuneLen(clean(r))
	}
	return size
}

func appendClean[T text](dst []byte, s T) []byte {
	for _, r := range string(s) {
		dst = utf8.AppendRune(dst, clean(r))
	}
	return dst
}

func clean(r rune) rune {
	if !strconv.IsPrint(r) {
		return utf8.RuneError
	}
	return r
}

// appendText appends a KeyValue with a text; nothing for none.
func appendText[T text](dst []byte, number uint64, key string, value T) []byte {
	if len(value) == 0 {
		return dst
	}
	value = cut(value)
	size := sizeClean(value)
	inner := 1 + sizeVarint(uint64(size)) + size // AnyValue.string_value
	dst = appendKey(dst, number, key, inner)
	dst = appendTag(dst, 1, wireBytes)
	dst = appendVarint(dst, uint64(size))
	return appendClean(dst, value)
}

// appendInt appends a KeyValue with a number above zero.
func appendInt(dst []byte, number uint64, key string, value int64) []byte {
	if value <= 0 {
		return dst
	}
	dst = appendKey(dst, number, key, 1+sizeVarint(uint64(value)))
	return appendVarint(appendTag(dst, 3, wireVarint), uint64(value))
}

// appendTrue appends a KeyValue that is true.
func appendTrue(dst []byte, number uint64, key string, value bool) []byte {
	if !value {
		return dst
	}
	return append(appendTag(appendKey(dst, number, key, 2), 2, wireVarint), 1)
}

// appendKey begins a KeyValue whose AnyValue has so many bytes.
func appendKey(dst []byte, number uint64, key string, inner int) []byte {
	dst = appendTag(dst, number, wireBytes)
	dst = appendVarint(dst, uint64(1+sizeVarint(uint64(len(key)))+len(key)+1+sizeVarint(uint64(inner))+inner))
	dst = appendTag(dst, 1, wireBytes)
	dst = appendVarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	return appendVarint(appendTag(dst, 2, wireBytes), uint64(inner))
}

var errProto = errors.New("this is no protobuf message")

// field returns the bytes of a message's field; nil if it is not there.
func field(message []byte, number uint64) (value []byte, err error) {
	err = each(message, func(n uint64, _ uint64, bytes []byte) {
		if n == number && bytes != nil {
			value = bytes
		}
	})
	return value, err
}

// number returns a whole number of a message; 0 if it is not there.
func number(message []byte, want uint64) (value uint64, err error) {
	err = each(message, func(n, v uint64, bytes []byte) {
		if n == want && bytes == nil {
			value = v
		}
	})
	return value, err
}

// each calls f for the fields of a message.
func each(message []byte, f func(number, value uint64, bytes []byte)) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 {
			return errProto
		}
		message = message[n:]
		value, size := uint64(0), 0
		switch tag & 7 {
		case wireVarint:
			if value, size = binary.Uvarint(message); size <= 0 {
				return errProto
			}
		case wire64:
			size = 8
		case wire32:
			size = 4
		case wireBytes:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return errProto
			}
			size = n + int(length)
			f(tag>>3, 0, message[n:size:size])
			message = message[size:]
			continue
		default:
			return errProto
		}
		if size > len(message) {
			return errProto
		}
		f(tag>>3, value, nil)
		message = message[size:]
	}
	return nil
}
