package form

import (
	"strings"

	"pavise.dev/pavise/audit"
)

const ocsfVersion = "1.2.0"

// Classes of OCSF that events become. The hundreds are the category.
const (
	classBase           = 0
	classAccount        = 3001 // Account Change
	classAuthentication = 3002
	classSession        = 3003 // Authorize Session
	classEntity         = 3004 // Entity Management
	classAccess         = 3005 // User Access Management
	classNetwork        = 4001 // Network Activity
	classHTTP           = 4002 // HTTP Activity
	classFinding        = 2004 // Detection Finding
	classLifecycle      = 6002 // Application Lifecycle
	classAPI            = 6003 // API Activity
)

const otherActivity = 99

// ocsf writes an event as the class of OCSF that tells most of it:
//
//	request      API Activity; HTTP Activity where no endpoint was found; Authentication where
//	             the shield refused; Detection Finding where rules against injection did
//	connection   Network Activity
//	admin        Account Change of clients and people, Entity Management of all else
//	grant        Authentication, Authorize Session, User Access Management, Account Change
//	system       Application Lifecycle, else the Base Event
//	detection    Detection Finding
func (s Source) ocsf(dst []byte, f audit.Found) []byte {
	e := &f.Event
	class, activity := ocsfClass(e)
	w := writer{dst}
	w.begin()
	w.whole("class_uid", class)
	w.whole("category_uid", class/1000)
	w.whole("activity_id", activity)
	if activity == otherActivity {
		w.text("activity_name", actionOf(e))
	}
	w.whole("type_uid", class*100+activity)
	w.whole("time", e.Time.UnixMilli())
	severity := SeverityOf(e)
	w.whole("severity_id", int64(severity))
	w.text("severity", severity.String())
	w.ocsfStatus(e, class)
	w.text("message", messageOf(e))
	w.ocsfMetadata(s, e, f.Seq)
	w.small("duration", e.Duration.Milliseconds())
	if e.Count > 1 {
		w.small("count", int64(e.Count))
	}
	w.ocsfBody(s, e, class)
	at := w.open("unmapped")
	w.own(e)
	asked := class == classAPI || class == classHTTP || class == classAuthentication && e.Class == audit.Request
	if !asked || !isMethod(e.Method) {
		w.text("method", e.Method)
	}
	if !asked {
		w.text("host", e.Host)
		w.text("path", e.Path)
		w.text("query", e.Query)
		w.number("status", int64(e.Status))
	}
	if f.Seq > 1<<31-1 {
		w.number("seq", int64(f.Seq))
	}
	w.end(at)
	return w.finish()
}

// ocsfStatus says how it ended. A finding has a status of another kind.
func (w *writer) ocsfStatus(e *audit.Event, class int64) {
	id, name := int64(0), "Unknown"
	switch {
	case class == classFinding:
		id, name = 1, "New"
	case ecsOutcome(e) == "success":
		id, name = 1, "Success"
	case ecsOutcome(e) == "failure":
		id, name = 2, "Failure"
	}
	w.whole("status_id", id)
	w.text("status", name)
	w.text("status_code", e.Code)
	w.text("status_detail", e.Detail)
}

func (w *writer) ocsfMetadata(s Source, e *audit.Event, seq uint64) {
	at := w.open("metadata")
	w.text("version", ocsfVersion)
	within := w.open("product")
	w.text("name", "Pavise")
	w.text("vendor_name", "Pavise")
	w.text("version", s.Version)
	w.end(within)
	w.text("uid", e.ID)
	w.text("correlation_uid", e.Trace)
	if seq <= 1<<31-1 {
		w.number("sequence", int64(seq))
	}
	w.text("event_code", e.Code)
	w.text("log_name", string(e.Class))
	w.text("log_provider", s.Node)
	w.text("tenant_uid", e.Tenant)
	w.end(at)
}

