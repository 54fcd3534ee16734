package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// upload sends a long or endless body beside the reading of the answer, so that
// both sides may talk at once. It is owned by the exchange, which waits for it.
type upload struct {
	c    *conn1
	x    *exchange
	done chan struct{}
	eof  atomic.Bool // the caller's body was read to its end

	mu     sync.Mutex
	headed bool   // the answer's head is there: its deadline is no longer ours to set
	caller *fault // the caller's body failed
	err    error  // sending failed
}

func (c *conn1) startUpload() {
	x := c.x
	x.body.touched = true
	if x.r.ProtoMajor == 1 {
		_ = x.EnableFullDuplex() // not supported: then the server reads the body first, and only the order suffers
	}
	c.upload = &upload{c: c, x: x, done: make(chan struct{})}
	_ = c.nc.SetReadDeadline(time.Time{}) // the answer's time starts when the body was sent
	if c.interrupted.Load() {
		c.interrupt()
	}
	x.watch(c) // a body may take hours
	go c.upload.run()
}

func (up *upload) run() {
	defer close(up.done)
	buffer := up.x.u.buffers.get()
	defer up.x.u.buffers.put(buffer)
	err := up.copy(*buffer)
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.caller != nil {
		up.c.interrupt() // an unfinished body must not look whole
		return
	}
	up.err = err
	if !up.headed {
		up.c.arm(up.c.nc.SetReadDeadline, time.Now().Add(up.x.wait))
	}
}

func (up *upload) copy(buffer []byte) error {
	x, c := up.x, up.c
	left := x.body.length
	for {
		n, err := x.r.Body.Read(buffer)
		if left >= 0 {
			if int64(n) > left {
				return errors.New("the body is longer than its Content-Length")
			}
			left -= int64(n)
		}
		if err == io.EOF && left > 0 && x.body.length >= 0 {
			err = io.ErrUnexpectedEOF
		}
		if err == io.EOF {
			up.eof.Store(true)
		} else if err != nil {
			up.mu.Lock()
			up.caller = x.bodyFault(err)
			up.mu.Unlock()
			return err
		}
		c.arm(c.nc.SetWriteDeadline, time.Now().Add(x.u.s.Timeouts.Idle))
		if werr := up.send(buffer[:n], err == io.EOF); werr != nil {
			return fmt.Errorf("send the body: %w", werr)
		}
		if err == io.EOF {
			return nil
		}
	}
}

// send writes one piece in the framing of the request (RFC 9112 §7.1).
func (up *upload) send(piece []byte, last bool) error {
	bw := up.c.bw
	if up.x.body.length >= 0 {
		_, _ = bw.Write(piece)
		return bw.Flush()
	}
	if len(piece) > 0 {
		_, _ = fmt.Fprintf(bw, "%x\r\n", len(piece))
		_, _ = bw.Write(piece)
		line(bw, "\r\n")
	}
	if last {
		line(bw, "0\r\n")
		for _, name := range up.x.body.trailers {
			for _, value := range up.x.r.Trailer[name] {
				line(bw, name, ": ", value, "\r\n")
			}
		}
		line(bw, "\r\n")
	}
	return bw.Flush()
}

// headSeen says that the head of the answer is there.
func (up *upload) headSeen() {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.headed = true
}

// callersFault returns what the caller did wrong with his body, if he did.
func (up *upload) callersFault() *fault {
	if up.x.r.Context().Err() != nil {
		up.stop() // net/http ends the context before the read of the body has said why
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.caller
}

// stop ends the sending if it still goes on, waits for it, and reports whether
// the whole body was sent.
func (up *upload) stop() bool {
	select {
	case <-up.done:
	default:
		up.c.interrupt()
		if !up.eof.Load() {
			up.x.unblockBody()
		}
		<-up.done
	}
	return up.err == nil && up.caller == nil
}

// closesAfter has an HTTP/1.1 caller's connection closed after the answer: the
// rest of his body would be read as his next request.
func closesAfter(h http.Header, r *http.Request) {
	if r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"}
	}
}
