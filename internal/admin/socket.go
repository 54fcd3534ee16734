package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Times of the socket's server.
const (
	headTime  = 5 * time.Second
	callTime  = 60 * time.Second
	probeTime = time.Second
)

// maxSocketPath is the longest path of a Unix socket, in bytes (unix(7)).
const maxSocketPath = 107

// Listen makes the Unix socket: its folder for its owner alone, and so the socket.
// What is left of a gateway that is gone is removed; a socket that somebody
// answers on, and anything that is no socket, is left alone.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has more than %d bytes; set a shorter one as state.socket", path, maxSocketPath)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the socket: %w", err)
	}
	if info, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("folder of the socket: %w", err)
	} else if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("folder %s of the socket can be written by others (mode %o); run: chmod 700 %s", folder, mode, folder)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Between bind and chmod the mode is the umask's. Whoever connects then is asked
	// for by SO_PEERCRED like everybody.
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return listener, nil
}

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("socket %s: there is something else of this name; remove it, or set another path as state.socket", path)
	}
	connection, err := net.DialTimeout("unix", path, probeTime)
	if err == nil {
		_ = connection.Close() // it was only opened to see whether somebody answers
		return fmt.Errorf("socket %s: another gateway answers there; stop it first", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of a gateway that is gone: %w", err)
	}
	return nil
}

// Server serves a [Service] on a socket made by [Listen].
type Server struct{ server *http.Server }

// NewServer returns a server that knows who its peers are.
func NewServer(s *Service) *Server {
	return &Server{&http.Server{
		Handler: s, ReadHeaderTimeout: headTime, ReadTimeout: callTime, WriteTimeout: callTime, IdleTimeout: headTime,
		MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return WithActor(ctx, peerOf(c))
		},
	}}
}

// Serve answers until [Server.Shutdown]; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("administration socket: %w", err)
	}
	return nil
}

// Shutdown takes no new calls and waits for those under way, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(err, s.server.Close())
	}
	return nil
}

// CurrentUser is the actor of calls in this process.
func CurrentUser() Actor {
	return Actor{Name: userName(os.Getuid()), UID: os.Getuid(), Allowed: true}
}

// actorFor judges a user whom the kernel has named.
func actorFor(uid int) Actor {
	return Actor{Name: userName(uid), UID: uid, Allowed: uid == 0 || uid == os.Getuid()}
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}
