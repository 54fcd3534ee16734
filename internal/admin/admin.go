// Package admin is the one way to change an installation: clients, credentials,
// revocations, the configuration in force; and to ask it what happened.
//
// A [Service] is an http.Handler with a small JSON API. A gateway that runs
// serves it on a Unix socket ([Listen], [Server]): the kernel says who the peer
// is, and that user is the actor of the event which every act leaves, refused
// ones too. When no gateway runs, whoever holds the lock of the data folder calls
// the same handler in its own process ([InProcess]). [Client] is the caller's
// half for both, so that there is one path and one set of tests.
//
// The API is for this machine's own programs. A request that a browser could have
// sent (another Host than [Host], an Origin, a Sec-Fetch header), one whose body
// is not declared as JSON, and one from another user are refused before anything
// is read.
package admin

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/shield"
)

// Host is the only name under which the API answers. It cannot be resolved.
const Host = "admin.pavise.invalid"

// maxBody is the longest body of a request, in bytes.
const maxBody = 64 << 10

// Service is the administrative API. Its fields are set before the first request
// and not changed after; it is safe for concurrent use.
type Service struct {
	Registry     *client.Registry
	Refresh      func(context.Context) error // after every change, so that it bites at once; nil: nobody reads yet
	Kinds        []shield.Kind
	Env          shield.Env // Now, Rand, Credentials, Issuers
	Record       func(audit.Event) error
	Ready        func() error // whether an event can be recorded now; nil: always
	LogDir       string
	KeptDir      string // where checkpoints are kept beside the log's own; empty: nowhere
	ChainKey     []byte
	Public       ed25519.PublicKey
	Trail        Trail                                          // what proves and erases what was recorded
	Forget       func(*audit.Erasure) (int, error)              // takes a person out of what is kept beside the log, and counts; nil: nothing is
	Retention    Retention                                      // what removes what is old; nil: nothing here does
	Sinks        func() ([]sink.Status, error)                  // other places to which events go
	Flush        func() error                                   // before the log is read; nil: nothing is under way
	Reload       func(context.Context) ([]config.Change, error) // what waits for the next start; nil: nothing runs that could
	Explain      func(WhatIf) (Answer, error)                   // nil: nothing runs that could
	File         func() *config.File                            // the configuration in force; nil: it is not known
	Running      bool                                           // a gateway serves, not just this call
	Healthy      func() map[string]error                        // parts by name, nil when well; may be nil
	Certificates func() []CertificateEnd                        // those that may end; nil: nothing runs that has any
	Installed    string                                         // path of the configuration, for status
	Users        func(context.Context) (Users, error)           // accounts of people; nil, or nothing returned: there is no authorization server
	Quotas       Quotas                                         // what is used of quotas
	QuotaOf      func(name string) int                          // how much a quota allows; 0: there is none of that name
	Load         func() Load                                    // nil: nothing runs
	Schedule     func(context.Context) (*Schedule, error)       // what runs again and again; nil: nothing is known of it
	Alerts       func() (*Alerts, error)                        // who is told of what detections find, and of what nobody is; nil: nothing is known of them
	Metrics      func(io.Writer) error                          // what a gateway counts; nil: none runs
	Identity     []byte                                         // JWK Set of the keys that sign Pavise-Identity

	Authority *pki.Authority                                       // of certificates; it may not have been made yet
	Enrolment *est.Tokens                                          // by which programs elsewhere get certificates
	EnrolAt   string                                               // where they do: https://host; empty: nowhere
	CRL       func(ctx context.Context, id string) ([]byte, error) // DER, of one of the authority's own certificates

	OAuth   func(context.Context) (*OAuth, error)                // the authorization server; nil, or nothing returned: there is none
	Inspect func(context.Context, Inspection) (Inspected, error) // nil: nothing here can judge a token
}

// Actor is who is at the other end.
type Actor struct {
	Name string // user name, or "uid 1000"
	UID  int
	// Allowed: the same user as the gateway's, or root.
	Allowed bool
}

type actorKey struct{}

