package explain

import (
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/shell"
	"pavise.dev/pavise/shield"
)

// next are the commands that come next, the one that mends it first.
func next(e *audit.Event, k Known, r *config.Resolved) []string {
	if e.Decision == audit.Accepted || e.Code == "" {
		return nil
	}
	again := repeat(e)
	switch shield.Code(e.Code) {
	case shield.InsufficientScope:
		if e.Client != "" && k.Scopes != nil {
			return append([]string{grant(e, k, r)}, again...)
		}
	case shield.InvalidCredential, shield.MissingCredential:
		if e.Client != "" {
			return []string{command("key", "list", "--client", e.Client), command("key", "create", "--client", e.Client)}
		}
		return []string{command("log", "search", "--address", e.Remote.Addr().String(), "--since", "1h")}
	case shield.ExpiredCredential:
		return []string{command("key", "rotate", e.CredentialID)}
	case shield.RevokedCredential:
		return []string{command("key", "list", "--client", e.Client, "--json"), command("key", "create", "--client", e.Client)}
	case shield.SuspendedCredential:
		return []string{command("suspend", "list"), command("unsuspend", e.CredentialID)}
	case shield.DisabledClient:
		return []string{command("client", "enable", e.Client)}
	case shield.BadSignature, shield.BadDigest:
		return []string{command("explain", "--signature", e.ID, "--string", "signed.txt")}
	case shield.BlockedNetwork, shield.Honeypot:
		return []string{command("block", "list"), command("unblock", e.Remote.Addr().String())}
	case shield.LockedOut:
		return []string{command("log", "search", "--address", e.Remote.Addr().String(), "--decision", "refused", "--since", "1h")}
	case shield.RateLimited:
		return again
	case shield.QuotaExceeded:
		if e.Client != "" {
			return []string{command("quota", "list", e.Client), command("quota", "reset", e.Client)}
		}
	case shield.UnknownEndpoint, shield.MethodNotAllowed, shield.UnknownHost:
		return []string{command("check")}
	case shield.ForbiddenNetwork:
		return []string{command("key", "list", "--client", e.Client)}
	case shield.Undecided, shield.StalePolicy, shield.Unrecorded:
		return []string{command("log", "search", "--class", "system", "--since", "1h")}
	case shield.BadAnswer, shield.UpstreamFailed, shield.UpstreamTimeout, shield.UpstreamDown:
		return []string{command("log", "search", "--code", e.Code, "--since", "1h")}
	}
	if len(again) > 0 {
		return again
	}
	return []string{command("log", "search", "--code", e.Code, "--since", "1h")}
}

// grant gives the client all that it has, and what the endpoint demands.
func grant(e *audit.Event, k Known, r *config.Resolved) string {
	scopes := slices.Clone(k.Scopes)
	if r != nil {
		scopes = append(scopes, k.Scopes.Missing(r.Scopes)...)
	}
	words := []string{"client", "update", e.Client}
	for _, scope := range scopes {
		words = append(words, "--scope", scope)
	}
	return command(words...)
}

// repeat asks whether the request would pass now. Of a path of which a part is masked nobody can.
func repeat(e *audit.Event) []string {
	if e.Client == "" || strings.Contains(e.Path, "*") || e.Path == "" || strings.Contains(e.Client, "/") {
		return nil
	}
	words := []string{"explain", "--as", e.Client, e.Method, e.Path}
	if e.Remote.IsValid() {
		words = append(words, "--from", e.Remote.Addr().String())
	}
	return []string{command(words...)}
}

// command writes one of ours so that it can be pasted into a shell.
func command(words ...string) string {
	quoted := []string{"pavise"}
	for _, word := range words {
		quoted = append(quoted, shell.Word(word))
	}
	return strings.Join(quoted, " ")
}

// With is a command of ours that says which configuration it is about.
func With(command, file string) string {
	return "pavise -c " + shell.Word(file) + strings.TrimPrefix(command, "pavise")
}

// connectionPath draws what was there of a connection that failed below a request.
func connectionPath(e *audit.Event) []Step {
	order := []Step{{Name: "connection", What: "from " + e.Remote.Addr().String()}, {Name: "handshake"}, {Name: "request"}}
	at := map[string]int{"limit": 0, "tls": 1, "http1": 2, "http2": 2, "plain": 2}[e.Step]
	switch {
	case e.Step == "plain":
		order[1].What = "none: the listener without TLS"
	case e.SNI != "":
		order[1].What = "for " + e.SNI
	case at > 1:
		order[1].What = "without a server name"
	}
	order[2].What = map[string]string{"http1": "the bytes of HTTP/1.1", "http2": "the frames of HTTP/2", "plain": "a request without TLS"}[e.Step]
	for i := range order {
		switch {
		case i < at:
			order[i].Outcome = Passed
		case i == at:
			order[i].Outcome, order[i].Why = Refused, because(e, nil)
		default:
			order[i].Outcome, order[i].What = Skipped, ""
		}
	}
	if e.Step == "plain" {
		order[1].Outcome = None
	}
	return order
}

