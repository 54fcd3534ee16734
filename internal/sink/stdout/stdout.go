// Package stdout writes events to the program's standard output, one a line, for a collector
// that reads it there, as those of container platforms do.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
)

// Destination implements sink.Destination.
type Destination struct {
	out   io.Writer
	form  form.Form
	text  []byte
	under chan error // of a write that has not ended; nil: there is none
}

// New returns a destination that writes to out, and never closes it.
func New(out io.Writer, f form.Form) *Destination { return &Destination{out: out, form: f} }

// Send implements sink.Destination. A reader that is slow may hold up a write for as long as
// it likes: when the context ends, the write goes on, and the next Send waits for it first.
func (d *Destination) Send(ctx context.Context, events []audit.Found) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write to the standard output: %w", err)
	}
	if err := d.wait(ctx); err != nil {
		return err
	}
	d.text = d.text[:0]
	for _, e := range events {
		d.text = append(d.form(d.text, e), '\n')
	}
	under := make(chan error, 1)
	d.under = under
	go func() {
		n, err := d.out.Write(d.text)
		if err == nil && n < len(d.text) {
			err = io.ErrShortWrite
		}
		under <- err
	}()
	return d.wait(ctx)
}

// wait waits for the write that is under way.
func (d *Destination) wait(ctx context.Context) error {
	if d.under == nil {
		return nil
	}
	select {
	case err := <-d.under:
		d.under = nil
		if err != nil {
			return fmt.Errorf("write to the standard output: %w", err)
		}
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("write to the standard output: its reader does not read"), ctx.Err())
	}
}

// Close implements sink.Destination. The standard output stays open.
func (d *Destination) Close() error { return nil }
