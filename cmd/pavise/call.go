package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/shield"
)

// maxData is the longest body that is sent, in bytes: it is held in memory, so
// that it can be signed.
const maxData = 64 << 20

// callFlags are what a call is made of.
type callFlags struct {
	profiles, headers    []string
	oauth                string
	data, cert, key, ca  string
	settings             map[string]string
	include, debug, bare bool
	timeout              time.Duration
}

func callCommand() *cobra.Command {
	f := &callFlags{}
	command := &cobra.Command{
		Use: "call METHOD URL", Short: "Send a request, signed for its shield", Args: cobra.ExactArgs(2),
		Long: `Send a request, signed for its shield.

Credentials come from --profile NAME (of ~/.config/pavise/profiles.yaml) or
--profile FILE:NAME, which may be repeated where an endpoint asks for several
proofs; else from the environment: PAVISE_KEY, PAVISE_HMAC_ID with
PAVISE_HMAC_SECRET, PAVISE_TOKEN; and from --cert with --key. They go over HTTPS
only. Redirects are not followed. Exit codes: 0 for 2xx, 3 for any other answer.

With a profile of kind oauth the access token is got from its authorization server,
kept, renewed, and bound to a key or certificate where the profile says so. Where a
person has to sign in and a terminal is there, the sign-in begins; otherwise
` + "`pavise token get --profile NAME`" + ` does it beforehand.`,
		Example: `  PAVISE_KEY=… pavise call GET https://127.0.0.1:8443/v1/orders/7 --ca ca.pem
  pavise call POST https://api.example.com/v1/orders --profile shop --data '{"item": 3}'
  pavise call GET https://api.example.com/v1/orders/7 --oauth me`,
		RunE: func(command *cobra.Command, args []string) error { return call(command, f, args[0], args[1]) },
	}
	flags := command.Flags()
	flags.StringArrayVar(&f.profiles, "profile", nil, "NAME or FILE:NAME; may be repeated")
	flags.StringVar(&f.oauth, "oauth", "", "NAME or FILE:NAME of a profile of kind oauth, whose token is sent")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "'Name: value'; may be repeated")
	flags.StringVarP(&f.data, "data", "d", "", "body; @FILE reads a file, @- stdin")
	flags.StringVar(&f.cert, "cert", "", "client certificate, PEM")
	flags.StringVar(&f.key, "key", "", "its private key, PEM; default: in the same file")
	flags.StringVar(&f.ca, "ca", "", "CA of the gateway's certificate, PEM; default: the system's")
	flags.StringToStringVar(&f.settings, "set", nil, "`NAME=VALUE` of the shield's calling half, like header=X-API-Key")
	flags.BoolVarP(&f.include, "include", "i", false, "show status and headers too")
	flags.BoolVar(&f.debug, "debug", false, "show the text that is signed, on stderr")
	flags.BoolVar(&f.bare, "unsigned", false, "send no credential")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "for the whole call")
	return command
}

func call(command *cobra.Command, f *callFlags, method, address string) error {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Scheme != "http" || target.User != nil {
		return &usageError{"the URL is none, or names a user", "write https://127.0.0.1:8443/v1/orders"}
	}
	with, err := f.found()
	if err != nil {
		return err
	}
	if target.Scheme == "http" && (len(with.credentials) > 0 || with.oauth != nil) {
		return &usageError{"a credential is not sent over plain HTTP, where others can read it", "use https://, or --unsigned"}
	}
	signers, err := open(with.credentials)
	if err != nil {
		return err
	}
	base, err := transportFor(signers, with.ca)
	if err != nil {
		return err
	}
	defer base.CloseIdleConnections()
	body, err := readData(f.data, command.InOrStdin())
	if err != nil {
		return err
	}
	once := func(transport http.RoundTripper) error {
		ctx, cancel := context.WithTimeout(command.Context(), f.timeout)
		defer cancel()
		r, err := f.request(ctx, body, method, address)
		if err != nil {
			return err
		}
		if err := sign(r, signers, f.debug, command.ErrOrStderr()); err != nil {
			return err
		}
		return send(command, transport, r, f.include)
	}
	if with.oauth == nil {
		return once(base)
	}
	return f.callWithToken(command, with, base, once)
}

