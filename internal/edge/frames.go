package edge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// frames is an HTTP/2 connection under net/http's implementation. It changes no
// byte. It looks at the frames on their way:
//
//   - in: frames that only cost work are paid for from a budget, which time and
//     requests fill; a peer that overdraws it is disconnected. net/http bounds what such
//     frames make it keep, but not how many it will process.
//   - in: fields of a header block that net/http answers for by itself, without a
//     handler, become faults (fields.go).
//   - out: RST_STREAM and GOAWAY with an error are net/http's refusals of malformed
//     streams and connections; each becomes a fault.
//
// It deliberately has no ConnectionState method: see newHTTP2.
type frames struct {
	net.Conn // TLS, but only as a net.Conn
	sock     *socket
	in       frameReader
	out      frameReader
	outMu    sync.Mutex // writes may come from several goroutines
	mu       sync.Mutex // of what follows: both directions use it
	cost     budget
	resets   budget
	over     bool
	inside   bool // a deadline for the rest of a frame or header block is set
	closed   sync.Once
	fields   fields

	early  [64]uint32 // the streams that were answered last before their bodies had come, a ring
	earlyN int        // how many ever were
}

// Types of frames (RFC 9113 §6), and their flag for the end of a header block.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameGoAway       = 0x7
	frameContinuation = 0x9
	flagEndStream     = 0x1
	flagEndHeaders    = 0x4
	flagPadded        = 0x8
	flagPriority      = 0x20
)

// What a peer may spend. A gRPC client sends a PING and a WINDOW_UPDATE for each bit of
// data it receives, so each frame of data or of an answer pays for some.
const (
	costBurst      = 2000 // frames at once
	costPerSecond  = 200
	costPerData    = 8 // earned by each DATA or HEADERS frame, in or out
	resetBurst     = 200
	resetPerSecond = 30
	resetPerAnswer = 0.5 // earned by each answer: a proxy may cancel every third request, a flood gets no answers
)

func newFrames(sock *socket, secure net.Conn) *frames {
	now := time.Now()
	f := &frames{
		Conn: secure, sock: sock,
		cost:   budget{left: costBurst, full: costBurst, perSecond: costPerSecond, at: now},
		resets: budget{left: resetBurst, full: resetBurst, perSecond: resetPerSecond, at: now},
	}
	f.in.skip = len(preface)
	f.in.fragment = f.fields.write
	f.fields.init(sock.server.limits)
	return f
}

// preface is what a client sends before its first frame (RFC 9113 §3.4); that
// it is right, net/http checks.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// budget is a bucket of frames.
type budget struct {
	left, full, perSecond float64
	at                    time.Time
}

func (b *budget) spend(now time.Time) bool {
	b.left = min(b.left+now.Sub(b.at).Seconds()*b.perSecond, b.full)
	b.at = now
	b.left--
	return b.left >= 0
}

func (b *budget) earn(n float64) { b.left = min(b.left+n, b.full) }

// Read implements net.Conn.
func (f *frames) Read(p []byte) (int, error) {
	f.limitFrame()
	n, err := f.Conn.Read(p)
	if n == 0 {
		if f.inside && isTimeout(err) {
			return 0, f.end(&reject{Timeout, 0, "a frame or a header block took too long"})
		}
		return 0, err
	}
	var bad *reject
	f.in.next(p[:n], func(h frameHeader, _ []byte) {
		if bad == nil {
			bad = f.received(h)
		}
	})
	if bad != nil {
		return 0, f.end(bad)
	}
	if refused := f.fields.take(); refused != nil {
		f.report(refused) // net/http answers
	}
	return n, err
}

// limitFrame bounds the time for what has begun. Between frames net/http's own
// limits hold: those on idle connections, and ours on each stream.
func (f *frames) limitFrame() {
	switch begun := f.in.begun(); {
	case begun && !f.inside:
		f.inside = true
		wait := f.sock.server.limits.Header
		if f.in.current.kind == frameData {
			wait = f.sock.server.limits.Stall
		}
		_ = f.Conn.SetReadDeadline(time.Now().Add(wait)) // a closed connection fails the read
	case !begun && f.inside:
		f.inside = false
		_ = f.Conn.SetReadDeadline(time.Time{})
	}
}

