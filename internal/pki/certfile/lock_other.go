//go:build !unix

package certfile

// tryLock does nothing: there is no lock that is known here.
func tryLock(string) (unlock func(), err error) { return func() {}, nil }
