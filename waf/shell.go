package waf

import "strings"

// command is what a word is to a shell.
type command uint8

const (
	noCommand command = iota
	isCommand         // and hardly anything else
	isWordToo         // a word of English, or a name that tables and addresses have
)

// commandsAlone and commandsAsWords are programs that injections begin with.
const (
	commandsAlone = `whoami uname wget curl nc ncat netcat bash sh zsh ksh csh tcsh
powershell pwsh cmd ping nslookup sleep ifconfig ipconfig netstat chmod chown telnet ssh scp tftp certutil bitsadmin systeminfo
tasklist sudo useradd nohup mkfifo busybox xargs printenv rundll32 wscript cscript regsvr32 mshta socat base64 xxd rm mv cp
ls cat tac rev awk sed grep egrep gcc tclsh crontab iptables passwd printf ps traceroute tcpdump wmic schtasks netsh`
	commandsAsWords = `id dir find more less head tail type set net touch date who echo env ip kill sort node eval exec
source export tee nl od cut time timeout dig host hostname ftp su pwd test file last watch reboot shutdown halt ver vol del
copy move start reg sc query ruby python python2 python3 perl php lua dash expr diff tar zip split paste`
)

// findShell looks for a value that runs a program where a service writes it into a command.
//
// A program has to stand where a shell begins a command: behind ; | & or a new line, within
// $( ) or backticks. And what follows has to be what follows a program: nothing, an option, a
// path, an address, a redirection. So "R&D", "id | name" in a table and "find a way; cat and
// dog" are harmless. A program's name is read as a shell reads it: c\at, c”at, $@cat,
// /bin/cat and /???/cat are cat.
func findShell(t *text) grade {
	s := t.s
	best := none
	for i := 0; i < len(s); i++ {
		t.steps++
		var g grade
		switch s[i] {
		case ';', '|', '&', '\n':
			if i > 0 && s[i-1] == s[i] && s[i] != '\n' {
				continue
			}
			g = t.afterSeparator(i)
		case '$':
			g = t.afterDollar(i)
		case '`':
			g, i = t.inBackticks(i)
		case '<', '>':
			if i+1 < len(s) && s[i+1] == '(' {
				g = t.commandAt(i+2, ')')
			}
		case '/':
			if strings.HasPrefix(s[i:], "/dev/tcp/") || strings.HasPrefix(s[i:], "/dev/udp/") {
				g = sure
			}
		case 'c', 'C', 'p', 'P', 'n', 'b':
			if i == 0 || !isWordByte(s[i-1]) {
				g = t.ownCall(i)
			}
		}
		if best = max(best, g); best == sure {
			return sure
		}
	}
	return best
}

// afterSeparator judges what follows ; | & or a new line.
func (t *text) afterSeparator(i int) grade {
	s := t.s
	sign := s[i]
	j := i + 1
	double := j < len(s) && s[j] == sign
	if double {
		j++
	}
	if sign == '\n' { // what follows several of them is seen behind the last
		j = i + 1
		for j < len(s) && (s[j] == ' ' || s[j] == '\t') {
			j++
			t.steps++
		}
		if j < len(s) && isSpace(s[j]) {
			return none
		}
	}
	name, args := t.program(j)
	kind := t.commandOf(name)
	if kind == noCommand {
		switch {
		case sign == '\n':
		case isGlobbedPath(strings.TrimLeft(s[j:args], " ")):
			return plain
		case isGlobbed(name):
			return faint
		}
		return none
	}
	g := t.arguments(args, sign)
	blank := strings.IndexByte(ahead(s, 0, min(i, 200)), ' ') >= 0
	ends := args == len(s) || strings.IndexByte(";|&\n)", s[args]) >= 0
	switch {
	case g == none:
		return none
	case sign == '\n':
		if g < sure && (blank || strings.HasPrefix(s, "```") || kind == isWordToo && args < len(s) && s[args] == '\n' || args == len(s) && kind == isWordToo && i > 0 && strings.IndexByte(s[:i], '.') < 0) {
			return faint // lines of a text, of which one begins so
		}
	case sign == '&' && !double:
		if word, _, _ := strings.Cut(ahead(s, args, 64), "&"); strings.IndexByte(word, '=') > 0 && i > 0 && !isSpace(s[i-1]) {
			return faint
		}
		if i > 1 && strings.IndexByte("=(,", s[i-2]) >= 0 && s[i-1] == ' ' && j < len(s) && !isSpace(s[j]) || i > 0 && strings.IndexByte("=(,", s[i-1]) >= 0 {
			return faint // an address of C
		}
		if ends && kind == isWordToo && (blank || i > 0 && args == len(s)) || i > 0 && isAlphanumeric(s[i-1]) && j < len(s) && isAlphanumeric(s[j]) && args < len(s) && s[args] == '=' {
			return faint // a parameter of an address
		}
	case sign == '|' && !double && isTable(s, i):
		return faint
	case kind == isWordToo && (blank && ends || args < len(s) && s[args] == '\n'),
		ends && blank && strings.IndexByte(ahead(s, max(0, i-200), min(i, 200)), sign) >= 0:
		return faint // the last of a list
	}
	return g
}

