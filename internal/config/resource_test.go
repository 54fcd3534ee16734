package config_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestResourcesAreTheAddressesUnlessOneIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name, text, resources, ports string
	}{
		{"the default port", base, "[https://api.example.com https://api.example.com:8443]", "[443 8443]"},
		{"the standard port", "listen: {https: \":443\"}\n" + base, "[https://api.example.com]", "[443]"},
		{"a port of chance", "listen: {https: \"127.0.0.1:0\"}\n" + base, "[https://api.example.com]", "[]"},
		{"an issuer's port", "oauth: {issuer: \"https://api.example.com:9443\"}\n" + base, "[https://api.example.com https://api.example.com:8443 https://api.example.com:9443]", "[443 8443 9443]"},
		{"one is named", strings.Replace(base, "    host: api", "    resource: https://api.example.com:7443/orders\n    host: api", 1), "[https://api.example.com:7443/orders]", "[443 7443 8443]"},
	} {
		f := mustParse(t, tc.text)
		if got := fmt.Sprint(f.Resources("orders")); got != tc.resources {
			t.Errorf("%s: resources %s, want %s", tc.name, got, tc.resources)
		}
		if got := fmt.Sprint(f.Ports()); got != tc.ports {
			t.Errorf("%s: ports %s, want %s", tc.name, got, tc.ports)
		}
	}
}

func TestWhatTheFetcherMayReach(t *testing.T) {
	for _, word := range []string{"127.0.0.1", "10.1.0.0/16", "login.internal", "http://127.0.0.1", "http://localhost:9998", "http://[::1]:80"} {
		mustParse(t, "fetch: {allow: [\""+word+"\"]}\n"+base)
	}
}
