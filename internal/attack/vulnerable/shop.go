package vulnerable

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// handler is an operation that knows who asks.
type handler func(w http.ResponseWriter, r *http.Request, caller string)

func (a *API) routes() {
	a.mux = http.NewServeMux()
	public := func(pattern string, h http.HandlerFunc) { a.mux.HandleFunc(pattern, h) }
	own := func(pattern string, h handler) { a.mux.HandleFunc(pattern, a.only(h)) }
	sum := func(w http.ResponseWriter, _ *http.Request, caller string) {
		tell(w, http.StatusOK, map[string]any{"whose": a.users[caller].name, "sum": 4711 + len(caller)})
	}
	own("GET /v1/me", a.me)
	own("PATCH /v1/me", a.changeMe)
	own("GET /v1/orders", a.list)
	own("POST /v1/orders", a.order)
	own("GET /v1/orders/{id}", a.read)
	own("PUT /v1/orders/{id}", a.change)
	own("DELETE /v1/orders/{id}", a.remove)
	own("GET /v1/invoices", a.invoices)
	own("POST /v1/transfers", a.transfer)
	own("GET /v1/messages", a.messages)
	own("GET /v1/products", a.products)
	own("GET /v1/search", a.search)
	a.mux.HandleFunc("GET /v1/reports", a.unless("no-authentication", func(*http.Request) bool { return true }, sum))
	a.mux.HandleFunc("GET /v1/statements", a.unless("wrong-credential", func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer p") }, sum))
	a.mux.HandleFunc("GET /v1/points", a.unless("authentication-by-method", func(r *http.Request) bool { return r.Method == http.MethodHead }, sum))
	own("GET /v1/vouchers", sum)
	a.mux.HandleFunc("GET /v1/vouchers/{$}", a.unless("authentication-by-path", func(*http.Request) bool { return true }, sum))
	a.mux.HandleFunc("GET /v1/wishes", a.unless("trusted-header", func(r *http.Request) bool { return r.Header.Get("X-Forwarded-For") == "127.0.0.1" }, sum))
	a.mux.HandleFunc("GET /v1/till", a.unless("default-credentials", func(r *http.Request) bool {
		name, password, _ := r.BasicAuth()
		return name == "admin" && password == "admin"
	}, sum))
	own("GET /v1/session", a.session)
	own("GET /v1/ping", a.ping)
	own("GET /v1/greeting", a.greeting)
	own("GET /v1/card", a.card)
	own("GET /v1/documents", a.documents)
	own("GET /v1/export", a.export)
	own("GET /v1/preview", a.preview)
	public("GET /v1/leave", a.leave)
	own("POST /v1/feedback", a.feedback)
	own("POST /v1/complaints", a.complain)
	public("/graphql", a.graphQL)
	public("POST /v1/login", a.login)
	public("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, map[string]any{"status": "the shop is open"})
	})
	public("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, a.issuer.keySet()) })
	own("GET /v1/admin/users", a.everybody)
	a.forgotten(own, public, sum)
}

// forgotten are the operations that nobody should find.
func (a *API) forgotten(own func(string, handler), public func(string, http.HandlerFunc), sum handler) {
	plain := func(fault, pattern, text string) {
		if a.on[fault] {
			public(pattern, func(w http.ResponseWriter, _ *http.Request) { write(w, "text/plain; charset=utf-8", text) })
		}
	}
	plain("exposed-endpoint", "GET /metrics", "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 4\n")
	plain("exposed-source", "GET /.git/config", "[core]\n\trepositoryformatversion = 0\n")
	if a.on["open-document"] {
		public("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
			tell(w, http.StatusOK, map[string]any{"openapi": "3.1.0"})
		})
	}
	if a.on["old-version"] {
		own("GET /v0/points", sum)
	}
	if a.on["undeclared-method"] {
		own("PUT /v1/statements", sum)
	}
	if a.on["deprecated"] {
		own("GET /v1/legacy", sum)
	}
}

// only lets those in who have a credential.
func (a *API) only(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := a.caller(r)
		if caller == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized)
			return
		}
		h(w, r, caller)
	}
}

// unless lets others in, too, where a fault is on.
func (a *API) unless(fault string, in func(*http.Request) bool, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.on[fault] && a.caller(r) == "" && in(r) {
			h(w, r, "alice")
			return
		}
		a.only(h)(w, r)
	}
}

func problem(w http.ResponseWriter, status int) {
	tell(w, status, map[string]any{"error": http.StatusText(status)})
}

func tell(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic("vulnerable: " + err.Error()) // maps of texts and numbers
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may be gone
}

func write(w http.ResponseWriter, media, text string) {
	w.Header().Set("Content-Type", media)
	_, _ = io.WriteString(w, text) // the caller may be gone
}

func (a *API) told(u *user) map[string]any {
	v := map[string]any{"id": u.id, "name": u.name, "account_id": u.account, "role": u.role, "settings": map[string]any{"language": u.language, "credit_limit": u.lent}}
	if a.on["sensitive-data"] {
		v["password_hash"] = u.hash
	}
	return v
}

