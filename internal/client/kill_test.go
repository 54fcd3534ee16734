package client_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/lock"
	"pavise.dev/pavise/internal/store/sqlite"
	"pavise.dev/pavise/shield"
)

const (
	killFolder = "PAVISE_TEST_KILL"
	planted    = "planted-secret-" // every secret of these tests begins with it
)

// TestMain is also the child that is killed.
func TestMain(m *testing.M) {
	if folder := os.Getenv(killFolder); folder != "" {
		fmt.Println(changeUntilKilled(context.Background(), folder))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// installation is a store as a gateway has it: the data in one folder, the master
// key and the mark outside of it.
type installation struct {
	registry *client.Registry
	store    *sqlite.Store
	lock     *lock.Lock
}

func openInstallation(ctx context.Context, folder string, restored bool) (_ *installation, err error) {
	i := &installation{}
	data, key := filepath.Join(folder, "data"), filepath.Join(folder, "pavise.key")
	if i.lock, err = lock.Take(data); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	var m seal.Master
	if seal.Exists(key) {
		m, err = seal.ReadMaster(key)
	} else {
		m, err = seal.CreateMaster(key)
	}
	if err != nil {
		return nil, err
	}
	if i.store, err = sqlite.Open(ctx, filepath.Join(data, "store.db")); err != nil {
		return nil, err
	}
	i.registry, err = client.OpenRegistry(ctx, client.Options{
		Store: i.store, Master: m, Mark: key + ".mark", Now: time.Now, AcceptRestored: restored,
	})
	return i, err
}

func (i *installation) Close() error {
	var faults []error
	if i.store != nil {
		faults = append(faults, i.store.Close())
	}
	return errors.Join(append(faults, i.lock.Close())...)
}

func secretOf(id string) []byte { return []byte(planted + id) }

// changers is how many change the store at the same time until they are killed.
const changers = 4

// changeUntilKilled makes credentials and revokes some of them, several at a time, and
// says so after each change that was answered for.
func changeUntilKilled(ctx context.Context, folder string) error {
	i, err := openInstallation(ctx, folder, false)
	if err != nil {
		return err
	}
	if _, err := i.registry.CreateClient(ctx, client.Client{ID: "shop"}); err != nil && !errors.Is(err, client.ErrExists) {
		return err
	}
	fmt.Println("open")
	fault := make(chan error)
	for c := range changers {
		go func() {
			for n := c; ; n += changers {
				if err := i.changeOnce(ctx, n); err != nil {
					fault <- err
				}
			}
		}()
	}
	return <-fault
}

func (i *installation) changeOnce(ctx context.Context, n int) error {
	if n%8 == 5 { // data keys change under way
		if _, err := i.registry.RotateKeys(ctx); err != nil {
			return err
		}
	}
	id := fmt.Sprintf("k%d-%d", os.Getpid(), n)
	keep := shield.KeepHash
	if n%2 == 1 {
		keep = shield.KeepSealed
	}
	if _, _, err := i.registry.AddCredential(ctx, client.Credential{Kind: "api_key", Client: "shop"},
		shield.Issued{ID: id, Material: secretOf(id), Keep: keep}); err != nil {
		return err
	}
	fmt.Println("created", id)
	if n%3 != 0 {
		return nil
	}
	if _, err := i.registry.Revoke(ctx, id, "test"); err != nil {
		return err
	}
	fmt.Println("revoked", id)
	return nil
}

// What was answered for is there after a kill -9, and the store is taken for
// neither damaged nor put back.
func TestNothingThatWasAnsweredForIsLostByKill9(t *testing.T) {
	folder := t.TempDir()
	created, revoked := map[string]bool{}, map[string]bool{}
	little := func() bool { return len(created) < 24 || len(revoked) < 4 }
	rounds := 24
	if testing.Short() { // the race detector sees the same in a third of them
		rounds = 8
	}
	for round := 0; round < rounds || round < 200 && little(); round++ { // a busy machine does little in a round
		killChild(t, folder, round, created, revoked)
		checkAfterKill(t, folder, created, revoked)
	}
	if little() {
		t.Errorf("only %d credentials and %d revocations were answered for: the test shows too little", len(created), len(revoked))
	}
	searchPlanted(t, folder)
}

// killChild lets a child work for a while and kills it: in some rounds at a moment
// before it may have opened the store.
func killChild(t *testing.T, folder string, round int, created, revoked map[string]bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), killFolder+"="+folder)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func(within time.Duration) {
		time.AfterFunc(time.Duration(rand.Int64N(int64(within))), func() { _ = command.Process.Kill() })
	}
	early := round%6 == 0
	if early {
		kill(60 * time.Millisecond)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "open":
			if !early {
				kill(80 * time.Millisecond)
			}
		case "created":
			created[id] = true
		case "revoked":
			revoked[id] = true
		default:
			t.Errorf("round %d: the child gave up: %s", round, lines.Text())
		}
	}
	_ = command.Wait() // it was killed
}

