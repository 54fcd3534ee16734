package app

import (
	"context"

	"pavise.dev/pavise/internal/config"
)

// administer opens the administration of the installation.
func (a *App) administer(*config.File) (stopper, error) { return nobody{}, nil }

type nobody struct{}

func (nobody) Shutdown(context.Context) error { return nil }
