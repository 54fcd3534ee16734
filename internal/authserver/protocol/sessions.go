package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/authserver/grants"
)

// requestKey is where a session carries what was read of it, as [loadedKey] for grants.
const requestKey = "pavise.request"

// authManager implements goidc.AuthManager and goidc.PARManager.
type authManager struct{ server *Server }

// SaveSession implements goidc.AuthManager.
func (m authManager) SaveSession(ctx context.Context, as *goidc.AuthnSession) error {
	return m.server.saveSession(ctx, as)
}

// Session implements goidc.AuthManager: a session that still waits for its person, and
// does not go on at a device.
func (m authManager) Session(ctx context.Context, id string) (*goidc.AuthnSession, error) {
	as, err := waiting(m.server.session(ctx)(m.server.options.Grants.Request(ctx, id)))
	if err == nil && as.DeviceCode != "" {
		return nil, goidc.ErrNotFound
	}
	return as, err
}

// SessionByPushedAuthReqID implements goidc.PARManager: once (RFC 9126 §4).
func (m authManager) SessionByPushedAuthReqID(ctx context.Context, id string) (*goidc.AuthnSession, error) {
	return waiting(m.server.session(ctx)(m.server.options.Grants.TakeRequest(ctx, grants.Key{Kind: grants.Pushed, Secret: id})))
}

// GrantByAuthCode implements goidc.AuthManager.
func (m authManager) GrantByAuthCode(ctx context.Context, code string) (*goidc.Grant, error) {
	return m.server.find(ctx, grants.Code, code)
}

// deviceManager implements goidc.DeviceAuthManager.
type deviceManager struct{ server *Server }

// SaveSession implements goidc.DeviceAuthManager.
func (m deviceManager) SaveSession(ctx context.Context, as *goidc.AuthnSession) error {
	return m.server.saveSession(ctx, as)
}

// Session implements goidc.DeviceAuthManager: one that still waits for its person.
func (m deviceManager) Session(ctx context.Context, id string) (*goidc.AuthnSession, error) {
	as, err := waiting(m.server.session(ctx)(m.server.options.Grants.Request(ctx, id)))
	if err == nil && as.DeviceCode == "" {
		return nil, goidc.ErrNotFound
	}
	return as, err
}

// typedCodes is under what wrong user codes of a network are counted: a name that no client
// and no person has. No right code makes up for wrong ones: who guesses has codes of his own.
const typedCodes = "user codes"

// SessionByUserCode implements goidc.DeviceAuthManager. There are not too many codes to
// try (RFC 8628 §5.1), so a network that has typed too many wrong ones has to wait,
// whatever it types.
func (m deviceManager) SessionByUserCode(ctx context.Context, code string) (*goidc.AuthnSession, error) {
	s := m.server
	c := callOf(ctx)
	if c == nil {
		return nil, errors.New("a user code outside of a request")
	}
	if fault := c.mustWait(typedCodes, "too many wrong codes were typed from this network"); fault != nil {
		return nil, verdict{fault}
	}
	as, err := waiting(s.session(ctx)(s.options.Grants.FindRequest(ctx, grants.Key{Kind: grants.UserCode, Secret: plainUserCode(code)})))
	if errors.Is(err, goidc.ErrNotFound) && s.options.Tries != nil {
		s.options.Tries.Wrong(typedCodes, c.from)
	}
	return as, err
}

// SessionByDeviceCode implements goidc.DeviceAuthManager: also one that was refused, of
// which the device is told.
func (m deviceManager) SessionByDeviceCode(ctx context.Context, code string) (*goidc.AuthnSession, error) {
	kept := m.server.options.Grants
	as, err := m.server.session(ctx)(kept.FindRequest(ctx, grants.Key{Kind: grants.DeviceCode, Secret: "request " + code}))
	if err != nil || as.Status != goidc.StatusSuccess {
		return as, err
	}
	switch _, err := kept.Find(ctx, grants.Key{Kind: grants.DeviceCode, Secret: code}); {
	case errors.Is(err, grants.ErrSpent):
		return nil, goidc.ErrNotFound // the device has had its tokens
	case err != nil && !errors.Is(err, grants.ErrUnknown):
		return nil, away(ctx, err)
	}
	return as, nil // the grant is about to be there
}

