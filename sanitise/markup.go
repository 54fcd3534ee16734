package sanitise

import (
	"html"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
)

// decoded takes one level of percent escapes and character references away. The rounds of a
// pipeline come back to what is encoded several times.
func decoded(text string) string { return withoutReferences(withoutPercents(text)) }

// withoutPercents takes percent escapes away that stand for UTF-8.
func withoutPercents(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for {
		start := strings.IndexByte(text, '%')
		if start < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:start])
		end := start
		for end+2 < len(text) && text[end] == '%' && isHex(text[end+1]) && isHex(text[end+2]) {
			end += 3
		}
		if end == start {
			out.WriteByte('%')
			text = text[start+1:]
			continue
		}
		unescape(&out, text[start:end])
		text = text[end:]
	}
}

// unescape writes a run of percent escapes: those that are no UTF-8 as they are.
func unescape(out *strings.Builder, run string) {
	plain, _ := url.PathUnescape(run) // escapes, all of them
	for at := 0; at < len(plain); {
		r, size := utf8.DecodeRuneInString(plain[at:])
		if r == utf8.RuneError && size == 1 {
			out.WriteString(run[3*at : 3*at+3])
		} else {
			out.WriteRune(r)
		}
		at += size
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// maxReference is the longest name of a character reference, with & and semicolon.
const maxReference = 34

// reference returns the character reference that a text begins with, and what it stands for;
// empty if there is none. Without a semicolon only numbers and the characters of markup count,
// as in "&lt": "&copy=2" is part of an address.
func reference(text string) (raw, plain string) {
	end := 1
	for end < len(text) && end < maxReference && (text[end] == '#' && end == 1 || isWord(text[end])) {
		end++
	}
	if end < len(text) && text[end] == ';' {
		if raw = text[:end+1]; html.UnescapeString(raw) != raw {
			return raw, html.UnescapeString(raw)
		}
		return "", ""
	}
	if end > 2 && text[1] == '#' {
		return numbered(text[:end])
	}
	for _, name := range [...]string{"&lt", "&gt", "&amp", "&quot", "&LT", "&GT", "&AMP", "&QUOT"} {
		if strings.HasPrefix(text, name) {
			return name, html.UnescapeString(name + ";")
		}
	}
	return "", ""
}

// numbered is a reference by number that ends without a semicolon, as readers of HTML take it.
func numbered(text string) (raw, plain string) {
	end := 2
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	if text[2]|0x20 == 'x' {
		end, isDigit = 3, isHex
	}
	begin := end
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	if end == begin {
		return "", ""
	}
	return text[:end], html.UnescapeString(text[:end] + ";")
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func withoutReferences(text string) string {
	return references(text, func(_, plain string) string { return plain }, "&")
}

// references writes each character reference as each says, and other ampersands as lone.
func references(text string, each func(raw, plain string) string, lone string) string {
	if strings.IndexByte(text, '&') < 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for {
		start := strings.IndexByte(text, '&')
		if start < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:start])
		text = text[start:]
		raw, plain := reference(text)
		if raw == "" {
			out.WriteString(lone)
			text = text[1:]
			continue
		}
		out.WriteString(each(raw, plain))
		text = text[len(raw):]
	}
}

// encoded writes characters that mean something in HTML as references. References that are
// there stay, so that a text that was encoded is not encoded again.
func encoded(text string) string {
	if !strings.ContainsAny(text, `&<>"'`) {
		return text
	}
	text = references(text, func(raw, _ string) string {
		if strings.HasSuffix(raw, ";") {
			return raw
		}
		return "&amp;" + raw[1:]
	}, "&amp;")
	return marks().Replace(text)
}

func marks() *strings.Replacer {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")
}

// formatted returns a step that keeps what a policy allows of HTML.
func formatted(p *bluemonday.Policy) func(string) string {
	return func(text string) string {
		if !strings.ContainsAny(text, "<>&\x00\r") {
			return text
		}
		return readable(p.Sanitize(text))
	}
}

// textOnly returns a step that takes all markup away; what it leaves is text, not HTML.
func textOnly(strict *bluemonday.Policy) func(string) string {
	return func(text string) string {
		if !strings.ContainsAny(text, "<&") {
			return text
		}
		known := references(text, func(raw, _ string) string { return raw }, "&amp;")
		return withoutReferences(strict.Sanitize(known))
	}
}

// readable writes quotes between tags plainly, where they mean nothing: only in values of
// attributes they would.
func readable(markup string) string {
	if !strings.Contains(markup, "&#3") {
		return markup
	}
	var out strings.Builder
	out.Grow(len(markup))
	quotes := strings.NewReplacer("&#34;", `"`, "&#39;", "'")
	for {
		start := strings.IndexByte(markup, '<')
		if start < 0 {
			out.WriteString(quotes.Replace(markup))
			return out.String()
		}
		out.WriteString(quotes.Replace(markup[:start]))
		end := strings.IndexByte(markup[start:], '>') // in values it is written &gt;
		if end < 0 {
			out.WriteString(markup[start:])
			return out.String()
		}
		out.WriteString(markup[start : start+end+1])
		markup = markup[start+end+1:]
	}
}

// formatting is what of HTML is kept: what formats a text, and links to elsewhere, which say
// nothing of a page to be shown (rel="nofollow noreferrer"). No styles, classes, names, pictures or forms.
func formatting() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "b", "strong", "i", "em", "u", "s", "del", "ins", "sub", "sup", "small", "mark", "q", "cite",
		"blockquote", "pre", "code", "kbd", "samp", "ul", "ol", "li", "dl", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6",
		"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption")
	p.AllowURLSchemes("https", "http", "mailto")
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AllowAttrs("href").OnElements("a")
	return p
}