// received accounts for a frame of the peer's.
func (f *frames) received(h frameHeader) *reject {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case h.kind == frameHeaders, h.kind == frameData && h.length > 0:
		f.cost.earn(costPerData)
		return nil
	case h.kind == frameReset:
		if !f.resets.spend(time.Now()) {
			return &reject{Flood, 0, "the client opens and resets too many streams"}
		}
	case h.kind == frameData && h.flags&flagEndStream != 0:
		return nil // the empty frame that ends a body
	}
	if !f.cost.spend(time.Now()) {
		return &reject{Flood, 0, fmt.Sprintf("too many frames that carry nothing; the last was of type %d", h.kind)}
	}
	return nil
}

// Write implements net.Conn.
func (f *frames) Write(p []byte) (int, error) {
	f.outMu.Lock()
	f.out.next(p, f.sent)
	f.outMu.Unlock()
	return f.Conn.Write(p)
}

// sent looks for net/http's refusals among its frames.
func (f *frames) sent(h frameHeader, payload []byte) {
	switch h.kind {
	case frameData, frameHeaders:
		f.mu.Lock()
		f.cost.earn(costPerData)
		if h.kind == frameHeaders {
			f.resets.earn(resetPerAnswer)
		}
		f.mu.Unlock()
	case frameReset:
		f.sentReset(h.stream, binary.BigEndian.Uint32(payload))
	case frameGoAway:
		if code := binary.BigEndian.Uint32(payload[4:]); code != 0 {
			f.report(&reject{BadFrames, 0, "net/http ended the connection: " + errorName(code)})
		}
	}
}

// sentReset reports a reset for a fault of the peer's, and makes it pay: a peer can
// provoke resets as it can send them.
func (f *frames) sentReset(stream, code uint32) {
	switch code {
	case 0x0: // NO_ERROR after an early answer (RFC 9113 §8.1)
		f.mu.Lock()
		f.early[f.earlyN%len(f.early)] = stream
		f.earlyN++
		f.mu.Unlock()
		return
	case 0x2, 0x8: // INTERNAL_ERROR and CANCEL are our side's
		return
	case 0x5: // STREAM_CLOSED
		if f.onItsWay(stream) {
			return
		}
	}
	f.report(&reject{BadStream, 0, "net/http reset a stream: " + errorName(code)})
	f.mu.Lock()
	over := !f.resets.spend(time.Now())
	f.mu.Unlock()
	if over {
		_ = f.end(&reject{Flood, 0, "the client makes too many streams fail"}) // the next read fails
	}
}

// onItsWay reports whether what came for a stream is the rest of a body that was under way
// when the answer was sent: no fault of the peer's (RFC 9113 §5.1, "closed"). It is paid for as
// a frame that costs work, so that a peer that goes on for long is ended all the same.
func (f *frames) onItsWay(stream uint32) bool {
	f.mu.Lock()
	is := slices.Contains(f.early[:], stream)
	over := false
	if is {
		f.cost.earn(-costPerData) // the frame has earned that as one that carries something
		over = !f.cost.spend(time.Now())
	}
	f.mu.Unlock()
	if over {
		_ = f.end(&reject{Flood, 0, "the client goes on sending after the answer"}) // the next read fails
	}
	return is
}

// end disconnects the peer, and reports it once.
func (f *frames) end(bad *reject) error {
	f.mu.Lock()
	again := f.over
	f.over = true
	f.mu.Unlock()
	if !again {
		f.report(bad)
	}
	_ = f.sock.Close() // it is at an end either way
	return errEnded
}

var errEnded = errors.New("the edge ended the HTTP/2 connection")

func (f *frames) report(bad *reject) {
	f.sock.server.fault(f.sock.newFault(StepHTTP2, bad))
}

