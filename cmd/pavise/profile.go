package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

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
type profile struct {
	Kind     string            `yaml:"kind"`
	ID       string            `yaml:"id"`
	Secret   string            `yaml:"secret"`
	Cert     string            `yaml:"cert"` // files are relative to this one
	Key      string            `yaml:"key"`
	CA       string            `yaml:"ca"`
	Settings map[string]string `yaml:"settings"`
	Also     []string          `yaml:"also"` // further profiles, for endpoints that ask for several proofs
}

// readProfile reads NAME of the user's own file, or FILE:NAME.
func readProfile(name string) (list []shield.Credential, ca string, err error) {
	file := ""
	if at := strings.LastIndex(name, ":"); at >= 0 {
		file, name = name[:at], name[at+1:]
	} else {
		folder, err := os.UserConfigDir()
		if err != nil {
			return nil, "", fmt.Errorf("profile %s: %w", name, err)
		}
		file = filepath.Join(folder, "pavise", "profiles.yaml")
	}
	profiles, err := readProfiles(file)
	if err != nil {
		return nil, "", err
	}
	first, ok := profiles[name]
	if !ok {
		known := slices.Sorted(maps.Keys(profiles))
		return nil, "", &usageError{fmt.Sprintf("there is no profile %q in %s", name, file), "it has " + strings.Join(known, ", ")}
	}
	for _, one := range append([]string{name}, first.Also...) {
		p, ok := profiles[one]
		if !ok {
			return nil, "", &usageError{fmt.Sprintf("profile %s also wants %q, which is not in %s", name, one, file), ""}
		}
		c, err := p.credential(filepath.Dir(file))
		if err != nil {
			return nil, "", fmt.Errorf("profile %s: %w", one, err)
		}
		list = append(list, c)
	}
	if first.CA != "" {
		ca = beside(filepath.Dir(file), first.CA)
	}
	return list, ca, nil
}

// readProfiles reads a file that only its owner may read: it holds secrets. Its
// errors quote nothing of it.
func readProfiles(name string) (map[string]profile, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("profiles %s can be read by others (mode %o); run: chmod 600 %s", name, mode, name)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxProfiles+1))
	if err != nil || len(text) > maxProfiles {
		return nil, fmt.Errorf("read the profiles: %s cannot be read, or has more than %d bytes", name, maxProfiles)
	}
	profiles := map[string]profile{}
	if err := yaml.Load(text, &profiles, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return nil, &usageError{fmt.Sprintf("%s holds no profiles", name), "each is NAME: {kind, id, secret, cert, key, ca, settings, also}, and nothing else"}
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
