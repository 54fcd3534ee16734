package waf

import "strings"

// findTemplate looks for a value that a template engine, or an interpreter, would run.
//
// Braces alone are harmless: letters greet {{name}}, scripts use ${HOME}. Within them has to
// stand what only a probe or an attack writes: a sum of constants (7*7), the ways from a value
// to the interpreter (__class__, getClass, constructor), or the objects that give away the
// configuration.
func findTemplate(t *text) grade {
	s := t.s
	best := none
	for i := 0; i < len(s) && best < sure; i++ {
		t.steps++
		var g grade
		switch s[i] {
		case '{', '$', '#', '*', '@', '%', '~', '[':
			g = t.expressionAt(i)
		case '<':
			g = t.scriptletAt(i)
		case '_':
			g = t.dunderAt(i)
		}
		best = max(best, g)
	}
	return best
}

// maxExpression is how long an expression is looked at, in bytes.
const maxExpression = 200

// expressionAt judges what stands in the brackets that begin at i.
func (t *text) expressionAt(i int) grade {
	s := t.s
	open, closing := 0, ""
	two := ahead(s, i, 2)
	switch {
	case two == "{{":
		open, closing = 2, "}}"
	case two == "{%":
		open, closing = 2, "%}"
	case two == "${" || two == "#{" || two == "*{" || two == "%{" || two == "~{" || two == "@{":
		open, closing = 2, "}"
	case two == "@(":
		open, closing = 2, ")"
	case strings.HasPrefix(s[i:], "[[${"), strings.HasPrefix(s[i:], "[(${"):
		open, closing = 2, "]"
	case strings.HasPrefix(s[i:], "#set("), strings.HasPrefix(s[i:], "#set ("), strings.HasPrefix(s[i:], "#foreach("):
		open, closing = 4, ")"
	case strings.HasPrefix(s[i:], "{php}"):
		return plain
	default:
		return none
	}
	if t.closing < i+open {
		t.closing = len(s)
		if at := strings.IndexAny(s[i+open:], "})]"); at >= 0 {
			t.closing = i + open + at
		}
		t.steps += t.closing - i
	}
	if t.closing-i > maxExpression {
		return none
	}
	inner := ahead(s, i+open, maxExpression)
	t.steps += min(len(inner), 32)
	if end := strings.Index(inner, closing); end >= 0 {
		inner = inner[:end]
	} else if len(inner) < maxExpression {
		return none // it is never run
	}
	if isSum(inner) || closing == "}}" && givesAway(inner) {
		return plain
	}
	return t.interpreted(i, inner)
}

// interpreted searches the expression that begins at i, unless it is part of one that was
// searched.
func (t *text) interpreted(i int, inner string) grade {
	if i < t.checked || !strings.ContainsAny(inner, "(._|`#@") {
		return none
	}
	t.checked = i + len(inner)
	t.steps += len(inner)
	return callsInterpreter(inner)
}

// isSum reports whether an expression is reckoned from constants alone: 7*7, '7'*7, 7 * '7'.
func isSum(inner string) bool {
	i := skipSpace(inner, 0)
	for i < len(inner) && (strings.IndexByte("={$(", inner[i]) >= 0 || isSpace(inner[i])) {
		i++
	}
	n := constantAt(inner, i)
	if n == 0 {
		return false
	}
	i = skipSpace(inner, i+n)
	if i >= len(inner) || strings.IndexByte("*+-/%^", inner[i]) < 0 {
		return false
	}
	i = skipSpace(inner, i+1)
	return constantAt(inner, i) > 0
}

// constantAt is the length of a number or a short text at i.
func constantAt(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	if s[i] == '\'' || s[i] == '"' {
		if end := strings.IndexByte(ahead(s, i+1, 20), s[i]); end >= 0 {
			return end + 2
		}
		return 0
	}
	n := 0
	for i+n < len(s) && isDigit(s[i+n]) {
		n++
	}
	return n
}

