package openapi

import (
	"slices"
	"strings"
	"unicode"
)

// words writes a name as lower-case words with underscores: isAdmin, is-admin and Is_Admin
// are all is_admin; APIKey is api_key.
func words(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			if s := b.String(); s != "" && !strings.HasSuffix(s, "_") {
				b.WriteByte('_')
			}
			continue
		case unicode.IsUpper(r) && i > 0 && isBoundary(runes, i):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
		if b.Len() > 256 {
			break // no name
		}
	}
	return strings.Trim(b.String(), "_")
}

// isBoundary reports whether a word begins with the capital at i.
func isBoundary(runes []rune, i int) bool {
	before := runes[i-1]
	if unicode.IsLower(before) || unicode.IsDigit(before) {
		return true
	}
	return unicode.IsUpper(before) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// endsWith reports whether words are one of the names, or end in one.
func endsWith(words string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return words == name || strings.HasSuffix(words, "_"+name) })
}

// isSecret reports whether a parameter of this name holds a secret.
func isSecret(name string) bool {
	w := words(name)
	return isKept(name) || endsWith(w, "access_token", "refresh_token", "id_token", "auth_token", "session_token", "reset_token", "api_token",
		"bearer_token", "jwt", "session_id", "otp", "credentials", "apikey", "api_key") ||
		slices.Contains([]string{"token", "session", "sid", "sessid", "phpsessid", "jsessionid", "auth", "authorization", "bearer"}, w)
}

// isKept reports whether a property of this name is one that never leaves a service again.
func isKept(name string) bool {
	return endsWith(words(name), "password", "passwd", "pwd", "passphrase", "passcode", "pin", "secret", "secret_key", "private_key", "password_hash", "cvv", "cvc")
}

// isPersonal reports whether a parameter of this name is about a person.
func isPersonal(name string) bool {
	return endsWith(words(name), "ssn", "social_security_number", "tax_id", "passport", "passport_number", "iban", "card_number", "credit_card", "email", "e_mail",
		"email_address", "phone", "phone_number", "date_of_birth", "birth_date", "birthday", "dob")
}

// isServerSet reports whether a property of this name is one that a service sets itself.
func isServerSet(name string) bool {
	switch words(name) {
	case "role", "roles", "is_admin", "admin", "is_superuser", "superuser", "is_staff", "is_root", "permissions", "privileges", "scopes", "owner_id", "tenant_id",
		"is_verified", "verified", "email_verified", "is_approved", "approved", "balance", "credit", "credits",
		"created_at", "created_by", "updated_at", "updated_by", "deleted_at":
		return true
	}
	return false
}

// isTrace reports whether a property of this name tells of a service's inside.
func isTrace(name string) bool {
	switch words(name) {
	case "stack", "stacktrace", "stack_trace", "traceback", "backtrace", "exception", "debug_info", "sql_query":
		return true
	}
	return false
}

// isPageSize reports whether a parameter of this name says how much is asked for.
func isPageSize(name string) bool {
	switch words(name) {
	case "limit", "per_page", "page_size", "pagesize", "size", "count", "top", "first", "last", "max_results", "batch_size":
		return true
	}
	return false
}

// isAddress reports whether a value of this name is an address that may be called.
func isAddress(name string) bool {
	return endsWith(words(name), "url", "uri", "callback", "webhook", "endpoint", "href")
}
