package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/config"
)

func loadDesign(t testing.TB) *config.File {
	t.Helper()
	text, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse(config.Source{Name: "design.yaml", Text: text}, kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInheritanceIsFlattened(t *testing.T) {
	all, err := loadDesign(t).Resolve()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range all {
		limits := []string{}
		for _, l := range r.Limits {
			limits = append(limits, l.Name+"="+l.String())
		}
		kind := r.Shield.Kind
		if r.Shield.Any != nil {
			kind = "any"
		}
		if r.Shield.All != nil {
			kind = "all"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s scopes=%v any=%v body=%d timeout=%s cors=%v limits=%v pos=%d:%d shield=%d",
			r.API, r.Pattern, kind, r.Scopes, r.Any, r.MaxBody, r.Timeout, r.Origins, limits, r.Pos.Line, r.Pos.Column, r.ShieldPos.Line))
	}
	want := []string{
		"orders GET /health public scopes=[] any=true body=10485760 timeout=30s cors=[https://app.example.com] limits=[orders-client=600/minute per client] pos=17:7 shield=17",
		"orders GET /v1/orders/{id} any scopes=[orders:read] any=false body=10485760 timeout=30s cors=[https://app.example.com] limits=[orders-client=600/minute per client] pos=18:7 shield=13",
		"orders GET /v1/status any scopes=[] any=true body=10485760 timeout=30s cors=[https://app.example.com] limits=[orders-client=600/minute per client orders-get-v1-status-address=10/second per address orders-get-v1-status-address-2=1000/hour per address] pos=20:7 shield=13",
		"orders POST /v1/orders any scopes=[orders:write] any=false body=65536 timeout=5s cors=[https://app.example.com] limits=[orders-client=600/minute per client orders-post-v1-orders-user=60/minute per user] pos=19:7 shield=13",
		"payments POST /v1/payments all scopes=[payments:write] any=false body=10485760 timeout=30s cors=[] limits=[] pos=30:7 shield=26",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("resolved\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefaultsHoldWhereTheFileIsSilent(t *testing.T) {
	f := mustParse(t, base)
	api := f.APIs["orders"]
	for what, pair := range map[string][2]any{
		"listen.https":        {f.Listen.HTTPS, "127.0.0.1:8443"},
		"listen.http":         {f.Listen.HTTP, ""},
		"client_certificates": {f.Hosts["api.example.com"].ClientCertificates, "never"},
		"limits.address":      {f.Limits.Address, "6000/minute"},
		"limits.header_bytes": {f.Limits.HeaderBytes, config.Size(32 << 10)},
		"limits.idle_timeout": {f.Limits.IdleTimeout.Duration, 2 * time.Minute},
		"state.max_staleness": {f.State.MaxStaleness.Duration, time.Minute},
		"log.keep":            {f.Log.Keep.Duration, 90 * 24 * time.Hour},
		"log.max_size":        {f.Log.MaxSize, config.Size(10 << 30)},
		"max_body":            {api.MaxBody, config.Size(10 << 20)},
		"timeout":             {api.Timeout.Duration, 30 * time.Second},
		"audit":               {api.Audit, "local"},
		"identity.token":      {api.Identity.Token, true},
		"max_connections":     {api.Upstream.MaxConnections, 512},
		"connect_timeout":     {api.Upstream.Connect.Duration, 5 * time.Second},
		"block's own":         {f.APIs["partners"].Upstream.MaxConnections, 512},
		"leeway":              {f.Issuers["corp"].Leeway.Duration, 30 * time.Second},
		"types":               {fmt.Sprint(f.Issuers["corp"].Types), "[at+jwt]"},
		"algorithms":          {fmt.Sprint(f.Issuers["corp"].Algorithms), "[RS256 PS256 ES256 EdDSA Ed25519]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestWhatIsWrittenReplacesDefaults(t *testing.T) {
	f := mustParse(t, strings.Replace(base, "    shield: mtls", "    identity: {token: false}\n    max_body: 1\n    timeout: 100ms\n    shield: mtls", 1))
	api := f.APIs["partners"]
	if api.Identity.Token || api.MaxBody != 1 || api.Timeout.Duration != 100*time.Millisecond {
		t.Errorf("token %v, body %v, timeout %v; want what the file says", api.Identity.Token, api.MaxBody, api.Timeout)
	}
}

func TestAcceptedForms(t *testing.T) {
	for name, edit := range map[string][2]string{
		"byte order mark":            {"hosts:\n", "\ufeffhosts:\n"},
		"line ends of Windows":       {"\n", "\r\n"},
		"a document start":           {"hosts:\n", "---\nhosts:\n"},
		"a tab before a comment":     {"shield: mtls", "shield: mtls\t# by certificate"},
		"several hosts":              {"host: api.example.com", "host: [api.example.com, mutual.example.com]"},
		"an upstream list":           {"upstream: http://127.0.0.1:9000", "upstream: [\"http://127.0.0.1:9000\", \"http://[::1]:9001\"]"},
		"an upstream by name":        {"upstream: http://127.0.0.1:9000", "upstream: http://orders_service"},
		"an optional sign-in":        {"shield: api_key", "shield: {any: [api_key, {public: for everybody}]}"},
		"nested combinations":        {"shield: api_key", "shield: {any: [{all: [api_key, {jwt: corp}]}, hmac]}"},
		"shield settings":            {"shield: api_key", "shield: {api_key: {header: X-Key, insecure_allow_browsers: a demonstration page}}"},
		"quoted names":               {"  orders:read: See", `  "orders:read": See`},
		"one listed endpoint scope":  {"scopes: [orders:write]", "scopes: any"},
		"own port in an origin":      {"shield: mtls", `cors: "http://localhost:3000"` + "\n    shield: mtls"},
		"a rest":                     {"POST /v1/orders:", "POST /v1/{rest...}:"},
		"this path alone":            {"POST /v1/orders:", "POST /v1/orders/{$}:"},
		"a special beside a general": {"POST /v1/orders:", "GET /v1/orders/new:"},
		"an unusual method":          {"POST /v1/orders:", "PURGE /v1/orders:"},
		"keys over plain loopback":   {"url: https://login.example.com", "url: \"http://127.0.0.1:4000\""},
		"keys of a plain issuer":     {"url: https://login.example.com", "url: http://login.example.com, jwks: \"https://login.example.com/jwks\""},
		"ceilings":                   {"https://login.example.com}", `https://login.example.com, may_grant: ["orders:*", "a.*", profile]}`},
		"port zero":                  {"hosts:\n", "listen: {https: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\nhosts:\n"},
		"proxies":                    {"hosts:\n", "trusted_proxies: {addresses: [10.0.0.0/8, \"::1\"]}\nhosts:\n"},
		"an IPv6 host":               {"  api.example.com: {", "  \"::1\": {certificate: local}\n  api.example.com: {"},
		"terminators ask for all":    {"shield: api_key", "shield: {any: [hmac, {jwt: {issuer: corp}}]}"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 1
			if edit[0] == "\n" {
				n = -1
			}
			mustParse(t, strings.Replace(base, edit[0], edit[1], n))
		})
	}
}

func TestAFileThatIsNotThere(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), kinds())
	if err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "pavise init") {
		t.Errorf("error %v, want what to do next", err)
	}
	if _, err := config.Load(t.TempDir(), kinds()); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("error %v for a folder", err)
	}
}

func TestAPipeIsNotWaitedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	if _, err := config.Load(name, kinds()); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("error %v for a pipe", err)
	}
}

func TestFilesOfNothing(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "spaces": " \n\n", "a comment": "# nothing\n", "a mark": "\ufeff", "a list": "- a\n", "a word": "hosts\n"} {
		_, err := parse(text)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) != 1 || problems[0].Hint == "" {
			t.Errorf("%s: %v, want one problem with a hint", name, err)
		}
	}
}

func TestBoundsOfTheFile(t *testing.T) {
	for name, text := range map[string]string{
		"longer than a megabyte": base + strings.Repeat("# ........\n", 100_000),
		"deep lists":             "hosts: " + strings.Repeat("[", 1000) + "\n",
		"deep settings":          "hosts: " + strings.Repeat("{a: ", 1000) + "\n",
		"many aliases":           "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n",
		"many mistakes":          strings.Repeat("x: y\n", 10_000),
	} {
		_, err := parse(text)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) > 101 {
			t.Errorf("%s: %d problems, %.200v", name, len(problems), err)
		}
		if strings.HasPrefix(name, "deep") && !strings.Contains(err.Error(), "nested more than 32 deep") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// A file that was cut is refused wherever the cut is, unless what is lost says
// nothing.
func TestAFileCutInTheMiddleIsRefused(t *testing.T) {
	attacktest.Rows(t, 169)
	texts := map[string]string{"base": base, "starter": string(config.Starter("http://127.0.0.1:3000", "127.0.0.1"))}
	design, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts["design"] = string(design)
	for name, text := range texts {
		mustParse(t, text)
		for cut := range len(text) {
			_, err := parse(text[:cut])
			if err == nil {
				t.Errorf("%s: accepted although cut after byte %d: …%q", name, cut, text[max(0, cut-30):cut])
				continue
			}
			problems, _ := errors.AsType[config.Problems](err)
			if len(problems) == 0 || problems[0].Pos.Line == 0 || problems[0].Hint == "" {
				t.Errorf("%s: cut after byte %d: %v has no place or hint", name, cut, err)
			}
		}
	}
}

func TestAFileWithoutScopesIsRefused(t *testing.T) {
	attacktest.Rows(t, 169)
	for name, text := range map[string]string{
		"the section is missing": base[:strings.Index(base, "scopes:\n")],
		"an endpoint has none":   strings.Replace(base, "{scopes: orders:read}", "{}", 1),
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Row 138: what nobody stated is denied, and a typo is no policy.
func TestPolicyHolesAreErrors(t *testing.T) {
	attacktest.Rows(t, 138)
	for name, edit := range map[string][2]string{
		"a default route":           {"POST /v1/orders:", "POST /:"},
		"a route without method":    {"POST /v1/orders:", "/:"},
		"an empty list of scopes":   {"scopes: [orders:write]", "scopes: []"},
		"no scopes":                 {"{scopes: [orders:write]}", "{}"},
		"an empty policy":           {"{scopes: [orders:write]}", "{when: \"\"}"},
		"a typo in a scope":         {"scopes: [orders:write]", "scopes: [orders:wirte]"},
		"a typo in a shield":        {"shield: api_key", "shield: api_kye"},
		"a typo in a setting":       {"shield: api_key", "sheild: api_key"},
		"a typo in an issuer":       {"shield: api_key", "shield: {jwt: crop}"},
		"a typo in a host":          {"host: api.example.com", "host: api.exmaple.com"},
		"an empty any":              {"shield: api_key", "shield: {any: []}"},
		"an empty all":              {"shield: api_key", "shield: {all: []}"},
		"a policy file that is not": {"hosts:\n", "policies: [none.cedar]\nhosts:\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "pavise.yaml", strings.Replace(base, edit[0], edit[1], 1))
			if f, err := config.Load(path, kinds()); err == nil || f != nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := config.Load(write(t, "pavise.yaml", base), kinds()); err != nil {
		t.Errorf("the file without a hole: %v", err)
	}
}

func TestIncludedFilesAddAPIs(t *testing.T) {
	path := write(t, "pavise.yaml", "include: [services/*.yaml]\n"+base,
		"services/b.yaml", service("billing"), "services/a.yaml", service("accounts"), "services/readme.txt", "no yaml: [")
	f, err := config.Load(path, kinds())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.APIs) != 4 || f.Scopes["billing:read"] == "" || f.Issuers["corp"].URL == "" {
		t.Errorf("APIs %v, scopes %v", f.APIs, f.Scopes)
	}
	dir := filepath.Dir(path)
	if want := []string{path, filepath.Join(dir, "services/a.yaml"), filepath.Join(dir, "services/b.yaml")}; !slices.Equal(f.Paths, want) {
		t.Errorf("read %v, want %v", f.Paths, want)
	}
	if api := f.APIs["billing"]; !strings.HasSuffix(api.Pos.File, "services/b.yaml") || api.Pos.Line != 2 || api.MaxBody != 10<<20 {
		t.Errorf("billing stands at %v with a body of %v", api.Pos, api.MaxBody)
	}
}

func service(name string) string {
	return strings.ReplaceAll("apis:\n  NAME:\n    host: api.example.com\n    upstream: http://127.0.0.1:9100\n    shield: api_key\n    endpoints:\n      GET /NAME/{id}: {scopes: NAME:read}\nscopes:\n  NAME:read: Read NAME\n", "NAME", name)
}

func TestIncludedFilesNeverWeaken(t *testing.T) {
	good := service("billing")
	for name, c := range map[string]struct{ include, text, file, want string }{
		"another section":          {"services/*.yaml", "listen: {https: \":1\"}\n" + good, "services/a.yaml", "holds apis and scopes, not listen"},
		"includes of its own":      {"services/*.yaml", "include: [x.yaml]\n" + good, "services/a.yaml", "holds apis and scopes, not include"},
		"an API of another file":   {"services/*.yaml", service("orders"), "services/a.yaml", "apis.orders stands in"},
		"a scope of another file":  {"services/*.yaml", strings.Replace(good, "  billing:read", "  orders:read: Anything\n  billing:read", 1), "services/a.yaml", "scopes.orders:read stands in"},
		"an allowance":             {"services/*.yaml", strings.Replace(good, "    shield", "    insecure_allow: [{what: trailers, reason: our upstream is old}]\n    shield", 1), "services/a.yaml", "may tighten, never weaken"},
		"an unverified upstream":   {"services/*.yaml", strings.Replace(good, "http://127.0.0.1:9100", "{url: \"https://a\", insecure_skip_verify: {reason: it has none}}", 1), "services/a.yaml", "may tighten, never weaken"},
		"a weakened shield":        {"services/*.yaml", strings.Replace(good, "api_key", "{api_key: {insecure_allow_browsers: a demonstration page}}", 1), "services/a.yaml", "may tighten, never weaken"},
		"a conflicting pattern":    {"services/*.yaml", strings.Replace(good, "/billing/{id}", "/v1/orders/{x}", 1), "services/a.yaml", "matches the same requests"},
		"a syntax error":           {"services/*.yaml", "apis: [\n", "services/a.yaml", "ends too early"},
		"no line break at the end": {"services/*.yaml", strings.TrimSpace(good), "services/a.yaml", "in the middle of a line"},
		"an empty file":            {"services/*.yaml", "", "services/a.yaml", "the file is empty"},
		"a file outside":           {"../*.yaml", good, "pavise.yaml", "does not lie below"},
		"an absolute file":         {"/etc/pavise/*.yaml", good, "pavise.yaml", "does not lie below"},
		"a file that is not there": {"services/b.yaml", good, "pavise.yaml", "there is no file services/b.yaml"},
		"no pattern":               {"\"services/[.yaml\"", good, "pavise.yaml", "is no pattern of file names"},
		"itself":                   {"\"*.yaml\"", good, "pavise.yaml", "include itself"},
		"a file twice":             {"services/*.yaml, services/a.yaml", good, "pavise.yaml", "is included twice"},
		"a folder":                 {"services", good, "pavise.yaml", "is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "pavise.yaml", "include: ["+c.include+"]\n"+base, "services/a.yaml", c.text)
			_, err := config.Load(path, kinds())
			problems, _ := errors.AsType[config.Problems](err)
			for _, p := range problems {
				if strings.HasSuffix(p.Pos.File, c.file) && strings.Contains(p.Message, c.want) {
					return
				}
			}
			t.Errorf("error %v, want …%s… in %s", err, c.want, c.file)
		})
	}
}

// pair makes a certificate for a name, in PEM.
func pair(t testing.TB, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestFilesThatTheConfigurationNames(t *testing.T) {
	cert, key := pair(t, "api.example.com")
	otherCert, otherKey := pair(t, "www.example.com")
	files := []string{"a.pem", cert, "a.key", key, "b.pem", otherCert, "b.key", otherKey, "both.pem", cert + key, "no.pem", "hello\n", "jwks.json", "{}", "p.cedar", ""}
	own := func(settings string) string {
		return strings.Replace(base, "api.example.com: {certificate: local}", "api.example.com: {certificate: "+settings+"}", 1)
	}
	block := func(settings string) string {
		return strings.Replace(base, `url: "https://127.0.0.1:9001"`, `url: "https://127.0.0.1:9001", `+settings, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a good pair":               {own("{cert: a.pem, key: a.key}"), ""},
		"a certificate not there":   {own("{cert: none.pem, key: a.key}"), "there is no file none.pem"},
		"a key not there":           {own("{cert: a.pem, key: none.key}"), "there is no file none.key"},
		"a certificate that is not": {own("{cert: no.pem, key: a.key}"), "no.pem is no PEM file"},
		"a key for a certificate":   {own("{cert: a.key, key: a.key}"), "a.key holds no certificate"},
		"the key of another":        {own("{cert: a.pem, key: b.key}"), "b.key does not fit"},
		"a certificate for another": {own("{cert: b.pem, key: b.key}"), "b.pem is not for api.example.com but for www.example.com"},
		"an upstream's CA":          {block("ca: a.pem"), ""},
		"no CA":                     {block("ca: no.pem"), "no.pem is no PEM file"},
		"a client certificate":      {block("client_certificate: both.pem"), ""},
		"half a client certificate": {block("client_certificate: a.pem"), "does not hold a certificate with its key"},
		"a key set":                 {strings.Replace(base, "https://login.example.com", "https://login.example.com, jwks: jwks.json", 1), ""},
		"no key set":                {strings.Replace(base, "https://login.example.com", "https://login.example.com, jwks: none.json", 1), "there is no file none.json"},
		"a terminator's CA":         {"trusted_proxies: {terminators: a.pem}\n" + base, ""},
		"no terminator's CA":        {"trusted_proxies: {terminators: no.pem}\n" + base, "is no PEM file"},
		"a policy":                  {"policies: [p.cedar]\n" + base, ""},
		"a folder as a policy":      {"policies: [\".\"]\n" + base, "is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(write(t, append([]string{"pavise.yaml", c.text}, files...)...), kinds())
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			problems, _ := errors.AsType[config.Problems](err)
			if len(problems) != 1 || !strings.Contains(problems[0].Message, c.want) || problems[0].Hint == "" || problems[0].Line == "" {
				t.Errorf("error %v, want one problem …%s… with its line and a hint", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Error("the error holds a key")
			}
		})
	}
}

func TestAnUnreadableCertificateIsAClearError(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	cert, key := pair(t, "api.example.com")
	text := strings.Replace(base, "api.example.com: {certificate: local}", "api.example.com: {certificate: {cert: a.pem, key: a.key}}", 1)
	path := write(t, "pavise.yaml", text, "a.pem", cert, "a.key", key)
	if err := os.Chmod(filepath.Join(filepath.Dir(path), "a.key"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, kinds()); err == nil || !strings.Contains(err.Error(), "may not be read") {
		t.Errorf("error %v", err)
	}
}

func TestWeaknessesAreListed(t *testing.T) {
	text := strings.Replace(base, "    shield: api_key", "    insecure_allow: [{what: trailers, reason: our upstream is old}]\n    shield: {any: [hmac, {api_key: {insecure_allow_browsers: a demonstration page}}]}", 1)
	text = strings.Replace(text, `url: "https://127.0.0.1:9001"`, `url: "https://127.0.0.1:9001", insecure_skip_verify: {reason: it has no name yet}`, 1)
	text = strings.Replace(text, "      POST /v1/orders:", "      GET /health: {shield: {public: load-balancer probe}}\n      POST /v1/orders:", 1)
	var got []string
	for _, w := range mustParse(t, text).Insecure() {
		got = append(got, fmt.Sprintf("%d %s: %s: %s", w.Pos.Line, w.Path, w.What, w.Reason))
	}
	want := []string{
		"11 apis.orders.shield.any.1.api_key.insecure_allow_browsers: insecure_allow_browsers: a demonstration page",
		"10 apis.orders.insecure_allow.0: trailers: our upstream is old",
		"14 apis.orders.endpoints.GET /health.shield.public: anybody may call: load-balancer probe",
		"18 apis.partners.upstream.insecure_skip_verify: insecure_skip_verify: it has no name yet",
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if none := mustParse(t, base).Insecure(); len(none) != 0 {
		t.Errorf("listed %v of a file that weakens nothing", none)
	}
}

// A large file is read in time that grows as the file does.
func TestManyEndpoints(t *testing.T) {
	var b strings.Builder
	b.WriteString(base[:strings.Index(base, "scopes:\n  orders:read")])
	b.WriteString("  many:\n    host: api.example.com\n    upstream: http://127.0.0.1:9100\n    shield: api_key\n    scopes: any\n    endpoints:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "      GET /many/%d/{id}/parts/{part}: {}\n", i)
	}
	b.WriteString(base[strings.Index(base, "scopes:\n  orders:read"):])
	began := time.Now()
	all, err := mustParse(t, b.String()).Resolve()
	if err != nil || len(all) != 5003 {
		t.Fatalf("%d endpoints, %v", len(all), err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d endpoints took %s", len(all), took)
	}
}

func TestOfManyMistakesTheFirstAreTold(t *testing.T) {
	var b strings.Builder
	b.WriteString(base[:strings.Index(base, "scopes:\n  orders:read")])
	b.WriteString("  many:\n    host: api.example.com\n    upstream: http://127.0.0.1:9100\n    shield: api_key\n    endpoints:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "      GET /many/{x%d}: {scopes: orders:raed, unknown: 1}\n", i)
	}
	b.WriteString(base[strings.Index(base, "scopes:\n  orders:read"):])
	_, err := parse(b.String())
	problems, _ := errors.AsType[config.Problems](err)
	if len(problems) != 101 || problems[100].Message == "" {
		t.Errorf("%d problems", len(problems))
	}
}
