package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// field is one header field; its name is canonical.
type field struct{ name, value string }

// Bounds of an answer's head beside its bytes.
const (
	maxFields        = 256
	maxTrailerBytes  = 16 << 10
	maxInformational = 8 // 1xx answers before the final one
)

// errHead says that an upstream's answer is not HTTP/1.1 that all readers read
// alike. Nothing of such an answer is passed on.
var errHead = errors.New("the upstream's answer is not valid HTTP/1.1")

func badHead(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errHead, fmt.Sprintf(format, args...))
}

// responseHead is the head of an answer, read strictly (RFC 9112).
type responseHead struct {
	minor   int // of HTTP/1.x
	status  int
	fields  []field // reused
	length  int64   // Content-Length; -1: none
	chunked bool
	close   bool // Connection: close, or HTTP/1.0 without keep-alive
	upgrade string
	listed  []string // field names in Connection: they end here
}

// readLines appends the lines up to and with the empty one to dst, which may
// grow to limit bytes. Each line must end in CRLF.
func readLines(br *bufio.Reader, dst []byte, limit int) ([]byte, error) {
	start := len(dst)
	for {
		line, err := br.ReadSlice('\n')
		if len(dst)+len(line)-start > limit {
			return dst, badHead("its head is longer than %d bytes", limit)
		}
		lineStart := len(dst)
		dst = append(dst, line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = br.ReadSlice('\n')
			if len(dst)+len(line)-start > limit {
				return dst, badHead("its head is longer than %d bytes", limit)
			}
			dst = append(dst, line...)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(dst) > start {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
		length := len(dst) - lineStart
		if length < 2 || dst[len(dst)-2] != '\r' {
			return dst, badHead("a line ends without CR")
		}
		if length == 2 {
			return dst, nil
		}
	}
}

// parse reads a whole head: text ends with the empty line.
func (h *responseHead) parse(text string) error {
	*h = responseHead{fields: h.fields[:0], listed: h.listed[:0], length: -1}
	line, rest, _ := strings.Cut(text, "\r\n")
	if err := h.statusLine(line); err != nil {
		return err
	}
	var err error
	if h.fields, err = parseFields(h.fields, rest); err != nil {
		return err
	}
	return h.framing()
}

// statusLine reads "HTTP/1.1 200 reason" (RFC 9112 §4).
func (h *responseHead) statusLine(line string) error {
	if len(line) < len("HTTP/1.1 200") || !strings.HasPrefix(line, "HTTP/1.") || line[8] != ' ' {
		return badHead("status line %.40q", line)
	}
	if line[7] != '0' && line[7] != '1' {
		return badHead("version %.8q", line)
	}
	h.minor = int(line[7] - '0')
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return badHead("status %.3q", line[9:])
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || h.status > 599 || len(line) > 12 && line[12] != ' ' {
		return badHead("status line %.40q", line)
	}
	for i := 12; i < len(line); i++ {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return badHead("control character in the reason")
		}
	}
	return nil
}

// parseFields reads field lines up to the empty one (RFC 9112 §5).
func parseFields(dst []field, text string) ([]field, error) {
	for {
		line, rest, ok := strings.Cut(text, "\r\n")
		if !ok {
			return dst, badHead("the head has no end")
		}
		if line == "" {
			return dst, nil
		}
		if len(dst) == maxFields {
			return dst, badHead("it has more than %d fields", maxFields)
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 || !isToken(line[:colon]) {
			return dst, badHead("field line %.40q", line)
		}
		value := strings.Trim(line[colon+1:], " \t")
		if !isFieldValue(value) {
			return dst, badHead("control character in field %s", line[:colon])
		}
		dst = append(dst, field{http.CanonicalHeaderKey(line[:colon]), value})
		text = rest
	}
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// framing reads the fields that say where the body ends, without leniency
// (RFC 9112 §6): a disagreement here is how one answer becomes two.
func (h *responseHead) framing() error {
	keepAlive := false
	coded := false
	for _, f := range h.fields {
		switch f.name {
		case "Content-Length":
			n, err := contentLength(f.value)
			if err != nil {
				return err
			}
			if h.length >= 0 && h.length != n {
				return badHead("two different values of Content-Length")
			}
			h.length = n
		case "Transfer-Encoding":
			if coded || !strings.EqualFold(f.value, "chunked") || h.minor == 0 {
				return badHead("Transfer-Encoding %.40q", f.value)
			}
			coded, h.chunked = true, true
		case "Connection":
			h.close = h.close || hasToken([]string{f.value}, "close")
			keepAlive = keepAlive || hasToken([]string{f.value}, "keep-alive")
			h.listed = append(h.listed, connectionNames([]string{f.value})...)
		case "Upgrade":
			h.upgrade = f.value
		}
	}
	if h.chunked && h.length >= 0 {
		return badHead("both Content-Length and Transfer-Encoding")
	}
	h.close = h.close || h.minor == 0 && !keepAlive
	return nil
}

func contentLength(s string) (int64, error) {
	if s == "" || len(s) > 18 {
		return 0, badHead("Content-Length %.40q", s)
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, badHead("Content-Length %.40q", s)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, badHead("Content-Length %.40q", s)
	}
	return n, nil
}
