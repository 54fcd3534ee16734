package own

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/shell"
	"pavise.dev/pavise/shield"
)

// entrance is an endpoint of a host, with proofs that can be written down: what is tried at the
// door would come through but for the door.
func (t *try) entrance(h *host, writes bool) (at *place, proofs []*proof, err error) {
	fits := func(p *place) bool {
		return p.host == h && p.target != "" && (hasBody(p) || p.isSafe()) && hasBody(p) == writes
	}
	for _, p := range t.r.places {
		if !fits(p) {
			continue
		}
		for _, w := range p.ways {
			if !isWritten(w) {
				continue
			}
			proofs, err := t.proofs(p, w, t.r.a)
			if err == nil || !isUnsure(err) {
				return p, proofs, err
			}
		}
	}
	for _, p := range t.r.places {
		if fits(p) {
			return p, nil, nil
		}
	}
	return nil, nil, attack.ErrNotHere
}

// isWritten reports whether the proofs of a way do not depend on the rest of a request.
func isWritten(w *way) bool {
	return !slices.ContainsFunc(w.parts, func(p *part) bool { return p.kind.Name != "api_key" && p.kind.Name != "jwt" })
}

// raw sends a head that no client would send, and reads what comes back. A connection that is closed
// without a word is a refusal.
func (t *try) raw(w want, target string, writes bool, h *host, more ...string) (x *reply, where string, err error) {
	at, proofs, err := t.entrance(h, writes)
	if err != nil {
		return nil, "", err
	}
	x, err = t.until(w, func() (*reply, error) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		asked := target
		if asked == "" {
			asked = r.URL.RequestURI()
		}
		return t.written(append(text(r, asked, more...), "Connection: close\r\n\r\n"...))
	})
	return x, t.where(at), err
}

// written sends bytes.
func (t *try) written(bytes []byte) (x *reply, err error) {
	if err := t.r.turn.keep(t.ctx); err != nil {
		return nil, err
	}
	err = t.s.Prober().Talk(t.ctx, []string{"http/1.1"}, nil, func(conn net.Conn) error {
		x, err = talkOnce(conn, bytes)
		return err
	})
	if x != nil && len(bytes) < maxProof {
		x.proof = fmt.Sprintf("printf '%s' | openssl s_client -quiet -connect %s -servername %s", spelled(bytes), shell.Word(t.r.g.Address), shell.Word(t.s.Prober().Scope().Base().Hostname()))
	}
	return x, err
}

// silent stands for a connection that was closed without an answer.
const silent shield.Code = "connection closed"

// talkOnce sends bytes over a connection, and reads one answer.
func talkOnce(conn net.Conn, text []byte) (*reply, error) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(text) // who does not read to the end answers all the same
	}()
	x, err := readReply(conn)
	_ = conn.Close() // ends the write, if it still waits
	<-sent
	return x, err
}

// maxReply is the longest answer that is read, in bytes.
const maxReply = 256 << 10

// readReply reads one answer of HTTP/1.1. A connection that is closed without a word is a refusal.
func readReply(from io.Reader) (*reply, error) {
	in := bufio.NewReader(io.LimitReader(from, maxReply))
	if _, err := in.Peek(1); err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return nil, errors.New("the gateway neither answers nor closes the connection")
		}
		return &reply{status: http.StatusBadRequest, code: silent}, nil
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return read(response.StatusCode, response.Header, nil), nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil && len(body) == 0 {
		return nil, fmt.Errorf("read the gateway's answer: %w", err)
	}
	return plainly(read(response.StatusCode, response.Header, body)), nil
}

// plainly is a reply in which a refusal of the server below the gateway counts as one: it has no
// code.
func plainly(x *reply) *reply {
	switch x.status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		if x.code == "" {
			x.code = silent
		}
	}
	return x
}

// maxProof is the longest message that is shown as a command, in bytes.
const maxProof = 4 << 10