// Close implements net.Conn.
func (f *frames) Close() (err error) {
	f.closed.Do(func() {
		err = f.Conn.Close()
		f.sock.leave() // also where TLS could not say farewell
	})
	return err
}

var _ net.Conn = (*frames)(nil)

// frameHeader is the part of a frame's header that frames needs.
type frameHeader struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

// frameReader follows the frames in a stream of bytes (RFC 9113 §4.1), however
// they are split. It keeps the first eight bytes of each payload.
type frameReader struct {
	skip    int // bytes before the next header
	header  [9]byte
	have    int // bytes of header
	current frameHeader
	want    int // bytes of payload to keep
	payload [8]byte
	kept    int
	block   bool // inside a header block that has not ended

	fragment func(piece []byte, end bool) // takes the header blocks, if set; end comes alone, after the last piece
	lead     int                          // bytes of the payload before its fragment: pad length and priority
	pad      int                          // bytes after it; -1 until the pad length was read
}

// begun says that a frame or a header block has begun and not ended.
func (r *frameReader) begun() bool { return r.have > 0 || r.skip > 0 || r.block }

// next calls each for every frame whose header and start of payload are complete.
func (r *frameReader) next(b []byte, each func(frameHeader, []byte)) {
	for len(b) > 0 {
		switch {
		case r.have == len(r.header) && r.kept < r.want:
			n := copy(r.payload[r.kept:r.want], b)
			r.kept, r.skip, b = r.kept+n, r.skip-n, b[n:]
			if r.kept == r.want {
				each(r.current, r.payload[:r.kept])
			}
		case r.skip > 0:
			n := min(r.skip, len(b))
			if r.isBlock() && r.fragment != nil {
				r.feed(b[:n])
			}
			r.skip, b = r.skip-n, b[n:]
		default:
			if r.have == len(r.header) {
				r.have = 0
			}
			n := copy(r.header[r.have:], b)
			r.have, b = r.have+n, b[n:]
			if r.have == len(r.header) {
				r.start(each)
			}
		}
		if r.have == len(r.header) && r.skip == 0 {
			r.have = 0
			if r.isBlock() && !r.block && r.fragment != nil {
				r.fragment(nil, true)
			}
		}
	}
}

func (r *frameReader) isBlock() bool {
	return r.current.kind == frameHeaders || r.current.kind == frameContinuation
}

// feed passes on what of a piece of a payload belongs to the header block.
// r.skip bytes of the payload remain, those of b included.
func (r *frameReader) feed(b []byte) {
	if r.pad < 0 {
		r.pad = int(b[0])
	}
	lead := min(r.lead, len(b))
	r.lead -= lead
	end := min(len(b), r.skip-r.pad)
	if end > lead {
		r.fragment(b[lead:end], false)
	}
}

// start begins a payload.
func (r *frameReader) start(each func(frameHeader, []byte)) {
	h := &r.header
	r.current = frameHeader{
		length: int(h[0])<<16 | int(h[1])<<8 | int(h[2]),
		kind:   h[3], flags: h[4],
		stream: binary.BigEndian.Uint32(h[5:]) &^ (1 << 31),
	}
	r.skip, r.kept, r.want = r.current.length, 0, 0
	switch {
	case r.current.kind == frameReset && r.skip >= 4:
		r.want = 4
	case r.current.kind == frameGoAway && r.skip >= 8:
		r.want = 8
	}
	if r.current.kind == frameHeaders || r.current.kind == frameContinuation {
		r.block = r.current.flags&flagEndHeaders == 0
		r.lead, r.pad = 0, 0
		if r.current.kind == frameHeaders && r.current.flags&flagPadded != 0 {
			r.lead, r.pad = 1, -1
		}
		if r.current.kind == frameHeaders && r.current.flags&flagPriority != 0 {
			r.lead += 5
		}
	}
	if r.want == 0 && (r.current.kind != frameReset && r.current.kind != frameGoAway) {
		each(r.current, nil)
	}
}

func errorName(code uint32) string {
	names := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
		"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if int(code) < len(names) {
		return names[code]
	}
	return fmt.Sprintf("error %d", code)
}
