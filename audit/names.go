package audit

import (
	"slices"
	"strings"
	"unicode"
)

// IsSecretName reports whether a parameter's name says that its value must not be recorded:
// one of its words means a credential, or something that identifies a person to others.
func IsSecretName(name string) bool {
	return slices.ContainsFunc(wordsOf(name), func(word string) bool {
		return slices.ContainsFunc(secretWords(), func(secret string) bool { return strings.HasPrefix(word, secret) })
	})
}

// secretWords are the beginnings of such words: passwd and passphrase begin with pass.
func secretWords() []string {
	return []string{
		"token", "secret", "key", "apikey", "pass", "pwd", "code", "otp", "totp", "pin", "cred", "sig", "jwt", "ticket", "auth", "session", "sid", "nonce",
		"state", "assertion", "verifier", "cookie", "csrf", "xsrf", "hmac", "bearer", "private", "email", "mail", "phone", "iban", "ssn", "card", "cvv", "cvc",
		"accesstoken", "refreshtoken", "idtoken", "clientsecret", "saml",
	}
}

// wordsOf cuts a name at what is no letter, and where lower case becomes upper case; the
// whole name in lower case, without what divides it, is one of the words.
func wordsOf(name string) (words []string) {
	var word, whole []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, string(word))
			word = word[:0]
		}
	}
	lower := false
	for _, r := range name {
		if !unicode.IsLetter(r) {
			end()
			lower = false
			continue
		}
		if lower && unicode.IsUpper(r) {
			end()
		}
		lower = unicode.IsLower(r)
		word, whole = append(word, unicode.ToLower(r)), append(whole, unicode.ToLower(r))
	}
	end()
	return append(words, string(whole))
}