// isTable reports whether the bar at i stands in a line with others, as columns have them.
func isTable(s string, i int) bool {
	begin := strings.LastIndexByte(ahead(s, max(0, i-200), i-max(0, i-200)), '\n') + max(0, i-200) + 1
	line, _, _ := strings.Cut(ahead(s, begin, 400), "\n")
	return strings.Count(line, "|") >= 3 && (strings.HasPrefix(strings.TrimLeft(line, " "), "|") || strings.Contains(line, " | ")) &&
		!strings.Contains(line, "||")
}

// afterDollar judges $(program …) and what of ${…} only an evasion writes.
func (t *text) afterDollar(i int) grade {
	rest := t.s[i:]
	switch {
	case strings.HasPrefix(rest, "$(("):
		return none // arithmetic
	case strings.HasPrefix(rest, "$("):
		return t.commandAt(i+2, ')')
	case strings.HasPrefix(rest, "${IFS"), strings.HasPrefix(rest, "$IFS$"), strings.HasPrefix(rest, "${PATH:"), strings.HasPrefix(rest, "${HOME:"):
		return plain
	}
	return none
}

// inBackticks judges `program …` and says where it ends. In prose backticks mark code, so that
// there a program has to do what only an attacker has it do.
func (t *text) inBackticks(i int) (grade, int) {
	s := t.s
	if strings.HasPrefix(s[i:], "```") {
		return none, i + 2 // a piece of code is shown
	}
	end := strings.IndexByte(ahead(s, i+1, 300), '`')
	t.steps += 16
	if end <= 0 {
		return none, i
	}
	end += i + 1
	name, args := t.program(i + 1)
	if t.commandOf(name) == noCommand {
		return none, end
	}
	g := t.arguments(args, '`')
	if g == plain && (strings.IndexByte(ahead(s, max(0, i-200), min(i, 200)), ' ') >= 0 || end+1 < len(s) && strings.IndexByte(ahead(s, end, 200), ' ') >= 0) {
		g = faint
	}
	return g, end
}

// commandAt judges a program that begins at i, within brackets.
func (t *text) commandAt(i int, closing byte) grade {
	name, args := t.program(i)
	if t.commandOf(name) == noCommand {
		if strings.HasPrefix(name, "<") && len(name) > 1 {
			return plain // $(</etc/passwd)
		}
		return none
	}
	return t.arguments(args, closing)
}

