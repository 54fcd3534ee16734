package oauthclient_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/oauthclient"
)

// signsIn answers at /authorize as a person's browser would be answered; change spoils the
// answer.
func (s *server) signsIn(change func(url.Values)) {
	s.on("/authorize", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		back := url.Values{"state": {query.Get("state")}, "code": {"code-1"}, "iss": {s.URL}}
		if change != nil {
			change(back)
		}
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
	})
}

// person has a browser that follows redirects. seen gets what it shows at the end.
func (s *server) person(seen *string) oauthclient.Person {
	return oauthclient.Person{
		Show: func(oauthclient.Prompt) error { return nil },
		Open: func(address string) error {
			response, err := s.Client().Get(address)
			if err != nil {
				s.t.Errorf("the browser: %v", err)
				return err
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			if seen != nil {
				*seen = string(text)
			}
			return err
		},
	}
}

func TestABrowserSignsIn(t *testing.T) {
	s := newServer(t)
	var asked url.Values
	s.signsIn(nil)
	inner := s.answers["/authorize"]
	s.on("/authorize", func(w http.ResponseWriter, r *http.Request) { asked = r.URL.Query(); inner(w, r) })
	settings := s.persons(oauthclient.Browser)
	settings.Resources = []string{"https://orders.example"}
	seen := ""
	c := open(t, settings)
	if _, err := c.Token(t.Context()); !errors.Is(err, oauthclient.ErrSignIn) {
		t.Errorf("before: %v", err)
	}
	got, err := c.SignIn(t.Context(), s.person(&seen))
	if err != nil || access(got) != "access-1" {
		t.Fatalf("%v, %v", got, err)
	}
	form, header := s.last()
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	switch {
	case asked.Get("response_type") != "code" || asked.Get("client_id") != "report" || asked.Get("scope") != "orders:read" || asked.Get("code_challenge_method") != "S256":
		t.Errorf("asked %v", asked)
	case asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || len(asked.Get("state")) < 32:
		t.Errorf("asked %v, sent %v", asked, form)
	case form.Get("grant_type") != "authorization_code" || form.Get("code") != "code-1" || form.Get("redirect_uri") != asked.Get("redirect_uri") || form.Get("client_id") != "report":
		t.Errorf("sent %v", form)
	case form.Get("resource") != "https://orders.example" || asked.Get("resource") != "https://orders.example" || header.Get("Authorization") != "":
		t.Errorf("sent %v", form)
	case !strings.HasPrefix(asked.Get("redirect_uri"), "http://127.0.0.1:") || !strings.HasSuffix(asked.Get("redirect_uri"), "/callback"):
		t.Errorf("back to %s", asked.Get("redirect_uri"))
	case !strings.Contains(seen, "You are signed in") || strings.Contains(seen, "code-1"):
		t.Errorf("the page says %s", seen)
	}
	if got := access(token(t, c)); got != "access-1" || s.asked() != 1 {
		t.Errorf("%s after %d requests", got, s.asked())
	}
	if _, err := http.Get(asked.Get("redirect_uri")); err == nil {
		t.Error("the listener is still there")
	}
}

func TestPushedRequestsStandNotInTheAddress(t *testing.T) {
	s := newServer(t)
	s.metadata["pushed_authorization_request_endpoint"] = s.URL + "/par"
	var asked url.Values
	s.on("/par", says(201, map[string]any{"request_uri": "urn:ietf:params:oauth:request_uri:1", "expires_in": 90}))
	s.on("/authorize", func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		pushed, _ := s.last()
		back := url.Values{"state": {pushed.Get("state")}, "code": {"code-1"}, "iss": {s.URL}}
		http.Redirect(w, r, pushed.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
	})
	if _, err := open(t, s.persons(oauthclient.Browser)).SignIn(t.Context(), s.person(nil)); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked.Get("request_uri") != "urn:ietf:params:oauth:request_uri:1" || asked.Get("client_id") != "report" {
		t.Errorf("%v", asked)
	}
	s.on("/par", says(400, map[string]any{"error": "invalid_request"}))
	_, err := open(t, s.persons(oauthclient.Browser)).SignIn(t.Context(), s.person(nil))
	refuses(t, err, "invalid_request")
}

func TestAnswersToTheBrowserAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(url.Values)
		reason string
	}{
		"another issuer":          {func(v url.Values) { v.Set("iss", "https://evil.example") }, "another authorization server"},
		"no issuer":               {func(v url.Values) { v.Del("iss") }, "another authorization server"},
		"two issuers":             {func(v url.Values) { v.Add("iss", "https://evil.example") }, "twice"},
		"two codes":               {func(v url.Values) { v.Add("code", "other") }, "twice"},
		"no code":                 {func(v url.Values) { v.Del("code") }, "no code"},
		"refused":                 {func(v url.Values) { v.Set("error", "access_denied"); v.Del("code") }, "access_denied"},
		"error of another issuer": {func(v url.Values) { v.Set("error", "access_denied"); v.Set("iss", "https://evil.example") }, "another authorization server"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.signsIn(c.change)
			_, err := open(t, s.persons(oauthclient.Browser)).SignIn(t.Context(), s.person(nil))
			refuses(t, err, c.reason)
			if s.asked() > 0 {
				t.Error("the code was sent")
			}
		})
	}
	t.Run("no issuer of a server that never names itself", func(t *testing.T) {
		s := newServer(t)
		delete(s.metadata, "authorization_response_iss_parameter_supported")
		s.signsIn(func(v url.Values) { v.Del("iss") })
		if _, err := open(t, s.persons(oauthclient.Browser)).SignIn(t.Context(), s.person(nil)); err != nil {
			t.Error(err)
		}
	})
}

