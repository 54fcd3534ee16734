package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Bounds of introspection.
const (
	MaxAnswer = 64 << 10 // bytes of an answer

	maxSecret = 1024        // bytes of the client's secret
	patience  = 3           // times in a row without an answer, after which an issuer is left alone
	respite   = time.Second // for so long
)

// asker asks one issuer about tokens (RFC 7662). It is safe for concurrent use.
//
// An issuer that gave no answer three times in a row is left alone for a second: what is
// asked meanwhile fails at once, so that requests do not pile up behind it. An answer that
// can be of no use for one token (it is too long, or the issuer will not read the token) is
// one all the same: otherwise whoever sends three such tokens keeps everybody out.
type asker struct {
	settings Settings
	fetch    shield.Fetcher // for its metadata
	now      func() time.Time
	secret   atomic.Pointer[secret.Value]

	mu      sync.Mutex
	address string // as discovered
	failed  int    // times in a row
	until   time.Time
}

func newAsker(env Env, s Settings) (*asker, error) {
	if env.Files == nil || s.Asked.HTTP == nil {
		return nil, errors.New("nothing was given to read its secret with, or to ask with")
	}
	a := &asker{settings: s, fetch: s.Fetch, now: env.Now, address: s.Asked.Address}
	if a.fetch == nil {
		a.fetch = env.Fetch
	}
	if a.address == "" && a.fetch == nil {
		return nil, errors.New("its address is to be discovered, but nothing was given to fetch with")
	}
	load := func() error { return a.load(env.Files) }
	if err := load(); err != nil {
		return nil, err
	}
	env.Files.Watch(s.Asked.SecretFile, func() {
		if err := load(); err != nil {
			env.Warn(s.Name, err.Error()+"; the old secret stays in force")
		}
	})
	return a, nil
}

// load reads the secret. Its errors quote nothing of it.
func (a *asker) load(files shield.Files) error {
	text, err := files.Read(a.settings.Asked.SecretFile)
	if err != nil {
		return fmt.Errorf("read the client's secret: %w", err)
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 || len(text) > maxSecret || bytes.ContainsAny(text, "\r\n\x00") {
		return fmt.Errorf("%s does not hold a secret of 1 to %d bytes in one line", a.settings.Asked.SecretFile, maxSecret)
	}
	value := secret.New(text)
	a.secret.Store(&value)
	return nil
}

// Introspect implements [shield.Introspector].
func (a *asker) Introspect(ctx context.Context, token string) (map[string]any, error) {
	members, err := a.ask(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("ask issuer %s about a token: %w", a.settings.Name, err)
	}
	switch active, ok := members["active"].(bool); {
	case !ok:
		return nil, fmt.Errorf("ask issuer %s about a token: its answer does not say whether the token is active", a.settings.Name)
	case !active:
		return nil, shield.ErrInactive
	}
	return members, nil
}

func (a *asker) ask(ctx context.Context, token string) (map[string]any, error) {
	if err := a.rested(); err != nil {
		return nil, err
	}
	members, err := a.answer(ctx, token)
	if ctx.Err() == nil { // a caller who left says nothing about the issuer
		a.note(err == nil || isOfToken(err))
	}
	return members, err
}

func (a *asker) rested() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now().Before(a.until) {
		return fmt.Errorf("it gave no answer %d times in a row and is left alone until %s", a.failed, a.until.UTC().Format(time.RFC3339))
	}
	return nil
}

// isOfToken reports whether an issuer that is well gave an answer that is of no use for this
// token: of others it may say more.
func isOfToken(err error) bool {
	if errors.Is(err, errUnreadable) || errors.Is(err, fetch.ErrTooLong) {
		return true
	}
	refused, ok := errors.AsType[*fetch.StatusError](err)
	if !ok {
		return false
	}
	switch refused.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// errUnreadable says that an answer is there, and cannot be read.
var errUnreadable = errors.New("read the answer")

func (a *asker) note(answered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answered {
		a.failed = 0
		return
	}
	if a.failed++; a.failed >= patience {
		a.until = a.now().Add(respite)
	}
	a.address = a.settings.Asked.Address // it may have moved
}

func (a *asker) answer(ctx context.Context, token string) (map[string]any, error) {
	address, err := a.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	r, err := a.request(ctx, address, token)
	if err != nil {
		return nil, err
	}
	answer, err := a.settings.Asked.HTTP.Do(r)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to the end or given up; nothing is left to learn
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("it does not let client %s ask (status %d); are client_id, client_secret_file and auth as they are registered there?", a.settings.Asked.ClientID, answer.StatusCode)
	default:
		return nil, &fetch.StatusError{Status: answer.StatusCode}
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return members, nil
}

// bare is an error of an http.Client without the address, whose query could hold secrets.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// request is that of RFC 7662 §2.1, from a client that proves itself by RFC 6749 §2.3.1.
func (a *asker) request(ctx context.Context, address, token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	known, text := a.settings.Asked, string(a.secret.Load().Reveal())
	if known.Form {
		form.Set("client_id", known.ClientID)
		form.Set("client_secret", text)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("its introspection endpoint is no address")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if !known.Form {
		r.SetBasicAuth(url.QueryEscape(known.ClientID), url.QueryEscape(text))
	}
	return r, nil
}

// endpoint is where the issuer is asked.
func (a *asker) endpoint(ctx context.Context) (string, error) {
	a.mu.Lock()
	address := a.address
	a.mu.Unlock()
	if address != "" {
		return address, nil
	}
	address, err := discover(ctx, a.fetch, a.settings.URL, introspectMember)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.address = address
	return address, nil
}
