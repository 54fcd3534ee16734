package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Profile is what certificates of a sort have in common.
type Profile struct {
	Name    string
	Summary string
	Life    time.Duration // unless something else is asked for
	Max     time.Duration // the longest that may be asked for
	Usages  []x509.ExtKeyUsage
	Wants   []string // types of names, of which it needs one
}

// Profiles returns the profiles, with the limits that hold where nothing is configured.
func Profiles() []Profile {
	const day = 24 * time.Hour
	clients, servers := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	return []Profile{
		{"service", "a program that calls others and is called", day, 30 * day, []x509.ExtKeyUsage{clients, servers}, []string{"uri", "dns"}},
		{"server", "a program that is only called", day, 90 * day, []x509.ExtKeyUsage{servers}, []string{"dns", "ip"}},
		{"person", "somebody who calls from a machine of their own", day, 30 * day, []x509.ExtKeyUsage{clients}, []string{"email", "uri"}},
		{"device", "a machine that is seldom online", 365 * day, 825 * day, []x509.ExtKeyUsage{clients}, []string{"uri", "dns"}},
	}
}

// Limits change a profile; zero leaves what it has.
type Limits struct{ Life, Max time.Duration }

// Policy is what the configuration says of certificates.
type Policy struct {
	Limits map[string]Limits // by profile

	// Status is the address below which revocation lists and OCSP answers are had, such as
	// http://pki.example.com; it is written into certificates. Empty: nowhere.
	Status string
}

// SetPolicy puts a policy in force for certificates that are issued from now on.
func (a *Authority) SetPolicy(p Policy) { a.policy.Store(&p) }

// profile finds a profile, with the limits in force.
func (a *Authority) profile(name string) (Profile, error) {
	all := Profiles()
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, fault("there are service, server, person and device", "there is no profile %.40q", name)
	}
	p := all[i]
	limits := a.policy.Load().Limits[name]
	if limits.Max > 0 {
		p.Max = limits.Max
		p.Life = min(p.Life, p.Max)
	}
	if limits.Life > 0 {
		p.Life = limits.Life
	}
	return p, nil
}

// longest is the longest life that any profile allows.
func (a *Authority) longest() time.Duration {
	var longest time.Duration
	for _, p := range Profiles() {
		if limited, err := a.profile(p.Name); err == nil {
			longest = max(longest, limited.Max)
		}
	}
	return longest
}

// defaultNames are those of a client that nobody gave any: a SPIFFE ID in the trust domain.
func (p Profile) defaultNames(client, domain string) (Names, error) {
	switch p.Name {
	case "service":
		return Names{"uri:spiffe://" + domain + "/" + client}, nil
	case "person", "device":
		return Names{"uri:spiffe://" + domain + "/" + p.Name + "/" + client}, nil
	}
	return nil, fault("give it a name with --name dns:…", "a certificate of profile %s needs a name of type %s", p.Name, strings.Join(p.Wants, " or "))
}

// life is how long a certificate of the profile is to live.
func (p Profile) life(asked time.Duration) (time.Duration, error) {
	switch {
	case asked == 0:
		return p.Life, nil
	case asked < minLife:
		return 0, fault(fmt.Sprintf("ask for %s or more", minLife), "a life of %s is too short to be of use", asked)
	case asked > p.Max:
		return 0, fault("ask for less, or raise pki.profiles."+p.Name+".max_life", "a life of %s is longer than the %s that profile %s allows", asked, p.Max, p.Name)
	}
	return asked, nil
}

// minLife is the shortest life of a certificate.
const minLife = 5 * time.Minute