// signInTime is how long a person may take.
const signInTime = 5 * time.Minute

// callWithToken sends the request with an access token. Where nobody but a person can get
// one, and somebody is there, it asks.
func (f *callFlags) callWithToken(command *cobra.Command, with *found, base http.RoundTripper, once func(http.RoundTripper) error) error {
	c, err := openClient(*with.oauth, with.ca, with.oauth.Grant)
	if err != nil {
		return err
	}
	told := &tokenFlags{}
	err = once(c.Transport(base))
	if !errors.Is(err, oauthclient.ErrSignIn) {
		return told.explain(err)
	}
	if file, ok := command.ErrOrStderr().(*os.File); !ok || !isPerson(file) {
		return &hinted{err, "run: pavise token get --profile " + f.tokenProfile() + "; then call again"}
	}
	ctx, cancel := context.WithTimeout(command.Context(), signInTime)
	defer cancel()
	if _, err := c.SignIn(ctx, person(command.ErrOrStderr())); err != nil {
		return told.explain(err)
	}
	return told.explain(once(c.Transport(base)))
}

func (f *callFlags) tokenProfile() string {
	if f.oauth != "" {
		return f.oauth
	}
	return firstOf(f.profiles...)
}

// found are the credentials of the profiles, or else of the environment.
func (f *callFlags) found() (*found, error) {
	all := &found{ca: f.ca}
	if f.bare {
		return all, nil
	}
	if err := f.fromProfiles(all); err != nil {
		return nil, err
	}
	if len(f.profiles) == 0 && f.oauth == "" {
		all.credentials = fromEnvironment(os.Getenv)
	}
	if f.cert != "" {
		certificate, err := readCertificate(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		all.credentials = append(all.credentials, shield.Credential{Kind: "mtls", Certificates: []tls.Certificate{certificate}})
	}
	for i := range all.credentials {
		for name, value := range f.settings {
			if all.credentials[i].Settings == nil {
				all.credentials[i].Settings = map[string]string{}
			}
			all.credentials[i].Settings[name] = value
		}
	}
	return all, nil
}

func (f *callFlags) fromProfiles(all *found) error {
	names := f.profiles
	if f.oauth != "" {
		names = append([]string{f.oauth}, names...)
	}
	for _, name := range names {
		one, err := readProfile(name)
		switch {
		case err != nil:
			return err
		case name == f.oauth && one.oauth == nil:
			return &usageError{fmt.Sprintf("profile %s is not of kind oauth", name), "name it with --profile"}
		case one.oauth != nil && all.oauth != nil:
			return &usageError{"a call carries one access token, and two profiles are of kind oauth", "name one of them"}
		case one.oauth != nil:
			all.oauth = one.oauth
		}
		all.credentials = append(all.credentials, one.credentials...)
		all.ca = firstOf(all.ca, one.ca)
	}
	return nil
}

// fromEnvironment reads what programs are given their secrets in.
func fromEnvironment(get func(string) string) []shield.Credential {
	var list []shield.Credential
	if key := get("PAVISE_KEY"); key != "" {
		list = append(list, shield.Credential{Kind: "api_key", Secret: key})
	}
	if secret := get("PAVISE_HMAC_SECRET"); secret != "" {
		list = append(list, shield.Credential{Kind: "hmac", ID: get("PAVISE_HMAC_ID"), Secret: secret})
	}
	if token := get("PAVISE_TOKEN"); token != "" {
		list = append(list, shield.Credential{Kind: "jwt", Secret: token})
	}
	return list
}

func readCertificate(cert, key string) (tls.Certificate, error) {
	if key == "" {
		key = cert
	}
	certificate, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return certificate, fmt.Errorf("read the client certificate: %w", err)
	}
	return certificate, nil
}

