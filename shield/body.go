package shield

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Body is a request's body that a shield may look at before the upstream gets
// it. Nothing is read until somebody asks; what was read is kept and handed out
// again. It belongs to one request and is not safe for concurrent use.
type Body struct {
	source io.ReadCloser
	limit  int64
	head   []byte // what [Body.Peek] has read, and Read has not handed out
	kept   []byte
	loaded bool
	err    error
	offset int
	value  any
}

// NewBody wraps source; [Body.Bytes] reads at most limit bytes of it.
func NewBody(source io.ReadCloser, limit int64) *Body {
	if source == nil {
		source = http.NoBody
	}
	return &Body{source: source, limit: limit}
}

// BodyOf returns the request's body as a *Body. It is an error if the guard did
// not put one there, which means that the shield's Needs did not ask for it.
func BodyOf(r *http.Request) (*Body, error) {
	b, ok := r.Body.(*Body)
	if !ok {
		return nil, fmt.Errorf("the request's body was not made readable: Needs.Body is zero")
	}
	return b, nil
}

// Bytes returns the whole body, reading it once. The bytes are shared and must
// not be changed. A body over the limit is refused with [TooLarge] (413).
func (b *Body) Bytes() ([]byte, error) {
	if !b.loaded {
		b.loaded = true
		b.kept, b.err = readAtMost(io.MultiReader(bytes.NewReader(b.head), b.source), b.limit)
		b.head = nil
	}
	return b.kept, b.err
}

// Kept returns the whole body if somebody has read it; nothing is read for it.
func (b *Body) Kept() (text []byte, ok bool) { return b.kept, b.loaded && b.err == nil }

// Peek returns how the body begins, at most n bytes, and leaves it as it is: a stream stays one.
// The bytes are shared and must not be changed.
func (b *Body) Peek(n int) ([]byte, error) {
	if b.loaded {
		return b.kept[:min(n, len(b.kept))], b.err
	}
	if missing := n - len(b.head); missing > 0 {
		more, err := io.ReadAll(io.LimitReader(b.source, int64(missing)))
		if err != nil {
			return nil, Refuse(BadHeader, "read the body: %v", err)
		}
		b.head = append(b.head, more...)
	}
	return b.head[:min(n, len(b.head))], nil
}

func readAtMost(source io.Reader, limit int64) ([]byte, error) {
	kept, err := io.ReadAll(io.LimitReader(source, limit+1))
	if err != nil {
		return nil, Refuse(BadHeader, "read the body: %v", err)
	}
	if int64(len(kept)) > limit {
		return nil, Refuse(TooLarge, "the body is longer than the %d bytes that may be signed", limit)
	}
	return kept, nil
}

// Read hands the body on: the kept bytes if [Body.Bytes] read them, the stream
// itself otherwise.
func (b *Body) Read(p []byte) (int, error) {
	if !b.loaded {
		if len(b.head) > 0 {
			n := copy(p, b.head)
			b.head = b.head[n:]
			return n, nil
		}
		return b.source.Read(p)
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.offset >= len(b.kept) {
		return 0, io.EOF
	}
	n := copy(p, b.kept[b.offset:])
	b.offset += n
	return n, nil
}

// Rewind makes Read start again at the first byte; false if the body is a stream
// that nobody kept.
func (b *Body) Rewind() bool {
	if b.loaded && b.err == nil {
		b.offset = 0
		return true
	}
	return false
}

// Close closes the stream below.
func (b *Body) Close() error { return b.source.Close() }

// Value is what a layer read the body as ([Body.Understood]): a value as encoding/json makes
// them with UseNumber, shared, not to be changed. nil: nobody has.
func (b *Body) Value() any { return b.value }

// Understood keeps the value that the body was read as, for layers that come after.
func (b *Body) Understood(value any) { b.value = value }

// ReplaceBody gives the request another body, which whoever comes after reads and the
// upstream gets. Fields that tell of the earlier bytes are removed: digests, and the coding.
// The body must be one that was read ([Body.Bytes]).
func ReplaceBody(r *http.Request, text []byte) error {
	b, err := BodyOf(r)
	if err != nil {
		return err
	}
	if !b.loaded || b.err != nil {
		return fmt.Errorf("the body is replaced before it was read")
	}
	b.kept, b.offset, b.value = text, 0, nil
	r.ContentLength, r.TransferEncoding = int64(len(text)), nil
	for _, name := range []string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Content-Encoding", "Transfer-Encoding"} {
		delete(r.Header, name)
	}
	if _, ok := r.Header["Content-Length"]; ok {
		r.Header["Content-Length"] = []string{strconv.Itoa(len(text))}
	}
	return nil
}

// ReplaceQuery gives the request another query, escaped, which whoever comes after reads and
// the upstream gets.
func ReplaceQuery(r *http.Request, raw string) {
	r.URL.RawQuery, r.URL.ForceQuery = raw, false
	if r.RequestURI == "" {
		return // a request of a client
	}
	r.RequestURI, _, _ = strings.Cut(r.RequestURI, "?")
	if raw != "" {
		r.RequestURI += "?" + raw
	}
}

// maxForm is the longest form that [FormOf] looks at, in bytes.
const maxForm = 64 << 10

// FormOf returns the parameters of a body that is a form
// (application/x-www-form-urlencoded), where the guard keeps the body anyway and its
// announced length is at most 64 KiB and within what may be kept; otherwise nil, and
// nothing was read. What can be parsed of a broken form counts.
func FormOf(r *http.Request) url.Values {
	body, ok := r.Body.(*Body)
	if !ok || r.ContentLength <= 0 || r.ContentLength > min(maxForm, body.limit) {
		return nil
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return nil
	}
	text, err := body.Bytes()
	if err != nil {
		return nil // whoever needs the body gets the same error
	}
	values, _ := url.ParseQuery(string(text))
	return values
}
