package shield_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
)

func TestOneHostHasOneName(t *testing.T) {
	for sent, want := range map[string]string{
		"api.test": "api.test", "API.Test": "api.test", "api.test:443": "api.test", "API.test:1": "api.test", "api.test:65535": "api.test",
		"127.0.0.1:8443": "127.0.0.1", "[::1]": "::1", "[::1]:443": "::1", "[2001:DB8::1]:443": "2001:db8::1",
	} {
		if name, ok := shield.HostName(sent); !ok || name != want {
			t.Errorf("%q: %q, %v; want %q", sent, name, ok, want)
		}
	}
	for _, sent := range []string{
		"", ":443", "api.test:", "api.test:0", "api.test:080", "api.test:65536", "api.test:99999", "api.test:4 3", "api.test:+43", "api.test:443:443",
		"[api.test]", "[api.test]:443", "[api.test", "api.test]", "api[.test", "[127.0.0.1]", "[127.0.0.1]:443", "[::1", "::1", "::1]", "[::1]443", "[::1]:0", "[fe80::1%eth0]", "[[::1]]", "[]",
	} {
		if name, ok := shield.HostName(sent); ok {
			t.Errorf("%q was taken for the host %q", sent, name)
		}
	}
}

func FuzzHostName(f *testing.F) {
	for _, seed := range []string{"api.test:443", "[::1]:443", "[api.test]", "API.test:080"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		name, ok := shield.HostName(sent)
		if !ok {
			return
		}
		if name == "" || strings.ContainsAny(name, "[]") {
			t.Fatalf("%q: %q", sent, name)
		}
		again := name
		if strings.Contains(name, ":") {
			again = "[" + name + "]"
		}
		if second, ok := shield.HostName(again); !ok || second != name {
			t.Fatalf("%q: %q, and of that %q, %v", sent, name, second, ok)
		}
	})
}
