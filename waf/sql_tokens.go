package waf

import "strings"

// sqlKind is the kind of a token of SQL.
type sqlKind uint8

const (
	sqlEnd sqlKind = iota
	sqlNumber
	sqlString
	sqlName
	sqlVariable // @x
	sqlCompare  // = <> < like in is between
	sqlLogic    // or and xor || &&
	sqlOperator // + - * / % ^ | & ~ !
	sqlOpen
	sqlClose
	sqlComma
	sqlDot
	sqlSemicolon
	sqlComment // up to the end of the text
	sqlOther
)

// sqlToken is a token of SQL.
type sqlToken struct {
	kind     sqlKind
	from, to int32
	word     string // of a name that means something: in small letters
}

// maxSQL is how many tokens are looked at behind the place where SQL would begin: what breaks
// out of a value has to say so at once.
const maxSQL = 40

// sqlTokens reads a text as SQL from one place on, as far as somebody asks.
type sqlTokens struct {
	text *text
	next int // where the next token begins
	list [maxSQL]sqlToken
	n    int
}

// at is the token i; [sqlEnd] behind the last.
func (q *sqlTokens) at(i int) sqlToken {
	if i < q.n {
		return q.list[i]
	}
	if i >= maxSQL {
		return sqlToken{kind: sqlOther}
	}
	for q.n <= i {
		if q.n > 0 && (q.list[q.n-1].kind == sqlEnd || q.list[q.n-1].kind == sqlComment) {
			end := int32(len(q.text.s))
			return sqlToken{kind: sqlEnd, from: end, to: end}
		}
		t := &q.list[q.n]
		*t = q.scan()
		q.n++
		q.text.steps += int(t.to-t.from) + 1
	}
	return q.list[i]
}

// sqlAt reads the text as SQL from a place on. It is valid until the next such reading.
func (t *text) sqlAt(i int) *sqlTokens {
	t.sql.text, t.sql.next, t.sql.n = t, i, 0
	return &t.sql
}

func (q *sqlTokens) is(i int, word string) bool { return q.at(i).word == word }

// token is one from a place to another. No text is longer than 1 GiB: [Options.MaxText].
func token(kind sqlKind, from, to int) sqlToken {
	return sqlToken{kind: kind, from: int32(from), to: int32(to)}
}

func (q *sqlTokens) scan() sqlToken {
	s := q.text.s
	comment := q.blanks()
	i := q.next
	if comment >= 0 {
		q.next = len(s)
		return token(sqlComment, comment, len(s))
	}
	if i >= len(s) {
		return token(sqlEnd, len(s), len(s))
	}
	kind, end := sqlOther, i+1
	switch c := s[i]; {
	case c == '\'' || c == '"' || c == '`':
		kind, end = sqlString, endOfString(s, i)
	case isDigit(c), c == '.' && i+1 < len(s) && isDigit(s[i+1]):
		kind, end = sqlNumber, endOfNumber(s, i)
	case c == '@':
		kind = sqlVariable
		for end < len(s) && (isWordByte(s[end]) || s[end] == '@') {
			end++
		}
	case isWordByte(c):
		return q.name()
	case c == '\\' && i+1 < len(s) && s[i+1] == 'N':
		kind, end = sqlNumber, i+2 // MySQL's NULL
	default:
		kind, end = sqlSign(s, i)
	}
	q.next = end
	return token(kind, i, end)
}

// sqlSign reads what is neither word nor number.
func sqlSign(s string, i int) (sqlKind, int) {
	two := ahead(s, i, 2)
	switch two {
	case "||", "&&":
		return sqlLogic, i + 2
	case "<=":
		if strings.HasPrefix(s[i:], "<=>") {
			return sqlCompare, i + 3
		}
		return sqlCompare, i + 2
	case ">=", "<>", "!=", "==", ":=", "~~", "~*":
		return sqlCompare, i + 2
	}
	switch s[i] {
	case '=', '<', '>':
		return sqlCompare, i + 1
	case '+', '-', '*', '/', '%', '^', '|', '&', '~', '!':
		return sqlOperator, i + 1
	case '(', '{':
		return sqlOpen, i + 1
	case ')', '}':
		return sqlClose, i + 1
	case ',':
		return sqlComma, i + 1
	case '.':
		return sqlDot, i + 1
	case ';':
		return sqlSemicolon, i + 1
	}
	return sqlOther, i + 1
}

