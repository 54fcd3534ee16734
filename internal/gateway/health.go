package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// watchHealth asks the address again and again until ctx ends. It starts as
// well: an upstream that was just started is not refused for want of an answer.
func (a *address) watchHealth(ctx context.Context) {
	h := a.u.s.Health
	client := a.healthClient()
	defer client.CloseIdleConnections()
	ticks, stop := a.u.s.Tick(h.Interval)
	defer stop()
	good, bad := 0, 0
	for {
		if a.askHealth(ctx, client) == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if ctx.Err() != nil {
			return
		}
		switch {
		case bad >= h.Unhealthy:
			a.sick.Store(true)
		case good >= h.Healthy:
			a.sick.Store(false)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
	}
}

// healthClient has connections of its own, so that a full pool does not look ill.
func (a *address) healthClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(a.u.s.Protocol != "h2c")
	protocols.SetUnencryptedHTTP2(a.u.s.Protocol == "h2c")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx, []string{"http/1.1"}) }
	return &http.Client{
		Timeout:       a.u.s.Health.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Protocols: protocols, DisableKeepAlives: true, DisableCompression: true,
			DialContext: dial, DialTLSContext: dial, MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

func (a *address) askHealth(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, a.u.s.Health.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.name+a.u.s.Health.Path, nil)
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", a.name, err)
	}
	r.Header.Set("User-Agent", "pavise-health")
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", a.name, err)
	}
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // only the status counts
	_ = response.Body.Close()
	want := a.u.s.Health.Status
	if want != 0 && response.StatusCode != want || want == 0 && (response.StatusCode < 200 || response.StatusCode > 399) {
		return fmt.Errorf("%s says that its health is %d", a.name, response.StatusCode)
	}
	return nil
}

// healthy reports how many addresses would take a request now.
func (u *Upstream) healthy(now time.Time) int {
	n := 0
	for _, a := range u.addresses {
		if !a.sick.Load() && a.breaker.allows(now) {
			n++
		}
	}
	return n
}

// Name is the API that it stands behind.
func (u *Upstream) Name() string { return u.s.Name }

// Healthy reports how many of the upstream's addresses would take a request, and
// how many there are.
func (u *Upstream) Healthy() (well, all int) { return u.healthy(u.s.Now()), len(u.addresses) }
