package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/strictjson"
)

// Problem is why a call was refused, as it travels (RFC 9457). It is an error.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"` // stable
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // the next thing to try

	Setting string `json:"setting,omitempty"` // of a registration: the one that is wrong
	Ended   *Ended `json:"ended,omitempty"`   // of a credential that was ended in part: what was, and what was not
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{
		Type: "https://pavise.dev/problems/" + code, Title: http.StatusText(status), Status: status,
		Code: code, Detail: fmt.Sprintf(format, args...), Hint: hintOf(code),
	}
}

// wrapped is a fault of ours behind a sentence that says what it means.
func wrapped(code string, err error, meaning string) *Problem {
	return problem(http.StatusInternalServerError, code, "%s: %v", meaning, err)
}

// problemOf finds the code of an error.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if f, ok := errors.AsType[*registration.Fault](err); ok {
		p := problem(http.StatusUnprocessableEntity, "bad_registration", "%v", err)
		p.Setting = f.Setting
		return p
	}
	if f, ok := errors.AsType[*pki.Fault](err); ok {
		p := problem(http.StatusUnprocessableEntity, "bad_certificate_request", "%s", f.Message)
		p.Hint = f.Hint
		return p
	}
	status, code := http.StatusUnprocessableEntity, "refused"
	switch {
	case errors.Is(err, pki.ErrNone):
		status, code = http.StatusConflict, "no_authority"
	case errors.Is(err, pki.ErrThere):
		status, code = http.StatusConflict, "authority_exists"
	case errors.Is(err, pki.ErrOffline):
		status, code = http.StatusConflict, "root_key_elsewhere"
	case errors.Is(err, client.ErrNotBlocked):
		status, code = http.StatusNotFound, "not_blocked"
	case errors.Is(err, client.ErrNotHeld):
		status, code = http.StatusNotFound, "not_held"
	case errors.Is(err, alert.ErrNotSilenced):
		status, code = http.StatusNotFound, "not_silenced"
	case errors.Is(err, client.ErrTurn):
		status, code = http.StatusConflict, attackUnderWay
	case errors.Is(err, client.ErrMissing):
		status, code = http.StatusNotFound, "missing"
	case errors.Is(err, errNoRecord):
		status, code = http.StatusNotFound, "unknown_request"
	case errors.Is(err, client.ErrExists):
		status, code = http.StatusConflict, "exists"
	case errors.Is(err, client.ErrConflict):
		status, code = http.StatusConflict, "conflict"
	case errors.Is(err, client.ErrCorrupt), errors.Is(err, client.ErrRolledBack), errors.Is(err, seal.ErrTampered):
		status, code = http.StatusInternalServerError, "store_damaged"
	case errors.Is(err, client.ErrUnavailable):
		status, code = http.StatusServiceUnavailable, "store_unavailable"
	}
	return problem(status, code, "%v", err)
}