// WithActor returns a context whose requests are those of actor.
func WithActor(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) Actor {
	actor, _ := ctx.Value(actorKey{}).(Actor) // the zero Actor may do nothing
	return actor
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	most := int64(maxBody)
	if r.Method == http.MethodPost && r.URL.Path == explainPath {
		most = maxImagined
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	err := s.admit(r)
	if err == nil {
		err = s.inTurn(r)
	}
	if err != nil {
		s.note(r, "request", r.Method+" "+r.URL.Path, "", err)
		reply(w, nil, err)
		return
	}
	s.routes().ServeHTTP(w, r)
}

// admit refuses strangers, and whatever a browser could have sent.
func (s *Service) admit(r *http.Request) error {
	actor := actorOf(r.Context())
	switch {
	case !actor.Allowed:
		return problem(http.StatusForbidden, "forbidden_peer", "user %s may not administer this installation", named(actor))
	case r.Host != Host:
		return problem(http.StatusMisdirectedRequest, "foreign_host", "this API does not answer as %.80q", r.Host)
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Referer") != "":
		return problem(http.StatusForbidden, "foreign_origin", "this API does not answer to browsers")
	case r.Method != http.MethodGet && r.Header.Get("Content-Type") != "application/json":
		return problem(http.StatusUnsupportedMediaType, "unsupported_media", "the body must be declared as application/json")
	}
	return nil
}

func named(a Actor) string {
	if a.Name == "" {
		return "unknown"
	}
	return a.Name
}

func (s *Service) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", serve(s.status))
	mux.HandleFunc("POST /v1/reload", act(s, "configuration.reload", s.reload))
	mux.HandleFunc("GET /v1/clients", serve(s.clients))
	mux.HandleFunc("POST /v1/clients", act(s, "client.create", s.createClient))
	mux.HandleFunc("GET /v1/clients/{id}", serve(s.client))
	mux.HandleFunc("POST /v1/clients/{id}/update", act(s, "client.update", s.updateClient))
	mux.HandleFunc("POST /v1/clients/{id}/disable", act(s, "client.disable", s.disableClient))
	mux.HandleFunc("POST /v1/clients/{id}/enable", act(s, "client.enable", s.enableClient))
	mux.HandleFunc("POST /v1/testers", act(s, "client.test", s.openTester))
	mux.HandleFunc("POST /v1/testers/keep", serve(s.keepTurn))
	mux.HandleFunc("POST /v1/testers/{id}/close", act(s, "client.test_end", s.closeTester))
	mux.HandleFunc("GET /v1/users", serve(s.users))
	mux.HandleFunc("POST /v1/users", act(s, "user.create", s.createUser))
	mux.HandleFunc("GET /v1/users/{id}", serve(s.user))
	mux.HandleFunc("GET /v1/users/{id}/sessions", serve(s.userSessions))
	mux.HandleFunc("POST /v1/users/{id}/{act}", act(s, "user.change", s.changeUser))
	mux.HandleFunc("POST /v1/registrations", act(s, "client.register", s.register))
	mux.HandleFunc("GET /v1/invitations", serve(s.invitations))
	mux.HandleFunc("POST /v1/invitations", act(s, "client.invite", s.invite))
	mux.HandleFunc("POST /v1/invitations/{id}/withdraw", act(s, "client.invite_withdraw", s.withdrawInvitation))
	mux.HandleFunc("GET /v1/grants", serve(s.grants))
	mux.HandleFunc("POST /v1/grants/revoke", s.revokeGrants)
	mux.HandleFunc("GET /v1/signing-keys", serve(s.signingKeys))
	mux.HandleFunc("POST /v1/signing-keys/rotate", act(s, "signing_key.rotate", s.rotateSigning))
	mux.HandleFunc("POST /v1/tokens/inspect", act(s, "token.inspect", s.inspect))
	mux.HandleFunc("GET /v1/authority", serve(s.authority))
	mux.HandleFunc("POST /v1/authority", act(s, "authority.init", s.initAuthority))
	mux.HandleFunc("GET /v1/authority/{id}/crl", serve(s.crl))
	mux.HandleFunc("POST /v1/authority/rotate", act(s, "authority.rotate", s.rotateAuthority))
	mux.HandleFunc("POST /v1/certificates", act(s, "certificate.issue", s.issueCertificate))
	mux.HandleFunc("POST /v1/certificates/renew", act(s, "certificate.renew", s.renewCertificate))
	mux.HandleFunc("GET /v1/enrolments", serve(s.enrolments))
	mux.HandleFunc("POST /v1/enrolments", act(s, "certificate.enrolment", s.makeEnrolment))
	mux.HandleFunc("POST /v1/enrolments/{id}/withdraw", act(s, "certificate.enrolment_withdraw", s.withdrawEnrolment))
	mux.HandleFunc("GET /v1/blocks", serve(s.blocks))
	mux.HandleFunc("POST /v1/blocks", act(s, "network.block", s.block))
	mux.HandleFunc("POST /v1/blocks/{network}/lift", act(s, "network.unblock", s.unblock))
	mux.HandleFunc("GET /v1/holds", serve(s.holds))
	mux.HandleFunc("POST /v1/holds", act(s, "credential.suspend", s.hold))
	mux.HandleFunc("POST /v1/holds/release", act(s, "credential.unsuspend", s.release))
	mux.HandleFunc("GET /v1/quotas", serve(s.quotas))
	mux.HandleFunc("POST /v1/quotas/reset", act(s, "quota.reset", s.resetQuotas))
	mux.HandleFunc("GET /v1/credentials", serve(s.credentials))
	mux.HandleFunc("POST /v1/credentials", act(s, "credential.create", s.createCredential))
	mux.HandleFunc("POST /v1/credentials/narrow", act(s, "credential.narrow", s.narrow))
	mux.HandleFunc("POST /v1/credentials/end", s.end)
	mux.HandleFunc("POST /v1/reports", serve(s.sealReport))
	mux.HandleFunc("POST /v1/rotate", act(s, "credential.rotate", s.rotate))
	mux.HandleFunc("POST /v1/revoke", act(s, "revoke", s.revoke))
	mux.HandleFunc("GET /v1/events", serve(s.events))
	mux.HandleFunc("GET /v1/events/verify", patient(serve(s.verify)))
	mux.HandleFunc("POST /v1/events/checkpoint", serve(s.checkpoint))
	mux.HandleFunc("POST /v1/events/prove", patient(serve(s.prove)))
	mux.HandleFunc("POST /v1/events/consistency", serve(s.consistency))
	mux.HandleFunc("POST /v1/events/count", patient(serve(s.countErasure)))
	mux.HandleFunc("GET /v1/events/retention", serve(s.kept))
	mux.HandleFunc("POST /v1/events/retention", act(s, "log.retention", s.goOn))
	mux.HandleFunc("POST /v1/events/erase", patient(act(s, "log.erasure", s.erase)))
	mux.HandleFunc("GET /v1/sinks", serve(s.sinks))
	mux.HandleFunc("GET /v1/alerts", serve(s.alerts))
	mux.HandleFunc("POST /v1/alerts/test", act(s, "alert.test", s.testAlerts))
	mux.HandleFunc("GET /v1/silences", serve(s.silences))
	mux.HandleFunc("POST /v1/silences", act(s, "alert.silence", s.silence))
	mux.HandleFunc("POST /v1/silences/end", act(s, "alert.unsilence", s.unsilence))
	mux.HandleFunc("GET /v1/schedule", serve(s.schedule))
	mux.HandleFunc("POST /v1/schedule/{id}/run", act(s, "schedule.run", s.runScheduled))
	mux.HandleFunc("GET /v1/findings", serve(s.findings))
	mux.HandleFunc("GET /v1/reports/{id}", serve(s.report))
	mux.HandleFunc("GET /v1/metrics", serve(s.metrics))
	mux.HandleFunc("GET /v1/explain/{id}", serve(s.explainRequest))
	mux.HandleFunc("POST "+explainPath, serve(s.whatIf))
	mux.HandleFunc("POST /v1/store/rotate", act(s, "keys.rotate", s.rotateStore))
	mux.HandleFunc("GET /v1/keys", serve(s.publicKeys))
	mux.HandleFunc("POST /v1/keys/chain", act(s, "log.export_chain_key", s.chainKey))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, problem(http.StatusNotFound, "unknown_call", "there is no %s %.80q", r.Method, r.URL.Path))
	})
	return mux
}