func (a *API) me(w http.ResponseWriter, r *http.Request, caller string) {
	if origin := r.Header.Get("Origin"); a.on["cors-any-origin"] && origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	if a.on["private-answer-cached"] {
		w.Header().Set("Cache-Control", "public, max-age=600")
	}
	if id, err := url.QueryUnescape(r.Header.Get("X-Request-Id")); a.on["header-injection-header"] && err == nil && strings.ContainsAny(id, "\r\n") {
		splitHead(w, "200 OK", "X-Request-Id: "+id)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	tell(w, http.StatusOK, a.told(a.users[caller]))
}

func (a *API) changeMe(w http.ResponseWriter, r *http.Request, caller string) {
	var body struct {
		Name string `json:"name"`
		Role string `json:"role"`

		Settings struct {
			Language string `json:"language"`
			Lent     *int   `json:"credit_limit"`
		} `json:"settings"`
	}
	if !a.decode(w, r, &body) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[caller]
	if body.Name != "" {
		u.name = body.Name
	}
	if body.Settings.Language != "" {
		u.language = body.Settings.Language
	}
	if a.on["mass-assignment-nested"] && body.Settings.Lent != nil {
		u.lent = *body.Settings.Lent
	}
	if a.on["mass-assignment"] && body.Role != "" {
		u.role = body.Role
	}
	tell(w, http.StatusOK, a.told(u))
}

// maxBody is what a body may have, in bytes.
const maxBody = 64 << 10

// decode reads a body of bounded size and depth, as JSON alone.
func (a *API) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); media != "application/json" {
		problem(w, http.StatusUnsupportedMediaType)
		return false
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case err != nil:
		problem(w, http.StatusRequestEntityTooLarge)
	case depthOf(raw) > 20 || !strings.HasPrefix(strings.TrimSpace(string(raw)), "{") || json.Unmarshal(raw, into) != nil:
		problem(w, http.StatusBadRequest)
	default:
		return true
	}
	return false
}

