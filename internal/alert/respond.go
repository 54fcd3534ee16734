package alert

import (
	"slices"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/shield"
)

// A response acts on what the log proves of the request that raised an alert (invariant 10). Some
// detections can never find such a request: nothing could ever be done about them, and whoever asks
// for it would believe himself protected.

// CanBlock reports whether a network could ever be blocked for what a detection finds.
func (k *Kind) CanBlock() bool { return slices.Contains(k.About, "network") }

// CanHold reports whether a credential could ever be suspended, or a sign-in demanded, for what a
// detection finds: that is about a credential or its holder, and is raised by a request that can
// prove it.
func (k *Kind) CanHold() bool {
	return slices.ContainsFunc(k.About, isHolder) && !k.unproved && (k.class == "" || k.class == audit.Request) &&
		(len(k.Codes) == 0 || slices.ContainsFunc(k.Codes, func(code string) bool { return !IsCopied(code) }))
}

func isHolder(kind string) bool { return kind == "credential" || kind == "client" || kind == "user" }

// IsCopied reports whether a request that was refused with this code proves only that somebody has
// seen one of the credential's holder: its signature is good, and was made for another moment.
func IsCopied(code string) bool {
	switch shield.Code(code) {
	case shield.ReplayedRequest, shield.StaleRequest, shield.UnboundCredential:
		return true
	}
	return false
}

// subjects are the kinds that subjects may have which are counted so.
func (p Per) subjects(class audit.Class) []string {
	switch p {
	case perIdentity:
		return []string{"user", "client", "credential"}
	case perCaller:
		return []string{"user", "client", "credential", "network"}
	case perExposed:
		return []string{"credential", "network"}
	case PerTarget:
		if class == audit.System {
			return []string{"certificate", "sink", "system"}
		}
		return []string{"certificate", "sink", "system", "target"}
	}
	return []string{string(p)}
}