// ocsfBody writes what the class demands, and what it has room for.
func (w *writer) ocsfBody(s Source, e *audit.Event, class int64) {
	switch class {
	case classAPI:
		w.ocsfSource("src_endpoint", e)
		w.ocsfTarget(s, e)
		w.ocsfActor(e)
		w.ocsfAPI(e)
		w.ocsfRequest(e)
	case classHTTP:
		w.ocsfSource("src_endpoint", e)
		w.ocsfTarget(s, e)
		w.ocsfRequest(e)
		w.ocsfAnswer(e)
		w.ocsfTLS(e)
	case classNetwork:
		w.ocsfSource("src_endpoint", e)
		w.ocsfTarget(s, e)
		w.ocsfTLS(e)
		at := w.open("connection_info")
		w.whole("direction_id", 1)
		w.text("direction", "Inbound")
		w.text("protocol_name", "tcp")
		w.end(at)
	case classAuthentication:
		w.ocsfSource("src_endpoint", e)
		w.ocsfUser(e)
		w.text("auth_protocol", e.Shield)
		at := w.open("service")
		w.text("name", e.API)
		w.end(at)
		if e.Class == audit.Request {
			w.ocsfTarget(s, e)
			w.ocsfRequest(e)
		}
	case classFinding:
		w.ocsfFinding(e)
	case classLifecycle:
		at := w.open("app")
		w.text("name", "Pavise")
		w.text("vendor_name", "Pavise")
		w.text("version", s.Version)
		w.end(at)
	default:
		w.ocsfChange(e, class)
	}
}

