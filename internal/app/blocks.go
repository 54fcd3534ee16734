package app

import "pavise.dev/pavise"

// blocks are the networks that are kept out, as the snapshot knows them.
func (a *App) blocks() pavise.Blocks {
	if a.State == nil {
		return nil // a configuration is only checked
	}
	return a.State.View
}