// program reads the name of a program as a shell does, and where its arguments begin.
func (t *text) program(i int) (name string, args int) {
	s := t.s
	for i < len(s) && (isSpace(s[i]) || s[i] == '{' || s[i] == '(' || s[i] == '@' || s[i] == '!') {
		i++
		t.steps++
	}
	var out lowered
	begin := i
	for ; i < len(s) && i-begin < 64; i++ {
		c := s[i]
		t.steps++
		switch {
		case isWordByte(c) || c == '.' || c == '-' || c == '?' || c == '*' || c == '[' || c == ']' || c == '<' && i == begin:
		case c == '/':
			if out.n == 0 || out.bytes[0] != '<' {
				out.n = 0 // the folder of a program
			}
		case c == '\\' && i+1 < len(s) && isAlphanumeric(s[i+1]), c == '^' && i+1 < len(s) && isAlphanumeric(s[i+1]):
			continue
		case (c == '\'' || c == '"') && i+1 < len(s) && (isAlphanumeric(s[i+1]) || s[i+1] == c):
			continue // c''at
		case (c == '\'' || c == '"') && i > begin && isAlphanumeric(s[i-1]) && strings.IndexByte(s[begin:i], c) >= 0:
			continue
		case c == '$' && i+1 < len(s) && (s[i+1] == '@' || s[i+1] == '*'):
			i++
			continue
		default:
			return string(out.bytes[:out.n]), i
		}
		if c == '/' && out.n == 0 {
			continue
		}
		if out.n == len(out.bytes) {
			return "", i
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		out.bytes[out.n] = c
		out.n++
	}
	return string(out.bytes[:out.n]), i
}

// commandOf is what a name is, with the endings that Windows has.
func (t *text) commandOf(name string) command {
	name = strings.TrimSuffix(name, ".exe")
	return t.commands[name]
}

// isGlobbed reports whether a name is written with signs that stand for others: /???/c?t.
func isGlobbed(name string) bool {
	return len(name) >= 3 && strings.Count(name, "?") >= 2 && !strings.Contains(name, "??") && isLetter(name[0])
}

// isGlobbedPath reports the path of a program that is written so: /bin/c?t.
func isGlobbedPath(path string) bool {
	for _, folder := range []string{"/bin/", "/usr/", "/sbin/", "/???/"} {
		if strings.HasPrefix(path, folder) && strings.ContainsAny(path, "?[*") && strings.IndexByte(path[1:], '/') > 0 {
			return true
		}
	}
	return false
}

// arguments judges what follows a program. sign is what stood before it.
func (t *text) arguments(i int, sign byte) grade {
	s := t.s
	if i >= len(s) {
		return plain
	}
	switch c := s[i]; {
	case strings.HasPrefix(s[i:], "${IFS"), strings.HasPrefix(s[i:], "$IFS"):
		return sure
	case c == ')' && sign == ')', c == '`' && sign == '`', c == ')' && i+1 == len(s) && sign != '\n' && strings.IndexByte(ahead(s, max(0, i-24), min(i, 24)), '(') >= 0:
		return plain
	case c == ',' && sign != ')':
		if end := strings.IndexByte(ahead(s, i, 64), '}'); end > 1 && s[i+1] != ' ' {
			return plain // {cat,/etc/passwd}
		}
		return none
	case c == ';' || c == '|' || c == '&' || c == '\n' || c == '#':
		return t.afterCommand(i)
	case c == '<' || c == '>':
		return redirected(s, i, false)
	case c == '%', c == '"', c == '\'':
		if skipSpace(s, i+1) >= len(s) && c != '%' {
			return plain // the quote of the command around it
		}
		return none
	case !isSpace(c):
		return none
	}
	j := skipSpace(s, i)
	if j >= len(s) {
		return plain
	}
	line, _, _ := strings.Cut(ahead(s, j, 200), "\n")
	t.steps += 16
	if isDangerous(line) {
		return sure
	}
	switch c := s[j]; {
	case c == '+' && j+1 < len(s) && isLetter(s[j+1]), c == '/' && strings.HasPrefix(s[j:], "/ -"):
		return plain
	case c == '-' && j+1 < len(s) && (isAlphanumeric(s[j+1]) || s[j+1] == '-' && j+2 < len(s) && isAlphanumeric(s[j+2])), c == '/' && j+1 < len(s) && !isSpace(s[j+1]), c == '~', c == '$',
		c == '*', strings.HasPrefix(s[j:], ".."), strings.HasPrefix(s[j:], "./"):
		return plain
	case c == '|' || c == ';' || c == '&' || c == '#':
		return t.afterCommand(j)
	case c == '<' || c == '>':
		return redirected(s, j, true)
	case isDigit(c):
		end := j
		for end < len(s) && (isDigit(s[end]) || s[end] == '.') {
			end++
		}
		if after := skipSpace(s, end); after == len(s) || strings.IndexByte(";|&)`\n\"'#", s[after]) >= 0 || strings.IndexByte(ahead(s, j, end-j), '.') > 0 {
			return plain // sleep 5, ping 127.0.0.1
		}
	case hasPrefixFold(line, "http://"), hasPrefixFold(line, "https://"), hasPrefixFold(line, "ftp://"):
		return plain
	case c == '%' && j+1 < len(s) && isLetter(s[j+1]):
		return plain // %SYSTEMROOT%
	case c == '%' || c == '"' || c == '\'':
		return faint
	}
	for _, word := range []string{"user", "localgroup", "group", "view", "start"} {
		if hasPrefixFold(line, word) && hasSuffixFold(s[:i], "net") {
			return plain
		}
	}
	if t.commandOf(strings.ToLower(wordAt(line, 0))) == isCommand && sign != '\n' && sign != '|' {
		return plain // sudo cat
	}
	if (hasPrefixFold(line, "c:\\") || hasPrefixFold(line, "localhost")) && sign != '\n' {
		return plain
	}
	return t.argument(j, sign)
}

// argument judges a word that follows a program: a file, or the end of the command.
func (t *text) argument(j int, sign byte) grade {
	s := t.s
	end := j
	for end < len(s) && !isSpace(s[end]) && strings.IndexByte(";|&)`\"'", s[end]) < 0 && end-j < 64 {
		end++
	}
	switch {
	case sign == ')' || sign == '`':
		if end < len(s) && s[end] == sign {
			return plain
		}
	case strings.IndexByte(s[j:end], '/') > 0 && end == len(s):
		return plain
	case skipSpace(s, end) == len(s) && t.commandOf(strings.ToLower(t.nameBefore(j))) == isCommand && sign != '\n' && sign != '`' && sign != ')':
		return plain // ps aux
	case end < len(s) && strings.IndexByte(";|&", s[end]) >= 0 && t.commandOf(strings.ToLower(t.nameBefore(j))) == isCommand:
		return plain
	case (skipSpace(s, end) == len(s) || strings.IndexByte(";|&", s[skipSpace(s, end)]) >= 0) && strings.IndexByte(s[j:end], '.') > 0 && isAlphanumeric(s[end-1]):
		return plain // cat config.php
	case sign == '&' || sign == '|' || sign == ';':
		return faint
	}
	return none
}

// afterCommand judges a sign behind a program that has no arguments.
func (t *text) afterCommand(i int) grade {
	s := t.s
	j := i + 1
	for j < len(s) && (isSpace(s[j]) || s[j] == s[i] || strings.IndexByte("\"')}", s[j]) >= 0) {
		j++
		t.steps++
	}
	if j >= len(s) || s[i] == '#' || s[i] == '\n' {
		return plain
	}
	return faint
}

// redirected judges a sign that leads to a file, or compares.
func redirected(s string, i int, apart bool) grade {
	j := i + 1
	for j < len(s) && (s[j] == s[i] || isSpace(s[j])) {
		j++
	}
	switch {
	case j >= len(s) || s[j] == '=':
		return faint
	case strings.IndexByte("/.&~$%(", s[j]) >= 0, !apart && j == i+1 && isLetter(s[j]):
		return plain
	}
	return faint
}

// nameBefore is the word before a place, behind blanks.
func (t *text) nameBefore(i int) string {
	for i > 0 && isSpace(t.s[i-1]) {
		i--
	}
	begin := i
	for begin > 0 && isWordByte(t.s[begin-1]) && i-begin < 24 {
		begin--
	}
	return t.s[begin:i]
}

// isDangerous reports whether the arguments of a program say what it is for.
func isDangerous(line string) bool {
	for _, part := range []string{"/etc/passwd", "/etc/shadow", "/dev/tcp/", "/bin/sh", "/bin/bash", "/proc/self", "> /", ">/", "| sh", "|sh", "| bash", "|bash"} {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// ownCall finds programs that are called as nobody calls them in prose: cmd /c, powershell
// -enc, nc -e, bash -i.
func (t *text) ownCall(i int) grade {
	rest := ahead(t.s, i, 48)
	for _, call := range []string{"cmd /c ", "cmd.exe /c", "powershell -e", "powershell -nop", "powershell.exe -e", "powershell.exe -nop", "nc -e ", "ncat -e ", "bash -i "} {
		if hasPrefixFold(rest, call) {
			if call == "bash -i " && !strings.Contains(rest, ">&") {
				return faint
			}
			return plain
		}
	}
	return none
}
