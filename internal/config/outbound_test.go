package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

func loadOutbound(t *testing.T, text string) (*config.Outbound, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "outbound.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadOutbound(name)
}

func TestOutboundCalls(t *testing.T) {
	o, err := loadOutbound(t, `
certificate: {server: "https://pki.example.com", file: web.pem, token_file: token}
calls:
  orders: {listen: 127.0.0.1:9001, to: "https://orders.internal:8443", ca: own, server_name: "uri:spiffe://pavise.internal/orders", profiles: shop}
  pay:    {listen: "unix:/run/pavise/pay.sock", to: "https://pay.internal", profiles: ["p.yaml:a", b], max_signed: 5MiB, timeout: 5s}
  six:    {listen: "[::1]:9001", to: "https://[::1]:8443/"}
  wide:   {listen: 0.0.0.0:9002, to: "https://10.0.0.7", insecure_listen: {reason: only this pod reaches it}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if c := o.Calls["orders"]; c.MaxSigned != 1<<20 || c.Timeout.Seconds() != 30 || len(c.Profiles) != 1 {
		t.Errorf("%+v", c)
	}
	if found := o.Insecure(); len(found) != 1 || found[0].Path != "calls.wide.insecure_listen" || found[0].Reason != "only this pod reaches it" {
		t.Errorf("%+v", found)
	}
	if got := o.Abs("web.pem"); got != filepath.Join(o.Dir, "web.pem") {
		t.Error(got)
	}
}

func TestOutboundCallsThatCannotWork(t *testing.T) {
	call := func(rest string) string { return "calls:\n  orders: {listen: 127.0.0.1:9001, " + rest + "}\n" }
	for name, one := range map[string]struct{ text, want string }{
		"nothing":             {"", "the file is empty"},
		"no settings":         {"- a\n", "the file holds no settings"},
		"no calls":            {"certificate: {file: web.pem}\n", "calls is missing"},
		"empty calls":         {"calls: {}\n", "there are no calls"},
		"misspelled":          {"calls:\n  orders: {lissten: 127.0.0.1:9001, to: \"https://a\"}\n", "did you mean listen?"},
		"no destination":      {"calls:\n  orders: {listen: 127.0.0.1:9001}\n", "to is missing"},
		"plain HTTP":          {call("to: http://a"), "https://orders.internal:8443"},
		"a path":              {call("to: https://a/v1"), "without a path"},
		"a user":              {call("to: https://u:p@a"), "https://orders.internal:8443"},
		"no host":             {call("to: https://:8443"), "is no address"},
		"no port":             {call("to: https://a:99999"), "is no address"},
		"others reach it":     {"calls:\n  orders: {listen: 0.0.0.0:9001, to: https://a}\n", "insecure_listen"},
		"a name":              {"calls:\n  orders: {listen: localhost:9001, to: https://a}\n", "no IP address with a port"},
		"insecure in vain":    {call("to: https://a, insecure_listen: {reason: nobody knows why}"), "from this machine alone"},
		"no reason":           {"calls:\n  orders: {listen: 0.0.0.0:9001, to: https://a, insecure_listen: {reason: x}}\n", "reason"},
		"a relative socket":   {"calls:\n  orders: {listen: \"unix:a.sock\", to: https://a}\n", "no path of a socket"},
		"an insecure socket":  {"calls:\n  orders: {listen: \"unix:/a.sock\", to: https://a, insecure_listen: {reason: nobody knows why}}\n", "its owner alone"},
		"own without one":     {call("to: https://a, ca: own"), "add certificate"},
		"no such CA":          {call("to: https://a, ca: none.pem"), "there is no file none.pem"},
		"a typed name":        {call("to: https://a, server_name: \"uri:spiffe://a/b\""), "write ca: own"},
		"twice":               {"calls:\n  a: {listen: 127.0.0.1:9001, to: https://a}\n  b: {listen: 127.0.0.1:9001, to: https://b}\n", "the address of a already"},
		"a token for nothing": {"certificate: {file: web.pem, token_file: t}\n" + call("to: https://a"), "of no use without a server"},
		"a server by HTTP":    {"certificate: {file: web.pem, server: http://pki}\n" + call("to: https://a"), "write https://pki.example.com"},
		"no file":             {"certificate: {server: https://pki}\n" + call("to: https://a"), "file is missing"},
		"too much":            {call("to: https://a, max_signed: 1GiB"), "64MiB"},
		"a doubled profile":   {call("to: https://a, profiles: [a, a]"), "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadOutbound(t, one.text)
			problems, ok := errors.AsType[config.Problems](err)
			if !ok {
				t.Fatalf("%v", err)
			}
			text := ""
			for _, p := range problems {
				text += p.String() + " " + p.Hint + "\n"
				if p.Pos.Line == 0 {
					t.Errorf("no place: %s", p)
				}
			}
			if !strings.Contains(text, one.want) || strings.Contains(text, "pavise init") || strings.Contains(text, "u:p@") {
				t.Errorf("%s\nwant %q", text, one.want)
			}
		})
	}
}

func TestOutboundSchemaIsMadeOfTheTags(t *testing.T) {
	text, err := config.OutboundSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"calls"`, `"insecure_listen"`, `"additionalProperties": false`, `"max_signed"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it says nothing of %s", want)
		}
	}
}
