//go:build !unix

package gateway

import (
	"errors"
	"net"
	"syscall"
)

// isQuiet cannot ask the socket here; a closed connection shows when it is used.
func isQuiet(net.Conn) bool { return true }

// isReset reports whether the peer broke the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
