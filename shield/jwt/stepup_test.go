package jwt

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

func TestStepUpDemandsAFreshAndStrongSignIn(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.ACR, c.MaxAge = []string{"two", "three"}, 5*time.Minute })
	at := func(ago time.Duration) int64 { return w.Now().Add(-ago).Unix() }
	w.accepts(w.corp.Token(map[string]any{"acr": "three", "auth_time": at(time.Minute)}))
	w.accepts(w.corp.Token(map[string]any{"acr": "two", "auth_time": at(5 * time.Minute)}))
	for name, claims := range map[string]map[string]any{
		"a weaker way":   {"acr": "one", "auth_time": at(time.Minute)},
		"no way":         {"auth_time": at(time.Minute)},
		"two ways":       {"acr": "two three", "auth_time": at(time.Minute)},
		"a list of ways": {"acr": []string{"two"}, "auth_time": at(time.Minute)},
		"too long ago":   {"acr": "two", "auth_time": at(5*time.Minute + time.Second)},
		"no moment":      {"acr": "two"},
		"text":           {"acr": "two", "auth_time": "1"},
		"before time":    {"acr": "two", "auth_time": -1},
		"tomorrow":       {"acr": "two", "auth_time": at(-24 * time.Hour)},
	} {
		refusal := w.refuses(name, w.corp.Token(claims), shield.StepUp)
		want := `Bearer error="insufficient_user_authentication"`
		if len(refusal.Challenge) != 1 || !strings.HasPrefix(refusal.Challenge[0], want) ||
			!strings.HasSuffix(refusal.Challenge[0], `, acr_values="two three", max_age="300"`) {
			t.Errorf("%s: %v", name, refusal.Challenge)
		}
	}
	token := w.corp.Token(map[string]any{"acr": "two", "auth_time": at(4 * time.Minute)})
	w.accepts(token)
	w.Set(w.Now().Add(2 * time.Minute))
	w.refuses("a remembered token whose sign-in grew old", token, shield.StepUp)
}
