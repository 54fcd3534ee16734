package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/command"
)

// trustStore is where a system keeps the authorities that its programs trust.
type trustStore struct {
	name   string
	folder string   // a file there is trusted …
	update []string // … after this command
}

// trustStores are those of the systems that we know.
func trustStores() []trustStore {
	return []trustStore{
		{"Debian, Ubuntu, Alpine", "/usr/local/share/ca-certificates", []string{"update-ca-certificates"}},
		{"Fedora, RHEL", "/etc/pki/ca-trust/source/anchors", []string{"update-ca-trust", "extract"}},
		{"Arch", "/etc/ca-certificates/trust-source/anchors", []string{"update-ca-trust"}},
		{"SUSE", "/etc/pki/trust/anchors", []string{"update-ca-certificates"}},
	}
}

func caTrust() *cobra.Command {
	var undo bool
	c := &cobra.Command{
		Use: "trust", Short: "Let programs of this machine trust the authority; --undo takes it back", Args: cobra.NoArgs,
		Long: `Put the authority's roots into this system's trust store, so that curl, browsers that
use it, and most programs trust the certificates that it issues. It needs the rights of
root. Each root is a file of its own; run it again after a rotation, and those that are
trusted no more are taken out. --undo takes all of them out.

Every program of this machine then believes the authority about any name that it may
certify: see 'pavise ca init --permit'.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return administer(c, func(ctx context.Context, a *admin.Client) error {
				shown, err := a.Authority(ctx)
				if err != nil {
					return err
				}
				store, err := findTrustStore(trustStores())
				if err != nil {
					return err
				}
				return store.change(ctx, c.OutOrStdout(), shown, undo)
			})
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "take it out again")
	return c
}

func findTrustStore(all []trustStore) (trustStore, error) {
	for _, s := range all {
		if _, err := exec.LookPath(s.update[0]); err != nil {
			continue
		}
		if info, err := os.Stat(s.folder); err == nil && info.IsDir() {
			return s, nil
		}
	}
	return trustStore{}, &usageError{"this system's trust store is none that pavise knows", "`pavise ca export > ca.pem`, and add that file as your system's manual says"}
}

// trustTime is how long the system may take to read its store anew.
const trustTime = 2 * time.Minute

// change puts the roots of an authority into the store, or takes them out, and has the
// system read it anew.
func (s trustStore) change(ctx context.Context, out io.Writer, shown admin.Authority, undo bool) error {
	roots, err := certfile.ParseChain([]byte(shown.Roots))
	if err != nil {
		return fmt.Errorf("read the roots: %w", err)
	}
	there, err := s.files(shown)
	if err != nil {
		return err
	}
	if undo {
		roots = nil
	}
	if undo && len(there) == 0 {
		return &usageError{"no root of this authority is in " + s.folder + ": this machine does not trust it by our doing", "nothing was changed"}
	}
	said, err := s.replace(shown, there, roots)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("change this system's trust store: %w; run it as root", err)
	}
	if err != nil {
		return fmt.Errorf("change this system's trust store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, trustTime)
	defer cancel()
	if text, err := command.Run(ctx, s.update); err != nil {
		return fmt.Errorf("%s: %w: %.500s", strings.Join(s.update, " "), err, printable(text))
	}
	_, err = fmt.Fprint(out, said)
	return err
}

// replace writes a file for each root, because programs that rebuild the store read the
// first certificate of each (openssl rehash), and removes those of ours that are none any
// more.
func (s trustStore) replace(shown admin.Authority, there []string, roots []*x509.Certificate) (said string, err error) {
	var wanted []string
	for _, root := range roots {
		name := s.file(shown, root)
		wanted = append(wanted, name)
		if err := certfile.Replace(name, certfile.EncodeChain([]*x509.Certificate{root}), 0o644); err != nil {
			return said, err
		}
		said += "trusted by this machine: " + name + "\n"
	}
	for _, name := range there {
		if slices.Contains(wanted, name) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return said, err
		}
		said += "no longer trusted by this machine: " + name + "\n"
	}
	return said, nil
}

// trustFile begins the names of an authority's files in the store: so that others' stay.
func trustFile(shown admin.Authority) string {
	return "pavise-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(shown.Setup.Name+"-"+shown.Setup.Domain))
}

// idLength is how many letters of a root's digest end its file's name.
const idLength = 16

func (s trustStore) file(shown admin.Authority, root *x509.Certificate) string {
	digest := sha256.Sum256(root.Raw)
	return filepath.Join(s.folder, trustFile(shown)+"."+hex.EncodeToString(digest[:])[:idLength]+".crt")
}

// files are an authority's that are in the store.
func (s trustStore) files(shown admin.Authority) (found []string, err error) {
	all, err := os.ReadDir(s.folder)
	if err != nil {
		return nil, fmt.Errorf("read this system's trust store: %w", err)
	}
	for _, entry := range all {
		id, ours := strings.CutPrefix(entry.Name(), trustFile(shown)+".")
		id, isCertificate := strings.CutSuffix(id, ".crt")
		if _, err := hex.DecodeString(id); ours && isCertificate && err == nil && len(id) == idLength {
			found = append(found, filepath.Join(s.folder, entry.Name()))
		}
	}
	return found, nil
}