func connectionNext(e *audit.Event) []string {
	words := []string{"log", "search", "--class", "connection", "--address", e.Remote.Addr().String(), "--since", "1h"}
	if !e.Remote.IsValid() {
		words = []string{"log", "search", "--class", "connection", "--code", e.Code, "--since", "1h"}
	}
	all := []string{command(words...)}
	if e.Code == "blocked_network" {
		all = append(all, command("unblock", e.Remote.Addr().String()))
	}
	return all
}

// ConnectionRemedy says what would mend a fault below a request; empty for a code that is none.
func ConnectionRemedy(code string) string {
	return map[string]string{
		"tls_handshake":        "look at the detail. No certificate for a name: name it under hosts, or have the caller send the name of a host (nginx: proxy_ssl_server_name on). Bad record MAC: most often a client with OpenSSL that does not trust our certificate (curl: --cacert). Else the two ends agree on no cipher suite, or the connection was cut off; `openssl s_client -connect HOST:443 -servername HOST` shows the caller's view",
		"tls_version":          "the caller offers TLS 1.1 or older: update its TLS library; Pavise speaks 1.2 and 1.3 alone",
		"tls_alert":            "the caller ended the handshake, most often because it does not trust our certificate: give it the CA, and call the name that stands in the certificate",
		"client_hello":         "what came is no TLS: plain HTTP to the TLS port, a port scan, or a proxy that speaks its PROXY protocol; use https://",
		"bad_request_line":     "send METHOD SP target SP HTTP/1.1 and nothing else on the first line",
		"bad_version":          "speak HTTP/1.1 or HTTP/2; nginx passes requests on with HTTP/1.0 unless it is told: proxy_http_version 1.1",
		"bad_header":           "look at the detail: a field is folded, has a blank before its colon, or a character that no reader agrees on",
		"bad_host":             "send the Host header once, with the name of the host",
		"bad_expectation":      "send no Expect but 100-continue",
		"bad_framing":          "send either one Content-Length or Transfer-Encoding: chunked: where the body ends must not be in doubt; a proxy between may be at fault, or somebody tries to smuggle a request",
		"bad_coding":           "send no transfer coding but chunked",
		"refused_upgrade":      "do not ask for h2c or CONNECT; HTTP/2 is agreed in the handshake",
		"path_too_long":        "shorten the path; send long values in the body",
		"headers_too_large":    "send fewer or shorter headers, or raise limits.header_bytes",
		"incomplete_request":   "the connection ended inside a request: look at timeouts of the caller and of what stands between",
		"tls_required":         "use https://; a credential that was sent in the clear has to be replaced",
		"blocked_network":      "`pavise block list` shows until when and why; `pavise unblock NETWORK` lets it in again",
		"h2_stream":            "the caller breaks RFC 9113 in one stream: update its HTTP/2 library, or have it speak HTTP/1.1",
		"h2_connection":        "the caller breaks RFC 9113: update its HTTP/2 library, or have it speak HTTP/1.1",
		"h2_flood":             "somebody sends frames that cost much and ask for nothing: look who it is, `pavise block NETWORK` keeps him out",
		"timeout":              "the caller was too slow: look at its network, or raise the timeout that the detail names",
		"too_many_connections": "keep connections open and use them again, or raise limits.connections",
		"too_many_handshakes":  "keep connections open and use them again, or raise limits.handshakes",
	}[code]
}

// maxChanges bounds how many changes of the configuration are told.
const maxChanges = 20

// Changes picks, out of what happened since, what may have changed how the request would be judged.
func Changes(since []audit.Event, written time.Time, event time.Time) []Change {
	var all []Change
	for _, e := range since {
		if len(all) == maxChanges {
			all = append(all, Change{e.Time, "and more"})
			break
		}
		switch {
		case e.Class == audit.Admin && e.Action == "reload":
			all = append(all, Change{e.Time, "the configuration was read again: " + orNothing(e.Change)})
		case e.Class == audit.System && e.Code == "started":
			all = append(all, Change{e.Time, "the gateway was started, with the configuration of that time"})
		}
	}
	if len(all) == 0 && written.After(event) {
		all = append(all, Change{written, "the configuration was written; no gateway has told that it reads it"})
	}
	return all
}

func orNothing(change string) string {
	if change == "" {
		return "nothing that it says has changed"
	}
	return change
}