// open finds the calling half of each credential.
func open(credentials []shield.Credential) ([]shield.Signer, error) {
	var signers []shield.Signer
	for _, c := range credentials {
		at := slices.IndexFunc(app.Kinds(), func(k shield.Kind) bool { return k.Name == c.Kind && k.Client != nil })
		if at < 0 {
			return nil, &usageError{fmt.Sprintf("there is nothing to send for a shield of kind %q", c.Kind), "`pavise help shield` lists the kinds"}
		}
		signer, err := app.Kinds()[at].Client(c)
		if err != nil {
			return nil, fmt.Errorf("%s credential: %w", c.Kind, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

// transportFor presents the certificates among the signers. It uses no proxy.
func transportFor(signers []shield.Signer, ca string) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		roots, err := readCA(ca)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = roots
	}
	for _, signer := range signers {
		presenter, ok := signer.(shield.Presenter)
		if !ok {
			continue
		}
		certificate := presenter.Certificate()
		// Sent whichever authorities the server names: the shield has bundles of its own.
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true, DisableCompression: true}, nil
}

func readCA(name string) (*x509.CertPool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the CA: %s holds no certificate in PEM", name)
	}
	return roots, nil
}

func (f *callFlags) request(ctx context.Context, body []byte, method, address string) (*http.Request, error) {
	var reader io.Reader
	if f.data != "" {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return nil, &usageError{"the method or the URL is none", "pavise call GET https://127.0.0.1:8443/v1/orders"}
	}
	r.Header.Set("User-Agent", "pavise-call")
	if f.data != "" && json.Valid(body) {
		r.Header.Set("Content-Type", "application/json")
	}
	named := map[string]bool{}
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, &usageError{"a header has no name or no colon", "write --header 'Name: value'"}
		}
		value = strings.TrimSpace(value)
		switch canonical := http.CanonicalHeaderKey(name); {
		case canonical == "Host":
			r.Host = value
		case named[canonical]:
			r.Header.Add(name, value)
		default:
			r.Header.Set(name, value)
			named[canonical] = true
		}
	}
	return r, nil
}

// readData reads the body: the text itself, a file, or stdin.
func readData(data string, in io.Reader) ([]byte, error) {
	name, ok := strings.CutPrefix(data, "@")
	if !ok {
		return []byte(data), nil
	}
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	body, err := io.ReadAll(io.LimitReader(in, maxData+1))
	if err == nil && len(body) > maxData {
		err = fmt.Errorf("it has more than %d bytes", maxData)
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

func sign(r *http.Request, signers []shield.Signer, debug bool, errs io.Writer) error {
	for _, signer := range signers {
		if err := signer.Sign(r); err != nil {
			return fmt.Errorf("sign the request: %w", err)
		}
		explainer, ok := signer.(shield.Explainer)
		if !debug || !ok {
			continue
		}
		text, err := explainer.Canonical(r)
		if err != nil {
			return fmt.Errorf("show what is signed: %w", err)
		}
		if _, err := fmt.Fprintf(errs, "signed text:\n%s\n", printable(text)); err != nil {
			return err
		}
	}
	return nil
}

// send writes the answer to stdout. Redirects are answers.
func send(command *cobra.Command, transport http.RoundTripper, r *http.Request, include bool) error {
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return callError(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end, or that is told
	out := command.OutOrStdout()
	if include {
		var head bytes.Buffer
		fmt.Fprintf(&head, "%s %s\n", answer.Proto, answer.Status)
		for _, name := range sortedNames(answer.Header) {
			for _, value := range answer.Header[name] {
				fmt.Fprintf(&head, "%s: %s\n", name, value)
			}
		}
		if _, err := fmt.Fprintln(out, printable(head.String())); err != nil {
			return err
		}
	}
	if _, err := io.Copy(out, answer.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return notAccepted(answer)
	}
	return nil
}

// givenID is the form of the gateway's request IDs.
var givenID = regexp.MustCompile(`^[0-9A-Za-z]{8,64}$`)

// notAccepted is the error of an answer that says no, with how one finds out why, if it is a gateway's.
func notAccepted(answer *http.Response) error {
	refused := &refusedError{"answered " + answer.Status}
	if id := answer.Header.Get("X-Request-Id"); givenID.MatchString(id) && answer.Header.Get("Content-Type") == "application/problem+json" {
		return &hinted{refused, "whoever runs the gateway sees why: pavise explain " + id}
	}
	return refused
}

func sortedNames(h http.Header) []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// callError says what to do about a connection that failed.
func callError(err error) error {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return &hinted{fmt.Errorf("call: %w", err), "name the gateway's CA with --ca"}
	}
	return fmt.Errorf("call: %w", err)
}

// hinted is an error with the next thing to try.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
