package waf

import "strings"

// findSQL looks for a value that becomes SQL where a service writes it into a statement.
//
// It reads the text as a database would: from the beginning, as where a number or a name is
// expected, and from behind the first quote that ends a string around it. What stands there
// has to go on as a statement goes on: a condition that is joined (or 1=1), a second SELECT, a
// second statement, a comment that cuts off the rest. Words alone say nothing: in "select from
// the menu and drop me a line" nothing follows that a database would take, and behind the
// quote of O'Brien or don't stands a word, which is a fault of syntax there.
func findSQL(t *text) grade {
	best := t.bareSQL()
	if t.have&hasQuote != 0 {
		best = max(best, t.quotedSQL('\''))
	}
	if t.have&hasDouble != 0 && best < sure {
		best = max(best, t.quotedSQL('"'))
	}
	if t.have&hasTick != 0 && best < sure && strings.IndexByte(t.s, ' ') >= strings.IndexByte(t.s, '`') {
		best = max(best, t.quotedSQL('`')) // behind a blank it is the mark of code
	}
	return best
}

// maxQuotes is how many quotes are tried where it is open which of them ends the string: one
// that stands twice, or behind a backslash.
const maxQuotes = 4

func (t *text) quotedSQL(quote byte) (best grade) {
	from := 0
	for range maxQuotes {
		at := strings.IndexByte(t.s[from:], quote)
		if at < 0 {
			return best
		}
		at += from
		t.steps += at - from + 1
		s := sqlReading{sqlTokens: t.sqlAt(at + 1), quoted: true, alone: strings.IndexByte(t.s[:at], ' ') < 0}
		best = max(best, s.tail(0))
		twice := at+1 < len(t.s) && t.s[at+1] == quote
		if best == sure || !twice && (at == 0 || t.s[at-1] != '\\') {
			return best
		}
		if from = at + 1; twice {
			from++
		}
	}
	return best
}

// bareSQL reads the text from its beginning.
func (t *text) bareSQL() grade {
	s := sqlReading{sqlTokens: t.sqlAt(0)}
	i := 0
	for i < 8 && (s.at(i).kind == sqlOpen || s.at(i).kind == sqlOperator && !s.is(i, "not")) {
		i++
	}
	switch first := s.at(i); first.kind {
	case sqlNumber, sqlString, sqlVariable:
		s.number = first.kind != sqlString
		return s.tail(i + 1)
	case sqlLogic, sqlClose, sqlSemicolon, sqlComma:
		s.named = true
		return s.tail(i)
	case sqlName:
		if first.word == "" {
			break
		}
		if g := s.statement(i, i > 0 && s.at(i-1).kind == sqlOpen); g > none || first.word == "select" {
			return g
		}
		if first.word == "union" {
			return s.tail(i)
		}
	default:
		return none
	}
	return s.afterName(i)
}

// afterName reads on behind a name with which a text begins.
func (s *sqlReading) afterName(i int) grade {
	if s.at(i+1).kind == sqlOpen && s.function(s.at(i)) == sure {
		if end := s.at(s.closing(i+1) + 1).kind; end == sqlName || end == sqlOther || end == sqlDot {
			return faint
		}
		return plain // sleep(5), where a number is expected
	}
	for i++; s.at(i).kind == sqlDot && s.at(i+1).kind == sqlName; {
		i += 2
	}
	if s.is(i, "asc") || s.is(i, "desc") {
		i++
	}
	s.named = true
	return s.tail(i)
}

// sqlReading is SQL behind a value that ended.
type sqlReading struct {
	*sqlTokens
	quoted bool // the value was a string
	alone  bool // in which no blank was
	number bool // the value was a number
	named  bool // the value was a word, or nothing: prose begins so
}

// tail judges what follows a value.
func (s *sqlReading) tail(i int) grade {
	closed := false
	for s.at(i).kind == sqlClose {
		closed = true
		i++
	}
	switch t := s.at(i); t.kind {
	case sqlComment:
		return s.cut(t)
	case sqlSemicolon:
		return s.second(i + 1)
	case sqlLogic:
		return s.condition(i + 1)
	case sqlCompare:
		return s.compared(i, closed)
	case sqlOperator:
		return s.calculated(i)
	case sqlComma:
		if s.at(i+1).kind == sqlOpen && s.isSelect(i+2) {
			return plain
		}
		if n := s.at(i + 1); n.kind == sqlName && s.function(n) == sure && s.at(i+2).kind == sqlOpen {
			return plain
		}
	case sqlName:
		if t.word != "" {
			return s.clause(i)
		}
	}
	return none
}

