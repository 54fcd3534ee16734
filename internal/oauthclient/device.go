package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Bounds of a device's wait (RFC 8628 §3.2, §3.5).
const (
	pollEvery = 5 * time.Second // where the server does not say
	pollMost  = time.Minute     // longest interval that is obeyed without giving up
	pollMore  = 5 * time.Second // for each slow_down
	deviceMax = 30 * time.Minute
)

// byDevice tells a person where to sign in and with which code, and asks until it is done.
func (c *Client) byDevice(ctx context.Context, p Person) (*Token, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	address, err := m.endpoint(deviceEndpoint)
	if err != nil {
		return nil, err
	}
	form := url.Values{}
	c.addScope(form)
	for _, resource := range c.settings.Resources {
		form.Add("resource", resource)
	}
	object, err := c.post(ctx, m, address, form, false)
	if err != nil {
		return nil, fmt.Errorf("ask for a code: %w", err)
	}
	d, err := readDevice(object)
	if err != nil {
		return nil, fmt.Errorf("the answer of the device endpoint: %w", err)
	}
	if err := p.Show(d.prompt); err != nil {
		return nil, err
	}
	return c.poll(ctx, d)
}

// device is what a server said to a device.
type device struct {
	prompt      Prompt
	code        string
	lives, each time.Duration
}

func readDevice(object map[string]any) (*device, error) {
	d := &device{each: pollEvery}
	for name, into := range map[string]*string{
		"device_code": &d.code, "user_code": &d.prompt.Code, "verification_uri": &d.prompt.Address, "verification_uri_complete": &d.prompt.Whole,
	} {
		*into, _ = object[name].(string)
	}
	for _, address := range []string{d.prompt.Address, d.prompt.Whole} {
		if _, err := secure(address); err != nil && address != "" || len(address) > 2048 || !isPlain(address) {
			return nil, errors.New("it sends people to no https address")
		}
	}
	var err error
	switch {
	case d.prompt.Address == "" || d.prompt.Code == "" || len(d.prompt.Code) > 64 || !isPlain(d.prompt.Code):
		return nil, errors.New("it holds no address and code for a person")
	case !isToken(d.code):
		return nil, errors.New("it holds no device_code")
	}
	if d.lives, err = seconds(object["expires_in"]); err != nil {
		return nil, fmt.Errorf("expires_in: %w", err)
	}
	if interval, ok := object["interval"]; ok {
		if d.each, err = seconds(interval); err != nil {
			return nil, fmt.Errorf("interval: %w", err)
		}
	}
	d.lives = min(d.lives, deviceMax)
	return d, nil
}

// poll asks as often as the server lets it (RFC 8628 §3.5).
func (c *Client) poll(ctx context.Context, d *device) (*Token, error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.code}}
	for waited := d.each; waited < d.lives && d.each <= pollMost; waited += d.each {
		if err := c.settings.Wait(ctx, d.each); err != nil {
			return nil, fmt.Errorf("wait for the sign-in: %w", err)
		}
		token, err := c.ask(ctx, form)
		if err == nil {
			return token, nil
		}
		refused, ok := errors.AsType[*Error](err)
		slow, timeout := errors.AsType[net.Error](err)
		switch {
		case ok && refused.Code == "authorization_pending":
		case ok && refused.Code == "slow_down":
			d.each += pollMore
		case timeout && slow.Timeout():
			d.each *= 2
		default:
			return nil, err
		}
	}
	return nil, errors.New("nobody signed in while the code was good; ask for another one")
}
