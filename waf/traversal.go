package waf

import "strings"

// findTraversal looks for a value that leads to another file than it should: up through "..",
// to files that attackers read first, or through PHP's wrappers.
//
// A value that is a path and leads up is refused. In prose and code, where "../lib/a.js" is
// harmless, the path has to lead up three times, or to such a file.
func findTraversal(t *text) grade {
	if t.have&(hasSlash|hasBackslash|hasColon|hasNul) == 0 {
		return none
	}
	best := none
	first := strings.IndexByte(t.s, '.')
	path := t.have&hasBlank == 0 && t.have&hasBreak == 0 && strings.IndexByte(t.s, '(') < 0 && strings.IndexByte(t.s, '"') < 0
	for i := 0; i < len(t.s); i++ {
		t.steps++
		var g grade
		switch c := t.s[i]; {
		case c == '.' && (i == 0 || t.s[i-1] != '.' || isEvasive(t.s, i)):
			g, i = t.upAt(i, path)
		case (c == '/' || c == '\\') && (i == 0 || !isWordByte(t.s[i-1])):
			g = t.targetAt(i, path)
		case c == ':':
			g = t.wrapperAt(i)
		case (c == 'c' || c == 'C') && i == 0:
			if hasPrefixFold(t.s, `c:\windows\`) || hasPrefixFold(t.s, "c:/windows/") || hasPrefixFold(t.s, `c:\boot.ini`) || hasPrefixFold(t.s, "c:/boot.ini") {
				g = plain
			}
		case c == 0:
			if path && first >= 0 && first < i {
				g = plain // the end of a name, for some readers
			}
		}
		if best = max(best, g); best == sure {
			return sure
		}
	}
	return best
}

// isEvasive reports "....//", of which a filter that takes "../" away leaves "../".
func isEvasive(s string, i int) bool { return strings.HasPrefix(s[i:], "....") }

// upAt judges a path that leads up from i, and says where the last step ends.
func (t *text) upAt(i int, path bool) (grade, int) {
	s := t.s
	begin, ups := i, 0
	for i < len(s) {
		n := stepAt(s, i)
		if n == 0 {
			break
		}
		i, ups = i+n, ups+1
		t.steps += n
	}
	if ups == 0 {
		if path && begin > 0 && isSeparator(s[begin-1]) && s[begin:] == ".." {
			return plain, begin + 1
		}
		return none, begin
	}
	inside := begin > 0 && !isSeparator(s[begin-1]) && isAlphanumeric(s[begin-1])
	switch {
	case isTarget(ahead(s, i, 40)):
		return sure, i - 1
	case inside:
		return none, i - 1 // and so on.../
	case isLocalCode(ahead(s, i, 200)):
		return faint, i - 1
	case ups >= 4, path && ups >= 2:
		return plain, i - 1
	case path && !strings.Contains(s[:min(begin, 12)], "://"):
		return plain, i - 1
	case ups == 3:
		return faint, i - 1
	}
	return faint, i - 1
}

// stepAt is the length of a step up at i: "../", "..\", "....//", "..;/", "...//".
func stepAt(s string, i int) int {
	dots := i
	for dots < len(s) && s[dots] == '.' && dots-i < 4 {
		dots++
	}
	end := dots
	if end < len(s) && s[end] == ';' {
		end++
	}
	slashes := end
	for slashes < len(s) && isSeparator(s[slashes]) && slashes-end < 3 {
		slashes++
	}
	if n := dots - i; n < 2 || slashes == end || n > 2 && slashes-end < 2 {
		return 0
	}
	return slashes - i
}

func isSeparator(c byte) bool { return c == '/' || c == '\\' }

// isLocalCode reports a path of a source file, such as modules name them.
func isLocalCode(rest string) bool {
	if end := strings.IndexAny(rest, " \t\r\n:#?'\"`)>"); end >= 0 {
		rest = rest[:end]
	}
	rest = strings.TrimRight(rest, ".,;")
	for _, end := range []string{".js", ".ts", ".tsx", ".jsx", ".css", ".scss", ".md", ".html", ".vue", ".go", ".s", ".c", ".h", ".rs", ".py", ".java", ".json", ".png", ".jpg", ".svg"} {
		if strings.HasSuffix(rest, end) {
			return true
		}
	}
	return false
}

// targetAt judges an absolute path. In prose and code people speak of such files.
func (t *text) targetAt(i int, path bool) grade {
	if !path || !isTarget(ahead(t.s, i+1, 40)) {
		return none
	}
	if i == 0 || t.decoded || strings.HasSuffix(t.s[:i], "://") {
		return plain
	}
	return faint
}

// isTarget reports whether a path is one of the files that attackers read first.
func isTarget(path string) bool {
	path = strings.TrimLeft(path, `/\.`)
	if path == "" || strings.IndexByte("ewpbmrvsahg", path[0]|0x20) < 0 {
		return false
	}
	for _, file := range []string{
		"etc/passwd", "etc/shadow", "etc/hosts", "etc/group", "etc/issue", `etc\passwd`, "proc/self/", "proc/version", "windows/win.ini", `windows\win.ini`,
		"windows/system32", `windows\system32`, "winnt/win.ini", `winnt\`, "boot.ini", "win.ini", "web-inf/", `web-inf\`, "meta-inf/", "web.config", ".ssh/", ".aws/credentials", ".env", ".git/",
		".htaccess", ".htpasswd", "var/log/", "root/.", "var/run/secrets/",
	} {
		if hasPrefixFold(path, strings.TrimLeft(file, ".")) || hasPrefixFold(path, file) {
			return true
		}
	}
	return false
}

// wrapperAt judges a scheme that ends at i.
func (t *text) wrapperAt(i int) grade {
	s := t.s
	if !strings.HasPrefix(s[i:], "://") {
		return none
	}
	begin := i
	for begin > 0 && (isAlphanumeric(s[begin-1]) || s[begin-1] == '.' || s[begin-1] == '+') && i-begin < 20 {
		begin--
	}
	t.steps += i - begin
	scheme, rest := lower(s[begin:i]), s[i+3:]
	switch string(scheme.bytes[:scheme.n]) {
	case "php":
		if hasPrefixFold(rest, "filter") || hasPrefixFold(rest, "input") || hasPrefixFold(rest, "fd/") {
			return sure
		}
	case "phar", "expect", "compress.zlib", "compress.bzip2":
		return plain
	case "zip", "glob", "data", "gopher", "dict", "jar":
		if begin == 0 {
			return plain
		}
	case "file":
		if isTarget(rest) && t.have&hasBlank == 0 || begin == 0 && hasPrefixFold(rest, "/") && t.have&hasBlank == 0 {
			return plain
		}
	}
	return none
}