// cut judges a comment that cuts off the rest of a statement. Some words may follow a dash in
// prose, nothing but a dash or a letter follows it in an injection.
func (s *sqlReading) cut(t sqlToken) grade {
	rest := strings.Trim(s.text.s[t.from:], "-#/*+ \t\r\n;")
	if s.quoted && (rest == "" || len(rest) <= 2 && isAlphanumeric(rest[0]) && s.alone) {
		return plain
	}
	return faint
}

// second judges a second statement.
func (s *sqlReading) second(i int) grade {
	switch t := s.at(i); {
	case t.kind == sqlComment && s.quoted:
		return s.cut(t)
	case t.kind == sqlName:
		return s.statement(i, !s.named)
	}
	return none
}

// clause judges a word that a statement goes on with.
func (s *sqlReading) clause(i int) grade {
	behind := s.quoted || s.number
	switch s.at(i).word {
	case "union", "intersect", "except", "minus":
		j := i + 1
		if s.is(j, "all") || s.is(j, "distinct") || s.is(j, "distinctrow") {
			j++
		}
		for s.at(j).kind == sqlOpen {
			j++
		}
		switch {
		case s.isSelect(j) && (behind || s.selects(j, true) >= plain):
			return sure
		case s.is(j, "values") && s.at(j+1).kind == sqlOpen:
			return sure
		}
	case "having", "where":
		if behind {
			return s.condition(i + 1)
		}
	case "order", "group":
		if !s.is(i+1, "by") || !behind {
			return none
		}
		if n, after := s.at(i+2), s.at(i+3).kind; n.kind == sqlNumber && (after == sqlEnd || after == sqlComment || after == sqlComma || after == sqlClose) ||
			s.quoted && n.kind == sqlName && after == sqlComment || n.kind == sqlName && s.is(i+3, "having") {
			return plain
		}
	case "limit", "offset":
		after := s.at(i + 2).kind
		if s.at(i+1).kind == sqlNumber && (s.quoted && (after == sqlComment || after == sqlComma) || s.is(i+2, "union") || s.find(i+2, "procedure") || s.is(i+2, "into")) {
			return plain
		}
	case "into":
		if s.is(i+1, "outfile") || s.is(i+1, "dumpfile") {
			return sure
		}
	case "procedure":
		if s.is(i+1, "analyse") {
			return sure
		}
	case "waitfor":
		return s.statement(i, true)
	}
	return none
}

// compared judges a value that is compared with something.
func (s *sqlReading) compared(i int, closed bool) grade {
	j := s.prefix(i + 1)
	t, after := s.at(j), s.at(j+1).kind
	ends := after == sqlEnd || after == sqlComment || after == sqlLogic || after == sqlClose
	switch {
	case j > i+1 && s.isSelect(j) && s.at(j-1).kind == sqlOpen:
		return plain
	case t.kind == sqlName && s.function(t) == sure && after == sqlOpen:
		return plain
	case s.named:
		return none
	case s.is(i, "is") && t.word == "null" || s.is(i, "between") && t.kind == sqlNumber && s.at(j+1).word == "and":
		if s.quoted && (s.at(j+1).kind != sqlName) {
			return plain
		}
	case !s.quoted:
		if after == sqlLogic && t.kind == sqlNumber && s.number {
			return min(s.condition(j+2), faint) // 1=1 or 2=2, which sums say too
		}
	case s.is(i, "like") || s.is(i, "rlike") || s.is(i, "regexp"):
		if t.kind == sqlString && s.isText(t) {
			return plain
		}
	case s.is(i, "in") && t.kind != sqlName && s.at(j-1).kind == sqlOpen:
		return plain
	case t.kind == sqlString && s.at(i).word == "" && s.isText(t) && ends && (s.alone || after == sqlComment || after == sqlLogic || closed):
		return plain
	case t.kind == sqlNumber && (after == sqlComment || after == sqlLogic && s.condition(j+2) >= plain):
		return plain
	}
	return none
}

