package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// Token returns a token that is good now: the kept one, a refreshed one, or one for the
// client itself. It asks no person; where one has to sign in, the error is [ErrSignIn].
func (c *Client) Token(ctx context.Context) (*Token, error) {
	return c.within(ctx, func(k *kept) (*Token, error) {
		if old := k.token(); old.fresh(c.settings.Now()) {
			return old, nil
		}
		return c.next(ctx, k)
	})
}

// Renew returns another token than the one that was refused. Where somebody else renewed
// it meanwhile, that one is taken.
func (c *Client) Renew(ctx context.Context, refused *Token) (*Token, error) {
	return c.within(ctx, func(k *kept) (*Token, error) {
		if old := k.token(); old.fresh(c.settings.Now()) && !old.Access.Equal(refused.Access.Reveal()) {
			return old, nil
		}
		return c.next(ctx, k)
	})
}

// next spends the refresh token, or gets a token for the client itself.
func (c *Client) next(ctx context.Context, k *kept) (*Token, error) {
	old := k.token()
	if !old.Refresh.Empty() {
		token, err := c.refresh(ctx, old)
		if err == nil {
			k.set(token)
			return token, nil
		}
		if refused, ok := errors.AsType[*Error](err); !ok || refused.Code != "invalid_grant" {
			return nil, err // it may still be good
		}
		k.forget()
	}
	if c.settings.Grant != ForItself {
		return nil, ErrSignIn
	}
	token, err := c.forItself(ctx)
	if err != nil {
		return nil, err
	}
	k.set(token)
	return token, nil
}

// Person is somebody who is asked to sign in.
type Person struct {
	// Show tells where to go: an address, and with [Device] the code to type there.
	Show func(Prompt) error
	// Open opens a browser at an address. Nil, or an error: the person opens it.
	Open func(address string) error
}

// Prompt is what a person is told.
type Prompt struct {
	Address string
	Code    string // of a device; empty with a browser
	Whole   string // the address with the code in it; may be empty
}

// SignIn gets a new token, whatever is kept: with the help of a person where the grant
// needs one. It returns when the token is there, when it was refused, or with ctx.
func (c *Client) SignIn(ctx context.Context, p Person) (*Token, error) {
	get := c.forItself
	switch c.settings.Grant {
	case Browser:
		get = func(ctx context.Context) (*Token, error) { return c.byBrowser(ctx, p) }
	case Device:
		get = func(ctx context.Context) (*Token, error) { return c.byDevice(ctx, p) }
	}
	// The key has to be there before; the lock is not held while a person thinks.
	if _, err := c.within(ctx, func(*kept) (*Token, error) { return nil, nil }); err != nil {
		return nil, err
	}
	token, err := get(ctx)
	if err != nil {
		return nil, err
	}
	return c.within(ctx, func(k *kept) (*Token, error) {
		k.set(token)
		return token, nil
	})
}

// Forget revokes what is kept at the server (RFC 7009), where the server can, and removes
// it here in any case. It reports whether there was something.
func (c *Client) Forget(ctx context.Context) (bool, error) {
	was := false
	_, err := c.within(ctx, func(k *kept) (*Token, error) {
		old := k.token()
		if was = !old.Access.Empty() || !old.Refresh.Empty(); !was {
			return nil, nil
		}
		k.forget()
		return nil, c.revoke(ctx, old)
	})
	return was, errors.Join(err, c.remove())
}

func (c *Client) remove() error {
	err := os.Remove(filepath.Join(c.folder(), keptFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// revoke ends the refresh token, and with it what was issued under it; or the access token.
func (c *Client) revoke(ctx context.Context, t *Token) error {
	m, err := c.metadata(ctx)
	if err != nil {
		return fmt.Errorf("revoke the token: %w", err)
	}
	address, err := m.endpoint(revokeEndpoint)
	if err != nil {
		return fmt.Errorf("revoke the token: %w; it was only forgotten here", err)
	}
	form := url.Values{"token": {string(t.Access.Reveal())}}
	if !t.Refresh.Empty() {
		form.Set("token", string(t.Refresh.Reveal()))
		form.Set("token_type_hint", "refresh_token")
	}
	a, err := c.postOnce(ctx, m, address, form, false)
	switch {
	case a != nil && a.status == http.StatusOK: // its body says nothing (RFC 7009 §2.2)
		return nil
	case a != nil && a.object != nil:
		err = refusal(a, c.secretsOf(form))
	}
	return fmt.Errorf("revoke the token: %w; it was only forgotten here", err)
}
