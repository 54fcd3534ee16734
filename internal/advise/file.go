package advise

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/route"
)

// maxFile is the longest file of answers, in bytes.
const maxFile = 1 << 20

// File is a file of answers: what is asked once, what holds for endpoints that say nothing else,
// and the endpoints.
type File struct {
	API       `yaml:",inline"`
	Defaults  Answers            `yaml:"defaults,omitempty" json:"defaults"`
	Endpoints map[string]Answers `yaml:"endpoints,omitempty" json:"endpoints"`
}

// ReadFile reads a file of answers, strictly. Its errors are for whoever wrote it.
func ReadFile(text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("answers have at most %d bytes", maxFile)
	}
	f := &File{}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("there are no answers in it")
	}
	if err := yaml.Load(text, f, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return nil, fmt.Errorf("read the answers: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if err := f.API.Check(); err != nil {
		return nil, err
	}
	if err := f.Defaults.check(); err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	for _, pattern := range slices.Sorted(maps.Keys(f.Endpoints)) {
		a := f.Endpoints[pattern]
		if err := CheckPattern(pattern); err != nil {
			return nil, fmt.Errorf("endpoints: %w", err)
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("endpoints: %s: %w", pattern, err)
		}
	}
	return f, nil
}

// Check finds what a configuration could not have.
func (a *API) Check() error {
	if a.Name != "" && (nameOf(a.Name) == "" || strings.ContainsAny(a.Name, " /{}\n")) {
		return fmt.Errorf("name: %.40q is no name of an API; write letters, digits and hyphens", a.Name)
	}
	if u, err := url.Parse(a.Upstream); a.Upstream != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/") {
		return fmt.Errorf("upstream: %.60q is no upstream's address; write scheme, host and port", a.Upstream)
	}
	if strings.ContainsAny(a.Host, "/:@ {}\n") && !strings.HasPrefix(a.Host, "::") {
		return fmt.Errorf("host: %.60q is no name of a host; write it without scheme and port", a.Host)
	}
	t := a.Tokens
	if u, err := url.Parse(t.Issuer); !t.Own() && (err != nil || u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("tokens: issuer: %.60q is no issuer; write https://login.example.com, or own", t.Issuer)
	}
	if t.Opaque && !t.Own() && (t.ClientID == "" || t.SecretFile == "") {
		return errors.New("tokens: an issuer is asked about opaque tokens as a registered client: write client_id and client_secret_file")
	}
	return nil
}

// CheckPattern says what is wrong with an endpoint's name.
func CheckPattern(pattern string) error {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || method != strings.ToUpper(method) || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%.80q is no endpoint; write METHOD /path, as GET /v1/orders/{id}", pattern)
	}
	if err := route.New[bool]().Add(pattern, true); err != nil {
		return fmt.Errorf("%.80q is no endpoint: %w", pattern, err)
	}
	return nil
}

// Apply gives endpoints their answers, and completes what nobody answered. Without a document the
// endpoints are those of the file; with one, what the file has beyond it is left. What the file
// says of the API counts before what the document tells.
func (f *File) Apply(api API, endpoints []Endpoint) (API, []Endpoint, []Left) {
	var left []Left
	described := len(endpoints) > 0
	known := map[string]bool{}
	for i := range endpoints {
		e := &endpoints[i]
		known[shape(e.Pattern)] = true
		own, _ := f.answersFor(e.Pattern)
		e.Answers = own.with(f.Defaults)
		e.Complete()
	}
	for _, pattern := range slices.Sorted(maps.Keys(f.Endpoints)) {
		if known[shape(pattern)] {
			continue
		}
		if described {
			left = append(left, Left{pattern, "the document does not describe it: describe it there, or advise on it by a file of its own"})
			continue
		}
		e := Endpoint{Pattern: pattern, Answers: f.Endpoints[pattern].with(f.Defaults)}
		e.Complete()
		endpoints = append(endpoints, e)
	}
	return f.API.over(api).withDefaults(), endpoints, left
}

// answersFor finds an endpoint's answers; names of parameters may differ.
func (f *File) answersFor(pattern string) (Answers, bool) {
	if a, ok := f.Endpoints[pattern]; ok {
		return a, true
	}
	for _, other := range slices.Sorted(maps.Keys(f.Endpoints)) {
		if shape(other) == shape(pattern) {
			return f.Endpoints[other], true
		}
	}
	return Answers{}, false
}

// shape is a pattern without the names of its parameters.
func shape(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch {
		case strings.HasSuffix(s, "...}"):
			segments[i] = "{...}"
		case s != "{$}" && strings.HasPrefix(s, "{"):
			segments[i] = "{}"
		}
	}
	return method + " " + strings.Join(segments, "/")
}

// over fills what is missing from another.
func (a API) over(other API) API {
	for into, value := range map[*string]string{
		&a.Name: other.Name, &a.Host: other.Host, &a.Upstream: other.Upstream, &a.Listen: other.Listen, &a.Partners: other.Partners, &a.Archive: other.Archive,
	} {
		if *into == "" {
			*into = value
		}
	}
	if a.Tokens == (Tokens{}) {
		a.Tokens = other.Tokens
	}
	if len(a.Origins) == 0 {
		a.Origins = other.Origins
	}
	return a
}

// AnswersOf are the answers of a plan, as a file.
func AnswersOf(p *Plan) *File {
	f := &File{API: p.API, Endpoints: map[string]Answers{}}
	for i := range p.Advice {
		f.Endpoints[p.Advice[i].Pattern] = p.Advice[i].Answers
	}
	return f
}

// Text writes the file.
func (f *File) Text() ([]byte, error) {
	text, err := yaml.Dump(f)
	if err != nil {
		return nil, fmt.Errorf("write the answers: %w", err)
	}
	return append([]byte("# Answers for `pavise advise --answers`: who calls, whose data, what harm a wrong call does.\n"), text...), nil
}
