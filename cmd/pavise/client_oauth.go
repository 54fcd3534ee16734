package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
)

// registrationFlags are what `client create --oauth` takes: each is a setting of the
// registration, under the same name.
type registrationFlags struct {
	oauth, quiet                              bool
	redirects, afterwards, grants, serves     []string
	auth, name, policy, tokens, jwks, expires string
	subjectDN, subjectDNS                     string
	native, dpop, bound, pushed               bool

	own []string // the names of all of them
}

func (f *registrationFlags) register(flags *pflag.FlagSet) {
	before := map[string]bool{}
	flags.VisitAll(func(flag *pflag.Flag) { before[flag.Name] = true })
	flags.BoolVar(&f.oauth, "oauth", false, "register it at the authorization server too")
	flags.StringArrayVar(&f.redirects, "redirect", nil, "with --oauth: where people are sent back to, exact; may be repeated")
	flags.StringArrayVar(&f.afterwards, "post-logout-redirect", nil, "with --oauth: where people may be sent after signing out, exact; may be repeated")
	flags.StringSliceVar(&f.grants, "grant", nil, "with --oauth: authorization_code and refresh_token (default with --redirect), client_credentials (default without), device_code, token_exchange")
	flags.StringVar(&f.auth, "auth", "", "with --oauth: how it proves who it is: client_secret_basic (default), client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none")
	flags.BoolVar(&f.native, "native", false, "with --oauth: it runs on people's devices: redirects may be loopback addresses or a scheme of its own")
	flags.StringVar(&f.name, "name", "", "with --oauth: what people read when they are asked; default: the id")
	flags.StringVar(&f.policy, "policy", "", "with --oauth: address of its privacy policy, for the same page")
	flags.BoolVar(&f.dpop, "dpop", false, "with --oauth: bind all its tokens to a key (RFC 9449)")
	flags.BoolVar(&f.bound, "certificate-bound", false, "with --oauth: bind all its tokens to its certificate (RFC 8705)")
	flags.BoolVar(&f.pushed, "pushed", false, "with --oauth: it must push its requests (RFC 9126)")
	flags.StringVar(&f.tokens, "tokens", "", "with --oauth: jwt (default) or opaque")
	flags.StringSliceVar(&f.serves, "serves", nil, "with --oauth: APIs that it is the service of: it may introspect and exchange their tokens")
	flags.StringVar(&f.jwks, "jwks", "", "with --oauth: `file` with its public keys, a JSON Web Key Set, for private_key_jwt and self_signed_tls_client_auth")
	flags.StringVar(&f.subjectDN, "subject-dn", "", "with --oauth: the name of its certificate, for tls_client_auth")
	flags.StringVar(&f.subjectDNS, "subject-dns", "", "with --oauth: or a DNS name in it")
	flags.StringVar(&f.expires, "expires", "", "with --oauth: how long the registration lives, like 365d; default: for ever")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "with --oauth: write the secret alone; where there is none, the client_id")
	flags.VisitAll(func(flag *pflag.Flag) {
		if !before[flag.Name] && flag.Name != "oauth" {
			f.own = append(f.own, flag.Name)
		}
	})
}

// misplaced names a flag of registrations where nothing is registered.
func (f *registrationFlags) misplaced(flags *pflag.FlagSet) error {
	if f.oauth {
		return nil
	}
	for _, name := range f.own {
		if flags.Changed(name) {
			return &usageError{"--" + name + " belongs to a registration at the authorization server", "add --oauth"}
		}
	}
	return nil
}

// maxKeys is the longest key set that a registration takes, in bytes.
const maxKeys = 8 << 10

func (f *registrationFlags) request(n admin.NewClient) (admin.NewRegistration, error) {
	r := admin.NewRegistration{Client: n, Settings: map[string]string{}}
	for name, value := range map[string]string{
		"redirects": strings.Join(f.redirects, " "), "post_logout_redirects": strings.Join(f.afterwards, " "), "grants": strings.Join(f.grants, " "), "serves": strings.Join(f.serves, " "),
		"auth": f.auth, "name": f.name, "policy": f.policy, "tokens": f.tokens,
		"subject_dn": f.subjectDN, "subject_dns": f.subjectDNS,
	} {
		if value != "" {
			r.Settings[name] = value
		}
	}
	for name, on := range map[string]bool{"native": f.native, "dpop": f.dpop, "certificate_bound": f.bound, "pushed": f.pushed} {
		if on {
			r.Settings[name] = "true"
		}
	}
	for _, redirect := range slices.Concat(f.redirects, f.afterwards) {
		if strings.ContainsAny(redirect, " \t\n") || redirect == "" {
			return r, &usageError{fmt.Sprintf("--redirect: %q holds a space, or nothing", redirect), "write --redirect once for each address"}
		}
	}
	if f.expires != "" {
		long, err := config.ParseDuration(f.expires)
		if err != nil || long <= 0 {
			return r, &usageError{fmt.Sprintf("--expires: %q is no time to live", f.expires), "write 12h, 365d or the like"}
		}
		r.Expires = long
	}
	if f.jwks == "" {
		return r, nil
	}
	text, err := readBounded(f.jwks, maxKeys)
	if err != nil {
		return r, fmt.Errorf("--jwks: %w", err)
	}
	var short bytes.Buffer
	if err := json.Compact(&short, []byte(text)); err != nil {
		return r, fmt.Errorf("--jwks: %s holds no JSON: %w", f.jwks, err)
	}
	r.Settings["jwks"] = short.String()
	return r, nil
}