// calculated judges a value that is part of a sum, or of a longer text (+ joins texts).
func (s *sqlReading) calculated(i int) grade {
	j := s.prefix(i)
	t, after := s.at(j), s.at(j+1).kind
	switch {
	case s.isSelect(j) && s.at(j-1).kind == sqlOpen, s.is(j, "case") && s.is(j+1, "when"):
		return plain
	case t.kind == sqlName && after == sqlOpen && s.function(t) >= sure:
		return plain
	case t.kind == sqlName && after == sqlOpen && s.function(t) == plain && s.quoted && s.alone:
		return plain
	case s.is(i, "not") && s.named:
		return none
	case t.kind == sqlCompare && s.is(i, "not"):
		return s.compared(j, false)
	case t.kind == sqlString && s.quoted && s.alone && s.isText(t) && s.text.s[s.at(i).from] != '~' && (after == sqlEnd || after == sqlComment || after == sqlLogic):
		return plain
	case (t.kind == sqlString || t.kind == sqlNumber) && after == sqlLogic && (s.quoted || s.number):
		return s.condition(j + 2)
	case t.kind == sqlNumber && after == sqlCompare && s.quoted:
		if end := s.at(j + 3).kind; s.at(j+2).kind == sqlNumber && (end == sqlEnd || end == sqlComment) {
			return plain
		}
	case t.kind == sqlNumber && after == sqlComment && s.quoted, t.kind == sqlNumber && after == sqlOperator && s.quoted && s.at(j+2).kind == sqlString:
		return plain
	case t.kind == sqlVariable && s.quoted && strings.HasPrefix(s.text.s[t.from:], "@@"):
		return plain
	}
	return none
}

// isText reports whether a token is a text that ends, or that the statement around the value
// ends: a word, not the rest of a sentence.
func (s *sqlReading) isText(t sqlToken) bool {
	inner := s.text.s[t.from+1 : t.to]
	if t.to-t.from > 1 && inner[len(inner)-1] == s.text.s[t.from] {
		return true
	}
	for _, c := range []byte(inner) {
		if !isWordByte(c) && c != '%' || len(inner) > 32 {
			return false
		}
	}
	return true
}

// prefix passes what may stand before a value: brackets, signs, not.
func (s *sqlReading) prefix(i int) int {
	for range 16 {
		t := s.at(i)
		if t.kind != sqlOpen && t.kind != sqlOperator && t.word != "all" && t.word != "any" && t.word != "some" {
			break
		}
		i++
	}
	return i
}

// condition judges what is joined to a condition.
func (s *sqlReading) condition(i int) grade {
	j := s.prefix(i)
	t, next := s.at(j), s.at(j+1)
	opened := j > i && s.at(j-1).kind == sqlOpen
	switch {
	case s.isSelect(j):
		if opened || s.quoted && s.selects(j, true) >= plain {
			return sure
		}
		return none
	case t.word == "exists" && next.kind == sqlOpen, t.word == "case" && s.is(j+1, "when"), t.word == "row" && next.kind == sqlOpen:
		return plain
	case t.kind == sqlName && next.kind == sqlOpen:
		return s.called(j)
	case t.kind == sqlNumber, t.kind == sqlString, t.kind == sqlVariable:
		return s.constant(j)
	case t.kind == sqlName:
		return s.column(j)
	}
	return none
}

// called judges a condition that begins with a call.
func (s *sqlReading) called(j int) grade {
	end := s.closing(j + 1)
	after := s.at(end + 1)
	compared := after.kind == sqlCompare && after.word == ""
	switch s.function(s.at(j)) {
	case sure:
		return sure
	case plain:
		for k := j + 2; k < end; k++ {
			if s.at(k).kind == sqlName && s.function(s.at(k)) == sure {
				return sure
			}
		}
		if s.quoted || compared && !s.named || after.kind == sqlCompare && s.number {
			return plain
		}
	default:
		if s.quoted && (compared || after.kind == sqlComment) {
			return plain
		}
	}
	return none
}

