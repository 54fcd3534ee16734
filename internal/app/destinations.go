package app

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/elastic"
	"pavise.dev/pavise/internal/sink/file"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/otlp"
	"pavise.dev/pavise/internal/sink/splunk"
	"pavise.dev/pavise/internal/sink/stdout"
	"pavise.dev/pavise/internal/sink/syslog"
	"pavise.dev/pavise/internal/sink/webhook"
	"pavise.dev/pavise/internal/tlsconf"
)

// destination makes the destination of a sink. It is connected to when there is something to
// send.
func (a *App) destination(f *config.File, name string, s *config.Sink) (sink.Destination, error) {
	source := form.Source{Node: nodeName(), Version: programVersion()}
	write, err := source.Form(s.Form())
	if err != nil {
		return nil, err
	}
	switch {
	case s.File != nil:
		return file.New(file.Settings{
			Path: f.Abs(s.File.Path), Form: write, Size: int64(s.File.Size), Every: s.File.Every.Duration, Compress: s.File.Compress,
			Keep: s.File.Keep.Duration, Files: s.File.Files, Now: a.now, Held: func() bool { return a.State.Log.Hold() != nil },
			Warn: func(err error) { a.warn(fmt.Errorf("sink %s: %w", name, err)) },
		}), nil
	case s.Stdout:
		return stdout.New(os.Stdout, write), nil
	case s.Syslog != nil:
		return syslog.New(syslog.Settings{
			Address: s.Syslog.Address, TLS: sinkTLS(f, s.Syslog), Form: write, Facility: facilities()[s.Syslog.Facility], Node: source.Node,
			PID: os.Getpid(), Now: a.now,
		})
	}
	client, err := sinkClient(f, s)
	if err != nil {
		return nil, err
	}
	r := s.Receiver()
	most := int(r.MaxBody)
	switch {
	case s.Splunk != nil:
		kind := s.Splunk.SourceType
		if kind == "" {
			kind = "pavise:" + s.Form()
		}
		return splunk.New(splunk.Settings{
			HTTP: client, URL: r.URL, Token: secretFile(f, s.Splunk.Token), Form: write, IsText: s.Form() == form.CEF, SourceType: kind,
			Index: s.Splunk.Index, Node: source.Node, MaxBody: most, Compress: r.Compress,
		})
	case s.Elastic != nil:
		return elastic.New(elastic.Settings{
			HTTP: client, URL: r.URL, Index: s.Elastic.Index, Secret: secretFile(f, s.Elastic.Key), User: s.Elastic.User, Form: write,
			Node: source.Node, MaxBody: most, Compress: r.Compress,
		})
	case s.Webhook != nil:
		return webhook.New(webhook.Settings{
			HTTP: client, URL: r.URL, Secret: secretFile(f, s.Webhook.Secret), Token: secretFile(f, s.Webhook.Token), Form: write,
			Type: contentType(s.Form()), MaxBody: most, Compress: r.Compress, Now: a.now,
		})
	case s.Traces != nil:
		return otlp.NewTraces(otlp.TraceSettings{
			HTTP: client, URL: r.URL, Token: secretFile(f, s.Traces.Token), Source: source, MaxBody: most, Compress: r.Compress,
		})
	}
	return otlp.New(otlp.Settings{
		HTTP: client, URL: r.URL, Token: secretFile(f, s.OTLP.Token), Form: write, Source: source, MaxBody: most, Compress: r.Compress,
	})
}

// contentType is that of lines of a form.
func contentType(name string) string {
	if name == form.CEF {
		return "text/plain; charset=utf-8"
	}
	return "application/x-ndjson"
}

// facilities are the numbers of RFC 5424 §6.2.1.
func facilities() map[string]int {
	return map[string]int{
		"user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20,
		"local5": 21, "local6": 22, "local7": 23,
	}
}

// maxSinkAnswer is the longest answer of a receiver that is read, in bytes.
const maxSinkAnswer = 4 << 20

// sinkClient is the way out to a receiver. It may be a private address, because the operator
// has named it; it may be asked without TLS, because the configuration was checked for that.
func sinkClient(f *config.File, s *config.Sink) (*http.Client, error) {
	r := s.Receiver()
	return receiverClient(f, r.URL, r.CA, s.Timeout.Duration)
}

// receiverClient is the way out to one address alone.
func receiverClient(f *config.File, address, ca string, timeout time.Duration) (*http.Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("its address cannot be read") // the error would quote it
	}
	allowed := u.Hostname()
	if u.Scheme == "http" {
		allowed = "http://" + u.Host
	}
	settings := fetch.Settings{Allow: []string{allowed}, KeepAlive: true, Timeout: timeout}
	if ca != "" {
		if settings.Roots, err = tlsconf.ReadPool(f.Abs(ca)); err != nil {
			return nil, err
		}
	}
	client, err := fetch.New(settings)
	if err != nil {
		return nil, err
	}
	return client.HTTP(maxSinkAnswer), nil
}

// maxSecret is the longest file with a token, in bytes.
const maxSecret = 64 << 10

// secretFile reads a token each time; nil for none.
func secretFile(f *config.File, name string) func() (secret.Value, error) {
	if name == "" {
		return nil
	}
	return func() (secret.Value, error) {
		file, err := os.Open(f.Abs(name))
		if err != nil {
			return secret.Value{}, err
		}
		defer func() { _ = file.Close() }() // it was only read
		text, err := io.ReadAll(io.LimitReader(file, maxSecret))
		if err != nil {
			return secret.Value{}, err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			return secret.Value{}, fmt.Errorf("%s is empty", name)
		}
		return secret.New(text), nil
	}
}

// programVersion is what events tell of the program.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// sinkTLS reads the files of a TLS client anew.
func sinkTLS(f *config.File, s *config.SyslogSink) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return clientTLS(f, s.ServerName, s.CA, s.Certificate) }
}

// clientTLS verifies the server's certificate by an authority of its own, if one is named, and
// shows a certificate, if one is.
func clientTLS(f *config.File, server, ca, certificate string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pool, err := tlsconf.ReadPool(f.Abs(ca))
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.Abs(certificate), f.Abs(certificate))
		if err != nil {
			return nil, fmt.Errorf("read client_certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
