package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// answer is what stands behind every gateway: the same bytes, with next to no work,
// so that what is measured is the gateway.
const answer = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n" +
	`{"id":"7","state":"open","items":[1,2,3]}`

// serveUpstream listens on the address that is its argument.
func serveUpstream(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("upstream: want an address")
	}
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil // it was closed
		}
		all.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer func() { _ = conn.Close() }()
			answerAll(conn)
		})
	}
}

func answerAll(conn net.Conn) {
	buffer := make([]byte, 16<<10)
	have := 0
	for {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		have += n
		for {
			whole := requestLength(buffer[:have])
			if whole == 0 {
				break
			}
			copy(buffer, buffer[whole:have])
			have -= whole
			if _, err := conn.Write([]byte(answer)); err != nil {
				return
			}
		}
		if have == len(buffer) {
			return // longer than any request of ours
		}
	}
}

// requestLength returns how many bytes the first request has; 0: it is not whole.
func requestLength(b []byte) int {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0
	}
	length := head + 4
	if at := bytes.Index(bytes.ToLower(b[:head]), []byte("\r\ncontent-length:")); at >= 0 {
		value, _, _ := bytes.Cut(b[at+len("\r\ncontent-length:"):], []byte("\r\n"))
		n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil {
			return 0
		}
		length += n
	}
	if len(b) < length {
		return 0
	}
	return length
}
