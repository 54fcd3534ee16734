package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/outbound"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/workload"
)

// serveOutbound carries calls of services on this machine until a signal or the context
// ends it. It needs no store and no master key.
func serveOutbound(ctx context.Context, path string, drain time.Duration, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	h := &outboundHelper{path: path, out: out}
	if err := h.open(ctx); err != nil {
		return err
	}
	err := h.until(ctx, again)
	last, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return errors.Join(err, h.carrier.Shutdown(last), h.closeCertificate())
}

// outboundHelper is what `pavise serve --outbound` runs.
type outboundHelper struct {
	path string
	out  io.Writer

	file        *config.Outbound
	certificate *workload.Certificate // nil: there is none
	carrier     *outbound.Carrier
	watched     map[string]stamp // files that the calls are made of
}

// stamp tells whether a file has changed; the zero one: it cannot be seen.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(name string) stamp {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// say writes a line for whoever runs the helper.
func (h *outboundHelper) say(line string) {
	_, _ = fmt.Fprintln(h.out, time.Now().UTC().Format(time.RFC3339), printable(line)) // there is nobody else to tell
}

func (h *outboundHelper) open(ctx context.Context) error {
	file, err := config.LoadOutbound(h.path)
	if err != nil {
		return err
	}
	if h.certificate, err = h.openCertificate(ctx, file); err != nil {
		return err
	}
	calls, watched, err := callsOf(file, h.certificate)
	if err == nil {
		h.carrier, err = outbound.Open(calls, outbound.Options{Log: h.say})
		err = placed(file, err)
	}
	if err != nil {
		return errors.Join(err, h.closeCertificate())
	}
	h.file, h.watched = file, watched
	return h.ready()
}

// ready says what is carried where.
func (h *outboundHelper) ready() error {
	for _, weak := range h.file.Insecure() {
		h.say(fmt.Sprintf("warning: %s: %s", weak.Path, weak.Reason))
	}
	for _, way := range h.carrier.Ways() {
		if _, err := fmt.Fprintf(h.out, "pavise carries %s to %s\n", way.From, way.To); err != nil {
			return err
		}
	}
	return nil
}

// lookEvery is how often it is asked whether files have changed.
const lookEvery = time.Second

// until carries until the context ends, and reads the file again when it has changed or a
// signal asks.
func (h *outboundHelper) until(ctx context.Context, again <-chan os.Signal) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-h.carrier.Failed():
			return err
		case <-again:
			h.reload(ctx)
		case <-ticker.C:
			if h.changed() {
				h.reload(ctx)
			}
		}
	}
}

func (h *outboundHelper) changed() bool {
	changed := false
	for name, before := range h.watched {
		if now := stampOf(name); now != before {
			h.watched[name], changed = now, true
		}
	}
	return changed
}

// reload puts what the file says now in force, or nothing of it.
func (h *outboundHelper) reload(ctx context.Context) {
	err := h.replace(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		h.say(fmt.Sprintf("the calls stay as they were: %v", err))
		return
	}
	if err := h.ready(); err != nil {
		h.say(err.Error())
	}
}

func (h *outboundHelper) replace(ctx context.Context) error {
	file, err := config.LoadOutbound(h.path)
	if err != nil {
		return err
	}
	before := h.certificate
	next := before
	if !sameCertificate(h.file, file) {
		if next, err = h.openCertificate(ctx, file); err != nil {
			return err
		}
	}
	calls, watched, err := callsOf(file, next)
	if err == nil {
		err = placed(file, h.carrier.Replace(calls))
	}
	if err != nil {
		if next != before && next != nil {
			_ = next.Close() // it never fails
		}
		return err
	}
	h.file, h.certificate, h.watched = file, next, watched
	if next != before && before != nil {
		return before.Close()
	}
	return nil
}

func (h *outboundHelper) closeCertificate() error {
	if h.certificate == nil {
		return nil
	}
	return h.certificate.Close()
}

func sameCertificate(a, b *config.Outbound) bool {
	if a.Certificate == nil || b.Certificate == nil {
		return a.Certificate == b.Certificate
	}
	return *a.Certificate == *b.Certificate
}

// serverRoots are what the certificate of the authority's server may chain to, beside the
// authority's own root; nil: nothing else.
func serverRoots(file *config.Outbound) (*x509.CertPool, error) {
	switch ca := file.Certificate.ServerCA; ca {
	case "":
		return nil, nil
	case "system":
		return x509.SystemCertPool()
	default:
		return readCA(file.Abs(ca))
	}
}

// openCertificate gets the certificate that the file asks for; nil: it asks for none.
func (h *outboundHelper) openCertificate(ctx context.Context, file *config.Outbound) (_ *workload.Certificate, err error) {
	c := file.Certificate
	if c == nil {
		return nil, nil
	}
	o := workload.Options{
		Server: strings.TrimSuffix(c.Server, "/"), Chain: file.Abs(c.File), Key: file.Abs(c.Key), Roots: file.Abs(c.Roots),
		Warn: func(err error) { h.say(err.Error()) },
	}
	if o.ServerRoots, err = serverRoots(file); err != nil {
		return nil, config.Problems{file.Fault("certificate.server_ca", err)}
	}
	if c.Token != "" {
		o.Token = func() (string, error) {
			text, err := os.ReadFile(file.Abs(c.Token))
			return strings.TrimSpace(string(text)), err
		}
	}
	opened, err := workload.Open(ctx, o)
	if err != nil {
		return nil, config.Problems{file.Fault("certificate", err)}
	}
	return opened, nil
}

