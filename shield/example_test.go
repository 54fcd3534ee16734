package shield_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
)

// ExampleTransport signs every request of an http.Client.
func ExampleTransport() {
	key, err := apikey.Kind().Client(shield.Credential{Kind: "api_key", Secret: "pvs_live_…"})
	if err != nil {
		fmt.Println(err)
		return
	}
	signature, err := hmac.Kind().Client(shield.Credential{
		Kind: "hmac", ID: "hk_0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %.15s", r.Header.Get("X-API-Key"), r.Header.Get("Authorization"))
	}))
	defer gateway.Close()

	client := &http.Client{
		Transport:     &shield.Transport{Signers: []shield.Signer{key, signature}}, // a signature over headers comes last
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Get(gateway.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	fmt.Println(string(body), err)
	// Output: pvs_live_… HMAC id="hk_012 <nil>
}

// office is a shield that knows callers by a header, which nobody should do.
type office struct{}

// Verify implements shield.Shield: absent, refused, or an identity.
func (office) Verify(r *http.Request) (*shield.Identity, error) {
	badge, err := shield.Single(r.Header, "X-Badge")
	switch {
	case err != nil:
		return nil, err // absent: another shield may try; twice: it is final
	case badge != "ann":
		return nil, shield.Refuse(shield.InvalidCredential, "badge %q is nobody's", badge)
	}
	return &shield.Identity{Shield: "office", CredentialID: badge, Issuer: "office", Subject: badge, User: badge, Scopes: shield.Scopes{"doors:open"}}, nil
}

// Needs implements shield.Needy: the header never reaches the upstream.
func (office) Needs() shield.Needs {
	return shield.Needs{Carries: []string{"X-Badge"}, Accepts: []string{"a badge in X-Badge"}}
}

// ExampleShield is the whole interface.
func ExampleShield() {
	for _, badge := range []string{"ann", "eve", ""} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if badge != "" {
			r.Header.Set("X-Badge", badge)
		}
		id, err := office{}.Verify(r)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(id.User, id.Scopes)
	}
	// Output:
	// ann [doors:open]
	// invalid_credential: badge "eve" is nobody's
	// absent
}
