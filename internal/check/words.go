package check

import (
	"slices"
	"strings"
	"unicode"
)

// wordsOf are the words of a path or pattern, lower case, without placeholders: userProfiles,
// user-profiles and user_profiles are user and profiles.
func wordsOf(path string) (all []string) {
	for segment := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(segment, "{") {
			continue
		}
		var word strings.Builder
		end := func() {
			if word.Len() > 0 {
				all = append(all, word.String())
				word.Reset()
			}
		}
		upper := true
		for _, r := range segment {
			switch {
			case !unicode.IsLetter(r) && !unicode.IsDigit(r):
				end()
				continue
			case unicode.IsUpper(r) && !upper:
				end()
			}
			upper = unicode.IsUpper(r)
			word.WriteRune(unicode.ToLower(r))
		}
		end()
	}
	return all
}

// speaksOf returns the word of a path, in the singular or the plural, that is one of some;
// empty: none is.
func speaksOf(path string, some []string) string {
	for _, word := range wordsOf(path) {
		if slices.Contains(some, word) || slices.Contains(some, strings.TrimSuffix(word, "s")) || slices.Contains(some, strings.TrimSuffix(word, "es")) {
			return word
		}
	}
	return ""
}

// What words of paths say. They are few and plain: a rule that cries wolf is switched off.
func personal() []string {
	return []string{"user", "me", "account", "profile", "customer", "patient", "member", "person", "people", "employee", "message", "inbox", "salary", "medical", "document", "card", "wallet", "family", "student", "citizen"}
}

func paying() []string {
	return []string{"payment", "pay", "payout", "transfer", "refund", "charge", "withdrawal", "withdraw", "deposit", "checkout", "purchase", "topup", "remittance"}
}

func administrative() []string {
	return []string{"admin", "administration", "internal", "debug", "actuator", "manage", "management", "sudo", "root", "console", "ops", "maintenance", "impersonate", "superuser", "backoffice"}
}

func sensitiveFlows() []string {
	return []string{"login", "signin", "logon", "password", "otp", "reset", "register", "signup", "registration", "verify", "verification", "invite", "invitation", "voucher", "coupon", "redeem", "captcha", "forgot", "recover"}
}
