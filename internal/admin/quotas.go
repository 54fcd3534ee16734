package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/quota"
	"pavise.dev/pavise/limit"
)

// Quotas are what is kept of quotas.
type Quotas interface {
	List() ([]quota.Use, error)
	Reset(match func(key string) bool) (int, error)
}

// QuotaUse is what somebody has used of a quota in the present day or month.
type QuotaUse struct {
	API    string       `json:"api"`
	Quota  string       `json:"quota"`
	Client string       `json:"client,omitempty"` // or
	User   string       `json:"user,omitempty"`   // or
	Issuer string       `json:"issuer,omitempty"`
	Other  string       `json:"other,omitempty"` // an endpoint, or nobody: all of whom nothing is known
	Period limit.Period `json:"period"`
	Used   int          `json:"used"`
	Of     int          `json:"of,omitempty"` // 0: the configuration has no such quota any more
	Ends   time.Time    `json:"ends"`
}

// Whom is for whom it counts, in words.
func (u QuotaUse) Whom() string {
	switch {
	case u.Client != "":
		return "client " + u.Client
	case u.User != "":
		return "user " + u.User
	case u.Other == limit.Nobody:
		return "all who are unknown"
	}
	return u.Other
}

func (s *Service) quotas(r *http.Request) (any, error) {
	used, err := s.Quotas.List()
	if err != nil {
		return nil, err
	}
	client := r.URL.Query().Get("client")
	all := []QuotaUse{}
	for _, u := range used {
		k, ok := limit.ParseQuotaKey(u.Key)
		if !ok || client != "" && k.Client != client {
			continue
		}
		all = append(all, QuotaUse{
			API: k.API, Quota: k.Quota, Client: k.Client, User: k.User, Issuer: k.Issuer, Other: k.Other,
			Period: k.Period, Used: u.Used, Of: s.QuotaOf(k.Quota), Ends: u.Ends.UTC(),
		})
	}
	slices.SortFunc(all, func(a, b QuotaUse) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Quota, b.Quota), cmp.Compare(b.Used, a.Used), cmp.Compare(a.Whom(), b.Whom()))
	})
	return all, nil
}

// QuotaReset asks to let a client or a user begin anew.
type QuotaReset struct {
	Client string `json:"client,omitempty"` // or
	User   string `json:"user,omitempty"`   // of every issuer
	Quota  string `json:"quota,omitempty"`  // this one alone
}

func (s *Service) resetQuotas(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "quota.reset"}
	var n QuotaReset
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	whom := "client " + n.Client
	if n.User != "" {
		whom = "user " + n.User
	}
	change.Target = cmp.Or(n.Client, n.User)
	if (n.Client == "") == (n.User == "") {
		return nil, change, problem(http.StatusBadRequest, "malformed", "name a client or a user")
	}
	reset, err := s.Quotas.Reset(func(key string) bool {
		k, ok := limit.ParseQuotaKey(key)
		return ok && k.Client == n.Client && k.User == n.User && (n.Quota == "" || k.Quota == n.Quota)
	})
	if err != nil {
		return nil, change, err
	}
	if reset == 0 {
		return nil, change, problem(http.StatusNotFound, "unused", "%.80s has used nothing of such a quota", whom)
	}
	change.Text = fmt.Sprintf("quotas of %s begin anew: %d", whom, reset)
	if n.Quota != "" {
		change.Text = fmt.Sprintf("the quota %s of %s begins anew", n.Quota, whom)
	}
	return Done{change.Text}, change, nil
}

// Quotas returns what is used of quotas: by one client, or by all if its name is empty.
func (c *Client) Quotas(ctx context.Context, client string) (all []QuotaUse, err error) {
	path := "/v1/quotas"
	if client != "" {
		path += "?" + url.Values{"client": {client}}.Encode()
	}
	err = c.call(ctx, http.MethodGet, path, nil, &all)
	return all, err
}

// ResetQuotas lets somebody begin anew.
func (c *Client) ResetQuotas(ctx context.Context, n QuotaReset) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/quotas/reset", n, &done)
	return done, err
}