// spelled writes bytes for printf, within single quotes.
func spelled(text []byte) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '%':
			b.WriteString("%%")
		case c == '\\':
			b.WriteString(`\\`)
		case c == '\'' || c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// door plans a case that sends a head as it is written.
func (p *planner) door(h *host, rule, id string, row int, target string, demanded want, more ...string) {
	p.addAt(h, rule, h.name+": "+id, row, 0, func(t *try) error {
		x, where, err := t.raw(demanded, target, false, h, more...)
		if err != nil {
			return err
		}
		t.judgeRaw(where, target, x, demanded, id)
		return nil
	})
}

// judgeRaw reports what no command of curl's shows.
func (t *try) judgeRaw(where, target string, x *reply, w want, what string) {
	t.judge(where, x, w, what+" "+fmt.Sprintf("%.80q", target))
}

// doors try paths, queries, headers and hosts that two readers would read differently.
func (p *planner) doors() {
	for _, h := range p.r.hosts {
		at := p.plainest(h)
		if at == nil {
			continue
		}
		lenient := map[string]bool{}
		for _, api := range p.r.g.File.APIs {
			for _, a := range api.Allow {
				lenient[a.What] = true
			}
		}
		for _, one := range paths(at.target) {
			if !lenient[one.allowed] || one.allowed == "" {
				p.door(h, "ambiguous-path", one.name, one.row, one.target, want{code: shield.BadPath, any: true})
			}
		}
		for name, query := range queries() {
			if name == "a semicolon" && lenient["semicolon"] {
				continue
			}
			p.door(h, "ambiguous-path", "the query has "+name, 160, at.target+"?"+query, refused(shield.BadQuery, shield.PathTooLong))
		}
		for _, one := range lines() {
			if !lenient[one.allowed] || one.allowed == "" {
				p.door(h, "ambiguous-header", one.name, one.row, at.target, refused(shield.BadHeader, shield.UnsupportedMedia, shield.MalformedCredential), one.target)
			}
		}
		p.methods(h, at)
		p.names(h)
	}
}

// plainest is the endpoint of a host whose path has the most to spell otherwise.
func (p *planner) plainest(h *host) (best *place) {
	for _, at := range p.r.places {
		if at.host == h && at.isSafe() && at.target != "" && strings.Count(at.target, "/") > 1 && slices.ContainsFunc(at.ways, isWritten) {
			return at
		}
	}
	for _, at := range p.r.places {
		if at.host == h && at.isSafe() && at.target != "" {
			return at
		}
	}
	return nil
}

type spelling struct {
	name, target, allowed string
	row                   int
}

// paths are other spellings of a path.
func paths(target string) []spelling {
	i := strings.LastIndexByte(target, '/')
	above, last := target[:i], target[i+1:]
	return []spelling{
		{name: "a parameter in a dot segment", target: above + "/..;/" + last, row: 107, allowed: "semicolon"},
		{name: "an encoded dot segment", target: above + "/%2e%2e%2f" + last, row: 107},
		{name: "a doubly encoded dot segment", target: above + "/%252e%252e/" + last, row: 107},
		{name: "an empty segment", target: above + "//" + last, row: 107},
		{name: "two slashes at the beginning", target: "/" + target, row: 107},
		{name: "a backslash", target: above + "%5c" + last, row: 107},
		{name: "an overlong dot", target: above + "/%c0%ae/" + last, row: 107},
		{name: "an encoded NUL", target: target + "%00", row: 107},
		{name: "an encoded line break", target: target + "%0d%0aX-A:%20b", row: 107},
		{name: "a way up", target: above + "/pavise/../" + last, row: 107},
		{name: "a dot segment", target: above + "/./" + last, row: 107},
		{name: "a character that must be encoded", target: target + "|b", row: 107},
		{name: "an encoded slash", target: above + "%2f" + last, row: 107, allowed: "encoded_slash"},
		{name: "a parameter", target: target + ";b", row: 107, allowed: "semicolon"},
		{name: "an encoded semicolon", target: target + "%3bb", row: 107, allowed: "semicolon"},
		{name: "an encoded letter", target: above + "/" + escaped(last), row: 129},
		{name: "an encoded tilde", target: target + "%7e", row: 129},
		{name: "bytes that are no UTF-8", target: target + "%ff", row: 107},
		{name: "a broken escape", target: target + "%zz", row: 107},
		{name: "nine thousand bytes", target: target + strings.Repeat("a", 9000), row: 143},
	}
}