func checkAfterKill(t *testing.T, folder string, created, revoked map[string]bool) {
	t.Helper()
	i, err := openInstallation(t.Context(), folder, false)
	if err != nil {
		t.Fatalf("after kill -9: %v", err)
	}
	defer func() { _ = i.Close() }()
	v, err := i.registry.View(t.Context(), client.ViewOptions{Poll: time.Hour})
	if err != nil {
		t.Fatalf("after kill -9: %v", err)
	}
	defer func() { _ = v.Close() }()
	for id := range created {
		record, err := v.Credential("api_key", id)
		switch {
		case err != nil:
			t.Errorf("credential %s was answered for and is gone: %v", id, err)
		case !record.Match(secretOf(id)) && !bytes.Equal(record.Secret(), secretOf(id)):
			t.Errorf("credential %s lost its secret", id)
		case revoked[id] && record.Revoked.IsZero():
			t.Errorf("the revocation of %s was answered for and is gone", id)
		}
	}
}

// searchPlanted looks for planted secrets in every file below a folder.
func searchPlanted(t *testing.T, folder string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(planted)) {
			t.Errorf("%s shows a secret", name)
		}
		files++
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("searched %d files: %v", files, err)
	}
}

// A whole data folder that was put back from a backup brings revoked credentials
// back. It is not used unless the operator says that he knows.
func TestRestoredBackupIsRefusedUnlessAccepted(t *testing.T) {
	attacktest.Rows(t, 167)
	folder := t.TempDir()
	data, backup := filepath.Join(folder, "data"), filepath.Join(folder, "backup")
	within := func(restored bool, f func(*installation)) error {
		i, err := openInstallation(t.Context(), folder, restored)
		if err != nil {
			return err
		}
		f(i)
		return i.Close()
	}
	revokedNow := func(i *installation) (ids []string) {
		list, err := i.registry.Credentials(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if !c.Revoked.IsZero() {
				ids = append(ids, c.ID)
			}
		}
		return ids
	}
	must(t, within(false, func(i *installation) {
		addShop(t, i.registry)
		addKey(t, i.registry, "k1", shield.KeepHash)
	}))
	must(t, os.CopyFS(backup, os.DirFS(data)))
	must(t, within(false, func(i *installation) {
		_, err := i.registry.Revoke(t.Context(), "k1", "stolen")
		must(t, err)
	}))
	must(t, os.RemoveAll(data))
	must(t, os.CopyFS(data, os.DirFS(backup)))
	must(t, os.Chmod(filepath.Join(data, "store.db"), 0o600))

	err := within(false, func(*installation) { t.Error("the backup was used") })
	if !errors.Is(err, client.ErrRolledBack) || !strings.Contains(err.Error(), "revoked again") {
		t.Errorf("error %v, want that it was put back, and what to do", err)
	}
	must(t, os.Rename(data, data+".away"))
	if err := within(false, func(*installation) { t.Error("an empty store took its place") }); !errors.Is(err, client.ErrRolledBack) || !strings.Contains(err.Error(), "remove this file") {
		t.Errorf("a data folder that was removed: %v", err)
	}
	must(t, os.RemoveAll(data))
	must(t, os.Rename(data+".away", data))
	must(t, within(true, func(i *installation) {
		if !i.registry.Restored() {
			t.Error("nobody is told that a backup was accepted")
		}
		if got := revokedNow(i); len(got) != 0 {
			t.Errorf("revoked in the backup: %v", got)
		}
		_, err := i.registry.Revoke(t.Context(), "k1", "stolen")
		must(t, err)
	}))
	must(t, within(true, func(i *installation) {
		if i.registry.Restored() {
			t.Error("leave was needed although the store is as it was left")
		}
	}))
	must(t, within(false, func(i *installation) {
		if got := revokedNow(i); !slices.Equal(got, []string{"k1"}) {
			t.Errorf("revoked at last: %v", got)
		}
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
