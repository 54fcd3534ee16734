package gateway

import (
	"crypto/tls"
	"time"
)

// hasNothingRead reports whether a TLS connection holds nothing that it has read
// from its socket and nobody has read from it. A read whose time is over looks
// only there.
func hasNothingRead(secure *tls.Conn) bool {
	if err := secure.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	var one [1]byte
	n, err := secure.Read(one[:])
	return n == 0 && isTimeout(err)
}
