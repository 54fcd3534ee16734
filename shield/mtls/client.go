package mtls

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// client returns the caller's half: the connection presents its certificate, and
// there is nothing to add to the request.
func client(c shield.Credential) (shield.Signer, error) {
	if len(c.Certificates) == 0 || len(c.Certificates[0].Certificate) == 0 {
		return nil, errors.New("mutual TLS needs a certificate with its key; put both into the profile")
	}
	return presenter{&c.Certificates[0]}, nil
}

type presenter struct{ certificate *tls.Certificate }

// Sign does nothing: the handshake has signed.
func (presenter) Sign(*http.Request) error { return nil }

// Certificate returns what the connection is to present.
func (p presenter) Certificate() *tls.Certificate { return p.certificate }

// Format keeps the key out of everything that prints the signer.
func (presenter) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a client certificate")) }

// issue gives a certificate's name to a client. Nothing is made: the authority
// makes certificates. Settings["name"] is the name with its type, as in the
// README; Settings["ca"], if set, is the pin of the only authority whose
// certificates count.
func issue(_ shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if req.Import != "" {
		return shield.Issued{}, errors.New("there is nothing to import: the certificate and its key stay with the client")
	}
	name := req.Settings["name"]
	if err := checkID(name); err != nil {
		return shield.Issued{}, fmt.Errorf("give a certificate's name to client %s: %w", req.Client, err)
	}
	if ca := req.Settings["ca"]; ca != "" && !isPin(ca) {
		return shield.Issued{}, errors.New("setting ca: want the SHA-256 of the authority's public key (SPKI), base64")
	}
	return shield.Issued{ID: name, Keep: shield.KeepNothing}, nil
}

func checkID(id string) error {
	prefix, name, _ := strings.Cut(id, ":")
	ok := map[string]func(string) bool{
		"sha256": isFingerprint, "pin": isPin, "uri": isURI, "dns": isDNSName, "email": isEmail,
	}[prefix]
	switch {
	case ok == nil:
		return errors.New("set name to dns:pay.internal, uri:spiffe://example.org/pay, email:ops@example.com, pin:BASE64 or sha256:HEX")
	case !ok(name):
		return fmt.Errorf("%.80q: no certificate could have exactly this %s", name, prefix)
	}
	return nil
}

func isFingerprint(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}