// Whoever is on this machine, or on a page in its browser, can send requests to the
// listener.
func TestStrangersAtTheListenerChangeNothing(t *testing.T) {
	s := newServer(t)
	s.signsIn(nil)
	p := s.person(nil)
	follow := p.Open
	p.Open = func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		back, state := u.Query().Get("redirect_uri"), u.Query().Get("state")
		for name, c := range map[string]struct {
			method, address, host string
			status                int
		}{
			"wrong state":  {"GET", back + "?code=evil&state=wrong&iss=" + s.URL, "", 400},
			"no state":     {"GET", back + "?code=evil", "", 400},
			"two states":   {"GET", back + "?code=evil&state=" + state + "&state=wrong", "", 400},
			"another path": {"GET", strings.TrimSuffix(back, "callback") + "?code=evil&state=" + state, "", 404},
			"another name": {"GET", back + "?code=evil&state=" + state, "evil.example", 404},
			"another way":  {"POST", back + "?code=evil&state=" + state, "", 405},
		} {
			r, err := http.NewRequest(c.method, c.address, nil)
			if err != nil {
				return err
			}
			r.Host = c.host
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = response.Body.Close()
			if response.StatusCode != c.status {
				t.Errorf("%s: %d, want %d", name, response.StatusCode, c.status)
			}
		}
		return follow(address)
	}
	if _, err := open(t, s.persons(oauthclient.Browser)).SignIn(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if form, _ := s.last(); form.Get("code") != "code-1" {
		t.Errorf("%v", form)
	}
}

func TestASignInThatNobodyFinishesEnds(t *testing.T) {
	s := newServer(t)
	s.signsIn(func(v url.Values) { v.Set("state", "wrong") })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := open(t, s.persons(oauthclient.Browser)).SignIn(ctx, s.person(nil))
	refuses(t, err, "another state")
	if !errors.Is(err, context.DeadlineExceeded) || s.asked() > 0 {
		t.Errorf("%v, %d requests", err, s.asked())
	}
}

func deviceAnswer() map[string]any {
	return map[string]any{
		"device_code": "device-1", "user_code": "WDJB-MJHT", "verification_uri": "https://login.example.com/device",
		"verification_uri_complete": "https://login.example.com/device?user_code=WDJB-MJHT", "expires_in": 600, "interval": 2,
	}
}

// polls answers one poll after the other; the last one for ever.
func polls(answers ...http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		next := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		next(w, r)
	}
}

func TestADeviceSignsIn(t *testing.T) {
	pending, slow := says(400, map[string]any{"error": "authorization_pending"}), says(400, map[string]any{"error": "slow_down"})
	for name, c := range map[string]struct {
		device map[string]any
		polls  http.HandlerFunc
		waits  []time.Duration
		reason string
	}{
		"at once":                       {deviceAnswer(), polls(says(200, good())), []time.Duration{2 * time.Second}, ""},
		"slow down":                     {deviceAnswer(), polls(pending, slow, pending, says(200, good())), seconds(2, 2, 7, 7), ""},
		"no interval":                   {with(deviceAnswer(), "interval", nil), polls(pending, says(200, good())), seconds(5, 5), ""},
		"denied":                        {deviceAnswer(), polls(pending, says(400, map[string]any{"error": "access_denied"})), seconds(2, 2), "access_denied"},
		"expired":                       {deviceAnswer(), polls(says(400, map[string]any{"error": "expired_token"})), seconds(2), "expired_token"},
		"never":                         {with(deviceAnswer(), "expires_in", 7), polls(pending), seconds(2, 2, 2), "nobody signed in"},
		"slower, slower":                {deviceAnswer(), polls(slow), nil, "nobody signed in"},
		"plain address":                 {with(deviceAnswer(), "verification_uri", "http://login.example.com/"), nil, nil, "no https address"},
		"plain whole address":           {with(deviceAnswer(), "verification_uri_complete", "javascript:alert(1)"), nil, nil, "no https address"},
		"no code":                       {with(deviceAnswer(), "user_code", nil), nil, nil, "no address and code"},
		"code that steers the terminal": {with(deviceAnswer(), "user_code", "\x1b[2J"), nil, nil, "no address and code"},
		"no device code":                {with(deviceAnswer(), "device_code", nil), nil, nil, "device_code"},
		"no end":                        {with(deviceAnswer(), "expires_in", nil), nil, nil, "expires_in"},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := newServer(t), newClock()
			s.on("/device", says(200, c.device))
			if c.polls != nil {
				s.on("/token", c.polls)
			}
			settings := s.persons(oauthclient.Device)
			settings.Now = now.Now
			var waited []time.Duration
			settings.Wait = func(ctx context.Context, d time.Duration) error { waited = append(waited, d); return now.wait(ctx, d) }
			var shown oauthclient.Prompt
			got, err := open(t, settings).SignIn(t.Context(), oauthclient.Person{Show: func(p oauthclient.Prompt) error { shown = p; return nil }})
			if c.waits != nil && !slices.Equal(waited, c.waits) {
				t.Errorf("waited %v, want %v", waited, c.waits)
			}
			if c.reason != "" {
				refuses(t, err, c.reason)
				return
			}
			if err != nil || access(got) != "access-1" || shown.Code != "WDJB-MJHT" || shown.Address != "https://login.example.com/device" {
				t.Fatalf("%+v, %v, shown %+v", got, err, shown)
			}
			if form, _ := s.last(); form.Get("device_code") != "device-1" || form.Get("client_id") != "report" || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" {
				t.Errorf("%v", form)
			}
		})
	}
}

func seconds(all ...int) []time.Duration {
	var out []time.Duration
	for _, n := range all {
		out = append(out, time.Duration(n)*time.Second)
	}
	return out
}
