package vulnerable

// Fault is something wrong with the API, which a switch mends.
type Fault struct {
	Name string
	Rule string // of package foreign, by which it is found
	What string
}

// Faults are all of them.
func Faults() []Fault {
	return []Fault{
		{"no-authentication", "no-authentication", "GET /v1/reports answers without a credential"},
		{"wrong-credential", "wrong-credential", "GET /v1/statements takes any bearer token for alice's"},
		{"default-credentials", "default-credentials", "GET /v1/till knows admin with the password admin"},
		{"authentication-by-method", "authentication-by-method", "HEAD /v1/points is not protected"},
		{"authentication-by-path", "authentication-by-path", "/v1/vouchers/ is not protected, /v1/vouchers is"},
		{"trusted-header", "trusted-header", "GET /v1/wishes believes X-Forwarded-For: 127.0.0.1"},
		{"credential-in-query", "credential-in-query", "tokens are accepted as ?access_token="},

		{"jwt-none", "jwt-none", "tokens with alg none are accepted"},
		{"jwt-signature", "jwt-signature", "signatures of tokens are not verified where they are as long as one"},
		{"jwt-key-of-the-caller", "jwt-key-of-the-caller", "the key in a token's jwk is taken"},
		{"jwt-x5c", "jwt-key-of-the-caller", "the certificate in a token's x5c is taken"},
		{"jwt-jku", "jwt-key-address", "the key set that a token's jku names is fetched, and taken"},
		{"jwt-x5u", "jwt-key-address", "the certificate that a token's x5u names is fetched, and taken"},
		{"jwt-kid-query", "jwt-kid", "the kid of an HS256 token is part of a query for its key"},
		{"jwt-kid", "jwt-kid", "the kid of an HS256 token is the name of a file with its key"},
		{"jwt-confusion", "jwt-confusion", "HS256 tokens are verified with the published key"},
		{"jwt-weak-secret", "jwt-weak-secret", "bob's token is signed HS256 with the secret \"secret\""},
		{"jwt-expired", "jwt-expired", "tokens never expire, whatever their exp: alice's is over"},
		{"jwt-long-lived", "jwt-long-lived", "tokens live for two days"},

		{"object-read", "object-level", "GET /v1/orders/{id} reads anybody's order"},
		{"object-query", "object-level", "GET /v1/invoices reads the invoices of any account"},
		{"object-write", "object-level-write", "PUT /v1/orders/{id} changes anybody's order"},
		{"object-delete", "object-level-write", "DELETE /v1/orders/{id} removes anybody's order"},
		{"object-body", "object-level-body", "POST /v1/transfers pays from any account"},
		{"list-of-others", "list-of-others", "GET /v1/messages shows everybody's messages"},
		{"function-level", "function-level", "GET /v1/admin/users answers customers"},
		{"undeclared-method", "undeclared-method", "PUT /v1/statements works, and nobody declared it"},
		{"method-override", "method-override", "X-HTTP-Method-Override changes the method"},

		{"mass-assignment", "mass-assignment", "PATCH /v1/me sets the role"},
		{"mass-assignment-nested", "mass-assignment", "PATCH /v1/me sets what the shop lends, within the settings"},
		{"sensitive-data", "sensitive-data", "GET /v1/me tells the hash of the password"},
		{"undeclared-data", "undeclared-data", "GET /v1/products tells what things cost the shop"},

		{"sql-error", "sql-injection", "GET /v1/products?q= is part of a query whose errors are told"},
		{"sql-condition", "sql-injection", "GET /v1/orders?status= is part of a query whose errors are not told"},
		{"sql-delay", "sql-injection", "GET /v1/search?category= is part of a query of which nothing is told but how long it takes"},
		{"nosql-injection", "nosql-injection", "GET /v1/search?category[$ne]= is an operator"},
		{"command-injection", "command-injection", "GET /v1/ping?machine= is part of a command"},
		{"command-delay", "command-injection", "GET /v1/ping?machine= is part of a command of which nothing is told but how long it takes"},
		{"template-injection", "template-injection", "GET /v1/greeting?name= is a template"},
		{"path-traversal", "path-traversal", "GET /v1/documents?file= leads outside its folder"},
		{"reflected-script", "reflected-script", "GET /v1/card?text= stands in a page as it is"},
		{"header-injection", "header-injection", "GET /v1/export?filename= ends a line of the head"},
		{"header-injection-header", "header-injection", "GET /v1/me repeats X-Request-Id, decoded once more"},
		{"header-injection-path", "header-injection", "paths are redirected decoded, with the ends of lines in them"},
		{"xxe", "xxe", "POST /v1/complaints reads files that an entity names"},
		{"xxe-beside-json", "xxe", "POST /v1/feedback reads XML, too, and fetches what its entities name"},
		{"xml-entities", "xml-entities", "POST /v1/complaints expands entities"},
		{"ssrf", "ssrf", "GET /v1/preview?url= fetches what it is given"},
		{"open-redirect", "open-redirect", "GET /v1/leave?next= leads anywhere"},

		{"no-rate-limit", "no-rate-limit", "requests are not limited"},
		{"no-guess-limit", "no-guess-limit", "POST /v1/login may be tried without end"},
		{"page-size", "page-size", "GET /v1/products?limit= is not bounded"},
		{"deep-json", "deep-json", "POST /v1/feedback takes JSON of any depth"},
		{"body-size", "body-size", "POST /v1/feedback takes bodies of any size"},
		{"graphql-aliases", "graphql-unbounded", "/graphql answers a field under any number of names"},
		{"graphql-batch", "graphql-unbounded", "/graphql answers any number of requests in one"},
		{"graphql-depth", "graphql-unbounded", "/graphql answers objects nested as deep as one likes"},
		{"no-idempotency", "no-idempotency", "POST /v1/orders forgets its Idempotency-Key"},

		{"stack-trace", "stack-trace", "POST /v1/feedback answers malformed JSON with a stack"},
		{"database-error", "database-error", "GET /v1/orders/{id} answers a huge number with what the database says"},
		{"server-error", "server-error", "POST /v1/transfers fails at a list"},
		{"version-told", "version-told", "the Server header tells a version"},

		{"cors-any-origin", "cors-any-origin", "GET /v1/me repeats any Origin, with credentials"},
		{"private-answer-cached", "private-answer-cached", "GET /v1/me says Cache-Control: public"},
		{"content-type", "content-type", "GET /v1/messages says that it is text/html"},
		{"cookie-flags", "cookie-flags", "GET /v1/session sets a cookie that scripts may read"},

		{"exposed-endpoint", "exposed-endpoint", "/metrics answers anybody"},
		{"exposed-source", "exposed-source", "/.git/config can be fetched"},
		{"introspection", "introspection", "/graphql tells its schema to anybody"},
		{"graphql-suggestions", "graphql-suggestions", "/graphql says what somebody may have meant"},
		{"graphql-get", "graphql-csrf", "/graphql takes mutations by GET"},
		{"graphql-form", "graphql-csrf", "/graphql takes mutations in a form"},
		{"open-document", "introspection", "/openapi.json can be fetched by anybody"},
		{"old-version", "old-version", "/v0/points still answers"},
		{"deprecated", "deprecated", "GET /v1/legacy still answers"},
		{"trace-method", "trace-method", "TRACE is answered"},
		{"wrong-content-type", "wrong-content-type", "POST /v1/feedback takes JSON that is said to be text/plain"},
	}
}