// callsOf opens the credentials of every call, or returns all that is wrong. It also names
// the files that the calls are made of.
func callsOf(file *config.Outbound, certificate *workload.Certificate) ([]outbound.Call, map[string]stamp, error) {
	watched := map[string]stamp{file.Path: stampOf(file.Path)}
	var calls []outbound.Call
	var problems config.Problems
	for name, c := range file.Calls {
		call := outbound.Call{Name: name, Listen: c.Listen, To: strings.TrimSuffix(c.To, "/"), MaxSigned: int64(c.MaxSigned), Timeout: c.Timeout.Duration}
		if err := credentialsOf(&call, file, c, certificate, watched); err != nil {
			problem := file.Fault("calls."+name, err)
			problem.Hint = hintFor(err)
			problems = append(problems, problem)
		}
		calls = append(calls, call)
	}
	if problems != nil {
		slices.SortFunc(problems, func(a, b config.Problem) int { return strings.Compare(a.Path, b.Path) })
		return nil, nil, problems
	}
	return calls, watched, nil
}

// placed says where in the file a call stands that cannot work.
func placed(file *config.Outbound, err error) error {
	if of, ok := errors.AsType[*outbound.CallError](err); ok {
		return config.Problems{file.Fault("calls."+of.Name, of.Err)}
	}
	return err
}

// credentialsOf opens what a call is signed and presented with.
func credentialsOf(call *outbound.Call, file *config.Outbound, c config.OutboundCall, certificate *workload.Certificate, watched map[string]stamp) error {
	all := &found{}
	for _, name := range c.Profiles {
		if at := strings.LastIndex(name, ":"); at >= 0 {
			name = file.Abs(name[:at]) + name[at:]
		}
		if of, err := profilesFile(name); err == nil {
			watched[of] = stampOf(of)
		}
		one, err := readProfile(name)
		if err != nil {
			return err
		}
		if one.oauth != nil && all.oauth != nil {
			return &usageError{"a call carries one access token, and two profiles are of kind oauth", "name one of them"}
		}
		if one.oauth != nil {
			all.oauth = one.oauth
		}
		all.credentials, all.ca = append(all.credentials, one.credentials...), firstOf(all.ca, one.ca)
	}
	signers, err := open(all.credentials)
	if err != nil {
		return err
	}
	call.Signers = signers
	if all.oauth != nil {
		client, err := openClient(*all.oauth, all.ca, all.oauth.Grant)
		if err != nil {
			return err
		}
		call.Token = client.Sender()
	}
	call.TLS, err = outboundTLS(file, c, all.ca, signers, certificate)
	if c.CA != "" && c.CA != "own" {
		watched[file.Abs(c.CA)] = stampOf(file.Abs(c.CA))
	}
	return err
}

// profilesFile is the file of a profile that is named NAME or FILE:NAME.
func profilesFile(name string) (string, error) {
	if at := strings.LastIndex(name, ":"); at >= 0 {
		return name[:at], nil
	}
	folder, err := os.UserConfigDir()
	return filepath.Join(folder, "pavise", "profiles.yaml"), err
}

// outboundTLS says who vouches for the destination, and what it is shown: the certificate
// of a profile, or else the one that renews itself.
func outboundTLS(file *config.Outbound, c config.OutboundCall, profileCA string, signers []shield.Signer, certificate *workload.Certificate) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if certificate != nil {
		// An error ends the handshake: without a certificate nothing is to be sent.
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate.Current() }
	}
	var err error
	switch ca := firstOf(c.CA, profileCA); {
	case c.CA == "own":
		settings = ownTLS(c, certificate)
	case c.CA != "":
		settings.RootCAs, err = readCA(file.Abs(c.CA))
	case ca != "":
		settings.RootCAs, err = readCA(ca)
	}
	if err != nil {
		return nil, err
	}
	presented := false
	for _, signer := range signers {
		presenter, ok := signer.(shield.Presenter)
		if !ok {
			continue
		}
		if presented {
			return nil, &usageError{"a connection presents one certificate, and two profiles have one", "name one of them"}
		}
		shown := presenter.Certificate()
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
		presented = true
	}
	return settings, nil
}

// ownTLS verifies the destination against the roots that the authority has at the moment.
// What is known to be an address has to stand in the certificate as one.
func ownTLS(c config.OutboundCall, certificate *workload.Certificate) *tls.Config {
	if strings.Contains(c.ServerName, ":") && net.ParseIP(c.ServerName) == nil {
		return certificate.ClientConfig(c.ServerName)
	}
	host := c.ServerName
	if u, err := url.Parse(c.To); host == "" && err == nil {
		host = u.Hostname()
	}
	if net.ParseIP(host) != nil {
		return certificate.ClientConfig("ip:" + host)
	}
	settings := certificate.ClientConfig()
	settings.ServerName = host
	return settings
}
