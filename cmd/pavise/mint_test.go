package main

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/rogpeppe/go-internal/testscript"
)

// exampleKey is the key of RFC 7515 §A.3, which the whole world has.
const exampleKey = `{"kty":"EC","crv":"P-256","kid":"example","alg":"ES256","use":"sig",` +
	`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",` +
	`"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`

// mint makes an access token of https://login.example.com for the API orders, good for
// five minutes, and writes it into FILE and the issuer's key set into keys.json:
//
//	mint FILE [CLAIM=VALUE…]
//
// The value of a time is a duration from now; an empty one takes the claim away; jkt and
// x5t bind the token.
func mint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mint FILE [CLAIM=VALUE…]")
	}
	now := time.Now()
	claims := map[string]any{
		"iss": "https://login.example.com", "sub": "ann", "client_id": "shop", "aud": "orders", "scope": "orders:read", "jti": "j-1",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		long, err := time.ParseDuration(value)
		switch {
		case value == "":
			delete(claims, name)
		case name == "jkt":
			claims["cnf"] = map[string]any{"jkt": value}
		case name == "x5t":
			claims["cnf"] = map[string]any{"x5t#S256": value}
		case err == nil:
			claims[name] = now.Add(long).Unix()
		default:
			claims[name] = value
		}
	}
	var key jose.JSONWebKey
	ts.Check(json.Unmarshal([]byte(exampleKey), &key))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	ts.Check(err)
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token+"\n"), 0o600))
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("keys.json"), keys, 0o600))
}
