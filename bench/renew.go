package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
)

// signingRequest asks for a certificate for the callers' key; empty, if there is none.
func (l *load) signingRequest() string {
	if len(l.config.Certificates) == 0 {
		return ""
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, l.config.Certificates[0].PrivateKey)
	if err != nil {
		return "" // the server refuses it, and the row says so
	}
	return base64.StdEncoding.EncodeToString(der)
}

// renew gets the next certificate (RFC 7030 §4.2.2). It is looked at by its status alone:
// the agent's own tests read it.
func (f *flow) renew(c *caller) error {
	answer, err := f.exchange(c, "POST /.well-known/est/simplereenroll", "Content-Type: application/pkcs10", f.csr)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", answer.StatusCode)
	}
	return answer.Body.Close()
}
