//go:build !unix

package certfile

import "path/filepath"

// target is where a name leads.
func target(name string) (string, error) {
	if to, err := filepath.EvalSymlinks(name); err == nil {
		return to, nil
	}
	return name, nil
}

// place is where a name lies, whether or not it is a link itself.
func place(name string) (string, error) { return name, nil }
