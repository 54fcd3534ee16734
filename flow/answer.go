package flow

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise"
)

const saltSize = 16

// keptHeaders are what a retry gets again: what tells of the answer's content and where its
// resource is. Cookies, and whatever else was meant for one moment, are not kept.
func keptHeaders() []string {
	return []string{
		"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Content-Type",
		"Deprecation", "Etag", "Last-Modified", "Link", "Location", "Retry-After", "Sunset",
	}
}

// sealAnswer is the entry of an answer.
func (s *Store) sealAnswer(id name, answer *pavise.Answer) ([]byte, error) {
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails (crypto/rand)
	aead, about, err := s.seal(id, answer.Status, salt)
	if err != nil {
		return nil, err
	}
	entry := binary.BigEndian.AppendUint16(entryOf(kindAnswered, id), uint16(answer.Status))
	entry = append(entry, salt[:]...)
	return aead.Seal(entry, make([]byte, aead.NonceSize()), encodeAnswer(answer), about), nil
}

// openAnswer reads the entry of an answer, which must be that of the key.
func (s *Store) openAnswer(id name, entry []byte) (*pavise.Answer, error) {
	if len(entry) < headSize+2+saltSize || entry[0] != kindAnswered || name(entry[1:headSize]) != id {
		return nil, errors.New("the answer that was kept is not there")
	}
	status := int(binary.BigEndian.Uint16(entry[headSize:]))
	aead, about, err := s.seal(id, status, [saltSize]byte(entry[headSize+2:]))
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), entry[headSize+2+saltSize:], about)
	if err != nil {
		return nil, fmt.Errorf("open the answer that was kept: %w", err)
	}
	answer, ok := decodeAnswer(plain)
	if !ok {
		return nil, errors.New("the answer that was kept cannot be read")
	}
	answer.Status = status
	return answer, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// encodeAnswer writes the headers that are kept, each behind its length, and the body.
func encodeAnswer(answer *pavise.Answer) []byte {
	var fields []string
	for _, name := range keptHeaders() {
		for _, value := range answer.Header[name] {
			fields = append(fields, name, value)
		}
	}
	text := binary.AppendUvarint(nil, uint64(len(fields)))
	for _, field := range fields {
		text = binary.AppendUvarint(text, uint64(len(field)))
		text = append(text, field...)
	}
	return append(text, answer.Body...)
}

func decodeAnswer(text []byte) (*pavise.Answer, bool) {
	fields, text, ok := takeNumber(text)
	if !ok || fields%2 != 0 || fields > len(text) {
		return nil, false
	}
	answer := &pavise.Answer{Header: http.Header{}}
	pair := [2]string{}
	for i := range fields {
		var length int
		if length, text, ok = takeNumber(text); !ok || length > len(text) {
			return nil, false
		}
		pair[i%2], text = string(text[:length]), text[length:]
		if i%2 == 1 {
			answer.Header[pair[0]] = append(answer.Header[pair[0]], pair[1])
		}
	}
	answer.Body = text
	return answer, true
}

func takeNumber(text []byte) (n int, rest []byte, ok bool) {
	number, size := binary.Uvarint(text)
	if size <= 0 || number > 1<<24 {
		return 0, nil, false
	}
	return int(number), text[size:], true
}