// GrantByDeviceCode implements goidc.DeviceAuthManager.
func (m deviceManager) GrantByDeviceCode(ctx context.Context, code string) (*goidc.Grant, error) {
	return m.server.find(ctx, grants.DeviceCode, code)
}

// plainUserCode is a user code as people may type it (RFC 8628 §6.1).
func plainUserCode(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
}

// readableCode is a user code as devices show it and people compare it: WDJB-MJHT (RFC
// 8628 §6.1).
func readableCode(code string) string {
	if len(code) < 2 {
		return code
	}
	return code[:len(code)/2] + "-" + code[len(code)/2:]
}

// session reads what a store found.
func (s *Server) session(ctx context.Context) func(*grants.Request, error) (*goidc.AuthnSession, error) {
	return func(r *grants.Request, err error) (*goidc.AuthnSession, error) {
		if err != nil {
			return nil, notFound(ctx, err)
		}
		as := &goidc.AuthnSession{}
		if err := json.Unmarshal(r.Data, as); err != nil {
			return nil, fmt.Errorf("decode a request: %w", err)
		}
		if as.Store == nil {
			as.Store = map[string]any{}
		}
		as.Store[requestKey] = r
		return as, nil
	}
}

// waiting refuses a session that was decided: nobody decides twice.
func waiting(as *goidc.AuthnSession, err error) (*goidc.AuthnSession, error) {
	if err == nil && as.Status != goidc.StatusPending {
		return nil, goidc.ErrNotFound
	}
	return as, err
}

// saveSession keeps a session: a new one, or the next state of one that was read.
func (s *Server) saveSession(ctx context.Context, as *goidc.AuthnSession) error {
	if c := callOf(ctx); c != nil && c.away != nil {
		return away(ctx, c.away) // it stays what it was, until it can be decided
	}
	r, known := as.Store[requestKey].(*grants.Request)
	bare := *as
	bare.Store = without(as.Store, requestKey)
	data, err := json.Marshal(bare)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	ends := time.Unix(int64(as.ExpiresAt), 0)
	if !known {
		if c := callOf(ctx); c != nil && as.RedirectURI != "" && isFor(c.request, pathPAR) {
			if fault := c.returns(as.RedirectURI); fault != nil {
				return verdict{fault}
			}
		}
		r = &grants.Request{ID: as.ID, Ends: ends, Data: data}
		if err := s.options.Grants.Begin(ctx, r, sessionKeys(as, ends)...); err != nil {
			return away(ctx, err)
		}
		as.Store[requestKey] = r
		return nil
	}
	r.Ends, r.Data = ends, data
	if err := s.options.Grants.Save(ctx, r); errors.Is(err, grants.ErrSpent) {
		return goidc.WrapError(goidc.ErrorCodeInvalidRequest, "invalid request", errors.New("the request was decided in the meantime"))
	} else if err != nil {
		return away(ctx, err)
	}
	return nil
}

func sessionKeys(as *goidc.AuthnSession, ends time.Time) (keys []grants.Key) {
	if as.PushedAuthReqID != "" {
		keys = append(keys, grants.Key{Kind: grants.Pushed, Secret: as.PushedAuthReqID, Ends: ends})
	}
	if as.UserCode != "" {
		keys = append(keys, grants.Key{Kind: grants.UserCode, Secret: plainUserCode(as.UserCode), Ends: ends})
	}
	if as.DeviceCode != "" { // not the name under which its grant will be found
		keys = append(keys, grants.Key{Kind: grants.DeviceCode, Secret: "request " + as.DeviceCode, Ends: ends})
	}
	return keys
}