func readBounded(name string, limit int64) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return string(text), err
}

// flagOf is the flag behind a setting of a registration.
func flagOf(setting string) string {
	switch setting {
	case "redirects", "post_logout_redirects", "grants":
		return "--" + strings.ReplaceAll(strings.TrimSuffix(setting, "s"), "_", "-")
	}
	return "--" + strings.ReplaceAll(setting, "_", "-")
}

// flagError says under which flag the server found something wrong, in the words of the
// command line.
type flagError struct {
	flag string
	err  error
}

func (e *flagError) Error() string {
	words := strings.NewReplacer("native=true", "--native", "auth=none", "--auth none", "setting ", "", "needs redirects:", "needs --redirect:", "redirects are for", "--redirect is for")
	return e.flag + ": " + words.Replace(e.err.Error())
}

func (e *flagError) Unwrap() error { return e.err }

func underFlag(err error) error {
	if p, ok := errors.AsType[*admin.Problem](err); ok && p.Setting != "" {
		return &flagError{flagOf(p.Setting), err}
	}
	return err
}

func (f *registrationFlags) create(command *cobra.Command, n admin.NewClient, asJSON bool) error {
	wanted, err := f.request(n)
	if err != nil {
		return err
	}
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		made, err := a.Register(ctx, wanted)
		if err != nil {
			return underFlag(err)
		}
		warnOfScopes(command, n.Scopes)
		out := command.OutOrStdout()
		switch {
		case asJSON:
			return writeJSON(out, made)
		case f.quiet && made.Secret != "":
			_, err = fmt.Fprintln(out, made.Secret)
			return err
		case f.quiet:
			_, err = fmt.Fprintln(out, made.Registration.ClientID)
			return err
		}
		return showRegistered(out, made)
	})
}

// showRegistered shows a new client's secret, this once, and what goes into its settings.
func showRegistered(out io.Writer, made admin.Registered) error {
	r := made.Registration
	rows := [][]string{{"  client_secret", made.Secret}}
	if made.Secret == "" {
		rows = [][]string{}
	}
	if _, err := fmt.Fprintf(out, "client %s is registered at %s\n\n", made.Client.ID, r.Issuer); err != nil {
		return err
	}
	rows = append(rows, []string{"  discovery", r.Discovery}, []string{"  proves itself by", r.Settings["auth"]}, []string{"  grants", r.Settings["grants"]})
	for _, redirect := range strings.Fields(r.Settings["redirects"]) {
		rows = append(rows, []string{"  redirect", redirect})
	}
	rows = append(rows, []string{"  scopes", strings.Join(made.Client.Scopes, " ")})
	if end := made.Credential.End(); !end.IsZero() {
		rows = append(rows, []string{"  ends", shortTime(end)})
	}
	if err := table(out, []string{"  client_id", r.ClientID}, rows); err != nil {
		return err
	}
	if made.Secret != "" {
		if _, err := fmt.Fprint(out, "\nThe secret is shown once. Keep it where the client keeps its secrets.\n"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "\nnext: %s\n", nextStep(made))
	return err
}

// nextStep is what to do with a new registration.
func nextStep(made admin.Registered) string {
	r, grants := made.Registration, strings.Fields(made.Registration.Settings["grants"])
	switch {
	case len(made.Client.Scopes) == 0:
		return "it can be granted nothing yet: pavise client update " + made.Client.ID + " --scope …"
	case slices.Contains(grants, "client_credentials") && made.Secret != "":
		return fmt.Sprintf("%s=… pavise token get --issuer %s --id %s", secretVariable, r.Issuer, r.ClientID)
	case slices.Contains(grants, "device_code") && made.Secret == "":
		return fmt.Sprintf("pavise token get --device --issuer %s --id %s", r.Issuer, r.ClientID)
	}
	return "give client_id and discovery to the program; `pavise client show " + made.Client.ID + "` shows them again"
}

// showRegistration shows how a client is registered.
func showRegistration(out io.Writer, r *admin.Registration) error {
	known := []string{"auth", "grants", "redirects", "name", "policy", "native", "serves", "tokens", "dpop", "certificate_bound", "pushed", "subject_dn", "subject_dns"}
	var rows [][]string
	if r.Issuer != "" {
		rows = append(rows, []string{"discovery", r.Discovery})
	}
	for _, name := range known {
		if value := r.Settings[name]; value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if keys := r.Settings["jwks"]; keys != "" {
		rows = append(rows, []string{"jwks", keyNames(keys)})
	}
	return table(out, []string{"client_id", r.ClientID}, rows)
}

// keyNames names the keys of a set, which would fill the screen.
func keyNames(jwks string) string {
	var set struct {
		Keys []struct {
			ID        string `json:"kid"`
			Type      string `json:"kty"`
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(jwks), &set); err != nil {
		return "a key set that cannot be read"
	}
	names := make([]string, 0, len(set.Keys))
	for _, k := range set.Keys {
		names = append(names, strings.TrimSpace(cmp.Or(k.Algorithm, k.Type)+" "+k.ID))
	}
	return strings.Join(names, ", ")
}
