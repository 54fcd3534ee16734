package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/internal/secret"
)

// secretVariable is what a program is given a client's secret in: arguments are seen by
// everybody on the machine.
const secretVariable = "PAVISE_CLIENT_SECRET"

// maxKeyFile is the longest private key that is read, in bytes.
const maxKeyFile = 64 << 10

// tokenFlags name a client of an authorization server.
type tokenFlags struct {
	profile, issuer, id, ca   string
	scopes, resources         []string
	device, browser, dpop     bool
	fresh, quiet, asJSON      bool
	timeout                   time.Duration
	cert, key, signing, keyID string
}

func (f *tokenFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.profile, "profile", "", "NAME or FILE:NAME, of kind oauth; instead of the flags below")
	flags.StringVar(&f.issuer, "issuer", "", "the authorization server, as its metadata name it")
	flags.StringVar(&f.id, "id", "", "client_id")
	flags.StringSliceVar(&f.scopes, "scope", nil, "scope to ask for; may be repeated")
	flags.StringSliceVar(&f.resources, "resource", nil, "API that the token is for (RFC 8707); may be repeated")
	flags.BoolVar(&f.browser, "browser", false, "sign in with the browser of this machine")
	flags.BoolVar(&f.device, "device", false, "sign in on any device, with a code")
	flags.BoolVar(&f.dpop, "dpop", false, "bind the token to a key (RFC 9449)")
	flags.StringVar(&f.cert, "cert", "", "client certificate, PEM")
	flags.StringVar(&f.key, "key", "", "its private key, PEM; default: in the same file")
	flags.StringVar(&f.signing, "signing-key", "", "private key that proves who asks (private_key_jwt), PEM or JWK")
	flags.StringVar(&f.keyID, "kid", "", "its id in the registration")
	flags.StringVar(&f.ca, "ca", "", "CA of the server's certificate, PEM; default: the system's")
}

func tokenGetCommand() *cobra.Command {
	f := &tokenFlags{}
	command := &cobra.Command{
		Use: "get", Short: "Get an access token: for a program, with a browser, or on any device", Args: cobra.NoArgs,
		Long: `Get an access token from an authorization server, ours or any other, and print it.

The client is a profile of kind oauth (of ~/.config/pavise/profiles.yaml), or named by
flags; then its secret comes from the environment: ` + secretVariable + `. With a secret, a
key or a certificate the program gets a token for itself; otherwise a person signs in,
with the browser of this machine (--browser; the client's registration has the redirect
http://127.0.0.1/callback, any port) or on any other device (--device).

Tokens are kept for the next time, in a folder that only you can read: ` + "`pavise token forget`" + `
ends them. ` + "`pavise call --oauth PROFILE`" + ` gets, renews and sends them by itself.`,
		Example: `  pavise token get --profile shop
  PAVISE_CLIENT_SECRET=… pavise token get -q --issuer https://login.example.com --id report --scope orders:read
  pavise token get --device --issuer https://login.example.com --id tv --scope orders:read`,
		RunE: func(command *cobra.Command, _ []string) error { return getToken(command, f) },
	}
	f.register(command)
	command.Flags().BoolVar(&f.fresh, "fresh", false, "get a new one, although the kept one is good")
	command.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "write the token alone")
	command.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "for all of it, a person's sign-in included")
	jsonFlag(command, &f.asJSON)
	return command
}

func tokenForgetCommand() *cobra.Command {
	f := &tokenFlags{}
	command := &cobra.Command{
		Use: "forget", Short: "Revoke the kept tokens at their server, and remove them here", Args: cobra.NoArgs,
		Example: "  pavise token forget --profile shop",
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), time.Minute)
			defer cancel()
			was, err := c.Forget(ctx)
			if err != nil {
				return f.explain(err)
			}
			text := "revoked and removed"
			if !was {
				text = "there was no token"
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), text)
			return err
		},
	}
	f.register(command)
	return command
}

func getToken(command *cobra.Command, f *tokenFlags) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(command.Context(), f.timeout)
	defer cancel()
	var token *oauthclient.Token
	if !f.fresh {
		token, err = c.Token(ctx)
	}
	if f.fresh || errors.Is(err, oauthclient.ErrSignIn) { // a person asked for it
		token, err = c.SignIn(ctx, person(command.ErrOrStderr()))
	}
	if err != nil {
		return f.explain(err)
	}
	return f.show(command, token)
}

func (f *tokenFlags) show(command *cobra.Command, t *oauthclient.Token) error {
	access := string(t.Access.Reveal())
	if f.asJSON {
		return writeJSON(command.OutOrStdout(), struct {
			Token   string    `json:"access_token"`
			Type    string    `json:"token_type"`
			Scopes  []string  `json:"scopes"`
			Expires time.Time `json:"expires,omitzero"`
		}{access, t.Type, t.Scopes, t.Expires.UTC()})
	}
	if _, err := fmt.Fprintln(command.OutOrStdout(), access); err != nil || f.quiet {
		return err
	}
	until := "until the server ends it"
	if !t.Expires.IsZero() {
		until = "until " + shortTime(t.Expires)
	}
	scopes := "its scopes are not known"
	if len(t.Scopes) > 0 {
		scopes = "scopes " + strings.Join(t.Scopes, " ")
	}
	kind := ""
	if t.Type == "DPoP" {
		kind = ", bound to a key of this machine: only `pavise call` can send it"
	}
	_, err := fmt.Fprintf(command.ErrOrStderr(), "%s; %s%s\n", until, scopes, kind)
	return err
}

