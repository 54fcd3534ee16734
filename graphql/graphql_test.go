package graphql_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/graphql"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const schemaText = `
type Query implements Node {
  id: ID!
  order(id: ID!): Order
  orders(first: Int = 20, after: String): OrderConnection!
  all: [Order!]!
  named: [Order!] @listSize(assumedSize: 3)
  nodes(ids: [ID!]!): [Node]
  search(filter: Filter): [Result!]
  report: Report @cost(weight: "50")
}
type Mutation { placeOrder(item: String!): Order  cancelOrder(id: ID!): Payload }
type Payload { order: Order query: Query }
interface Node { id: ID! }
type Order implements Node { id: ID! item: String price: Float buyer: Person lines(first: Int, last: Int): [Line!] }
type Line { sku: String order: Order }
type Person implements Node { id: ID! name: String orders(first: Int): [Order] }
type OrderConnection { edges: [OrderEdge] nodes: [Order] total: Int }
type OrderEdge { node: Order }
type Report { text: String }
union Result = Order | Person
input Filter { first: Int text: String inner: Filter }
`

func open(t testing.TB, s graphql.Settings) *graphql.Layer {
	t.Helper()
	l, err := graphql.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// post is a POST of a document.
func post(document string, more ...any) *http.Request {
	object := map[string]any{"query": document}
	for i := 0; i+1 < len(more); i += 2 {
		object[more[i].(string)] = more[i+1]
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return posted(string(text))
}

func posted(body string) *http.Request {
	r := httptest.NewRequest("POST", "https://api.example.com/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Body = shield.NewBody(r.Body, 1<<22)
	return r
}

func get(parameters ...string) *http.Request {
	values := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		values.Add(parameters[i], parameters[i+1])
	}
	return httptest.NewRequest("GET", "https://api.example.com/graphql?"+values.Encode(), nil)
}

// answer is what a layer says: "" or the code with what it tells of the field.
func answer(l *graphql.Layer, r *http.Request, scopes ...string) string {
	err := l.Check(r, &shield.Identity{Scopes: shield.Scopes(scopes), Scheme: "Bearer"})
	refusal, ok := errors.AsType[*shield.Refusal](err)
	switch {
	case err == nil:
		return ""
	case !ok:
		return "error " + err.Error()
	case len(refusal.Fields) == 0:
		return string(refusal.Code)
	}
	f := refusal.Fields[0]
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", refusal.Code, f.In, f.Rule, f.Pointer))
}

func nested(field string, depth int) string {
	return strings.Repeat("{"+field, depth) + strings.Repeat("}", depth)
}

func repeated(n int, each func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(each(i))
	}
	return b.String()
}

// bomb are fragments of which each names the next twice.
func bomb(n int) string {
	return "{...f0}" + repeated(n, func(i int) string { return fmt.Sprintf("fragment f%d on Query{...f%d ...f%d}", i, i+1, i+1) }) + fmt.Sprintf("fragment f%d on Query{a}", n)
}

func TestRequestsAreHeldToBounds(t *testing.T) {
	attacktest.Rows(t, 110)
	l := open(t, graphql.Settings{})
	batches := open(t, graphql.Settings{Batch: 3})
	alias := func(i int) string { return fmt.Sprintf("a%d:x ", i) }
	field := func(i int) string { return fmt.Sprintf("f%d ", i) }
	batch := func(n int, one string) *http.Request {
		return posted("[" + strings.TrimSuffix(strings.Repeat(`{"query":"`+one+`"},`, n), ",") + "]")
	}
	for name, c := range map[string]struct {
		with    *graphql.Layer
		request *http.Request
		want    string
	}{
		"a query":                             {l, post("query Q($id: ID!) { order(id: $id) { id item: name __typename } }", "variables", map[string]any{"id": "7"}, "operationName", "Q"), ""},
		"a mutation":                          {l, post("mutation { place(item: \"tea\") { id } }"), ""},
		"10 deep":                             {l, post(nested("a", 9) + ""), ""},
		"11 deep":                             {l, post(nested("a", 11)), "graphql_refused body depth"},
		"50 deep":                             {l, post(nested("a", 50)), "graphql_refused body depth"},
		"50 deep in fragments":                {l, post("{...f0}" + repeated(50, func(i int) string { return fmt.Sprintf("fragment f%d on T{a{...f%d}}", i, i+1) }) + "fragment f50 on T{a}"), "graphql_refused body depth"},
		"100,000 brackets":                    {open(t, graphql.Settings{Bytes: 1 << 20, Tokens: 1 << 20}), post(strings.Repeat("{a", 100_000)), "graphql_refused body depth /query"},
		"100,000 lists":                       {open(t, graphql.Settings{Bytes: 1 << 20, Tokens: 1 << 20}), post("{a(b:" + strings.Repeat("[", 100_000)), "graphql_refused body depth /query"},
		"15 aliases":                          {l, post("{" + repeated(15, alias) + "}"), ""},
		"16 aliases":                          {l, post("{" + repeated(16, alias) + "}"), "graphql_refused body aliases"},
		"1,000 aliases":                       {open(t, graphql.Settings{Tokens: 5000}), post("{" + repeated(1000, alias) + "}"), "graphql_refused body fields"},
		"16 aliases in fragments":             {l, post("{...f ...f} fragment f on Query {" + repeated(8, alias) + "}"), "graphql_refused body aliases"},
		"500 fields":                          {l, post("{" + repeated(500, field) + "}"), ""},
		"501 fields":                          {l, post("{" + repeated(501, field) + "}"), "graphql_refused body fields"},
		"fragments that double":               {l, post(bomb(60)), "graphql_refused body fields"},
		"fragments that lead back":            {l, post("{...a} fragment a on Q{x{...b}} fragment b on Q{y{...a}}"), "graphql_refused body cycle"},
		"a fragment that leads back, unused":  {l, post("{x} fragment a on Q{x{...a}}"), "graphql_refused body cycle"},
		"a fragment that is not there":        {l, post("{...a}"), "graphql_refused body form"},
		"20 directives":                       {l, post("{a " + strings.Repeat("@x ", 20) + "}"), ""},
		"21 directives":                       {l, post("{a " + strings.Repeat("@x ", 21) + "}"), "graphql_refused body directives"},
		"500 directives on a variable":        {l, post("query($a: Int " + strings.Repeat("@x ", 500) + "){a}"), "graphql_refused body directives"},
		"@defer":                              {l, post("{...@defer{a}}"), "graphql_refused body deferred"},
		"@stream, allowed":                    {open(t, graphql.Settings{Deferred: 1}), post("{a @stream(initialCount: 1)}"), ""},
		"@stream, too often":                  {open(t, graphql.Settings{Deferred: 1}), post("{a @stream b @defer}"), "graphql_refused body deferred"},
		"a large list":                        {l, post("{orders(first: 1000) {id}}"), "graphql_refused body cost"},
		"a list in a list":                    {l, post("{orders(first: 50) {lines(first: 50) {id}}}"), "graphql_refused body cost"},
		"lists within":                        {l, post("{orders(first: 20) {lines(first: 20) {id}}}"), ""},
		"a large list by a variable":          {l, post("query($n: Int) {orders(first: $n) {id}}", "variables", map[string]any{"n": 1000}), "graphql_refused body cost"},
		"a large list by a default":           {l, post("query($n: Int = 1000) {orders(first: $n) {id}}"), "graphql_refused body cost"},
		"a large list by an object":           {l, post("query($p: P) {orders(page: $p) {id}}", "variables", map[string]any{"p": map[string]any{"limit": 1000}}), "graphql_refused body cost"},
		"a large list by a large number":      {l, post("{orders(first: 99999999999999999999999999) {id}}"), "graphql_refused body cost"},
		"a thousand by name":                  {l, post("{nodes(ids: [" + strings.Repeat("1 ", 1000) + "]) {id}}"), "graphql_refused body cost"},
		"a batch":                             {l, batch(2, "{a}"), "graphql_refused body batch"},
		"a batch of one":                      {l, batch(1, "{a}"), "graphql_refused body batch"},
		"a batch of 500":                      {batches, batch(500, "{a}"), "graphql_refused body batch"},
		"a batch that may be":                 {batches, batch(3, "{a}"), ""},
		"a batch of nothing":                  {batches, batch(0, ""), "graphql_refused body form"},
		"aliases over a batch":                {batches, batch(3, "{a:x b:x c:x d:x e:x f:x}"), "graphql_refused body aliases /2"},
		"a batch within a batch":              {batches, posted(`[{"query":"{a}"},[{"query":"{a}"}]]`), "graphql_refused body form /1"},
		"introspection":                       {l, post("{__schema{types{name}}}"), "graphql_refused body introspection /query/__schema"},
		"introspection of a type":             {l, post("{a:__type(name:\"User\"){name}}"), "graphql_refused body introspection /query/__type"},
		"introspection in a fragment":         {l, post("{...f} fragment f on Query{... on Query{__schema{types{name}}}}"), "graphql_refused body introspection /query/__schema"},
		"introspection, allowed":              {open(t, graphql.Settings{Introspection: true}), post(introspection), ""},
		"introspection, in circles":           {open(t, graphql.Settings{Introspection: true}), post("{__schema{types" + strings.Repeat("{fields{type", 4) + "{name}" + strings.Repeat("}}", 4) + "}}"), "graphql_refused body introspection"},
		"introspection, doubling":             {open(t, graphql.Settings{Introspection: true}), post("{__schema{types{...f0}}}" + repeated(40, func(i int) string { return fmt.Sprintf("fragment f%d on __Type{...f%d ...f%d}", i, i+1, i+1) }) + "fragment f40 on __Type{name}"), "graphql_refused body introspection"},
		"a document that is too long":         {l, post("{a #" + strings.Repeat("x", 40_000) + "\n}"), "graphql_refused body bytes /query"},
		"too many tokens":                     {l, post("{a(b:[" + strings.Repeat("1,", 3000) + "])}"), "graphql_refused body tokens /query"},
		"too many comments":                   {l, post("{a" + strings.Repeat("#\n", 3000) + "}"), "graphql_refused body tokens /query"},
		"no document":                         {l, posted(`{"operationName":null}`), "graphql_refused body required /query"},
		"no GraphQL":                          {l, post("{a"), "graphql_refused body form /query"},
		"no token":                            {l, post("{a ; b}"), "graphql_refused body form /query"},
		"quotes that hide a field":            {l, post(`{a(b:[""" """""" ]) x #"""]) __schema{types{name}}}`), "graphql_refused body form /query"},
		"half a surrogate":                    {l, post(`{a(b:"\ud800")}`), "graphql_refused body form /query"},
		"a schema":                            {l, post("type Query {a: Int}"), "graphql_refused body form /query"},
		"only fragments":                      {l, post("fragment a on Q {x}"), "graphql_refused body form /query"},
		"two operations":                      {l, post("query A{a} query B{b}", "operationName", "B"), ""},
		"two operations, none named":          {l, post("query A{a} query B{b}"), "graphql_refused body operation"},
		"an operation that is not there":      {l, post("query A{a}", "operationName", "B"), "graphql_refused body operation"},
		"two operations of one name":          {l, post("query A{a} query A{b}", "operationName", "A"), "graphql_refused body form /query"},
		"what the other operation does":       {l, post("query A{a} query B"+nested("b", 11), "operationName", "A"), "graphql_refused body depth"},
		"two fragments of one name":           {l, post("{...f} fragment f on Q{a} fragment f on Q{b}"), "graphql_refused body form /query"},
		"a fragment with variables":           {l, post("{...f} fragment f($a: Int) on Q{a}"), "graphql_refused body form /query"},
		"variables that are no object":        {l, post("{a}", "variables", []int{1}), "graphql_refused body form /variables"},
		"large variables":                     {l, post("{a}", "variables", map[string]any{"a": strings.Repeat("x", 70_000)}), "graphql_refused body variables /variables"},
		"large variables over a batch":        {batches, posted(`[{"query":"{a}","variables":{"a":"` + strings.Repeat("x", 40_000) + `"}},{"query":"{a}","variables":{"a":"` + strings.Repeat("x", 40_000) + `"}}]`), "graphql_refused body variables /variables"},
		"a name twice":                        {l, posted(`{"query":"{a}","query":"{b}"}`), "graphql_refused body form"},
		"a name in another case":              {l, posted(`{"query":"{a}","Query":"{b}"}`), "graphql_refused body undeclared /Query"},
		"a document that is a list":           {l, posted(`{"query":["{a}"]}`), "graphql_refused body form /query"},
		"a text":                              {l, posted(`"{a}"`), "graphql_refused body form"},
		"no JSON":                             {l, posted(`{"query":`), "graphql_refused body form"},
		"a GET":                               {l, get("query", "query($i:ID){a(id:$i)}", "variables", `{"i":1}`, "other", "x"), ""},
		"a GET, 11 deep":                      {l, get("query", nested("a", 11)), "graphql_refused query depth"},
		"a mutation by GET":                   {l, get("query", "mutation{a}"), "graphql_refused query method"},
		"a mutation by GET, not the one":      {l, get("query", "query A{a} mutation B{b}", "operationName", "A"), "graphql_refused query method"},
		"a GET without a document":            {l, get(), "graphql_refused query required /query"},
		"a GET with a body beside":            {l, body(get("query", "query A{a} query B{b}", "operationName", "A"), `{"operationName":"B"}`), "graphql_refused body form"},
		"a GET with a chunked body":           {l, length(body(get("query", "{a}"), "{}"), -1), "graphql_refused body form"},
		"a GET with two":                      {l, get("query", "{a}", "query", "{b}"), "graphql_refused query form"},
		"a GET with another spelling":         {l, get("query", "{a}", "query[]", "{b}"), "graphql_refused query form"},
		"a GET, variables that are no JSON":   {l, get("query", "{a}", "variables", "{"), "graphql_refused query form"},
		"a GET, large variables":              {l, get("query", "{a}", "variables", `{"a":"`+strings.Repeat("x", 70_000)+`"}`), "graphql_refused query variables"},
		"a POST with a document in its query": {l, at(post("{a}"), "?query={b}"), "graphql_refused query form"},
		"a POST with another query":           {l, at(post("{a}"), "?trace=1"), ""},
		"a PUT":                               {l, method(post("{a}"), "PUT"), "graphql_refused body method"},
		"a form":                              {l, header(posted("query={a}"), "Content-Type", "application/x-www-form-urlencoded"), "unsupported_media"},
		"plain text, as any site may send":    {l, header(post("{a}"), "Content-Type", "text/plain"), "unsupported_media"},
		"another charset":                     {l, header(post("{a}"), "Content-Type", "application/json; charset=utf-16"), "unsupported_media"},
		"compressed":                          {l, header(post("{a}"), "Content-Encoding", "gzip"), "unsupported_media"},
		"a document by name alone":            {l, posted(`{"id":"x"}`), "graphql_refused body persisted /query"},
		"a document with a digest of another": {l, post("{a}", "extensions", map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": digest("{b}")}}), "graphql_refused body persisted /query"},
		"a document with its digest":          {l, post("{a}", "extensions", map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": digest("{a}")}}), ""},
	} {
		if got := answer(c.with, c.request); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func at(r *http.Request, query string) *http.Request {
	r.URL.RawQuery = query[1:]
	return r
}

func method(r *http.Request, m string) *http.Request { r.Method = m; return r }

func body(r *http.Request, text string) *http.Request {
	r.Body, r.ContentLength = shield.NewBody(io.NopCloser(strings.NewReader(text)), 1<<22), int64(len(text))
	return header(r, "Content-Type", "application/json")
}

func length(r *http.Request, n int64) *http.Request { r.ContentLength = n; return r }

func header(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// introspection is the question that graphql-js's tools ask.
const introspection = `query IntrospectionQuery { __schema { queryType { name kind } mutationType { name kind } subscriptionType { name kind } types { ...FullType } directives { name description locations args { ...InputValue } } } }
fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`

func TestASchemaSaysWhatFieldsAreAndCost(t *testing.T) {
	attacktest.Rows(t, 110)
	l := func(cost int) *graphql.Layer {
		return open(t, graphql.Settings{Schema: []byte(schemaText), Cost: cost, Depth: 20})
	}
	for name, c := range map[string]struct {
		document string
		cost     int // exactly; 0: refused for something else
		want     string
	}{
		"a field":                            {"{order(id: 1) {id item}}", 3, ""},
		"a list of unknown size":             {"{all {id}}", 11, ""},
		"a list of assumed size":             {"{named {id}}", 4, ""},
		"a list within a list":               {"{all {lines(first: 5) {sku}}}", 61, ""},
		"a connection":                       {"{orders(first: 5) {total edges {node {id}}}}", 21, ""},
		"a connection by the default":        {"{orders {nodes {id}}}", 41, ""},
		"the larger of two sizes":            {"{order(id: 1) {lines(first: 2, last: 7) {sku}}}", 9, ""},
		"a size within an object":            {"{search(filter: {inner: {first: 7}}) {__typename ... on Order {id}}}", 8, ""},
		"by names":                           {"{nodes(ids: [1, 2, 3]) {id}}", 4, ""},
		"a weight":                           {"{report {text}}", 51, ""},
		"a fragment in two lists":            {"{a: all {...f} named {...f}} fragment f on Order {id item}", 28, ""},
		"a fragment on an interface":         {"{nodes(ids: [1]) {...f}} fragment f on Node {id ... on Person {orders(first: 3) {id}}}", 6, ""},
		"a field that is not there":          {"{orders {nodes {secret}}}", 0, "graphql_refused body field /query/Order.secret"},
		"an argument that is not there":      {"{order(id: 1, admin: true) {id}}", 0, "graphql_refused body field /query/Query.order/admin"},
		"an object without fields":           {"{order(id: 1)}", 0, "graphql_refused body field /query/Query.order"},
		"a value with fields":                {"{order(id: 1) {id {x}}}", 0, "graphql_refused body field /query/Order.id"},
		"a type that is not there":           {"{order(id: 1) {... on Secret {id}}}", 0, "graphql_refused body field /query/Secret"},
		"a directive that is not there":      {"{order(id: 1) @admin {id}}", 0, "graphql_refused body field /query/@admin"},
		"a directive that is":                {"{order(id: 1) @include(if: true) {id}}", 2, ""},
		"operations that are not there":      {"subscription {orders}", 0, "graphql_refused body field"},
		"a field of a union":                 {"{search {id}}", 0, "graphql_refused body field /query/Result.id"},
		"an unused fragment on what is not":  {"{report {text}} fragment f on Nope {id}", 0, "graphql_refused body field /query/Nope"},
		"an unused fragment that could be":   {"{order(id: 1) {id}} fragment f on Order {id}", 2, ""},
		"the fields of a field of an object": {"mutation {cancelOrder(id: 1) {query {report {text}}}}", 53, ""},
	} {
		if c.want != "" {
			if got := answer(l(1_000_000), post(c.document)); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
			continue
		}
		if got := answer(l(c.cost), post(c.document)); got != "" {
			t.Errorf("%s: %q at a cost of %d", name, got, c.cost)
		}
		if got := answer(l(c.cost-1), post(c.document)); got != "graphql_refused body cost" {
			t.Errorf("%s: %q at a cost of %d", name, got, c.cost-1)
		}
	}
}

func TestFieldsNeedTheirScopes(t *testing.T) {
	attacktest.Rows(t, 110)
	rules := map[string][]string{"Query.*": {"any"}, "Query.report": {"reports:read"}, "Mutation.placeOrder": {"orders:write"}}
	bare := open(t, graphql.Settings{Scopes: rules})
	deep := map[string][]string{"Order.price": {"prices:read"}, "Person.*": {"people:read"}, "Person.id": {"any"}}
	for name, scopes := range rules {
		deep[name] = scopes
	}
	known := open(t, graphql.Settings{Scopes: deep, Schema: []byte(schemaText)})
	for name, c := range map[string]struct {
		with     *graphql.Layer
		document string
		has      string
		want     string
	}{
		"a field that needs none":        {bare, "{orders {id}}", "", ""},
		"a field without its scope":      {bare, "{report {text}}", "orders:write", "insufficient_scope body scope /query/Query.report"},
		"a field with its scope":         {bare, "{report {text}}", "reports:read", ""},
		"an alias":                       {bare, "{orders: report {text}}", "", "insufficient_scope body scope /query/Query.report"},
		"in fragments":                   {bare, "{...f} fragment f on Anything {... on Query {report {text}}}", "", "insufficient_scope body scope /query/Query.report"},
		"a mutation with its scope":      {bare, "mutation {placeOrder(item: \"x\") {id}}", "orders:write", ""},
		"a mutation without":             {bare, "mutation {placeOrder(item: \"x\") {id}}", "reports:read", "insufficient_scope body scope /query/Mutation.placeOrder"},
		"a mutation that nobody named":   {bare, "mutation {cancelOrder(id: 1) {id}}", "orders:write", "insufficient_scope body scope /query/Mutation.cancelOrder"},
		"the other operation":            {bare, "query A {orders} mutation B {placeOrder(item: \"x\") {id}}", "", "insufficient_scope body scope /query/Mutation.placeOrder"},
		"a name of a field":              {bare, "{__typename}", "", ""},
		"a deep field without":           {known, "{orders {nodes {price}}}", "", "insufficient_scope body scope /query/Order.price"},
		"a deep field with":              {known, "{orders {nodes {price}}}", "prices:read", ""},
		"a field of a type, any other":   {known, "{order(id: 1) {buyer {name}}}", "", "insufficient_scope body scope /query/Person.name"},
		"a field of a type, named":       {known, "{order(id: 1) {buyer {id}}}", "", ""},
		"by a fragment of a union":       {known, "{search {... on Person {name}}}", "", "insufficient_scope body scope /query/Person.name"},
		"the query of a mutation":        {known, "mutation {placeOrder(item: \"x\") {id} }", "orders:write", ""},
		"a query within a mutation":      {open(t, graphql.Settings{Schema: []byte(schemaText), Scopes: map[string][]string{"Mutation.*": {"any"}, "Query.report": {"reports:read"}}}), "mutation {cancelOrder(id: 1) {query {report {text}}}}", "", "insufficient_scope body scope /query/Query.report"},
		"an interface instead of a type": {open(t, graphql.Settings{Schema: []byte(schemaText), Scopes: map[string][]string{"Query.*": {"any"}, "Person.id": {"people:read"}}}), "{nodes(ids: [1]) {id}}", "", "insufficient_scope body scope /query/Person.id"},
	} {
		if got := answer(c.with, post(c.document, "operationName", strings.TrimSpace(operationOf(c.document))), c.has); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	err := bare.Check(post("{report {text}}"), &shield.Identity{Scheme: "Bearer", Client: "shop", CredentialID: "k1"})
	refusal, _ := errors.AsType[*shield.Refusal](err)
	if refusal == nil || refusal.HTTPStatus() != 403 || strings.Join(refusal.Challenge, "") != `Bearer error="insufficient_scope", scope="reports:read"` {
		t.Errorf("%+v", refusal)
	}
	if err := bare.Check(post("{report {text}}"), nil); err == nil {
		t.Error("nobody has the scope")
	}
}

func operationOf(document string) string {
	if strings.HasPrefix(document, "query A") {
		return "A"
	}
	return ""
}

func TestOnlyNamedAndPersistedOperations(t *testing.T) {
	named := open(t, graphql.Settings{Operations: []string{"GetOrder"}})
	relay, err := json.Marshal(map[string]string{"one": "query GetOrder {order(id: 1) {id}}", "deep": "query Deep" + nested("a", 11)})
	if err != nil {
		t.Fatal(err)
	}
	persisted := open(t, graphql.Settings{Persisted: relay})
	apollo := open(t, graphql.Settings{Persisted: []byte(`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"one","name":"GetOrder","type":"query","body":"query GetOrder {order(id: 1) {id}}"}]}`)})
	const one = "query GetOrder {order(id: 1) {id}}"
	apq := func(hash string) map[string]any {
		return map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}
	}
	extensions, err := json.Marshal(apq(digest(one)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		with    *graphql.Layer
		request *http.Request
		want    string
	}{
		"a name that there may be":      {named, post(one), ""},
		"another name":                  {named, post("query GetOrders {orders {id}}"), "graphql_refused body operation"},
		"no name":                       {named, post("{orders {id}}"), "graphql_refused body operation"},
		"a document that there may be":  {persisted, post(one), ""},
		"another document":              {persisted, post(one + " "), "graphql_refused body persisted /query"},
		"by its name":                   {persisted, posted(`{"id":"one"}`), ""},
		"by its name, Apollo's":         {apollo, posted(`{"documentId":"one","variables":{"a":1}}`), ""},
		"by its digest":                 {apollo, posted(`{"extensions":` + string(extensions) + `}`), ""},
		"by its digest, by GET":         {apollo, get("extensions", string(extensions)), ""},
		"by the digest of another":      {apollo, posted(`{"extensions":{"persistedQuery":{"sha256Hash":"` + digest("{a}") + `"}}}`), "graphql_refused body persisted /query"},
		"by an unknown name":            {persisted, posted(`{"id":"two"}`), "graphql_refused body persisted /query"},
		"by name, with another":         {persisted, post("{a}", "id", "one"), "graphql_refused body persisted /query"},
		"by name, with itself":          {persisted, post(one, "id", "one"), ""},
		"by two names":                  {persisted, posted(`{"id":"one","documentId":"deep"}`), "graphql_refused body persisted /query"},
		"bounds hold for it too":        {persisted, posted(`{"id":"deep"}`), "graphql_refused body depth"},
		"a digest that is none":         {persisted, posted(`{"extensions":{"persistedQuery":{}}}`), "graphql_refused body persisted /extensions/persistedQuery"},
		"a persistedQuery that is none": {persisted, posted(`{"extensions":{"persistedQuery":7}}`), "graphql_refused body form /extensions/persistedQuery"},
	} {
		if got := answer(c.with, c.request); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, s := range map[string]graphql.Settings{
		"a negative bound":           {Depth: -1},
		"no schema":                  {Schema: []byte("type Query {")},
		"a schema without a query":   {Schema: []byte("type Order {id: ID}")},
		"a schema of unknown types":  {Schema: []byte("type Query {a: Nope}")},
		"scopes of no field":         {Scopes: map[string][]string{"Query": {"a"}}},
		"scopes of a deep field":     {Scopes: map[string][]string{"Order.price": {"a"}}},
		"scopes of an unknown type":  {Schema: []byte(schemaText), Scopes: map[string][]string{"Nope.price": {"a"}}},
		"scopes of an unknown field": {Schema: []byte(schemaText), Scopes: map[string][]string{"Order.nope": {"a"}}},
		"no persisted documents":     {Persisted: []byte("{}")},
		"persisted of no form":       {Persisted: []byte("[]")},
		"a persisted document":       {Persisted: []byte(`{"a":"{"}`)},
	} {
		if _, err := graphql.New(s); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := graphql.New(graphql.Settings{Schema: []byte(costDeclared), Scopes: map[string][]string{"Query.a": {"any"}}}); err != nil {
		t.Errorf("a schema that declares the directives of cost: %v", err)
	}
}

const costDeclared = `
directive @cost(weight: String!) on FIELD_DEFINITION
schema { query: Root }
type Root { a: Int @cost(weight: "2.0") }
`

// No value of a request is told.
func TestNoValueIsTold(t *testing.T) {
	l := open(t, graphql.Settings{})
	for _, r := range []*http.Request{
		post(`{a(b:"canary-value") {`), post(`{a(b:"canary-value") "}`), post(`{a ? canary-value}`), posted(`{"query":"{a}","variables":"canary-value"}`),
		posted(`{"query":"{a}","operationName":"canary-value"}`), posted(`{"query":"canary-value`), get("query", `{a(b:"canary-value")`), get("query", "{a}", "variables", "canary-value"),
	} {
		err := l.Check(r, nil)
		refusal, _ := errors.AsType[*shield.Refusal](err)
		if refusal == nil || strings.Contains(err.Error()+refusal.Detail+fmt.Sprint(refusal.Fields), "canary-value") {
			t.Errorf("%v", err)
		}
	}
}

// Whatever comes, the layer decides, soon, and within its stack.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		"{a}", "query Q($a: [Int!]! = [1] @x) @y {a: b(c: {d: [$a, 1.5e3, \"s\", \"\"\"b\"\"\", E, true, null]}) {...f ... on T @z {x} ...{y}}} fragment f on T {q}",
		bomb(5), nested("a", 12), "{__schema{types{name}}}", "mutation{placeOrder(item:\"x\"){id}}", "subscription{x}", "{a\ufeff,#c\n}", "{orders(first:-1){nodes{id}}}", introspection,
	} {
		f.Add(seed)
	}
	layers := []*graphql.Layer{
		open(f, graphql.Settings{}), open(f, graphql.Settings{Introspection: true, Schema: []byte(schemaText), Scopes: map[string][]string{"Query.*": {"any"}}}),
	}
	f.Fuzz(func(t *testing.T, document string) {
		for _, l := range layers {
			if got := answer(l, post(document)); strings.HasPrefix(got, "error") {
				t.Fatal(got)
			}
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"query":"{a}"}`, `[{"query":"{a}"},{}]`, `{"query":"{a}","variables":{"a":[1]},"extensions":{"persistedQuery":{"sha256Hash":"x"}}}`, `[]`, `null`, `{"variables":{}}`} {
		f.Add(seed)
	}
	l := open(f, graphql.Settings{Batch: 3})
	f.Fuzz(func(t *testing.T, body string) {
		if got := answer(l, posted(body)); strings.HasPrefix(got, "error") {
			t.Fatal(got)
		}
	})
}

const usual = `query GetOrders($first: Int!, $after: String) { orders(first: $first, after: $after) { total edges { node { id item price buyer { id name } lines(first: 5) { sku } } } } }`

func BenchmarkUsual(b *testing.B) {
	benchmark(b, open(b, graphql.Settings{Cost: 5000}), post(usual, "variables", map[string]any{"first": 20, "after": "abc"}))
}

func BenchmarkUsualWithSchema(b *testing.B) {
	benchmark(b, open(b, graphql.Settings{Cost: 5000, Schema: []byte(schemaText), Scopes: map[string][]string{"Query.*": {"any"}}}), post(usual, "variables", map[string]any{"first": 20, "after": "abc"}))
}

func BenchmarkPersisted(b *testing.B) {
	persisted, err := json.Marshal(map[string]string{"orders": usual})
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, open(b, graphql.Settings{Cost: 5000, Persisted: persisted}), posted(`{"id":"orders","variables":{"first":20}}`))
}

func BenchmarkFragmentBomb(b *testing.B) {
	l, r := open(b, graphql.Settings{}), post(bomb(100))
	b.ReportAllocs()
	for b.Loop() {
		if l.Check(r, nil) == nil {
			b.Fatal("it passes")
		}
	}
}

func benchmark(b *testing.B, l *graphql.Layer, r *http.Request) {
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Check(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