// blanks passes what is no token: spaces, comments that end, the marks of MySQL's comments that
// are none (/*!50000 … */). A comment that goes on to the end is returned, otherwise -1.
func (q *sqlTokens) blanks() int {
	s, from := q.text.s, q.next
	defer func() { q.text.steps += q.next - from }()
	for q.next < len(s) {
		i := q.next
		rest := s[i:]
		switch c := s[i]; {
		case isSpace(c), c == 0:
			q.next++
		case strings.HasPrefix(rest, "\u00a0"):
			q.next += 2
		case strings.HasPrefix(rest, "/*!"):
			for q.next += 3; q.next < len(s) && isDigit(s[q.next]); {
				q.next++
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return i
			}
			q.next += end + 4
		case strings.HasPrefix(rest, "*/"):
			q.next += 2
		case c == '#', strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 || skipSpace(rest, end) == len(rest) {
				return i
			}
			q.next += end + 1
		default:
			return -1
		}
	}
	return -1
}

// endOfString is behind the quote that closes the string at i. A quote that stands twice, or
// behind a backslash, is part of it.
func endOfString(s string, i int) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(s)
}

func endOfNumber(s string, i int) int {
	if s[i] == '0' && i+2 < len(s) && (s[i+1]|0x20 == 'x' || s[i+1]|0x20 == 'b') {
		if _, ok := hexadecimal(s, i+2, 1); ok {
			for i += 2; i < len(s); i++ {
				if _, ok := hexadecimal(s, i, 1); !ok {
					break
				}
			}
			return i
		}
	}
	for i < len(s) && (isDigit(s[i]) || s[i] == '.') {
		i++
	}
	if i+1 < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if s[j] == '+' || s[j] == '-' {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			for i = j; i < len(s) && isDigit(s[i]); {
				i++
			}
		}
	}
	return i
}

// name reads a word. Those that join or compare are no names.
func (q *sqlTokens) name() sqlToken {
	s, i := q.text.s, q.next
	end := i
	for end < len(s) && (isWordByte(s[end]) && !strings.HasPrefix(s[end:], "\u00a0") || s[end] == '$') {
		end++
	}
	q.next = end
	t := token(sqlName, i, end)
	l := lower(s[i:end])
	t.word = q.text.sqlWords[string(l.bytes[:l.n])]
	switch t.word {
	case "or", "and", "xor":
		t.kind = sqlLogic
	case "like", "rlike", "regexp", "ilike", "glob", "similar", "sounds", "in", "is", "between":
		t.kind = sqlCompare
	case "true", "false", "null":
		t.kind = sqlNumber
	case "not", "binary":
		t.kind = sqlOperator
	case "div", "mod":
		t.kind = sqlOperator
	}
	return t
}

// function says whether a word is a function that injections call, and of which harmless texts
// hardly speak.
func (q *sqlTokens) function(t sqlToken) grade {
	l := lower(q.text.s[t.from:t.to])
	return q.text.sqlFunctions[string(l.bytes[:l.n])]
}

// sqlWords are words that mean something by where they stand.
const sqlWords = `or and xor like rlike regexp ilike glob similar sounds in is between true false null not binary div mod
union intersect except minus select all distinct distinctrow top from where having group order by limit offset into
outfile dumpfile procedure analyse insert update delete drop truncate alter create table database view index function
schema user login role trigger exec execute declare waitfor delay time shutdown values value set merge using grant revoke
call copy begin load data infile do handler exists case when then if cascade identified with column to on as asc desc
immediate master nowait any some attach pragma replace for end else escape`

// sqlOwnFunctions have no other use than an injection's in what callers send: they sleep, ask
// the server about itself, make errors that tell.
const sqlOwnFunctions = `sleep benchmark pg_sleep extractvalue updatexml load_file group_concat concat_ws randomblob
sysdate json_keys gtid_subset st_latfromgeohash polygon multipoint geometrycollection xmltype sys_eval sys_exec
current_setting pg_read_file query_to_xml database_to_xml load_extension sqlite_version ctxsys dbms_pipe dbms_lock
dbms_ldap utl_http utl_inaddr httpuritype ordsys openrowset opendatasource db_name host_name suser_name system_user pg_ls_dir
lo_import string_agg xmlagg dblink unhex`

// sqlFunctions are those that other texts speak of as well.
const sqlFunctions = `char chr ascii ord substr substring mid concat version user current_user session_user database
schema if ifnull iif nullif coalesce cast convert hex length len char_length count floor rand random exp elt make_set
lower upper left right reverse replace instr locate position md5 sha1 abs round greatest least row now date pi bin conv
cot pow power name_const xmlelement decode decode_base64 to_base64 from_base64 str stuff ltrim rtrim trim strcmp interval
field quote lpad rpad last_insert_id connection_id object_id col_name user_name isnull min max sum avg array_to_string
generate_series unicode nchar to_char repeat regexp_like regexp_substring typeof`
