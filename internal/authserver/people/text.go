package people

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// bounded returns an application whose texts can be shown: short, on one line, in one
// direction.
func bounded(a Application) Application {
	a.Name = cut(a.Name, 80)
	if a.Name == "" {
		a.Name = cut(a.ID, 80)
	}
	a.Contact = cut(a.Contact, 120)
	a.RedirectHost = cut(a.RedirectHost, 253)
	if a.RedirectURI == "" && a.RedirectHost != "" {
		a.RedirectURI = "https://" + a.RedirectHost
	}
	if u, err := url.Parse(a.PolicyURI); err != nil || u.Scheme != "https" || u.Host == "" || len(a.PolicyURI) > 2048 {
		a.PolicyURI = ""
	}
	return a
}

// cut returns a text of at most n characters that breaks no line, turns no direction and
// stacks no marks.
func cut(text string, n int) string {
	if len(text) > 8*n {
		text = strings.ToValidUTF8(text[:8*n], "")
	}
	var b strings.Builder
	count, marks := 0, 0
	for _, r := range text {
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r):
			continue
		case unicode.IsControl(r), r == 0x2028, r == 0x2029:
			r = ' '
		}
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		if marks > 3 {
			continue
		}
		if count++; count > n {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func texts(all []string) []string {
	out := make([]string, 0, len(all))
	for _, text := range all {
		out = append(out, cut(text, 128))
	}
	return out
}

// noAddress stands for everywhere.
func noAddress() netip.Addr { return netip.Addr{} }

func remote(v *visit) netip.Addr { return shield.RemoteAddr(v.r) }

func dayText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006")
}

func momentText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006, 15:04 UTC")
}

// groups writes a key in groups of four.
func groups(text string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// agentText says in words what a browser calls itself.
func agentText(agent string) string {
	name, system := "A browser", ""
	for _, known := range [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrom", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, known[0]) {
			name = known[1]
			break
		}
	}
	for _, known := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, known[0]) {
			system = " on " + known[1]
			break
		}
	}
	return name + system
}
