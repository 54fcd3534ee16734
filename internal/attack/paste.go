package attack

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/shell"
)

// Curl writes a request as a command to paste. Its body is shown up to 64 KiB; what repeats in a
// long one is made by commands before it.
func Curl(r *http.Request) string {
	if r == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("curl -i")
	if strings.Contains(r.URL.EscapedPath(), "/.") {
		b.WriteString(" --path-as-is") // curl would walk the way itself
	}
	if strings.ContainsAny(r.URL.RequestURI(), "[]{}") {
		b.WriteString(" -g") // curl would make several addresses of one
	}
	if r.Method == http.MethodHead {
		b.WriteString(" -I") // with -X HEAD curl waits for a body
	}
	fmt.Fprintf(&b, " -X %s %s", shell.Quoted(r.Method), shell.Quoted(r.URL.String()))
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			fmt.Fprintf(&b, " -H %s", shell.Quoted(name+": "+value))
		}
	}
	if r.Host != "" && r.Host != r.URL.Host {
		fmt.Fprintf(&b, " -H %s", shell.Quoted("Host: "+r.Host))
	}
	if body := bodyOf(r); len(body) > 0 {
		if r.Header.Get("Content-Type") == "" {
			b.WriteString(" -H 'Content-Type:'") // curl would send one by itself
		}
		if commands := spelt(string(body)); commands != "" {
			return "(" + commands + ") | " + b.String() + " --data-binary @-"
		}
		fmt.Fprintf(&b, " --data-raw %s", shell.Quoted(string(body))) // --data-binary would read a file where a body begins with @
	}
	return b.String()
}

// maxShown is how much of a body is shown, in bytes.
const maxShown = 64 << 10

func bodyOf(r *http.Request) []byte {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(io.LimitReader(body, maxShown))
	if err != nil {
		return nil
	}
	return text
}

// Bounds of what is worth a command of its own.
const (
	maxUnit = 8   // bytes that repeat
	minRun  = 256 // bytes of their repetitions
)

// spelt are commands that write a body in which a part repeats over and over; empty: none does.
func spelt(body string) string {
	var commands []string
	literal, at := 0, 0
	for at < len(body) {
		unit, n := repeats(body[at:])
		if n == 0 {
			at++
			continue
		}
		if literal < at {
			commands = append(commands, "printf %s "+shell.Quoted(body[literal:at]))
		}
		commands = append(commands, fmt.Sprintf(`yes %s | head -n %d | tr -d '\n'`, shell.Quoted(unit), n))
		at += len(unit) * n
		literal = at
	}
	if len(commands) > 0 && literal < len(body) {
		commands = append(commands, "printf %s "+shell.Quoted(body[literal:]))
	}
	return strings.Join(commands, "; ")
}

// repeats is what a text begins with that repeats for long, and how often.
func repeats(text string) (unit string, n int) {
	for size := 1; size <= maxUnit && size < len(text); size++ {
		unit = text[:size]
		if unit[0] == '-' || strings.ContainsAny(unit, "\n\x00") {
			return "", 0 // yes(1) would take it for a flag, and tr(1) away
		}
		for n = 1; strings.HasPrefix(text[n*size:], unit); n++ {
			continue
		}
		if n*size >= minRun {
			return unit, n
		}
	}
	return "", 0
}

// OpenSSL is a handshake to paste; flags are ours.
func OpenSSL(host, name, flags string) string {
	words := "openssl s_client -connect " + shell.Word(host) + " -servername " + shell.Word(name)
	if flags != "" {
		words += " " + flags
	}
	return words + " </dev/null"
}
