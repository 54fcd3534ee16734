package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/pki"
)

// faulty is an administration that makes an authority, or does not, and then says that
// something went wrong.
type faulty struct {
	makes, mute bool
	made        *admin.Authority
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, value any) (*http.Response, error) {
		body, err := json.Marshal(value)
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
	}
	switch {
	case r.Method == http.MethodPost && f.makes:
		var n admin.InitAuthority
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			return nil, err
		}
		f.made = &admin.Authority{Members: []admin.AuthorityMember{{Role: "root", Certificate: rootOf(n.RootKey.Reveal())}}}
		fallthrough
	case r.Method == http.MethodPost:
		return answer(http.StatusInternalServerError, admin.Problem{Status: 500, Code: "unrecorded", Detail: "the disk is full"})
	case f.mute:
		return nil, errors.New("connection refused")
	case f.made == nil:
		return answer(http.StatusConflict, admin.Problem{Status: 409, Code: "no_authority", Detail: "there is none"})
	}
	return answer(http.StatusOK, f.made)
}

func rootOf(text []byte) string {
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.(crypto.Signer).Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// The root's key is on its disk before anything is signed with it: a fault afterwards cannot
// lose it.
func TestRootKeyIsNotLostByAFault(t *testing.T) {
	for name, c := range map[string]struct {
		f    faulty
		kept bool
		says string
	}{
		"the authority was made":     {faulty{makes: true}, true, "was made, but"},
		"nobody knows":               {faulty{makes: true, mute: true}, true, "keep "},
		"the authority was not made": {faulty{}, false, "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "root.key")
			a := admin.Connect(&c.f)
			command := &cobra.Command{}
			command.SetErr(io.Discard)
			_, err := withKeyElsewhere(t.Context(), command, a, file, "ES256", func(key admin.PrivateKey) (admin.Authority, error) {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("before it is used: %v, %v", info, err)
				}
				return a.InitAuthority(context.Background(), admin.InitAuthority{Setup: pki.Setup{Algorithm: "ES256"}, RootKey: key})
			})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(file); (err == nil) != c.kept {
				t.Errorf("the key's file: %v", err)
			}
		})
	}
}
