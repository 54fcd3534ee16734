package certfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/pki/certfile"
)

func made(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestFilesAreReplacedAndReadAgain(t *testing.T) {
	attacktest.Rows(t, 85)
	for name, of := range map[string]func(dir string) certfile.Files{
		"two files": func(dir string) certfile.Files {
			return certfile.Files{Chain: filepath.Join(dir, "a.pem"), Key: filepath.Join(dir, "a-key.pem")}
		},
		"one file": func(dir string) certfile.Files {
			return certfile.Files{Chain: filepath.Join(dir, "a.pem"), Key: filepath.Join(dir, "a.pem")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := of(dir)
			if files.Exist() {
				t.Error("there is something before the first")
			}
			for range 2 {
				c, key := made(t)
				if err := files.Save([]*x509.Certificate{c}, key); err != nil {
					t.Fatal(err)
				}
				pair, err := files.Load()
				if err != nil || string(pair.Leaf.Raw) != string(c.Raw) {
					t.Errorf("read: %v", err)
				}
			}
			if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the key has mode %v, %v", info.Mode(), err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 2 {
				t.Errorf("%d files are left, %v", len(left), err)
			}
			if err := os.Chmod(files.Key, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Load(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("a key that others can read: %v", err)
			}
		})
	}
}

func TestKeyThatDoesNotFitIsNotSaved(t *testing.T) {
	dir := t.TempDir()
	files := certfile.Files{Chain: filepath.Join(dir, "a.pem"), Key: filepath.Join(dir, "a-key.pem")}
	c, _ := made(t)
	_, key := made(t)
	if err := files.Save([]*x509.Certificate{c}, key); err == nil || files.Exist() {
		t.Errorf("%v; something was written: %v", err, files.Exist())
	}
}

func TestLinkGoesOnPointing(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := certfile.Replace(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "new" {
		t.Errorf("the target holds %q, %v", text, err)
	}
	if err := certfile.Replace(filepath.Join(dir, "none", "a"), nil, 0o600); err == nil {
		t.Error("written into a folder that is none")
	}
}
