// Package all lists every kind of shield. Adding a kind is one import and one
// entry here.
package all

import (
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/introspect"
	"pavise.dev/pavise/shield/jwt"
	"pavise.dev/pavise/shield/mtls"
	"pavise.dev/pavise/shield/public"
)

// Kinds returns every kind, in the order in which tables show them.
func Kinds() []shield.Kind {
	return []shield.Kind{
		apikey.Kind(),
		jwt.Kind(),
		introspect.Kind(),
		hmac.Kind(),
		mtls.Kind(),
		public.Kind(),
	}
}
