package introspect

import (
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/shield"
)

// attacks is what somebody tries who holds a good token.
func attacks() []shield.Attack {
	changed := func(change func(token string) string) func(*http.Request) error {
		return func(r *http.Request) error {
			r.Header.Set("Authorization", change(r.Header.Get("Authorization")))
			return nil
		}
	}
	inQuery := func(name string) func(*http.Request) error {
		return func(r *http.Request) error {
			r.URL.RawQuery = name + "=" + strings.TrimPrefix(r.Header.Get("Authorization"), bearer.Scheme+" ")
			return nil
		}
	}
	return []shield.Attack{
		{Row: 22, Name: "a token cut in half", Change: changed(func(t string) string { return t[:len(t)-4] }), Code: shield.InvalidCredential},
		{Row: 38, Name: "a padded token", Change: changed(func(t string) string { return t + "=" }), Code: shield.InvalidCredential},
		{Row: 38, Name: "a blank inside", Change: changed(func(t string) string { return t[:10] + " " + t[10:] }), Code: shield.InvalidCredential},
		{Row: 45, Name: "two Authorization headers", Change: func(r *http.Request) error {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
			return nil
		}, Code: shield.MalformedCredential},
		{Row: 45, Name: "a second token in the query", Change: inQuery("access_token"), Code: shield.ExposedCredential},
		{Row: 45, Name: "a second token in the query, its name encoded", Change: inQuery("access%5ftoken"), Code: shield.ExposedCredential},
		{Row: 46, Name: "a tab after Bearer", Change: changed(func(t string) string { return strings.Replace(t, " ", "\t", 1) }), Code: shield.MalformedCredential},
		{Row: 46, Name: "two blanks after Bearer", Change: changed(func(t string) string { return strings.Replace(t, " ", "  ", 1) }), Code: shield.MalformedCredential},
		{Row: 47, Name: "a token of more than 16 KiB", Change: changed(func(t string) string { return t + strings.Repeat("A", bearer.MaxToken) }), Code: shield.HeadersTooLarge},
	}
}
