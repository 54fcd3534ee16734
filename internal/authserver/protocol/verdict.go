package protocol

import (
	"context"
	"errors"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/authserver/grants"
)

// away says that a store could not answer: nothing is decided, nothing counted, and whoever
// asks may come again (DESIGN §7). The call remembers it, because some of the library's
// hooks can say only yes or no, and others take every error for a bad credential.
func away(ctx context.Context, err error) error {
	if _, known := errors.AsType[verdict](err); err == nil || known {
		return err
	}
	if c := callOf(ctx); c != nil {
		c.away = err
	}
	return verdict{undecided(err)}
}

// notFound is the library's word for what there is not; any other error is a store's.
func notFound(ctx context.Context, err error) error {
	if errors.Is(err, grants.ErrUnknown) {
		return goidc.ErrNotFound
	}
	return away(ctx, err)
}

// verdict is a decision of ours that passes through the library as an error. The library
// wraps what its stores say in codes of its own choice; [faultOf] finds it again.
type verdict struct{ fault *Fault }

func (v verdict) Error() string {
	if v.fault.Detail != "" {
		return v.fault.Detail
	}
	return v.fault.Code + " " + v.fault.Description
}
