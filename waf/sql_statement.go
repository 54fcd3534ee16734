package waf

// isSelect reports whether a SELECT begins at i.
func (s *sqlReading) isSelect(i int) bool { return s.is(i, "select") }

// statement judges a whole statement. One that follows the end of another is a statement as soon
// as it begins like one; where prose may stand, it has to go on like one, too.
func (s *sqlReading) statement(i int, follows bool) grade {
	one := func(ok bool) grade {
		if ok {
			return plain
		}
		return none
	}
	next, third := s.at(i+1), s.at(i+2)
	named := next.kind == sqlName || next.kind == sqlString
	switch s.at(i).word {
	case "select":
		return s.selects(i, follows)
	case "insert", "replace":
		return one(s.is(i+1, "into") && third.kind == sqlName && (follows || s.find(i+3, "values") || s.find(i+3, "select")))
	case "update":
		return one(named && s.is(i+2, "set") && s.at(i+3).kind == sqlName && s.at(i+4).kind == sqlCompare)
	case "delete":
		return one(s.is(i+1, "from") && third.kind == sqlName && (follows || s.is(i+3, "where") || s.ends(i+3) && s.at(i+3).kind != sqlEnd))
	case "drop", "truncate":
		return one(isObject(next.word) && (third.kind == sqlName || third.kind == sqlString) && (follows || s.dropped(i+2)))
	case "alter":
		return one(isObject(next.word) && third.kind == sqlName && (follows || isChange(s.at(i+3).word)))
	case "create":
		return one(isObject(next.word) && third.kind == sqlName && (s.at(i+3).kind == sqlOpen && s.closing(i+3) > i+5 && follows || s.is(i+3, "identified") || s.is(i+3, "as") && s.isSelect(i+4)))
	case "exec", "execute":
		return one(next.kind == sqlOpen && follows || next.kind == sqlVariable || s.is(i+1, "immediate") || s.is(i+1, "master") || s.isProcedure(next))
	case "declare":
		return one(next.kind == sqlVariable)
	case "waitfor":
		if (s.is(i+1, "delay") || s.is(i+1, "time")) && (third.kind == sqlString || third.kind == sqlVariable) {
			return sure
		}
	case "shutdown":
		return one(follows && s.ends(i+1) || s.is(i+1, "with") && s.is(i+2, "nowait"))
	case "set":
		return one(next.kind == sqlVariable && third.kind == sqlCompare)
	case "merge":
		return one(s.is(i+1, "into") && third.kind == sqlName && s.is(i+3, "using"))
	case "grant", "revoke":
		return one(s.is(i+1, "all") && s.is(i+2, "on") || next.kind == sqlName && s.is(i+2, "on") && s.find(i+3, "to") && follows)
	case "call", "do":
		return one(follows && s.at(i+2).kind == sqlOpen && s.function(next) > none)
	case "copy":
		return one(follows && third.kind == sqlName && (s.is(i+2, "from") || s.is(i+2, "to")) && s.at(i+3).kind == sqlString || next.kind == sqlOpen && s.isSelect(i+2))
	case "load":
		return one(s.is(i+1, "data") && s.find(i+2, "infile"))
	case "attach":
		return one(s.is(i+1, "database") && third.kind == sqlString)
	case "begin":
		return one(follows && (s.ends(i+1) && s.at(i+1).kind != sqlEnd || s.find(i+1, "execute")))
	}
	return none
}

// selects judges a SELECT by what it selects.
func (s *sqlReading) selects(i int, follows bool) grade {
	i++
	for s.is(i, "distinct") || s.is(i, "all") || s.is(i, "top") {
		i++
	}
	for s.at(i).kind == sqlOpen {
		i++
	}
	t, next := s.at(i), s.at(i+1)
	switch {
	case t.kind == sqlOperator && s.text.s[t.from] == '*':
		if s.is(i+1, "from") {
			return plain
		}
	case t.kind == sqlVariable, s.isSelect(i):
		return plain
	case t.kind == sqlNumber || t.kind == sqlString:
		if next.kind == sqlComma || s.ends(i+1) || s.is(i+1, "from") && (follows || s.isColumns(i)) || s.is(i+1, "union") || next.kind == sqlLogic && s.at(i+2).kind == sqlString {
			if follows || t.kind == sqlNumber && next.kind == sqlComma && isValue(s.at(i+2).kind) || s.is(i+1, "union") {
				return plain
			}
			return faint
		}
	case t.kind == sqlName && next.kind == sqlOpen:
		if g := s.function(t); g == sure || g == plain && (follows || s.is(s.closing(i+1)+1, "from")) {
			return plain
		}
	case t.word == "case" && s.is(i+1, "when"):
		return plain
	case t.kind == sqlName && s.isColumns(i) && follows:
		return plain
	case t.kind == sqlName && s.isColumns(i) && next.kind == sqlComma, t.kind == sqlName && s.isColumns(i) && s.find(i, "where"):
		return plain
	}
	return none
}

// isColumns reports whether a list of columns leads to a FROM and a table.
func (s *sqlReading) isColumns(i int) bool {
	for range maxSQL / 2 {
		t := s.at(i)
		if t.kind != sqlName && !isValue(t.kind) || t.word == "from" {
			return false
		}
		if s.at(i+1).kind == sqlOpen {
			i = s.closing(i + 1)
		}
		for i++; s.at(i).kind == sqlDot; i += 2 {
		}
		if s.is(i, "as") {
			i += 2
		}
		switch {
		case s.is(i, "from"):
			table := s.at(i + 1)
			return table.kind == sqlName || table.kind == sqlString || table.kind == sqlOpen
		case s.at(i).kind != sqlComma && (s.at(i).kind != sqlLogic || s.at(i).word != ""):
			return false
		}
		i++
	}
	return false
}

// find reports whether a word follows within what is looked at.
func (s *sqlReading) find(i int, word string) bool {
	for ; i < maxSQL; i++ {
		t := s.at(i)
		if t.word == word {
			return true
		}
		if t.kind == sqlEnd || t.kind == sqlComment || t.kind == sqlSemicolon {
			return false
		}
	}
	return false
}

// ends reports whether a statement ends at i.
func (s *sqlReading) ends(i int) bool {
	k := s.at(i).kind
	return k == sqlEnd || k == sqlComment || k == sqlSemicolon || k == sqlClose
}

// dropped reports whether it is a table, or the like, that is dropped: nothing but its name
// follows.
func (s *sqlReading) dropped(i int) bool {
	if s.is(i, "if") && s.is(i+1, "exists") {
		return true
	}
	for i++; s.at(i).kind == sqlDot; i += 2 {
	}
	return s.ends(i) || s.is(i, "cascade")
}

func (s *sqlReading) isProcedure(t sqlToken) bool {
	name := s.text.s[t.from:t.to]
	return t.kind == sqlName && (hasPrefixFold(name, "xp_") || hasPrefixFold(name, "sp_"))
}

func isObject(word string) bool {
	switch word {
	case "table", "database", "view", "index", "function", "procedure", "schema", "user", "login", "role", "trigger", "column":
		return true
	}
	return false
}

func isChange(word string) bool {
	switch word {
	case "drop", "alter", "identified", "with", "column", "set":
		return true
	}
	return false
}
