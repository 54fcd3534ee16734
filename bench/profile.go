package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"pavise.dev/pavise/internal/app"
)

// serveProfiled is `pavise serve` inside this program, with a CPU profile of the whole
// time; its arguments are the configuration and where the profile goes. Figures come
// from the real program, never from this one.
func serveProfiled(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("profiled: want a configuration and a file")
	}
	return profiled(args[1], func() error {
		file, err := app.Load(args[0])
		if err != nil {
			return err
		}
		running, err := app.Start(ctx, file, app.Options{Warn: func(err error) { fmt.Fprintln(os.Stderr, "warning:", err) }})
		if err != nil {
			return err
		}
		return running.Until(ctx, nil, nil, 5*time.Second)
	})
}

// profiled writes a CPU profile of what is done; without a name, none.
func profiled(name string, do func() error) error {
	if name == "" {
		return do()
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(fmt.Errorf("profile: %w", err), file.Close())
	}
	done := do()
	pprof.StopCPUProfile()
	return errors.Join(done, file.Close())
}

// profileOf names the profile of a program; empty: none is wanted.
func (t *track) profileOf(program string) string {
	if t.profiles == "" {
		return ""
	}
	return filepath.Join(t.profiles, program+".pprof")
}
