package leak

import "bytes"

// traceForm is something that stands in a trace, and nowhere else unless somebody writes about
// one.
type traceForm struct {
	text string
	and  func(text []byte, from, to int) bool // nil: the words say enough
}

func (f traceForm) at(text []byte, at, _ int) (from, to int, ok bool) {
	to = at + len(f.text)
	return at, to, f.and == nil || f.and(text, at, to)
}

// traceForms are those of Go, Java, Python, .NET, Node, PHP, Ruby and Rust, and what databases
// and their drivers say of a statement.
func traceForms() []traceForm {
	return []traceForm{
		{"goroutine ", isGoroutine},
		{".go:", isGoFrame},
		{".java:", isFrame},
		{".kt:", isFrame},
		{".scala:", isFrame},
		{"Exception in thread \"", nil},
		{"Traceback (most recent call last):", nil},
		{".cs:line ", digitFollows},
		{"--- End of stack trace from previous location", nil},
		{"   at System.", isCall},
		{"   at Microsoft.", isCall},
		{".js:", isScriptFrame},
		{".mjs:", isScriptFrame},
		{".cjs:", isScriptFrame},
		{".ts:", isScriptFrame},
		{"(node:internal/", nil},
		{".php on line ", digitFollows},
		{".php</b> on line <b>", digitFollows},
		{".php(", isPHPFrame},
		{".rb:", isRubyFrame},
		{"' panicked at ", nil},
		{"SQLSTATE[", nil},
		{"SQL syntax; check the manual that", nil},
		{"syntax error at or near \"", nil},
		{"ORA-#####", nil},
		{"Unclosed quotation mark after the character string", nil},
		{"unterminated quoted string at or near", nil},
		{"org.postgresql.util.PSQLException", nil},
		{"com.mysql.cj.", nil},
		{"com.microsoft.sqlserver.jdbc.", nil},
		{"java.sql.SQL", nil},
		{"psycopg2.errors.", nil},
		{"sqlalchemy.exc.", nil},
		{"sqlite3.OperationalError", nil},
		{"SQLITE_ERROR: ", nil},
		{"ERROR: duplicate key value violates unique constraint", nil},
		{"[ODBC SQL Server Driver]", nil},
		{"ER_PARSE_ERROR: ", nil},
	}
}

func digitFollows(text []byte, _, to int) bool { return isDigit(after(text, to)) }

// overDigits steps over digits; at stays where there are none.
func overDigits(text []byte, at int) int {
	for at < len(text) && isDigit(text[at]) {
		at++
	}
	return at
}

// isGoroutine: goroutine 1 [running]:
func isGoroutine(text []byte, _, to int) bool {
	end := overDigits(text, to)
	return end > to && bytes.HasPrefix(text[end:], []byte(" [")) && bytes.Contains(text[end:min(len(text), end+80)], []byte("]:"))
}

// isGoFrame: a tab, a path, main.go:12 +0x1d
func isGoFrame(text []byte, _, to int) bool {
	end := overDigits(text, to)
	return end > to && bytes.HasPrefix(text[end:], []byte(" +0x"))
}

// maxFrame is how far before the end of a frame its beginning is looked for, in bytes.
const maxFrame = 200

// isFrame: at com.example.Orders.find(Orders.java:12)
func isFrame(text []byte, from, to int) bool {
	end := overDigits(text, to)
	return end > to && after(text, end) == ')' && isCalled(text, from)
}

// isCalled reports whether a frame begins before a place, on its line: "at ", and a call.
func isCalled(text []byte, from int) bool {
	line := text[max(0, from-maxFrame):from]
	if i := bytes.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	at := bytes.LastIndex(line, []byte("at "))
	return at >= 0 && (at == 0 || line[at-1] == ' ' || line[at-1] == '\t' || line[at-1] == '"') && bytes.IndexByte(line[at:], '(') > 0
}

// isCall: at System.Data.SqlClient.SqlCommand.ExecuteReader(
func isCall(text []byte, _, to int) bool {
	for ; to < len(text) && (isWord(text[to]) || text[to] == '.' || text[to] == '`' || text[to] == '<' || text[to] == '>' || text[to] == '['); to++ {
		if text[to] == '[' {
			return true
		}
	}
	return after(text, to) == '('
}

// isScriptFrame: at find (/srv/app/orders.js:12:7), or without a name and parentheses
func isScriptFrame(text []byte, from, to int) bool {
	line := overDigits(text, to)
	if line == to || after(text, line) != ':' {
		return false
	}
	column := overDigits(text, line+1)
	if column == line+1 {
		return false
	}
	begin := text[max(0, from-maxFrame):from]
	if i := bytes.LastIndexByte(begin, '\n'); i >= 0 {
		begin = begin[i+1:]
	}
	return bytes.Contains(begin, []byte("  at "))
}

// isPHPFrame: #0 /srv/app/orders.php(12): find()
func isPHPFrame(text []byte, _, to int) bool {
	end := overDigits(text, to)
	return end > to && bytes.HasPrefix(text[end:], []byte("): "))
}

// isRubyFrame: orders.rb:12:in `find'
func isRubyFrame(text []byte, _, to int) bool {
	end := overDigits(text, to)
	return end > to && bytes.HasPrefix(text[end:], []byte(":in "))
}
