//go:build !unix

package lock

import (
	"errors"
	"os"
)

func flock(*os.File) error { return errors.New("this system has no lock that Pavise knows") }
