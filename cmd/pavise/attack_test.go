package main

import (
	"strings"
	"testing"
)

// FuzzHeaders: what is taken has names and values that a request can carry.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"Authorization: Bearer x\n", "# a\n\nX-Api-Key: 1\r\nCookie: a=b\n", "x", ":", "a:\x00", "Host: x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := parseHeaders(text)
		if err != nil {
			return
		}
		for name, values := range headers {
			for _, value := range values {
				if name == "" || value == "" || strings.ContainsAny(name+value, "\r\n\x00") {
					t.Errorf("%q: %q", name, value)
				}
			}
		}
	})
}
