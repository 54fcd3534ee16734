package leaks_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/check/leaks"
)

func TestWhatIsShownHoldsNoCredential(t *testing.T) {
	made := newKey(t)
	key, id := made.Secret, made.ID
	signed := newSigning(t)
	signing := "Xk3vQ9_mT2bR7wLpZs-4NcYhGdJf8uKeAq1iOo5tUxE"
	for name, test := range map[string]struct{ text, secret, want string }{
		"an API key":                 {"credential " + key + ": gone", key, "credential pvs_live_" + id + "…: gone"},
		"twice":                      {key + " and " + key, key, "pvs_live_" + id + "… and pvs_live_" + id + "…"},
		"with a typing error":        {"'" + key[:len(key)-1] + "'", key[20:40], "'pvs_…'"},
		"a client's secret":          {"pvscs_Ab3dEf6hIj9lMn2pQr5tUv8x", "Ab3dEf6hIj9lMn2pQr5tUv8x", "pvscs_Ab3d…"},
		"a secret of signatures":     {"credential " + signed.Secret + ": gone", signed.Secret[18:], "credential pvshs_" + signed.ID[3:] + "…: gone"},
		"one with a typing error":    {"'" + signed.Secret[:60] + "'", signed.Secret[6:40], "'pvshs_…'"},
		"one without a prefix":       {`credential "` + signing + `": gone`, signing, `credential "Xk3v…": gone`},
		"a folder of a path":         {"open /tmp/" + signing + "/x: none", "nothing", "open /tmp/" + signing + "/x: none"},
		"an id":                      {"credential " + id + ": gone", "nothing", "credential " + id + ": gone"},
		"a digest, a serial, a UUID": {strings.Repeat("0a1b2c3d", 8) + " cert:" + strings.Repeat("0a1b", 8) + " 4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "nothing", strings.Repeat("0a1b2c3d", 8) + " cert:" + strings.Repeat("0a1b", 8) + " 4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
	} {
		t.Run(name, func(t *testing.T) {
			got := leaks.MaskTyped(test.text)
			if got != test.want || strings.Contains(got, test.secret) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if l, found := leaks.First(signed.Secret + "x"); !found || l.Kind != leaks.SigningSecret || l.ID != "" {
		t.Errorf("a typing error: %+v", l)
	}
	if text := "token " + signing; leaks.Mask(text) != text {
		t.Errorf("%q: a thumbprint is no secret", leaks.Mask(text))
	}
}
