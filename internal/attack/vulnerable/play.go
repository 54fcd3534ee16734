package vulnerable

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What the API would do with a database, a shell, a template engine and files is played here: just so
// much of it that what an attacker writes has its effect.

var condition = regexp.MustCompile(`^(.*?)' (AND|OR) '(\w+)'='(\w+)$`)

// query plays WHERE column = 'value'; legal is false for a text that breaks it.
func query(column, value string) (matches, legal bool) {
	if m := condition.FindStringSubmatch(value); m != nil {
		first, second := column == m[1], m[3] == m[4]
		return m[2] == "AND" && first && second || m[2] == "OR" && (first || second), true
	}
	return column == value, !strings.Contains(value, "'")
}

var command = regexp.MustCompile(`[;|&\n` + "`" + `(]\s*expr (\d+) \\\* (\d+)`)

var (
	commandDelay = regexp.MustCompile(`[;|&\n` + "`" + `(]\s*sleep (\d)`)
	queryDelay   = regexp.MustCompile(`' AND 71=\(SELECT 71 FROM PG_SLEEP\((\d)\)\)`)
)

// takes plays that something takes as long as a text says.
func (a *API) takes(r *http.Request, form *regexp.Regexp, text string) {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return
	}
	seconds, _ := strconv.Atoi(m[1]) // a digit, as the pattern says
	wait := a.Wait
	if wait == nil {
		wait = passes
	}
	_ = wait(r.Context(), time.Duration(seconds)*time.Second) // the caller may be gone
}

