package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Sink is another place to which events go. It is one of its kinds.
type Sink struct {
	File    *FileSink    `yaml:"file" doc:"A file of its own, one event a line."`
	Stdout  bool         `yaml:"stdout" doc:"The program's standard output, one event a line."`
	Syslog  *SyslogSink  `yaml:"syslog" doc:"A syslog server (RFC 5424), over TLS or TCP."`
	Splunk  *SplunkSink  `yaml:"splunk" doc:"Splunk's HTTP Event Collector."`
	Elastic *ElasticSink `yaml:"elastic" doc:"Elasticsearch, OpenSearch or what else has their bulk API."`
	Webhook *WebhookSink `yaml:"webhook" doc:"Any receiver of POST requests with signed bodies."`
	OTLP    *OTLPSink    `yaml:"otlp" doc:"An OpenTelemetry collector that gets log records, over HTTP with protobuf."`
	Traces  *OTLPSink    `yaml:"otlp_traces" doc:"An OpenTelemetry collector or another backend that gets the spans of requests whose trace is recorded (see traces), over HTTP with protobuf. While it fails no endpoint refuses."`

	Format  string   `yaml:"format" doc:"How an event is written: json is as it was recorded. Default: ecs for elastic, ocsf for splunk, else json." enum:"json,ocsf,ecs,cef"`
	Only    SinkOnly `yaml:"only" doc:"Which events are sent. Default: all."`
	Spool   int      `yaml:"spool" doc:"Events that may wait for this sink while it fails until endpoints of APIs with audit: required refuse. They lie in the event log, and go when its own bounds say so." default:"1000000" min:"1" max:"1000000000"`
	Batch   int      `yaml:"batch" doc:"Events that are sent at once." default:"500" min:"1" max:"10000"`
	Timeout Duration `yaml:"timeout" doc:"Until a batch must have been taken." default:"30s" min:"1s" max:"5m"`
}

// SinkOnly selects events; what is empty selects all.
type SinkOnly struct {
	Classes   Words `yaml:"classes" doc:"Classes of events." enum:"request,connection,admin,grant,system,detection"`
	Decisions Words `yaml:"decisions" doc:"How it ended." enum:"accepted,refused,failed,noted"`
	APIs      Words `yaml:"apis" doc:"Of requests, those to these APIs; what reached no API is left out then."`
	Sample    int   `yaml:"accepted_one_in" doc:"Of requests that were accepted, and about which nothing is remarkable, one in so many is sent. Everything else always is." default:"1" min:"1" max:"1000000"`
}

// FileSink is a file.
type FileSink struct {
	Path     string   `yaml:"path" doc:"The file, relative to this one. Its folder is made if it is missing." required:"yes"`
	Size     Size     `yaml:"rotate_size" doc:"Size at which it is put aside." default:"256MiB" min:"64KiB" max:"1024GiB"`
	Every    Duration `yaml:"rotate_every" doc:"It is put aside when a multiple of this has passed, in UTC: 24h is midnight." default:"24h" min:"1m" max:"365d"`
	Compress bool     `yaml:"compress" doc:"Compress files that were put aside (gzip)." default:"true"`
	Keep     Duration `yaml:"keep" doc:"How long files that were put aside are kept." default:"90d" min:"1h" max:"3650d"`
	Files    int      `yaml:"files" doc:"How many of them are kept; 0: as many as keep lets." default:"0" min:"0" max:"100000"`
}

// SyslogSink is a syslog server.
type SyslogSink struct {
	Address     string `yaml:"address" doc:"tls://host:6514, or tcp://host:601 without TLS." pattern:"^(tls|tcp)://[^/?#@ ]+:[0-9]{1,5}$" hint:"write tls://siem.example.com:6514" required:"yes"`
	CA          string `yaml:"ca" doc:"File with the CA that its certificate chains to. Default: the system's."`
	ServerName  string `yaml:"server_name" doc:"Name that its certificate must carry. Default: the host of the address."`
	Certificate string `yaml:"client_certificate" doc:"File with certificate and key to show it, PEM. Read again for each connection."`
	Facility    string `yaml:"facility" doc:"Facility of the messages." default:"authpriv" enum:"user,daemon,auth,authpriv,audit,local0,local1,local2,local3,local4,local5,local6,local7"`
	Plain       string `yaml:"insecure_plain" doc:"Why events may cross the network without TLS. On this machine they may."`
}

