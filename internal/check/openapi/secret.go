package openapi

import (
	"regexp"
	"strings"
)

// form is the form of secrets of one kind. The mark, which each holds, is looked for first:
// documents are long.
type form struct {
	kind, mark, pattern string
}

func forms() []form {
	return []form{
		{"a private key", "PRIVATE KEY-----", `-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}`},
		{"an access key of AWS", "A", `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`},
		{"a token of GitHub", "gh", `\bgh[pousr]_[A-Za-z0-9]{36}\b`},
		{"a token of GitHub", "github_pat_", `\bgithub_pat_[A-Za-z0-9_]{60,}\b`},
		{"a token of GitLab", "glpat-", `\bglpat-[A-Za-z0-9_-]{20,}`},
		{"a token of Slack", "xox", `\bxox[abprs]-[A-Za-z0-9-]{20,}`},
		{"a live key of Stripe", "_live_", `\b[sr]k_live_[A-Za-z0-9]{16,}`},
		{"a key of Pavise", "pvs_live_", `\bpvs_live_[A-Za-z0-9_-]{20,}`},
		{"a secret of signatures of Pavise", "pvshs_", `\bpvshs_[A-Za-z0-9]{40,}`},
		{"a key of Google", "AIza", `\bAIza[A-Za-z0-9_-]{35}`},
		{"a key of SendGrid", "SG.", `\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`},
		{"a token of npm", "npm_", `\bnpm_[A-Za-z0-9]{36}\b`},
		{"a token (JWT)", "eyJ", `\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}`},
		{"a URL with a password", "://", `[a-z][a-z0-9+]*://[^\s/:@"'<>{}]{1,64}:[^\s/:@"'<>{}]{6,64}@[a-z0-9.-]+\.[a-z]{2,}`},
	}
}

// secretForms are the forms, with their patterns compiled.
func secretForms() (all []compiledForm) {
	for _, f := range forms() {
		all = append(all, compiledForm{f, regexp.MustCompile(f.pattern)})
	}
	return all
}

type compiledForm struct {
	form
	compiled *regexp.Regexp
}

// secretKind says what kind of secret a text seems to hold; empty: none.
func (c *check) secretKind(text string) string {
	if len(text) < 16 {
		return ""
	}
	for _, f := range c.secrets {
		if !strings.Contains(text, f.mark) {
			continue
		}
		for _, found := range f.compiled.FindAllString(text, 16) {
			if !isMadeUp(found) {
				return f.kind
			}
		}
	}
	return ""
}

// isMadeUp reports whether nobody takes a text for a real secret.
func isMadeUp(text string) bool {
	lower := strings.ToLower(text)
	for _, word := range []string{"example", "xxxx", "your", "placeholder", "redacted", "****", "0000000", "1234567890", "abcdefgh", "password", "changeme"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	distinct := map[rune]bool{}
	for _, r := range text {
		distinct[r] = true
	}
	return len(distinct) < 10
}
