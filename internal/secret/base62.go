package secret

import (
	"fmt"
	"hash/crc32"
	"io"
)

// What Pavise makes is written in random letters and digits, with a checksum behind them by which scanners of
// source code, answers and logs tell it from other text. The package leak, which imports nothing of this, checks by itself.

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// ChecksumLength is how many characters a checksum has.
const ChecksumLength = 6

// RandomText returns n letters and digits, each equally likely.
func RandomText(random io.Reader, n int) (string, error) {
	text := make([]byte, 0, n)
	buffer := make([]byte, n)
	for len(text) < n {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		for _, b := range buffer {
			// 248 is the largest multiple of 62 that a byte holds: above it, the
			// first characters would be likelier than the rest.
			if b < 248 && len(text) < n {
				text = append(text, alphabet[b%62])
			}
		}
	}
	return string(text), nil
}

// Checksum is the CRC-32 (IEEE) of body. It guards against typing errors; it is no secret, and no protection.
func Checksum[T string | []byte](body T) (text [ChecksumLength]byte) {
	sum := ^uint32(0)
	for i := range len(body) { // crc32.ChecksumIEEE would have a string copied to the heap
		sum = crc32.IEEETable[byte(sum)^body[i]] ^ sum>>8
	}
	sum = ^sum
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = alphabet[sum%62]
		sum /= 62
	}
	return text
}

// IsChecked reports whether a text ends with the checksum of what stands before.
func IsChecked[T string | []byte](text T) bool {
	end := len(text) - ChecksumLength
	if end < 0 {
		return false
	}
	sum := Checksum(text[:end])
	return string(sum[:]) == string(text[end:])
}

// IsBase62 reports whether a text has nothing but letters and digits.
func IsBase62(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}
