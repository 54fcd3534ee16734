package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/shield"
)

// maxProfiles is the longest file of profiles, in bytes.
const maxProfiles = 1 << 20

// profile is what one caller signs with. The file is a map of them by name:
//
//	shop:
//	  kind: api_key
//	  secret: …
//	  ca: ca.pem
//	pay:
//	  kind: hmac
//	  id: hk_…
//	  secret: …
//	  also: [pay-certificate]
//	pay-certificate: {kind: mtls, cert: pay.pem, key: pay.key}
//	me: {kind: oauth, issuer: https://login.example.com, id: cli, settings: {scope: "orders:read"}}
type profile struct {
	Kind       string            `yaml:"kind"`
	ID         string            `yaml:"id"`
	Secret     string            `yaml:"secret"`
	Issuer     string            `yaml:"issuer"`      // of kind oauth: the authorization server
	SigningKey string            `yaml:"signing_key"` // of kind oauth, beside a certificate: the key of private_key_jwt
	Cert       string            `yaml:"cert"`        // files are relative to this one
	Key        string            `yaml:"key"`
	CA         string            `yaml:"ca"`
	Settings   map[string]string `yaml:"settings"`
	Also       []string          `yaml:"also"` // further profiles, for endpoints that ask for several proofs
}

// found is what a profile, and those that it names, bring to a call.
type found struct {
	credentials []shield.Credential
	oauth       *oauthclient.Settings // how to get a token; nil: there is none to get
	ca          string
}

// readProfile reads NAME of the user's own file, or FILE:NAME.
func readProfile(name string) (*found, error) {
	file := ""
	if at := strings.LastIndex(name, ":"); at >= 0 {
		file, name = name[:at], name[at+1:]
	} else {
		folder, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", name, err)
		}
		file = filepath.Join(folder, "pavise", "profiles.yaml")
	}
	profiles, err := readProfiles(file)
	if err != nil {
		return nil, err
	}
	first, ok := profiles[name]
	if !ok {
		known := slices.Sorted(maps.Keys(profiles))
		return nil, &usageError{fmt.Sprintf("there is no profile %q in %s", name, file), "it has " + strings.Join(known, ", ")}
	}
	f := &found{}
	for _, one := range append([]string{name}, first.Also...) {
		p, ok := profiles[one]
		if !ok {
			return nil, &usageError{fmt.Sprintf("profile %s also wants %q, which is not in %s", name, one, file), ""}
		}
		if err := f.add(p, filepath.Dir(file)); err != nil {
			return nil, fmt.Errorf("profile %s: %w", one, err)
		}
	}
	if first.CA != "" {
		f.ca = beside(filepath.Dir(file), first.CA)
	}
	return f, nil
}

// add adds what one profile says.
func (f *found) add(p profile, folder string) error {
	c, err := p.credential(folder)
	if err != nil {
		return err
	}
	if p.Kind != oauthKind {
		if p.Issuer != "" {
			return &usageError{"issuer is for profiles of kind oauth", ""}
		}
		f.credentials = append(f.credentials, c)
		return nil
	}
	if f.oauth != nil {
		return &usageError{"a call carries one access token, and two profiles are of kind oauth", "name one of them"}
	}
	if f.oauth, err = p.registration(c, folder); err != nil {
		return err
	}
	if len(c.Certificates) > 0 { // tokens may be bound to it: the API asks for it, too
		f.credentials = append(f.credentials, shield.Credential{Kind: "mtls", Certificates: c.Certificates})
	}
	return nil
}

// oauthKind is the kind of profiles that get their tokens from an authorization server.
const oauthKind = "oauth"

// registration reads a profile of kind oauth.
func (p profile) registration(c shield.Credential, folder string) (*oauthclient.Settings, error) {
	for name := range p.Settings {
		if !slices.Contains([]string{"grant", "scope", "resource", "dpop", "auth", "kid"}, name) {
			return nil, &usageError{fmt.Sprintf("setting %q is none", name), "there are grant, scope, resource, dpop, auth and kid"}
		}
	}
	s := &oauthclient.Settings{
		Issuer: p.Issuer, ID: p.ID, Secret: secret.New([]byte(p.Secret)), Grant: oauthclient.Grant(p.Settings["grant"]), KeyID: p.Settings["kid"],
		Scopes: strings.Fields(p.Settings["scope"]), Resources: strings.Fields(p.Settings["resource"]),
	}
	var err error
	if s.DPoP, err = truth("dpop", p.Settings["dpop"]); err != nil {
		return nil, &usageError{err.Error(), ""}
	}
	switch auth := p.Settings["auth"]; auth {
	case "", "client_secret_basic":
	case "client_secret_post":
		s.Post = true
	default:
		return nil, &usageError{fmt.Sprintf("auth %q is none", auth), "it is client_secret_basic (default) or client_secret_post; a key and a certificate speak for themselves"}
	}
	if len(c.Certificates) > 0 {
		s.Certificate = &c.Certificates[0]
	}
	signing := p.SigningKey
	if signing == "" && p.Cert == "" {
		signing = p.Key // without a certificate it proves who asks
	}
	if signing != "" {
		key, id, err := readSigningKey(beside(folder, signing))
		if err != nil {
			return nil, err
		}
		s.Key, s.KeyID = key, firstOf(s.KeyID, id)
	}
	return s, nil
}

// readProfiles reads a file that only its owner may read: it holds secrets. Its
// errors quote nothing of it.
func readProfiles(name string) (map[string]profile, error) {
	text, err := readPrivate("profiles", name, maxProfiles)
	if err != nil {
		return nil, err
	}
	profiles := map[string]profile{}
	if err := yaml.Load(text, &profiles, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return nil, &usageError{fmt.Sprintf("%s holds no profiles", name), "each is NAME: {kind, id, secret, issuer, cert, key, signing_key, ca, settings, also}, and nothing else"}
	}
	return profiles, nil
}

func (p profile) credential(folder string) (shield.Credential, error) {
	c := shield.Credential{Kind: p.Kind, ID: p.ID, Secret: p.Secret, Settings: p.Settings}
	if p.Cert != "" {
		key := p.Key
		if key == "" {
			key = p.Cert
		}
		certificate, err := readCertificate(beside(folder, p.Cert), beside(folder, key))
		if err != nil {
			return c, err
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c, nil
}

func beside(folder, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}
