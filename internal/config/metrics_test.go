package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

func TestMetricsAreToldToNoStranger(t *testing.T) {
	for name, c := range map[string]struct{ metrics, message, hint string }{
		"this machine":             {`127.0.0.1:9464`, "", ""},
		"this machine by name":     {`"localhost:9464"`, "", ""},
		"this machine's IPv6":      {`"[::1]:9464"`, "", ""},
		"any port of this machine": {`"127.0.0.1:0"`, "", ""},
		"this machine with a token": {
			`{address: "127.0.0.1:9464", token_file: t}`, "", "",
		},
		"everybody over TLS with a token":        {`{address: ":9464", host: api.example.com, token_file: t}`, "", ""},
		"everybody over TLS with a certificate":  {`{address: ":9464", host: api.example.com, client_ca: ca.pem}`, "", ""},
		"everybody for a reason":                 {`{address: ":9464", insecure_open: the network behind the firewall is ours}`, "", ""},
		"everybody with a token for a reason":    {`{address: ":9464", token_file: t, insecure_open: the network is ours}`, "", ""},
		"everybody over TLS for a reason":        {`{address: ":9464", host: api.example.com, insecure_open: all may know}`, "", ""},
		"everybody":                              {`":9464"`, "would cross the network without TLS", "host"},
		"everybody by address":                   {`0.0.0.0:9464`, "would cross the network without TLS", "insecure_open"},
		"everybody's IPv6":                       {`"[::]:9464"`, "would cross the network without TLS", "token_file"},
		"a name of the network":                  {`"metrics.example.com:9464"`, "would cross the network without TLS", ""},
		"a name that begins like this machine's": {`"localhost.example.com:9464"`, "would cross the network without TLS", ""},
		"a token without TLS":                    {`{address: "10.0.0.1:9464", token_file: t}`, "would cross the network without TLS", "host"},
		"TLS without a token":                    {`{address: "10.0.0.1:9464", host: api.example.com}`, "would learn how the gateway is", "token_file or client_ca"},
		"a reason without a need":                {`{address: "127.0.0.1:9464", insecure_open: the network is ours}`, "nobody else can read it without it", "remove"},
		"a reason beside TLS and a token":        {`{address: ":9464", host: api.example.com, token_file: t, insecure_open: the network is ours}`, "nobody else can read it", "remove"},
		"certificates without TLS":               {`{address: "127.0.0.1:9464", client_ca: ca.pem}`, "within TLS alone", "host"},
		"a host that is none":                    {`{address: "127.0.0.1:9464", host: api.exampel.com}`, "is not named under hosts", "did you mean api.example.com?"},
		"no address":                             {`{token_file: t}`, "address is missing", ""},
		"an address that is none":                {`"9464"`, "no address to listen on", "127.0.0.1:9464"},
		"the address of the TLS listener":        {`127.0.0.1:8443`, "another listener", "port of its own"},
		"the address of the plain listener":      {`127.0.0.1:8080`, "another listener", "port of its own"},
		"a setting that there is not":            {`{address: "127.0.0.1:9464", token: abc}`, "token", ""},
	} {
		_, err := parse("listen: {http: \"127.0.0.1:8080\", metrics: " + c.metrics + "}\n" + base)
		problems, _ := errors.AsType[config.Problems](err)
		switch {
		case c.message == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.message != "" && (len(problems) == 0 || !strings.Contains(problems[0].Message, c.message) || !strings.Contains(problems[0].Hint, c.hint)):
			t.Errorf("%s: %v\nwant %q, and as a hint %q", name, problems, c.message, c.hint)
		}
	}
}

// What lets strangers read is told by pavise check.
func TestOpenMetricsAreAWeakness(t *testing.T) {
	f := mustParse(t, "listen: {metrics: {address: \":9464\", insecure_open: the network is ours}}\n"+base)
	for _, w := range f.Insecure() {
		if w.Path == "listen.metrics.insecure_open" && w.Reason == "the network is ours" {
			return
		}
	}
	t.Errorf("weaknesses %v", f.Insecure())
}

func TestATokenOfScrapersIsLong(t *testing.T) {
	dir := t.TempDir()
	load := func(token string) error {
		for name, text := range map[string]string{"pavise.yaml": "listen: {metrics: {address: \"127.0.0.1:9464\", token_file: t}}\n" + base, "t": token} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := config.Load(filepath.Join(dir, "pavise.yaml"), kinds())
		return err
	}
	if err := load(strings.Repeat("a", 32) + "\n"); err != nil {
		t.Error(err)
	}
	err := load(strings.Repeat("b", 31) + "\n")
	if err == nil || !strings.Contains(err.Error(), "fewer than 32 characters") || strings.Contains(err.Error(), "bbb") {
		t.Errorf("a short one: %v", err)
	}
}