// client is the one of the profile, or of the flags.
func (f *tokenFlags) client() (*oauthclient.Client, error) {
	if f.profile != "" {
		if f.issuer != "" || f.id != "" || len(f.scopes)+len(f.resources) > 0 || f.dpop || f.cert != "" || f.signing != "" {
			return nil, &usageError{"a profile and flags name two clients", "write into the profile what the flags say"}
		}
		found, err := readProfile(f.profile)
		if err != nil {
			return nil, err
		}
		if found.oauth == nil {
			return nil, &usageError{fmt.Sprintf("profile %s is not of kind oauth", f.profile), "its `kind` is oauth, with `issuer` and `id`"}
		}
		return openClient(*found.oauth, firstOf(f.ca, found.ca), f.grant(found.oauth.Grant))
	}
	if f.issuer == "" || f.id == "" {
		return nil, &usageError{"no client is named", "name a --profile, or --issuer and --id"}
	}
	s := oauthclient.Settings{
		Issuer: f.issuer, ID: f.id, Scopes: f.scopes, Resources: f.resources, DPoP: f.dpop, KeyID: f.keyID,
		Secret: secret.New([]byte(os.Getenv(secretVariable))),
	}
	if f.signing != "" {
		key, id, err := readSigningKey(f.signing)
		if err != nil {
			return nil, err
		}
		s.Key, s.KeyID = key, firstOf(f.keyID, id)
	}
	if f.cert != "" {
		certificate, err := readCertificate(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		s.Certificate = &certificate
	}
	return openClient(s, f.ca, f.grant(""))
}

func (f *tokenFlags) grant(other oauthclient.Grant) oauthclient.Grant {
	switch {
	case f.device:
		return oauthclient.Device
	case f.browser:
		return oauthclient.Browser
	}
	return other
}

// openClient adds what is the same for all clients of this user.
func openClient(s oauthclient.Settings, ca string, grant oauthclient.Grant) (*oauthclient.Client, error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the folder for tokens: %w", err)
	}
	s.Folder, s.Grant = filepath.Join(folder, "pavise", "tokens"), grant
	if ca != "" {
		if s.Roots, err = readCA(ca); err != nil {
			return nil, err
		}
	}
	c, err := oauthclient.New(s)
	if err != nil {
		return nil, &usageError{err.Error(), "docs/guide/oauth.md, Calling"}
	}
	return c, nil
}

// readSigningKey reads a private key and, of a JWK, its id. Errors quote nothing of it.
func readSigningKey(name string) (crypto.Signer, string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, "", fmt.Errorf("read the signing key: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, "", fmt.Errorf("read the signing key: %w", err)
	}
	if key, id, ok := parseSigningKey(text); ok {
		return key, id, nil
	}
	return nil, "", &usageError{fmt.Sprintf("%s holds no private key", name), "PEM (PKCS #8, SEC 1, PKCS #1) or one JWK, of ECDSA, Ed25519 or RSA"}
}

func parseSigningKey(text []byte) (crypto.Signer, string, bool) {
	if block, _ := pem.Decode(text); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			key, err = asAny(x509.ParseECPrivateKey(block.Bytes))
		}
		if err != nil {
			key, err = asAny(x509.ParsePKCS1PrivateKey(block.Bytes))
		}
		signer, ok := key.(crypto.Signer)
		return signer, "", err == nil && ok && signs(signer)
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON(text) != nil {
		return nil, "", false
	}
	signer, ok := key.Key.(crypto.Signer)
	return signer, key.KeyID, ok && signs(signer)
}

func asAny[T any](key T, err error) (any, error) { return key, err }

func signs(key crypto.Signer) bool {
	switch key.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return true
	}
	return false
}

// person is whoever reads w.
func person(w io.Writer) oauthclient.Person {
	return oauthclient.Person{
		Show: func(p oauthclient.Prompt) error {
			text := "Sign in with your browser:\n\n  " + p.Address + "\n\n"
			if p.Code != "" {
				text = "Sign in on any device:\n\n  " + p.Address + "\n  code " + p.Code + "\n\n"
				if p.Whole != "" {
					text += "or, with the code in it:\n\n  " + p.Whole + "\n\n"
				}
			}
			_, err := fmt.Fprint(w, printable(text))
			return err
		},
		Open: openBrowser,
	}
}

// openBrowser starts the user's browser and does not wait for it.
func openBrowser(address string) error {
	program, args := "xdg-open", []string{address}
	switch chosen, _, _ := strings.Cut(os.Getenv("BROWSER"), ":"); {
	case chosen != "":
		program = chosen
	case runtime.GOOS == "darwin":
		program = "open"
	case runtime.GOOS == "windows":
		program, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	started := exec.Command(program, args...)
	if err := started.Start(); err != nil {
		return fmt.Errorf("open a browser: %w", err)
	}
	return started.Process.Release() // it lives on when we are done
}

// explain says what to do about a token that was not got.
func (f *tokenFlags) explain(err error) error {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return &hinted{err, "name the server's CA with --ca, or with `ca` in the profile"}
	}
	refused, ok := errors.AsType[*oauthclient.Error](err)
	if !ok {
		return err
	}
	hint := map[string]string{
		"invalid_client":      "id, secret or key are not those of the registration; or it proves itself in another way: settings auth, in the profile, may be client_secret_post",
		"unauthorized_client": "the registration does not allow this: its grants must name the one that is used",
		"invalid_scope":       "ask for scopes that the client has, in scope",
		"invalid_target":      "resource must be the address of an API that the server knows",
		"access_denied":       "whoever was asked said no; try again",
		"expired_token":       "the code was not used in time; try again",
	}[refused.Code]
	if hint == "" {
		return err
	}
	return &hinted{err, hint}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// truth reads a setting that is true or false.
func truth(name, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s is %q: want true or false", name, text)
	}
	return is, nil
}
