package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"strings"
)

// keyForm is how keys of a provider read.
type keyForm struct {
	prefix string
	chars  string            // what may follow the prefix: ranges and single characters
	least  int               // so many of them
	most   int               // 0: as many
	and    func([]byte) bool // of the whole key; nil: nothing more
}

const (
	base62    = "0-9A-Za-z"
	base62u   = "0-9A-Za-z_"
	base64url = "0-9A-Za-z_-"
	lowerHex  = "0-9a-f"
)

// keyForms are the keys that are known, by what their providers publish about them.
func keyForms() []keyForm {
	return []keyForm{
		{"pvs_", base62u, 48, 63, isOurs},
		{"pvshs_", base62, 58, 0, checksumFits},
		{"AKIA", "2-7A-Z", 16, 0, nil}, // AWS
		{"ASIA", "2-7A-Z", 16, 0, nil},
		{"ghp_", base62, 36, 255, nil}, // GitHub
		{"gho_", base62, 36, 255, nil},
		{"ghu_", base62, 36, 255, nil},
		{"ghs_", base62, 36, 255, nil},
		{"ghr_", base62, 36, 255, nil},
		{"github_pat_", base62u, 36, 255, nil},
		{"glpat-", base64url, 20, 64, nil},        // GitLab
		{"xoxa-", "0-9A-Za-z-", 20, 255, isMixed}, // Slack
		{"xoxb-", "0-9A-Za-z-", 20, 255, isMixed},
		{"xoxp-", "0-9A-Za-z-", 20, 255, isMixed},
		{"xoxr-", "0-9A-Za-z-", 20, 255, isMixed},
		{"xoxs-", "0-9A-Za-z-", 20, 255, isMixed},
		{"xapp-", "0-9A-Za-z-", 20, 255, isMixed},
		{"hooks.slack.com/services/T", "0-9A-Za-z/", 20, 128, nil},
		{"sk_live_", base62, 16, 255, nil}, // Stripe
		{"sk_test_", base62, 16, 255, nil},
		{"rk_live_", base62, 16, 255, nil},
		{"rk_test_", base62, 16, 255, nil},
		{"whsec_", "0-9A-Za-z+/=", 24, 128, nil},
		{"AIza", base64url, 35, 0, nil}, // Google
		{"GOCSPX-", base64url, 28, 0, nil},
		{"npm_", base62, 36, 0, nil},
		{"pypi-", base64url, 85, 512, nil},
		{"sk-", base64url, 20, 255, isMixed}, // OpenAI, Anthropic and others
		{"hf_", "A-Za-z", 34, 0, nil},        // Hugging Face
		{"SG.", "0-9A-Za-z_.-", 66, 0, isSendGrid},
		{"dop_v1_", lowerHex, 64, 0, nil},   // DigitalOcean
		{"shpat_", "0-9a-fA-F", 32, 0, nil}, // Shopify
		{"AGE-SECRET-KEY-1", "0-9A-Z", 58, 0, nil},
	}
}

// at reads a key of this form, which must not be part of a longer word.
func (f keyForm) at(text []byte, at, _ int) (from, to int, ok bool) {
	if c := before(text, at); isWord(c) || c == '-' {
		return 0, 0, false
	}
	most := f.most
	if most == 0 {
		most = f.least
	}
	begin := at + len(f.prefix)
	end := begin
	for end < len(text) && end-begin <= most && isAmong(f.chars, text[end]) {
		end++
	}
	for end > begin && (text[end-1] == '-' || text[end-1] == '.' || text[end-1] == '/') && end-begin > f.least {
		end-- // of the sentence
	}
	if end-begin < f.least || end-begin > most || isWord(after(text, end)) || f.and != nil && !f.and(text[at:end]) {
		return 0, 0, false
	}
	return at, end, true
}

// isAmong reports whether a byte is in a set that is written as in a regular expression.
func isAmong(set string, c byte) bool {
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			if c >= set[i] && c <= set[i+2] {
				return true
			}
			i += 2
			continue
		}
		if c == set[i] {
			return true
		}
	}
	return false
}

// isMixed reports whether letters and digits are mixed as words do not mix them.
func isMixed(key []byte) bool {
	digits, letters := 0, 0
	for _, c := range key {
		if isDigit(c) {
			digits++
		} else if isLetter(c) {
			letters++
		}
	}
	return digits >= 3 && letters >= 3
}

// isOurs checks a key of Pavise's own: pvs_, an environment, 46 characters of which the last
// six are the CRC-32 of all before, in base62 (shield/apikey).
func isOurs(key []byte) bool {
	const tail = 46
	environment, rest, ok := strings.Cut(string(key[len("pvs_"):]), "_")
	return ok && environment != "" && len(rest) == tail && !strings.Contains(rest, "_") && checksumFits(key)
}

// checksumFits reports whether the last six characters of a key or secret of Pavise's own are the
// CRC-32 of all before, in base62 (shield/apikey, shield/hmac).
func checksumFits(key []byte) bool {
	const alphabet, checksum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 6
	body := key[:len(key)-checksum]
	sum := crc32.ChecksumIEEE(body)
	for i := len(key) - 1; i >= len(body); i-- {
		if key[i] != alphabet[sum%62] {
			return false
		}
		sum /= 62
	}
	return true
}

// isSendGrid checks the three parts.
func isSendGrid(key []byte) bool {
	parts := strings.Split(string(key), ".")
	return len(parts) == 3 && len(parts[1]) == 22 && len(parts[2]) == 43
}

// isJWT reads a signed token (RFC 7519): three parts in base64url, of which the first is a
// header that names its algorithm.
func isJWT(text []byte, at, _ int) (from, to int, ok bool) {
	if c := before(text, at); isWord(c) || c == '-' || c == '.' {
		return 0, 0, false
	}
	end, dots := at, [2]int{}
	n := 0
	for ; end < len(text); end++ {
		if c := text[end]; c == '.' && n < 2 {
			dots[n] = end
			n++
		} else if !isAmong(base64url, c) {
			break
		}
	}
	if n < 2 || dots[1]-dots[0] < 3 || end-dots[1] < 17 {
		return 0, 0, false
	}
	head, err := base64.RawURLEncoding.DecodeString(string(text[at:dots[0]]))
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err != nil || json.Unmarshal(head, &header) != nil || header.Algorithm == "" {
		return 0, 0, false
	}
	return at, end, true
}

// isPEM reads a private key, up to its end, or that of the text.
func isPEM(text []byte, at, _ int) (from, to int, ok bool) {
	const begin = "-----BEGIN "
	head := text[at+len(begin) : min(len(text), at+len(begin)+64)]
	label, _, found := bytes.Cut(head, []byte("-----"))
	if !found || !bytes.HasSuffix(label, []byte("PRIVATE KEY")) && !bytes.HasSuffix(label, []byte("PRIVATE KEY BLOCK")) {
		return 0, 0, false
	}
	end := "-----END " + string(label) + "-----"
	if i := bytes.Index(text[at:], []byte(end)); i >= 0 {
		return at, at + i + len(end), true
	}
	return at, len(text), true
}
