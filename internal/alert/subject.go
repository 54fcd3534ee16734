package alert

import (
	"net/netip"

	"pavise.dev/pavise/audit"
)

// Per says for whom or what events are counted together.
type Per string

// What events can be counted for.
const (
	PerNetwork    Per = "network"    // IPv4 address, IPv6 /64
	PerClient     Per = "client"     // that was proved
	PerUser       Per = "user"       // that was proved
	PerCredential Per = "credential" // also one that somebody only named
	PerEndpoint   Per = "endpoint"   // of an API
	PerAPI        Per = "api"
	PerActor      Per = "actor"    // of an administrative act
	PerTarget     Per = "target"   // of an act or of the system: a client, a certificate, a sink
	perIdentity   Per = "identity" // the narrowest that was proved
	perCaller     Per = "caller"   // that, or else the network
	perExposed    Per = "exposed"  // the credential, where it is known, or the network that sent it
)

// key is for whom an event counts; false: for nobody. It allocates nothing.
func (p Per) key(e *audit.Event, seed uint64) (uint64, bool) {
	switch p {
	case PerNetwork:
		network := networkOf(e.Remote.Addr())
		return hashNetwork(seed, network), network.IsValid()
	case PerClient:
		return hash(seed, e.Client), e.Client != "" && hasProved(e)
	case PerUser:
		return hash(seed, e.Issuer, e.User), e.User != "" && hasProved(e)
	case PerCredential:
		return hash(seed, e.CredentialID), e.CredentialID != ""
	case PerEndpoint:
		return hash(seed, e.API, e.Endpoint), e.Endpoint != ""
	case PerAPI:
		return hash(seed, e.API), e.API != ""
	case perIdentity:
		return identityKey(e, seed), isKnown(e)
	case perCaller:
		if isKnown(e) {
			return identityKey(e, seed), true
		}
		return PerNetwork.key(e, seed)
	case PerActor:
		return hash(seed, e.Actor), e.Actor != ""
	case perExposed:
		if e.CredentialID != "" {
			return PerCredential.key(e, seed)
		}
		return PerNetwork.key(e, seed)
	}
	return hash(seed, e.Target), true
}

// subject names for whom an event counts.
func (p Per) subject(e *audit.Event) Subject {
	switch p {
	case PerNetwork:
		return Subject{"network", nameOf(networkOf(e.Remote.Addr()))}
	case PerClient:
		return Subject{"client", e.Client}
	case PerUser:
		return Subject{"user", e.User}
	case PerCredential:
		return Subject{"credential", e.CredentialID}
	case PerEndpoint:
		return Subject{"endpoint", e.API + " " + e.Endpoint}
	case PerAPI:
		return Subject{"api", e.API}
	case perIdentity:
		return identityOf(e)
	case perCaller:
		if isKnown(e) {
			return identityOf(e)
		}
		return PerNetwork.subject(e)
	case PerActor:
		return Subject{"actor", e.Actor}
	case perExposed:
		if e.CredentialID != "" {
			return PerCredential.subject(e)
		}
		return PerNetwork.subject(e)
	}
	switch e.Code {
	case "certificate_expiring", "certificate_warning":
		return Subject{"certificate", e.Target}
	case "sink_failing", "sink_full", "sink_lost", "sink_rejected":
		return Subject{"sink", e.Target}
	}
	if e.Class != audit.System {
		return Subject{"target", e.Target}
	}
	return Subject{"system", e.Target}
}

// hasProved reports whether the identity that an event names is not only claimed. Grants tell of
// those that the authorization server knows.
func hasProved(e *audit.Event) bool { return e.Proved || e.Class == audit.Grant }

// isKnown reports whether an event proves an identity.
func isKnown(e *audit.Event) bool {
	return hasProved(e) && (e.User != "" || e.Client != "" || e.CredentialID != "")
}

// identityOf is the narrowest identity that an event proves: of a token the person, whose tokens
// come and go, else the client.
func identityOf(e *audit.Event) Subject {
	switch {
	case e.User != "":
		return Subject{"user", e.User}
	case e.Client != "":
		return Subject{"client", e.Client}
	}
	return Subject{"credential", e.CredentialID}
}

func identityKey(e *audit.Event, seed uint64) uint64 {
	switch {
	case e.User != "":
		return hash(seed, "u", e.Issuer, e.User)
	case e.Client != "":
		return hash(seed, "c", e.Client)
	}
	return hash(seed, "k", e.CredentialID)
}

// holderOf is what is held for long: the credential, if it is a key or a certificate; of tokens,
// which live for minutes, the identity.
func holderOf(e *audit.Event) Subject {
	if isToken(e) || e.CredentialID == "" {
		return identityOf(e)
	}
	return Subject{"credential", e.CredentialID}
}

func holderKey(e *audit.Event, seed uint64) uint64 {
	if isToken(e) || e.CredentialID == "" {
		return identityKey(e, seed)
	}
	return hash(seed, "k", e.CredentialID)
}

func isToken(e *audit.Event) bool { return e.Shield == "jwt" || e.Shield == "introspect" }

// isUse reports whether an event is a request that somebody known made and that was let pass.
func isUse(e *audit.Event) bool {
	return e.Class == audit.Request && e.Decision == audit.Accepted && isKnown(e)
}

// networkOf is the network by which an address is counted, as `pavise block` takes it: of IPv4
// the address itself, of IPv6 the /64 (RFC 7421).
func networkOf(addr netip.Addr) netip.Prefix { return cut(addr, 32, 64) }

// cut is the network of an address, so many bits of it.
func cut(addr netip.Addr, of4, of6 int) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := of6
	if addr.Is4() {
		bits = of4
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // an event without an address
	}
	return p
}

// nameOf writes an address without its length.
func nameOf(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