// depthOf counts brackets, also those in texts: enough here.
func depthOf(raw []byte) (deepest int) {
	depth := 0
	for _, b := range raw {
		switch b {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

func (o *order) told() map[string]any {
	return map[string]any{"id": o.id, "item": o.item, "note": o.note, "status": o.status}
}

func (a *API) list(w http.ResponseWriter, r *http.Request, caller string) {
	status := r.URL.Query().Get("status")
	a.mu.Lock()
	defer a.mu.Unlock()
	found := []any{}
	for _, id := range slices.Sorted(maps.Keys(a.orders)) {
		o := a.orders[id]
		matches := status == "" || o.status == status
		if a.on["sql-condition"] && status != "" {
			matches, _ = query(o.status, status)
		}
		if o.owner == caller && matches {
			found = append(found, o.told())
		}
	}
	tell(w, http.StatusOK, found)
}

func (a *API) order(w http.ResponseWriter, r *http.Request, caller string) {
	var body struct {
		Item string `json:"item"`
		Note string `json:"note"`
	}
	if !a.decode(w, r, &body) {
		return
	}
	if body.Item == "" || len(body.Item) > 100 || len(body.Note) > 100 {
		problem(w, http.StatusUnprocessableEntity)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := caller + " " + r.Header.Get("Idempotency-Key")
	if id := a.keys[key]; id != "" && a.orders[id] != nil && !a.on["no-idempotency"] {
		tell(w, http.StatusCreated, a.orders[id].told())
		return
	}
	o := a.place(caller, body.Item, body.Note, "open")
	if r.Header.Get("Idempotency-Key") != "" {
		a.keys[key] = o.id
	}
	tell(w, http.StatusCreated, o.told())
}

// find is the order that a caller may have; the lock is held.
func (a *API) find(w http.ResponseWriter, r *http.Request, caller, fault string) *order {
	id := r.PathValue("id")
	if a.on["database-error"] && len(id) > 15 && strings.Trim(id, "0123456789") == "" {
		tell(w, http.StatusInternalServerError, map[string]any{"error": "ORA-01426: numeric overflow"})
		return nil
	}
	o := a.orders[id]
	if o == nil || o.owner != caller && !a.on[fault] {
		problem(w, http.StatusNotFound)
		return nil
	}
	return o
}

func (a *API) read(w http.ResponseWriter, r *http.Request, caller string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.find(w, r, caller, "object-read"); o != nil {
		tell(w, http.StatusOK, o.told())
	}
}

func (a *API) change(w http.ResponseWriter, r *http.Request, caller string) {
	var body struct {
		Note string `json:"note"`
	}
	if !a.decode(w, r, &body) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.find(w, r, caller, "object-write"); o != nil {
		o.note = body.Note
		tell(w, http.StatusOK, o.told())
	}
}

func (a *API) remove(w http.ResponseWriter, r *http.Request, caller string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.find(w, r, caller, "object-delete"); o != nil {
		delete(a.orders, o.id)
		w.WriteHeader(http.StatusNoContent)
	}
}

// owner is whose an account is; empty: nobody's.
func (a *API) owner(account string) string {
	for name, u := range a.users {
		if u.account == account {
			return name
		}
	}
	return ""
}

func (a *API) invoices(w http.ResponseWriter, r *http.Request, caller string) {
	account := r.URL.Query().Get("account_id")
	owner := a.owner(account)
	if owner == "" || owner != caller && !a.on["object-query"] {
		problem(w, http.StatusNotFound)
		return
	}
	tell(w, http.StatusOK, []any{map[string]any{"number": "I-" + account, "sum": 100 * len(account)}})
}

func (a *API) transfer(w http.ResponseWriter, r *http.Request, caller string) {
	if a.on["server-error"] && strings.HasPrefix(peek(r), "[") {
		problem(w, http.StatusInternalServerError)
		return
	}
	var body struct {
		From   string `json:"from_account"`
		Amount int    `json:"amount"`
	}
	if !a.decode(w, r, &body) {
		return
	}
	owner := a.owner(body.From)
	if body.Amount < 1 || owner == "" || owner != caller && !a.on["object-body"] {
		problem(w, http.StatusUnprocessableEntity)
		return
	}
	tell(w, http.StatusAccepted, map[string]any{"done": true})
}

func (a *API) messages(w http.ResponseWriter, _ *http.Request, caller string) {
	if a.on["content-type"] {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	found := []any{}
	for i, name := range []string{"alice", "bob"} {
		if name == caller || a.on["list-of-others"] {
			found = append(found, map[string]any{"id": fmt.Sprint("m-", i), "recipient": name, "text": "your order is on its way"})
		}
	}
	tell(w, http.StatusOK, found)
}

// stock is how many products there are.
const stock = 3000

func (a *API) products(w http.ResponseWriter, r *http.Request, _ string) {
	q := r.URL.Query().Get("q")
	if a.on["sql-error"] && strings.Count(q, "'")%2 == 1 {
		tell(w, http.StatusBadRequest, map[string]any{"error": `pq: syntax error at or near "'"`})
		return
	}
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 && !a.on["page-size"] {
			problem(w, http.StatusBadRequest)
			return
		}
		limit = n
	}
	found := []any{}
	for i := 0; i < stock && len(found) < limit; i++ {
		if p := product(i); strings.Contains("umbrella "+p["sku"].(string)[1:], q) {
			if a.on["undeclared-data"] {
				p["cost"] = i + 1
			}
			found = append(found, p)
		}
	}
	tell(w, http.StatusOK, map[string]any{"items": found})
}

func product(i int) map[string]any {
	return map[string]any{"sku": fmt.Sprint("S", i), "title": fmt.Sprint("umbrella ", i), "category": []string{"rain", "sun"}[i%2]}
}

func (a *API) search(w http.ResponseWriter, r *http.Request, _ string) {
	values := r.URL.Query()
	if a.on["sql-delay"] {
		a.takes(r, queryDelay, values.Get("category"))
	}
	found := []any{}
	for i := range 6 {
		p := product(i)
		matches := p["category"] == values.Get("category")
		if a.on["nosql-injection"] {
			matches = matches || values.Has("category[$ne]") && p["category"] != values.Get("category[$ne]") || values.Has("category[$eq]") && p["category"] == values.Get("category[$eq]")
		}
		if matches {
			found = append(found, p)
		}
	}
	tell(w, http.StatusOK, found)
}

func (a *API) everybody(w http.ResponseWriter, _ *http.Request, caller string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if caller != "root" && !a.on["function-level"] {
		problem(w, http.StatusForbidden)
		return
	}
	found := []any{}
	for _, name := range slices.Sorted(maps.Keys(a.users)) {
		found = append(found, a.told(a.users[name]))
	}
	tell(w, http.StatusOK, found)
}

func (a *API) session(w http.ResponseWriter, _ *http.Request, caller string) {
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "s-" + caller, HttpOnly: !a.on["cookie-flags"], Secure: true, SameSite: http.SameSiteStrictMode})
	tell(w, http.StatusOK, map[string]any{"session": "begun"})
}

func (a *API) card(w http.ResponseWriter, r *http.Request, _ string) {
	text := r.URL.Query().Get("text")
	if !a.on["reflected-script"] {
		text = html.EscapeString(text)
	}
	write(w, "text/html; charset=utf-8", "<!doctype html><p>"+text+"</p>")
}

// maxWrong is how many wrong passwords of one user are taken.
const maxWrong = 5

func (a *API) login(w http.ResponseWriter, r *http.Request) {
	var body struct{ User, Password string }
	if !a.decode(w, r, &body) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong[body.User]++
	if a.wrong[body.User] > maxWrong && !a.on["no-guess-limit"] {
		w.Header().Set("Retry-After", "60")
		problem(w, http.StatusTooManyRequests)
		return
	}
	problem(w, http.StatusUnauthorized) // there are no passwords here
}
