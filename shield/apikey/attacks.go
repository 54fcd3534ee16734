package apikey

import (
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// attacks is what an attacker tries against a key in the default header.
func attacks() []shield.Attack {
	return []shield.Attack{
		{Row: 1, Name: "no key", Change: with(func(string) []string { return nil }), Code: shield.MissingCredential},
		{Row: 2, Name: "an empty key", Change: with(one(func(string) string { return "" })), Code: shield.InvalidCredential},
		{Row: 2, Name: "a key of blanks", Change: with(one(func(string) string { return "   " })), Code: shield.InvalidCredential},
		{Row: 3, Name: "the secret in the other case", Change: with(one(swapCase)), Code: shield.InvalidCredential},
		{Row: 4, Name: "the last character changed", Change: with(one(changeLast)), Code: shield.InvalidCredential},
		{Row: 5, Name: "an unknown key with a good checksum", Change: with(one(unknownKey)), Code: shield.InvalidCredential},
		{Row: 5, Name: "a known id with a made-up secret and a good checksum", Change: with(one(otherSecret)), Code: shield.InvalidCredential},
		{Row: 6, Name: "the key in the query", Change: inQueryInstead, Code: shield.ExposedCredential},
		{Row: 7, Name: "one key in the header, another in the query", Change: inQueryToo, Code: shield.ExposedCredential},
		{Row: 8, Name: "two key headers", Change: with(func(key string) []string { return []string{key, unknownKey(key)} }), Code: shield.MalformedCredential},
		{Row: 14, Name: "a key of 100 kB", Change: with(one(func(key string) string { return key + strings.Repeat("A", 100_000) })), Code: shield.InvalidCredential},
		{Row: 15, Name: "a look-alike letter in the key", Change: with(one(func(key string) string { return strings.Replace(key, "pvs", "рvs", 1) })), Code: shield.InvalidCredential},
		{Row: 16, Name: "the key as a list in the query", Change: asList, Code: shield.ExposedCredential},
		{Name: "two keys in one header, joined by a comma", Change: with(one(func(key string) string { return key + "," + key })), Code: shield.InvalidCredential},
	}
}

// with replaces the values of the key's header.
func with(values func(key string) []string) func(*http.Request) error {
	return func(r *http.Request) error {
		changed := values(r.Header.Get(defaultHeader))
		r.Header.Del(defaultHeader)
		if changed != nil {
			r.Header[defaultHeaderName] = changed
		}
		return nil
	}
}

// defaultHeaderName is the form in which net/http keeps X-API-Key.
const defaultHeaderName = "X-Api-Key"

func one(change func(string) string) func(string) []string {
	return func(key string) []string { return []string{change(key)} }
}

// swapCase changes the case of every letter of the secret and keeps the key
// otherwise well-formed.
func swapCase(key string) string {
	at := len(key) - checksumLength - secretLength
	if at < 0 {
		return key + "x"
	}
	secret := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z':
			return c - 'A' + 'a'
		}
		return c
	}, key[at:at+secretLength])
	return checked(key[:at] + secret)
}

func changeLast(key string) string {
	last := byte('0')
	if key[len(key)-1] == last {
		last = '1'
	}
	return key[:len(key)-1] + string(last)
}

func unknownKey(string) string {
	body := prefix + "live_" + strings.Repeat("Z", idLength+secretLength)
	return checked(body)
}

func otherSecret(key string) string {
	body := key[:len(key)-checksumLength-secretLength] + strings.Repeat("q", secretLength)
	return checked(body)
}

func inQueryInstead(r *http.Request) error {
	key := r.Header.Get(defaultHeader)
	r.Header.Del(defaultHeader)
	r.URL.RawQuery = "api_key=" + key
	return nil
}

func inQueryToo(r *http.Request) error {
	r.URL.RawQuery = "api_key=" + unknownKey("")
	return nil
}

func asList(r *http.Request) error {
	key := r.Header.Get(defaultHeader)
	r.Header.Del(defaultHeader)
	r.URL.RawQuery = "apikey[]=" + key
	return nil
}