// closing finds the bracket that closes the one at i.
func (s *sqlReading) closing(i int) int {
	depth := 0
	for ; i < maxSQL; i++ {
		switch s.at(i).kind {
		case sqlOpen:
			depth++
		case sqlClose:
			if depth--; depth == 0 {
				return i
			}
		case sqlEnd, sqlComment:
			return i
		}
	}
	return i
}

// constant judges a condition that begins with a number or a text: what is true whatever the
// row holds.
func (s *sqlReading) constant(j int) grade {
	first := s.at(j)
	k := j + 1
	for range 8 { // 1+1-2
		if s.at(k).kind == sqlOperator && s.at(k).word != "not" && isValue(s.at(k+1).kind) {
			k += 2
		}
	}
	for s.at(k).kind == sqlClose {
		k++
	}
	negated := s.is(k, "not")
	if negated {
		k++
	}
	switch t := s.at(k); t.kind {
	case sqlCompare:
		other := s.at(s.prefix(k + 1))
		switch {
		case isValue(other.kind) && t.word == "is" && other.word != "null" && s.named:
			return none
		case isValue(other.kind) && t.word != "in" && t.word != "is", s.quoted && other.kind == sqlName && t.word == "", s.quoted && isValue(other.kind):
			if s.named && first.kind == sqlNumber && other.kind == sqlNumber && s.at(k+2).kind == sqlOperator {
				return faint
			}
			return sure
		case s.isSelect(s.prefix(k + 1)):
			return sure
		case other.kind == sqlName && s.function(other) > none && s.at(s.prefix(k+1)+1).kind == sqlOpen && (s.number || s.function(other) == sure):
			return plain
		case other.kind == sqlEnd && s.quoted:
			return plain // the rest of the statement is the other half: ' or ''='
		}
		return none
	case sqlEnd, sqlComment, sqlLogic, sqlSemicolon:
		if first.kind == sqlString && (!s.isText(first) || strings.IndexByte(s.text.s[first.from:first.to], ' ') >= 0) {
			return none
		}
		if first.kind == sqlString && t.kind == sqlEnd && s.text.s[first.to-1] == s.text.s[first.from] && first.to-first.from > 1 {
			return faint // one quote more follows it: no statement
		}
		if s.quoted && (first.word == "" || t.kind != sqlEnd || s.alone) {
			return plain
		}
		if s.number && t.kind == sqlComment {
			return plain
		}
		if s.number && t.kind == sqlLogic {
			return s.condition(k + 1)
		}
		return faint
	}
	return none
}

func isValue(k sqlKind) bool { return k == sqlNumber || k == sqlString || k == sqlVariable }

// column judges a condition that begins with a name.
func (s *sqlReading) column(j int) grade {
	first := s.at(j)
	k := j + 1
	for s.at(k).kind == sqlDot && s.at(k+1).kind == sqlName {
		k += 2
	}
	if s.at(k).kind == sqlOpen && (s.function(first) == sure || s.function(s.at(k-1)) == sure) {
		return sure // dbms_pipe.receive_message(…)
	}
	for s.at(k).kind == sqlClose || s.is(k, "not") {
		k++
	}
	t, other := s.at(k), s.at(s.prefix(k+1))
	if t.kind != sqlCompare {
		if s.quoted && s.alone && t.kind == sqlComment {
			return plain
		}
		return none
	}
	same := strings.EqualFold(s.text.s[first.from:first.to], s.text.s[other.from:other.to]) && t.word == ""
	end := s.at(s.prefix(k+1) + 1).kind
	ends := end == sqlEnd || end == sqlComment || end == sqlLogic || end == sqlClose
	switch {
	case s.isSelect(s.prefix(k+1)) && s.at(s.prefix(k+1)-1).kind == sqlOpen:
		return sure
	case same && (s.quoted || s.number) && ends:
		return plain
	case s.quoted && t.word == "is" && other.word == "null", s.quoted && t.word == "like" && other.kind == sqlString:
		return plain
	case s.quoted && t.word == "" && isValue(other.kind) && (ends || other.kind == sqlString):
		return plain
	case s.number && t.word == "" && isValue(other.kind) && ends:
		return faint
	}
	return none
}
