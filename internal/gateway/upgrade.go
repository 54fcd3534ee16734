package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// upgradeTo joins the caller's connection with the upstream's after a 101
// (RFC 9110 §7.8). It ends when both sides have, when nothing was said for the
// idle time, or when the credential does.
func (x *exchange) upgradeTo(rep reply) {
	up := rep.tunnel()
	head := x.switchingHead(rep.head())
	_ = x.SetReadDeadline(time.Time{}) // the tunnel has its own deadlines
	down, buffered, err := x.Hijack()
	if err != nil {
		x.u.s.Fail(x.w, x.r, shield.Refuse(shield.UpstreamFailed, "take over the caller's connection for an upgrade: %v", err))
		return
	}
	defer func() { _ = down.Close() }() // whatever ended it, both ends are closed
	x.result.Note = "upgraded"
	if _, err := io.WriteString(down, head); err != nil {
		x.result.Note = "upgraded, client_gone"
		x.u.s.Report(x.r, x.result)
		return
	}
	tunnel := &tunnel{idle: x.u.s.Timeouts.Idle, up: up, down: &hijacked{Conn: down, rest: buffered.Reader}}
	x.watch(tunnel)
	why := tunnel.run()
	if ended := x.ended.Load(); ended != nil {
		why = *ended
	}
	if why != "" {
		x.result.Note = "upgraded, " + why
	}
	x.u.s.Report(x.r, x.result)
}

func (x *exchange) switchingHead(h *responseHead) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	for i := range h.fields {
		if f := &h.fields[i]; !x.keeps(f) && (f.name != "X-Request-Id" || x.requestID == "") {
			_, _ = fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
	}
	if x.requestID != "" {
		_, _ = fmt.Fprintf(&b, "X-Request-Id: %s\r\n", x.requestID)
	}
	_, _ = fmt.Fprintf(&b, "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", x.upgrade)
	return b.String()
}

// hijacked reads what the server had buffered first.
type hijacked struct {
	net.Conn
	rest io.Reader // the server's bufio.Reader over Conn
}

func (h *hijacked) Read(p []byte) (int, error) { return h.rest.Read(p) }

func (h *hijacked) CloseWrite() error { return closeWrite(h.Conn) }

// tunnel copies bytes both ways. One side's end is passed on as the end of that
// direction only.
type tunnel struct {
	idle     time.Duration
	up, down net.Conn

	mu     sync.Mutex
	broken bool
	last   time.Time // when a byte last passed, either way
}

// run returns why the tunnel ended: "" when both sides closed it in order.
func (t *tunnel) run() string {
	t.last = time.Now()
	ends := make(chan string, 2)
	go func() { ends <- t.copy(t.up, t.down, "client") }()
	go func() { ends <- t.copy(t.down, t.up, "upstream") }()
	why := <-ends
	if why != "" {
		t.interrupt()
	}
	if second := <-ends; why == "" {
		why = second
	}
	return why
}

// copy passes bytes from src to dst until src ends.
func (t *tunnel) copy(dst, src net.Conn, from string) string {
	buffer := make([]byte, 16<<10)
	for {
		t.arm(src.SetReadDeadline)
		n, err := src.Read(buffer)
		if n > 0 {
			t.passed()
			t.arm(dst.SetWriteDeadline)
			if _, werr := dst.Write(buffer[:n]); werr != nil {
				return t.why(werr, from+" spoke to nobody")
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = closeWrite(dst) // it may be gone; then the other direction ends too
			return ""
		case err != nil && isTimeout(err) && !t.rested():
		case err != nil:
			return t.why(err, from+"_aborted")
		}
	}
}

func (t *tunnel) why(err error, other string) string {
	if isTimeout(err) {
		return "idle"
	}
	return other
}

func (t *tunnel) passed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
}

// rested reports whether nothing passed either way for the idle time.
func (t *tunnel) rested() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken || time.Since(t.last) >= t.idle
}

func (t *tunnel) arm(set func(time.Time) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.broken {
		_ = set(t.last.Add(t.idle)) // closed: the next read or write says so
	}
}

// interrupt implements interruptible.
func (t *tunnel) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = true
	past := time.Unix(1, 0)
	_ = t.up.SetDeadline(past) // closed already: all the better
	_ = t.down.SetDeadline(past)
}