// serve answers a question.
func serve(answer func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := answer(r)
		reply(w, value, err)
	}
}

// act answers a change: afterwards it bites at once, and there is an event of it,
// whether it was done or refused.
func act(s *Service, action string, do func(*http.Request) (any, client.Change, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if fault := s.ready(); fault != nil {
			reply(w, nil, fault)
			return
		}
		value, change, err := do(r)
		if err == nil && s.Refresh != nil {
			if fault := s.Refresh(r.Context()); fault != nil {
				err = wrapped("not_in_force", fault, "the change is kept, but not yet in force")
			}
		}
		name, target := action, r.PathValue("id")
		if change.Action != "" {
			name, target = change.Action, change.Target
		}
		if fault := s.note(r, name, target, change.Text, err); fault != nil && err == nil {
			err = wrapped("unrecorded", fault, "the change is made, but its event could not be written")
		}
		reply(w, value, err)
	}
}

// ready refuses an act of which there could be no event: nothing is changed then. What
// fails between this and the event is answered as "unrecorded".
func (s *Service) ready() error {
	if s.Ready == nil {
		return nil
	}
	if fault := s.Ready(); fault != nil {
		return problem(http.StatusServiceUnavailable, "log_unavailable", "the event log can keep no event, so that nothing was changed: %v", fault)
	}
	return nil
}