func escaped(segment string) string {
	if segment == "" {
		return "%61"
	}
	return fmt.Sprintf("%%%02x", segment[0]) + segment[1:]
}

func queries() map[string]string {
	return map[string]string{
		"a semicolon": "x=1;y=2", "a broken escape": "x=%zz", "an encoded NUL": "x=%00", "bytes that are no UTF-8": "x=%ff",
		"seventeen thousand bytes": "x=" + strings.Repeat("a", 17<<10),
	}
}

// lines are headers that readers take for others, or that would take others away.
func lines() []spelling {
	return []spelling{
		{name: "an underscore in a header's name", target: "X_User_Id: 1", row: 160, allowed: "underscore_headers"},
		{name: "Connection names the credential", target: "Connection: X-Api-Key, Authorization", row: 121},
		{name: "Connection names the identity", target: "Connection: Pavise-Identity", row: 121},
		{name: "Connection names the request's ID", target: "Connection: X-Request-Id, keep-alive", row: 121},
		{name: "a dot in a header's name", target: "X.User: 1", row: 160},
		{name: "two content types", target: "Content-Type: text/plain\r\nContent-Type: text/html", row: 103},
	}
}

// methods sends words that are no methods, and one that shows what it was sent.
func (p *planner) methods(h *host, at *place) {
	for _, method := range []string{"get", "G3T", "TRACE", "CONNECT"} {
		demanded := refused(shield.BadMethod, shield.MethodNotAllowed, silent)
		demanded.any = true
		p.addAt(h, "ambiguous-header", h.name+": the method "+method, 109, 0, func(t *try) error {
			x, err := t.until(demanded, func() (*reply, error) {
				return t.written([]byte(method + " " + at.target + " HTTP/1.1\r\nHost: " + h.prober.Scope().Base().Host + "\r\nConnection: close\r\n\r\n"))
			})
			if err != nil {
				return err
			}
			t.judge(t.where(at), x, demanded, "the method "+method)
			return nil
		})
	}
}

// names asks one host's endpoints by the names of others.
func (p *planner) names(h *host) {
	others := []string{"evil.example", "evil.example:443", h.name + ".evil.example", h.name + ":99999", "[::1", "a b"}
	for _, other := range p.r.hosts {
		if other != h {
			others = append(others, other.name)
		}
	}
	for _, name := range others {
		demanded := refused(shield.UnknownHost, shield.Misdirected, shield.BadHeader, silent)
		demanded.any = true
		p.addAt(h, "wrong-host", h.name+": the host "+name, 120, 0, func(t *try) error {
			at, proofs, err := t.entrance(h, false)
			if err != nil {
				return err
			}
			x, err := t.until(demanded, func() (*reply, error) {
				r, _, err := t.signed(at, proofs)
				if err != nil {
					return nil, err
				}
				carry(r, partsOf(proofs))
				head := text(r, r.URL.RequestURI(), "Connection: close")
				return t.written(append(bytes.Replace(head, []byte("Host: "+r.URL.Host+"\r\n"), []byte("Host: "+name+"\r\n"), 1), "\r\n"...))
			})
			if err != nil {
				return err
			}
			t.judge(t.where(at), x, demanded, "the host "+name+" on a connection for "+h.name)
			return nil
		})
	}
}