// ocsfChange are acts of administration and of the authorization server.
func (w *writer) ocsfChange(e *audit.Event, class int64) {
	switch class {
	case classAccount:
		w.ocsfSourceIfKnown(e)
		w.ocsfDoer(e)
		w.ocsfUser(e)
	case classEntity:
		w.ocsfSourceIfKnown(e)
		w.ocsfDoer(e)
		at := w.open("entity")
		kind, _, _ := strings.Cut(e.Action, ".")
		w.text("type", kind)
		w.text("name", orUnknown(e.Target))
		w.end(at)
		w.text("comment", e.Change)
	case classSession, classAccess:
		w.ocsfSourceIfKnown(e)
		w.ocsfUser(e)
		w.list("privileges", orUnknown(e.Detail))
		at := w.open("resource")
		if class == classAccess {
			w.text("name", e.Client)
			w.text("type", "client")
		}
		w.end(at)
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// ocsfSource is who has sent it; OCSF wants one even if the address is not known.
func (w *writer) ocsfSource(name string, e *audit.Event) {
	at := w.open(name)
	if !e.Remote.Addr().IsValid() {
		w.text("name", "unknown")
	}
	w.address("ip", e.Remote.Addr())
	w.small("port", int64(e.Remote.Port()))
	if e.Peer != e.Remote && e.Peer.Addr().IsValid() {
		w.key("intermediate_ips")
		w.b = append(w.b, '[', '"')
		w.b = e.Peer.Addr().WithZone("").AppendTo(w.b)
		w.b = append(w.b, '"', ']')
	}
	w.end(at)
}

func (w *writer) ocsfSourceIfKnown(e *audit.Event) {
	if e.Remote.Addr().IsValid() {
		w.ocsfSource("src_endpoint", e)
	}
}

// ocsfTarget is where it was sent: the name that was asked for, if it can be one.
func (w *writer) ocsfTarget(s Source, e *audit.Event) {
	at := w.open("dst_endpoint")
	name := e.Host
	if name == "" {
		name = e.SNI
	}
	if bare := hostOf(name); isHostname(bare) {
		w.text("hostname", bare)
	}
	w.text("svc_name", "pavise")
	w.text("instance_uid", s.Node)
	w.end(at)
}

// hostOf is a host without its port.
func hostOf(host string) string {
	if end := strings.LastIndexByte(host, ':'); end > 0 && !strings.Contains(host[end:], "]") {
		return host[:end]
	}
	return host
}

// isHostname reports whether OCSF takes a text for the name of a host.
func isHostname(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		edge := i == 0 || i == len(name)-1 || name[i-1] == '.' || name[i+1] == '.'
		if !letter && (edge || c != '-' && c != '.') {
			return false
		}
	}
	return true
}

// ocsfActor is who has called.
func (w *writer) ocsfActor(e *audit.Event) {
	at := w.open("actor")
	w.text("app_name", e.Client)
	if e.User != "" || e.Subject != "" {
		within := w.open("user")
		w.text("name", e.User)
		w.text("uid", e.Subject)
		w.text("credential_uid", e.CredentialID)
		w.text("domain", e.Issuer)
		w.end(within)
	}
	if e.Client == "" && e.User == "" && e.Subject == "" {
		w.text("app_name", "unknown")
	}
	within := w.open("session")
	w.text("credential_uid", e.CredentialID)
	w.text("issuer", e.Issuer)
	w.end(within)
	w.end(at)
}

// ocsfDoer is who has done an act.
func (w *writer) ocsfDoer(e *audit.Event) {
	if e.Actor == "" {
		return
	}
	at := w.open("actor")
	within := w.open("user")
	w.text("name", e.Actor)
	w.end(within)
	w.end(at)
}

// ocsfUser is whom it is about: OCSF calls clients users, too.
func (w *writer) ocsfUser(e *audit.Event) {
	at := w.open("user")
	name := e.User
	switch {
	case e.Class == audit.Admin:
		name = e.Target
	case name == "":
		name = e.Client
	}
	if name == "" && e.Subject == "" {
		name = "unknown"
	}
	w.text("name", name)
	w.text("uid", e.Subject)
	w.text("credential_uid", e.CredentialID)
	w.text("domain", e.Issuer)
	w.end(at)
}

func (w *writer) ocsfAPI(e *audit.Event) {
	at := w.open("api")
	w.text("operation", orUnknown(e.Endpoint))
	within := w.open("service")
	w.text("name", e.API)
	w.end(within)
	within = w.open("request")
	w.text("uid", orUnknown(e.ID))
	w.end(within)
	within = w.open("response")
	w.small("code", int64(e.Status))
	w.text("error", e.Code)
	w.end(within)
	w.end(at)
}

func (w *writer) ocsfRequest(e *audit.Event) {
	at := w.open("http_request")
	w.text("uid", e.ID)
	if isMethod(e.Method) {
		w.text("http_method", e.Method)
	}
	w.text("version", httpVersion(e.Proto))
	w.text("user_agent", e.UserAgent)
	w.small("length", e.BytesIn)
	within := w.open("url")
	if bare := hostOf(e.Host); isHostname(bare) && e.Path != "" {
		w.text("hostname", bare)
	}
	w.text("path", e.Path)
	if e.Path != "" {
		w.text("query_string", e.Query)
	}
	w.end(within)
	w.end(at)
}

// isMethod reports whether OCSF 1.2 knows a method: it does not know PATCH.
func isMethod(method string) bool {
	switch method {
	case "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT":
		return true
	}
	return false
}

func (w *writer) ocsfAnswer(e *audit.Event) {
	at := w.open("http_response")
	w.whole("code", min(int64(max(e.Status, 0)), 1<<31-1))
	w.small("length", e.BytesOut)
	w.small("latency", e.UpstreamDuration.Milliseconds())
	w.end(at)
}

func (w *writer) ocsfTLS(e *audit.Event) {
	if e.TLS == "" {
		return
	}
	at := w.open("tls")
	w.text("version", e.TLS)
	w.text("sni", e.SNI)
	w.end(at)
}

func (w *writer) ocsfFinding(e *audit.Event) {
	at := w.open("finding_info")
	w.text("uid", orUnknown(e.ID))
	w.text("title", messageOf(e))
	w.whole("created_time", e.Time.UnixMilli())
	w.list("types", e.Code)
	w.end(at)
	if e.Class != audit.Request {
		return
	}
	w.key("evidences")
	w.b = append(w.b, '[', '{')
	w.ocsfSource("src_endpoint", e)
	w.ocsfActor(e)
	w.ocsfAPI(e)
	w.b = append(w.b, '}', ']')
}

// ocsfClass chooses the class and the activity within it.
func ocsfClass(e *audit.Event) (class, activity int64) {
	switch e.Class {
	case audit.Request:
		return ocsfOfRequest(e)
	case audit.Connection:
		if e.Step == "tls" {
			return classNetwork, 4 // Fail
		}
		return classNetwork, 5 // Refuse
	case audit.Admin:
		kind, activity := adminKind(e.Action)
		if kind == "account" {
			return classAccount, activity
		}
		return classEntity, activity
	case audit.Grant:
		return ocsfOfGrant(e.Action)
	case audit.System:
		switch e.Code {
		case "started":
			return classLifecycle, 3
		case "stopped":
			return classLifecycle, 4
		}
	case Detection:
		return classFinding, 1
	}
	return classBase, otherActivity
}

func ocsfOfRequest(e *audit.Event) (class, activity int64) {
	refused := e.Decision == audit.Refused || e.Decision == audit.Failed
	switch {
	case refused && e.Step == "harm" && e.Decision == audit.Refused:
		return classFinding, 1
	case refused && e.Step == "shield":
		return classAuthentication, 1
	case e.Endpoint == "":
		return classHTTP, httpActivity(e.Method)
	}
	return classAPI, apiActivity(e.Method)
}

func apiActivity(method string) int64 {
	switch method {
	case "POST":
		return 1
	case "GET", "HEAD", "OPTIONS":
		return 2
	case "PUT", "PATCH":
		return 3
	case "DELETE":
		return 4
	}
	return otherActivity
}

func httpActivity(method string) int64 {
	switch method {
	case "CONNECT":
		return 1
	case "DELETE":
		return 2
	case "GET":
		return 3
	case "HEAD":
		return 4
	case "OPTIONS":
		return 5
	case "POST":
		return 6
	case "PUT":
		return 7
	case "TRACE":
		return 8
	}
	return otherActivity
}

// adminKind says whether an act is about an account, of a client or a person, and which
// activity it is of its class.
func adminKind(action string) (kind string, activity int64) {
	of, act, _ := strings.Cut(action, ".")
	if of == "client" || of == "user" {
		switch act {
		case "create", "register":
			return "account", 1
		case "enable":
			return "account", 2
		case "password":
			return "account", 4
		case "disable":
			return "account", 5
		case "delete", "remove":
			return "account", 6
		}
		return "account", otherActivity
	}
	switch act {
	case "create", "init", "issue", "enrolment", "import", "block", "invite":
		return "entity", 1
	case "revoke", "unblock", "enrolment_withdraw", "invite_withdraw":
		return "entity", 4
	case "export_chain_key", "inspect":
		return "entity", 2
	case "rotate", "renew", "reload", "rewrap", "":
		return "entity", 3
	}
	return "entity", otherActivity
}

func ocsfOfGrant(action string) (class, activity int64) {
	switch action {
	case "person.sign_in", "person.sign_in_failed", "person.held":
		return classAuthentication, 1
	case "person.sign_out", "person.sign_out_everywhere":
		return classAuthentication, 2
	case "token.issue", "token.refresh":
		return classSession, 1
	case "grant.create", "person.consent":
		return classAccess, 1
	case "grant.revoke", "grant.reuse", "token.revoke", "person.consent_withdrawn", "person.consent_refused":
		return classAccess, 2
	case "person.password_changed":
		return classAccount, 3
	case "person.totp_set":
		return classAccount, 10
	case "person.account_created", "client.self_register":
		return classAccount, 1
	case "client.self_delete":
		return classAccount, 6
	}
	return classAccount, otherActivity
}
