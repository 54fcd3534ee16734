package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/pki/certfile"
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
	command := &cobra.Command{
		Use: "trust", Short: "Let programs of this machine trust the authority; --undo takes it back", Args: cobra.NoArgs,
		Long: `Put the authority's roots into this system's trust store, so that curl, browsers that
use it, and most programs trust the certificates that it issues. It needs the rights of
root. --undo takes them out again.

Every program of this machine then believes the authority about any name that it may
certify: see 'pavise ca init --permit'.`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				shown, err := a.Authority(ctx)
				if err != nil {
					return err
				}
				store, err := findTrustStore(trustStores())
				if err != nil {
					return err
				}
				return store.change(ctx, command, shown, undo)
			})
		},
	}
	command.Flags().BoolVar(&undo, "undo", false, "take it out again")
	return command
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

// file is the authority's file in the store: by its name, so that others' stay.
func (s trustStore) file(shown admin.Authority) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(shown.Setup.Name+"-"+shown.Setup.Domain))
	return filepath.Join(s.folder, "pavise-"+name+".crt")
}

func (s trustStore) change(ctx context.Context, command *cobra.Command, shown admin.Authority, undo bool) error {
	name, said := s.file(shown), "trusted by this machine: "
	var err error
	if undo {
		said = "no longer trusted by this machine: "
		if err = os.Remove(name); errors.Is(err, fs.ErrNotExist) {
			return &usageError{name + " is not there: this machine does not trust the authority by our doing", "nothing was changed"}
		}
	} else {
		err = certfile.Replace(name, []byte(shown.Roots), 0o644)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("change this system's trust store: %w; run it as root", err)
	}
	if err != nil {
		return fmt.Errorf("change this system's trust store: %w", err)
	}
	run := exec.CommandContext(ctx, s.update[0], s.update[1:]...)
	if text, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.500s", strings.Join(s.update, " "), err, printable(string(text)))
	}
	_, err = fmt.Fprintln(command.OutOrStdout(), said+name)
	return err
}
