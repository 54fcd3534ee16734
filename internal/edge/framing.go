package edge

import "bytes"

// takeFraming holds RFC 9112 §6.1 to §6.3 for the fields that say where a body
// ends: one way of saying it, once.
func (s *scanner) takeFraming(name, value []byte) *reject {
	switch {
	case is(name, "content-length"):
		if s.seen&hasLength != 0 {
			return &reject{BadFraming, 400, "there is more than one Content-Length"}
		}
		s.seen |= hasLength
		if len(value) == 0 || len(value) > maxLength || !all(value, digit) {
			return &reject{BadFraming, 400, "Content-Length is not a number of at most 18 digits"}
		}
		for _, c := range value {
			s.left = s.left*10 + int64(c-'0')
		}
	case is(name, "transfer-encoding"):
		if s.seen&hasChunked != 0 {
			return &reject{BadFraming, 400, "there is more than one Transfer-Encoding"}
		}
		s.seen |= hasChunked
		if string(value) != "chunked" {
			return &reject{BadCoding, 501, "Transfer-Encoding is not chunked alone"}
		}
	case is(name, "trailer"):
		if s.seen&hasTrailer != 0 {
			return &reject{BadHeader, 400, "there is more than one Trailer"}
		}
		s.seen |= hasTrailer
		return s.declareTrailers(value)
	}
	return nil
}

// endHead decides, when the head is complete, how the body is framed.
func (s *scanner) endHead() (done bool, bad *reject) {
	switch {
	case s.seen&isOld != 0 && s.seen&hasChunked != 0:
		return false, &reject{BadFraming, 400, "Transfer-Encoding stands in HTTP/1.0"}
	case s.seen&(hasHost|isOld) == 0:
		return false, &reject{BadHost, 400, "there is no Host"}
	case s.seen&hasLength != 0 && s.seen&hasChunked != 0:
		return false, &reject{BadFraming, 400, "Content-Length stands beside Transfer-Encoding"}
	case s.seen&hasTrailer != 0 && s.seen&hasChunked == 0:
		return false, &reject{BadHeader, 400, "Trailer stands without chunks"}
	case s.seen&hasChunked != 0:
		s.startChunk()
	case s.left > 0:
		s.state = inBody
	default:
		return true, nil
	}
	return false, nil
}

func (s *scanner) startChunk() { s.state, s.left, s.digits = inChunkSize, 0, 0 }

// nextBody takes bytes of a body: those of Content-Length, or the next part of
// the chunked coding (RFC 9112 §7.1). Chunk extensions (§7.1.1) are refused: no
// client is known to need one, and readers disagree about their ends.
func (s *scanner) nextBody(b []byte) (n int, done bool, bad *reject) {
	switch s.state {
	case inBody, inChunk:
		n = int(min(s.left, int64(len(b))))
		s.left -= int64(n)
		if s.left > 0 {
			return n, false, nil
		}
		if s.state == inBody {
			return n, true, nil
		}
		s.state = inChunkCR
		return n, false, nil
	case inChunkSize:
		return s.chunkSize(b)
	case inChunkSizeLF:
		if b[0] != '\n' {
			return 0, false, &reject{BadFraming, 400, "a chunk's size ends with CR alone"}
		}
		if s.left > 0 {
			s.state = inChunk
		} else {
			s.state, s.size, s.fields = inTrailers, 0, 0
		}
	case inChunkCR:
		if b[0] != '\r' {
			return 0, false, &reject{BadFraming, 400, "a chunk is longer than its size"}
		}
		s.state = inChunkLF
	case inChunkLF:
		if b[0] != '\n' {
			return 0, false, &reject{BadFraming, 400, "a chunk is not followed by CRLF"}
		}
		s.startChunk()
	}
	return 1, false, nil
}

// chunkSize reads 1*HEXDIG CR.
func (s *scanner) chunkSize(b []byte) (n int, done bool, bad *reject) {
	for n < len(b) {
		c := b[n]
		switch {
		case c == '\r' && s.digits > 0:
			s.state = inChunkSizeLF
			return n + 1, false, nil
		case c == ';':
			return n, false, &reject{BadFraming, 400, "a chunk has an extension"}
		case !isHex(c):
			return n, false, &reject{BadFraming, 400, "a chunk's size is not hexadecimal digits with CRLF right after them"}
		case s.digits == maxChunkDigits:
			return n, false, &reject{BadFraming, 400, "a chunk's size has too many digits"}
		}
		s.left = s.left<<4 | int64(hexDigit(c))
		s.digits++
		n++
	}
	return n, false, nil
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0xf + 9 // 'a' and 'A' end in 1
}

// declareTrailers checks the list of the Trailer field (RFC 9110 §6.6.2) and
// keeps it. Fields that frame, route, authenticate or change the meaning of the request
// must not come after its body (§6.5.1).
func (s *scanner) declareTrailers(value []byte) *reject {
	if len(value) > maxDeclared {
		return &reject{HeadersTooLarge, 431, "the Trailer field is too long"}
	}
	for name := range bytes.SplitSeq(value, []byte{','}) {
		name = bytes.Trim(name, " \t")
		if len(name) == 0 || !all(name, tchar) {
			return &reject{BadHeader, 400, "Trailer is not a list of field names"}
		}
		if neverTrailer(name) {
			return &reject{BadHeader, 400, "Trailer declares a field that must stand in the head"}
		}
	}
	s.declared = append(s.declared[:0], value...)
	return nil
}

func neverTrailer(name []byte) bool {
	for _, word := range [...]string{
		"authorization", "cache-control", "connection", "cookie", "expect", "forwarded", "host", "keep-alive", "max-forwards",
		"origin", "pragma", "prefer", "proxy-authorization", "proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade",
	} {
		if is(name, word) {
			return true
		}
	}
	return hasPrefix(name, "content-") || hasPrefix(name, "if-") || hasPrefix(name, "x-forwarded-")
}

func hasPrefix(name []byte, lower string) bool {
	return len(name) >= len(lower) && is(name[:len(lower)], lower)
}

// takeTrailer accepts a trailer field only if the head declared it.
func (s *scanner) takeTrailer(name []byte) *reject {
	for declared := range bytes.SplitSeq(s.declared, []byte{','}) {
		if bytes.EqualFold(bytes.Trim(declared, " \t"), name) {
			return nil
		}
	}
	return &reject{BadHeader, 400, "a trailer field was not declared"}
}
