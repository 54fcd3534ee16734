package outbound

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// listen listens at an address with a port, or on a socket.
func listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return l, nil
	}
	l, err := listenAt(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// maxPath is the longest path of a Unix socket, in bytes (unix(7)).
const maxPath = 107

// listenAt makes a socket for its owner alone. It is made in a folder that nobody else can
// enter, and put into its place when nobody else can open it: at no moment could another
// user connect.
func listenAt(path string) (net.Listener, error) {
	if err := vacant(path); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".s") // mode 0700
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is empty, or the error is told
	made := filepath.Join(folder, "s")
	if len(made) > maxPath || len(path) > maxPath {
		return nil, fmt.Errorf("the path is longer than a socket's can be (%d bytes with room for its making): choose a shorter one", maxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look for it where it was made
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: l, path: path}, nil
}

// probeTime is how long somebody who listens may take to be noticed.
const probeTime = time.Second

// vacant returns an error if somebody answers at a path, or something that is no socket
// lies there. A socket that is left of a program that is gone may be replaced.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("there is something else of this name; remove it, or choose another path")
	}
	nc, err := net.DialTimeout("unix", path, probeTime)
	if err == nil {
		_ = nc.Close() // it was only opened to see whether somebody answers
		return errors.New("another program answers there; stop it first")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

// socket is a listener whose socket was moved.
type socket struct {
	*net.UnixListener
	path string
}

// Close ends the listener and removes its socket.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if err == nil { // the first time
		_ = os.Remove(s.path) // it may have been removed; nobody answers there
	}
	return err
}

// Addr is where the socket is now.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }
