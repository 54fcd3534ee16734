package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever checks a configuration learns that it needs an authority, before a start is
// refused.
func TestConfigurationThatNeedsAnAuthorityIsKnown(t *testing.T) {
	plain := strings.Replace(ownHosts, "certificate: own", "certificate: local", 2)
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"a host with a certificate of it": {strings.Replace(ownHosts, "shield: mtls", "shield: api_key", 1), true},
		"a shield that trusts it":         {plain, true},
		"a certificate towards upstreams": {strings.NewReplacer("shield: mtls", "shield: api_key", "upstream: http://127.0.0.1:9", `upstream: {url: "https://127.0.0.1:9", client_certificate: own}`).Replace(plain), true},
		"nothing of it":                   {strings.Replace(plain, "shield: mtls", "shield: api_key", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pavise.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := WantsAuthority(f); got != c.want || !IsNew(f) {
				t.Errorf("%v, new: %v", got, IsNew(f))
			}
		})
	}
}
