//go:build !unix

package gateway

import (
	"errors"
	"net"
	"syscall"
)

// isQuiet cannot ask the socket here, so no connection is used twice: an answer
// that came unasked would be the next caller's.
func isQuiet(net.Conn) bool { return false }

// isReset reports whether the peer broke the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
