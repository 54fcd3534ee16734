package certfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
			if left := left(t, dir); len(left) > 2 {
				t.Errorf("left are %v", left)
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

// left are the files below a folder, without the lock.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(name) != ".lock" {
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

// half leaves the files as a death, or a writer at work, does between the two: the new key
// with the old chain, and the key before beside it.
func half(t *testing.T, files certfile.Files) {
	t.Helper()
	other, _ := pair(t)
	must(t, os.Link(files.Key, beside(files.Key, ".before")))
	text, err := os.ReadFile(other.Key)
	must(t, err)
	must(t, certfile.Replace(files.Key, text, 0o600))
}

func beside(key, suffix string) string {
	return filepath.Join(filepath.Dir(key), "."+filepath.Base(key)+suffix)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever only reads finds the pair before, and leaves everything to whoever writes.
func TestReaderOfAHalfReplacedPairWritesNothing(t *testing.T) {
	files, dir := pair(t)
	before, err := files.Load()
	must(t, err)
	half(t, files)
	names := left(t, dir)
	key, err := os.ReadFile(files.Key)
	must(t, err)
	after, err := files.Load()
	if err != nil || string(after.Leaf.Raw) != string(before.Leaf.Raw) {
		t.Errorf("the pair before: %v", err)
	}
	still, err := os.ReadFile(files.Key)
	if err != nil || string(still) != string(key) || !slices.Equal(left(t, dir), names) {
		t.Errorf("the reader has written: %v, was %v, %v", left(t, dir), names, err)
	}
	must(t, os.Chmod(beside(files.Key, ".before"), 0o644))
	if _, err := files.Load(); err == nil {
		t.Error("a key before that everybody can read was taken")
	}
}

// A death between the two leaves the new key with the old chain: whoever renews puts the key
// before back when it starts, and before it writes.
func TestPairThatADeathHasLeftIsRepaired(t *testing.T) {
	files, dir := pair(t)
	before, err := files.Load()
	must(t, err)
	half(t, files)
	must(t, files.Recover())
	after, err := tls.LoadX509KeyPair(files.Chain, files.Key)
	if err != nil || string(after.Leaf.Raw) != string(before.Leaf.Raw) {
		t.Fatalf("the pair before: %v", err)
	}
	if got := left(t, dir); len(got) != 2 {
		t.Errorf("left are %v", got)
	}
	half(t, files)
	c, key := made(t)
	chains := filepath.Dir(files.Chain)
	must(t, os.Rename(chains, chains+"-away"))
	if err := files.Save([]*x509.Certificate{c}, key); err == nil {
		t.Error("saved into a folder that is not there")
	}
	must(t, os.Rename(chains+"-away", chains))
	must(t, files.Save([]*x509.Certificate{c}, key))
	if after, err := files.Load(); err != nil || string(after.Leaf.Raw) != string(c.Raw) || len(left(t, dir)) != 2 {
		t.Errorf("the next pair: %v, left are %v", err, left(t, dir))
	}
	stale, _ := pair(t)
	text, err := os.ReadFile(stale.Key)
	must(t, err)
	must(t, os.WriteFile(beside(files.Key, ".before"), text, 0o600)) // of a death after the two
	must(t, files.Recover())
	if after, err := files.Load(); err != nil || string(after.Leaf.Raw) != string(c.Raw) || len(left(t, dir)) != 2 {
		t.Errorf("a key that is of no use: %v, left are %v", err, left(t, dir))
	}
}

// However many read and write, the files are a pair after each writing, and readers get one.
func TestReadersAndWritersDoNotDisturbEachOther(t *testing.T) {
	files, _ := pair(t)
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := files.Load(); err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	c, key := made(t)
	for range 40 {
		must(t, files.Save([]*x509.Certificate{c}, key))
		if _, err := tls.LoadX509KeyPair(files.Chain, files.Key); err != nil {
			t.Fatalf("on disk: %v", err)
		}
		c, key = made(t)
	}
	for range 2 {
		writers.Go(func() {
			for range 15 {
				c, key := made(t)
				if err := errors.Join(files.Save([]*x509.Certificate{c}, key), files.Recover()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if _, err := tls.LoadX509KeyPair(files.Chain, files.Key); err != nil {
		t.Errorf("on disk, after two writers: %v", err)
	}
}

// A server that runs as somebody else goes on reading its files.
func TestFilesKeepTheirModeAndOwner(t *testing.T) {
	files, _ := pair(t)
	must(t, os.Chmod(files.Key, 0o640))
	must(t, os.Chmod(files.Chain, 0o600))
	asRoot := os.Geteuid() == 0
	if asRoot {
		must(t, os.Chown(files.Key, 1234, 4321))
	}
	c, key := made(t)
	must(t, files.Save([]*x509.Certificate{c}, key))
	for name, mode := range map[string]os.FileMode{files.Key: 0o640, files.Chain: 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
		if was, ok := info.Sys().(*syscall.Stat_t); ok && asRoot && name == files.Key && (was.Uid != 1234 || was.Gid != 4321) {
			t.Errorf("%s belongs to %d:%d", name, was.Uid, was.Gid)
		}
	}
	must(t, os.Chmod(files.Key, 0o644)) // nobody meant that
	must(t, files.Save([]*x509.Certificate{c}, key))
	if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a key that everybody could read has mode %v, %v", info.Mode(), err)
	}
}

// What a link of another user's leads to stays as it is: a service that may write beside the
// files of an agent that is root must not choose which file root replaces.
func TestLinkOfAnotherUserIsNotFollowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make other users' links")
	}
	const service, other = 1234, 1235
	root, own := t.TempDir(), t.TempDir()
	must(t, os.Chown(own, service, service))
	precious := filepath.Join(root, "precious")
	must(t, os.WriteFile(precious, []byte("precious"), 0o644))
	link := func(to, name string, owner int) string {
		t.Helper()
		name = filepath.Join(own, name)
		must(t, os.Symlink(to, name))
		must(t, os.Lchown(name, owner, owner))
		return name
	}
	mine := filepath.Join(own, "mine")
	for name, c := range map[string]struct {
		path string
		want bool
	}{
		"of the service, to root's":          {link(precious, "a", service), false},
		"a folder's, to root's":              {filepath.Join(link(root, "b", service), "precious"), false},
		"to one that is not there":           {link(filepath.Join(root, "new"), "c", service), false},
		"by another of the service's":        {link("a", "d", service), false},
		"of root, to root's":                 {link(precious, "e", 0), true},
		"of the service, to the service's":   {link("mine", "f", service), true},
		"of somebody else, to the service's": {link("mine", "g", other), false},
		"of root, by one of the service's":   {link("a", "h", 0), false},
	} {
		must(t, os.WriteFile(mine, []byte("mine"), 0o644))
		must(t, os.WriteFile(precious, []byte("precious"), 0o644))
		if err := certfile.Replace(c.path, []byte("ours"), 0o644); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(precious); !c.want && (err != nil || string(text) != "precious") {
			t.Errorf("%s: it holds %q, %v", name, text, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "new")); err == nil {
		t.Error("a file was made where a link of the service's leads")
	}
	around := link(root, "around", service)
	c, key := made(t)
	for _, files := range []certfile.Files{
		{Chain: filepath.Join(around, "x.pem"), Key: filepath.Join(own, "x-key.pem")},
		{Chain: filepath.Join(own, "x.pem"), Key: filepath.Join(around, "x-key.pem")},
	} {
		if err := files.Save([]*x509.Certificate{c}, key); err == nil || files.Exist() {
			t.Errorf("%v was written by a link, %v", files, err)
		}
	}
}

// A note takes the place of whatever has its name.
func TestNoteFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	precious, note := filepath.Join(dir, "precious"), filepath.Join(dir, "note")
	must(t, os.WriteFile(precious, []byte("precious"), 0o600))
	must(t, os.Symlink(precious, note))
	must(t, certfile.Note(note, []byte("noted")))
	text, err := os.ReadFile(precious)
	if err != nil || string(text) != "precious" {
		t.Errorf("it holds %q, %v", text, err)
	}
	info, err := os.Lstat(note)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o644 {
		t.Errorf("the note: %v, %v", info, err)
	}
}
