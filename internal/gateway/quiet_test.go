package gateway_test

import (
	"io"
	"log"
)

// quietLog swallows what net/http says about broken connections: tests break many.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
