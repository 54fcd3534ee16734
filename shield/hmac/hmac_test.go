package hmac

import (
	"strings"
	"testing"

	"pavise.dev/pavise/shield/shieldtest"
)

func fixture() shieldtest.Fixture {
	return shieldtest.Fixture{
		Upstream: []string{digestHeader},
		Equal: func(_, good, value string) bool { // the scheme's name has no case (RFC 9110 §11.1)
			return len(value) == len(good) && strings.EqualFold(value[:len(scheme)], scheme) && value[len(scheme):] == good[len(scheme):]
		},
		Foreign: func(_, value string) bool { return !isOurs(value) },
	}
}

func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), fixture()) }

func FuzzVerify(f *testing.F) { shieldtest.Fuzz(f, Kind(), fixture()) }