// givesAway reports whether an expression is one of the objects that show a service's inside.
func givesAway(inner string) bool {
	word := wordAt(inner, skipSpace(inner, 0))
	rest := strings.TrimSpace(inner)[len(word):]
	switch word {
	case "config", "self", "request", "settings", "lipsum", "cycler", "joiner", "_self", "app", "url_for", "get_flashed_messages", "namespace", "dump":
		if word == "config" && (rest == "" || strings.HasPrefix(rest, ".items") || strings.HasPrefix(rest, "[")) {
			return true
		}
		if rest == "" {
			return word == "self" || word == "_self" || word == "lipsum" || word == "cycler"
		}
		for _, inside := range []string{"__", ".environ", ".application", ".SECRET_KEY", "|attr", "(app", ".env.", "(_context"} {
			if strings.Contains(rest, inside) {
				return true
			}
		}
	}
	return false
}

// callsInterpreter judges an expression by the ways to the interpreter that it takes.
func callsInterpreter(inner string) grade {
	best := none
	for _, way := range []string{
		"__class__", "__globals__", "__mro__", "__subclasses__", "__builtins__", "__import__", "__init__", "getclass(", ".class.", "java.lang", "java.util", "t(java",
		"getruntime", "processbuilder", "freemarker.template", "?new()", "registerundefinedfilter", "constructor.constructor", "constructor(", "mainmodule",
		"child_process", "popen(", "|attr(", "|filter(", "|map(", "|sort(", "|reduce(", "system(", "exec(", "eval(", "passthru(", "shell_exec", "phpinfo(", "%x(", "`id`",
		"_memberaccess", "#context", "@java.", "file.read", "file.open", "io.popen", "dir.entries", "kernel.", "forname(", "getresource(", "pagecontext", "scriptengine", "$class.inspect", "debug()",
		"get_user_file", "include(", "self.__", "file_get_contents", "println(", "println \"", ".execute()",
	} {
		if containsFold(inner, way) {
			if way == "include(" || way == "constructor(" || way == "println(" || way == "println \"" || way == "debug()" || way == "exec(" {
				best = faint
				continue
			}
			return plain
		}
	}
	return best
}

// scriptletAt judges <%= … %> and <?php … ?>.
func (t *text) scriptletAt(i int) grade {
	rest := ahead(t.s, i, maxExpression)
	switch {
	case strings.HasPrefix(rest, "<%"):
		t.steps += min(len(rest), 32)
		inner := strings.TrimLeft(rest[2:], "=-@#! ")
		if end := strings.Index(inner, "%>"); end >= 0 {
			inner = inner[:end]
		}
		if isSum(inner) {
			return plain
		}
		return t.interpreted(i, inner)
	case hasPrefixFold(rest, "<?php"):
		if i < t.checked {
			return none
		}
		t.checked = i + len(rest)
		for _, call := range []string{"system(", "exec(", "eval(", "passthru(", "phpinfo(", "$_get", "$_post", "$_request", "assert(", "include", "file_get_contents", "base64_decode"} {
			if containsFold(rest, call) {
				return plain
			}
		}
		return faint
	case strings.HasPrefix(rest, "<?=") && containsFold(rest, "("):
		return plain
	case strings.HasPrefix(rest, "<#assign") || strings.HasPrefix(rest, "<#list"):
		return max(t.interpreted(i, rest), faint)
	}
	return none
}

// dunderAt judges Python's ways to the interpreter outside of braces.
func (t *text) dunderAt(i int) grade {
	s := t.s
	if !strings.HasPrefix(s[i:], "__") {
		return none
	}
	rest := ahead(s, i, 96)
	switch {
	case strings.HasPrefix(rest, "__import__("), strings.HasPrefix(rest, "__class__.__"), strings.HasPrefix(rest, "__subclasses__()"), strings.HasPrefix(rest, "__proto__."), strings.HasPrefix(rest, "__proto__["):
		return plain
	case rest == "__proto__" && i == 0:
		return plain // the name of a property: every object has it
	}
	return none
}
