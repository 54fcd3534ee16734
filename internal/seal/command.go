package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// commandTime is how long a command may take to print the master key.
const commandTime = 10 * time.Second

// RunMaster takes the master key from the output of a command, such as the client
// of a key store: one line of base64 for 32 bytes. argv[0] is the program; no
// shell is involved. It has ten seconds and 4 KiB. What it prints is in no error.
func RunMaster(ctx context.Context, argv ...string) (Master, error) {
	if len(argv) == 0 || argv[0] == "" {
		return Master{}, errors.New("master key: the command is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out := &bounded{left: maxKeyText}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdout = out
	command.WaitDelay = time.Second // for children that keep the pipe open
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return Master{}, fmt.Errorf("master key: %s did not finish within %s: %w", argv[0], commandTime, ctx.Err())
	case out.over:
		return Master{}, fmt.Errorf("master key: %s prints more than %d bytes; it must print the key alone", argv[0], maxKeyText)
	case err != nil:
		return Master{}, fmt.Errorf("master key: %s: %w; run it by hand as the same user to see why", argv[0], err)
	}
	m, err := parseMaster(out.text.Bytes())
	if err != nil {
		return Master{}, fmt.Errorf("master key from %s: %w", argv[0], err)
	}
	return m, nil
}

// bounded keeps the first bytes and fails when there are more.
type bounded struct {
	text bytes.Buffer
	left int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.over = true
		return 0, errors.New("too much output")
	}
	b.left -= len(p)
	return b.text.Write(p)
}
