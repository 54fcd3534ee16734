package scanners_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	_ "modernc.org/sqlite"
)

// vulnerable is a service that puts what it is sent into its queries: what a scanner finds
// there is the measure of what it finds through the gateway.
func vulnerable(t *testing.T) http.Handler {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // the database lives in its connection
	t.Cleanup(func() { _ = db.Close() })
	for _, statement := range []string{
		`create table products (id integer, name text, price real)`,
		`insert into products values (1, 'tea', 3.5), (2, 'coffee', 5), (3, 'O''Brien''s milk', 1.2)`,
		`create table users (name text, password text)`,
		`insert into users values ('ada', 'canary-password')`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/products", func(w http.ResponseWriter, r *http.Request) {
		answer(w, db, "select name, price from products where name = '"+r.URL.Query().Get("name")+"'")
	})
	mux.HandleFunc("POST /v1/search", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Text string }
		text, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err := json.Unmarshal(text, &asked); err != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		answer(w, db, "select name, price from products where name like '%"+asked.Text+"%'")
	})
	for path, text := range forgotten() {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	return mux
}

// forgotten is what lies about on services.
func forgotten() map[string]string {
	return map[string]string{
		"/.env": "PASSWORD=canary-password", "/backup.sql": "insert into users", "/debug/vars": "{}", "/admin": "welcome", "/v1/internal/users": "[]",
	}
}

func answer(w http.ResponseWriter, db *sql.DB, query string) {
	rows, err := db.Query(query)
	if err != nil {
		http.Error(w, "SQL error: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var name, price any
		if err := rows.Scan(&name, &price); err == nil {
			found = append(found, fmt.Sprint(name, " ", price))
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"found": found})
}