func passes(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// ping plays a shell that runs `ping MACHINE`.
func (a *API) ping(w http.ResponseWriter, r *http.Request, _ string) {
	machine := r.URL.Query().Get("machine")
	if a.on["command-delay"] {
		a.takes(r, commandDelay, machine)
	}
	if m := command.FindStringSubmatch(machine); a.on["command-injection"] && m != nil {
		write(w, "text/plain; charset=utf-8", "it lives\n"+times(m[1], m[2])+"\n")
		return
	}
	if !regexp.MustCompile(`^[a-z0-9-]{1,20}$`).MatchString(machine) {
		problem(w, http.StatusBadRequest)
		return
	}
	write(w, "text/plain; charset=utf-8", "it lives\n")
}

func times(a, b string) string {
	one, _ := strconv.Atoi(a) // digits, as the pattern says
	other, _ := strconv.Atoi(b)
	return fmt.Sprint(one * other)
}

var expression = regexp.MustCompile(`\{\{\s*(\d+)\*(\d+)\s*\}\}`)

// greeting plays a template engine.
func (a *API) greeting(w http.ResponseWriter, r *http.Request, _ string) {
	name := r.URL.Query().Get("name")
	if a.on["template-injection"] {
		name = expression.ReplaceAllStringFunc(name, func(text string) string {
			m := expression.FindStringSubmatch(text)
			return times(m[1], m[2])
		})
	}
	write(w, "text/plain; charset=utf-8", "Hello "+name)
}

// passwords is a file that every machine has.
const passwords = "root:x:0:0:root:/root:/bin/bash\nshop:x:1000:1000::/srv:/bin/false\n"

// documents plays a folder below /srv/documents.
func (a *API) documents(w http.ResponseWriter, r *http.Request, _ string) {
	files := map[string]string{"/srv/documents/terms.txt": "The shop's terms.\n", "/etc/passwd": passwords}
	name := path.Join("/srv/documents", r.URL.Query().Get("file"))
	text, found := files[name]
	if !found || !strings.HasPrefix(name, "/srv/documents/") && !a.on["path-traversal"] {
		problem(w, http.StatusNotFound)
		return
	}
	write(w, "text/plain; charset=utf-8", text)
}

// export writes a header by hand where it is told to: net/http would not let a line end.
func (a *API) export(w http.ResponseWriter, r *http.Request, _ string) {
	name := r.URL.Query().Get("filename")
	if !a.on["header-injection"] || !strings.ContainsAny(name, "\r\n") {
		w.Header().Set("Content-Disposition", `attachment; filename="orders.csv"`)
		write(w, "text/csv; charset=utf-8", "item\numbrella\n")
		return
	}
	splitHead(w, "200 OK", "Content-Disposition: attachment; filename="+name)
}

// splitHead answers with a line of a head as it is.
func splitHead(w http.ResponseWriter, status, line string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		problem(w, http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: text/csv; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 5\r\nConnection: close\r\n%s\r\n\r\nitem\n", status, line) // the caller may be gone
}

// preview fetches an address, of this machine alone.
func (a *API) preview(w http.ResponseWriter, r *http.Request, _ string) {
	address, err := url.Parse(r.URL.Query().Get("url"))
	if err != nil || address.Host == "" {
		problem(w, http.StatusBadRequest)
		return
	}
	if !a.on["ssrf"] {
		tell(w, http.StatusOK, map[string]any{"preview": "none"})
		return
	}
	tell(w, http.StatusOK, map[string]any{"preview": fetched(r, address)})
}

func fetched(r *http.Request, address *url.URL) string {
	text, err := fetch(r.Context(), address)
	switch {
	case errors.Is(err, errElsewhere):
		return "none"
	case err != nil:
		return "no answer"
	}
	return strings.ReplaceAll(string(text), `"`, "'")
}

// errElsewhere is the error of an address that is not of this machine.
var errElsewhere = errors.New("nothing is fetched from elsewhere")

// fetch fetches an address, of this machine alone.
func fetch(ctx context.Context, address *url.URL) ([]byte, error) {
	if addr, err := netip.ParseAddr(address.Hostname()); err != nil || !addr.IsLoopback() {
		return nil, errElsewhere
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, errElsewhere
	}
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch a page: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(io.LimitReader(response.Body, 4<<10))
}

// leave redirects to a path of its own.
func (a *API) leave(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get("next")
	switch {
	case a.on["open-redirect"] && strings.HasPrefix(next, "https://"):
		w.Header().Set("Location", next)
		w.WriteHeader(http.StatusFound)
	case next != "/home":
		problem(w, http.StatusBadRequest)
	default:
		tell(w, http.StatusOK, map[string]any{"next": next})
	}
}

// peek reads a body, and leaves it to be read again.
func peek(r *http.Request) string {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	return strings.TrimSpace(string(raw))
}

// stack is what a framework would show.
const stack = "panic: unexpected end of JSON input\n\ngoroutine 34 [running]:\nmain.feedback(0xc0000b4000)\n\t/srv/shop/feedback.go:31 +0x1d\n"

// feedback reads its body itself, where its faults are on.
func (a *API) feedback(w http.ResponseWriter, r *http.Request, caller string) {
	var body struct {
		Text  string `json:"text"`
		Stars int    `json:"stars"`
	}
	text := peek(r)
	switch {
	case a.on["stack-trace"] && text == `{"`:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, stack) // the caller may be gone
		return
	case a.on["xxe-beside-json"] && strings.HasPrefix(r.Header.Get("Content-Type"), "application/xml"):
		a.feedbackXML(w, text)
		return
	case a.on["wrong-content-type"] && strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain"):
		r.Header.Set("Content-Type", "application/json")
	}
	deep, large := a.on["deep-json"] && depthOf([]byte(text)) > 20, a.on["body-size"] && len(text) > maxBody
	if deep || large {
		if json.Unmarshal([]byte(text), &body) != nil {
			problem(w, http.StatusBadRequest)
			return
		}
	} else if !a.decode(w, r, &body) {
		return
	}
	if body.Text == "" || body.Stars < 0 || body.Stars > 5 {
		problem(w, http.StatusUnprocessableEntity)
		return
	}
	tell(w, http.StatusAccepted, map[string]any{"thanks": true})
}
