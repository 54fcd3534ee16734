//go:build unix

package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// inGroup gives a command a process group of its own, so that what it has started ends with
// it when its time is over.
func inGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
