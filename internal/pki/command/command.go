// Package command runs a program of the operator's that is told of something, such as the
// one that reloads a server after a certificate has changed: without a shell, for a bounded
// time, taking a bounded part of what it says.
//
// A program that starts another one and ends is done, also if that one goes on and holds
// its output: servers do so. What is still there when the time is over is killed.
package command

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

const (
	maxSaid = 4 << 10         // bytes of what it says that are kept
	grace   = 2 * time.Second // that its output is read after it has ended
)

// Run runs a command and returns the beginning of what it said.
func Run(ctx context.Context, words []string) (said string, err error) {
	if len(words) == 0 {
		return "", errors.New("there is no command")
	}
	var out beginning
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stdout, c.Stderr, c.WaitDelay = &out, &out, grace
	inGroup(c)
	err = c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and somebody whom it started still holds its output
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out.text), err
}

// beginning keeps the beginning of what is written. It belongs to one copying goroutine,
// because output and errors are the same writer.
type beginning struct{ text []byte }

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), maxSaid-len(b.text))]...)
	return len(p), nil
}