// note records an act.
func (s *Service) note(r *http.Request, action, target, change string, err error) error {
	return s.Record(s.event(r, action, target, change, err))
}

// noteAs records an act that was done, and returns the id of its event.
func (s *Service) noteAs(r *http.Request, action, target, change string) (id string, err error) {
	e := s.event(r, action, target, change, nil)
	return e.ID, s.Record(e)
}

// event holds no secret, even if somebody gave one in the place of a name. Of an act that was
// done the names are of things that there are; of one that was refused they may be anything.
func (s *Service) event(r *http.Request, action, target, change string, err error) audit.Event {
	e := audit.Event{
		Class: audit.Admin, Decision: audit.Accepted, Time: s.Env.Now(), ID: s.newID(),
		Actor: named(actorOf(r.Context())), Action: action, Target: leaks.Mask(target), Change: leaks.Mask(change),
	}
	if err != nil {
		p := problemOf(err)
		e.Decision, e.Code, e.Detail, e.Status = audit.Refused, p.Code, leaks.MaskTyped(p.Detail), p.Status
		e.Target, e.Change = leaks.MaskTyped(target), leaks.MaskTyped(change)
	}
	return e
}

// newID names an event; without randomness it stays without a name.
func (s *Service) newID() string {
	b := make([]byte, 16)
	if _, err := io.ReadFull(s.Env.Rand, b); err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}

// Status is how the installation is.
type Status struct {
	Running       bool              `json:"running"`
	Configuration string            `json:"configuration"`
	Clients       int               `json:"clients"`
	Credentials   int               `json:"credentials"`
	Time          time.Time         `json:"time"`
	Faults        map[string]string `json:"faults,omitempty"`

	Certificates []CertificateEnd `json:"certificates,omitempty"` // the soonest to end first

	Load *Load `json:"load,omitempty"` // of a gateway that runs
}

// Load says how full a gateway is.
type Load struct {
	UnderWay int            `json:"requests_under_way"`
	Places   int            `json:"places"`
	Shed     map[string]int `json:"shed"` // requests since the start, by priority
}

// CertificateEnd says when a certificate ends.
type CertificateEnd struct {
	Name     string    `json:"name"`
	NotAfter time.Time `json:"not_after"`
	Left     int64     `json:"seconds_left"`
}

func (s *Service) status(r *http.Request) (any, error) {
	clients, err := s.Registry.Clients(r.Context())
	if err != nil {
		return nil, err
	}
	credentials, err := s.Registry.Credentials(r.Context(), "", "")
	if err != nil {
		return nil, err
	}
	status := Status{Running: s.Running, Configuration: s.Installed, Clients: len(clients), Credentials: len(credentials), Time: s.Env.Now().UTC()}
	if s.Certificates != nil {
		status.Certificates = s.Certificates()
	}
	if s.Load != nil {
		load := s.Load()
		status.Load = &load
	}
	if s.Healthy != nil {
		for part, fault := range s.Healthy() {
			if fault == nil {
				continue
			}
			if status.Faults == nil {
				status.Faults = map[string]string{}
			}
			status.Faults[part] = fault.Error()
		}
	}
	return status, nil
}

func (s *Service) reload(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "configuration.reload", Target: s.Installed}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	if s.Reload == nil {
		return nil, change, problem(http.StatusConflict, "not_running", "no gateway runs that could reload")
	}
	waiting, err := s.Reload(r.Context())
	if err != nil {
		return nil, change, wrapped("bad_configuration", err, "the configuration in force stays")
	}
	return Reloaded{waiting}, change, nil
}

// Reloaded says how a reload went that was not refused.
type Reloaded struct {
	Waiting []config.Change `json:"waiting,omitempty"` // for the next start
}

var errNoRecord = errors.New("there is no such event in the log")

// kind finds a kind of shield by its name.
func (s *Service) kind(name string) (shield.Kind, error) {
	var known []string
	for _, k := range s.Kinds {
		if k.Name == name {
			return k, nil
		}
		known = append(known, k.Name)
	}
	return shield.Kind{}, fmt.Errorf("unknown kind of credential %.40q: want one of %v", name, known)
}
