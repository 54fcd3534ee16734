package waf

import (
	"strings"
	"testing"
)

// What a text costs grows with its length alone, whatever a hostile one repeats.
func TestWorkGrowsWithTheTextAlone(t *testing.T) {
	all := newTables()
	for _, piece := range pieces() {
		for _, d := range detectors() {
			steps := func(n int) int {
				one := text{tables: all}
				one.read(strings.Repeat(piece, n), false)
				d.find(&one)
				return one.steps
			}
			short, long := steps(2_000), steps(8_000)
			if long > 5*short+20_000 || long > 80*8_000*len(piece) {
				t.Errorf("%s: %q takes %d steps for %d bytes, %d for %d", d.name, piece, short, 2_000*len(piece), long, 8_000*len(piece))
			}
		}
	}
}

// A text decodes to few others, none longer than itself.
func TestVariantsAreBounded(t *testing.T) {
	all := newTables()
	for _, piece := range pieces() {
		s := strings.Repeat(piece, 500)
		n := 0
		first := text{tables: all}
		first.variants(s, func(one *text) bool {
			if n++; n > 8 || len(one.s) > len(s) {
				t.Errorf("%q: variant %d has %d bytes of %d", piece, n, len(one.s), len(s))
			}
			return true
		})
	}
}

// pieces are what hostile texts repeat.
func pieces() []string {
	return []string{
		"a", " ", "'", "\"", "`", ";", "|", "&", "\n", "\r\n", "x\n", "(", ")", "((", "))", ")(", "{{", "}}", "{{ }}", "{{a.b}}", "${", "${a:", "${${", "${lower:", ":-",
		"<", "<a ", "</script", "<!entity ", "<!doctype ", "<a b=\"", "<a b='c' ", "../", "..\\", "../a", "/", "/etc", "://", "\x00", "\x00.", "$", "$gt:", " $gt", "{$gt", "%", "%2", "%25", "&#39;", "&lt", "\\u0027",
		"\\x", "'or", "'or ", "1 or ", "/*", "*/", "/**/", "--", "--\n", "#\n", "' ' ", "''", "\\'", "`id`", "`id", ";id", ";id ", "|id|", "&id=", "\nid", "\nls\n", "$(id", "$(", "__class__.", "<%", "<?php", "<%=a.b", "@(", "#set(",
		"'-", "'-a", "\" on", "\"onx=", "javascript:", "data:", "*)(", ")(a=", "() {", "\uff07", "\u00a0", "é", "select ", "union select ", "(select ", "a,", "a.", "1+", "@", "a:", "http://", "file://", "\u2028", "+", "=",
		"{{{", "{{a", "{{(", "a{{b}}", "#{a.b}", "{%", "%}", "~{", "[[${", "..;/", "....//", "[$ne]", "'||", "';return ", "QUFB", "    ;", "\t", "; cat", ";cat ", "; cat /", "x; ", "'a'", "\"a\" or ",
	}
}