// Receiver is what sinks over HTTP have in common.
type Receiver struct {
	URL      string `yaml:"url" doc:"Its address, https." pattern:"^https?://[^@# ]+$" hint:"write https://siem.example.com, without a user" required:"yes"`
	CA       string `yaml:"ca" doc:"File with the CA that its certificate chains to. Default: the system's."`
	MaxBody  Size   `yaml:"max_body" doc:"Longest body, before it is compressed." default:"1MiB" min:"16KiB" max:"64MiB"`
	Compress bool   `yaml:"compress" doc:"Compress bodies (gzip)."`
	Plain    string `yaml:"insecure_plain" doc:"Why events may cross the network without TLS. On this machine they may."`
}

// SplunkSink is an HTTP Event Collector.
type SplunkSink struct {
	Receiver

	Token      string `yaml:"token_file" doc:"File with the token. Read for each batch." required:"yes"`
	Index      string `yaml:"index" doc:"Index. Default: the token's." pattern:"^[a-z0-9_][a-z0-9_-]{0,79}$"`
	SourceType string `yaml:"sourcetype" doc:"Source type. Default: pavise: with the format." pattern:"^[A-Za-z0-9_:.-]{1,80}$"`
}

// ElasticSink is a bulk API.
type ElasticSink struct {
	Receiver

	Index string `yaml:"index" doc:"Index or data stream." default:"logs-pavise-default" pattern:"^[a-z0-9][a-z0-9._-]{0,127}$"`
	Key   string `yaml:"key_file" doc:"File with the API key, as Elasticsearch shows it encoded; with user, with the password. Read for each batch."`
	User  string `yaml:"user" doc:"Sign in with this name and a password instead of an API key."`
}

// WebhookSink is any receiver.
type WebhookSink struct {
	Receiver

	Secret string `yaml:"secret_file" doc:"File with the secret under which bodies are signed (HMAC-SHA-256), at least 16 bytes. Read for each batch. Default: they are not signed."`
	Token  string `yaml:"token_file" doc:"File with a bearer token. Read for each batch."`
}

// OTLPSink is a collector.
type OTLPSink struct {
	Receiver

	Token string `yaml:"token_file" doc:"File with a bearer token. Read for each batch."`
}

