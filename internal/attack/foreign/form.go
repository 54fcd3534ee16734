package foreign

import (
	"maps"
	"regexp"
	"slices"

	"pavise.dev/pavise/internal/attack"
)

// forms are what answers look like that tell of something. They are compiled once for a plan.
type forms struct {
	database   *regexp.Regexp            // what databases and their drivers say of a query that is none
	files      *regexp.Regexp            // files that every machine has
	connection *regexp.Regexp            // what programs say of an address where nobody listens
	version    *regexp.Regexp            // of a program: nginx/1.26.3
	session    *regexp.Regexp            // names of cookies that hold a session
	traces     map[string]*regexp.Regexp // what programs say of where they failed
	sensitive  map[string]*regexp.Regexp // values that never should be answered, whatever they are called
}

func newForms() *forms {
	return &forms{
		database:   regexp.MustCompile(`(?i)you have an error in your sql syntax|syntax error at or near|unterminated quoted string|unrecognized token: |near ".{0,20}": syntax error|SQLITE_ERROR|ORA-\d{5}|quoted string not properly terminated|unclosed quotation mark|PG::SyntaxError|SQLSTATE\[|psycopg2\.|SQLException|com\.mysql\.jdbc|MongoServerError|MongoError|ODBC SQL Server Driver|Microsoft OLE DB|pq: syntax error`),
		files:      regexp.MustCompile(`root:[^:\n]*:0:0:|; for 16-bit app support|\[boot loader\]|\[fonts\]\s`),
		connection: regexp.MustCompile(`(?i)connection refused|ECONNREFUSED|actively refused|connect: cannot assign`),
		version:    regexp.MustCompile(`[A-Za-z][\w.-]*/\d+\.\d+|^\d+\.\d+\.\d+`),
		session:    regexp.MustCompile(`(?i)sess|sid$|^sid|auth|token|jwt|login|user|remember`),
		traces: map[string]*regexp.Regexp{
			"Go's stack":       regexp.MustCompile(`goroutine \d+ \[|\n\t\S+\.go:\d+ \+0x`),
			"Java's stack":     regexp.MustCompile(`\bat [\w.$<>]+\([\w$]+\.(java|kt|scala):\d+\)|Exception in thread "`),
			"Python's stack":   regexp.MustCompile(`Traceback \(most recent call last\)|File "[^"]+\.py", line \d+`),
			"Node.js's stack":  regexp.MustCompile(`\bat .{0,80}\(?(/|[A-Z]:\\|node:)[^\s:]*:\d+:\d+\)?`),
			".NET's stack":     regexp.MustCompile(`\bat [\w.<>` + "`" + `]+\(.{0,200}\) in .{1,200}:line \d+|System\.\w+Exception:`),
			"PHP's error":      regexp.MustCompile(`(?i)(fatal error|warning|parse error|notice)(</b>)?: .{1,300} in (<b>)?/.{1,200} on line`),
			"Ruby's backtrace": regexp.MustCompile(`\.rb:\d+:in ['` + "`" + `]`),
			"Rust's panic":     regexp.MustCompile(`panicked at .{0,200}\.rs:\d+`),
		},
		sensitive: map[string]*regexp.Regexp{
			"the hash of a password": regexp.MustCompile(`\$(2[aby]|argon2(id|i|d)|scrypt|pbkdf2[a-z0-9-]*|6|5|1)\$[^\s"]{10,}`),
			"a private key":          regexp.MustCompile(`-----BEGIN ([A-Z]+ )?PRIVATE KEY-----`),
			"a key of a cloud":       regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`),
		},
	}
}

// traceIn names what an answer tells of where a program failed.
func (f *forms) traceIn(a *attack.Answer) string {
	for _, name := range slices.Sorted(maps.Keys(f.traces)) {
		if f.traces[name].Match(beginning(a)) {
			return name
		}
	}
	return ""
}

// maxGlance is how much of an answer is held to forms, in bytes: what tells stands at its beginning.
const maxGlance = 64 << 10

func beginning(a *attack.Answer) []byte { return a.Body[:min(len(a.Body), maxGlance)] }
