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
	"syscall"
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
			for _, mode := range []os.FileMode{0o644, 0o660, 0o604, 0o602} {
				if err := os.Chmod(files.Key, mode); err != nil {
					t.Fatal(err)
				}
				if _, err := files.Load(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
					t.Errorf("a key that others can read, mode %04o: %v", mode, err)
				}
			}
			if err := os.Chmod(files.Key, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Load(); err != nil {
				t.Errorf("a key that its group may read: %v", err)
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

func pair(t *testing.T) (certfile.Files, string) {
	t.Helper()
	dir := t.TempDir()
	files := certfile.Files{Chain: filepath.Join(dir, "chains", "a.pem"), Key: filepath.Join(dir, "a-key.pem")}
	if err := os.Mkdir(filepath.Join(dir, "chains"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, key := made(t)
	if err := files.Save([]*x509.Certificate{c}, key); err != nil {
		t.Fatal(err)
	}
	return files, dir
}

// left are the files below a folder.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, filepath.Base(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A chain that cannot be written, as on a full disk, leaves the pair before.
func TestPairStaysAPairWhenTheChainCannotBeWritten(t *testing.T) {
	files, dir := pair(t)
	before, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	chains := filepath.Dir(files.Chain)
	if err := os.Rename(chains, chains+"-away"); err != nil {
		t.Fatal(err)
	}
	c, key := made(t)
	if err := files.Save([]*x509.Certificate{c}, key); err == nil {
		t.Error("saved into a folder that is not there")
	}
	if err := os.Rename(chains+"-away", chains); err != nil {
		t.Fatal(err)
	}
	after, err := files.Load()
	if err != nil || string(after.Leaf.Raw) != string(before.Leaf.Raw) {
		t.Errorf("the pair before: %v", err)
	}
	if got := left(t, dir); len(got) != 2 {
		t.Errorf("left are %v", got)
	}
}

// A death between the two leaves the new key with the old chain: the key before is put back.
func TestPairThatADeathHasLeftIsRepaired(t *testing.T) {
	files, dir := pair(t)
	before, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	other, _ := pair(t)
	if err := os.Link(files.Key, filepath.Join(dir, ".a-key.pem.before")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(other.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := certfile.Replace(files.Key, text, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := files.Load()
	if err != nil || string(after.Leaf.Raw) != string(before.Leaf.Raw) {
		t.Fatalf("the pair before: %v", err)
	}
	if got := left(t, dir); len(got) != 2 {
		t.Errorf("left are %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, ".a-key.pem.before"), text, 0o600); err != nil { // of an earlier death
		t.Fatal(err)
	}
	c, key := made(t)
	if err := files.Save([]*x509.Certificate{c}, key); err != nil {
		t.Error(err)
	}
	if after, err = files.Load(); err != nil || string(after.Leaf.Raw) != string(c.Raw) || len(left(t, dir)) != 2 {
		t.Errorf("the next pair: %v, left are %v", err, left(t, dir))
	}
}

// A server that runs as somebody else goes on reading its files.
func TestFilesKeepTheirModeAndOwner(t *testing.T) {
	files, _ := pair(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(files.Key, 0o640))
	must(os.Chmod(files.Chain, 0o600))
	asRoot := os.Geteuid() == 0
	if asRoot {
		must(os.Chown(files.Key, 1234, 4321))
	}
	c, key := made(t)
	must(files.Save([]*x509.Certificate{c}, key))
	for name, mode := range map[string]os.FileMode{files.Key: 0o640, files.Chain: 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
		if was, ok := info.Sys().(*syscall.Stat_t); ok && asRoot && name == files.Key && (was.Uid != 1234 || was.Gid != 4321) {
			t.Errorf("%s belongs to %d:%d", name, was.Uid, was.Gid)
		}
	}
	must(os.Chmod(files.Key, 0o644)) // nobody meant that
	must(files.Save([]*x509.Certificate{c}, key))
	if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a key that everybody could read has mode %v, %v", info.Mode(), err)
	}
}
