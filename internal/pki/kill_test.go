package pki_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/lock"
	"pavise.dev/pavise/internal/store/sqlite"
)

const killFolder = "PAVISE_TEST_KILL_PKI"

// TestMain is also the child that is killed.
func TestMain(m *testing.M) {
	if folder := os.Getenv(killFolder); folder != "" {
		fmt.Println(issueUntilKilled(context.Background(), folder))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// installation is an authority in a store on a disk, as a gateway has it.
type installation struct {
	registry *client.Registry
	pki      *pki.Authority
	close    func() error
}

func openInstallation(ctx context.Context, folder string) (_ *installation, err error) {
	data, key := filepath.Join(folder, "data"), filepath.Join(folder, "pavise.key")
	held, err := lock.Take(data)
	if err != nil {
		return nil, err
	}
	i := &installation{close: held.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	open := seal.ReadMaster
	if !seal.Exists(key) {
		open = seal.CreateMaster
	}
	master, err := open(key)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(data, "store.db"))
	if err != nil {
		return nil, err
	}
	i.close = func() error { return errors.Join(store.Close(), held.Close()) }
	if i.registry, err = client.OpenRegistry(ctx, client.Options{Store: store, Master: master, Mark: key + ".mark", Now: time.Now}); err != nil {
		return nil, err
	}
	i.pki, err = pki.Open(ctx, pki.Options{
		Records: i.registry.AuthorityRecords(), Registry: i.registry, Refresh: func(context.Context) error { return nil }, Now: time.Now, Rand: rand.Reader,
	})
	return i, err
}

// issuers are how many issue at the same time.
const issuers = 4

// issueUntilKilled issues certificates, and says so of each that it has in hand.
func issueUntilKilled(ctx context.Context, folder string) error {
	i, err := openInstallation(ctx, folder)
	if err != nil {
		return err
	}
	if _, err := i.pki.Init(ctx, pki.Init{}); err != nil && !errors.Is(err, pki.ErrThere) {
		return err
	}
	if _, err := i.registry.CreateClient(ctx, client.Client{ID: "web"}); err != nil && !errors.Is(err, client.ErrExists) {
		return err
	}
	fmt.Println("open")
	fault := make(chan error)
	for c := range issuers {
		go func() {
			for n := c; ; n += issuers {
				if err := i.issueOnce(ctx, n); err != nil {
					fault <- err
				}
			}
		}()
	}
	return <-fault
}

func (i *installation) issueOnce(ctx context.Context, n int) error {
	if n%32 == 17 { // the authority changes under way
		if _, err := i.pki.Rotate(ctx, pki.Rotation{Root: n%64 == 17}); err != nil {
			return err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	issued, _, err := i.pki.Issue(ctx, pki.Request{Client: "web"}, &pki.SigningRequest{Key: key.Public()})
	if err != nil {
		return err
	}
	digest := sha256.Sum256(issued.Leaf().Raw)
	fmt.Println("issued", issued.Credential.ID, hex.EncodeToString(digest[:]))
	return nil
}

// Whatever certificate anybody has in hand has its record after a kill -9, and the authority
// is whole.
func TestNoCertificateThatWasHandedOutIsLostByKill9(t *testing.T) {
	folder := t.TempDir()
	issued := map[string]string{}                                            // id → digest
	for round := 0; round < 12 || len(issued) < 32 && round < 100; round++ { // a busy machine issues less between two kills
		killIssuer(t, folder, round, issued)
		checkIssued(t, folder, issued)
	}
	if len(issued) < 32 {
		t.Errorf("only %d certificates were handed out: the test shows too little", len(issued))
	}
	t.Logf("%d certificates", len(issued))
}

// killIssuer lets a child issue for a while and kills it, in some rounds before it may have
// opened the store.
func killIssuer(t *testing.T, folder string, round int, issued map[string]string) {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	command := exec.Command(program)
	command.Env = append(os.Environ(), killFolder+"="+folder)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	kill := func(within time.Duration) {
		time.AfterFunc(time.Duration(mathrand.Int64N(int64(within))), func() { _ = command.Process.Kill() })
	}
	early := round%5 == 0
	if early {
		kill(80 * time.Millisecond)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 3 && words[0] == "issued":
			issued[words[1]] = words[2]
		case len(words) == 1 && words[0] == "open":
			if !early {
				kill(150 * time.Millisecond)
			}
		default:
			t.Errorf("round %d: the child gave up: %s", round, lines.Text())
		}
	}
	_ = command.Wait() // it was killed
}

func checkIssued(t *testing.T, folder string, issued map[string]string) {
	t.Helper()
	i, err := openInstallation(t.Context(), folder)
	if err != nil {
		t.Fatalf("after kill -9: %v", err)
	}
	defer func() { must(t, i.close()) }()
	for id, digest := range issued {
		kept, err := i.registry.Credential(t.Context(), client.CertificateKind, id)
		if err != nil || kept.Settings[pki.SettingFingerprint] != digest || !i.pki.Trusts(kept.Settings[pki.SettingCA]) {
			t.Errorf("%s was handed out, and its record is %+v, %v", id, kept.Settings, err)
		}
	}
	members, err := i.pki.Members()
	if errors.Is(err, pki.ErrNone) && len(issued) == 0 {
		return
	}
	active := 0
	for _, m := range members {
		if m.State == "active" {
			active++
		}
	}
	if err != nil || active != 2 {
		t.Errorf("%d of %d authorities sign, %v", active, len(members), err)
	}
}