// hintOf says what to try next.
func hintOf(code string) string {
	switch code {
	case "forbidden_peer":
		return "run it as the user that the gateway runs as"
	case "foreign_host", "foreign_origin":
		return "use the pavise command; nothing else is meant to call here"
	case "unknown_call":
		return "the command and the gateway may be of different versions: compare `pavise version`"
	case "unknown_request":
		return "compare the id with X-Request-Id of the answer. Of a flood of refusals of strangers most are only counted: `pavise log search --code CODE` shows how many; and old records end with log.keep"
	case "missing":
		return "`pavise client list` and `pavise key list` show what there is"
	case "not_blocked":
		return "`pavise block list` shows what is blocked"
	case "no_credential":
		return "`pavise client disable NAME` stops all that the client may do, until `pavise client enable NAME`"
	case "not_held":
		return "`pavise suspend list` shows what is suspended, and who has to sign in again"
	case "not_silenced":
		return "`pavise log silences` shows what is silenced"
	case "unknown_detection":
		return "`pavise log replay --list` tells of each detection, `pavise check --rules` of each rule"
	case "no_notifier":
		return "name one under alerts.notify, and start the gateway again; docs/guide/alerts.md shows how"
	case attackUnderWay:
		return "wait for its end, and run it again; `pavise log search --class admin` shows who began it"
	case "schedule_busy":
		return "wait for its end: `pavise schedule` shows it"
	case "unknown_task":
		return "`pavise schedule` lists the tasks"
	case "unknown_report":
		return "`pavise schedule --runs 20` shows the runs whose reports are kept"
	case "unknown_user":
		return "`pavise user list` shows them"
	case "no_authorization_server":
		return "switch it on: oauth: {issuer: https://…}"
	case "no_registration":
		return "switch it on: oauth: {registration: true}"
	case "unknown_invitation":
		return "`pavise client invite list` shows those that are good"
	case "unknown_enrolment":
		return "`pavise cert token list` shows those that are good"
	case "unknown_grant":
		return "`pavise token grants` shows those in force"
	case "bad_registration":
		return "nothing was made; docs/guide/oauth.md lists what a registration may say"
	case "no_password":
		return "`pavise user reset-password NAME` gives it one"
	case "exists":
		return "choose another name, or use the one that there is"
	case "no_authority":
		return "pavise ca init"
	case "authority_exists":
		return "`pavise ca show` describes it; `pavise ca rotate` makes the next one"
	case "root_key_elsewhere":
		return "bring the file that `pavise ca init --root-key FILE` wrote, and give it with --root-key FILE"
	case "conflict":
		return "somebody changed it in the meantime: look at it, and try again"
	case "store_unavailable":
		return "look at the free space, the permissions and the system's log; what was not answered as done may be tried again"
	case "store_damaged":
		return "stop the gateway and restore the data folder from a backup; nothing was written"
	case "not_running":
		return "start one with `pavise serve`"
	case "bad_configuration":
		return "`pavise check` shows every problem with its place"
	case "not_in_force":
		return "it takes effect when the store can be read again; look at `pavise log search --class system`"
	case "ended_in_part":
		return "ask again: what was ended stays so, and it goes on with the rest"
	case "unrecorded", "log_unavailable":
		return "look at the free space and the permissions of the log's folder"
	case "secret_given":
		return "give the id: `pavise key list` shows it. Of an API key it is the 12 characters after the environment"
	case "unknown_field":
		return "look at the spelling; nothing was changed"
	}
	return ""
}

// reply writes the answer, or why there is none.
func reply(w http.ResponseWriter, value any, err error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	status := http.StatusOK
	h.Set("Content-Type", "application/json")
	if err != nil {
		p := problemOf(err)
		value, status = p, p.Status
		h.Set("Content-Type", "application/problem+json")
	}
	body, fault := json.Marshal(value)
	if fault != nil {
		body, status = []byte(`{"status":500,"code":"internal_error","detail":"the answer cannot be written as JSON"}`), http.StatusInternalServerError
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller may be gone
}

// decode reads one JSON object strictly: unknown and repeated members and
// whatever comes after it are refused, and a secret of ours where only names belong: it would
// be kept, and shown. Errors quote no value.
func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return problem(http.StatusRequestEntityTooLarge, "too_large", "the body could not be read, or has more than %d bytes", maxBody)
	}
	if _, err := strictjson.Object(body); err != nil {
		return problem(http.StatusBadRequest, "malformed", "%v", err)
	}
	if !takesSecrets(into) {
		if l, found := leaks.First(string(body)); found && l.Kind != leaks.JWT {
			return problem(http.StatusBadRequest, "secret_given", "%s, was given where only names belong", l.What())
		}
		if err := keepable(body); err != nil {
			return err
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		if strings.HasPrefix(err.Error(), "json: unknown field") {
			return problem(http.StatusBadRequest, "unknown_field", "%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return problem(http.StatusBadRequest, "malformed", "member %s: want %s", wrong.Field, wrong.Type)
		}
		return problem(http.StatusBadRequest, "malformed", "the body is not the JSON object that this call takes")
	}
	return nil
}

// keepable refuses what has the form of a secret of signatures in texts that are kept as they were typed.
func keepable(body []byte) error {
	var kept struct{ Reason, Contact, Tenant any }
	if err := json.Unmarshal(body, &kept); err != nil {
		return nil //nolint:nilerr // it will be told by whoever reads it as what it is
	}
	for name, value := range map[string]any{"reason": kept.Reason, "contact": kept.Contact, "tenant": kept.Tenant} {
		text, _ := value.(string)
		if _, masked, found := leaks.Signing(text); found {
			return secretTyped("the "+name, masked)
		}
	}
	return nil
}

func secretTyped(what, masked string) *Problem {
	p := problem(http.StatusBadRequest, "secret_given", "%s has the form of a secret of signatures (HMAC), %s: nothing was done, and it is kept nowhere", what, masked)
	p.Hint = "name it by its id, which `pavise key list` shows; the shell's history keeps what is typed"
	return p
}

// takesSecrets reports whether a call is there to be given one, or a request as it would be sent.
func takesSecrets(into any) bool {
	switch into.(type) {
	case *NewCredential, *Inspection, *WhatIf:
		return true
	}
	return false
}
