package admin

import (
	"net"
	"syscall"
)

// peerOf asks the kernel who connected (SO_PEERCRED). Whom it does not name may do
// nothing.
func peerOf(c net.Conn) Actor {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return Actor{}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return Actor{}
	}
	var credentials *syscall.Ucred
	var fault error
	if err := raw.Control(func(fd uintptr) {
		credentials, fault = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || fault != nil {
		return Actor{}
	}
	return actorFor(int(credentials.Uid))
}