// Kind names the kind of a sink; "" if it is none, or several.
func (s *Sink) Kind() string {
	kind, n := "", 0
	for name, is := range map[string]bool{
		"file": s.File != nil, "stdout": s.Stdout, "syslog": s.Syslog != nil, "splunk": s.Splunk != nil, "elastic": s.Elastic != nil,
		"webhook": s.Webhook != nil, "otlp": s.OTLP != nil, "otlp_traces": s.Traces != nil,
	} {
		if is {
			kind, n = name, n+1
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// Form names how its events are written.
func (s *Sink) Form() string {
	switch {
	case s.Format != "":
		return s.Format
	case s.Elastic != nil:
		return "ecs"
	case s.Splunk != nil:
		return "ocsf"
	}
	return "json"
}

// Receiver returns what it has in common with others over HTTP; nil: it is none.
func (s *Sink) Receiver() *Receiver {
	switch {
	case s.Splunk != nil:
		return &s.Splunk.Receiver
	case s.Elastic != nil:
		return &s.Elastic.Receiver
	case s.Webhook != nil:
		return &s.Webhook.Receiver
	case s.OTLP != nil:
		return &s.OTLP.Receiver
	case s.Traces != nil:
		return &s.Traces.Receiver
	}
	return nil
}

// checkSinks finds what cannot work of other places to which events go.
func (l *loader) checkSinks() {
	paths, outputs := map[string]string{}, ""
	for _, name := range sortedKeys(l.file.Log.Sinks) {
		s, path := l.file.Log.Sinks[name], "log.sinks."+name
		if s.Kind() == "" {
			l.atKey(path, "write one of file, stdout: true, syslog, splunk, elastic, webhook, otlp, otlp_traces", "the sink %s is none, or more than one", name)
			continue
		}
		each(path+".only.apis", s.Only.APIs, func(path, word string) {
			if _, ok := l.file.APIs[word]; !ok {
				l.at(path, didYouMean(word, sortedKeys(l.file.APIs), "name one of apis"), "there is no API %q", word)
			}
		})
		if s.Stdout && outputs != "" {
			l.at(path+".stdout", "remove one of them", "the sink %s writes to the standard output already", outputs)
		} else if s.Stdout {
			outputs = name
		}
		if s.OTLP != nil && s.Form() == "cef" {
			l.at(path+".format", "write json, ocsf or ecs", "a log record of OpenTelemetry has fields of its own")
		}
		if s.Traces != nil {
			l.checkTraceSink(path, &s)
		}
		if s.Elastic != nil && s.Form() == "cef" {
			l.at(path+".format", "write ecs, ocsf or json", "a document is JSON, which CEF is not")
		}
		if s.File != nil {
			l.checkFileSink(path+".file.path", s.File.Path, paths)
			paths[l.file.Abs(s.File.Path)] = name
		}
		if s.Syslog != nil {
			l.checkSyslogSink(path+".syslog", s.Syslog)
		}
		if r := s.Receiver(); r != nil {
			l.checkReceiver(path+"."+s.Kind(), r)
			l.checkSecrets(path+"."+s.Kind(), &s)
		}
	}
}

func (l *loader) checkFileSink(path, name string, others map[string]string) {
	at := l.file.Abs(name)
	if other := others[at]; other != "" {
		l.at(path, "give each its own", "the sink %s writes to this file already", other)
	}
	for what, folder := range map[string]string{"the event log": l.file.Log.Folder, "the data folder": l.file.State.Folder} {
		if inside, err := filepath.Rel(folder, at); err == nil && filepath.IsLocal(inside) {
			l.at(path, "name a file elsewhere", "%s belongs to %s", name, what)
			return
		}
	}
}

func (l *loader) checkSyslogSink(path string, s *SyslogSink) {
	if s.CA != "" {
		l.checkFile(path+".ca", s.CA, authorities)
	}
	if s.Certificate != "" {
		l.checkFile(path+".client_certificate", s.Certificate, keyPair)
	}
	u, err := url.Parse(s.Address)
	if err != nil || u.Hostname() == "" {
		l.at(path+".address", "write tls://siem.example.com:6514", "%q is no address", s.Address)
		return
	}
	isTLS := u.Scheme == "tls"
	l.checkPlain(path, ".address", "write tls://", u.Hostname(), isTLS, s.Plain)
	if !isTLS && (s.CA != "" || s.ServerName != "" || s.Certificate != "") {
		l.at(path+".address", "write tls://", "without TLS there is no certificate to look at")
	}
}

func (l *loader) checkReceiver(path string, r *Receiver) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Hostname() == "" || u.User != nil {
		l.at(path+".url", "write https://siem.example.com, without a user", "this is no address")
		return
	}
	l.checkPlain(path, ".url", "write https://", u.Hostname(), u.Scheme == "https", r.Plain)
	if r.CA != "" {
		l.checkFile(path+".ca", r.CA, authorities)
	}
}

// checkPlain lets events go without TLS on this machine alone, or for a reason.
func (l *loader) checkPlain(path, setting, hint, host string, isTLS bool, reason string) {
	local := isLocal(host)
	switch {
	case !isTLS && !local && reason == "":
		l.at(path+setting, hint, "events would cross the network without TLS; write insecure_plain with why, if they must")
	case isTLS && reason != "":
		l.at(path+".insecure_plain", "remove it", "there is TLS")
	}
}

func (l *loader) checkSecrets(path string, s *Sink) {
	files := map[string]string{}
	switch {
	case s.Splunk != nil:
		files["token_file"] = s.Splunk.Token
	case s.Elastic != nil:
		files["key_file"] = s.Elastic.Key
		if s.Elastic.User != "" && s.Elastic.Key == "" {
			l.at(path+".user", "name the file with the password as key_file", "there is a user without a password")
		}
		if strings.Contains(s.Elastic.User, ":") {
			l.at(path+".user", "write the name alone", "a user's name has no colon")
		}
	case s.Webhook != nil:
		files["secret_file"], files["token_file"] = s.Webhook.Secret, s.Webhook.Token
	case s.OTLP != nil:
		files["token_file"] = s.OTLP.Token
	case s.Traces != nil:
		files["token_file"] = s.Traces.Token
	}
	l.checkSecretFiles(path, files)
}

// checkSecretFiles looks whether files hold something; that of a secret for signatures enough.
func (l *loader) checkSecretFiles(path string, files map[string]string) {
	for _, setting := range sortedKeys(files) {
		if files[setting] == "" {
			continue
		}
		l.checkFile(path+"."+setting, files[setting], func(text []byte) string {
			least := 1
			if setting == "secret_file" {
				least = 16
			}
			if len(strings.TrimSpace(string(text))) < least {
				return fmt.Sprintf("holds fewer than %d bytes", least)
			}
			return ""
		})
	}
}
