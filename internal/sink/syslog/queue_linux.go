package syslog

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How often the kernel is asked: at first soon, then less often.
const (
	firstLook = 50 * time.Microsecond
	lastLook  = 5 * time.Millisecond
)

// acknowledged waits until the kernel has nothing left that the other machine has not
// acknowledged (SIOCOUTQ, tcp(7)).
func acknowledged(ctx context.Context, conn net.Conn) error {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask the kernel what is acknowledged: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		left, fault := 0, error(nil)
		if err := control.Control(func(fd uintptr) { left, fault = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return fmt.Errorf("ask the kernel what is acknowledged: %w", err)
		}
		if fault != nil || left == 0 {
			return nil // it cannot be known, or all is
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}
